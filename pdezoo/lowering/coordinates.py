"""Coordinates that are no array: held directions and their lengths, or columns made from a key wherever they are needed.

Every use of x in a training step is a sum over coordinates or a gather of a few of them. So the length of a point can wait until
the sum is there, and x itself is never written; and at d = 10⁷, where a hundred points are 4 GB, blocks of x suffice, each made
again by every pass over the coordinates.
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
"""(start, n) ↦ something of coordinates start … start + n; n is static."""

# Cores share a large kernel in equal parts; another one that is busy then keeps them all waiting for its part. With pieces of
# one kernel they wait for less.
_PIECES = 2
_MANY = 2**22  # numbers above which held coordinates are summed over in pieces
_HELD = 2**25  # numbers of training points that are held at a time: 128 MB
_BLOCK = 2**16  # coordinates in a block of those that are not


class Coordinates(eqx.Module):
    """x of shape (B, d) as x[b, i] = scale_b·g(b, i). `squares` is |x|² where it is known."""

    scale: Float[Array, " batch"]
    squares: Float[Array, " batch"] | None

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(B, d)."""

    @property
    def dtype(self) -> Any:
        """That of a column."""
        return self.scale.dtype

    @abstractmethod
    def columns(self, indices: Int[Array, "*axes"]) -> Float[Array, batch * axes]:
        """The coordinates of the given numbers."""

    @abstractmethod
    def block(self, start: Any, count: int) -> Float[Array, "batch count"]:
        """Coordinates start … start + count."""

    @abstractmethod
    def accumulate(self, part: Block, count: int | None = None) -> Any:
        """Σ_j part(start_j, n_j) over blocks of the first `count` coordinates (all of them, if not given)."""

    @abstractmethod
    def __matmul__(self, weight: Any) -> Any:
        """x @ weight."""

    def __mul__(self, factor: Float[Array, "batch 1"]) -> Coordinates:
        """Every point times a number of its own."""
        length = factor[:, 0]
        squares = None if self.squares is None else self.squares * length**2
        return replace(self, scale=self.scale * length, squares=squares)


class FactoredCoordinates(Coordinates):
    """Held rows g and a factor for each, which sums over the coordinates are multiplied by, not the rows."""

    rows: Float[Array, "batch dim"]

    @property
    def shape(self) -> tuple[int, int]:
        """(B, d)."""
        batch, dim = self.rows.shape
        return batch, dim

    def columns(self, indices: Int[Array, "*axes"]) -> Float[Array, batch * axes]:
        """A gather."""
        return self.scale.reshape(-1, *(1,) * jnp.ndim(indices)) * self.rows[:, indices]

    def block(self, start: Any, count: int) -> Float[Array, "batch count"]:
        """A slice."""
        return self.scale[:, None] * slice_axis(self.rows, start, count, axis=1)

    def accumulate(self, part: Block, count: int | None = None) -> Any:
        """All at once, or in a few pieces where they are many numbers."""
        batch, dim = self.rows.shape
        count = dim if count is None else count
        size = -(-count // _PIECES) if batch * count > _MANY else count
        parts = [part(start, min(size, count - start)) for start in range(0, count, size)]
        return jax.tree.map(lambda *terms: sum(terms[1:], terms[0]), *parts)

    def __matmul__(self, weight: Any) -> Any:
        """x @ weight, for any weight that an array can be multiplied by."""
        return self.scale[:, None] * (self.rows @ weight)


class Blockwise(Coordinates):
    """Coordinates that are made where they are needed, `size` at a time, and never held. Abstract in how."""

    size: int = eqx.field(static=True)

    def in_blocks(self, size: int) -> Blockwise:
        """The same numbers, `size` at a time."""
        return replace(self, size=size)

    def block(self, start: Any, count: int) -> Float[Array, "batch count"]:
        """Made anew."""
        return self.columns(start + jnp.arange(count))

    def accumulate(self, part: Block, count: int | None = None) -> Any:
        """A loop over blocks."""
        blocks, rest = divmod(self.shape[1] if count is None else count, self.size)
        zero = lambda: jax.tree.map(
            lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(lambda: part(0, self.size))
        )
        total = part(blocks * self.size, rest) if rest else zero()
        add = lambda j, sums: jax.tree.map(jnp.add, sums, part(j * self.size, self.size))
        return jax.lax.fori_loop(0, blocks, add, total)

    def __matmul__(self, weight: Any) -> Any:
        """x @ weight, block by block; a factor that is no array takes the product over."""
        if not isinstance(weight, jax.Array):
            return NotImplemented
        return streamed_product(self.block, weight, self.size)


class Streamed(Blockwise):
    """g standard normal, a hash of a key, b and i, made again at every use, `size` coordinates at a time."""

    column_word: UInt32[Array, ""]
    row_words: UInt32[Array, " batch"]
    dim: int = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, int]:
        """(B, d)."""
        return self.scale.shape[0], self.dim

    def columns(self, indices: Int[Array, "*axes"]) -> Float[Array, batch * axes]:
        """Made from the key."""
        wide = lambda a: a.reshape(-1, *(1,) * jnp.ndim(indices))
        word = mix(mix(jnp.asarray(indices).astype(jnp.uint32) + self.column_word) ^ wide(self.row_words))
        return wide(self.scale) * _normal(word)


