"""The calculus of window sums, against derivatives of the same function written out in x_0 … x_{d−1}.

Two oracles that know no chain rule of window sums: SymPy's differentiation, and central differences in 160-digit
arithmetic, whose truncation error is far below what is compared.
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import NAMED, SQUARE, Function, S, Sum

from pdezoo import Coefficients, X, r2, t, window_sum
from pdezoo.calculus import collective as calculus
from pdezoo.calculus.collective import window_sums

DIGITS = 40
TIME = sp.Rational(3, 7)
FIRST = [-0.3625903007834078, -0.41597473919260336, 0.9548649367927948, -0.9255024216444561]  # seed 0


def rational_point(dim: int, seed: int = 0) -> tuple[sp.Rational, ...]:
    rng = np.random.default_rng([dim, seed])
    return tuple(sp.Rational(int(n), 101) for n in rng.integers(-90, 91, dim))


def evaluate(expr: Any, x: tuple[sp.Rational, ...]) -> sp.Float:
    """A collective expression at a point, window by window, with no help from the library's lowering."""
    values = {s: value_of(s, x) for s in window_sums(expr)}
    bound = expr.xreplace(values).xreplace({calculus.d: sp.Integer(len(x)), t: TIME})
    return sp.N(bound, DIGITS)


def value_of(s: Any, x: tuple[sp.Rational, ...]) -> Any:
    total = sp.Integer(0)
    for p in range(len(x) - s.width + 1):
        weight = sp.Integer(1)
        for coefficients, offset in s.factors:
            weight *= sp.Rational(*float(coefficients.values(p + offset + 1)[-1]).as_integer_ratio())
        window = dict(zip(X, x[p : p + s.width], strict=False)) | {t: TIME}
        total += weight * sp.N(s.kernel.xreplace(window), DIGITS + 10)
    return total


def assert_equal(found: Any, expected: Any, size: Any = 1) -> None:
    assert abs(found - expected) <= sp.Float(10) ** (8 - DIGITS) * (abs(expected) + abs(size))


OPERATORS = {
    "euler": (calculus.euler, lambda u, x: sum(c * sp.diff(u, c) for c in x)),
    "grad_dot": (lambda u: calculus.grad_dot(u, u), lambda u, x: sum(sp.diff(u, c) ** 2 for c in x)),
    "laplacian": (calculus.laplacian, lambda u, x: sum(sp.diff(u, c, 2) for c in x)),
    "time_derivative": (calculus.time_derivative, lambda u, x: sp.diff(u, t)),
}


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("dim", [3, 5])
def test_first_and_second_order_against_sympy(name: str, operator: str, dim: int) -> None:
    fast, definition = OPERATORS[operator]
    x = sp.symbols(f"x0:{dim}", real=True)
    at = rational_point(dim)
    explicit = definition(NAMED[name].written_out(x), x)
    expected = sp.N(explicit.xreplace(dict(zip(x, at, strict=True)) | {t: TIME}), DIGITS)
    assert_equal(evaluate(fast(NAMED[name].collective()), at), expected)


@pytest.mark.parametrize("name", NAMED)
def test_gradients_of_different_functions(name: str) -> None:
    x, at = sp.symbols("x0:4", real=True), rational_point(4)
    u, v = NAMED[name], NAMED["two-body"]
    explicit = sum(sp.diff(u.written_out(x), c) * sp.diff(v.written_out(x), c) for c in x)
    expected = sp.N(explicit.xreplace(dict(zip(x, at, strict=True)) | {t: TIME}), DIGITS)
    assert_equal(evaluate(calculus.grad_dot(u.collective(), v.collective()), at), expected)


POLYNOMIALS = {
    "product": Function((1 - S[0]) ** 2 * S[1], (SQUARE, Sum(X[0] ** 3 * X[1] ** 2 + X[1] ** 4, 2, seed=6))),
    "power": Function(S[0] ** 3 + t * S[0] * S[1], (Sum(X[0] ** 2 * X[1] * X[2], 3, seed=7), SQUARE)),
    "plain": Function(S[0] ** 2 * S[1], (Sum(X[0] * X[1] + X[0] ** 3, 2), Sum(X[0] ** 2 * X[2], 3))),
}


