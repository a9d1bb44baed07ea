"""Lazy batches of coordinates: factored as scale × direction, or regenerated from a key.

A training step uses x only in sums over coordinates, or in gathers of a few of them. So a sum can be taken over the directions
and multiplied by the scale afterwards, and x itself is never written. At d = 10⁷, where a hundred points are 4 GB, not even the
directions are held: every pass over the coordinates generates x again, block by block.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

from .prng import mix

Block = Callable[[Any, int], Any]
"""A function (start, n) ↦ arrays computed from coordinates start … start + n − 1, where n is a static integer."""

# XLA divides a large kernel equally among the cores, and if one of them is busy with something else, all others wait for its
# part. With the sum in pieces, each a kernel of its own, they wait for less.
_PIECES = 2
_MANY = 2**22  # the size B·d above which sums over held coordinates are taken in pieces
_HELD = 2**25  # the largest size B·d of training points that are held: 128 MB
_BLOCK = 2**16  # the most coordinates in a block where they are not held


class Coordinates(eqx.Module):
    """A batch x of shape (B, d) in the form x[b, i] = scale_b·g(b, i). `squares` is |x|², shape (B,), where it is known."""

    scale: Float[Array, " batch"]
    squares: Float[Array, " batch"] | None

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """The number of points B and the dimension d."""

    @property
    def dtype(self) -> Any:
        """The floating-point type of the coordinates."""
        return self.scale.dtype

    @abstractmethod
    def columns(self, indices: Int[Array, "*axes"]) -> Float[Array, batch * axes]:
        """Returns the coordinates numbered `indices`, shape (B, *indices.shape)."""

    @abstractmethod
    def block(self, start: Any, count: int) -> Float[Array, "batch count"]:
        """Returns coordinates start … start + count − 1, shape (B, count)."""

    @abstractmethod
    def accumulate(self, part: Block, count: int | None = None) -> Any:
        """Computes Σ_j part(start_j, n_j) over blocks j that cover the first `count` coordinates, or all without `count`."""

    @abstractmethod
    def __matmul__(self, weight: Any) -> Any:
        """Computes x @ weight, shape (B, h) for a weight of shape (d, h)."""

    def __mul__(self, factor: Float[Array, "batch 1"]) -> Coordinates:
        """Multiplies every point by a number of its own."""
        length = factor[:, 0]
        squares = None if self.squares is None else self.squares * length**2
        return replace(self, scale=self.scale * length, squares=squares)


class FactoredCoordinates(Coordinates):
    """Held directions g, the `rows`, of which each point has one. Its scale multiplies sums over coordinates, not the row."""

    rows: Float[Array, "batch dim"]

    @property
    def shape(self) -> tuple[int, int]:
        """The number of points B and the dimension d."""
        batch, dim = self.rows.shape
        return batch, dim

    def columns(self, indices: Int[Array, "*axes"]) -> Float[Array, batch * axes]:
        """Gathers columns of the held rows, and scales them."""
        return self.scale.reshape(-1, *(1,) * jnp.ndim(indices)) * self.rows[:, indices]

    def block(self, start: Any, count: int) -> Float[Array, "batch count"]:
        """Slices the held rows, and scales the slice."""
        return self.scale[:, None] * slice_axis(self.rows, start, count, axis=1)

    def accumulate(self, part: Block, count: int | None = None) -> Any:
        """Computes the sum as one block, or as `_PIECES` blocks where the rows hold many numbers."""
        batch, dim = self.rows.shape
        count = dim if count is None else count
        size = -(-count // _PIECES) if batch * count > _MANY else count
        parts = [part(start, min(size, count - start)) for start in range(0, count, size)]
        return jax.tree.map(lambda *terms: sum(terms[1:], terms[0]), *parts)

    def __matmul__(self, weight: Any) -> Any:
        """Computes x @ weight, for any weight that an array can be multiplied by."""
        return self.scale[:, None] * (self.rows @ weight)


class Blockwise(Coordinates):
    """Coordinates that are never held: generated where they are needed, `size` at a time. Subclasses say how."""

    size: int = eqx.field(static=True)

    def in_blocks(self, size: int) -> Blockwise:
        """Returns the same coordinates, to be generated `size` at a time."""
        return replace(self, size=size)

    def block(self, start: Any, count: int) -> Float[Array, "batch count"]:
        """Generates coordinates start … start + count − 1 again."""
        return self.columns(start + jnp.arange(count))

    def accumulate(self, part: Block, count: int | None = None) -> Any:
        """Computes the sum by a loop over blocks of `size` coordinates, and one of the remaining ones."""
        blocks, rest = divmod(self.shape[1] if count is None else count, self.size)
        zero = lambda: jax.tree.map(
            lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(lambda: part(0, self.size))
        )
        total = part(blocks * self.size, rest) if rest else zero()
        add = lambda j, sums: jax.tree.map(jnp.add, sums, part(j * self.size, self.size))
        return jax.lax.fori_loop(0, blocks, add, total)

    def __matmul__(self, weight: Any) -> Any:
        """Computes x @ weight block by block. A weight that is no array defines the product itself (`__rmatmul__`)."""
        if not isinstance(weight, jax.Array):
            return NotImplemented
        return streamed_product(self.block, weight, self.size)


class Streamed(Blockwise):
    """Coordinates whose g(b, i) is standard normal, a hash of key, b and i: generated at every use, and always the same."""

    column_word: UInt32[Array, ""]
    row_words: UInt32[Array, " batch"]
    dim: int = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, int]:
        """The number of points B and the dimension d."""
        return self.scale.shape[0], self.dim

    def columns(self, indices: Int[Array, "*axes"]) -> Float[Array, batch * axes]:
        """Hashes the key's words and `indices` to standard normal numbers, and scales them."""
        wide = lambda a: a.reshape(-1, *(1,) * jnp.ndim(indices))
        word = mix(mix(jnp.asarray(indices).astype(jnp.uint32) + self.column_word) ^ wide(self.row_words))
        return wide(self.scale) * _normal(word)


