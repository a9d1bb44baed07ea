"""Lowered functions against the same functions written out, and their fast restrictions against autodiff."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from toys import NAMED, SQUARE, Function, S, Sum, few, points

from pdezoo import Coefficients, Lowered, Points, X, d, in_float64, jet2, r2, t, window_sum
from pdezoo.calculus.collective import drift
from pdezoo.lowering.fused import lower_fused
from pdezoo.lowering.lowered import lower


def lowered_of(function: Function, dim: int) -> Lowered:
    return lower((sp.sympify(function.collective()),), dim)


def reference(function: Function, at: Points) -> np.ndarray:
    """NumPy's double-precision value of the explicit expression at float32 points."""
    x = np.asarray(at.x, np.float64)
    symbols = sp.symbols(f"x0:{x.shape[1]}", real=True)
    explicit = sp.lambdify((*symbols, t), function.written_out(symbols), modules="numpy")
    time = np.zeros(len(x)) if at.t is None else np.asarray(at.t, np.float64)
    return np.broadcast_to(explicit(*x.T, time), len(x))


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("dim", [3, 4, 11])
def test_values(name: str, dim: int) -> None:
    at = points(dim, count=6, time=True)
    want = reference(NAMED[name], at)
    function = jax.jit(lambda p: lowered_of(NAMED[name], dim)(p)[0])
    single = np.asarray(function(at))
    double = in_float64(function, at)
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(double, want, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(single, want, rtol=2e-5, atol=2e-5 * np.abs(want).max())


def test_kernels_that_contain_the_dimension() -> None:
    """The dimension is bound in the kernels too: x·∇ of a sum with weights 1/√d, in a source and elsewhere."""
    at = points(4)
    total = drift(window_sum(sp.sin(X[0])), r2 / sp.sqrt(d)) * (1 + window_sum(X[0] / d))
    x = np.asarray(at.x, np.float64)
    want = np.sum(x**2 * np.cos(x), axis=1) / 2 * (1 + np.sum(x, axis=1) / 4)
    for function in (lower((total,), 4), lower_fused((total,), 4)):
        np.testing.assert_allclose(in_float64(function, at)[0], want, rtol=1e-12)


def test_windows_wider_than_the_space_vanish() -> None:
    """The three-body sum has no window in two coordinates; what is left is the rest of the function."""
    function = Function(S[0] + 2 * S[1], (SQUARE, Sum(X[0] * X[1] * X[2], 3, seed=1)))
    at = points(2)
    want = np.sum(np.asarray(at.x, np.float64) ** 2, axis=1)
    np.testing.assert_allclose(in_float64(lowered_of(function, 2), at)[0], want, rtol=1e-14)


def test_coefficients_are_arguments_not_constants() -> None:
    """Tracing a function of the lowered object must not copy d coefficients into the program."""
    at = points(4000, count=2)
    made = lowered_of(NAMED["two-body"], 4000)
    program = jax.jit(lambda f, p: f(p)[0]).lower(made, at).as_text()
    assert len(program) < 50_000
    assert len(jax.tree.leaves(made)) == 1


def test_points_at_once_or_one_by_one() -> None:
    at = points(9, count=5)
    lowered = lowered_of(NAMED["two-body"], 9)
    made = jax.jit(lambda p: lowered(p))
    alone = [in_float64(made, Points(at.x[k : k + 1]))[0][0] for k in range(5)]
    np.testing.assert_allclose(in_float64(made, at)[0], alone, rtol=1e-13)


LINES = {
    "one coordinate": Function(sp.exp(-S[0]) * S[1], (SQUARE, Sum(sp.sin(X[0]) * X[0], 1, seed=8))),
    "two-body": NAMED["two-body"],
    "three-body": NAMED["three-body"],
    "evolving": NAMED["evolving"],
}


def jets(function: Any, at: Points, vectors: np.ndarray) -> np.ndarray:
    """Computes value, slope and curvature along each vector by nested jvp of the whole function, shape (3, K, B)."""

    def along(v: Any) -> Any:
        return jnp.stack(
            jet2(lambda s: function(at._replace(x=at.x + s[:, None] * v)), jnp.zeros(at.x.shape[0]))
        )

    return np.moveaxis(in_float64(jax.jit(jax.vmap(along)), vectors), 0, 1)


@pytest.mark.parametrize("name", LINES)
def test_along_axes_is_the_function_on_lines(name: str) -> None:
    """The axes include the first and the last coordinate, which are in fewer windows than the others."""
    dim, axes = 7, np.array([0, 1, 3, 5, 6])
    at = points(dim, time=True)
    made = lowered_of(LINES[name], dim)

    def fast(p: Points) -> Any:
        line = made.along_axes(p, jnp.asarray(axes))
        return jnp.stack(jet2(lambda s: line(s)[0], jnp.zeros((len(axes), p.x.shape[0]), p.x.dtype)))

    wide = jax.tree.map(lambda a: np.asarray(a, np.float64), at)
    want = jets(lambda p: made(p)[0], wide, np.eye(dim)[axes])
    np.testing.assert_allclose(in_float64(jax.jit(fast), at), want, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_along_directions_whatever_the_blocks(size: int) -> None:
    dim, count = 7, 4
    at = points(dim, time=True)
    made = lowered_of(LINES["one coordinate"], dim)
    vectors = np.random.default_rng(0).standard_normal((count, dim))

    def fast(p: Points, v: Any) -> Any:
        block = lambda start, n: jax.lax.dynamic_slice_in_dim(v, start, n, axis=1)
        line = made.along_directions(p, block, size)
        return jnp.stack(jet2(lambda s: line(s)[0], jnp.zeros((count, p.x.shape[0]), p.x.dtype)))

    wide = jax.tree.map(lambda a: np.asarray(a, np.float64), at)
    want = jets(lambda p: made(p)[0], wide, vectors)
    np.testing.assert_allclose(in_float64(jax.jit(fast), at, vectors), want, rtol=1e-11, atol=1e-11)


def test_along_directions_refuses_wide_windows() -> None:
    made = lowered_of(NAMED["two-body"], 5)
    with pytest.raises(ValueError, match="wider than one coordinate"):
        made.along_directions(points(5), lambda start, n: jnp.ones((1, n)), 5)


@pytest.mark.parametrize("name", few(LINES, keep=2))
def test_slopes_give_the_gradient(name: str) -> None:
    """∇f = Σ_k ∂f/∂s_k ∇s_k; for |x|² the gradient is known, 2x, and flagged."""
    at = points(6, time=True)
    made = lowered_of(LINES[name], 6)

    def fast(p: Points) -> Any:
        return sum(slope[0][:, None] * gradient() for _, slope, gradient in made.slopes(p))

    def flagged(p: Points) -> Any:
        return [gradient() for radial, _, gradient in made.slopes(p) if radial]

    def slow(p: Points) -> Any:
        return jax.grad(lambda x: jnp.sum(made(p._replace(x=x))[0]))(p.x)

    np.testing.assert_allclose(
        in_float64(jax.jit(fast), at), in_float64(jax.jit(slow), at), rtol=1e-11, atol=1e-12
    )
    (radial,) = in_float64(flagged, at)
    np.testing.assert_allclose(radial, 2 * np.asarray(at.x, np.float64), rtol=1e-13)


def test_jet2() -> None:
    s = jnp.linspace(-1, 1, 5)
    value, slope, curvature = jet2(jnp.exp, s)
    for found in (value, slope, curvature):
        np.testing.assert_allclose(found, np.exp(np.asarray(s)), rtol=1e-6)


def test_a_constant_kernel_has_derivatives() -> None:
    """A sum of weights, written as a window sum of the integer 1: its slope along any direction is zero."""
    weights = Coefficients(4)
    function = lower((window_sum(1, coefficients=weights) + r2,), 4)
    at, v = points(4, 3), jnp.arange(8.0).reshape(2, 4)
    line = function.along_directions(at, lambda start, n: jax.lax.dynamic_slice_in_dim(v, start, n, 1), 3)
    value, slope, curvature = jet2(lambda s: line(s)[0], jnp.zeros((2, 3)))
    total = np.sum(weights.values(4)) + jnp.sum(at.x**2, 1)
    np.testing.assert_allclose(value, jnp.broadcast_to(total, (2, 3)), rtol=1e-6)
    np.testing.assert_allclose(slope, 2 * v @ at.x.T, rtol=1e-5)
    np.testing.assert_allclose(curvature, jnp.broadcast_to(2 * jnp.sum(v**2, 1)[:, None], (2, 3)), rtol=1e-6)


def test_gradient_flows_through_lowered_functions() -> None:
    """Training differentiates through the lowered ansatz: no stray stop of the gradient at large coordinates."""
    made = lowered_of(NAMED["two-body"], 5)
    at = points(5)
    value = jax.jit(lambda x: made(Points(x))[0])
    gradient = in_float64(jax.jit(jax.grad(lambda x: jnp.sum(value(x)))), at.x)
    x, step = np.asarray(at.x, np.float64), 1e-6
    ends = [(in_float64(value, x + e) - in_float64(value, x - e)) / (2 * step) for e in step * np.eye(5)]
    np.testing.assert_allclose(gradient, np.stack(ends, axis=1), rtol=1e-6, atol=1e-7)
