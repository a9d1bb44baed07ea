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
from solvers import MLP, CollapsedJets, SymmetricIncrements, Taylor, Value

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


def test_products_of_all_streams() -> None:
    """Against nested jvp of the product of two curves, weighted sums of it, and values at shifted points."""
    numbers, weights = (0, 1, 2, 3), RNG.standard_normal((4, 2))
    one, other = RNG.standard_normal((2, 4, 2, 3))  # each: a value and three coefficients

    def taylor(a: Any, b: Any) -> Any:
        return Taylor(tuple(a), numbers).times(Taylor(tuple(b), numbers)).coefficients

    curve = lambda s: sum(c * s**n for n, c in enumerate(one)) * sum(c * s**n for n, c in enumerate(other))
    for n, (found, want) in enumerate(
        zip(in_float64(jax.jit(taylor), one, other), derivatives(curve, 3), strict=True)
    ):
        np.testing.assert_allclose(found * factorial(n), want, rtol=1e-12, atol=1e-12)

    (z, *_), (w, *_) = one, other
    firsts, seconds = RNG.standard_normal((2, 4, 2, 3)), RNG.standard_normal((2, 4, 2, 3))

    def jets(v: Any, first: Any, second: Any) -> CollapsedJets:
        return CollapsedJets(v, first, jnp.sum(weights[..., None] * second, 0), weights)

    both = lambda: jets(z, firsts[0], seconds[0]).times(jets(w, firsts[1], seconds[1]))
    found = in_float64(lambda _: both(), 0.0)
    each = [
        derivatives(lambda s, a=a, b=b, c=c, e=e: (z + s * a + s**2 / 2 * c) * (w + s * b + s**2 / 2 * e), 2)
        for a, b, c, e in zip(*firsts, *seconds, strict=True)
    ]
    np.testing.assert_allclose(found.value, z * w, rtol=1e-12)
    np.testing.assert_allclose(found.first, [e[1] for e in each], rtol=1e-11, atol=1e-12)
    summed = np.sum(weights[..., None] * np.stack([e[2] for e in each]), axis=0)
    np.testing.assert_allclose(found.second, summed, rtol=1e-10, atol=1e-11)

    (even, odd), (more, less) = firsts[0, :2, None], firsts[1, :2, None]
    moved = in_float64(
        lambda _: SymmetricIncrements(z, even, odd).times(SymmetricIncrements(w, more, less)), 0.0
    )
    for sign in (1, -1):
        want = (z + even + sign * odd) * (w + more + sign * less) - z * w
        np.testing.assert_allclose(moved.even + sign * moved.odd, want, rtol=1e-10, atol=1e-12)


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
