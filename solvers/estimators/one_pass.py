"""All atoms of an operator from one pass of a network: streams enter its head, and u, its time derivative, drifts and Δu come out.

What a trainer that works on activations needs is then in one place: how the streams at the head's entrance depend on the first
weight, and how the residual depends on the streams at its end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pdezoo import PDE, Drift, Dt, EulerDerivative, GradNormSq, Laplacian, Points, displaced, jet2, u

from ..derivatives import directions as sets
from ..derivatives.directions import Rademacher
from ..derivatives.field import Field
from ..networks.base import Network, OffsetNetwork, RidgeNetwork
from ..networks.jets import CollapsedJets
from .base import Estimator, Values
from .hte import HTE


class Line(NamedTuple):
    """A direction along which u is differentiated once, a field of vectors w(x, t), or the axis of time.

    `move(s)` are the points moved by s·w, and `block(start, n)` coordinates start … start + n of w, shape (B, n); None for time.
    """

    atom: Any
    move: Callable[[Float[Array, " batch"]], Points]
    block: Callable[[Any, int], Float[Array, "batch n"]] | None


class Slopes(NamedTuple):
    """Derivatives of a sum over points in the first map: D with ∂/∂W = Lᵀ D, shape (lines, h), and those in w_t, shape (h,)."""

    lines: Float[Array, "lines width"]
    time: Float[Array, " width"] | None


@dataclass(frozen=True, eq=False)
class Pass:
    """The residual of a trial function as the end of one pass: r = residual(head(entrance)).

    `entrance` is a stream of width h whose first coefficients are those along K random directions, then those along `along`. It
    is linear in the first map: in W by the products L W, the rows of L being the points, the directions and the vectors of drifts.
    """

    points: Points
    directions: Rademacher | None
    along: tuple[Line, ...]
    entrance: CollapsedJets
    residual: Callable[[CollapsedJets], Float[Array, "operators batch"]]

    @property
    def dim(self) -> int:
        """The number d of columns of L."""
        return self.points.x.shape[1]

    @property
    def size(self) -> int:
        """The number of columns of a block, that in which directions are made."""
        return min(sets.BLOCK, self.dim)

    def left(self, start: Any, size: int) -> Float[Array, "lines n"]:
        """Returns columns start … start + n of the block that begins there: directions are made again, and points are cut."""
        rows = [jax.lax.dynamic_slice_in_dim(self.points.x, start, size, axis=1)]
        if self.directions is not None:
            rows.append(self.directions.block(start, size))
        rows += [line.block(start, size) for line in self._drifts() if line.block is not None]
        return jnp.concatenate(rows)

    def slopes(self, entrance: CollapsedJets) -> Slopes:
        """Returns the derivatives in the first map, given those in the entrance at every point, shape (…, B, h), summed over
        points.
        """
        count = 0 if self.directions is None else self.directions.number
        value, time = entrance.value, None
        drifts = []
        for line, slope in zip(self.along, entrance.first[count:], strict=True):
            if line.block is None:
                assert self.points.t is not None  # the axis of time is there for problems with time only
                time = jnp.sum(slope, axis=0)
            elif isinstance(line.atom, EulerDerivative):
                value = value + slope  # along x, which is a line of L already
            else:
                drifts.append(slope)
        if self.points.t is not None:
            through = self.points.t @ entrance.value
            time = through if time is None else time + through
        shared = [jnp.sum(entrance.first[:count], axis=1)] if count else []
        return Slopes(jnp.concatenate([value, *shared, *drifts]), time)

    def _drifts(self) -> tuple[Line, ...]:
        return tuple(line for line in self.along if not isinstance(line.atom, EulerDerivative))


@dataclass(frozen=True)
class OnePassHTE(HTE):
    """HTE (Hu et al. 2024) of operators in u, u_t, drifts, Δu and |∇u|², all from one pass of collapsed Taylor mode.

    u_t and drifts b·∇u are first coefficients along more directions, and exact. Raises ValueError where `HTE` does.
    """

    accepts_lazy_coordinates: ClassVar[bool] = False
    atoms: ClassVar[tuple[type, ...]] = Estimator.atoms

    samples: int = 1

    def __call__(self, field: Field, atoms: tuple, points: Points, key: PRNGKeyArray) -> dict:
        """Estimates the atoms, {atom: (B,)}, in one pass; of a network that is no ridge network as `HTE` does."""
        if not isinstance(field.network, RidgeNetwork):
            return super().__call__(field, atoms, points, key)
        directions, along = self._directions(atoms, points, field, key)
        out = field.network.head(field.params, _entrance(field, points, directions, along))
        return _values(field, points, directions, along, out)

    def through(self, field: Field, points: Points, key: PRNGKeyArray) -> Pass:
        """Returns the same estimate, for the field's problem, as a `Pass`; x must be an array."""
        problem = field.problem
        directions, along = self._directions(problem.atoms, points, field, key)

        def residual(out: CollapsedJets) -> Array:
            return problem.residual(_values(field, points, directions, along, out), points)

        return Pass(points, directions, along, _entrance(field, points, directions, along), residual)

    def unsupported(self, pde: PDE, network: Network) -> str | None:
        """Returns a reason where `HTE` does, for second derivatives in time, and for a network that reads the ansatz' offset."""
        if any(isinstance(a, Dt) and a.order > 1 for a in pde.atoms):
            return "the operator has u_tt; one pass sums second derivatives in space alone"
        if isinstance(network, OffsetNetwork):
            return "one pass has no stream for the ansatz' offset, which this network reads; use hte"
        return super().unsupported(pde, network)

    def _directions(
        self, atoms: tuple, points: Points, field: Field, key: PRNGKeyArray
    ) -> tuple[Rademacher | None, tuple[Line, ...]]:
        second = any(isinstance(a, Laplacian | GradNormSq) for a in atoms)
        along = (_line(a, points, field) for a in atoms if isinstance(a, Dt | EulerDerivative | Drift))
        return Rademacher(key, self.samples, field.dim) if second else None, tuple(along)