@pytest.mark.parametrize("dim", [3, 5, 8])
@pytest.mark.parametrize("name", POLYNOMIALS)
def test_biharmonic_of_polynomials_is_exact(name: str, dim: int) -> None:
    """Rational numbers on both sides: equality, not closeness."""
    x, at = sp.symbols(f"x0:{dim}", real=True), rational_point(dim)
    explicit = sp.Poly(POLYNOMIALS[name].written_out(x), *x)
    for _ in range(2):
        explicit = sum((explicit.diff((c, 2)) for c in x), sp.Poly(0, *x))
    expected = explicit.as_expr().xreplace(dict(zip(x, at, strict=True)) | {t: TIME})
    found = calculus.laplacian(calculus.laplacian(POLYNOMIALS[name].collective()))
    assert_equal(evaluate(found, at), sp.N(expected, DIGITS))


def differences(u: Any, x: tuple[Any, ...], at: tuple[sp.Rational, ...], operator: str) -> mpmath.mpf:
    """x·∇u, |∇u|², Δu, Δ²u and ∂_t u by central differences of step 10⁻²⁵ in 160 digits: errors near 10⁻⁵⁰."""
    with mpmath.workdps(160):
        function = sp.lambdify((*x, t), u, modules="mpmath")
        rational = [mpmath.mpf(c.p) / c.q for c in (*at, TIME)]
        step = mpmath.mpf(10) ** -25
        axes = range(len(x))

        def value(*moves: tuple[int, int]) -> Any:
            moved = list(rational)
            for axis, sign in moves:
                moved[axis] += sign * step
            return function(*moved)

        def first(axis: int) -> Any:
            return (value((axis, 1)) - value((axis, -1))) / (2 * step)

        def second(axis: int, *others: tuple[int, int]) -> Any:
            ends = value((axis, 1), *others) + value((axis, -1), *others)
            return (ends - 2 * value(*others)) / step**2

        def laplacian(*moves: tuple[int, int]) -> Any:
            return sum((second(i, *moves) for i in axes), mpmath.mpf(0))

        def curvature_of_laplacian(j: int) -> Any:
            return (laplacian((j, 1)) - 2 * laplacian() + laplacian((j, -1))) / step**2

        definitions = {
            "euler": lambda: sum((rational[i] * first(i) for i in axes), mpmath.mpf(0)),
            "grad_dot": lambda: sum((first(i) ** 2 for i in axes), mpmath.mpf(0)),
            "laplacian": laplacian,
            "biharmonic": lambda: sum((curvature_of_laplacian(j) for j in axes), mpmath.mpf(0)),
            "time_derivative": lambda: first(len(x)),
        }
        return definitions[operator]()


FAST = {
    "euler": calculus.euler,
    "grad_dot": lambda u: calculus.grad_dot(u, u),
    "laplacian": calculus.laplacian,
    "biharmonic": lambda u: calculus.laplacian(calculus.laplacian(u)),
    "time_derivative": calculus.time_derivative,
}


def assert_calculus(function: Function, dim: int, operators: tuple[str, ...] = tuple(FAST)) -> None:
    x, at = sp.symbols(f"x0:{dim}", real=True), rational_point(dim)
    for operator in operators:
        expected = differences(function.written_out(x), x, at, operator)
        want = sp.Float(mpmath.nstr(expected, DIGITS), DIGITS)
        found = evaluate(sp.sympify(FAST[operator](function.collective())), at)
        assert abs(found - want) <= 1e-20 * (1 + abs(want)), (operator, dim, function)


@pytest.mark.parametrize("name", NAMED)
def test_biharmonic_against_differences(name: str) -> None:
    assert_calculus(NAMED[name], dim=4)


_number = st.builds(sp.Rational, st.integers(-6, 6).filter(bool), st.integers(1, 4))
_place = st.integers(0, 2).map(lambda k: X[k])
_atom = st.one_of(
    st.builds(lambda c, k: c ** int(k), _place, st.integers(1, 3)),
    st.builds(lambda c, q: sp.sin(q * c), _place, _number),
    st.builds(lambda c, e, q: sp.cos(q * c + e), _place, _place, _number),
    st.builds(lambda c, e: sp.exp(c * e / 3), _place, _place),
    st.builds(lambda c, q: sp.cos(q * t) * c, _place, _number),
)
_kernel = st.lists(st.tuples(_number, st.lists(_atom, min_size=1, max_size=2)), min_size=1, max_size=2).map(
    lambda terms: sp.Add(*(q * sp.Mul(*factors) for q, factors in terms))
)


@st.composite
def sums(draw: Any) -> Sum:
    kernel = draw(_kernel)
    used = max(X.index(c) + 1 for c in kernel.free_symbols if c in X)
    return Sum(kernel, draw(st.integers(used, 3)), draw(st.one_of(st.none(), st.integers(0, 99))))


