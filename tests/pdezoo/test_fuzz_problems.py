"""Problems made at random: each is refused with a ValueError of ours when it is made, or can be used and is right.

A few examples each in the usual tests; ten thousand, of the properties that compile nothing, with `make fuzz`.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import sympy as sp
from hypothesis import event, given, settings
from hypothesis import strategies as st

import pdezoo
from pdezoo import (
    PDE,
    Ansatz,
    Ball,
    BoundaryCondition,
    Box,
    BrownianTube,
    Coefficients,
    Condition,
    D,
    Diffusion,
    DivGrad,
    Drift,
    Dt,
    EulerDerivative,
    Exact,
    Formula,
    Gaussian,
    GradNorm1,
    GradNormSq,
    Laplacian,
    Periodic,
    Reference,
    Side,
    X,
    boundary_data,
    coordinate_max,
    d,
    describe,
    initial,
    r2,
    t,
    terminal,
    u,
    verify,
    window_sum,
    x,
    y,
)
from pdezoo.lowering.lowered import lower

pytestmark = pytest.mark.fuzz

HOME = str(Path(pdezoo.__file__).parent)
ELEMENTARY = (
    *(sp.sin, sp.cos, sp.exp, sp.tanh, sp.sqrt, sp.log, sp.Abs),
    *(lambda e: sp.Max(e, 0) ** 3, lambda e: 1 / e, lambda e: e**2),
)
UNUSUAL = (
    *(sp.Function("v"), sp.zeta, sp.gamma, sp.Heaviside, sp.DiracDelta, sp.floor, sp.factorial),
    lambda e: sp.besselj(0, e),
    lambda e: sp.Integral(e, (sp.Symbol("s"), 0, 1)),
    lambda e: sp.Sum(e, (sp.Symbol("k"), 0, 3)),
    lambda e: sp.Derivative(sp.Function("w")(x) * e, x),
    lambda e: sp.Piecewise((e, e > 0), (0, True)),
    lambda e: sp.Piecewise((e, e > 0)),
    lambda e: sp.Matrix([e, e]),
    lambda e: sp.ImmutableMatrix([e, e]),
    lambda e: sp.I * e,
    lambda e: sp.Mod(e, 2),
    lambda e: e ** sp.Symbol("n"),
    lambda e: e > 0,
    lambda e: sp.Lambda(x, e),
    lambda e: sp.Eq(e, 0),
    lambda e: e.subs(X[0], coordinate_max),
)
JUNK = (
    *(None, "u", "x**2", "", [], {}, (), True, float("nan"), float("inf"), 1j, 10**400, b"u", object),
    *(np.float32(2), np.ones(3), sp.nan, sp.oo, sp.zoo, sp.I, sp.S.EmptySet, sp.true, sp.Interval(0, 1)),
    *(sp.Symbol("u"), sp.Symbol("x"), sp.Symbol("t"), sp.Symbol("q"), coordinate_max, pdezoo.g, X[0], X[15]),
)
NUMBERS = st.one_of(
    st.sampled_from([1, 2, 0.5, 1.0, sp.Rational(1, 2), np.float32(2), np.int64(2)]),
    st.sampled_from([0, -1, -1.0, 1e300, 10**400, float("nan"), float("inf"), None, "1", True, 1j, sp.pi, x]),
)


def require_ours(error: ValueError) -> None:
    """A refusal is raised by our own code, not by a library that was handed something odd; and it says something."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    assert frame.f_code.co_filename.startswith(HOME), error
    assert len(str(error)) > 15
    assert "Dummy" not in str(error)


def by_sympy(function: Callable[..., Any], *arguments: Any) -> Any:
    """What SymPy makes of its arguments; where SymPy itself refuses, the first of them as it is."""
    try:
        return function(*arguments)
    except Exception:  # whatever it is, no code of ours was asked
        return arguments[0]