def _line(atom: Any, points: Points, field: Field) -> Line:
    cut = lambda start, size: jax.lax.dynamic_slice_in_dim(points.x, start, size, axis=1)
    if isinstance(atom, Dt):
        time = points.t
        assert time is not None  # an operator with u_t belongs to a domain with time
        return Line(atom, lambda s: points._replace(t=time + s), None)
    if isinstance(atom, EulerDerivative):
        return Line(atom, lambda s: points._replace(x=points.x * (1 + s[:, None])), cut)
    weights = field.problem.weights_of(atom)
    return Line(
        atom, lambda s: displaced(points, weights, s), lambda start, n: weights.block(points, start, n)
    )


def _entrance(
    field: Field, points: Points, directions: Rademacher | None, along: tuple[Line, ...]
) -> CollapsedJets:
    """The features z, their derivatives along all directions, (K, B, h), and zero; lines do not count in second derivatives."""
    network, params = field.network, field.params
    assert isinstance(network, RidgeNetwork)
    z = network.features(params, points)
    count = 0 if directions is None else directions.number
    shared = [] if directions is None else [directions.rows(network, params)[:, None]]
    rows = [*shared, *(_projected(line, network, params, points)[None] for line in along)]
    first = jnp.concatenate([jnp.broadcast_to(row, (len(row), *z.shape)) for row in rows])
    counted = jnp.concatenate([jnp.ones(count), jnp.zeros(len(along))]).astype(z.dtype)
    weights = jnp.broadcast_to(counted[:, None], first.shape[:2]) if along else None
    return CollapsedJets(z, first, jnp.zeros_like(z), weights)


def _projected(line: Line, network: RidgeNetwork, params: Any, points: Points) -> Float[Array, "batch width"]:
    if line.block is None:
        return jnp.broadcast_to(network.time_row(params), (points.x.shape[0], network.time_row(params).size))
    return network.project(params, line.block(0, points.x.shape[1]))


def _values(
    field: Field, points: Points, directions: Rademacher | None, along: tuple[Line, ...], out: CollapsedJets
) -> Values:
    """The atoms of u = b + a n from the coefficients of n: Leibniz' rule."""
    n, first, second = out.value[:, 0], out.first[..., 0], out.second[:, 0]
    a, b = field.problem.ansatz(points)
    values = {u: b + a * n}
    count = 0
    if directions is not None:
        count = directions.number
        along_all = directions.line(field.problem.ansatz, points)
        _, (a1, b1), (a2, b2) = jet2(along_all, jnp.zeros((count, len(n)), n.dtype))
        slopes = b1 + a1 * n + a * first[:count]
        curved = jnp.sum(b2 + n * a2 + 2 * a1 * first[:count], axis=0) + a * second
        values[Laplacian(u)] = directions.weight * curved
        values[GradNormSq(u)] = directions.weight * jnp.sum(slopes**2, axis=0)
    for line, slope in zip(along, first[count:], strict=True):
        still, one = jnp.zeros_like(n), jnp.ones_like(n)
        moved = lambda s, line=line: field.problem.ansatz(line.move(s))
        _, (a1, b1) = jax.jvp(moved, (still,), (one,))
        values[line.atom] = b1 + a1 * n + a * slope
    return values
