"""Cells on a Dask cluster: the same records as measured one after another here, written by the client alone."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness_fake
import psutil
import pytest
from test_cli import call

from benchmarks.execution import cluster
from benchmarks.execution.sweep import Sweep
from benchmarks.planning.resolve import Job
from benchmarks.records.errors import UserError
from benchmarks.records.record import Cause, Record, Status
from benchmarks.records.store import Store

distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
COMMAND = harness_fake.SLOT.command
ROOM = 10 * 10**9


@pytest.fixture(scope="module")
def local() -> Iterator[Any]:
    """Two worker processes of one thread, each with memory and one pretended GPU to give away."""
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",
        resources={"MEMORY": ROOM, "GPU": 1},
    ) as made:
        yield made


def compared(record: Record) -> tuple[Any, ...]:
    """What of a record must not depend on where it was measured."""
    metrics = record.metrics
    numbers = (metrics.loss, metrics.relative_l2, metrics.relative_l1, metrics.steps, metrics.skill)
    return (record.cell.identity, record.status, record.cause, record.reason, *numbers)


def remotely(local: Any, store: Store, jobs: list[Job]) -> list[Record]:
    with cluster.connect(local.scheduler_address, COMMAND) as remote:
        remote.require_room(job.cell for job in jobs)
        assert remote.threads == 2
        return Sweep(store, [harness_fake.SLOT] * 4, execute=remote.execute).run(jobs)


def serially(store: Store, jobs: list[Job]) -> list[Record]:
    return Sweep(store, [harness_fake.SLOT]).run(jobs)


def same(local: Any, tmp_path: Path, jobs: list[Job]) -> None:
    here, there = Store.writing(tmp_path / "here"), Store.writing(tmp_path / "there")
    one, other = serially(here, jobs), remotely(local, there, jobs)
    assert sorted(map(compared, one), key=str) == sorted(map(compared, other), key=str)
    assert len(there.read().records) == len(jobs)
    assert there.read().damaged == ()


def test_a_sweep_on_a_cluster_gives_the_serial_records(local, tmp_path, make_cell):
    solvers = ("good", "nan-loss", "segv", "leave")
    same(local, tmp_path, [Job(make_cell(solver)) for solver in solvers])


@pytest.mark.slow
def test_sixty_cells_on_a_cluster_give_the_serial_records(local, tmp_path, make_cell):
    solvers = ("good", "nan-loss", "segv", "leave", "choosy", "crash")
    same(local, tmp_path, [Job(make_cell(solver, seed)) for solver in solvers for seed in range(10)])


MATRIX = """
protocol = {base = "quick", steps = 20, test_size = 200, seconds = 60}
pdes = ["poisson/two-body"]
dims = [5, 10]
solvers = ["stde", "exact", "null-affine"]
seeds = 1
"""


@pytest.mark.slow
def test_a_real_sweep_on_a_cluster_gives_the_serial_records(local, tmp_path):
    matrix = tmp_path / "matrix.toml"
    matrix.write_text(MATRIX)
    here, there = tmp_path / "here", tmp_path / "there"
    assert call("sweep", str(matrix), store=here)[0] == 0
    code, out, _ = call("sweep", str(matrix), "--cluster", local.scheduler_address, "--json", store=there)
    assert code == 0
    assert {row["status"] for row in json.loads(out)} == {"ok"}
    one, other = (list(Store.reading(root).read().records.values()) for root in (here, there))
    assert len(other) == 6
    assert sorted(map(compared, one), key=str) == sorted(map(compared, other), key=str)
    assert (
        "6 cell(s) have a record"
        in call("sweep", str(matrix), "--cluster", local.scheduler_address, store=there)[2]
    )


def test_cells_declare_what_they_need(local, make_cell):
    with cluster.connect(local.scheduler_address) as remote:
        assert remote.needs(make_cell(memory_limit=5 * 10**9)) == {"GPU": 1.0, "MEMORY": 5e9}
        assert remote.needs(make_cell(memory_limit=None)) == {"GPU": 1.0}
        with pytest.raises(UserError, match="the largest worker declares 1e\\+10"):
            remote.require_room([make_cell(memory_limit=2 * ROOM)])


def test_no_more_cells_run_at_once_than_the_resources_allow(local, make_cell):
    """Each cell wants more than half of a worker's memory."""
    with cluster.connect(local.scheduler_address, COMMAND) as remote:
        cells = [make_cell("good", seed, memory_limit=6 * 10**9) for seed in range(3)]
        stop, records = threading.Event(), []
        run = lambda cell: records.append(remote.execute(cell, harness_fake.SLOT, print, stop))
        threads = [threading.Thread(target=run, args=(cell,)) for cell in cells]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert len(children_of_workers(local)) <= 2
            time.sleep(0.1)
        assert {record.status for record in records} == {Status.OK}


def children_of_workers(local: Any) -> list[psutil.Process]:
    """The processes that measure cells; what those start themselves is not counted."""
    children = []
    for nanny in local.workers.values():
        for process in psutil.Process(nanny.pid).children():
            try:
                if "harness_fake.py" in " ".join(process.cmdline()):
                    children.append(process)
            except psutil.Error:
                continue
    return children


def until(condition: Any, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_an_interrupt_ends_what_runs_on_the_workers(local, tmp_path, make_cell):
    with cluster.connect(local.scheduler_address, COMMAND) as remote:
        store = Store.writing(tmp_path / "store")
        sweep = Sweep(store, [harness_fake.SLOT], execute=remote.execute)
        thread = threading.Thread(target=sweep.run, args=([Job(make_cell("hang"))],))
        thread.start()
        until(lambda: children_of_workers(local))
        sweep._stop.set()
        thread.join(timeout=20)
        assert not thread.is_alive()
        until(lambda: not children_of_workers(local))
        assert store.read().records == {}


def test_workers_that_are_lost_make_a_row(make_cell):
    with (
        pytest.importorskip("dask.config").set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as own,
        cluster.connect(own.scheduler_address, COMMAND) as remote,
    ):
        assert remote.needs(make_cell()) == {}  # its worker declares nothing

        def kill() -> None:
            until(lambda: children_of_workers(own))
            os.kill(next(iter(own.workers.values())).pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        record = remote.execute(
            make_cell("hang", wall_limit=30.0), harness_fake.SLOT, print, threading.Event()
        )
        killer.join()
    assert (record.status, record.cause) == (Status.ERROR, Cause.NO_RECORD)
    assert "lost" in record.reason


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "carrier-pigeon://x:1"])
def test_an_unreachable_scheduler_is_a_mistake(address, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    matrix = tmp_path / "matrix.toml"
    matrix.write_text(MATRIX)
    code, out, err = call("sweep", str(matrix), "--cluster", address, store=tmp_path / "store")
    assert (code, out) == (2, "")
    assert "no Dask scheduler" in err
    assert not (tmp_path / "store").exists()


def test_a_scheduler_without_workers_is_a_mistake(monkeypatch):
    monkeypatch.setattr(cluster, "WORKER_SECONDS", 0.3)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as empty,
        pytest.raises(UserError, match="no worker"),
        cluster.connect(empty.scheduler_address),
    ):
        pass


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match="pdezoo\\[cluster\\]"), cluster.connect("tcp://127.0.0.1:1"):
        pass
