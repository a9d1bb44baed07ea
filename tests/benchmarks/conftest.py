"""Cells and records for the harness's tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from harness_fake import LIBRARY

from benchmarks.planning.matrix import Request
from benchmarks.planning.resolve import resolve
from benchmarks.records import environment
from benchmarks.records.metrics import Errors, Metrics
from benchmarks.records.protocol import Protocol, protocol
from benchmarks.records.record import Cause, Cell, Environment, Record, SolverKey, Status
from benchmarks.records.store import Store

HERE = Environment(
    platform="cpu", device="toy", python="3.11", os="toy", cpu="toy", cpu_count=2, commit="a" * 40
)


@pytest.fixture(scope="session")
def make_cell() -> Callable[..., Cell]:
    """A resolved cell of the fake packages; limits by keyword."""

    def make(
        solver: str = "good",
        seed: int = 0,
        dim: int = 3,
        problem: str = "toy/plain",
        instance: int = 0,
        **limits: Any,
    ) -> Cell:
        used: Protocol = protocol("quick").but(steps=10, **limits)
        return resolve([Request(problem, dim, instance, solver, (), used, seed)], LIBRARY)[0].cell

    return make


@pytest.fixture(scope="session")
def make_record(make_cell: Callable[..., Cell]) -> Callable[..., Record]:
    """A record of a fake cell: finished with `error`, or failed where `error` is None."""

    def make(
        solver: str = "good",
        error: float | None = 0.05,
        seed: int = 0,
        dim: int = 3,
        given: dict[str, Any] | None = None,
        minutes: int = 0,
        affine: float = 0.1,
        environment: Environment = HERE,
        instance: int = 0,
        nulls: dict[str, float] | None = None,
        **fields: Any,
    ) -> Record:
        cell = make_cell("good", seed, dim, instance=instance)
        named = SolverKey(name=solver, given=given or {}, hyperparameters=given or {})
        errors = {"constant": 0.5, "affine": affine} | (nulls or {})
        return Record(
            **{
                "cell": cell.model_copy(update={"solver": named}),
                "status": Status.OK if error is not None else Status.OOM,
                "cause": None if error is not None else Cause.HOST_LIMIT,
                "reason": "" if error is not None else "too large",
                "metrics": _metrics(error, affine),
                "nulls": {name: Errors(relative_l2=e, relative_l1=e) for name, e in errors.items()},
                "environment": environment,
                "start": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes),
                "duration": 2.0,
            }
            | fields
        )

    return make


@pytest.fixture(scope="session")
def make_replicates(make_record: Callable[..., Record]) -> Callable[..., list[Record]]:
    """One record for each of the errors, of the seeds 0, 1, 2, … on one instance; None stands for a failure."""

    def make(solver: str, *errors: float | None, **fields: Any) -> list[Record]:
        return [make_record(solver, error, seed=seed, **fields) for seed, error in enumerate(errors)]

    return make


def _metrics(error: float | None, affine: float) -> Metrics:
    if error is None:
        return Metrics()
    return Metrics(
        relative_l2=error,
        relative_l1=error,
        skill=1 - error / 0.5,
        skill_affine=1 - error / affine,
        steps_per_second=100.0,
        peak_bytes=10**8,
    )


@pytest.fixture
def store(tmp_path: Any) -> Store:
    return Store.writing(tmp_path / "store")


@pytest.fixture
def full_store(store: Store, make_record: Callable[..., Record]) -> Store:
    """A store of three fake records."""
    for record in (make_record("a"), make_record("b", None), make_record("a", dim=50)):
        store.add(record)
    return store


TOYS = (
    "Toy A, 40960, 550.54, GPU-8f2a-1, Disabled",
    "Toy B, [N/A], 550.54, GPU-77c0-2, [N/A]",
)
H100 = "NVIDIA H100 80GB HBM3, 81559, 570.86, GPU-5a51-3, Disabled"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """A machine with the GPUs that nvidia-smi is to tell of, and JAX's plug-in; without nvidia-smi where there are none."""
    plugin = tmp_path / "py" / "jax_cuda12_plugin"
    plugin.mkdir(parents=True)
    (plugin / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(plugin.parent))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(plugin.parent), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def make(*told: str) -> None:
        smi = tmp_path / "bin" / "nvidia-smi"
        smi.parent.mkdir()
        lines = "\n".join(told)
        smi.write_text(f"#!/bin/sh\ncat <<'END'\n{lines}\nEND\n" if told else "#!/bin/sh\nexit 9\n")
        smi.chmod(0o755)
        monkeypatch.setenv("PATH", f"{smi.parent}:{os.environ['PATH']}")
        environment._gpus.cache_clear()

    yield make
    environment._gpus.cache_clear()


@pytest.fixture
def gpus(machine: Callable[..., None]) -> None:
    """A machine with two GPUs, as far as nvidia-smi and JAX's plug-in are asked. JAX itself computes on the CPU."""
    machine(*TOYS)


@pytest.fixture
def h100(machine: Callable[..., None]) -> None:
    """A machine with an H100."""
    machine(H100)
