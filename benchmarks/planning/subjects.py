"""The public names of `pdezoo` and `solvers` that the harness builds on, in one place.

They are imported late: importing them costs seconds, may start JAX, and may fail, which is then a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.records.errors import UserError


def make(name: str, dim: int | None) -> Any:
    """The problem, at its own dimension if `dim` is None. Raises UserError if it cannot be had."""
    try:
        return subjects().make_pde(name, dim=dim)
    except ValueError as error:
        raise UserError(str(error)) from None


@dataclass(frozen=True)
class Device:
    """What the cells run on. `peak_bytes()` is None where the device does not account for its memory."""

    platform: str
    kind: str
    count: int = 1
    memory: int | None = None
    generator: str | None = None
    peak_bytes: Callable[[], int | None] = lambda: None


@dataclass(frozen=True)
class Subjects:
    """What the harness needs of the packages under test. Tests pass their own.

    `start(dtype)` sets the number format and wakes the device up.
    """

    start: Callable[[str], Device]

    make_pde: Callable[..., Any]
    make_solver: Callable[..., Any]
    test_set: Callable[..., Any]
    null_errors: Callable[[Any], dict[str, dict[str, float]]]
    bad_dimension: type[Exception]
    bad_hyperparameter: type[Exception]


def subjects() -> Subjects:
    """The installed packages. Raises ImportError if one of them cannot be imported."""
    import pdezoo
    import solvers

    return Subjects(
        start=start_jax,
        make_pde=pdezoo.make,
        make_solver=solvers.make,
        test_set=pdezoo.TestSet,
        null_errors=pdezoo.null_errors,
        bad_dimension=pdezoo.BadDimension,
        bad_hyperparameter=solvers.BadHyperparameter,
    )


def start_jax(dtype: str) -> Device:
    """JAX's default device, once JAX computes in `dtype`."""
    import jax

    jax.config.update("jax_enable_x64", dtype == "float64")
    device = jax.local_devices()[0]
    stats = device.memory_stats() or {}
    return Device(
        platform=device.platform,
        kind=device.device_kind,
        count=jax.local_device_count(),
        memory=stats.get("bytes_limit"),
        generator=str(jax.config.jax_default_prng_impl),  # type: ignore[attr-defined]
        peak_bytes=lambda: (device.memory_stats() or {}).get("peak_bytes_in_use"),
    )


def catalogues() -> tuple[dict[str, Any], dict[str, Any]]:
    """What is registered: problems and solvers, by name. Imports neither JAX nor SymPy."""
    import pdezoo
    import solvers

    return pdezoo.catalogue(), solvers.catalogue()


def names() -> tuple[list[str], list[str]]:
    """Full names of the problems (`family/variant`) and of the solvers that can be made."""
    import pdezoo
    import solvers

    return pdezoo.names(), solvers.names()


def families() -> dict[str, str]:
    """The problem that the bare name of each family stands for, its first variant: "kdv" → "kdv/one-soliton"."""
    import pdezoo

    entries = pdezoo.catalogue().values()
    return {entry.name: entry.full_names()[0] for entry in entries if entry.error is None}
