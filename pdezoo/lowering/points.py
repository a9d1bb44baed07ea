"""Batches of points, derivatives of elementwise functions, and evaluation in double precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .coordinates import materialize


class Points(NamedTuple):
    """A batch of points: x of shape (B, d), an array or `Coordinates`, and, for evolution problems, t of shape (B,)."""

    x: Float[Array, "batch dim"] | Any
    t: Float[Array, " batch"] | None = None


def require_points(points: Points, dim: int, has_time: bool) -> Points:
    """Returns the points with x as an array, and without t where the problem has no time.

    Raises ValueError where x does not have the shape (B, `dim`), or t is not of shape (B,) in a problem with time.
    """
    x = materialize(points.x)
    if jnp.ndim(x) != 2 or jnp.shape(x)[1] != dim:
        raise ValueError(f"points of this problem have x of shape (B, {dim}), got {jnp.shape(x)}")
    times = None if points.t is None else jnp.shape(points.t)
    if has_time and times != jnp.shape(x)[:1]:
        raise ValueError(f"points of this problem have times t of shape ({jnp.shape(x)[0]},), got {times}")
    return Points(x, points.t if has_time else None)


def in_working_precision(points: Any) -> Any:
    """Returns points whose numbers have JAX's default precision: the same points in float64 where a user has turned that on.

    Domains draw float32 numbers under every setting, so that a key means the same points; what is computed from them is as
    precise as everything else.
    """
    default = jnp.result_type(float)
    is_number = lambda a: jnp.issubdtype(a.dtype, jnp.floating)
    return jax.tree.map(lambda a: a.astype(default) if is_number(a) else a, points)


def jet2(function: Callable[[Array], Any], s: Array) -> tuple[Any, Any, Any]:
    """Computes the value, first and second derivative of an elementwise function at s, by nested forward mode.

    A constant may be an integer; its derivatives are zeros like those of every other constant.
    """
    one = jnp.ones_like(s)
    is_number = lambda a: jnp.issubdtype(jnp.result_type(a), jnp.inexact)
    whole = lambda q: jax.tree.map(lambda a: a if is_number(a) else jnp.full_like(q, a), function(q))
    first = lambda q: jax.jvp(whole, (q,), (one,))
    (value, slope), (_, curvature) = jax.jvp(first, (s,), (one,))
    return value, slope, curvature


@contextmanager
def usual_arithmetic() -> Iterator[None]:
    """Computes as this package expects inside a `with` block, whatever a user has set for their own code.

    Ranks and types are promoted as usual. Matrices of float32 are multiplied in float32, where JAX on an accelerator would round
    them to a shorter format (TensorFloat-32 has 10 bits of 23), which swallows second derivatives and differences of losses; a
    user who has set `jax_default_matmul_precision` keeps that.
    """
    precision = jax.config.jax_default_matmul_precision or "highest"  # type: ignore[attr-defined]
    with (
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
        jax.default_matmul_precision(precision),
    ):
        yield


def in_float64(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a JAX function in double precision: converts all arrays among the arguments to float64, and returns NumPy arrays."""
    with jax.enable_x64(True), usual_arithmetic():
        result = function(*jax.tree.map(lambda a: jnp.asarray(np.asarray(a), jnp.float64), arguments))
        return jax.tree.map(np.asarray, result)
