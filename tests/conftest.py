"""What all tests share: the CPU, repeatable examples, no files left behind."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # before JAX is imported anywhere

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
