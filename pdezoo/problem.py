"""A PDE lowered to JAX, and the closed derivatives of its ansatz."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import sympy as sp
from jaxtyping import Array, Float, PRNGKeyArray

from .calculus import atoms as vocabulary
from .calculus import collective
from .condition import Periodic, SoftCondition
from .domain import Domain
from .lowering.autodiff import nested_autodiff
from .lowering.boundary import Blended, lower_blended, partial_derivative
from .lowering.codegen import compile_expressions
from .lowering.fused import Fused, lower_fused
from .lowering.lowered import Lowered, lower
from .lowering.points import Points, in_working_precision, require_points
from .lowering.weights import AxisWeights, lower_weights

if TYPE_CHECKING:
    from .pde import PDE


Index = tuple[int, ...]
"""A multi-index over the coordinates (x, t) or (x, y, t) of a low-dimensional problem."""


class ClosedForms(NamedTuple):
    """Δa, Δb, |∇a|², ∇a·∇b and |∇b|², each (B,): what Δ and ∇ of u = b + a n need beside the network's derivatives."""

    lap_a: Any
    lap_b: Any
    aa: Any
    ab: Any
    bb: Any


class ClosedPartials(NamedTuple):
    """∂^β a for every β below a partial derivative of the operator, and ∂^α b for those themselves, each (B,)."""

    a: Mapping[Index, Any]
    b: Mapping[Index, Any]


