"""The PDE record, and what follows from it: source term, residual, fingerprint, the lowered problem."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import sympy as sp
from jaxtyping import Array, Float, PRNGKeyArray

from . import atoms as vocabulary
from . import collective
from .ansatz import Ansatz
from .blend import Blended, lower_blended, partial_derivative
from .domain import Domain
from .lower import Fused, Lowered, Points, compile_expressions, lower, lower_fused
from .solution import Exact, Formula, Reference

g = sp.Symbol("g", real=True)
"""The source term, where a null predictor declares itself as a function of it."""


class BadDimension(ValueError):
    """A dimension that is not a whole number of at least 1, or that this problem cannot have."""


@dataclass(frozen=True)
class Condition:
    """A soft condition: u = target at one time, as a term of the loss.

    weight · mean (u − target)² + gradient_weight · mean |∇(u − target)|², points drawn by the domain at that time.
    """

    time: float
    target: Any
    weight: float
    gradient_weight: float = 0.0


@dataclass(frozen=True)
class PDE:
    """N[u] = g on a domain, with an ansatz that meets the conditions and a known solution u*.

    The source g is derived: N applied to u*, by exact calculus. Where the equation has none, say so with
    `source=0`, and `verify` proves it. `conditions` are soft. `nulls` are further predictors, by name, that training has
    to beat: SymPy expressions that may contain `g`, or Formulas. `probe` is a point (x, t), x the value that all coordinates share,
    at which the error is reported too. `enhanced` names coordinates in which the residual is
    differentiated too (a gradient-enhanced loss), with the weight of those terms. `caveat` says what is known to be wrong
    with the problem as its authors state it: its checks may then fail, and are reported as an audit.
    """

    operator: Any
    domain: Domain
    ansatz: Ansatz
    solution: Exact | Reference
    source: Any = None
    conditions: tuple[Condition, ...] = ()
    nulls: Mapping[str, Any] | None = None
    probe: tuple[float, float] | None = None
    enhanced: tuple[Any, ...] = ()
    enhanced_weight: float = 0.0
    caveat: str = ""
    name: str = "unnamed"
    seed: int = 0

    def __post_init__(self) -> None:
        widths = [s.width for s in collective.window_sums(self.exact)] if self.exact is not None else []
        if max(widths, default=1) > self.dim:
            raise BadDimension(f"this problem needs dimension ≥ {max(widths)}, got {self.dim}")
        if self.exact is None and self.source is None:
            raise ValueError("a PDE without a closed-form solution must give its source term")

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PDE) and (self.fingerprint, self.name) == (other.fingerprint, other.name)

    @property
    def dim(self) -> int:
        """Number of space dimensions."""
        return self.domain.dim

    @cached_property
    def exact(self) -> Any:
        """u* as an expression; None where there is only a reference."""
        return sp.sympify(self.solution.expr) if isinstance(self.solution, Exact) else None

    @cached_property
    def operators(self) -> tuple[Any, ...]:
        """N, and ∂N/∂c for every coordinate c of a gradient-enhanced loss."""
        return (self.operator, *(vocabulary.D(self.operator, c) for c in self.enhanced))

    @cached_property
    def atoms(self) -> tuple[Any, ...]:
        """What the operators ask of a derivative estimator."""
        found = {a for operator in self.operators for a in vocabulary.atoms_of(operator)}
        return tuple(sorted(found, key=sp.default_sort_key))

    @cached_property
    def exact_source(self) -> Any:
        """g as an expression: N[u*], unless the equation declares its own."""
        if self.source is not None:
            return sp.sympify(self.source)
        return vocabulary.apply(self.operator, self.exact)

    @cached_property
    def sources(self) -> tuple[Any, ...]:
        """The right-hand side of every operator."""
        return (self.exact_source, *(sp.diff(self.exact_source, c) for c in self.enhanced))

    @cached_property
    def exact_nulls(self) -> dict[str, Any]:
        """The declared null predictors: expressions, or formulas as they are."""
        return {name: self._null(null) for name, null in (self.nulls or {}).items()}

    def _null(self, null: Any) -> Any:
        return null if isinstance(null, Formula) else sp.sympify(null).xreplace({g: self.exact_source})

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical operator, domain, ansatz, solution, source and measure."""
        parts = {
            "operator": [sp.srepr(operator) for operator in self.operators],
            "domain": [type(self.domain).__name__, _canonical(vars(self.domain)), self.domain.measure],
            "ansatz": [_canonical_value(e) for e in (self.ansatz.factor, self.ansatz.offset)],
            "conditions": [_canonical(vars(c)) for c in self.conditions],
            "solution": [type(self.solution).__name__, _canonical(vars(self.solution))],
            "source": None if self.source is None else sp.srepr(sp.sympify(self.source)),
        }
        if self.enhanced:  # a change of weight is another problem; one without such terms keeps its name
            parts["enhanced weight"] = self.enhanced_weight
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def lower(self) -> Problem:
        """The problem as JAX functions; made once."""
        return self._problem

    @cached_property
    def _problem(self) -> Problem:
        closed = _closed_expressions(self)
        return Problem(
            source=lower_fused(self.sources, self.dim),
            ansatz=lower((self.ansatz.factor, self.ansatz.offset), self.dim),
            closed_forms=_lower_closed(self, tuple(closed.values())),
            diffusions=lower(_diffusion_weights(self), self.dim),
            targets=lower(tuple(sp.sympify(c.target) for c in self.conditions), self.dim),
            operator=_operators(self.operators, self.atoms, self.dim),
            atoms=self.atoms,
            closed_names=tuple(closed),
            factor=self.ansatz.factor,
            domain=self.domain,
            conditions=self.conditions,
            enhanced_weight=self.enhanced_weight,
        )


