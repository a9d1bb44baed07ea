"""Polynomial sine and cosine, against NumPy's in double precision and mpmath's."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from pdezoo import in_float64
from pdezoo.lowering import vectormath

PAIRS = [(vectormath.sin, np.sin), (vectormath.cos, np.cos)]
SLOPES = [(vectormath.sin, np.cos), (vectormath.cos, lambda x: -np.sin(x))]


def arguments(size: float) -> np.ndarray:
    """Random numbers up to `size`, and the multiples of π/4 where range reduction switches branches."""
    rng = np.random.default_rng(0)
    near = np.arange(-40, 41) * (np.pi / 4)
    near = np.concatenate([near, np.nextafter(near, 100), np.nextafter(near, -100)])
    return np.concatenate([rng.uniform(-size, size, 20_000), near[np.abs(near) <= size], [0.0]])


@pytest.mark.parametrize(("fast", "exact"), PAIRS)
@pytest.mark.parametrize("size", [1.0, 30.0, 8000.0])
def test_single_precision(fast: Callable, exact: Callable, size: float) -> None:
    x = arguments(size).astype(np.float32)
    found = np.asarray(jax.jit(fast)(jnp.asarray(x)))
    assert found.dtype == np.float32
    assert np.abs(found - exact(x.astype(np.float64))).max() < 2e-7


@pytest.mark.parametrize(("fast", "exact"), PAIRS)
@pytest.mark.parametrize("size", [1.0, 30.0, 1e5])
def test_double_precision(fast: Callable, exact: Callable, size: float) -> None:
    x = arguments(size)
    found = in_float64(jax.jit(fast), x)
    assert found.dtype == np.float64
    assert np.abs(found - exact(x)).max() < 4e-16


@pytest.mark.parametrize(("fast", "exact"), SLOPES)
@pytest.mark.parametrize(("double", "bound"), [(False, 4e-7), (True, 1e-15)])
def test_derivatives(fast: Callable, exact: Callable, double: bool, bound: float) -> None:
    """First and third derivatives, ± one another; the polynomials' own derivatives are as good as they are."""
    x = arguments(30.0)
    first = jax.vmap(jax.grad(fast))
    third = jax.vmap(jax.grad(jax.grad(jax.grad(fast))))
    call = in_float64 if double else (lambda f, a: np.asarray(f(jnp.asarray(a, jnp.float32))))
    x = x if double else x.astype(np.float32)
    want = exact(x.astype(np.float64))
    assert np.abs(call(jax.jit(first), x) - want).max() < bound
    assert np.abs(call(jax.jit(third), x) + want).max() < 20 * bound


def test_relative_accuracy_near_zeros() -> None:
    """Where sin is small because x is near a multiple of π, its relative error in double precision stays small."""
    x = np.array([np.pi, 2 * np.pi, 100 * np.pi, 12345 * np.pi])
    found = in_float64(vectormath.sin, x)
    exact = np.array([float(mpmath.sin(mpmath.mpf(v))) for v in x])
    assert np.abs(found / exact - 1).max() < 1e-6


def test_not_a_number_stays_so() -> None:
    bad = jnp.asarray([jnp.nan, jnp.inf, -jnp.inf])
    assert jnp.isnan(vectormath.sin(bad)).all()
    assert jnp.isnan(vectormath.cos(bad)).all()
