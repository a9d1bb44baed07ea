"""The public names of `pdezoo` and `solvers` that the harness builds on, in one place.

They are imported late: importing them costs seconds, may start JAX, and may fail, which is then a row.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.records.errors import UserError
from benchmarks.records.fields import is_name
from benchmarks.records.outcome import in_words
from benchmarks.records.text import clip


def make(name: str, dim: int | None) -> Any:
    """The problem, at its own dimension if `dim` is None. Raises UserError if it cannot be had."""
    import_jax()
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


class NoDevice(RuntimeError):
    """JAX has no device to compute on here."""


def import_jax() -> Any:
    """The module `jax`. Raises UserError where the environment makes it refuse, as a malformed JAX_ENABLE_X64 does."""
    try:
        import jax
    except Exception as error:
        raise UserError(f"JAX cannot be imported here: {clip(in_words(error), 300)}") from None
    return jax


def keep_off_accelerators() -> None:
    """Plan on the CPU: a planning process that held the accelerator's memory would starve the cells."""
    import_jax().config.update("jax_platforms", "cpu")


def require_device() -> None:
    """Start JAX for a command that computes in this process. Raises UserError where it does not start."""
    try:
        local_devices(import_jax())
    except NoDevice as error:
        raise UserError(str(error)) from None


def local_devices(jax: Any) -> list[Any]:
    """JAX's devices here, the default one first. Raises NoDevice, with the reason, where JAX cannot start."""
    try:
        return jax.local_devices()
    except Exception as error:
        asked = os.environ.get("JAX_PLATFORMS")
        wanted = f"JAX_PLATFORMS asks for {clip(asked, 60)}, which JAX cannot start here" if asked else ""
        hint = "leave JAX_PLATFORMS out, or install JAX for it, such as pip install 'pdezoo[cuda12]'"
        said = clip(in_words(error), 1_000)
        raise NoDevice(f"{wanted}: {said}; {hint}" if asked else f"JAX cannot start here: {said}") from error


def start_jax(dtype: str) -> Device:
    """JAX's default device, once JAX computes in `dtype`. Raises NoDevice where JAX cannot start."""
    import jax

    jax.config.update("jax_enable_x64", dtype == "float64")
    device = local_devices(jax)[0]
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


def broken() -> tuple[list[str], list[str]]:
    """Names of the problems and of the solvers that are there but broken: a cell of theirs is a row with the reason."""
    pdes, solvers = ([e.name for e in entries.values() if e.error] for entries in catalogues())
    return sorted(filter(is_name, pdes)), sorted(filter(is_name, solvers))


def families() -> dict[str, str]:
    """The problem that the bare name of each family stands for, its first variant: "kdv" → "kdv/one-soliton"."""
    import pdezoo

    entries = pdezoo.catalogue().values()
    return {entry.name: entry.full_names()[0] for entry in entries if entry.error is None}
