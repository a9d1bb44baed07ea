"""Proofs and audits: why nobody has to trust a source term.

`verify(pde)` (1) proves the calculus: the source, derived by the window-sum rules, equals the operator applied to the explicit
solution by SymPy's own differentiation, in 50-digit arithmetic at random rational points, at several small dimensions;
(2) compares the lowered O(d) source with nested autodiff of the lowered solution in float64, the ansatz' closed
derivatives with independently computed ones, and all of these in float32, in which solvers work, with float64; (3) checks that
the ansatz meets its condition for any network; (4) that samples lie in the domain and follow the declared measure; and (5)
audits: errors of the null predictors, degeneracy, whether the ansatz leaks the solution, and whether a condition is held at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import sympy as sp

from ..calculus import atoms, collective
from ..condition import BoundaryCondition, Condition
from ..domain import BadDimension, kolmogorov_smirnov_bound
from ..lowering.autodiff import nested_autodiff
from ..lowering.lowered import lower
from ..lowering.points import Points, in_float64
from ..pde import PDE
from ..problem import ClosedForms, ClosedPartials, Problem
from ..solution import Reference
from .boundary import boundary_deviation, misplaced
from .nulls import degenerate, null_errors
from .testset import TestSet

_DIGITS = 50
_PROOF_TOLERANCE = 1e-40
_AUTODIFF_TOLERANCE = 1e-9
_LEAK = 1e-12
_SINGLE_TOLERANCE = (
    1e-2  # the derivatives of `hjb/whole-space`, singular at its last time, reach 4e-3; all others 1e-5
)
_OWN_DIMENSION = 20  # explicit calculus in so many coordinates takes seconds
_NOISE = 1e-4  # a quantity this much smaller than others of its problem is rounding, as a harmonic function's Laplacian may be


@dataclass(frozen=True)
class Check:
    """One proof or check: what was expected, how it was tested, and what came out; and what to try if it fails.

    `value` is the largest deviation that was found.
    """

    name: str
    ok: bool
    method: str
    value: float
    detail: str = ""
    expected: str = ""
    advice: str = ""

    @property
    def seen(self) -> str:
        """The method, the deviation and the detail, in one line."""
        return f"{self.method}, deviation {self.value:.2g}{'. ' + self.detail if self.detail else ''}"


@dataclass(frozen=True)
class Claim:
    """What a kind of check expects, and what to try where it fails."""

    name: str
    expected: str
    advice: str

    def check(self, ok: bool, method: str, value: float, detail: str = "") -> Check:
        """What came out, once it was tested."""
        return Check(self.name, bool(ok), method, value, detail, self.expected, self.advice)


RESIDUAL = Claim(
    "residual",
    "the operator, applied to the solution by SymPy's own differentiation, is the source",
    "compare the declared source with the operator on paper, or leave it out: it is then derived",
)
COMPUTED_RESIDUAL = Claim(
    "residual",
    "the operator, applied to the computed solution by central differences, is the source, the more so the finer they are",
    "compare the formula with the equation, and make it smooth to the error that it claims",
)
REFERENCE = Claim("reference", "the solution is quoted with its source and its error", "give both")
SOURCE = Claim(
    "source",
    "the O(d) source agrees with nested autodiff of the solution in float64",
    "the lowered code loses digits: rewrite a kernel with a huge range or a cancellation (1 − cos x near 0)",
)
ANSATZ = Claim(
    "ansatz",
    "the closed derivatives of the ansatz agree with derivatives of the ansatz itself",
    "the lowered ansatz loses digits: rewrite a kernel with a huge range or a cancellation",
)
SINGLE = Claim(
    "single precision",
    "source, ansatz and solution evaluated in float32, in which solvers work, are finite and agree with float64",
    "rewrite the kernel so that no part of it overflows: 1/cosh(z)² as 1 − tanh(z)², 1/(1 + exp(z)) as (1 − tanh(z/2))/2",
)
CONDITION = Claim(
    "condition",
    "the ansatz is the solution wherever the condition holds, for any network",
    "evaluate both there: often the factor belongs to another radius or another time",
)
BOUNDARY = Claim(
    "condition",
    "the solution meets the soft condition on the boundary",
    "compare the target with α u* + β ∂u*/∂n there, n the outward normal, or leave it out: it is then derived",
)
INSIDE = Claim("inside", "samples lie in the domain", "compare `sample` and `contains` of your domain")
MEASURE = Claim(
    "measure",
    "samples follow the measure that the domain declares",
    "compare `sample` and `uniforms` of your domain, or name the measure that it follows",
)


@dataclass(frozen=True)
class Report:
    """What `verify` found on one problem."""

    name: str
    dim: int
    fingerprint: str
    checks: tuple[Check, ...]
    audit: dict[str, Any]
    caveat: str = ""

    @property
    def ok(self) -> bool:
        """Whether every check came out as it should. The audit is information, not a check.

        A problem kept as its authors print it, with a caveat, is expected not to be solved by its claimed solution.
        """
        proofs = [c.ok for c in self.checks if c.name in ("residual", "source")]
        others = [c.ok for c in self.checks if c.name not in ("residual", "source")]
        return all(others) and (not all(proofs) if self.caveat else all(proofs))

    def json(self) -> dict[str, Any]:
        """The report as plain data; a deviation that is not finite is None."""
        return _plain(asdict(self) | {"ok": self.ok})


def _plain(value: Any) -> Any:
    """Plain data without infinite or undefined numbers, which JSON has not: None stands for them."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def verify(pde: PDE, remake: Callable[[int], PDE] | None = None, test_size: int = 4000) -> Report:
    """Prove and audit a problem.

    `remake(dim)` gives it at another dimension; without it, the registry does, for a problem that is registered. Any other is
    proven at its own dimension alone. Raises ValueError where that is too large for a proof.
    """
    at = remake or _registered(pde)
    if isinstance(pde.solution, Reference):
        proofs = [_reference(pde, pde.solution)]
    else:
        proofs = [_calculus(p) for p in _instances(pde, at, _small_dimensions(pde))]
        proofs += [_autodiff(p) for p in _instances(pde, at, _moderate_dimensions(pde))]
    ansatz = _ansatz(*_instances(pde, at, [min(pde.dim, max(10, _widest(pde)))]))
    checks = (*proofs, ansatz, _single_precision(pde), *_conditions(pde), *_sampling(pde))
    return Report(pde.name, pde.dim, pde.fingerprint, checks, audit(TestSet(pde, test_size)), pde.caveat)