class Problem(eqx.Module):
    """A PDE lowered to JAX: a pytree whose leaves are coefficient arrays, to be passed into compiled functions."""

    source: Fused
    ansatz: Lowered
    closed_expressions: Lowered | Blended
    axis_weights: tuple[AxisWeights, ...]  # one for every atom that has weights
    targets: Lowered
    coefficients: (
        Lowered | None
    )  # what the operators' coefficients are made of: window sums, x, y, t; None where they do not vary
    operator_code: Callable[..., list] = eqx.field(static=True)
    operators: tuple[Any, ...] = eqx.field(static=True)  # as expressions in the atoms
    atoms: tuple[Any, ...] = eqx.field(static=True)
    closed_structure: Any = eqx.field(
        static=True
    )  # of ClosedForms or ClosedPartials; None where there are none
    factor: Any = eqx.field(static=True)  # of the ansatz, as an expression
    has_offset: bool = eqx.field(static=True)  # whether the ansatz adds something to the network
    domain: Domain = eqx.field(static=True)
    conditions: tuple[SoftCondition, ...] = eqx.field(static=True)
    enhanced_weight: float = eqx.field(static=True)
    query: tuple[float, float] | None = eqx.field(
        static=True
    )  # where u is asked for above all, (x, t): where alone it is known, or the probe

    @property
    def has_time(self) -> bool:
        """Whether points carry a time."""
        return self.domain.horizon is not None

    def sample(self, key: PRNGKeyArray, count: int) -> Points:
        """Training points, x an array, in JAX's default precision."""
        return in_working_precision(self.domain.sample(key, count))

    def coordinates(self, key: PRNGKeyArray, count: int) -> Points:
        """Training points in the form that is cheapest: x is an array, or `Coordinates` that need not be held."""
        # a domain need not be derived from `Domain`
        offered = getattr(self.domain, "coordinates", self.domain.sample)
        return in_working_precision(offered(key, count))

    def operator(self, *values: Array, points: Points | None = None) -> list[Float[Array, " batch"]]:
        """N[u], and its derivatives of a gradient-enhanced loss, from the values of `atoms`, in their order, each (B,).

        Coefficients that vary are evaluated at the points. Raises ValueError where there are some, and no points are given.
        """
        if self.coefficients is None:
            return self.operator_code(*values)
        if points is None:
            raise ValueError(
                "the operator has coefficients that vary: say where, by operator(*values, points=points)"
            )
        return self.operator_code(*values, *self.coefficients(points))

    def residual(self, values: Mapping[Any, Array], points: Points) -> Float[Array, "operators batch"]:
        """(N[u] − g)/scale from the values of the operators' atoms; the scale is the domain's.

        The rows after the first, of a gradient-enhanced loss, come with the square root of their weight.
        """
        left = self.operator(*(values[a] for a in self.atoms), points=points)
        right = self.source(points)
        rows = [(a - b) / float(self.domain.scale) for a, b in zip(left, right, strict=True)]
        weight = self.enhanced_weight**0.5
        return jnp.stack([rows[0], *(weight * row for row in rows[1:])])

    def residual_of(
        self, function: Callable[[Points], Float[Array, " batch"]], points: Points
    ) -> Float[Array, "operators batch"]:
        """(N[f] − g)/scale of any function f of points, by nested automatic differentiation: independent of every estimator.

        `function` maps `Points` of any batch to (B,), and is differentiated by JAX. The derivatives cost O(d²) and more, so
        that this is for tests and plots, not for training. In float32 it is as exact as that allows; wrap the call in
        `pdezoo.in_float64` for more. Raises ValueError for points of another dimension or without the time that the problem
        has, and for a function that does not give one number for every point.

            >>> import jax, jax.numpy as jnp, pdezoo
            >>> problem = pdezoo.make("allen-cahn/two-body", dim=5).lower()
            >>> points = problem.sample(jax.random.key(0), 4)
            >>> problem.residual_of(lambda p: 1 - jnp.sum(p.x**2, axis=1), points).shape
            (1, 4)
        """
        points = require_points(points, self.domain.dim, self.has_time)
        return self.residual(nested_autodiff(function, points, self.atoms), points)

    def closed(self, points: Points) -> ClosedForms:
        """Second-order derivatives of the ansatz' parts a and b. Raises ValueError where the ansatz has none in closed form."""
        return self._closed(ClosedForms, points)

    def closed_partials(self, points: Points) -> ClosedPartials:
        """Partial derivatives of the ansatz' parts a and b in x, y, t. Raises ValueError for a dimension-generic operator."""
        return self._closed(ClosedPartials, points)

    @property
    def is_low_dimensional(self) -> bool:
        """Whether the operator is made of partial derivatives in x, y and t."""
        return any(isinstance(atom, sp.Derivative) for atom in self.atoms)

    @property
    def has_closed_forms(self) -> bool:
        """Whether the derivatives of the ansatz are known in closed form: not where it has max x_i."""
        return self.closed_structure is not None

    def weights_of(self, atom: Any) -> AxisWeights:
        """The weights of an atom of the operator that has some."""
        weighted = [a for a in self.atoms if isinstance(a, vocabulary.WeightedAtom)]
        return self.axis_weights[weighted.index(atom)]

    def _closed(self, kind: type[Any], points: Points) -> Any:
        if self.closed_structure is None:
            raise ValueError("the ansatz has max x_i, whose derivatives have no closed form here")
        derivatives = jax.tree.unflatten(self.closed_structure, self.closed_expressions(points))
        if not isinstance(derivatives, kind):
            raise ValueError(
                f"this operator needs {type(derivatives).__name__} of its ansatz, not {kind.__name__}"
            )
        return derivatives


def lower_problem(pde: PDE) -> Problem:
    """Lower a PDE: its operator, source, ansatz and conditions as functions of JAX arrays."""
    expressions, structure = jax.tree.flatten(pde.ansatz_derivatives)
    weighted = [a for a in pde.atoms if isinstance(a, vocabulary.WeightedAtom)]
    coefficients, code = _operators(pde.operators, pde.atoms, pde.dim)
    return Problem(
        source=lower_fused(pde.sources, pde.dim),
        ansatz=lower((pde.ansatz.factor, pde.ansatz.offset), pde.dim),
        closed_expressions=_lower_closed(pde, tuple(expressions)),
        axis_weights=tuple(lower_weights(atom.weights, pde.dim) for atom in weighted),
        targets=lower(tuple(_target(pde, c) for c in pde.conditions), pde.dim),
        coefficients=coefficients,
        operator_code=code,
        operators=pde.operators,
        atoms=pde.atoms,
        closed_structure=structure if expressions else None,
        factor=pde.ansatz.factor,
        has_offset=pde.ansatz.offset != 0,
        domain=pde.domain,
        conditions=pde.conditions,
        enhanced_weight=pde.enhanced_weight,
        query=getattr(pde.solution, "at", None) or pde.probe,
    )


