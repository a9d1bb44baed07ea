"""Soft conditions on the boundary, held to the solution."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..condition import BoundaryPoints, Periodic
from ..domain import Domain
from ..lowering.lowered import lower
from ..lowering.points import Points, in_float64
from ..pde import PDE

_STEP = 1e-4  # of central differences: errors of about its square, times a third derivative
_OUTWARDS = 1e-3  # how far a point of the boundary is moved, in its vector's lengths, to be outside


def misplaced(domain: Domain, points: BoundaryPoints, unit: bool) -> str:
    """What is wrong with points of a boundary, nothing if they are right.

    They lie in the closed domain; one step along a normal of length 1 (`unit`) leaves it, or, for opposite faces, one step along
    the whole vector is the furthest that does not.
    """
    inside = lambda by: bool(jnp.all(domain.contains(Points(points.x + by * points.vector, points.t))))
    never = lambda by: not bool(jnp.any(domain.contains(Points(points.x + by * points.vector, points.t))))
    lengths = np.linalg.norm(np.asarray(points.vector, np.float64), axis=1)
    if not inside(0.0) or (not unit and not inside(1.0)):
        return "its points are not in the domain"
    if unit and np.abs(lengths - 1).max() > 1e-5:
        return "its normals do not have length 1"
    if not (never(_OUTWARDS) if unit else never(-_OUTWARDS) and never(1 + _OUTWARDS)):
        return "a step outwards from its points does not leave the domain"
    return ""


def boundary_deviation(pde: PDE, number: int, points: BoundaryPoints) -> float:
    """The largest gap of the condition of that number at the solution, in units of the solution's size, or of 1 where that is more.

    Normal derivatives are taken by central differences, not by a tangent as in the loss, so that a derived target is checked too.
    """
    condition: Any = pde.conditions[number]
    exact, targets = lower((pde.exact,), pde.dim), pde.lower().targets

    def gaps(points: BoundaryPoints) -> tuple[Any, Any]:
        solution, target = lambda p: exact(p)[0], lambda p: targets(p)[number]
        at = lambda by: solution(Points(points.x + by * points.vector, points.t))
        if isinstance(condition, Periodic):
            return condition.rows(solution, target, points) / condition.weight**0.5, at(0)
        slope = (at(_STEP) - at(-_STEP)) / (2 * _STEP)
        derived = condition.target is None
        wanted = condition.side(solution, points) if derived else target(Points(points.x, points.t))
        return condition.alpha * at(0) + condition.beta * slope - wanted, at(0)

    gap, size = in_float64(jax.jit(gaps), points)
    return float(np.abs(gap).max() / max(1.0, np.abs(size).max()))
