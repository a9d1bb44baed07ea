"""One operator has one residual: atoms against partial derivatives, under an ansatz in x and y, in window sums, and in both."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import numpy as np
import pytest
import sympy as sp
from fields import estimates, reference
from toys import points

import solvers
from pdezoo import (
    PDE,
    Ansatz,
    Biharmonic,
    Box,
    Coefficients,
    D,
    Diffusion,
    Drift,
    Dt,
    EulerDerivative,
    Exact,
    GradNormSq,
    Laplacian,
    Points,
    Side,
    X,
    boundary_data,
    d,
    in_float64,
    r2,
    t,
    u,
    verify,
    window_sum,
    x,
    y,
)
from pdezoo.calculus.atoms import apply
from pdezoo.lowering.lowered import lower
from solvers import MLP, Field, NeuralSolver

NETWORK = MLP(width=5, depth=2)
RANDOM = window_sum(sp.sin(2 * X[0]), coefficients=Coefficients(1))
WEIGHTS = 2 * d - window_sum(X[0] * (1 + t), coefficients=Coefficients(2))  # of both signs


def space(dim: int) -> tuple[Any, ...]:
    """The coordinates."""
    return (x, y)[:dim]


def in_coordinates(dim: int) -> tuple[Any, Any]:
    """A factor and an offset in x, y and t."""
    last = space(dim)[-1]
    return (1 + t) * (2 - x**2 * last / 3), sp.sin(x + 2 * last) + t * x * last


def in_sums(dim: int) -> tuple[Any, Any]:
    """The same in window sums, one of them of pairs of coordinates where there are two."""
    pairs = window_sum(X[0] * sp.cos(X[1])) if dim > 1 else window_sum(X[0] ** 3)
    return (1 + t) * (1 - r2 / 4), RANDOM + t * pairs


def in_both(dim: int) -> tuple[Any, Any]:
    """Products of coordinates and window sums."""
    last = space(dim)[-1]
    return (1 - r2 / 4) * (1 + last / 3) + t, x * RANDOM + sp.exp(-last) * r2 * t


FORMS = {"x and y": in_coordinates, "window sums": in_sums, "both": in_both}
CASES = [pytest.param(form, dim, id=f"{form}, d = {dim}") for form in FORMS for dim in (1, 2)]
QUICK = (("both", 2),)
MARKED = [
    pytest.param(form, dim, id=f"{form}, d = {dim}", marks=[] if (form, dim) in QUICK else [pytest.mark.slow])
    for form in FORMS
    for dim in (1, 2)
]


def spellings(dim: int) -> dict[str, tuple[Any, Any]]:
    """Every atom, and what it is in partial derivatives."""
    weights = dict(zip(space(dim), written_out(dim), strict=True))
    axes = space(dim)
    return {
        "Laplacian": (Laplacian(u), sp.Add(*(D(u, c, c) for c in axes))),
        "GradNormSq": (GradNormSq(u), sp.Add(*(D(u, c) ** 2 for c in axes))),
        "EulerDerivative": (EulerDerivative(u), sp.Add(*(c * D(u, c) for c in axes))),
        "Drift": (Drift(u, WEIGHTS), sp.Add(*(w * D(u, c) for c, w in weights.items()))),
        "Diffusion": (Diffusion(u, WEIGHTS), sp.Add(*(w * D(u, c, c) for c, w in weights.items()))),
        "Dt": (Dt(u), D(u, t)),
        "Biharmonic": (Biharmonic(u), sp.Add(*(D(u, c, c, e, e) for c in axes for e in axes))),
    }


def written_out(dim: int) -> list[Any]:
    """The weights 2 − c_i x_i (1 + t) of every axis."""
    drawn = np.random.RandomState([2, 0]).standard_normal(dim)
    return [
        2 - sp.Rational(*float(c).as_integer_ratio()) * s * (1 + t)
        for c, s in zip(drawn, space(dim), strict=True)
    ]


@lru_cache(maxsize=16)
def problem(form: str, dim: int, partial: bool) -> PDE:
    """The sum of all atoms of second order, and u³, in one spelling or the other."""
    factor, offset = FORMS[form](dim)
    atoms = (pair[partial] for name, pair in spellings(dim).items() if name != "Biharmonic")
    return PDE(
        sp.Add(*atoms) + u**3,
        Box(dim, horizon=1.0),
        Ansatz(factor, offset),
        Exact(offset + factor * sp.cos(x)),
    )


@lru_cache(maxsize=16)
def field(form: str, dim: int, partial: bool) -> tuple[Field, Points]:
    """A field with random float64 parameters, the same in both spellings, and three points."""
    shapes = jax.eval_shape(lambda: NETWORK.init(jax.random.key(0), dim, True))
    rng = np.random.default_rng(dim)
    fill = lambda a: rng.standard_normal(a.shape) / np.sqrt(a.shape[0] if a.ndim > 1 else 4)
    at = jax.tree.map(lambda a: np.asarray(a, np.float64), points(dim, count=3, time=True))
    return Field(problem(form, dim, partial).lower(), jax.tree.map(fill, shapes), NETWORK), at


@pytest.mark.parametrize(("form", "dim"), CASES)
def test_both_spellings_of_an_atom_are_one_function(form: str, dim: int) -> None:
    """By exact calculus on the solution."""
    function = problem(form, dim, False).exact
    pairs = [(apply(a, function), apply(b, function)) for a, b in spellings(dim).values()]
    lowered = lower(tuple(e for pair in pairs for e in pair), dim)
    values = np.asarray(in_float64(jax.jit(lambda p: lowered(p)), field(form, dim, False)[1]))
    for name, one, other in zip(spellings(dim), values[::2], values[1::2], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10, err_msg=name)


@pytest.mark.parametrize(("form", "dim"), MARKED)
@pytest.mark.slow
def test_both_spellings_have_one_residual(form: str, dim: int) -> None:
    """As nested autodiff gives it, and as the exact estimators of either spelling do."""
    residuals = {}
    for partial, names in {False: ("exact", "forward-laplacian", "stde"), True: ("exact", "stde")}.items():
        trial, at = field(form, dim, partial)
        atoms = trial.problem.atoms
        found = {name: estimates(solvers.make(name).estimator, trial, at, atoms, [0]) for name in names}
        found["autodiff"] = {a: v[None] for a, v in reference(trial, at, atoms).items()}
        for name, values in found.items():
            rows = in_float64(
                lambda v, p, atoms=atoms, of=trial.problem: of.residual(dict(zip(atoms, v, strict=True)), p),
                [values[a][0] for a in atoms],
                at,
            )
            residuals[name, partial] = rows
    want = residuals["autodiff", False]
    for who, rows in residuals.items():
        np.testing.assert_allclose(rows, want, rtol=1e-9, atol=1e-9, err_msg=str(who))


def estimators() -> dict[str, Any]:
    """A registered row for every estimator of derivatives of u in general."""
    made = {name: solvers.make(name) for name in solvers.names()}
    rows = {s.estimator: name for name, s in reversed(made.items()) if isinstance(s, NeuralSolver)}
    return {name: estimator for estimator, name in rows.items()}


BIASED = {"FiniteDifference": 1e-2, "SteinSparseGrid": 0.3, "SteinMC": 1.0, "RSPINN": 1.0}
"""How close the estimators come that are of another function, relative to the largest value."""


SEVERAL = ("exact", "hte")
"""One exact and one random; the others are slow tests."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in SEVERAL else [pytest.mark.slow]) for n in estimators()]
)
def test_every_estimator_sees_an_ansatz_in_coordinates_and_window_sums(name: str) -> None:
    """The mean over keys is nested autodiff's value, where the estimator is unbiased to six standard errors."""
    estimator = estimators()[name]
    trial, at = field("x and y" if "wider" in str(refusal(estimator)) else "both", 2, False)
    atoms = tuple(a for a in trial.problem.atoms if a == u or isinstance(a, estimator.atoms))
    assert {Laplacian(u), EulerDerivative(u), Dt(u)} <= set(atoms)
    found, want = estimates(estimator, trial, at, atoms, range(100)), reference(trial, at, atoms)
    for atom in atoms:
        mean, spread = found[atom].mean(axis=0), found[atom].std(axis=0)
        size = np.abs(want[atom]).max()
        close = BIASED.get(type(estimator).__name__, 0.0) * size
        bound = 6 * spread / np.sqrt(len(found[atom])) + close + 1e-9 * size
        assert (np.abs(mean - want[atom]) <= bound).all(), (atom, mean, want[atom], spread)