class Problem(eqx.Module):
    """A PDE lowered to JAX: a pytree whose leaves are coefficient arrays, to be passed into compiled functions."""

    source: Fused
    ansatz: Lowered
    closed_forms: Lowered | Blended
    diffusions: Lowered
    targets: Lowered
    operator: Callable[..., list] = eqx.field(static=True)
    atoms: tuple[Any, ...] = eqx.field(static=True)
    closed_names: tuple[Any, ...] = eqx.field(static=True)
    factor: Any = eqx.field(static=True)
    domain: Domain = eqx.field(static=True)
    conditions: tuple[Condition, ...] = eqx.field(static=True)
    enhanced_weight: float = eqx.field(static=True)

    @property
    def has_time(self) -> bool:
        """Whether points carry a time."""
        return self.domain.horizon is not None

    def sample(self, key: PRNGKeyArray, count: int) -> Points:
        """Training points."""
        return self.domain.sample(key, count)

    def residual(self, values: Mapping[Any, Array], points: Points) -> Float[Array, "operators batch"]:
        """(N[u] − g)/scale from the values of the operators' atoms; the scale is the domain's.

        The rows after the first, of a gradient-enhanced loss, come with the square root of their weight.
        """
        left = self.operator(*(values[a] for a in self.atoms))
        right = self.source(points)
        rows = [(a - b) / self.domain.scale for a, b in zip(left, right, strict=True)]
        weight = self.enhanced_weight**0.5
        return jnp.stack([rows[0], *(weight * row for row in rows[1:])])

    def closed(self, points: Points) -> dict[Any, Array]:
        """Derivatives of the ansatz' parts a and b: by name (see CLOSED), or by ("a", β) and ("b", α) in low dimensions."""
        return dict(zip(self.closed_names, self.closed_forms(points), strict=True))


CLOSED = ("Δa", "Δb", "|∇a|²", "∇a·∇b", "|∇b|²")
"""What an exact operator on u = b + a n needs of the ansatz beside the network's derivatives."""

Index = tuple[int, ...]
"""A multi-index over the coordinates (x, t) or (x, y, t) of a low-dimensional problem."""


def down_closure(indices: tuple[Index, ...]) -> tuple[Index, ...]:
    """All β ≤ α for some α among the indices: what Leibniz' rule needs."""
    below = {beta for alpha in indices for beta in itertools.product(*(range(n + 1) for n in alpha))}
    return tuple(sorted(below))


def _coordinates(dim: int) -> tuple[Any, ...]:
    return (*(vocabulary.x, vocabulary.y)[:dim], collective.t)


def multi_index(atom: Any, dim: int) -> Index:
    """How often an atom (u or a partial derivative of it) differentiates in x, (y,) t."""
    coordinates = _coordinates(dim)
    variables = list(atom.variables) if isinstance(atom, sp.Derivative) else []
    return tuple(variables.count(c) for c in coordinates)


def _closed_expressions(pde: PDE) -> dict[Any, Any]:
    a, b = pde.ansatz.factor, _offset(pde)
    if any(isinstance(atom, sp.Derivative) for atom in pde.atoms):
        return _closed_partials(pde, a, b)
    if b.has(collective.coordinate_max):
        return {}
    laplacians = [vocabulary.apply_atom(vocabulary.Laplacian(vocabulary.u), e) for e in (a, b)]
    gradients = [collective.grad_dot(e, f) for e, f in ((a, a), (a, b), (b, b))]
    return dict(zip(CLOSED, (*laplacians, *gradients), strict=True))


def _closed_partials(pde: PDE, a: Any, b: Any) -> dict[Any, Any]:
    """∂^β a for all β below the operator's partials, and ∂^α b for those themselves."""
    wanted = tuple(multi_index(atom, pde.dim) for atom in pde.atoms)
    partial = lambda f, index: partial_derivative(f, _coordinates(pde.dim), index)
    factors = {("a", beta): partial(a, beta) for beta in down_closure(wanted)}
    return factors | {("b", alpha): partial(b, alpha) for alpha in wanted}


def _offset(pde: PDE) -> Any:
    """b as its derivatives are taken."""
    return pde.ansatz.blend.expr if pde.ansatz.blend else pde.ansatz.offset


def _lower_closed(pde: PDE, exprs: tuple[Any, ...]) -> Lowered | Blended:
    """Derivatives of a and b."""
    blend = pde.ansatz.blend
    return lower_blended(exprs, blend.solution, pde.dim) if blend else lower(exprs, pde.dim)


def _diffusion_weights(pde: PDE) -> tuple[Any, ...]:
    return tuple(a.args[1] for a in pde.atoms if isinstance(a, vocabulary.Diffusion))


def _operators(operators: tuple[Any, ...], atoms: tuple[Any, ...], dim: int) -> Callable[..., list]:
    symbols = {atom: sp.Symbol(f"a{i}", real=True) for i, atom in enumerate(atoms)}
    bare = []
    for operator in operators:
        derivatives = {a: s for a, s in symbols.items() if a != vocabulary.u}
        bare.append(operator.xreplace(derivatives).xreplace({**symbols, collective.d: sp.Integer(dim)}))
    return compile_expressions(tuple(symbols.values()), tuple(bare))


def _canonical(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _canonical_value(v) for k, v in fields.items() if not k.startswith("_")}


def _canonical_value(value: Any) -> Any:
    if isinstance(value, sp.Basic):
        sums = collective.window_sums(value)
        return [sp.srepr(value), [[s.name, sp.srepr(s.kernel), s.width, repr(s.factors)] for s in sums]]
    return value if isinstance(value, int | float | str | bool | None) else repr(value)
