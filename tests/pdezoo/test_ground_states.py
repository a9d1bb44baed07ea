"""The logarithm's equation against Schrödinger's, by nested autodiff of the wave function."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import few

import pdezoo
from pdezoo import Laplacian, in_float64, nested_autodiff, u
from pdezoo.lowering.lowered import lower


@pytest.mark.parametrize("variant", few(["sin-three-body", "two-body-wide"]))
def test_the_wave_function_solves_schroedinger_s_equation(variant: str) -> None:
    """−Δψ + Vψ = dψ for ψ = exp(−|x|²/2 − u*) and V = |x|² − g, d = 4; V is not |x|²."""
    pde = pdezoo.make(f"schroedinger/{variant}", dim=4)
    state, source = lower((pde.exact,), 4), lower((pde.exact_source,), 4)

    def sides(points: Any) -> Any:
        square = lambda p: jnp.sum(p.x**2, axis=1)
        psi = lambda p: jnp.exp(-square(p) / 2 - state(p)[0])
        potential = square(points) - source(points)[0]
        curved = nested_autodiff(psi, points, (Laplacian(u),))[Laplacian(u)]
        return -curved + potential * psi(points), 4 * psi(points), source(points)[0]

    left, right, shift = in_float64(jax.jit(sides), pde.domain.sample(jax.random.key(0), 20))
    np.testing.assert_allclose(left, right, rtol=1e-10)
    assert np.abs(shift).max() > 1
