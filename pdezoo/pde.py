"""The PDE record, and what follows from it: source term, residual, fingerprint, the lowered problem."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import equinox as eqx
import sympy as sp
from jaxtyping import Array, Float, PRNGKeyArray

from . import atoms as vocabulary
from . import collective
from .ansatz import Ansatz
from .domain import Domain
from .lower import Lowered, Points, compile_expressions, lower
from .solution import Exact

g = sp.Symbol("g", real=True)
"""The source term, where a null predictor declares itself as a function of it."""


class BadDimension(ValueError):
    """A dimension that is not a whole number of at least 1, or that this problem cannot have."""


@dataclass(frozen=True)
class PDE:
    """N[u] = g on a domain, with an ansatz that meets the conditions and a known solution u*.

    The source g is derived: N applied to u*, by exact calculus. Where the equation has none, say so with
    `source=0`, and `verify` proves it. `nulls` are further closed-form predictors, by name, that training has to
    beat; they may contain `g`.
    """

    operator: Any
    domain: Domain
    ansatz: Ansatz
    solution: Exact
    source: Any = None
    nulls: Mapping[str, Any] | None = None
    reference: str = ""
    name: str = "unnamed"
    seed: int = 0

    def __post_init__(self) -> None:
        widths = [s.width for s in collective.window_sums(sp.sympify(self.solution.expr))]
        if max(widths, default=1) > self.dim:
            raise BadDimension(f"this problem needs dimension ≥ {max(widths)}, got {self.dim}")

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PDE) and (self.fingerprint, self.name) == (other.fingerprint, other.name)

    @property
    def dim(self) -> int:
        """Number of space dimensions."""
        return self.domain.dim

    @cached_property
    def atoms(self) -> tuple[Any, ...]:
        """What the operator asks of a derivative estimator."""
        return vocabulary.atoms_of(self.operator)

    @cached_property
    def exact_source(self) -> Any:
        """g as an expression: N[u*], unless the equation declares its own."""
        return (
            sp.sympify(self.source)
            if self.source is not None
            else vocabulary.apply(self.operator, self.solution.expr)
        )

    @cached_property
    def exact_nulls(self) -> dict[str, Any]:
        """The declared null predictors, as expressions."""
        return {
            name: sp.sympify(e).xreplace({g: self.exact_source}) for name, e in (self.nulls or {}).items()
        }

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical operator, domain, ansatz, solution, source and measure."""
        parts = {
            "operator": sp.srepr(self.operator),
            "domain": [type(self.domain).__name__, _canonical(vars(self.domain)), self.domain.measure],
            "ansatz": _canonical(vars(self.ansatz)),
            "solution": [type(self.solution).__name__, _canonical(vars(self.solution))],
            "source": None if self.source is None else sp.srepr(sp.sympify(self.source)),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def lower(self) -> Problem:
        """The problem as JAX functions."""
        return Problem(
            source=lower((self.exact_source,), self.dim),
            ansatz=lower((sp.sympify(self.ansatz.factor), sp.sympify(self.ansatz.offset)), self.dim),
            closed_forms=lower(_closed_forms(self.ansatz), self.dim),
            operator=_operator(self.operator),
            atoms=self.atoms,
            domain=self.domain,
        )


class Problem(eqx.Module):
    """A PDE lowered to JAX: a pytree whose leaves are coefficient arrays, to be passed into compiled functions."""

    source: Lowered
    ansatz: Lowered
    closed_forms: Lowered
    operator: Callable[..., list] = eqx.field(static=True)
    atoms: tuple[Any, ...] = eqx.field(static=True)
    domain: Domain = eqx.field(static=True)

    def sample(self, key: PRNGKeyArray, count: int) -> Points:
        """Training points."""
        return self.domain.sample(key, count)

    def residual(self, values: Mapping[Any, Array], points: Points) -> Float[Array, " batch"]:
        """(N[u] − g)/scale from the values of the operator's atoms; the scale is the domain's."""
        (left,) = self.operator(*(values[a] for a in self.atoms))
        (right,) = self.source(points)
        return (left - right) / self.domain.scale


def _closed_forms(ansatz: Ansatz) -> tuple[Any, ...]:
    """Δa, Δb, |∇a|², ∇a·∇b, |∇b|² of u = b + a n: what an exact operator on u needs beside the network's."""
    a, b = (sp.sympify(ansatz.factor), sp.sympify(ansatz.offset))
    laplacians = [vocabulary.apply_atom(vocabulary.Laplacian(vocabulary.u), e) for e in (a, b)]
    return (*laplacians, *(collective.grad_dot(e, f) for e, f in ((a, a), (a, b), (b, b))))


def _operator(operator: Any) -> Callable[..., list]:
    found = vocabulary.atoms_of(operator)
    symbols = tuple(sp.Symbol(f"a{i}", real=True) for i in range(len(found)))
    return compile_expressions(symbols, (operator.xreplace(dict(zip(found, symbols, strict=True))),))


def _canonical(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _canonical_value(v) for k, v in fields.items() if not k.startswith("_")}


def _canonical_value(value: Any) -> Any:
    if isinstance(value, sp.Basic):
        sums = collective.window_sums(value)
        return [sp.srepr(value), [[s.name, sp.srepr(s.kernel), s.width, repr(s.factors)] for s in sums]]
    return value if isinstance(value, int | float | str | bool | None) else repr(value)
