"""A PDE lowered to JAX, and the closed derivatives of its ansatz."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import sympy as sp
from jaxtyping import Array, Float, PRNGKeyArray

from .calculus import atoms as vocabulary
from .calculus import collective
from .condition import Condition
from .domain import Domain
from .lowering.boundary import Blended, lower_blended, partial_derivative
from .lowering.codegen import compile_expressions
from .lowering.fused import Fused, lower_fused
from .lowering.lowered import Lowered, lower
from .lowering.points import Points

if TYPE_CHECKING:
    from .pde import PDE


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


def lower_problem(pde: PDE) -> Problem:
    """Lower a PDE: its operator, source, ansatz and conditions as functions of JAX arrays."""
    closed = _closed_expressions(pde)
    return Problem(
        source=lower_fused(pde.sources, pde.dim),
        ansatz=lower((pde.ansatz.factor, pde.ansatz.offset), pde.dim),
        closed_forms=_lower_closed(pde, tuple(closed.values())),
        diffusions=lower(_diffusion_weights(pde), pde.dim),
        targets=lower(tuple(sp.sympify(c.target) for c in pde.conditions), pde.dim),
        operator=_operators(pde.operators, pde.atoms, pde.dim),
        atoms=pde.atoms,
        closed_names=tuple(closed),
        factor=pde.ansatz.factor,
        domain=pde.domain,
        conditions=pde.conditions,
        enhanced_weight=pde.enhanced_weight,
    )


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