def refusal(estimator: Any) -> str | None:
    """Why an estimator does not take the problem with sums of two coordinates."""
    return estimator.unsupported(problem("window sums", 2, False), NETWORK)


@pytest.mark.slow
def test_boundary_data_in_x_and_y_serve_both_spellings() -> None:
    """Hard data of a solution that does not vanish, at which Δu once lost the part of the ansatz in x and y."""
    f = (sp.sin(sp.pi * x) * sp.cos(2 * y) + x * y) * sp.exp(-t)
    ansatz = boundary_data(f, (Side(x, 0, 1), Side(y, 0, 1), Side(t, 0, 1, 1, 0)))
    for operator in (Dt(u) - Laplacian(u), D(u, t) - D(u, x, x) - D(u, y, y)):
        pde = PDE(operator, Box(2, horizon=1.0), ansatz, Exact(f))
        report = verify(pde, remake=lambda _, pde=pde: pde, test_size=100)
        assert report.ok, [c for c in report.checks if not c.ok]


@pytest.mark.parametrize("spelling", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_steady_problem_in_x_and_y_is_proven_and_solved(spelling: int) -> None:
    f = sp.sin(sp.pi * x) * sp.sin(sp.pi * y)
    operator = (Laplacian(u), D(u, x, x) + D(u, y, y))[spelling]
    pde = PDE(operator, Box(2, scale=20.0), Ansatz(16 * x * (1 - x) * y * (1 - y)), Exact(f))
    assert verify(pde, remake=lambda _: pde, test_size=100).ok
    fit = solvers.make("stde", width=8, depth=2).fit(pde, steps=3, batch=8, progress=None)
    assert fit.status == "ok"
    assert (solvers.make("hte").unsupported(pde) is None) == (spelling == 0)