SMOOTH_KERNELS = st.sampled_from(
    [
        *(
            sp.sin(X[0] * X[1]),
            sp.exp(-(X[0] ** 2)),
            X[0] ** 2 * X[1],
            sp.cos(X[0]) + X[1],
            sp.tanh(X[0] + X[1]),
        ),
        *(sp.Abs(X[0]) ** 5, sp.Max(X[0], 0) ** 5, X[0] ** 4, sp.cos(t) * X[0] ** 2, sp.cos(X[0] / d)),
    ]
)
ODD_KERNELS = st.recursive(
    st.sampled_from([X[0], X[1], X[2], t, d, sp.Integer(2), sp.Rational(1, 3), x, r2, 1.5]),
    lambda inner: st.one_of(
        st.builds(by_sympy, st.sampled_from([*ELEMENTARY, *UNUSUAL]), inner),
        st.builds(by_sympy, st.sampled_from([lambda a, b: a + b, lambda a, b: a * b]), inner, inner),
    ),
    max_leaves=4,
)
COEFFICIENTS = st.sampled_from(
    [sp.Integer(1), sp.Rational(-2, 3), 1 + r2, t, sp.exp(-t), window_sum(sp.cos(X[0])), r2 / d]
)
AXIS_WEIGHTS = st.sampled_from(
    [
        *(
            r2,
            d,
            d + r2,
            t * r2,
            window_sum(1 - X[0]),
            window_sum(sp.cos(X[0])),
            window_sum(sp.cos(X[0] / d)),
        ),
        window_sum(X[0] ** 2 + 1, coefficients=Coefficients(3)),
    ]
)
ODD_SUMS = st.one_of(
    st.builds(window_sum, ODD_KERNELS),
    st.builds(window_sum, st.one_of(ODD_KERNELS, st.sampled_from(JUNK)), NUMBERS),
    st.builds(lambda seed, k: window_sum(k, coefficients=Coefficients(seed)), NUMBERS, SMOOTH_KERNELS),
    st.builds(window_sum, SMOOTH_KERNELS, coefficients=st.sampled_from(JUNK)),
)
ODD = st.one_of(
    ODD_SUMS,
    st.sampled_from(JUNK),
    st.builds(by_sympy, st.sampled_from([*ELEMENTARY, *UNUSUAL]), st.sampled_from([x, x * y, t, r2, d, u])),
    st.builds(lambda f, s: by_sympy(f, s), st.sampled_from([*ELEMENTARY, *UNUSUAL]), ODD_SUMS),
)
"""What may be no expression at all, or one that no problem may contain."""

ATOMS = st.one_of(
    st.sampled_from([u, u**2, sp.sin(u), Laplacian(u), GradNormSq(u), EulerDerivative(u), Dt(u), Dt(u, 2)]),
    st.builds(lambda w: Diffusion(u, w), AXIS_WEIGHTS),
    st.builds(lambda w: Drift(u, w), AXIS_WEIGHTS),
    st.builds(lambda a: DivGrad(a, u), st.sampled_from([1 + r2, window_sum(sp.cos(X[0])), 2 + t, u**2 + r2])),
)
ODD_ATOMS = st.one_of(
    st.just(GradNorm1(u)),
    st.builds(lambda n: Dt(u, n), NUMBERS),
    st.builds(lambda kind, w: kind(u, w), st.sampled_from([Diffusion, Drift, Dt]), ODD),
    st.builds(DivGrad, ODD, st.sampled_from([u, u, x, None])),
    st.builds(lambda f, by: D(f, *by), ODD, st.lists(st.sampled_from([x, y, t, u, None]), max_size=2)),
    st.builds(
        lambda f, by: D(f, *by),
        st.sampled_from([u, u**2, x * u, r2 * u, sp.Abs(u) * u]),
        st.lists(st.sampled_from([x, y, t]), max_size=3),
    ),
    st.builds(
        lambda kind, f: kind(f),
        st.sampled_from([Laplacian, GradNormSq, Dt, EulerDerivative]),
        st.one_of(ODD, st.sampled_from([u**2, 2 * u, Laplacian(u)])),
    ),
    st.builds(lambda f, a: by_sympy(f, a), st.sampled_from([*ELEMENTARY, *UNUSUAL]), ATOMS),
    ODD,
)
SOLUTIONS = st.builds(
    lambda a, b: a * window_sum(b),
    st.sampled_from([sp.Integer(1), sp.exp(-t), r2, 1 / (1 + t)]),
    SMOOTH_KERNELS,
)


