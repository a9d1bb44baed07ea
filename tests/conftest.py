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
settings.load_profile("repeatable")
