"""Trainings on eight (virtual) devices give the numbers of one, and each device holds its part of the weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdezoo
import solvers
from solvers import ShardedDomain, coordinate_mesh, on_device, pad_to_mesh, spread
from solvers.trainers import subspace

DIM, WIDTH, DEVICES, STEPS = 1024, 16, 8, 7
SMALL = {"width": WIDTH, "depth": 2, "samples": 4}
IN_SUBSPACES = {"rank": 4, "refresh": 3, "epsilon": 0.1}


def trained(name: str, devices: int) -> tuple[list[float], int]:
    """Losses step by step, over two refreshes; and how many rows of the first weight a device holds at the end."""
    solver = solvers.make(name, **SMALL, **(IN_SUBSPACES if name == "sdze" else {}))
    problem = on_device(pdezoo.make("poisson/two-body", dim=DIM))
    state = jax.jit(lambda: solver.init(problem, 0, STEPS + 1))()
    if devices > 1:
        problem, state = spread(problem, state, coordinate_mesh(jax.devices()[:devices]))
    loop, losses = jax.jit(solver.advance, static_argnames="batch"), []
    for _ in range(STEPS):
        state, seen = loop(problem, state, jnp.asarray(1), batch=8)
        losses.append(float(seen.mean))
    weights = [a for a in jax.tree.leaves(state.params["first"]) if a.shape == (DIM, WIDTH)]
    return losses, weights[0].addressable_shards[0].data.shape[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sdze", "stde"])
def test_eight_devices_train_as_one_does(name: str) -> None:
    """Sums over devices round differently: 10⁻⁵ of the loss, after some steps of feedback."""
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={DEVICES}",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run([sys.executable, __file__, name], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (one, rows), (many, part) = json.loads(done.stdout)
    assert (rows, part) == (DIM, DIM // DEVICES)
    np.testing.assert_allclose(many, one, rtol=1e-5)
    assert len(set(one)) == STEPS


class Row(tuple):
    """A mesh of which only the size matters."""

    size = property(len)


def small() -> Any:
    return on_device(pdezoo.make("poisson/two-body", dim=24))


def test_filled_up_coefficients_are_never_read() -> None:
    problem = small()
    wide = pad_to_mesh(problem, Row(range(8)))
    points = problem.sample(jax.random.key(0), 5)
    np.testing.assert_allclose(wide.source(points), problem.source(points), rtol=1e-5)
    assert all(a.shape == (24,) for a in jax.tree.leaves(wide.source))
    assert isinstance(wide.domain, ShardedDomain)
    assert (wide.domain.measure, wide.domain.scale) == (problem.domain.measure, problem.domain.scale)


def test_dimensions_that_cannot_be_split_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of that of devices, got 24 on 7; try 21 dimensions"):
        pad_to_mesh(small(), Row(range(7)))


def test_a_fold_that_cannot_be_split_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subspace, "_FORMED", 100)
    state = jax.eval_shape(lambda: solvers.make("sdze", **SMALL).init(small(), 0, 10))
    with pytest.raises(ValueError, match="24 rows is folded in"):
        solvers.divided(state, 24, Row(range(24)))


if __name__ == "__main__":
    subspace._FORMED = 100
    print(json.dumps([trained(sys.argv[1], 1), trained(sys.argv[1], DEVICES)]))