@st.composite
def operators(draw: st.DrawFn, odd: bool = False) -> Any:
    """A sum of atoms with coefficients; `odd`: with one that may be anything."""
    total = sum(draw(COEFFICIENTS) * draw(ATOMS) for _ in range(draw(st.integers(1, 3))))
    if not odd:
        return total
    other = draw(ODD_ATOMS)
    return draw(st.sampled_from([other, by_sympy(lambda a, b: a + b, other, total)]))


DOMAINS = st.one_of(
    st.builds(Ball, st.integers(1, 4), st.sampled_from([1, sp.sqrt(d)])),
    st.builds(Box, st.integers(1, 4), horizon=st.just(1.0)),
    st.builds(Gaussian, st.integers(2, 4), horizon=st.just(1.0)),
    st.builds(BrownianTube, st.integers(2, 3), horizon=st.just(1.0)),
)
BOUNDS = st.one_of(NUMBERS, st.tuples(NUMBERS, NUMBERS), st.just([0, 1]), st.just(np.zeros(2)))
ODD_DOMAINS = st.one_of(
    st.builds(Ball, NUMBERS),
    st.builds(
        Ball, st.just(2), st.one_of(NUMBERS, st.sampled_from([sp.sqrt(d), d, 1 / d, d - 2, sp.Symbol("R")]))
    ),
    st.builds(Box, st.just(2), BOUNDS, BOUNDS),
    st.builds(Box, st.just(2), st.just(-2), BOUNDS, NUMBERS, NUMBERS),
    st.builds(Gaussian, st.just(2), NUMBERS, NUMBERS),
    st.builds(BrownianTube, NUMBERS, NUMBERS),
    st.sampled_from([*JUNK, Ball, Box]),
)
ODD_ANSAETZE = st.one_of(
    st.builds(Ansatz, ODD, SOLUTIONS),
    st.builds(Ansatz, SOLUTIONS, ODD),
    st.builds(Ansatz, st.just(1), st.just(0), st.sampled_from(JUNK)),
    st.builds(Ansatz, st.just(1), st.just(0), blend=st.sampled_from(JUNK)),
    st.builds(terminal, SOLUTIONS, NUMBERS),
    st.builds(initial, ODD),
    st.builds(
        lambda f, *side: boundary_data(f, (Side(*side),)),
        st.one_of(ODD, st.just(x * t)),
        st.sampled_from([x, t, u, None]),
        NUMBERS,
        NUMBERS,
        NUMBERS,
    ),
    st.sampled_from(JUNK),
)
ODD_SOLUTIONS = st.one_of(
    st.builds(Exact, ODD),
    st.builds(
        Reference, st.sampled_from([*JUNK, Formula("zero", lambda x, t: x[:, 0])]), NUMBERS, st.just("none")
    ),
    st.builds(Formula, st.sampled_from(JUNK), st.sampled_from(JUNK)),
    st.sampled_from(JUNK),
)


@st.composite
def problems(draw: st.DrawFn) -> PDE:
    """A problem one part of which, at most, may be anything."""
    odd = draw(st.sampled_from(["none", "operator", "operator", "domain", "ansatz", "solution", "source"]))
    choose = lambda part, sound, unusual: draw(unusual if part == odd else sound)
    return PDE(
        operator=choose("operator", operators(), operators(odd=True)),
        domain=choose("domain", DOMAINS, ODD_DOMAINS),
        ansatz=choose("ansatz", st.builds(Ansatz, SOLUTIONS, SOLUTIONS), ODD_ANSAETZE),
        solution=choose("solution", st.builds(Exact, SOLUTIONS), ODD_SOLUTIONS),
        source=choose("source", st.none(), ODD),
    )


