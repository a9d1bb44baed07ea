"""Atoms, such as Δu, of any function of points by nested automatic differentiation: the reference for faster methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..calculus.atoms import meaning
from .points import Points


def nested_autodiff(
    value: Callable[[Points], Float[Array, " batch"]], points: Points, wanted: tuple[Any, ...]
) -> dict[Any, Float[Array, " batch"]]:
    """Evaluates the `wanted` atoms of u = `value`, a function `Points -> (B,)`, at points whose x is an array.

    Returns an array of shape (B,) for every atom. Already Δu costs O(d²). Raises ValueError for an expression that is no
    atom, and for a function that does not give one number for every point.
    """
    given = jax.eval_shape(value, points)
    if getattr(given, "shape", None) != (points.x.shape[0],):
        raise ValueError(
            f"a function of {points.x.shape[0]} points gives one number for each, an array of shape ({points.x.shape[0]},), got "
            f"{getattr(given, 'shape', type(given).__name__)}"
        )

    def single(x: Any, time: Any) -> Any:
        return value(Points(x[None], None if points.t is None else time[None]))[0]

    time = jnp.zeros(points.x.shape[0], points.x.dtype) if points.t is None else points.t
    return {a: jax.vmap(meaning(a).autodiff(single))(points.x, time) for a in wanted}
