"""Proofs and audits: why nobody has to trust a source term.

`verify(pde)` (1) proves the calculus: the source, derived by the window-sum rules, equals the operator applied to the explicit
solution by SymPy's own differentiation, in 50-digit arithmetic at random rational points, at several small dimensions;
(2) compares the lowered O(d) source with nested autodiff of the lowered solution in float64; (3) checks that
the ansatz meets its condition for any network; (4) that samples lie in the domain and follow the declared
measure; and (5) audits: errors of the null predictors, degeneracy, whether the ansatz leaks the solution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp

from . import atoms, collective
from .domain import kolmogorov_smirnov_bound
from .lower import Points, in_float64, lower
from .nulls import degenerate, null_errors
from .pde import PDE
from .testset import TestSet

_DIGITS = 50
_PROOF_TOLERANCE = 1e-40
_AUTODIFF_TOLERANCE = 1e-9
_LEAK = 1e-12


@dataclass(frozen=True)
class Check:
    """One proof or check: what was done, how, and what came out. `value` is the largest deviation found."""

    name: str
    ok: bool
    method: str
    value: float
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """What `verify` found on one problem."""

    name: str
    dim: int
    fingerprint: str
    checks: tuple[Check, ...]
    audit: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether every check passed. The audit is information, not a check."""
        return all(c.ok for c in self.checks)

    def json(self) -> dict[str, Any]:
        """The report as plain data."""
        return asdict(self) | {"ok": self.ok}


def verify(pde: PDE, remake: Callable[[int], PDE] | None = None, test_size: int = 4000) -> Report:
    """Prove and audit a problem. `remake(dim)` gives it at another dimension (default: from the registry)."""
    at = remake or (lambda dim: _remake(pde, dim))
    checks = (
        *(_calculus(at(dim)) for dim in _small_dimensions(pde)),
        *(_autodiff(at(dim)) for dim in _moderate_dimensions(pde)),
        _condition(pde),
        *_sampling(pde),
    )
    return Report(pde.name, pde.dim, pde.fingerprint, checks, audit(TestSet(pde, test_size)))


def audit(test: TestSet) -> dict[str, Any]:
    """Null errors, whether the problem is degenerate, and whether the ansatz alone (n = 0) is the solution."""
    errors = null_errors(test)
    return {
        "null_errors": {name: e["relative_l2"] for name, e in errors.items()},
        "degenerate": degenerate(errors),
        "leak": errors["zero"]["relative_l2"] < _LEAK,
    }


def _remake(pde: PDE, dim: int) -> PDE:
    from . import make

    return pde if dim == pde.dim else make(pde.name, dim, pde.seed)


def _widest(pde: PDE) -> int:
    return max((s.width for s in collective.window_sums(sp.sympify(pde.solution.expr))), default=1)


def _is_generic(pde: PDE) -> bool:
    return bool(collective.window_sums(sp.sympify(pde.solution.expr)))


def _small_dimensions(pde: PDE) -> list[int]:
    return [_widest(pde), _widest(pde) + 2] if _is_generic(pde) else [pde.dim]


def _moderate_dimensions(pde: PDE) -> list[int]:
    return [max(2, _widest(pde)), 10, 50] if _is_generic(pde) else [pde.dim]


def _calculus(pde: PDE) -> Check:
    """N[u*] − g at random rational points, both sides explicit in x_0 … x_{d−1}; derivatives by SymPy alone."""
    explicit, x = collective.expand(sp.sympify(pde.solution.expr), pde.dim)
    source, _ = collective.expand(sp.sympify(pde.exact_source), pde.dim)
    values = {a: explicit_atom(a, explicit, x) for a in pde.atoms}
    point = _rational_point(x, pde.dim)
    left = pde.operator.xreplace({a: sp.N(v.xreplace(point), _DIGITS) for a, v in values.items()})
    right = sp.N(source.xreplace(point), _DIGITS)
    size = max([sp.Abs(right), *(sp.Abs(sp.N(v.xreplace(point), _DIGITS)) for v in values.values())])
    deviation = float(sp.Abs(sp.N(left, _DIGITS) - right) / size)
    return Check(
        "residual", deviation < _PROOF_TOLERANCE, f"{_DIGITS}-digit arithmetic, d = {pde.dim}", deviation
    )


def explicit_atom(atom: Any, u: Any, x: tuple[Any, ...]) -> Any:
    """An atom applied to an explicit u(x_0, …, t) by SymPy's differentiation: the definition, not the fast calculus."""
    space = x if not u.has(atoms.x, atoms.y) else (atoms.x, atoms.y)
    if isinstance(atom, atoms.Laplacian):
        return sp.Add(*(sp.diff(u, c, 2) for c in space))
    if isinstance(atom, atoms.Biharmonic):
        return sp.Add(*(sp.diff(u, c, 2, e, 2) for c in space for e in space))
    if isinstance(atom, atoms.GradNormSq):
        return sp.Add(*(sp.diff(u, c) ** 2 for c in space))
    if isinstance(atom, atoms.EulerDerivative):
        return sp.Add(*(c * sp.diff(u, c) for c in space))
    if isinstance(atom, atoms.Dt):
        return sp.diff(u, collective.t, int(atom.args[1]) if len(atom.args) > 1 else 1)
    return atoms.apply_atom(atom, u)


