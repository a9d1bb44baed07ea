"""What all tests share: the CPU, repeatable examples, no files left behind but what was compiled."""

import gc
import os
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # before JAX is imported anywhere

import pytest
from hypothesis import HealthCheck, settings

import pdezoo
import solvers

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    max_examples=25,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(  # other examples every time: `make fuzz`
    "fuzz",
    deadline=None,
    max_examples=10_000,
    database=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("repeatable")

QUICK_COMPILATION = ["--xla_backend_optimization_level=0"]
"""Compiles in two thirds of the time. Slow tests and timings compile as users do; one of them repeats a default test so."""
if version("jaxlib").startswith("0.10."):
    # Kernels by LLVM directly, and in one module, take XLA 0.4 of the time that its MLIR emitters take. These flags belong to
    # a version, and one that XLA does not know ends the process. They go together: with kernels spread over several modules one
    # gradient in float64 was wrong by 1e-8.
    QUICK_COMPILATION += ["--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1"]


KEPT_COMPILATIONS = {
    "JAX_COMPILATION_CACHE_DIR": str(Path(__file__).parents[1] / "build" / "compilations"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
"""The settings by which JAX keeps what it compiled; those that are set already stay."""


def hide_installed_plugins() -> None:
    """Has the tests see the project's own problems and solvers, and the plug-ins that a test brings with it.

    What else is installed beside the project is checked by `pdezoo check`, and no test depends on it.
    """
    announced = pdezoo.registry._announced
    groups = [layer._registry.group for layer in (pdezoo, solvers)]
    installed = {(group, place) for group in groups for place in announced(group)}

    def brought(group: str) -> dict[tuple[str, str], list[str]]:
        return {place: names for place, names in announced(group).items() if (group, place) not in installed}

    pdezoo.registry._announced = brought


def pytest_configure(config: pytest.Config) -> None:
    """Hides installed plug-ins (`hide_installed_plugins`), and has default tests compiled quickly and kept (`compile_quickly`)."""
    hide_installed_plugins()
    compile_quickly(config)


def pytest_collection_finish() -> None:
    """Takes what is there before the first test out of garbage collection, and has it run less often: programs that JAX has
    traced are many small objects that live until the end.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def compile_quickly(config: pytest.Config) -> None:
    """Has the default tests compiled quickly: the same operations, without the optimisations of LLVM and XLA's emitters.

    What was compiled is kept in `build/`, for the other workers, for child processes and for the next time: most of the tests'
    time is compilation. JAX's cache is keyed by the program, the flags and its version. JAX reads all this when it starts, so
    that workers and child processes, which inherit the environment, follow.
    """
    if "not slow" not in config.option.markexpr:
        return
    flags = os.environ.get("XLA_FLAGS", "")
    if "optimization_level" not in flags:
        os.environ["XLA_FLAGS"] = " ".join([flags, *QUICK_COMPILATION]).strip()
    for name, value in KEPT_COMPILATIONS.items():
        os.environ.setdefault(name, value)