def audit(test: TestSet) -> dict[str, Any]:
    """Null errors, whether the problem is degenerate, and whether the ansatz alone (n = 0) is the solution."""
    errors = null_errors(test)
    findings = {
        "null_errors": {name: e["relative_l2"] for name, e in errors.items()},
        "degenerate": degenerate(errors),
        "leak": errors["zero"]["relative_l2"] < _LEAK,
    }
    remark = _no_condition(test.pde)
    return findings | ({"condition": remark} if remark else {})


def _no_condition(pde: PDE) -> str | None:
    """What to say where no condition could be checked; None where there are some, or nothing to be held."""
    if pde.ansatz.holds or pde.conditions or not any(atoms.meaning(a).order for a in pde.atoms):
        return None
    if pde.ansatz.factor.free_symbols - {collective.d}:
        return "the ansatz does not say where it holds a condition (`holds`), so that none was checked"
    return (
        "none is held, neither by the ansatz nor by a term of the loss: to a solution, any function may be added that the "
        "operator does not see, unless growth at infinity rules it out"
    )


def _registered(pde: PDE) -> Callable[[int], PDE] | None:
    """How the registry makes the problem at another dimension; None where it has no such problem, or another of that name."""
    from .. import make, names

    if pde.name not in names() or make(pde.name, pde.dim, pde.seed) != pde:
        return None
    return lambda dim: make(pde.name, dim, pde.seed)