def _rational_point(x: tuple[Any, ...], dim: int) -> dict[Any, Any]:
    rng = np.random.default_rng(dim)
    draw = lambda: sp.Rational(*Fraction(int(rng.integers(-99, 100)), 200).as_integer_ratio())  # noqa: E731
    time = sp.Rational(int(rng.integers(1, 20)), 80)
    return {c: draw() for c in (*x, atoms.x, atoms.y)} | {collective.t: time}


def _autodiff(pde: PDE) -> Check:
    """The lowered source against nested autodiff of the lowered solution, float64."""
    points = pde.domain.sample(jax.random.key(1), 16)
    lowered, problem = lower((sp.sympify(pde.solution.expr),), pde.dim), pde.lower()

    def both(p: Points) -> tuple[Any, Any]:
        values = nested_autodiff(lambda q: lowered(q)[0], p, pde.atoms)
        return problem.operator(*(values[a] for a in pde.atoms))[0], problem.source(p)[0]

    expected, found = in_float64(jax.jit(both), points)
    terms = np.abs(expected).max() or 1.0
    deviation = float(np.abs(expected - found).max() / terms)
    return Check(
        "source", deviation < _AUTODIFF_TOLERANCE, f"float64 nested autodiff, d = {pde.dim}", deviation
    )


def nested_autodiff(
    value: Callable[[Points], Any], points: Points, wanted: tuple[Any, ...]
) -> dict[Any, Any]:
    """Every atom of a function `Points -> (B,)` by nesting jax.jacfwd: O(d²) and more, the reference for everything else."""

    def single(x: Any, time: Any) -> Any:
        return value(Points(x[None], None if points.t is None else time[None]))[0]

    time = jnp.zeros(points.x.shape[0], points.x.dtype) if points.t is None else points.t
    return {a: jax.vmap(_autodiff_atom(a, single))(points.x, time) for a in wanted}


def _autodiff_atom(atom: Any, f: Callable[..., Any]) -> Callable[..., Any]:
    if isinstance(atom, atoms.Laplacian):
        return lambda x, s: jnp.trace(jax.hessian(f)(x, s))
    if isinstance(atom, atoms.Biharmonic):
        inner = _autodiff_atom(atoms.Laplacian(atoms.u), f)
        return lambda x, s: jnp.trace(jax.hessian(inner)(x, s))
    if isinstance(atom, atoms.GradNormSq):
        return lambda x, s: jnp.sum(jax.grad(f)(x, s) ** 2)
    if isinstance(atom, atoms.EulerDerivative):
        return lambda x, s: x @ jax.grad(f)(x, s)
    if isinstance(atom, atoms.Dt):
        order = int(atom.args[1]) if len(atom.args) > 1 else 1
        return _repeat(f, [_in_time] * order)
    if isinstance(atom, sp.Derivative):
        places = {atoms.x: _in_space(0), atoms.y: _in_space(1), collective.t: _in_time}
        return _repeat(f, [places[c] for c in atom.variables])
    return f


def _repeat(f: Callable[..., Any], steps: list[Callable]) -> Callable[..., Any]:
    for step in steps:
        f = step(f)
    return f


def _in_time(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, s: jax.jvp(lambda q: f(x, q), (s,), (jnp.ones_like(s),))[1]


def _in_space(axis: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return lambda f: lambda x, s: jax.jvp(lambda q: f(q, s), (x,), (jnp.zeros_like(x).at[axis].set(1),))[1]


def _condition(pde: PDE) -> Check:
    """On the set where the hard condition holds, the factor of the network is 0 and the offset is u*."""
    points = pde.domain.boundary(jax.random.key(2), 64)
    exprs = tuple(sp.sympify(e) for e in (pde.ansatz.factor, pde.ansatz.offset, pde.solution.expr))
    lowered = lower(exprs, pde.dim)
    factor, offset, exact = in_float64(jax.jit(lambda p: lowered(p)), points)
    deviation = float(max(np.abs(factor).max(), np.abs(offset - exact).max() / max(1.0, np.abs(exact).max())))
    return Check("condition", deviation < 1e-5, "ansatz on float32 boundary points", deviation)


def _sampling(pde: PDE) -> tuple[Check, Check]:
    """Samples lie in the domain; statistics that the measure makes uniform pass a Kolmogorov-Smirnov test."""
    count = max(200, min(20_000, 2**22 // pde.dim))
    points = pde.domain.sample(jax.random.key(3), count)
    outside = float(np.mean(~np.asarray(pde.domain.contains(points))))
    distances = {k: _kolmogorov_smirnov(v) for k, v in pde.domain.uniforms(points).items()}
    worst = max(distances, key=lambda k: distances[k])
    bound = kolmogorov_smirnov_bound(count)
    return (
        Check("inside", outside == 0, f"{count} samples", outside),
        Check(
            "measure",
            distances[worst] < bound,
            f"Kolmogorov-Smirnov, bound {bound:.4f}",
            distances[worst],
            worst,
        ),
    )


def _kolmogorov_smirnov(values: np.ndarray) -> float:
    ordered = np.sort(values)
    grid = np.arange(len(ordered) + 1) / len(ordered)
    return float(max(np.abs(grid[1:] - ordered).max(), np.abs(ordered - grid[:-1]).max()))
