"""Soft conditions: terms of the loss where an ansatz does not meet a condition by construction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .calculus.expressions import as_expression, as_number, as_whole, set_numbers, shown
from .lowering.points import Points

if TYPE_CHECKING:
    from .domain import Domain

Function = Callable[[Points], Float[Array, " batch"]]
"""A function of a batch of points."""

Face = tuple[int, int]
"""A face of a box: the number of its axis, and −1 for its lower end or 1 for its upper one."""


@dataclass(frozen=True)
class Condition:
    """A soft condition: u = target at one time, as a term of the loss.

    weight · mean (u − target)² + gradient_weight · mean |∇(u − target)|², points drawn by the domain at that time. The target is an
    expression as solutions are, or None for the solution itself. Raises ValueError for a time or a weight that is no number, for a
    negative weight, and for a target that is no expression.
    """

    time: float
    target: Any
    weight: float
    gradient_weight: float = 0.0

    def __post_init__(self) -> None:
        set_numbers(self, "a condition", "time")
        set_numbers(self, "a condition", "weight", "gradient_weight", least=0)
        if self.target is not None:
            object.__setattr__(self, "target", as_expression(self.target, "the target of a condition"))


class BoundaryPoints(NamedTuple):
    """Points of the boundary, x (B, d) and t (B,) or None, and a vector for each, (B, d).

    The vector is the outward unit normal; of a periodic condition, it leads from a point to the one that it is compared with.
    """

    x: Float[Array, "batch dim"]
    t: Float[Array, " batch"] | None
    vector: Float[Array, "batch dim"]


@dataclass(frozen=True)
class BoundaryCondition:
    """A soft condition α u + β ∂u/∂n = target on the boundary, n the outward normal, as a term of the loss.

    weight · mean (α u + β ∂u/∂n − target)², points drawn by `Domain.boundary`: on the whole boundary, or on one `face` of a box,
    (axis, −1) or (axis, 1). The target is an expression as solutions are; where it is left out, it is α u* + β ∂u*/∂n. Make it with
    `dirichlet`, `neumann` or `robin`. Raises ValueError where α and β are both 0, or the weight is not positive.
    """

    alpha: float
    beta: float
    target: Any = None
    weight: float = 1.0
    face: Face | None = None

    def __post_init__(self) -> None:
        alpha, beta = (_number(self, name) for name in ("alpha", "beta"))
        if alpha == beta == 0:
            raise ValueError("a condition α u + β ∂u/∂n = target has α or β other than 0, got 0 and 0")
        _require_weight(self)
        if self.target is not None:
            object.__setattr__(self, "target", as_expression(self.target, "the target of a condition"))
        if self.face is not None:
            object.__setattr__(self, "face", _face(self.face))

    @property
    def place(self) -> str:
        """Where it is asked for, in words."""
        if self.face is None:
            return "the boundary"
        axis, end = self.face
        return f"the {'upper' if end > 0 else 'lower'} face of axis {axis}"

    def draw(self, domain: Domain, key: PRNGKeyArray, count: int) -> BoundaryPoints:
        """Points at which it is asked for."""
        points, normals = domain.boundary(key, count, self.face)
        return BoundaryPoints(points.x, points.t, normals)

    def rows(self, function: Function, target: Function, points: BoundaryPoints) -> Float[Array, "1 batch"]:
        """√weight (α u + β ∂u/∂n − target) of any function: one tangent along the normals, O(B·d).

        `target` is that of the condition, or, where it has none, the solution.
        """
        if self.target is None:
            gap = self.side(lambda p: function(p) - target(p), points)
        else:
            gap = self.side(function, points) - target(Points(points.x, points.t))
        return self.weight**0.5 * gap[None]

    def side(self, function: Function, points: BoundaryPoints) -> Float[Array, " batch"]:
        """α u + β ∂u/∂n of any function."""
        at = lambda x: function(Points(x, points.t))
        if self.beta == 0:
            return self.alpha * at(points.x)
        value, slope = jax.jvp(at, (points.x,), (points.vector,))
        return self.alpha * value + self.beta * slope


@dataclass(frozen=True)
class Periodic:
    """A soft condition of periodicity: u and its first `derivatives` derivatives along an axis agree on the two faces of a box.

    weight · Σ_k mean (∂^k u(lower) − ∂^k u(upper))², k = 0 … derivatives. A network of periodic features meets it for good:
    see `PeriodicFeatures` of the solvers. Raises ValueError where the weight is not positive.
    """

    axis: int
    weight: float = 1.0
    derivatives: int = 1

    def __post_init__(self) -> None:
        for name in ("axis", "derivatives"):
            object.__setattr__(self, name, as_whole(getattr(self, name), f"`{name}` of a periodic condition"))
        _require_weight(self)

    @property
    def place(self) -> str:
        """Where it is asked for, in words."""
        return f"both faces of axis {self.axis}"

    def draw(self, domain: Domain, key: PRNGKeyArray, count: int) -> BoundaryPoints:
        """Points of the lower face, and the way to the upper one."""
        points, across = domain.opposite_faces(key, count, self.axis)
        return BoundaryPoints(points.x, points.t, across)

    def rows(
        self, function: Function, target: Function, points: BoundaryPoints
    ) -> Float[Array, "derivatives batch"]:
        """√weight (∂^k u(lower) − ∂^k u(upper)), a row for every k. There is no target."""
        axis = jnp.zeros_like(points.x).at[:, self.axis].set(1)
        order = lambda x: function(Points(x, points.t))
        rows = []
        for _ in range(self.derivatives + 1):
            rows.append(order(points.x) - order(points.x + points.vector))
            order = _along(order, axis)
        return self.weight**0.5 * jnp.stack(rows)


SoftCondition = Condition | BoundaryCondition | Periodic
"""What a problem may have among its `conditions`."""


def dirichlet(target: Any = None, weight: float = 1.0, face: Face | None = None) -> BoundaryCondition:
    """u = target on the boundary, softly; by default the solution's values."""
    return BoundaryCondition(1.0, 0.0, target, weight, face)


