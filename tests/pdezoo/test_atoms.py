"""An atom is one class: what it says of itself is enough to prove, estimate, print and sample a problem with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from toys import NAMED, WEIGHTS

import pdezoo
import solvers
from pdezoo import (
    PDE,
    Ansatz,
    Atom,
    Biharmonic,
    Coefficients,
    D,
    Diffusion,
    Drift,
    Dt,
    EulerDerivative,
    Exact,
    Gaussian,
    GradNorm1,
    GradNormSq,
    Laplacian,
    Points,
    X,
    atom_text,
    d,
    in_float64,
    nested_autodiff,
    r2,
    t,
    u,
    verify,
    window_sum,
    window_sums,
    x,
    y,
)
from pdezoo.calculus import collective
from pdezoo.calculus.atoms import Partial, apply, atoms_of, meaning
from pdezoo.lowering.lowered import lower
from solvers import Field


class FourthAxis(Atom):
    """Σ ∂⁴u/∂x_i⁴: an atom that the library does not have."""

    nargs = 1

    @property
    def order(self) -> int:
        """The order of differentiation, 4."""
        return 4

    def calculus(self, function: Any) -> Any:
        """Computes the atom of linear combinations of single coordinates' window sums; raises ValueError for other functions."""
        sums = window_sums(function)
        if any(s.width > 1 or window_sums(sp.diff(function, s)) for s in sums):
            raise ValueError(
                "Σ ∂⁴u/∂x_i⁴ has a closed form for linear combinations of single coordinates' sums only"
            )
        return sp.Add(
            *(sp.diff(function, s) * window_sum(sp.diff(s.kernel, X[0], 4), 1, s.factors) for s in sums)
        )

    def definition(self, function: Any, space: tuple[Any, ...]) -> Any:
        """Computes the atom by SymPy's derivatives."""
        return sp.Add(*(sp.diff(function, c, 4) for c in space))

    def autodiff(self, f: Any) -> Any:
        """Computes the atom by forward mode, nested four times along every axis."""

        def along(g: Any, axis: Any) -> Any:
            return lambda x, s: jax.jvp(lambda q: g(q, s), (x,), (axis,))[1]

        def fourth(x: Any, s: Any, axis: Any) -> Any:
            g = f
            for _ in range(4):
                g = along(g, axis)
            return g(x, s)

        return lambda x, s: jnp.sum(jax.vmap(lambda e: fourth(x, s, e))(jnp.eye(x.shape[0], dtype=x.dtype)))

    def text(self, write: Any) -> str:
        """Writes the atom as Σᵢ ∂⁴u/∂xᵢ⁴."""
        return "Σᵢ ∂⁴u/∂xᵢ⁴"

    def latex(self, write: Any) -> str:
        """Writes the atom as Σᵢ ∂⁴u/∂xᵢ⁴ in LaTeX."""
        return r"\sum_i \partial_i^4 u"


def plate(dim: int, wrong: Any = 0) -> PDE:
    """Σ ∂⁴u/∂x_i⁴ + u = g on all of space, u* = Σ c_i sin(x_i/2) + wrong."""
    waves = window_sum(sp.sin(X[0] / 2), coefficients=Coefficients(0))
    source = None if wrong == 0 else apply(FourthAxis(u) + u, waves)
    return PDE(FourthAxis(u) + u, Gaussian(dim), Ansatz(), Exact(waves + wrong), source=source, name="plate")


@pytest.mark.slow
def test_an_atom_of_a_test_file_is_proven_and_its_errors_are_found() -> None:
    report = verify(plate(6), remake=plate, test_size=50)
    assert report.ok, report.checks
    assert [c.name for c in report.checks[:5]] == ["residual"] * 2 + ["source"] * 3
    wrong = lambda dim: plate(dim, wrong=sp.Rational(1, 1000))
    failed = {c.name for c in verify(wrong(6), remake=wrong, test_size=50).checks if not c.ok}
    assert failed == {"residual", "source"}


def test_an_atom_of_a_test_file_is_estimated_or_refused_in_words() -> None:
    """`exact` gives it, against four derivatives of a network by another route; `stde` says what it cannot."""
    pde = plate(3)
    exact, problem = solvers.make("exact", width=5, depth=2), pde.lower()
    assert exact.unsupported(pde) is None
    assert "∂⁴u/∂xᵢ⁴" in str(solvers.make("stde").unsupported(pde))
    points = problem.sample(jax.random.key(0), 4)
    params = exact.network.init(jax.random.key(1), 3, False)
    field = lambda p: Field(problem, p, exact.network)
    estimate = lambda p, at: exact.estimator(field(p), pde.atoms, at, None)[FourthAxis(u)]

    def by_tensors(p: Any, at: Points) -> Any:
        f = lambda q: field(p).value(Points(q[None]))[0]
        for _ in range(4):
            f = jax.jacfwd(f)
        return jax.vmap(lambda q: jnp.einsum("iiii->", f(q)))(at.x)

    np.testing.assert_allclose(
        in_float64(jax.jit(estimate), params, points),
        in_float64(jax.jit(by_tensors), params, points),
        rtol=1e-10,
    )
    result = exact.fit(pde, steps=3, batch=4, progress=None)
    assert result.status == "ok"