def _instances(pde: PDE, remake: Callable[[int], PDE] | None, dims: list[int]) -> list[PDE]:
    """The problem at those of the dimensions that it has; at its own where it has none of them."""
    if isinstance(pde.solution, Reference) or pde.is_low_dimensional:
        return [pde]
    if remake is None:
        if pde.dim > _OWN_DIMENSION:
            raise ValueError(
                f"a problem is proven in few dimensions (here up to {_OWN_DIMENSION}), got {pde.dim} and no way to make it in "
                "others: give `remake`, a function of the dimension, or register the problem"
            )
        return [pde]
    made = []
    for dim in dims:
        try:
            made.append(pde if dim == pde.dim else remake(dim))
        except BadDimension:
            continue
    return made or [pde]


def _widest(pde: PDE) -> int:
    return (
        max((s.width for s in collective.window_sums(pde.exact)), default=1) if pde.exact is not None else 1
    )


def _small_dimensions(pde: PDE) -> list[int]:
    return [_widest(pde), _widest(pde) + 2]


def _moderate_dimensions(pde: PDE) -> list[int]:
    """The largest is where nested autodiff, O(d³) for Δu and O(d⁵) for Δ²u, still takes seconds."""
    largest = 20 if any(atoms.meaning(a).order > 2 for a in pde.atoms) else 50
    return [max(2, _widest(pde)), 10, largest]


def _calculus(pde: PDE) -> Check:
    """N[u*] − g at random rational points, both sides explicit in x_0 … x_{d−1}; derivatives by SymPy alone."""
    explicit, x = collective.expand(pde.exact, pde.dim)
    source, _ = collective.expand(sp.sympify(pde.exact_source), pde.dim)
    values = {a: atoms.meaning(a).definition(explicit, x) for a in atoms.atoms_of(pde.operator)}
    point = _rational_point(x, pde.dim)
    named = {a: sp.Dummy(real=True) for a in values}
    coefficients, _ = collective.expand(pde.operator.xreplace(named), pde.dim)
    left = coefficients.xreplace(
        point | {named[a]: sp.N(v.xreplace(point), _DIGITS) for a, v in values.items()}
    )
    right = sp.N(source.xreplace(point), _DIGITS)
    terms = (explicit, *values.values())  # u too: a harmonic function has Δu = 0
    size = max([sp.Abs(right), *(sp.Abs(sp.N(v.xreplace(point), _DIGITS)) for v in terms)])
    deviation = _relative(float(sp.Abs(sp.N(left, _DIGITS) - right)), float(size))
    return RESIDUAL.check(
        deviation < _PROOF_TOLERANCE, f"{_DIGITS}-digit arithmetic, d = {pde.dim}", deviation
    )


def _rational_point(x: tuple[Any, ...], dim: int) -> dict[Any, Any]:
    rng = np.random.default_rng(dim)
    draw = lambda: sp.Rational(*Fraction(int(rng.integers(-99, 100)), 200).as_integer_ratio())
    time = sp.Rational(int(rng.integers(1, 20)), 80)
    space = {c: draw() for c in x}
    return space | {atoms.x: space[x[0]], atoms.y: space[x[-1]], collective.t: time}


def _autodiff(pde: PDE) -> Check:
    """The lowered source against nested autodiff of the lowered solution, float64."""
    points = pde.domain.sample(jax.random.key(1), 16)
    lowered, problem = lower((pde.exact,), pde.dim), pde.lower()

    def both(p: Points) -> tuple[Any, ...]:
        values = nested_autodiff(lambda q: lowered(q)[0], p, pde.atoms)
        left = jnp.stack(problem.operator(*(values[a] for a in pde.atoms), points=p))
        sizes = [jnp.max(jnp.abs(v)) for v in values.values()] + [jnp.ptp(lowered(p)[0])]
        return left, jnp.stack(problem.source(p)), jnp.stack(sizes)

    expected, lowered_source, sizes = in_float64(jax.jit(both), points)
    deviation = _relative(np.abs(expected - lowered_source).max(), sizes.max())
    return SOURCE.check(deviation < _AUTODIFF_TOLERANCE, f"float64 nested autodiff, d = {pde.dim}", deviation)