def _target(pde: PDE, condition: SoftCondition) -> Any:
    """What a soft condition compares with: its target, or the solution where its target is to be derived from that."""
    if isinstance(condition, Periodic):
        return sp.Integer(0)
    return pde.exact if condition.target is None else sp.sympify(condition.target)


def down_closure(indices: tuple[Index, ...]) -> tuple[Index, ...]:
    """All β ≤ α for some α among the indices: what Leibniz' rule needs."""
    below = {beta for alpha in indices for beta in itertools.product(*(range(n + 1) for n in alpha))}
    return tuple(sorted(below))


def _coordinates(dim: int) -> tuple[Any, ...]:
    return (*(vocabulary.x, vocabulary.y)[:dim], collective.t)


def multi_index(atom: Any, dim: int) -> Index:
    """How often u or a partial derivative of it differentiates in x, (y,) t. Raises ValueError for any other atom."""
    partial = vocabulary.meaning(atom)
    if not isinstance(partial, vocabulary.Partial):
        raise ValueError(
            f"{partial.text(str)} stands beside partial derivatives in x, y, t, which have no room for it; write it as such, as in "
            "D(u, x, x) + D(u, y, y) for the Laplacian and D(u, t) for the time derivative"
        )
    return tuple(partial.variables.count(c) for c in _coordinates(dim))


def closed_expressions(pde: PDE) -> ClosedForms | ClosedPartials | None:
    """The derivatives of the ansatz that its operator needs, as expressions; None where they have no closed form."""
    a, b = pde.ansatz.factor, _offset(pde)
    if any(isinstance(atom, sp.Derivative) for atom in pde.atoms):
        return _closed_partials(pde, a, b)
    if b.has(collective.coordinate_max):
        return None
    gradients = [collective.grad_dot(e, f) for e, f in ((a, a), (a, b), (b, b))]
    return ClosedForms(collective.laplacian(a), collective.laplacian(b), *gradients)


def _closed_partials(pde: PDE, a: Any, b: Any) -> ClosedPartials:
    wanted, coordinates = tuple(multi_index(atom, pde.dim) for atom in pde.atoms), _coordinates(pde.dim)

    def partial(f: Any, index: Index) -> Any:
        if not collective.window_sums(f):
            return partial_derivative(f, coordinates, index)
        variables = tuple(c for c, order in zip(coordinates, index, strict=True) for _ in range(order))
        return vocabulary.exactly(vocabulary.Partial(variables), f)

    return ClosedPartials(
        {beta: partial(a, beta) for beta in down_closure(wanted)},
        {alpha: partial(b, alpha) for alpha in wanted},
    )


def _offset(pde: PDE) -> Any:
    """b as its derivatives are taken."""
    return pde.ansatz.blend.expr if pde.ansatz.blend else pde.ansatz.offset


def _lower_closed(pde: PDE, exprs: tuple[Any, ...]) -> Lowered | Blended:
    """Derivatives of a and b."""
    blend = pde.ansatz.blend
    return lower_blended(exprs, blend.solution, pde.dim) if blend else lower(exprs, pde.dim)


def _operators(
    operators: tuple[Any, ...], atoms: tuple[Any, ...], dim: int
) -> tuple[Lowered | None, Callable[..., list]]:
    """The window sums and coordinates outside of atoms, lowered; and the operators as functions of atoms and of those."""
    symbols = {atom: sp.Symbol(f"a{i}", real=True) for i, atom in enumerate(atoms)}
    bare = []
    for operator in operators:
        derivatives = {a: s for a, s in symbols.items() if a != vocabulary.u}
        bare.append(operator.xreplace(derivatives).xreplace({**symbols, collective.d: sp.Integer(dim)}))
    places = {
        *_coordinates(2),
        collective.coordinate_max,
        *(s for e in bare for s in collective.window_sums(e)),
    }
    used = sorted(places & set().union(*(e.free_symbols for e in bare)), key=sp.default_sort_key)
    code = compile_expressions((*symbols.values(), *used), tuple(bare))
    return lower(tuple(used), dim) if used else None, code