def require_refused_or_usable(make: Callable[[], PDE]) -> None:
    """Makes a problem: it is refused by us, or lowered, pickled, described, and all its parts evaluated, as shapes."""
    try:
        pde = make()
    except ValueError as error:
        require_ours(error)
        event("refused")
        return
    event("made")
    assert pickle.loads(pickle.dumps(pde)).fingerprint == pde.fingerprint
    assert describe(pde)
    problem, known = pde.lower(), [] if pde.exact is None else [lower((pde.exact,), pde.dim)]
    assert pde.exact_nulls.keys() == (pde.nulls or {}).keys()

    def all_of(key: jax.Array) -> Any:
        at = problem.sample(key, 3)
        closed = problem.closed_expressions(at) if problem.has_closed_forms else ()
        values = problem.operator(*(at.x[:, 0] for _ in problem.atoms), points=at)
        parts = (
            values,
            problem.source(at),
            problem.ansatz(at),
            closed,
            problem.targets(at),
            problem.domain.contains(at),
        )
        return jax.tree.map(lambda a: jax.numpy.broadcast_to(a, 3), (parts, [f(at) for f in known]))

    jax.eval_shape(all_of, jax.random.key(0))


@given(data=st.data())
def test_a_problem_is_refused_in_words_or_can_be_used(data: st.DataObject) -> None:
    """Whatever its parts are handed: no error but a ValueError of ours, when the part or the problem is made."""
    require_refused_or_usable(lambda: data.draw(problems()))


SOUND = PDE(Dt(u) - Laplacian(u), Box(1, horizon=1.0), initial(r2), Exact(r2 + 2 * d * t), name="heat")
PARTIAL = PDE(D(u, t) - D(u, x, x), Box(1, horizon=1.0), initial(x**2), Exact(x**2 + 2 * t), name="heat")
FIELDS: dict[str, st.SearchStrategy] = {
    "probe": st.one_of(NUMBERS, st.tuples(NUMBERS, NUMBERS)),
    "enhanced": st.one_of(
        NUMBERS, st.lists(st.just(x)), st.tuples(st.sampled_from([x, y, t, u, None, np.ones(2)]))
    ),
    "enhanced_weight": NUMBERS,
    "nulls": st.dictionaries(st.sampled_from(["a", "b", 1]), st.one_of(ODD, SOLUTIONS), max_size=2),
    "conditions": st.tuples(
        st.one_of(
            st.builds(Condition, NUMBERS, SOLUTIONS, NUMBERS, NUMBERS),
            st.builds(Condition, st.just(0), st.one_of(ODD, SOLUTIONS), st.just(1)),
            st.builds(BoundaryCondition, NUMBERS, NUMBERS, st.one_of(SOLUTIONS, ODD), NUMBERS),
            st.builds(
                BoundaryCondition,
                st.just(1),
                st.just(0),
                face=st.one_of(NUMBERS, st.tuples(NUMBERS, NUMBERS)),
            ),
            st.builds(Periodic, NUMBERS, NUMBERS, NUMBERS),
        )
    ),
    "caveat": NUMBERS,
    "name": NUMBERS,
    "seed": NUMBERS,
}


@given(data=st.data())
def test_the_other_fields_are_refused_in_words_or_can_be_used(data: st.DataObject) -> None:
    """One field is changed in a problem that is sound, dimension-generic or not."""
    name = data.draw(st.sampled_from(sorted(FIELDS)))
    change = lambda: {name: data.draw(st.one_of(FIELDS[name], st.sampled_from(JUNK)))}
    require_refused_or_usable(lambda: replace(data.draw(st.sampled_from([SOUND, PARTIAL])), **change()))


@st.composite
def sound_problems(draw: st.DrawFn) -> PDE:
    """A problem in two to four dimensions with time, all of whose parts are allowed."""
    solution = sum(draw(SOLUTIONS) for _ in range(draw(st.integers(1, 2))))
    domain = Gaussian(draw(st.integers(2, 4)), horizon=1.0)
    return PDE(draw(operators()), domain, initial(solution.subs(t, 0)), Exact(solution))


@settings(max_examples=2 if settings().max_examples < 1000 else 200)
@given(data=st.data())
def test_what_is_made_is_right(data: st.DataObject) -> None:
    """The derived source is the operator applied to the solution, by SymPy on explicit coordinates and by nested autodiff.

    Every example compiles for seconds: 4 by default, 200 with `make fuzz`.
    """
    try:
        pde = data.draw(sound_problems())
    except ValueError as error:
        require_ours(error)
        return
    report = verify(pde, test_size=20)
    assert report.ok, (pde.operator, pde.exact, [c for c in report.checks if not c.ok])