def _ansatz(pde: PDE) -> Check:
    """The ansatz' closed derivatives, which every estimator relies on, against derivatives of the ansatz itself."""
    problem = pde.lower()
    if not problem.has_closed_forms:
        return ANSATZ.check(
            True, "nothing to compare", 0.0, "an ansatz with max x_i has no closed derivatives"
        )
    points = pde.domain.sample(jax.random.key(5), 2)
    closed: Any
    if problem.is_low_dimensional:
        method, closed = (
            f"{_DIGITS}-digit differences",
            in_float64(jax.jit(lambda p: problem.closed_partials(p)), points),
        )
        wanted: Any = _numeric_ansatz(pde, closed, points)
    else:
        method, closed = "float64 Hessians", in_float64(jax.jit(lambda p: problem.closed(p)), points)
        wanted = _hessian_ansatz(problem, points)
    pairs = zip(jax.tree.leaves(closed), jax.tree.leaves(wanted), strict=True)
    deviation = float(max(np.abs(f - w).max() / max(1.0, np.abs(w).max()) for f, w in pairs))
    return ANSATZ.check(deviation < _AUTODIFF_TOLERANCE, f"{method}, d = {pde.dim}", deviation)


def _single_precision(pde: PDE) -> Check:
    """What solvers evaluate, in float32 and in float64 at the same training points."""
    points = pde.domain.sample(jax.random.key(6), max(1, min(2000, 2**22 // pde.dim)))
    problem, solution = pde.lower(), () if pde.exact is None else (lower((pde.exact,), pde.dim),)
    closed = (problem.closed_expressions,) if problem.has_closed_forms else ()
    labelled: list[tuple[str, Any]] = [("source", problem.source), ("ansatz", problem.ansatz)]
    labelled += [("derivatives of the ansatz", f) for f in closed] + [("solution", f) for f in solution]
    evaluate = jax.jit(lambda p: [f(p) for _, f in labelled])
    single, double = evaluate(points), in_float64(jax.jit(lambda p: evaluate(p)), points)
    labels = [name for (name, _), values in zip(labelled, double, strict=True) for _ in values]
    single_values = [np.asarray(v, np.float64) for values in single for v in values]
    wanted = [v for values in double for v in values]
    method = (
        f"{len(points.x)} training points, to {_SINGLE_TOLERANCE:g} of the root mean square, d = {pde.dim}"
    )
    for name, value, exact in zip(labels, single_values, wanted, strict=True):
        if not np.isfinite(value).all():
            return SINGLE.check(False, method, math.inf, _not_finite(name, value, exact, points))
    sizes = [_root_mean_square(v) for v in wanted]
    least = _NOISE * max(sizes)
    deviations = [
        _relative(_root_mean_square(v - e), max(size, least))
        for v, e, size in zip(single_values, wanted, sizes, strict=True)
    ]
    worst = int(np.argmax(deviations))
    return SINGLE.check(deviations[worst] < _SINGLE_TOLERANCE, method, deviations[worst], labels[worst])


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _not_finite(name: str, value: np.ndarray, exact: np.ndarray, points: Points) -> str:
    """Where a quantity is not finite in float32, for instance."""
    wrong = np.flatnonzero(~np.isfinite(value))
    first = wrong[0]
    norm = np.linalg.norm(np.asarray(points.x[first], np.float64))
    time = "" if points.t is None else f" and t = {float(points.t[first]):.3g}"
    share = len(wrong) / len(value)
    return (
        f"the {name} is not finite at {share:.1%} of the points, as where |x| = {norm:.3g}{time}: {value[first]}, in float64 "
        f"{exact[first]:.3g}"
    )


def _hessian_ansatz(problem: Problem, points: Points) -> ClosedForms:
    """The closed forms, from gradients and Hessians of a and b."""

    def single(x: Any, time: Any) -> Any:
        return jnp.stack(
            [v[0] for v in problem.ansatz(Points(x[None], None if points.t is None else time[None]))]
        )

    def one(x: Any, time: Any) -> ClosedForms:
        (ga, gb), (ha, hb) = jax.jacfwd(single)(x, time), jax.hessian(single)(x, time)
        return ClosedForms(jnp.trace(ha), jnp.trace(hb), ga @ ga, ga @ gb, gb @ gb)

    time = jnp.zeros(points.x.shape[0]) if points.t is None else points.t
    return in_float64(jax.jit(jax.vmap(one)), points.x, time)


def _numeric_ansatz(pde: PDE, wanted: ClosedPartials, points: Points) -> ClosedPartials:
    """∂^β of a and b by mpmath's differences, with digits to spare for their cancellation."""
    coordinates = (*(atoms.x, atoms.y)[: pde.dim], collective.t)
    time = np.zeros(len(points.x)) if points.t is None else points.t
    rows = [tuple(map(mpmath.mpf, map(float, row))) for row in np.column_stack([points.x, time])]

    def derivatives(expr: Any, indices: Iterable[Any]) -> dict[Any, np.ndarray]:
        function = sp.lambdify(coordinates, collective.expand(expr, pde.dim)[0], "mpmath")
        at = lambda index: np.array([float(mpmath.diff(function, row, index)) for row in rows])
        return {index: at(index) for index in indices}

    with mpmath.workdps(_DIGITS):
        return ClosedPartials(
            derivatives(pde.ansatz.factor, wanted.a), derivatives(pde.ansatz.offset, wanted.b)
        )


def _conditions(pde: PDE) -> list[Check]:
    """Where the hard condition holds, the factor of the network is 0 and the offset is u*; soft targets are u* too."""
    hard = [
        _agreement(pde, in_float64(p.project, _some(pde)), pde.ansatz.offset, pde.ansatz.factor, repr(p))
        for p in pde.ansatz.holds
    ]
    soft = [
        _agreement(pde, _some(pde, c.time), c.target, 0, f"t = {c.time:g}, soft")
        if isinstance(c, Condition)
        else _on_boundary(pde, number)
        for number, c in enumerate(pde.conditions)
    ]
    return hard + soft


def _on_boundary(pde: PDE, number: int) -> Check:
    """A soft condition on the boundary, at u*."""
    condition: Any = pde.conditions[number]
    method = f"{condition.place}, soft"
    points = condition.draw(pde.domain, jax.random.key(2), 64)
    outside = misplaced(pde.domain, points, unit=isinstance(condition, BoundaryCondition))
    if outside:
        return BOUNDARY.check(False, method, float("inf"), f"{outside}: see `boundary` of your domain")
    if pde.exact is None:
        return BOUNDARY.check(True, method, 0.0, "given: the solution is no closed form")
    deviation = boundary_deviation(pde, number, points)
    return BOUNDARY.check(deviation < 1e-5, method, deviation)


def _some(pde: PDE, time: float | None = None) -> Points:
    return pde.domain.sample(jax.random.key(2), 64, time)


def _agreement(pde: PDE, points: Points, value: Any, factor: Any, where: str) -> Check:
    """|value − u*| and |factor| at points, which float32 may have rounded where a projection has constants of its own."""
    symbolic = (sp.sympify(value), sp.sympify(factor)) + ((pde.exact,) if pde.exact is not None else ())
    lowered = lower(symbolic, pde.dim)
    offset, zero, *rest = in_float64(jax.jit(lambda p: lowered(p)), points)
    exact = rest[0] if rest else _reference_values(pde, points)
    if exact is None:
        return CONDITION.check(True, where, 0.0, "given: the solution is known at one point only")
    deviation = float(max(np.abs(zero).max(), np.abs(offset - exact).max() / max(1.0, np.abs(exact).max())))
    return CONDITION.check(deviation < 1e-5, where, deviation)


def _reference_values(pde: PDE, points: Points) -> np.ndarray | None:
    assert isinstance(pde.solution, Reference)
    return None if pde.solution.at is not None else pde.solution.formula.values(points)


def _reference(pde: PDE, reference: Reference) -> Check:
    """The residual of a computed solution by central differences on it; of a single value, its quoted error."""
    if reference.at is not None:
        return REFERENCE.check(True, f"quoted: {reference.source}", reference.error)
    residual = max(_difference_residual(pde, reference, step) for step in (1e-2, 5e-3))
    finer = _difference_residual(pde, reference, 2.5e-3)
    return COMPUTED_RESIDUAL.check(
        finer < 1e-3 and finer < residual, "central differences, step 0.0025", finer, reference.source
    )


def _difference_residual(pde: PDE, reference: Reference, step: float) -> float:
    """max |N[u] − g| / max |u_t| with every derivative by central differences on the reference."""
    points = pde.domain.sample(jax.random.key(4), 8, 0.5 * (pde.domain.horizon or 1))
    x, times = np.asarray(points.x, np.float64), np.asarray(points.t, np.float64)
    f = reference.formula.function
    value, shifts = f(x, times), step * np.eye(pde.dim)
    sides = np.stack([(f(x + e, times), f(x - e, times)) for e in shifts])
    first = (f(x, times + step * 0.1) - f(x, times - step * 0.1)) / (0.2 * step)
    values = {
        atoms.u: value,
        atoms.Laplacian(atoms.u): (sides.sum(axis=1) - 2 * value).sum(axis=0) / step**2,
        atoms.GradNormSq(atoms.u): ((sides[:, 0] - sides[:, 1]) ** 2).sum(axis=0) / (2 * step) ** 2,
        atoms.Dt(atoms.u): first,
    }
    problem = pde.lower()
    left = np.asarray(problem.operator(*(jnp.asarray(values[a]) for a in pde.atoms), points=points)[0])
    right = np.asarray(problem.source(points)[0])
    return _relative(np.abs(left - right).max(), np.abs(first).max())


def _relative(difference: float, size: float) -> float:
    """A deviation relative to a size: 0 where there is none, whatever the size; infinite where the size alone is 0."""
    if difference == 0:
        return 0.0
    return float(difference / size) if size else math.inf


def _sampling(pde: PDE) -> tuple[Check, Check]:
    """Samples lie in the domain; statistics that the measure makes uniform pass a Kolmogorov-Smirnov test."""
    count = max(200, min(20_000, 2**22 // pde.dim))
    points = pde.domain.sample(jax.random.key(3), count)
    outside = float(np.mean(~np.asarray(pde.domain.contains(points))))
    distances = {k: _kolmogorov_smirnov(v) for k, v in pde.domain.uniforms(points).items()}
    worst = max(distances, key=lambda k: distances[k])
    bound = kolmogorov_smirnov_bound(count)
    return (
        INSIDE.check(outside == 0, f"{count} samples", outside),
        MEASURE.check(
            distances[worst] < bound, f"Kolmogorov-Smirnov, bound {bound:.4f}", distances[worst], worst
        ),
    )


def _kolmogorov_smirnov(values: np.ndarray) -> float:
    ordered = np.sort(values)
    grid = np.arange(len(ordered) + 1) / len(ordered)
    return float(max(np.abs(grid[1:] - ordered).max(), np.abs(ordered - grid[:-1]).max()))