def test_an_atom_of_a_test_file_is_written() -> None:
    described = pdezoo.describe(plate(3)), pdezoo.describe(plate(3), latex=True)
    assert described[0]["equation"] == "u + Σᵢ ∂⁴u/∂xᵢ⁴ = g"
    assert described[1]["equation"] == r"u + \sum_i \partial_i^4 u = g"


def test_an_atom_that_leaves_something_out_cannot_be_made() -> None:
    class Half(Atom):
        nargs = 1

        def calculus(self, function: Any) -> Any:
            """The only method that the class has."""
            return function

    with pytest.raises(TypeError, match="abstract"):
        Half(u)


@pytest.mark.parametrize(
    ("atom", "text", "latex"),
    [
        (u, "u", "u"),
        (Laplacian(u), "Δu", r"\Delta u"),
        (GradNormSq(u), "|∇u|²", r"|\nabla u|^2"),
        (GradNorm1(u), "Σᵢ|∂u/∂xᵢ|", r"\sum_i |\partial_i u|"),
        (Biharmonic(u), "Δ²u", r"\Delta^2 u"),
        (EulerDerivative(u), "x·∇u", r"x \cdot \nabla u"),
        (Dt(u), "u_t", "u_{t}"),
        (Dt(u, 2), "u_tt", "u_{tt}"),
        (D(u, x, x, y), "u_xxy", "u_{xxy}"),
        (Diffusion(u, r2), "Σᵢ wᵢ ∂²u/∂xᵢ² [Σᵢ wᵢ = |x|²]", r"\sum_i w_i \partial_i^2 u \quad \Big(\sum_i w_i = |x|^2\Big)"),
        (Drift(u, r2), "Σᵢ bᵢ ∂u/∂xᵢ [Σᵢ bᵢ = |x|²]", r"\sum_i b_i \partial_i u \quad \Big(\sum_i b_i = |x|^2\Big)"),
    ],
    ids=str,
)  # fmt: skip
def test_how_atoms_are_written(atom: Any, text: str, latex: str) -> None:
    assert atom_text(atom) == text
    pde = PDE(atom**2, Gaussian(2, horizon=1.0), Ansatz(), Exact(r2), source=0)
    power = "u^{2}" if atom == u else rf"\left({latex}\right)^{{2}}"
    assert pdezoo.describe(pde, latex=True)["equation"] == f"{power} = 0"


def test_the_representation_of_atoms_is_what_fingerprints_hold() -> None:
    inside = "Function('u')(Symbol('x', real=True), Symbol('y', real=True), Symbol('t', real=True))"
    for kind in (Laplacian, Biharmonic, GradNormSq, GradNorm1, EulerDerivative, Dt):
        assert sp.srepr(kind(u)) == f"{kind.__name__}({inside})"
    assert sp.srepr(Dt(u, 2)) == f"Dt({inside}, Integer(2))"
    assert sp.srepr(Diffusion(u, d)).startswith(f"Diffusion({inside}, ")


def test_atoms_are_of_u_itself() -> None:
    for wrong in (Laplacian(u**2), Dt(sp.sin(u)), Laplacian(Laplacian(u)), sp.Derivative(u**2, x)):
        with pytest.raises(ValueError, match="of u itself"):
            atoms_of(wrong + u)
    with pytest.raises(ValueError, match="an atom is u"):
        meaning(r2)
    assert meaning(u) == Partial(())
    assert meaning(D(u, x, t)).order == 2


def test_partial_derivatives_stand_alone() -> None:
    """Partial derivatives are lowered as jets in x, y, t, which have no room for Δu: an error says so."""
    with pytest.raises(ValueError, match=r"Δu stands beside partial derivatives.*D\(u, y, y\)"):
        PDE(D(u, x, x) + Laplacian(u), pdezoo.Box(1, horizon=1.0), Ansatz(), Exact(x * t))


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("kind", [Drift, Diffusion])
def test_weighted_calculus_is_the_definition(kind: type[Any], weights: str, name: str) -> None:
    """The window-sum rules against SymPy's derivatives of the explicit function, at a rational point."""
    dim, function, atom = 4, NAMED[name].collective(), kind(u, WEIGHTS[weights])
    found, space = collective.expand(atom.calculus(function), dim)
    explicit, _ = collective.expand(function, dim)
    at = {c: sp.Rational(2 * i - 3, 7) for i, c in enumerate(space)} | {t: sp.Rational(1, 3)}
    want = atom.definition(explicit, space)
    assert abs(sp.N((found - want).xreplace(at), 40)) < 1e-30 * (1 + abs(sp.N(want.xreplace(at), 40)))
    assert sp.N(want.xreplace(at)) != 0


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("kind", [Drift, Diffusion])
def test_weighted_atoms_in_few_dimensions(kind: type[Any], weights: str) -> None:
    """In a function of x and y, the coefficient c_0 of the weights belongs to x and c_1 to y."""
    atom, function = kind(u, WEIGHTS[weights]), sp.sin(x + 2 * y) * (1 + t)
    at = {x: sp.Rational(1, 3), y: sp.Rational(1, 5), t: sp.Rational(1, 7)}
    found, want = atom.calculus(function).subs(d, 2), atom.definition(function, (x, y))
    assert abs(sp.N((found - want).xreplace(at), 40)) < 1e-30
    assert sp.N(want.xreplace(at)) != 0