def neumann(target: Any = None, weight: float = 1.0, face: Face | None = None) -> BoundaryCondition:
    """∂u/∂n = target on the boundary, n the outward normal, softly; by default the solution's."""
    return BoundaryCondition(0.0, 1.0, target, weight, face)


def robin(
    alpha: float, beta: float, target: Any = None, weight: float = 1.0, face: Face | None = None
) -> BoundaryCondition:
    """α u + β ∂u/∂n = target on the boundary, softly; by default the solution's."""
    return BoundaryCondition(alpha, beta, target, weight, face)


def _along(function: Callable[[Array], Array], tangent: Array) -> Callable[[Array], Array]:
    return lambda x: jax.jvp(function, (x,), (tangent,))[1]


def _face(value: Any) -> Face:
    """A face of a box, of whatever whole numbers it was given as. Raises ValueError for anything else."""
    if not (isinstance(value, tuple) and len(value) == 2):
        raise ValueError(f"a face is (axis, −1) or (axis, 1), got {shown(value)}")
    axis, end = (
        as_whole(n, f"the {which} of a face (axis, −1) or (axis, 1)", least)
        for n, which, least in zip(value, ("axis", "end"), (0, -1), strict=True)
    )
    return axis, end


def _number(condition: Any, name: str) -> float:
    """A field as a finite float, put back as such: 1 and 1.0 are one condition."""
    value = as_number(getattr(condition, name), f"{name} of a condition")
    object.__setattr__(condition, name, value)
    return value


def _require_weight(condition: Any) -> None:
    if _number(condition, "weight") <= 0:
        raise ValueError(f"the weight of a condition is positive, got {condition.weight:g}")
