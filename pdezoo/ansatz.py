"""Hard constraints: u = b + a·n with symbolic a and b, chosen so that u meets its conditions for any network n."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import sympy as sp

from .calculus.collective import r2, t, window_sums, x
from .calculus.expressions import as_expression, as_number, as_whole, settled, shown
from .lowering.boundary import COORDINATES, Blend, BoundaryDerivative
from .lowering.points import Points


@dataclass(frozen=True)
class ConditionSet:
    """A set of points on which an ansatz has the right values, called `label`; `project` moves points of the domain onto it."""

    label: str
    project: Callable[[Points], Points]

    def __repr__(self) -> str:
        return self.label


@dataclass(frozen=True)
class Ansatz:
    """The form u(x, t) = offset(x, t) + factor(x, t)·n(x, t), with the right values on every set of `holds` for any n.

    `blend`, where it is given, is the same offset in a form whose derivatives are short expressions. Raises ValueError
    where it is the form of another offset, and for a field of another kind.
    """

    factor: Any = 1
    offset: Any = 0
    holds: tuple[ConditionSet, ...] = ()
    blend: Blend | None = None

    def __post_init__(self) -> None:
        for name in ("factor", "offset"):
            value = as_expression(getattr(self, name), f"the ansatz' {name}")
            object.__setattr__(self, name, value)
        if not (isinstance(self.holds, tuple) and all(isinstance(s, ConditionSet) for s in self.holds)):
            raise ValueError(
                f"`holds` is a tuple of ConditionSets, such as (at_time(0.0),), got {shown(self.holds)}"
            )
        if not isinstance(self.blend, Blend | None):
            raise ValueError(
                f"`blend` is what boundary_data makes of its offset, or None, got {shown(self.blend)}"
            )
        if self.blend is not None and self.blend.offset != self.offset:
            raise ValueError("the blend is that of another offset; with a new offset, give blend=None")


def vanishing_on_sphere(radius: Any, size: float) -> Ansatz:
    """The ansatz u = (1 − |x|²/R²) n, which vanishes for |x| = R. `radius` is R, which may contain d, and `size` its value."""
    return Ansatz(1 - r2 / sp.sympify(radius) ** 2, 0, (ConditionSet(f"|x| = {size:g}", _ToSphere(size)),))


def clamped_on_sphere(radius: Any, size: float) -> Ansatz:
    """The ansatz u = (1 − |x|²/R²)² n, which vanishes for |x| = R together with its normal derivative."""
    once = vanishing_on_sphere(radius, size)
    return Ansatz(once.factor**2, 0, once.holds)


def at_time(time: float) -> ConditionSet:
    """The set of all x at one time, t = `time`. Raises ValueError for a time that is no number."""
    when = as_number(time, "the time of a condition")
    return ConditionSet(f"t = {when:g}", _ToTime(when))


def terminal(condition: Any, horizon: float) -> Ansatz:
    """The ansatz u = g(x) + (T − t) n, equal to the `condition` g at t = T, the `horizon`.

    Raises ValueError for a horizon that is no number.
    """
    return Ansatz(as_expression(horizon, "the horizon") - t, condition, (at_time(horizon),))


def initial(condition: Any) -> Ansatz:
    """The ansatz u = g(x) + t n, equal to the `condition` g at t = 0."""
    return Ansatz(t, condition, (at_time(0.0),))


@dataclass(frozen=True)
class Side:
    """The data that are given at the ends of a coordinate's interval, low ≤ coordinate ≤ high.

    At the lower end they are u and its derivatives up to the order `at_low` − 1, none if it is 0; likewise `at_high`. Raises
    ValueError for what is no coordinate x, y or t, where `low` < `high` does not hold, and for counts that are no whole numbers.
    """

    coordinate: Any
    low: float
    high: float
    at_low: int = 1
    at_high: int = 1

    def __post_init__(self) -> None:
        if not (isinstance(self.coordinate, sp.Symbol) and self.coordinate in COORDINATES):
            raise ValueError(f"the coordinate of a Side is x, y or t of pdezoo, got {shown(self.coordinate)}")
        low, high = (as_number(end, "an end of a Side") for end in (self.low, self.high))
        if low >= high:
            raise ValueError(f"a Side has low < high, got low={self.low} and high={self.high}")
        for name in ("at_low", "at_high"):
            object.__setattr__(self, name, as_whole(getattr(self, name), f"`{name}` of a Side"))


def boundary_data(solution: Any, sides: tuple[Side, ...]) -> Ansatz:
    """The ansatz u = b + a n with hard initial and boundary data on a box, a = Π (c − low)^m (high − c)^k up to a factor.

    m and k are the numbers of data at the two ends of coordinate c. The offset is b = u* − Π_c (1 − P_c) u*, where P_c is
    Hermite interpolation of the data at these ends (Coons 1967, Gordon 1971); it uses the solution on the boundary only.
    The solution must be smooth up to the boundary, which is not checked. Raises ValueError for a solution with window sums, of
    which the values on a face are not known: write it in x, y and t.
    """
    solution = as_expression(solution, "the solution")
    if window_sums(solution):
        raise ValueError(
            "boundary_data takes a solution in x, y and t, got one in window sums: write them out; for data at one time only "
            "there are initial(…) and terminal(…)"
        )
    factor = sp.Integer(1)
    for side in sides:
        c, low, high = side.coordinate, sp.nsimplify(side.low), sp.nsimplify(side.high)
        width = (high - low) / (2 if side.at_high else 1)
        factor *= ((c - low) / width) ** side.at_low * ((high - c) / width) ** side.at_high
    offset = settled(_blended(solution, sides))
    blend = Blend(_blended(BoundaryDerivative(0, 0, 0, *COORDINATES), sides), solution, offset)
    return Ansatz(factor, offset, tuple(p for s in sides for p in _ends(s)), blend)


def _blended(f: Any, sides: tuple[Side, ...]) -> Any:
    """The blended interpolant f − Π_c (1 − P_c) f, P_c the Hermite interpolation of `_hermite`."""
    remainder = f
    for side in sides:
        remainder = remainder - _hermite(remainder, side)
    return f - remainder


def _hermite(f: Any, side: Side) -> Any:
    """The polynomial in the side's coordinate that has the given number of derivatives of f at each end."""
    c, count = side.coordinate, side.at_low + side.at_high
    low, high = sp.nsimplify(side.low), sp.nsimplify(side.high)
    ends = [(low, k) for k in range(side.at_low)] + [(high, k) for k in range(side.at_high)]
    basis = [c**j for j in range(count)]
    matrix = sp.Matrix([[sp.diff(p, c, k).subs(c, end) for p in basis] for end, k in ends])
    cardinal = matrix.inv().T * sp.Matrix(basis)
    return sp.Add(*(sp.diff(f, c, k).subs(c, end) * p for (end, k), p in zip(ends, cardinal, strict=True)))


def _ends(side: Side) -> list[ConditionSet]:
    ends = [side.low] * (side.at_low > 0) + [side.high] * (side.at_high > 0)
    return [at_time(end) if side.coordinate == t else _face(side.coordinate, float(end)) for end in ends]


def _face(coordinate: Any, value: float) -> ConditionSet:
    return ConditionSet(f"{coordinate} = {value:g}", _ToFace(0 if coordinate == x else -1, value))


# Projections are objects and not local functions, so that a problem can be pickled.


@dataclass(frozen=True)
class _ToSphere:
    """Moves points along their radius to |x| = size."""

    size: float

    def __call__(self, points: Points) -> Points:
        norm = jnp.sqrt(jnp.sum(points.x**2, axis=1, keepdims=True))
        return points._replace(x=points.x * (self.size / norm))


@dataclass(frozen=True)
class _ToTime:
    """Moves points to one time."""

    time: float

    def __call__(self, points: Points) -> Points:
        return points._replace(t=jnp.full_like(points.x[:, 0], self.time))


@dataclass(frozen=True)
class _ToFace:
    """Moves points to a value of one coordinate."""

    axis: int
    value: float

    def __call__(self, points: Points) -> Points:
        return points._replace(x=points.x.at[:, self.axis].set(self.value))