def stream_normals(key: PRNGKeyArray, count: int, dim: int, size: int) -> Streamed:
    """Makes `count` points with `dim` standard normal coordinates, generated `size` at a time (all at once if dim < size)."""
    words = jax.random.bits(key, (count + 1,), jnp.uint32)
    return Streamed(jnp.ones(count, jnp.float32), None, min(size, dim), words[0], mix(words[1:]), dim)


def can_be_held(count: int, dim: int) -> bool:
    """Whether `count` points in `dim` dimensions are at most 2²⁵ numbers (128 MB), so that a domain may hold them."""
    return count * dim <= _HELD


def block_size(dim: int) -> int:
    """The number of coordinates to generate at a time: the largest divisor of `dim` between 2¹² and 2¹⁶, or 2¹⁶ if none."""
    divisors = (k for k in range(_BLOCK, _BLOCK // 16, -1) if dim % k == 0)
    return next(divisors, _BLOCK)


def columns_of(x: Coordinates | Float[Array, "batch dim"], indices: Any) -> Array:
    """Returns the coordinates numbered `indices`, shape (B, *indices.shape), of an array or of lazy coordinates."""
    return x.columns(jnp.asarray(indices)) if isinstance(x, Coordinates) else x[:, indices]


def block_of(
    x: Coordinates | Float[Array, "batch dim"], start: Any, count: int
) -> Float[Array, "batch count"]:
    """Returns coordinates start … start + count − 1, shape (B, count), of an array or of lazy coordinates."""
    return x.block(start, count) if isinstance(x, Coordinates) else slice_axis(x, start, count, axis=1)


def largest_of(x: Coordinates | Float[Array, "batch dim"]) -> Float[Array, " batch"]:
    """Returns max_i x_i, shape (B,), of an array or of lazy coordinates: block by block where they are not held."""
    if not isinstance(x, Blockwise):
        return jnp.max(materialize(x), axis=1)
    count, rest = divmod(x.shape[1], x.size)
    largest = lambda start, n: jnp.max(x.block(start, n), axis=1)
    greater = lambda j, so_far: jnp.maximum(so_far, largest(j * x.size, x.size))
    # the last block may overlap the one before: a coordinate counts once or twice
    last = largest(x.shape[1] - x.size, x.size) if rest else largest(0, x.size)
    return jax.lax.fori_loop(0, count, greater, last)


def materialize(x: Coordinates | Float[Array, "batch dim"]) -> Float[Array, "batch dim"]:
    """Returns x as an array of shape (B, d), and an array unchanged."""
    return x.block(0, x.shape[1]) if isinstance(x, Coordinates) else x


def streamed_product(block: Block, weight: Float[Array, "dim width"], size: int) -> Array:
    """Computes Σ_j block(start_j, n_j) @ weight[start_j : start_j + n_j], shape (B, h), over blocks of `size` coordinates.

    For the gradient, blocks are generated again instead of kept.
    """
    count, rest = divmod(weight.shape[0], size)
    total = block(count * size, rest) @ weight[count * size :] if rest else jnp.zeros(())

    @jax.checkpoint
    def add(sum_: Array, step: tuple[Array, Array]) -> tuple[Array, None]:
        start, rows = step
        return sum_ + block(start, size) @ rows, None

    if count:
        whole = weight if not rest else weight[: count * size]
        steps = (jnp.arange(count) * size, whole.reshape(count, size, -1))
        shape = jax.eval_shape(lambda: block(0, size) @ weight[:size])
        total = jax.lax.scan(add, jnp.zeros(shape.shape, shape.dtype), steps)[0] + total
    return total


def joined(block: Block, dim: int, size: int) -> Array:
    """Concatenates the blocks of all `dim` coordinates, each of `size` but for the last, along the last axis."""
    count, rest = divmod(dim, size)
    parts = [block(j * size, size) for j in range(count)]
    return jnp.concatenate(parts + ([block(count * size, rest)] if rest else []), axis=-1)


def slice_axis(array: Any, start: Any, count: int, axis: int = 0) -> Any:
    """Returns array[start : start + count] along an axis; `start` may be traced.

    Returns `array` unchanged if it is None or already `count` long.
    """
    if array is None or array.shape[axis] == count:
        return array
    return jax.lax.dynamic_slice_in_dim(jnp.asarray(array), start, count, axis)


def _normal(word: UInt32[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Maps random words to standard normal numbers, each by 23 of its bits and the inverse distribution function."""
    mantissa = (word >> 9) | jnp.uint32(0x3F800000)
    uniform = jax.lax.bitcast_convert_type(mantissa, jnp.float32) - 1.0
    centred = 2 * (uniform + 2.0**-24) - 1  # symmetric, and never ±1
    return jnp.sqrt(2.0).astype(jnp.float32) * jax.lax.erf_inv(centred)
