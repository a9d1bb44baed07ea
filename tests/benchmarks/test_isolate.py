"""Whatever a child process does, there is one record, and it says what happened."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import harness_fake
import pytest

from benchmarks.execution import isolate, measure
from benchmarks.execution.isolate import Slot
from benchmarks.records.record import Cause, Status

ENDINGS = [
    ("good", Status.OK, None, ""),
    ("nan-loss", Status.DIVERGED, Cause.NON_FINITE, "step 7"),
    ("nan-error", Status.DIVERGED, Cause.NON_FINITE, "not finite"),
    ("choosy", Status.UNSUPPORTED, Cause.UNSUPPORTED, "does not like toys"),
    ("segv", Status.ERROR, Cause.SIGNAL, "SIGSEGV"),
    ("kill", Status.ERROR, Cause.SIGNAL, "SIGKILL"),
    ("leave", Status.ERROR, Cause.EXIT, "exit with 3"),
    ("hard-leave", Status.ERROR, Cause.EXIT, "exit status 7"),
    ("clean-leave", Status.ERROR, Cause.NO_RECORD, "no valid record"),
    ("bad-import", Status.ERROR, Cause.IMPORT, "a_module_that_does_not_exist"),
    ("memory-error", Status.OOM, Cause.HOST_LIMIT, "MemoryError"),
    ("device-oom", Status.OOM, Cause.DEVICE, "RESOURCE_EXHAUSTED"),
    ("crash", Status.ERROR, Cause.EXCEPTION, "ZeroDivisionError"),
]


@pytest.fixture(params=["started", "forked"])
def slot(request) -> Slot:
    """Children that are processes of their own from the start, and children that a nursery forks."""
    return {"started": harness_fake.SLOT, "forked": harness_fake.FORKED}[request.param]


@pytest.mark.parametrize(("solver", "status", "cause", "words"), ENDINGS, ids=[e[0] for e in ENDINGS])
def test_every_ending_has_its_label(make_cell, slot, solver, status, cause, words):
    record = isolate.isolate(make_cell(solver), slot)
    assert (record.status, record.cause) == (status, cause)
    assert words in record.reason
    assert record.cell == make_cell(solver)
    if status is Status.OK:
        assert record.metrics.skill == pytest.approx(0.9)
        assert record.metrics.seconds_to["0.1"] == pytest.approx(1.0)


def test_what_is_known_of_a_killed_child_is_kept(make_cell, slot):
    record = isolate.isolate(make_cell("hard-leave"), slot)
    assert record.last is not None
    assert (record.last.step, record.last.loss) == (1, 0.9)
    assert "about to leave" in record.log_tail


def test_log_and_exception_of_a_crash_are_kept_and_clean(make_cell, slot):
    record = isolate.isolate(make_cell("crash"), slot)
    assert "ZeroDivisionError" in record.exception
    assert "red words" in record.log_tail
    assert "\x1b" not in record.log_tail
    assert "\x00" not in record.reason


def test_a_hang_ends_at_the_wall_limit(make_cell, slot):
    begin = time.monotonic()
    record = isolate.isolate(make_cell("hang", wall_limit=2.0), slot)
    assert (record.status, record.cause) == (Status.TIMEOUT, Cause.WALL_LIMIT)
    assert time.monotonic() - begin < 15
    assert record.last is not None


@pytest.mark.parametrize("solver", ["hog", "child-hog"])
def test_a_memory_hog_ends_at_the_memory_limit(make_cell, slot, solver):
    record = isolate.isolate(make_cell(solver, memory_limit=300_000_000), slot)
    assert (record.status, record.cause) == (Status.OOM, Cause.HOST_LIMIT)
    assert "300,000,000" in record.reason


def test_a_child_that_cannot_be_started_is_a_row(make_cell):
    record = isolate.isolate(make_cell(), Slot(command=("/nowhere/python",)))
    assert (record.status, record.cause) == (Status.ERROR, Cause.EXIT)
    assert "could not be started" in record.reason


def test_a_child_that_cannot_import_the_harness_is_a_row(make_cell):
    slot = Slot(command=(*harness_fake.SLOT.command[:1], "-c", "import nothing_of_that_name"))
    record = isolate.isolate(make_cell(), slot)
    assert (record.status, record.cause) == (Status.ERROR, Cause.IMPORT)


def test_a_changed_problem_or_solver_is_not_measured_under_the_old_name(make_cell):
    cell = make_cell()
    other = cell.model_copy(update={"problem": cell.problem.model_copy(update={"fingerprint": "0" * 64})})
    record = measure.measure(other, lib=harness_fake.LIBRARY)
    assert (record.status, record.cause) == (Status.ERROR, Cause.CHANGED)
    other = cell.model_copy(update={"solver": cell.solver.model_copy(update={"hyperparameters": {"a": 1}})})
    assert measure.measure(other, lib=harness_fake.LIBRARY).cause is Cause.CHANGED


def test_a_child_whose_parent_is_dead_before_it_is_awake_ends(make_cell, tmp_path):
    parent = subprocess.Popen([sys.executable, "-c", ""])
    parent.wait()
    child = subprocess.run(
        [*harness_fake.SLOT.command, str(tmp_path)],
        env=os.environ | isolate.child_environment() | {measure.PARENT: str(parent.pid)},
        input=make_cell("hang").model_dump_json(),
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == 1
    assert not (tmp_path / measure.RECORD).exists()


def test_a_failure_of_who_follows_a_cell_is_not_the_cells(make_cell, slot):
    """Such as a journal on a full disk: it is raised, and no row says that the child could not be started."""

    def fails(moment, steps):
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        isolate.isolate(make_cell("hang", wall_limit=20.0), slot, fails)


def test_stopping_kills_the_child_and_makes_no_record(make_cell, slot):
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    begin = time.monotonic()
    with pytest.raises(isolate.Stopped):
        isolate.isolate(make_cell("hang"), slot, stop=stop)
    assert time.monotonic() - begin < 10
