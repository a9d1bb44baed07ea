"""Sweeps: resumable by identity, indifferent to other sweeps, and interrupted without a loss."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import harness_fake
import pytest

from benchmarks.commands.sweep import _where
from benchmarks.execution import isolate
from benchmarks.execution.isolate import Stopped
from benchmarks.execution.journal import Journal, journals
from benchmarks.execution.measure import measure
from benchmarks.execution.sweep import Sweep, slots, todo
from benchmarks.planning.forecast import Forecaster
from benchmarks.planning.resolve import Job
from benchmarks.records.environment import host_environment
from benchmarks.records.errors import UserError
from benchmarks.records.metrics import Metrics
from benchmarks.records.outcome import Outcome
from benchmarks.records.record import Cause, Status
from benchmarks.records.store import Store, StoreError, latest


def in_process(cell, slot, report, stop):
    return measure(cell, lib=harness_fake.LIBRARY)


@pytest.fixture
def jobs(make_cell):
    return [Job(make_cell(solver, seed)) for solver in ("good", "crash", "choosy") for seed in (0, 1)]


def test_every_job_gets_a_record_and_a_second_run_has_nothing_to_do(store, jobs):
    records = Sweep(store, [harness_fake.SLOT] * 3, execute=in_process).run(jobs)
    assert sorted(r.status for r in records) == ["error"] * 2 + ["ok"] * 2 + ["unsupported"] * 2
    kept = store.read().records
    assert {r.digest for r in records} == set(kept)
    again = todo(jobs, kept.values())
    assert again.jobs == ()
    assert len(again.done) == len(jobs)


def test_redo(store, jobs):
    kept = Sweep(store, [harness_fake.SLOT], execute=in_process).run(jobs)
    assert [j.cell.solver.name for j in todo(jobs, kept, "failed").jobs] == ["crash", "crash"]
    assert len(todo(jobs, kept, "all").jobs) == len(jobs)
    with pytest.raises(UserError, match="failed, all"):
        todo(jobs, kept, "some")


def test_the_newest_record_of_a_cell_counts(make_record):
    old, new = make_record(error=None, minutes=0), make_record(minutes=1)
    assert latest([new, old]) == {new.cell.identity: new}
    assert todo([Job(new.cell)], [new, old], "failed").jobs == ()


def test_the_same_job_twice_is_measured_once(jobs):
    assert len(todo([*jobs, *jobs], []).jobs) == len(jobs)


def test_what_another_sweep_finished_meanwhile_is_not_measured_again(store, jobs):
    measured = []

    def slow_other(cell, slot, report, stop):
        if not measured:  # while this sweep is at its first cell, another one finishes all the others
            for job in jobs[1:]:
                store.add(measure(job.cell, lib=harness_fake.LIBRARY))
        measured.append(cell)
        return measure(cell, lib=harness_fake.LIBRARY)

    records = Sweep(store, [harness_fake.SLOT], execute=slow_other).run(jobs)
    assert measured == [jobs[0].cell]
    assert len(records) == len(jobs)


def test_a_foregone_cell_is_a_row(store, make_cell):
    job = Job(make_cell(), Outcome(Status.UNSUPPORTED, Cause.UNSUPPORTED, "one dimension only"))
    (record,) = Sweep(store, [harness_fake.SLOT], execute=in_process).run([job])
    assert (record.status, record.reason) == (Status.UNSUPPORTED, "one dimension only")


def test_an_interrupt_keeps_what_is_finished(store, jobs):
    def interrupted(cell, slot, report, stop):
        if cell == jobs[2].cell:
            sweep._stop.set()
            raise Stopped
        return measure(cell, lib=harness_fake.LIBRARY)

    sweep = Sweep(store, [harness_fake.SLOT], execute=interrupted)
    assert len(sweep.run(jobs)) == 2
    assert len(store.read().records) == 2
    assert len(todo(jobs, store.read().records.values()).jobs) == len(jobs) - 2


def test_a_budget_that_is_over_leaves_the_rest(store, jobs):
    def slow(cell, slot, report, stop):
        if cell == jobs[1].cell:
            assert stop.wait(60)
            raise Stopped
        return measure(cell, lib=harness_fake.LIBRARY)

    sweep = Sweep(store, [harness_fake.SLOT], execute=slow)
    assert len(sweep.run(jobs, budget=1)) == 1
    rest = todo(jobs, store.read().records.values()).jobs
    assert [job.cell for job in rest] == [job.cell for job in jobs[1:]]


def test_a_store_that_goes_away_ends_the_sweep(tmp_path, jobs):
    store = Store.writing(tmp_path / "store")

    def then_remove(cell, slot, report, stop):
        shutil.rmtree(store.root)
        return measure(cell, lib=harness_fake.LIBRARY)

    with pytest.raises(StoreError, match="store"):
        Sweep(store, [harness_fake.SLOT], execute=then_remove).run(jobs)


def test_listeners_hear_of_every_cell(store, jobs):
    heard = []

    class Listener:
        def started(self, cell):
            heard.append(("started", cell.identity))

        def awaited(self, cell):
            heard.append(("awaited", cell.identity))

        def moved(self, cell, moment, steps):
            heard.append(("moved", cell.identity))

        def finished(self, record):
            heard.append(("finished", record.cell.identity))

    Sweep(store, [harness_fake.SLOT] * 2, (Listener(),)).run(jobs[:2])
    for job in jobs[:2]:
        assert next(event for event, identity in heard if identity == job.cell.identity) == "started"
        assert ("finished", job.cell.identity) in heard


def test_the_journal_tells_of_running_and_killed_sweeps(store, jobs, make_record):
    journal = Journal(store, [job.cell for job in jobs], workers=2)
    journal.started(jobs[0].cell)
    ((_, plan, state, alive),) = journals(store)
    assert alive
    assert len(plan.cells) == len(jobs)
    assert set(state.running) == {jobs[0].cell.identity}
    assert store.read().damaged == ()
    journal.close()
    assert journals(store) == []


def test_a_killed_sweep_is_told_from_a_running_one(store, jobs):
    code = (
        "import sys, os, pathlib; from benchmarks.execution.journal import Journal; from benchmarks.records.store import Store\n"
        "Journal(Store.writing(pathlib.Path(sys.argv[1])), [], 1); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(store.root)], check=False)
    (killed,) = journals(store)
    assert not killed.alive
    journal = Journal(store, [job.cell for job in jobs], workers=1)
    assert [sighting.alive for sighting in journals(store)] == [True]
    journal.close()


def test_workers_share_the_cores():
    (alone,) = slots(1)
    assert alone.cores is None
    with pytest.raises(UserError, match="workers"):
        slots(10_000)


def test_cells_share_programs_unless_their_speed_is_measured(make_cell):
    host = host_environment()
    with _where("1", None) as ((slot,), _):
        shared = isolate._environment(make_cell(), slot, host)
        assert Path(shared["JAX_COMPILATION_CACHE_DIR"]).is_dir()
        assert shared["JAX_ENABLE_COMPILATION_CACHE"] == "true"
    assert not Path(shared["JAX_COMPILATION_CACHE_DIR"]).exists()
    with _where(None, None, exclusive=True) as ((slot,), _):
        own = isolate._environment(make_cell(), slot, host)
        assert own["JAX_ENABLE_COMPILATION_CACHE"] == "false"
        assert "JAX_COMPILATION_CACHE_DIR" not in own
        assert slot.alone


def test_a_forecast_is_the_nearest_record(make_record, make_cell):
    near, far = make_record(dim=100, duration=5.0), make_record(dim=10_000, duration=50.0)
    forecaster = Forecaster([near, far])
    assert forecaster(make_record(dim=200).cell).seconds == 5.0
    assert forecaster(make_record(dim=5_000).cell).seconds == 50.0
    assert forecaster(make_record(solver="other").cell).seconds is None
    assert forecaster.remaining([near.cell, far.cell, make_record(solver="other").cell], 2) == pytest.approx(
        41.25
    )
    assert Forecaster([]).remaining([near.cell], 1) is None
    assert Forecaster([]).remaining([], 1) == 0.0


def test_a_forecast_under_another_protocol_keeps_what_is_no_training(make_record):
    """The record: 100 steps a second, 4 s of training and 6 s beside it."""
    metrics = Metrics(relative_l2=0.1, steps_per_second=100.0, train_seconds=4.0, peak_bytes=7)
    known = make_record(duration=10.0, metrics=metrics)

    def seconds(**changes):
        cell = known.cell.model_copy(update={"protocol": known.cell.protocol.but(**changes)})
        return Forecaster([known])(cell).seconds

    assert seconds(steps=1_000, seconds=None) == pytest.approx(6 + 10)
    assert seconds(steps=1_000, seconds=3.0) == pytest.approx(6 + 3)
    assert seconds(steps=100_000, seconds=None, wall_limit=60.0) == 60.0
    assert Forecaster([known])(known.cell).seconds == 10.0

    failed = make_record(error=None, duration=1.5)
    cell = failed.cell.model_copy(update={"protocol": failed.cell.protocol.but(steps=9)})
    assert Forecaster([failed])(cell).seconds == 1.5


def test_its_own_protocol_comes_before_a_nearer_dimension(make_record):
    own, near = make_record(dim=3, duration=5.0), make_record(dim=100, duration=50.0)
    other = near.cell.model_copy(update={"protocol": near.cell.protocol.but(steps=77)})
    forecaster = Forecaster([own, near.model_copy(update={"cell": other})])
    assert forecaster(make_record(dim=100).cell).seconds == 5.0


def test_what_is_unsupported_elsewhere_says_nothing_here(make_record):
    no = make_record(error=None, dim=100, duration=0.5).model_copy(update={"status": Status.UNSUPPORTED})
    elsewhere = no.cell.problem.model_copy(update={"name": "toy/other"})
    no = no.model_copy(update={"cell": no.cell.model_copy(update={"problem": elsewhere})})
    forecaster = Forecaster([no, make_record(dim=10_000, duration=50.0)])
    assert forecaster(make_record(dim=100).cell).seconds == 50.0
    assert forecaster(no.cell).seconds == 0.5


def test_a_real_interrupt_stops_the_children(store, make_cell):
    sweep = Sweep(store, [harness_fake.SLOT])
    threading.Timer(1.0, sweep._stop.set).start()
    begin = time.monotonic()
    assert sweep.run([Job(make_cell("hang"))]) == []
    assert time.monotonic() - begin < 10
    assert store.read().records == {}
