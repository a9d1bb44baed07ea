"""Taylor-mode rules against nested jvp in double precision."""

from __future__ import annotations

from collections.abc import Callable
from math import factorial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pdezoo import in_float64
from solvers import MLP, CollapsedJets, Taylor, Value

RNG = np.random.default_rng(0)


def derivatives(curve: Callable[[Any], Any], order: int) -> list[np.ndarray]:
    """The value at s = 0 and derivatives up to `order`, by nested jvp."""
    functions = [curve]
    for _ in range(order):
        inner = functions[-1]
        functions.append(lambda s, f=inner: jax.jvp(f, (s,), (jnp.ones_like(s),))[1])
    return in_float64(jax.jit(lambda s: [f(s) for f in functions]), 0.0)


@pytest.mark.parametrize("order", range(1, 7))
def test_tanh_of_any_order(order: int) -> None:
    coefficients = RNG.standard_normal((order + 1, 2, 3))
    numbers = tuple(range(order + 1))
    curve = lambda s: jnp.tanh(sum(c * s**n for n, c in enumerate(coefficients)))
    found = in_float64(jax.jit(lambda c: Taylor(c, numbers).tanh().coefficients), coefficients)
    for n, (one, other) in enumerate(zip(found, derivatives(curve, order), strict=True)):
        np.testing.assert_allclose(one * factorial(n), other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kept", [(0, 2, 4, 6), (0, 3, 6)])
def test_left_out_powers_change_nothing(kept: tuple[int, ...]) -> None:
    """A curve in powers of s² (or s³) alone stays one under tanh."""
    coefficients = RNG.standard_normal((len(kept), 2, 3))
    full = np.zeros((7, 2, 3))
    full[list(kept)] = coefficients
    thin = in_float64(jax.jit(lambda c: Taylor(c, kept).tanh().coefficients), coefficients)
    whole = in_float64(jax.jit(lambda c: Taylor(c, tuple(range(7))).tanh().coefficients), full)
    np.testing.assert_allclose(np.stack(thin), np.stack(whole)[list(kept)], rtol=1e-12)


def test_collapsed_tanh() -> None:
    """Second derivatives along K curves z + s z_k + s² w_k/2, summed; only Σ w_k is known to the stream."""
    value, first, second = (
        RNG.standard_normal((2, 3)),
        RNG.standard_normal((4, 2, 3)),
        RNG.standard_normal((4, 2, 3)),
    )
    found = in_float64(lambda v, f, w: CollapsedJets(v, f, jnp.sum(w, 0)).tanh(), value, first, second)
    each = [
        derivatives(lambda s, a=a, w=w: jnp.tanh(value + s * a + s**2 / 2 * w), 2)
        for a, w in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(found.value, each[0][0], rtol=1e-12)
    np.testing.assert_allclose(found.first, [e[1] for e in each], rtol=1e-11)
    np.testing.assert_allclose(found.second, sum(e[2] for e in each), rtol=1e-10, atol=1e-12)


def test_streams_share_one_definition_of_the_layers() -> None:
    """Value, collapsed and Taylor streams through a whole network agree where they overlap."""
    network = MLP(width=5, depth=4)
    params = jax.tree.map(lambda a: RNG.standard_normal(a.shape), network.init(jax.random.key(0), 3, False))
    z, direction = RNG.standard_normal((2, 5)), RNG.standard_normal((2, 5))

    def heads(p: Any, z: Any, v: Any) -> tuple[Any, ...]:
        zero = jnp.zeros_like(z)
        return (
            network.head(p, Value(z)).value,
            network.head(p, CollapsedJets(z, v[None], zero)),
            network.head(p, Taylor(jnp.stack([z, v, zero]), (0, 1, 2))).coefficients,
        )

    value, pair, taylor = in_float64(jax.jit(heads), params, z, direction)
    np.testing.assert_allclose(pair.value, value, rtol=1e-13)
    np.testing.assert_allclose(taylor[0], value, rtol=1e-13)
    np.testing.assert_allclose(taylor[1], pair.first[0], rtol=1e-11)
    np.testing.assert_allclose(2 * taylor[2], pair.second, rtol=1e-10)
