"""What all tests share: the CPU, repeatable examples, no files left behind."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # before JAX is imported anywhere

import pytest
from hypothesis import HealthCheck, settings

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

QUICK_COMPILATION = "--xla_backend_optimization_level=0"
"""Most of the default tests' time is LLVM's. Slow tests, timings and one default test compile as users do."""


def pytest_configure(config: pytest.Config) -> None:
    """Has the default tests compiled without LLVM's optimisations: the same operations, a third less time in all.

    JAX reads the flags when it starts, so that workers and child processes, which inherit the environment, follow.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "not slow" in config.option.markexpr and "optimization_level" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {QUICK_COMPILATION}".strip()