@pytest.mark.parametrize("name", NAMED)
def test_a_drift_along_x_is_the_euler_derivative(name: str) -> None:
    function = NAMED[name].collective()
    assert Drift(u, window_sum(X[0])).calculus(function) == EulerDerivative(u).calculus(function)


@pytest.mark.parametrize(
    "wrong",
    [sp.Integer(1), sp.Rational(1, 2) + r2, r2**2, window_sum(X[0] * X[1]), d * r2 * window_sum(X[0]), d + x],
    ids=str,
)
def test_weights_that_are_no_sum_over_coordinates_are_refused(wrong: Any) -> None:
    for refuse in (
        lambda: Drift(u, wrong).calculus(r2),
        lambda: PDE(Drift(u, wrong), Gaussian(3), Ansatz(), Exact(r2), source=0).lower(),
    ):
        with pytest.raises(ValueError, match=r"window sums of single coordinates.*window_sum\(1\)"):
            refuse()


def kolmogorov(dim: int, seed: int = 0) -> PDE:
    """u_t = Δu + Σ (1 − x_i) ∂u/∂x_i: the backward equation of an Ornstein-Uhlenbeck process about (1, …, 1).

    From exp(c·(x − 1)), with the mean and the variance of the process: u = exp(e^−t c·(x − 1) + |c|² (1 − e^−2t)/2).
    """
    c = Coefficients(seed)
    along = window_sum(X[0] - 1, coefficients=c) / sp.sqrt(d)
    square = window_sum(1, coefficients=((c, 0), (c, 0))) / d
    solution = sp.exp(sp.exp(-t) * along + square * (1 - sp.exp(-2 * t)) / 2)
    return PDE(
        operator=Dt(u) - Laplacian(u) - Drift(u, window_sum(1 - X[0])),
        domain=Gaussian(dim, horizon=1.0),
        ansatz=pdezoo.initial(solution.subs(t, 0)),
        solution=Exact(solution),
        source=0,
        name="kolmogorov",
        seed=seed,
    )


def test_a_problem_with_a_drift_is_proven_and_solved() -> None:
    report = verify(kolmogorov(6), remake=kolmogorov, test_size=100)
    assert report.ok, [c for c in report.checks if not c.ok]
    result = solvers.make("stde", width=8, depth=2).fit(kolmogorov(6), steps=5, batch=8, progress=None)
    assert result.status == "ok"


def test_the_wrong_drift_is_found() -> None:
    def turned(dim: int) -> PDE:
        pde = kolmogorov(dim)
        return replace(pde, operator=pde.operator + Drift(u, d / 10**6))

    failed = {c.name for c in verify(turned(6), remake=turned, test_size=100).checks if not c.ok}
    assert failed == {"residual", "source"}


@pytest.mark.parametrize("weights", WEIGHTS)
def test_lowered_weights_are_those_of_the_oracle(weights: str) -> None:
    """Block by block and axis by axis, against the gradient of Σ x_i times the weights by nested autodiff."""
    dim = 5
    pde = PDE(Drift(u, WEIGHTS[weights]), Gaussian(dim, horizon=1.0), Ansatz(), Exact(r2), source=0)
    problem, atom = pde.lower(), pde.atoms[0]
    points = pde.domain.sample(jax.random.key(0), 3)
    whole = in_float64(lambda p: problem.weights_of(atom).block(p, 0, dim), points)
    part = in_float64(lambda p: problem.weights_of(atom).block(p, 1, 3), points)
    picked = in_float64(lambda p: problem.weights_of(atom).columns(p, jnp.asarray([4, 0])), points)
    np.testing.assert_array_equal(part, whole[:, 1:4])
    np.testing.assert_array_equal(picked, whole[:, [4, 0]])
    for i in range(dim):
        one = in_float64(lambda p, i=i: nested_autodiff(lambda q: q.x[:, i], p, (atom,))[atom], points)
        np.testing.assert_allclose(whole[:, i], one, rtol=1e-12)


def test_the_sum_of_lowered_weights_is_what_was_given() -> None:
    points = Points(jnp.linspace(-1, 1, 12).reshape(2, 6), jnp.asarray([0.2, 0.9]))
    for total in WEIGHTS.values():
        pde = PDE(Diffusion(u, total), Gaussian(6, horizon=1.0), Ansatz(), Exact(r2), source=0)
        value = lower((total,), 6)
        found = in_float64(lambda p, pde=pde: pde.lower().axis_weights[0].block(p, 0, 6).sum(1), points)
        np.testing.assert_allclose(found, in_float64(lambda p, v=value: v(p)[0], points), rtol=1e-12)
