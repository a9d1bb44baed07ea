"""The PDE record, and what follows from it: source term, residual, fingerprint, the lowered problem."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import jax
import numpy as np
import sympy as sp

from .ansatz import Ansatz
from .calculus import atoms as vocabulary
from .calculus.collective import g
from .calculus.expressions import settled
from .condition import Condition, Periodic, SoftCondition
from .domain import Domain
from .identity import canonical_domain, canonical_fields, canonical_value
from .lowering.lowered import Lowered, lower
from .lowering.points import Points, in_float64, require_points
from .problem import ClosedForms, ClosedPartials, Problem, closed_expressions, lower_problem
from .solution import Exact, Formula, Reference
from .validation import require_derived, require_problem


@dataclass(frozen=True)
class PDE:
    """N[u] = g on a domain, with an ansatz that meets the conditions and a known solution u*.

    The source g is derived: N applied to u*, by exact calculus. Where the equation has none, say so with
    `source=0`, and `verify` proves it. `conditions` are soft. `nulls` and `baselines` are further predictors, by name, that need
    no training: SymPy expressions that may contain `g`, or Formulas. A baseline is made of the data of the problem (operator,
    source, boundary, initial and terminal values) and is ranked like a solver; a null uses u*, which no solver may, and is a
    reference line. `probe` is a point (x, t), x the value that all coordinates share, at which the error is reported too.
    `enhanced` names coordinates in which the residual is differentiated too (a gradient-enhanced loss), with the weight of those
    terms. `caveat` says what is known to be wrong with the problem as its authors state it: its checks may then fail, and are
    reported as an audit.
    """

    operator: Any
    domain: Domain
    ansatz: Ansatz
    solution: Exact | Reference
    source: Any = None
    conditions: tuple[SoftCondition, ...] = ()
    nulls: Mapping[str, Any] | None = None
    baselines: Mapping[str, Any] | None = None
    probe: tuple[float, float] | None = None
    enhanced: tuple[Any, ...] = ()
    enhanced_weight: float = 0.0
    caveat: str = ""
    name: str = "unnamed"
    seed: int = 0

    def __post_init__(self) -> None:
        require_problem(self)
        for name in ("operator", "source"):  # these may be plain numbers, which stay what they are
            value = getattr(self, name)
            object.__setattr__(self, name, settled(value) if isinstance(value, sp.Basic) else value)
        for condition in self.conditions:
            self._require_place(condition)
        require_derived(self.sources, "the source that follows from operator and solution")
        if (
            self.ansatz.blend is None
        ):  # else they are made of the solution's derivatives, of which the source is too
            require_derived(jax.tree.leaves(self.ansatz_derivatives), "a derivative of the ansatz")

    def _require_place(self, condition: SoftCondition) -> None:
        """Raises ValueError for a condition on a boundary that the domain has not, or whose target cannot be derived."""
        if self.exact is None and not isinstance(condition, Periodic) and condition.target is None:
            raise ValueError(
                "a solution that is no closed form derives no targets: give every condition its target"
            )
        if isinstance(condition, Condition):
            return
        jax.eval_shape(lambda key: condition.draw(self.domain, key, 1), jax.random.key(0))

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle holds: the fields. What was made of them is made again."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

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
        present = {a for operator in self.operators for a in vocabulary.atoms_of(operator)}
        return tuple(sorted(present, key=sp.default_sort_key))

    @cached_property
    def is_low_dimensional(self) -> bool:
        """Whether it is written in x and y, or has partial derivatives in x, y and t: in one or two dimensions only."""
        written = (self.operator, self.ansatz.factor, self.ansatz.offset, self.exact, self.source)
        named = (e.has(vocabulary.x, vocabulary.y) for e in map(_without_atoms, written))
        return any(isinstance(a, sp.Derivative) for a in self.atoms) or any(named)

    @cached_property
    def exact_source(self) -> Any:
        """g as an expression: N[u*], unless the equation declares its own."""
        if self.source is not None:
            return sp.sympify(self.source)
        return vocabulary.apply(self.operator, self.exact)

    @cached_property
    def sources(self) -> tuple[Any, ...]:
        """The right-hand side of every operator."""
        return (self.exact_source, *(vocabulary.D(self.exact_source, c) for c in self.enhanced))

    @cached_property
    def ansatz_derivatives(self) -> ClosedForms | ClosedPartials | None:
        """The derivatives of the ansatz that the operator needs, as expressions; None where they have no closed form."""
        return closed_expressions(self)

    @cached_property
    def exact_nulls(self) -> dict[str, Any]:
        """The declared null predictors, of both kinds: expressions, or formulas as they are."""
        return {name: self._null(null) for name, null in self.declared_nulls.items()}

    @property
    def declared_nulls(self) -> dict[str, Any]:
        """The null predictors as they are declared: those that use the solution, and the baselines, which do not."""
        return {**(self.nulls or {}), **(self.baselines or {})}

    @property
    def baseline_names(self) -> tuple[str, ...]:
        """The names of the null predictors that use no solution: `zero`, the ansatz alone, and the declared baselines.

        All others are oracles: `constant` and `affine` are fitted on the solution, and `nulls` are declared to use it.
        """
        return ("zero", *(self.baselines or {}))

    def _null(self, null: Any) -> Any:
        return null if isinstance(null, Formula) else sp.sympify(null).xreplace({g: self.exact_source})

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical operator, domain, ansatz, solution, source and measure."""
        solution = (
            canonical_fields(self.solution) if self.exact is None else {"expr": canonical_value(self.exact)}
        )
        parts = {
            "operator": [sp.srepr(operator) for operator in self.operators],
            "domain": canonical_domain(self.domain),
            "ansatz": [canonical_value(e) for e in (self.ansatz.factor, self.ansatz.offset)],
            "conditions": [canonical_fields(c) for c in self.conditions],
            "solution": [type(self.solution).__name__, solution],
            "source": None if self.source is None else sp.srepr(sp.sympify(self.source)),
        }
        if self.enhanced:  # a change of weight is another problem; one without such terms keeps its name
            parts["enhanced weight"] = self.enhanced_weight
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def solution_at(self, points: Points) -> np.ndarray:
        """u* at points, x of shape (B, d) and, where the problem has time, t of shape (B,): float64 NumPy values of shape (B,).

        The expression, or the formula of a reference, is evaluated in double precision; where the problem has a caveat, that is
        what its authors claim to be the solution. Raises ValueError where the solution is known at one point only, and for points
        of another dimension or without time.

            >>> import jax.numpy as jnp, pdezoo
            >>> pde = pdezoo.make("black-scholes-barenblatt", dim=4)
            >>> pde.solution_at(pdezoo.Points(jnp.ones((2, 4)), jnp.asarray([0.0, 1.0]))).round(4).tolist()
            [4.9347, 4.0]
        """
        points = require_points(points, self.dim, self.domain.horizon is not None)
        if isinstance(self.solution, Exact):
            return in_float64(_first, self._solution, points)
        if self.solution.at is not None:
            position, time = self.solution.at
            raise ValueError(
                f"the solution of {self.name} is known at one point only, x = ({position:g}, …, {position:g}) and t = {time:g}: "
                "its value is `TestSet(pde).exact`"
            )
        return self.solution.formula.values(points)

    def lower(self) -> Problem:
        """The problem as JAX functions; made once."""
        return self._problem

    @cached_property
    def _solution(self) -> Lowered:
        return lower((self.exact,), self.dim)

    @cached_property
    def _problem(self) -> Problem:
        return lower_problem(self)


@jax.jit
def _first(function: Lowered, points: Points) -> jax.Array:
    """The value of a lowered expression."""
    return function(points)[0]


def _without_atoms(expr: Any) -> sp.Expr:
    """An expression without the unknown, whose arguments are x, y and t in every problem."""
    return sp.sympify(0 if expr is None else expr).replace(
        lambda e: e == vocabulary.u or isinstance(e, vocabulary.Atom | sp.Derivative), lambda e: sp.Integer(1)
    )
