"""How busy others keep the machine, and cells that are measured alone."""

from __future__ import annotations

import threading
import time
from collections import namedtuple

import pytest
from test_cli import call

from benchmarks.commands import compare, replay
from benchmarks.execution import load
from benchmarks.execution.load import Bystanders, turn
from benchmarks.records.metrics import Metrics
from benchmarks.records.record import QUIET

Times = namedtuple("Times", "user system idle guest")


@pytest.fixture
def machine(monkeypatch):
    """A machine whose clocks say what the test tells it: seconds that passed, that it worked, and that we worked."""
    told = {"wall": 0.0, "busy": 0.0, "own": 0.0, "other core": 0.0}
    monkeypatch.setattr(load.time, "monotonic", lambda: told["wall"])

    def times(percpu=False):
        elsewhere = told["other core"]
        cores = [told["busy"] - elsewhere, elsewhere] if percpu else [told["busy"]]
        found = [Times(busy - 1, 1.0, 1e6 - busy, 99.0) for busy in cores]
        return found if percpu else found[0]

    monkeypatch.setattr(load.psutil, "cpu_times", times)
    monkeypatch.setattr(load, "_own", lambda: told["own"])
    return told


@pytest.mark.parametrize(
    ("wall", "busy", "own", "others"),
    [
        (10, 15, 15, 0.0),
        (10, 15, 5, 1.0),
        (4, 8, 7, 0.25),
        (10, 15, 15.3, 0.0),
        (10, 0, 0, None),
        (0, 1, 0, None),
    ],
)
def test_others_are_what_we_are_not(machine, wall, busy, own, others):
    bystanders = Bystanders()
    machine.update(wall=wall, busy=busy, own=own)
    assert bystanders.cores == others


@pytest.mark.parametrize(
    ("busy", "own", "elsewhere", "others"), [(15, 6, 9, 0.0), (15, 6, 5, 0.4), (10, 9.9, 0, 0.01)]
)
def test_work_on_another_core_is_beside_a_bound_process_and_not_on_its_core(
    machine, monkeypatch, busy, own, elsewhere, others
):
    monkeypatch.setattr(load, "_bound", lambda: (0,))
    bystanders = Bystanders()
    machine.update({"wall": 10.0, "busy": busy, "own": own, "other core": elsewhere})
    assert bystanders.of_its_cores == pytest.approx(others)
    assert bystanders.cores == pytest.approx((busy - own) / 10)


def test_a_process_that_is_not_bound_has_no_cores_of_its_own(machine, monkeypatch):
    monkeypatch.setattr(load, "_bound", tuple)
    bystanders = Bystanders()
    machine.update(wall=10.0, busy=15, own=5)
    assert bystanders.of_its_cores is None


def test_this_machine_says_how_busy_it_is():
    bystanders = Bystanders()
    time.sleep(0.05)
    cores = bystanders.cores
    assert cores is None or cores >= 0


@pytest.fixture
def lock_here(monkeypatch, tmp_path):
    """The lock of this machine's measurements in a folder of the test's own."""
    monkeypatch.setattr(load.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(load, "_POLL_SECONDS", 0.005)


def in_order(first_alone: bool, second_alone: bool) -> list[str]:
    """What happens when a second cell comes while a first is measured: its begin is awaited, or the first one's end."""
    events, inside, never = [], threading.Event(), threading.Event()

    def second() -> None:
        with turn(second_alone, never):
            events.append("second begins")
            inside.set()

    with turn(first_alone, never):
        thread = threading.Thread(target=second)
        thread.start()
        inside.wait(0.1 if first_alone or second_alone else 60)
        events.append("first ends")
    thread.join(60)
    return events


@pytest.mark.usefixtures("lock_here")
def test_cells_are_measured_side_by_side_unless_one_is_to_be_alone():
    assert in_order(False, False) == ["second begins", "first ends"]
    for one, other in ((True, False), (False, True), (True, True)):
        assert in_order(one, other) == ["first ends", "second begins"]


@pytest.mark.usefixtures("lock_here")
def test_waiting_can_be_called_off():
    stop = threading.Event()
    with turn(True, threading.Event()):
        stop.set()
        with turn(True, stop):
            pass


def test_an_exclusive_cell_has_one_worker_and_no_cluster():
    arguments = ("run", "poisson/two-body", "null-zero", "--dim", "5", "--exclusive", "--workers", "2")
    code, _, err = call(*arguments)
    assert (code, "one cell at a time" in err) == (2, True)


def test_a_speed_in_competition_is_not_compared(make_record):
    def record(rate, others, error=0.05):
        metrics = {"relative_l2": error, "steps_per_second": rate, "bystanders": others}
        return make_record(metrics=Metrics(**metrics))

    quiet, slow, busy = record(100.0, 0.0), record(50.0, QUIET / 2), record(50.0, 2 * QUIET)
    unknown, wrong = record(50.0, None), record(50.0, 2 * QUIET, error=0.5)
    assert [r.in_competition for r in (quiet, slow, busy, unknown)] == [False, False, True, None]
    changed = lambda new: [c["what"] for c in compare._changes(quiet, new, 1.2)]
    assert changed(slow) == changed(unknown) == ["steps_per_second"]
    assert changed(busy) == []
    assert changed(wrong) == ["relative_l2"]


def test_a_training_that_the_clock_ended_is_known_by_its_steps(make_record):
    """The toy protocol asks for 10 steps. Before the number of steps was planned, a budget ended a training anywhere."""
    of = lambda taken, planned: make_record(
        metrics=Metrics(relative_l2=0.1, steps=taken, planned_steps=planned)
    )
    assert "after 4 of 10 steps" in of(4, None).cut_short
    assert [of(*numbers).cut_short for numbers in ((10, None), (4, 4), (None, None))] == [None] * 3


def test_a_replay_takes_as_many_steps_as_were_planned(make_record):
    record = make_record(metrics=Metrics(relative_l2=0.1, steps=4, planned_steps=4))
    assert record.cell.protocol.seconds is not None
    asked = replay._as_trained(record).protocol
    assert (asked.steps, asked.seconds) == (4, None)
    old = make_record(metrics=Metrics(relative_l2=0.1, steps=4))
    assert replay._as_trained(old) == old.cell