def stream_normals(key: PRNGKeyArray, count: int, dim: int, size: int) -> Streamed:
    """Standard normal coordinates, `size` at a time (or the whole, if it has fewer)."""
    words = jax.random.bits(key, (count + 1,), jnp.uint32)
    return Streamed(jnp.ones(count), None, min(size, dim), words[0], mix(words[1:]), dim)


def can_be_held(count: int, dim: int) -> bool:
    """Whether `count` points in `dim` coordinates are so few numbers (2²⁵, or 128 MB) that a domain may hold them."""
    return count * dim <= _HELD


def block_size(dim: int) -> int:
    """How many coordinates are made at a time where they are not held: a divisor of `dim` if there is a large one."""
    divisors = (k for k in range(_BLOCK, _BLOCK // 16, -1) if dim % k == 0)
    return next(divisors, _BLOCK)


def columns_of(x: Coordinates | Float[Array, "batch dim"], indices: Any) -> Array:
    """The coordinates of the given numbers, of an array or of what is none."""
    return x.columns(jnp.asarray(indices)) if isinstance(x, Coordinates) else x[:, indices]


def block_of(
    x: Coordinates | Float[Array, "batch dim"], start: Any, count: int
) -> Float[Array, "batch count"]:
    """Coordinates start … start + count of an array or of what is none."""
    return x.block(start, count) if isinstance(x, Coordinates) else slice_axis(x, start, count, axis=1)


def materialize(x: Coordinates | Float[Array, "batch dim"]) -> Float[Array, "batch dim"]:
    """x as an array."""
    return x.block(0, x.shape[1]) if isinstance(x, Coordinates) else x


def streamed_product(block: Block, weight: Float[Array, "dim width"], size: int) -> Array:
    """Σ_j block(start_j, n_j) @ weight[start_j : start_j + n_j]; blocks are made again for the gradient."""
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
    """The blocks side by side: all `dim` coordinates, held."""
    count, rest = divmod(dim, size)
    parts = [block(j * size, size) for j in range(count)]
    return jnp.concatenate(parts + ([block(count * size, rest)] if rest else []), axis=-1)


def slice_axis(array: Any, start: Any, count: int, axis: int = 0) -> Any:
    """array[start : start + count] along an axis; None, and what is whole already, as they are."""
    if array is None or array.shape[axis] == count:
        return array
    return jax.lax.dynamic_slice_in_dim(jnp.asarray(array), start, count, axis)


def _normal(word: UInt32[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Standard normal numbers from 23 of the bits each, by the inverse distribution function."""
    mantissa = (word >> 9) | jnp.uint32(0x3F800000)
    uniform = jax.lax.bitcast_convert_type(mantissa, jnp.float32) - 1.0
    centred = 2 * (uniform + 2.0**-24) - 1  # symmetric, and never ±1
    return jnp.sqrt(2.0).astype(jnp.float32) * jax.lax.erf_inv(centred)
