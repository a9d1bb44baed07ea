"""pytest-benchmark: one evaluation of the residual on a batch of 100 points, for every estimator.

pytest -m perf tests/perf --benchmark-group-by=param:dim
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

import pdezoo
import solvers

DIMS = (100, 1_000)
BATCH = 100


@pytest.mark.perf
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("name", [name for name in solvers.names() if not name.startswith("null-")])
def test_residual(benchmark, name, dim):
    pde, solver = pdezoo.make("allen-cahn/two-body", dim=dim), solvers.make(name)
    if reason := solver.unsupported(pde):
        pytest.skip(reason)
    problem = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), pde.lower())
    state = solver.init(problem, 0, 1)

    @jax.jit
    def residual(params, key):
        where, how = jax.random.split(key)
        points = problem.sample(where, BATCH)
        field = solvers.Field(problem, params, solver.network)
        return problem.residual(solver.estimator(field, problem.atoms, points, how), points)

    key = jax.random.key(0)
    values = residual(state.params, key).block_until_ready()
    assert values.shape[-1] == BATCH  # one row for each equation of a system
    assert bool(jnp.isfinite(values).all())
    benchmark.extra_info["compiled_bytes"] = (
        residual.lower(state.params, key).compile().memory_analysis().temp_size_in_bytes
    )
    benchmark(lambda: residual(state.params, key).block_until_ready())
