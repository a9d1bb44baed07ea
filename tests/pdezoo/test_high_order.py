"""KdV, generalised KdV, 2D KdV and KP: identities in exact arithmetic, lowering to float32, derivatives by planned jets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
import sympy as sp
from sympy import Rational
from toys import few

import pdezoo
import solvers
from pdezoo import Ansatz, D, Points, in_float64, nested_autodiff, t, u, x, y
from pdezoo.equations import kdv2d, kp
from pdezoo.families.solitons import two_phase_curvature, two_phase_slope
from pdezoo.lowering.lowered import lower
from pdezoo.problem import closed_expressions
from solvers import Field, partial_derivatives

EVERY = sorted(n for n in pdezoo.names() if n.startswith(("kdv", "kp", "gkdv")))
SWOLLEN = {"kdv2d/two-solitons", "kp/two-solitons"}
"""Problems whose offsets have thousands of operations, which take a minute or two to compile."""

OPERATORS = (
    "kdv/one-soliton",
    "kdv/narrow",
    "gkdv/p2",
    "gkdv/p3",
    "gkdv/gradient-enhanced",
    "kdv2d/kink",
    "kp/line-soliton",
    "kp/lump",
)
"""One problem for every operator and kind of boundary data; the others differ by their solutions alone."""


def test_the_gradient_enhanced_residual_is_the_papers() -> None:
    """r_x and r_t of r = u_t + u u_x + β u_xxx, as Yu et al. use them, from the operator alone."""
    pde = pdezoo.make("gkdv/gradient-enhanced")
    beta = Rational(1, 400)
    expected = (
        D(u, t) + u * D(u, x) + beta * D(u, x, x, x),
        D(u, t, x) + D(u, x) ** 2 + u * D(u, x, x) + beta * D(u, x, x, x, x),
        D(u, t, t) + D(u, t) * D(u, x) + u * D(u, t, x) + beta * D(u, t, x, x, x),
    )
    assert all(sp.expand(a - b) == 0 for a, b in zip(pde.operators, expected, strict=True))
    assert pde.sources == (0, 0, 0)
    assert pde.enhanced_weight > 0
    assert pde.operator == pdezoo.make("kdv/narrow").operator


def test_the_product_of_2d_kdv_is_multiplied_out() -> None:
    operator = pdezoo.make("kdv2d/kink").operator
    product = 3 * (D(u, x, y) * D(u, x) + D(u, y) * D(u, x, x))
    linear = D(u, t, y) + D(u, x, x, x, y) - D(u, x, x) + 2 * D(u, y, y)
    assert sp.expand(operator - linear - product) == 0


def test_couplings_are_exact() -> None:
    """A₁₂ of both parameter sets that were proven in rational arithmetic, and KP's for either sign."""
    phase = kdv2d.phase
    one, two = phase(1, Rational(1, 2), 0), phase(Rational(3, 2), 2, 0)
    assert kdv2d.coupling(one, two) == Rational(79, 475)
    for sign in (1, -1):
        first, second = kp.phase(1, Rational(1, 3), sign, 0), kp.phase(2, Rational(-1, 3), sign, 0)
        assert kp.coupling(first, second, sign) == hirota_coupling_of_kp(first, second, sign)
    assert kp.coupling(*kp._PAIR, 1) == Rational(3, 35)


def hirota_coupling_of_kp(first: Any, second: Any, sign: int) -> Any:
    """−P(p₁ − p₂)/P(p₁ + p₂) with P = k ω + k⁴ + 3σ² l²."""

    def form(theta: Any) -> Any:
        k, l, omega = (D(theta, c) for c in (x, y, t))
        return k * omega + k**4 + 3 * sign * l**2

    return -form(first - second) / form(first + second)


@pytest.mark.parametrize("coupling", [Rational(1, 9), Rational(1), Rational(7, 2)])
def test_two_phases_are_derivatives_of_the_logarithm_of_the_sum(coupling: Any) -> None:
    first, second = x - y / 3 + 2 * t, 2 * x + y - t + Rational(1, 2)
    logarithm = sp.log(1 + sp.exp(first) + sp.exp(second) + coupling * sp.exp(first + second))
    for found, order in ((two_phase_slope, 1), (two_phase_curvature, 2)):
        difference = found(first, second, coupling) - sp.diff(logarithm, x, order)
        for point in ({x: 1, y: -2, t: Rational(1, 3)}, {x: Rational(-7, 2), y: 0, t: 1}):
            assert abs(sp.N(difference.xreplace({k: sp.sympify(v) for k, v in point.items()}), 40)) < 1e-30


def test_two_phases_neither_overflow_nor_cancel() -> None:
    """The formulas hold in float32 up to |x| = 20, where the exponentials of the sum span 10⁵²."""
    points = Points(np.linspace(-20, 20, 401, dtype=np.float32)[:, None])
    curvature = sp.diff(two_phase_curvature(x, 2 * x + 1, Rational(1, 9)), x)
    function = jax.jit(lower((curvature,), 1))
    rough, fine = np.asarray(function(points)[0]), in_float64(lambda p: function(p)[0], points)
    assert np.abs(rough - fine).max() < 1e-5 * np.abs(fine).max()


def first_of_each_family(names: list[str]) -> list[Any]:
    """All of them; those beyond the first of their family among the slow tests."""
    first = {n.partition("/")[0]: n for n in reversed(names)}.values()
    return [pytest.param(n, marks=[] if n in first else [pytest.mark.slow]) for n in names]