_outer = st.sampled_from(
    [
        S[0],
        S[0] * S[1],
        S[0] ** 2 - S[1],
        sp.sin(S[0] / 5 + t) * S[1],
        sp.exp(-(S[0] ** 2) / 50) + S[1] ** 2 * t,
    ]
)


@given(outer=_outer, one=sums(), other=sums(), dim=st.integers(2, 6))
def test_random_functions_at_any_dimension(outer: Any, one: Sum, other: Sum, dim: int) -> None:
    """The dimensions include ones below the width of a window, where the sum is empty."""
    assert_calculus(Function(outer, (one, other)), dim, ("euler", "grad_dot", "laplacian", "time_derivative"))


@settings(max_examples=4)
@given(outer=_outer, one=sums(), other=sums(), dim=st.integers(2, 3))
def test_random_biharmonics(outer: Any, one: Sum, other: Sum, dim: int) -> None:
    """The calculus applied to its own results."""
    assert_calculus(Function(outer, (one, other)), dim, ("biharmonic",))


@pytest.mark.parametrize(("width", "dim"), [(3, 3), (3, 4), (2, 2), (4, 5)])
def test_constant_gradients_where_joint_windows_do_not_fit(width: int, dim: int) -> None:
    """|∇s|² of a linear kernel sums over pairs of windows, of which the far ones do not exist at small d."""
    assert_calculus(Function(S[0], (Sum(sp.Add(*X[:width]), width),)), dim)


@pytest.mark.parametrize("width", [4, 5, 6])
def test_wide_windows_are_right_or_refused(width: int) -> None:
    """Overlaps of two wide windows need more window coordinates than a kernel may have: never a wrong number."""
    function = Function(sp.sin(S[0]), (Sum(sp.Mul(*X[:width]) + X[0] ** 2, width, seed=1),))
    try:
        found = calculus.grad_dot(function.collective(), function.collective())
    except ValueError as refusal:
        assert "window" in str(refusal)  # noqa: PT017
        return
    dim = 2 * width
    x, at = sp.symbols(f"x0:{dim}", real=True), rational_point(dim)
    expected = differences(function.written_out(x), x, at, "grad_dot")
    assert_equal(evaluate(found, at), sp.Float(mpmath.nstr(expected, DIGITS), DIGITS))


def test_canonical_form() -> None:
    """Equal sums compare equal, so that an expression simplifies as if sums were numbers."""
    assert window_sum(X[0] ** 2) == r2
    assert window_sum(3 * X[0] ** 2) == 3 * r2
    assert window_sum(-X[0] * X[1]) == -window_sum(X[0] * X[1])
    assert window_sum(sp.Integer(0)) == 0
    assert window_sum(X[0], coefficients=Coefficients(1)) != window_sum(X[0], coefficients=Coefficients(2))
    assert window_sum(X[0], coefficients=Coefficients(1)) != window_sum(
        X[0], coefficients=Coefficients(1, stream=1)
    )
    assert window_sum(X[0], width=2) != window_sum(X[0])


def test_laplacian_of_radius() -> None:
    """Δ|x|² = 2d, ∇|x|²·∇|x|² = 4|x|², Δ²|x|⁴ = 8d(d + 2), for symbolic d."""
    d = calculus.d
    assert calculus.laplacian(r2) == 2 * d
    assert calculus.grad_dot(r2, r2) == 4 * r2
    assert sp.expand(calculus.laplacian(calculus.laplacian(r2**2)) - 8 * d * (d + 2)) == 0


def test_expand_is_the_sum_written_out() -> None:
    function = NAMED["two-body"]
    explicit, x = calculus.expand(function.collective(), 4)
    assert sp.expand(explicit - function.written_out(x)) == 0


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_coefficients_are_frozen(seed: int) -> None:
    """The first numbers of a sequence do not depend on how many are drawn, and come of NumPy's frozen stream."""
    values = Coefficients(seed).values(1000)
    assert values.dtype == np.float64
    assert np.array_equal(values[:7], Coefficients(seed).values(7))
    assert np.array_equal(values, np.random.RandomState([seed, 0]).standard_normal(1000))
    assert not np.array_equal(values, Coefficients(seed, stream=1).values(1000))


def test_first_coefficients_have_not_changed() -> None:
    """A change here changes every instance of every problem."""
    assert Coefficients(0).values(4).tolist() == FIRST
