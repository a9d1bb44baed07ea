"""Kernels with kinks: their derivatives against differences in 60 digits, on both sides of a kink, or a refusal."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st
from sympy import Abs, Heaviside, Max, Min, Piecewise, Rational, sign
from toys import points

from pdezoo import (
    PDE,
    Biharmonic,
    Coefficients,
    D,
    Exact,
    Gaussian,
    GradNormSq,
    Laplacian,
    X,
    initial,
    jet2,
    nested_autodiff,
    r2,
    t,
    u,
    window_sum,
    x,
)
from pdezoo.calculus.kinks import derivative
from pdezoo.lowering.codegen import compile_expressions
from pdezoo.lowering.fused import lower_fused
from pdezoo.lowering.lowered import lower
from pdezoo.lowering.points import in_float64

z = X[0]
KERNELS = {
    "|x|³": (Abs(z) ** 3, 3, 0),
    "|x|⁵": (Abs(z) ** 5, 5, 0),
    "|x|^(7/2)": (Abs(z) ** Rational(7, 2), 3, 0),
    "max(x, 0)³": (Max(z, 0) ** 3, 3, 0),
    "max(x, 0)^(9/2)": (Max(z, 0) ** Rational(9, 2), 4, 0),
    "min(x − 1/4, 0)⁵ eˣ": (Min(z - Rational(1, 4), 0) ** 5 * sp.exp(z), 5, Rational(1, 4)),
    "x³ or 0": (Piecewise((z**3, z > 0), (0, True)), 3, 0),
    "x² or 2x − 1": (Piecewise((z**2, z > 1), (2 * z - 1, True)), 2, 1),
    "x⁴ on both sides": (Piecewise((z**4, z > 0), (-(z**4), z < 0), (0, True)), 4, 0),
    "exp(−1/x) or 0": (Piecewise((sp.exp(-1 / z), z > 0), (0, True)), 4, 0),
    "√(x − 1)⁷ or 0": (Piecewise((sp.sqrt(z - 1) ** 7, z > 1), (0, True)), 3, 1),
    "|sin x|³": (Abs(sp.sin(z)) ** 3, 3, 0),
    "x|x| sin x": (z * Abs(z) * sp.sin(z), 3, 0),
    "|x² − 1|³": (Abs(z**2 - 1) ** 3, 3, 1),
    "exp(−|x|³)": (sp.exp(-(Abs(z) ** 3)), 3, 0),
}
"""z kernel, how many derivatives it has (the last may jump at the kink), and where the kink is."""


def numbers(expr: Any, at: np.ndarray) -> np.ndarray:
    """An expression in x_0, lowered, in double precision."""
    return np.asarray(
        in_float64(lambda a: jnp.broadcast_to(compile_expressions((z,), (expr,))(a)[0], a.shape), at)
    )


@pytest.mark.parametrize("name", KERNELS)
def test_derivatives_are_those_of_the_function(name: str) -> None:
    """Away from the kink all of them; at the kink from both sides, all but the last."""
    kernel, known, kink = KERNELS[name]
    function = sp.lambdify(z, kernel, "mpmath")
    away = np.asarray([-1.3, -0.4, 0.6, 1.7])
    for order in range(known + 1):
        found = derivative(kernel, *[z] * order)
        with mpmath.workdps(60):
            want = [float(mpmath.diff(function, mpmath.mpf(a), order)) for a in away]
            side = lambda s, n=order: float(
                mpmath.diff(function, mpmath.mpf(kink) + s * mpmath.mpf("1e-12"), n)
            )
            limits = [side(1), side(-1)]
        np.testing.assert_allclose(numbers(found, away), want, rtol=1e-11, atol=1e-11)
        if order < known:
            np.testing.assert_allclose(numbers(found, np.asarray([float(kink)] * 2)), limits, atol=1e-5)


def test_lowered_kernels_have_finite_gradients() -> None:
    """At the kinks, beside them, and far away, in single precision, also twice."""
    function = compile_expressions((z,), tuple(kernel for kernel, _, _ in KERNELS.values()))
    at = jnp.asarray([-40.0, -4.0, -0.5, 0.0, 0.25, 0.3, 0.7, 1.0, 1.5, 4.0])
    values, first, second = jax.jit(lambda a: jet2(lambda q: jnp.stack(function(q)), a))(at)
    assert all(bool(jnp.all(jnp.isfinite(v))) for v in (values, first, second))
    backwards = jax.jit(jax.jacrev(lambda a: jnp.sum(jnp.stack(function(a)), axis=1)))(at)
    np.testing.assert_allclose(backwards, first, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("|x|³", (Laplacian(u), GradNormSq(u))),
        ("max(x, 0)³", (Laplacian(u), GradNormSq(u))),
        ("x³ or 0", (Laplacian(u), GradNormSq(u))),
        ("|x|⁵", (Biharmonic(u),)),
    ],
)
def test_calculus_agrees_with_nested_autodiff(name: str, wanted: tuple) -> None:
    dim, at, kernel = 3, points(3), KERNELS[name][0]
    solution = (1 - r2) * window_sum(kernel * X[1], coefficients=Coefficients(1))
    source, exact = lower(tuple(a.calculus(solution) for a in wanted), dim), lower((solution,), dim)
    found = in_float64(jax.jit(lambda p: source(p)), at)
    oracle = lambda p: list(nested_autodiff(lambda q: exact(q)[0], p, wanted).values())
    np.testing.assert_allclose(found, in_float64(jax.jit(oracle), at), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("kernel", "order"),
    [
        (Abs(z), 2),
        (Abs(z) ** 3, 4),
        (Max(z, 0) ** 2, 3),
        (sign(z), 1),
        (Heaviside(z - 1), 1),
        (Piecewise((1, z > 0), (0, True)), 1),
        (Piecewise((z + 1, z > 0), (z, True)), 1),
        (Piecewise((z**2, sp.And(z > 0, z < 1)), (0, True)), 1),
        (Piecewise((1 / z, z > 0), (0, True)), 1),
        (Max(z, X[1]), 2),
        (Abs(z * X[1]), 2),
    ],
    ids=str,
)
def test_derivatives_that_do_not_exist_are_refused(kernel: Any, order: int) -> None:
    below = derivative(kernel, *[z] * (order - 1))
    with pytest.raises(ValueError, match=r"no derivative by X0 of .* jumps, or cannot be seen not to"):
        derivative(below, z)


coefficient = st.integers(-5, 5).map(lambda n: Rational(n, 3))


@given(
    first=st.lists(coefficient, min_size=1, max_size=4),
    jump=coefficient.filter(bool),
    order=st.integers(0, 4),
    kink=coefficient,
    rising=st.booleans(),
)
def test_two_polynomials_have_as_many_derivatives_as_agree(
    first: list, jump: Any, order: int, kink: Any, rising: bool
) -> None:
    """p and p + c (x − a)^m: m derivatives, the last of which jumps, and no more."""
    p = sum(c * z**k for k, c in enumerate(first))
    q = sp.expand(p + jump * (z - kink) ** order)
    pieces = ((q, z > kink), (p, True)) if rising else ((p, z <= kink), (q, True))
    f = Piecewise(*pieces)
    if not isinstance(f, Piecewise):
        return
    for _ in range(order):
        f, p, q = derivative(f, z), sp.diff(p, z), sp.diff(q, z)
        assert sp.expand(f.subs(z, kink + 1) - q.subs(z, kink + 1)) == 0
        assert sp.expand(f.subs(z, kink - 1) - p.subs(z, kink - 1)) == 0
    with pytest.raises(ValueError, match="jumps"):
        derivative(f, z)


def test_operators_with_kinks_differentiate() -> None:
    """(|u| u)_x = 2 |u| u_x; its second derivative is one of |u| u too, its third is a distribution."""
    first = D(Abs(u) * u, x)
    assert sp.simplify(first - 2 * Abs(u) * D(u, x)) == 0
    second = D(first, x)
    assert sp.simplify(second - 2 * Abs(u) * D(u, x, x) - 2 * sign(u) * D(u, x) ** 2) == 0
    with pytest.raises(ValueError, match="jumps"):
        D(second, x)


def test_a_source_with_pieces_in_a_window_sum_keeps_them() -> None:
    """Its derivative by the window sum is 0 where it has one, and yet it is not constant."""
    step = Piecewise((2, r2 > Rational(1, 2)), (1, True)) + window_sum(z)
    at = points(3, count=16)
    squares = np.sum(np.asarray(at.x, float) ** 2, axis=1)
    assert squares.min() < 0.5 < squares.max()
    want = np.where(squares > 0.5, 2, 1) + np.sum(np.asarray(at.x, float), axis=1)
    np.testing.assert_allclose(lower_fused((step,), 3)(at)[0], want, rtol=1e-6)


def test_conditions_of_several_shapes() -> None:
    """x of shape (B, n) and t of shape (B, 1), compared and joined."""
    f = Piecewise((z, sp.And(z > 0, t > Rational(1, 2))), (-z, sp.Or(z < -1, t < 0)), (Max(z, t, 0), True))
    a, s = np.asarray([[-2.0, 0.5], [-0.5, 2.0]]), np.asarray([[0.25], [1.0]])
    found = compile_expressions((z, t), (f,))(jnp.asarray(a), jnp.asarray(s))[0]
    np.testing.assert_allclose(found, [[2, 0.5], [1, 2]])


@pytest.mark.parametrize(
    ("expr", "words"),
    [
        (sp.besselj(0, z), "besselj has no JAX code here; .* Abs, Heaviside, Max"),
        (sp.gamma(z), "gamma has no JAX code"),
        (sp.Function("f")(z), "f has no JAX code"),
        (sp.I * z, "the imaginary unit has no JAX code"),
        (sp.floor(z).diff(z), "has no JAX code"),
        (sp.Integral(sp.exp(-(z**2)), (z, 0, 1)) * z, "Integral.* has no JAX code"),
        (sp.Symbol("k") * z, "symbol k is neither a coordinate nor a number"),
    ],
    ids=str,
)
def test_what_has_no_code_is_refused_in_words(expr: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        lower((window_sum(expr),), 4)


@pytest.mark.parametrize(
    "kernel", [sp.coth(z), sp.csch(z), sp.sech(z), sp.cot(z), sp.sinc(z), sp.atan2(z, 2)], ids=str
)
def test_rarer_functions_are_lowered_right(kernel: Any) -> None:
    at = np.asarray([-90.0, -1.0, 1e-3, 2.0, 91.0])
    want = [float(sp.N(kernel.subs(z, sp.Float(a, 40)), 30)) for a in at]
    np.testing.assert_allclose(numbers(kernel, at), want, rtol=1e-12)
    assert np.isfinite(compile_expressions((z,), (kernel,))(jnp.asarray(at, jnp.float32))[0]).all()


def test_problems_with_kinks_in_time() -> None:
    """max(t − 1/2, 0)² |x|³ has one time derivative, continuous, and a Laplacian."""
    late = Max(t - Rational(1, 2), 0) ** 2 * window_sum(Abs(z) ** 3)
    pde = PDE(Laplacian(u), Gaussian(3, horizon=1.0), initial(0), Exact(late))
    at = points(3, time=True)
    found = pde.lower().source(at)[0]
    x3, late = np.abs(np.asarray(at.x)), np.maximum(np.asarray(at.t) - 0.5, 0)
    np.testing.assert_allclose(found, late**2 * 6 * x3.sum(axis=1), rtol=1e-5, atol=1e-6)