@pytest.mark.slow
@pytest.mark.parametrize("name", first_of_each_family([n for n in EVERY if n not in SWOLLEN]))
def test_closed_forms_agree_in_both_precisions(name: str) -> None:
    """Derivatives of factor and offset, float32 against float64."""
    pde = pdezoo.make(name)
    lowered, points = pde.lower().closed_expressions, pde.domain.sample(jax.random.key(0), 50)
    for rough, fine in zip(lowered(points), in_float64(lowered, points), strict=True):
        assert np.abs(np.asarray(rough) - fine).max() <= 1e-5 * np.abs(fine).max()


@pytest.mark.parametrize("name", ["kdv2d/kink", "kp/line-soliton"])
def test_expressions_lowered_together_are_those_lowered_alone(name: str) -> None:
    """SymPy's full common-subexpression elimination fails this for KP's line soliton: it makes a product of a difference."""
    pde = pdezoo.make(name)
    pde = replace(pde, ansatz=replace(pde.ansatz, blend=None))  # the offset written out
    expressions, points = (
        tuple(jax.tree.leaves(closed_expressions(pde))),
        pde.domain.sample(jax.random.key(0), 50),
    )
    together = in_float64(lower(expressions, pde.dim), points)
    for value, expr in zip(together, expressions, strict=True):
        alone = in_float64(lower((expr,), pde.dim), points)[0]
        assert np.abs(alone - value).max() <= 1e-9 * np.abs(value).max()


@pytest.mark.parametrize("name", few(OPERATORS, keep=3))
def test_planned_partials_are_those_of_nested_autodiff(name: str) -> None:
    """Every atom of the operators, on a random network, float32 against nested forward mode in float64.

    A short offset stands in for the problem's own, which nested differentiation would compile for a minute.
    """
    pde = pdezoo.make(name)
    pde = replace(pde, ansatz=Ansatz(pde.ansatz.factor, sp.tanh(x + y * (pde.dim - 1) / 2 - t)))
    problem, network = pde.lower(), solvers.make("stde", width=4, depth=2).network
    points = problem.domain.sample(jax.random.key(0), 16)
    params = network.init(jax.random.key(1), pde.dim, True)
    planned = lambda w, p: in_order(partial_derivatives(Field(problem, w, network), pde.atoms, p))
    nested = lambda w, p: in_order(nested_autodiff(Field(problem, w, network).value, p, pde.atoms))
    expected = in_float64(jax.jit(nested), params, points)
    for atom, a, b in zip(pde.atoms, jax.jit(planned)(params, points), expected, strict=True):
        assert np.abs(np.asarray(a) - b).max() <= 1e-5 * np.abs(b).max(), atom


def in_order(values: dict[Any, Any]) -> list[Any]:
    """Returns the values of a dictionary without its keys, which JAX cannot sort."""
    return list(values.values())


@pytest.mark.parametrize("name", few([n for n in EVERY if n not in SWOLLEN], keep=3))
def test_standing_still_is_no_solution(name: str) -> None:
    """Neither the data alone nor the initial state comes near: both null errors are 0.3 or more."""
    errors = pdezoo.null_errors(pdezoo.TestSet(pdezoo.make(name), 1000))
    assert min(errors[n]["relative_l2"] for n in ("zero", "persistence")) >= 0.3


@pytest.mark.parametrize("name", ["kdv/one-soliton", "kdv2d/kink", "kp/line-soliton", "gkdv/p3"])
def test_hutchinson_says_why_it_cannot(name: str) -> None:
    reason = solvers.make("hte").unsupported(pdezoo.make(name))
    assert reason is not None
    assert "u_xxx" in reason or "u_xy" in reason or "u_xx" in reason
    assert "Derivative" not in reason
    assert solvers.make("stde").unsupported(pdezoo.make(name)) is None


def exact_at(name: str, x: list[float], t: float) -> np.ndarray:
    pde = pdezoo.make(name)
    points = Points(np.asarray(x)[:, None], np.full(len(x), t))
    return in_float64(lambda p: lower((pde.exact,), 1)(p)[0], points)


def test_two_shocks_meet_and_go_on_as_one() -> None:
    """Levels 1, −0.2 and −1 at first, with the middle one around 0; at the end 1 and −1, with one shock at 0."""
    before = exact_at("burgers/merging-shocks", [-3.0, 0.0, 3.0], 0.0)
    np.testing.assert_allclose(before, [1.0, -0.2, -1.0], atol=0.1)
    after = exact_at("burgers/merging-shocks", [-3.0, 0.0, 3.0], 2.0)
    np.testing.assert_allclose(after, [1.0, 0.0, -1.0], atol=0.1)
    assert exact_at("burgers/shock", [0.3 * 1.5], 1.5)[0] == pytest.approx((1.2 - 0.6) / 2, abs=1e-9)


def test_the_front_of_kuramoto_and_tsuzuki_moves_with_its_speed() -> None:
    """u(x, t) = u(x − c t, 0) with c = 1, between c ∓ (30/19) √(11/19)."""
    x = np.linspace(-9, 8, 40)
    np.testing.assert_allclose(
        exact_at("kuramoto-sivashinsky", list(x + 1.5), 1.5),
        exact_at("kuramoto-sivashinsky", list(x), 0.0),
        atol=1e-12,
    )
    ends = exact_at("kuramoto-sivashinsky", [-60.0, 60.0], 0.0)
    np.testing.assert_allclose(ends, 1 + np.array([-1, 1]) * 30 / 19 * np.sqrt(11 / 19), rtol=1e-9)
