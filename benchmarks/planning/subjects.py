"""Collects the public names of `pdezoo` and `solvers` that the harness builds on.

They are imported late: importing them takes seconds, may start JAX, and may fail, which then becomes the status of a cell.
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

_REUSED = "/jax/compilation_cache/cache_hits"


def make(name: str, dim: int | None) -> Any:
    """Makes the problem `name`, at its only dimension if `dim` is None. Raises UserError if it cannot be made."""
    import_jax()
    try:
        return subjects().make_pde(name, dim=dim)
    except ValueError as error:
        raise UserError(str(error)) from None


def reference_value(name: str, dim: int) -> float:
    """Returns the exact solution of the problem `name` at its probe, or at the only point at which it is known.

    Raises UserError if the problem cannot be made, or has no such point.
    """
    test = subjects().test_set(make(name, dim), size=2)
    if test.pde.probe is not None:
        return test.probed
    if test.size > 1:
        raise UserError(
            f"{name} has no point at which its value is asked for; such as semilinear-heat/soft have one"
        )
    return float(test.exact[0])


@dataclass(frozen=True)
class Device:
    """What cells run on: JAX's platform, the device's name (`kind`), how many there are, and `memory`, the bytes that the allocator
    of one may use, None where it has no such bound.

    `generator` is the algorithm of JAX's random keys. `peak_bytes()` gives the peak bytes in use so far, or None where the
    device keeps no account of its memory. `reused()` is the number of programs so far that JAX took from its persistent
    compilation cache instead of compiling them.
    """

    platform: str
    kind: str
    count: int = 1
    memory: int | None = None
    generator: str | None = None
    peak_bytes: Callable[[], int | None] = lambda: None
    reused: Callable[[], int] = lambda: 0


@dataclass(frozen=True)
class Subjects:
    """What the harness needs of the packages under test; tests of the harness pass their own.

    `start(dtype)` sets the number format, starts the device and returns it.
    """

    start: Callable[[str], Device]

    make_pde: Callable[..., Any]
    make_solver: Callable[..., Any]
    test_set: Callable[..., Any]
    null_errors: Callable[[Any], dict[str, dict[str, float]]]
    bad_dimension: type[Exception]
    bad_hyperparameter: type[Exception]


def subjects() -> Subjects:
    """Returns what the installed packages offer. Raises ImportError if one of them cannot be imported."""
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
    """Raised where JAX cannot start a device to compute on."""


def import_jax() -> Any:
    """Imports and returns `jax`. Raises UserError where that fails, for instance because of a malformed JAX_ENABLE_X64."""
    try:
        import jax
    except Exception as error:
        raise UserError(f"JAX cannot be imported here: {clip(in_words(error), 300)}") from None
    return jax


def keep_off_accelerators() -> None:
    """Makes JAX compute on the CPU in this process, which plans: if it held the accelerator's memory, cells would lack it."""
    import_jax().config.update("jax_platforms", "cpu")


def require_device() -> None:
    """Starts JAX for a command that computes in this process. Raises UserError where it does not start."""
    try:
        local_devices(import_jax())
    except NoDevice as error:
        raise UserError(str(error)) from None


def local_devices(jax: Any) -> list[Any]:
    """Returns JAX's devices on this host, the default one first. Raises NoDevice, with the reason, where JAX cannot start."""
    try:
        return jax.local_devices()
    except Exception as error:
        asked = os.environ.get("JAX_PLATFORMS")
        wanted = f"JAX_PLATFORMS asks for {clip(asked, 60)}, which JAX cannot start here" if asked else ""
        hint = "leave JAX_PLATFORMS out, or install JAX for it, such as pip install 'pdezoo[cuda12]'"
        said = clip(in_words(error), 1_000)
        raise NoDevice(f"{wanted}: {said}; {hint}" if asked else f"JAX cannot start here: {said}") from error


def start_jax(dtype: str) -> Device:
    """Makes JAX compute in `dtype` ("float32" or "float64") and returns its default device. Raises NoDevice where JAX cannot
    start.

    Left to itself, JAX multiplies matrices of float32 on an accelerator in a shorter format (TensorFloat-32 has 10 bits where
    float32 has 23): errors at high d and differences of losses lie below its resolution.
    """
    import jax

    jax.config.update("jax_enable_x64", dtype == "float64")
    device = local_devices(jax)[0]
    if device.platform != "cpu":  # CPUs know no shorter format
        jax.config.update("jax_default_matmul_precision", "highest")
    reused: list[str] = []
    jax.monitoring.register_event_listener(
        lambda event, **_: reused.append(event) if event == _REUSED else None
    )
    stats = device.memory_stats() or {}
    return Device(
        platform=device.platform,
        kind=device.device_kind,
        count=jax.local_device_count(),
        memory=stats.get("bytes_limit"),
        generator=str(jax.config.jax_default_prng_impl),  # type: ignore[attr-defined]
        peak_bytes=lambda: (device.memory_stats() or {}).get("peak_bytes_in_use"),
        reused=lambda: len(reused),
    )


def catalogues() -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the catalogues of registered problems and solvers, by name, without importing JAX or SymPy."""
    import pdezoo
    import solvers

    return pdezoo.catalogue(), solvers.catalogue()


def names() -> tuple[list[str], list[str]]:
    """Returns the full names of the problems (`family/variant`) and of the solvers that can be made."""
    import pdezoo
    import solvers

    return pdezoo.names(), solvers.names()


def broken() -> tuple[list[str], list[str]]:
    """Returns the names of the problems and of the solvers that are registered but broken; their cells are rows with the reason."""
    pdes, solvers = ([e.name for e in entries.values() if e.error] for entries in catalogues())
    return sorted(filter(is_name, pdes)), sorted(filter(is_name, solvers))


def families() -> dict[str, str]:
    """Maps the bare name of each family to the problem that it stands for, its first variant: "kdv" → "kdv/one-soliton"."""
    import pdezoo

    entries = pdezoo.catalogue().values()
    return {entry.name: entry.full_names()[0] for entry in entries if entry.error is None}
