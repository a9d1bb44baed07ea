"""Claims: a cell is measured by one sweep at a time, and a sweep that is dead claims nothing."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import harness_chaos
import harness_fake
import pytest

from benchmarks.execution import claims
from benchmarks.execution.claims import FOLDER, claim
from benchmarks.execution.measure import measure
from benchmarks.execution.sweep import Sweep, todo
from benchmarks.planning.resolve import Job
from benchmarks.records.store import Store

CELL = "0" * 64
EVERY_SEED = Counter(str(seed) for seed in range(harness_chaos.CELLS))


def in_process(cell, slot, report, stop):
    return measure(cell, lib=harness_fake.LIBRARY)


def names(root: Path) -> list[str]:
    return [path.name for path in (root / FOLDER).iterdir()]


def test_a_claim_excludes_others_and_leaves_nothing(tmp_path):
    with claim(tmp_path, CELL) as ours, claim(tmp_path, CELL) as again, claim(tmp_path, "1" * 64) as other:
        assert (ours, again, other) == (True, False, True)
    assert names(tmp_path) == []
    with claim(tmp_path, CELL) as ours:
        assert ours


def test_the_empty_file_of_a_dead_sweep_claims_nothing(tmp_path):
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / f"{CELL}.claim").touch()
    with claim(tmp_path, CELL) as ours:
        assert ours


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_nothing_can_be_locked_everybody_measures(tmp_path, monkeypatch, error):
    def refuse(handle, how):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(claims.fcntl, "flock", refuse)
    with claim(tmp_path, CELL) as ours, claim(tmp_path, CELL) as again:
        assert ours
        assert again
    assert claims.is_locked(tmp_path) is None
    monkeypatch.setattr(claims, "fcntl", None)
    with claim(tmp_path, CELL) as ours:
        assert ours
    with claim(Path(os.devnull), CELL) as ours:
        assert ours


def test_many_threads_take_turns(tmp_path):
    """Each waits for a file that the one before it removes when it is done."""
    inside, most, turns = [], [], []

    def work():
        done = 0
        while done < 20:
            with claim(tmp_path, CELL) as ours:
                if ours:
                    inside.append(1)
                    most.append(len(inside))
                    time.sleep(0.0002)
                    inside.pop()
                    done += 1
        turns.append(done)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert turns == [20] * 6
    assert max(most) == 1


def test_a_cell_that_another_sweep_measures_is_waited_for(store, make_cell):
    """The others are measured first; then its record counts as if it had been measured here."""
    jobs = [Job(make_cell(seed=seed)) for seed in range(3)]
    measured, awaited = [], []

    class Listener:
        def started(self, cell):
            measured.append(cell.seed)

        def awaited(self, cell):
            awaited.append(cell.seed)
            theirs.set()

        def moved(self, cell, moment, steps): ...

        def finished(self, record): ...

    theirs, claimed = threading.Event(), threading.Event()

    def other():
        with claim(store.root, jobs[0].cell.identity):
            claimed.set()
            assert theirs.wait(60)
            store.add(in_process(jobs[0].cell, None, None, None))

    thread = threading.Thread(target=other)
    thread.start()
    assert claimed.wait(60)
    records = Sweep(store, [harness_fake.SLOT], (Listener(),), execute=in_process).run(jobs)
    thread.join()
    assert measured == [1, 2]
    assert awaited == [0]
    assert sorted(record.cell.seed for record in records) == [0, 1, 2]
    assert len(store.read().records) == 3


def test_a_budget_ends_the_waiting(store, make_cell):
    job = Job(make_cell())
    with claim(store.root, job.cell.identity):
        assert Sweep(store, [harness_fake.SLOT], execute=in_process).run([job], budget=0.5) == []


def test_what_was_finished_between_planning_and_measuring_counts(store, make_cell):
    jobs = [Job(make_cell(seed=seed)) for seed in range(2)]
    known = store.read().records
    theirs = in_process(jobs[0].cell, None, None, None)
    store.add(theirs)
    records = Sweep(store, [harness_fake.SLOT], execute=in_process).run(jobs, known=known)
    assert theirs in records
    assert len(store.read().records) == 2


def start(root: Path, how: str) -> subprocess.Popen[str]:
    command = [sys.executable, harness_chaos.__file__, str(root), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def measurements(root: Path) -> Counter[str]:
    log = Path(f"{root}.measured")
    return Counter(log.read_text().split() if log.exists() else [])


def test_two_sweeps_in_lockstep_measure_every_cell_once(tmp_path):
    root = tmp_path / "store"
    both = [start(root, "once") for _ in range(2)]
    for sweep in both:
        sweep.communicate(timeout=120)
    assert [sweep.returncode for sweep in both] == [0, 0]
    assert measurements(root) == EVERY_SEED
    assert len(Store.reading(root).read().records) == harness_chaos.CELLS
    assert names(root) == []


def test_a_sweep_takes_over_what_a_killed_one_had_in_flight(tmp_path):
    root = tmp_path / "store"
    stuck = start(root, "stuck")
    end = time.monotonic() + 120
    while not measurements(root):
        assert time.monotonic() < end
        time.sleep(0.05)
    heir = start(root, "once")
    alarm = threading.Timer(120, heir.kill)
    alarm.start()
    for line in heir.stdout:
        if line.strip() == "awaited":  # all the rest is done
            break
    stuck.kill()
    stuck.communicate()
    heir.communicate(timeout=120)
    alarm.cancel()
    assert heir.returncode == 0
    contents = Store.reading(root).read()
    assert todo(harness_chaos.jobs(), contents.records.values()).jobs == ()
    assert len(contents.records) == harness_chaos.CELLS
    twice = {seed for seed, count in measurements(root).items() if count > 1}
    assert 1 <= len(twice) <= 2  # what had been in flight, on two workers
