"""Hard constraints: u = b + a·n, with a and b symbolic, so that u meets its conditions for any network n."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import sympy as sp

from .calculus.collective import r2, t
from .lowering.boundary import COORDINATES, Blend, BoundaryDerivative
from .lowering.points import Points


@dataclass(frozen=True)
class ConditionSet:
    """A set where a condition holds; `project` moves points of the domain onto it."""

    label: str
    project: Callable[[Points], Points]

    def __repr__(self) -> str:
        return self.label


@dataclass(frozen=True)
class Ansatz:
    """u(x, t) = offset(x, t) + factor(x, t)·n(x, t), right on `holds` for any n.

    `blend`, where it is given, is the offset in a form with short derivatives.
    """

    factor: Any = 1
    offset: Any = 0
    holds: tuple[ConditionSet, ...] = ()
    blend: Blend | None = None

    def __post_init__(self) -> None:
        for name in ("factor", "offset"):
            object.__setattr__(self, name, sp.sympify(getattr(self, name)))
        if self.blend is not None and self.blend.offset != self.offset:
            raise ValueError("the blend is that of another offset; with a new offset, give blend=None")


def vanishing_on_sphere(radius: Any, size: float) -> Ansatz:
    """u = (1 − |x|²/R²) n, zero for |x| = R; `size` is R as a number."""

    def project(points: Points) -> Points:
        norm = jnp.sqrt(jnp.sum(points.x**2, axis=1, keepdims=True))
        return points._replace(x=points.x * (size / norm))

    return Ansatz(1 - r2 / sp.sympify(radius) ** 2, 0, (ConditionSet(f"|x| = {size:g}", project),))


def clamped_on_sphere(radius: Any, size: float) -> Ansatz:
    """u = (1 − |x|²/R²)² n, zero with its normal derivative for |x| = R."""
    once = vanishing_on_sphere(radius, size)
    return Ansatz(once.factor**2, 0, once.holds)


def at_time(time: float) -> ConditionSet:
    """All of space at one time."""
    return ConditionSet(
        f"t = {time:g}", lambda points: points._replace(t=jnp.full_like(points.x[:, 0], time))
    )


def terminal(condition: Any, horizon: float) -> Ansatz:
    """u = g(x) + (T − t) n: right at t = T."""
    return Ansatz(horizon - t, condition, (at_time(horizon),))


def initial(condition: Any) -> Ansatz:
    """u = g(x) + t n: right at t = 0."""
    return Ansatz(t, condition, (at_time(0.0),))


@dataclass(frozen=True)
class Side:
    """How many derivatives, from the 0th, are given at each end of a coordinate's interval."""

    coordinate: Any
    low: float
    high: float
    at_low: int = 1
    at_high: int = 1


def boundary_data(solution: Any, sides: tuple[Side, ...]) -> Ansatz:
    """Hard initial and boundary data on a box: u = b + a n with a = Π (c − low)^m (high − c)^n, suitably scaled.

    b = u* − Π_c (1 − P_c) u*, P_c the Hermite interpolation of the data at the two ends of coordinate c (Coons 1967,
    Gordon 1971). It uses the solution on the boundary only. Raises nothing; the solution must be smooth up to the boundary.
    """
    factor = sp.Integer(1)
    for side in sides:
        c, low, high = side.coordinate, sp.nsimplify(side.low), sp.nsimplify(side.high)
        width = (high - low) / (2 if side.at_high else 1)
        factor *= ((c - low) / width) ** side.at_low * ((high - c) / width) ** side.at_high
    offset = _blended(sp.sympify(solution), sides)
    blend = Blend(_blended(BoundaryDerivative(0, 0, 0, *COORDINATES), sides), sp.sympify(solution), offset)
    return Ansatz(factor, offset, tuple(p for s in sides for p in _ends(s)), blend)


def _blended(f: Any, sides: tuple[Side, ...]) -> Any:
    """f − Π_c (1 − P_c) f."""
    remainder = f
    for side in sides:
        remainder = remainder - _hermite(remainder, side)
    return f - remainder


def _hermite(f: Any, side: Side) -> Any:
    """The polynomial in the coordinate that has f's value and derivatives at both ends."""
    c, count = side.coordinate, side.at_low + side.at_high
    low, high = sp.nsimplify(side.low), sp.nsimplify(side.high)
    ends = [(low, k) for k in range(side.at_low)] + [(high, k) for k in range(side.at_high)]
    basis = [c**j for j in range(count)]
    matrix = sp.Matrix([[sp.diff(p, c, k).subs(c, end) for p in basis] for end, k in ends])
    cardinal = matrix.inv().T * sp.Matrix(basis)
    return sp.Add(*(sp.diff(f, c, k).subs(c, end) * p for (end, k), p in zip(ends, cardinal, strict=True)))


def _ends(side: Side) -> list[ConditionSet]:
    ends = [side.low] * (side.at_low > 0) + [side.high] * (side.at_high > 0)
    return [at_time(end) if side.coordinate == t else _face(side.coordinate, end) for end in ends]


def _face(coordinate: Any, value: float) -> ConditionSet:
    from .calculus.atoms import x

    axis = 0 if coordinate == x else -1
    return ConditionSet(
        f"{coordinate} = {value:g}", lambda points: points._replace(x=points.x.at[:, axis].set(value))
    )
