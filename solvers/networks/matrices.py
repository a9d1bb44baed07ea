"""Weight matrices that are not arrays: a network multiplies by them and gathers their rows, and sees no difference.

`LowRank` is W₀ + fold(U C Vᵀ) with a small core C, `Seeded` a random matrix that is made again from its seed at every use,
`Replayed` a `LowRank` on a `Seeded` one, of which earlier subspaces are made again too, and `Tapped` notes its own uses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend.core import get_opaque_trace_state
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pdezoo import Blockwise, Streamed, stream_normals

_ROWS = 2**22  # numbers of a matrix that are made at a time, at most


@dataclass(frozen=True)
class Fold:
    """An m × n matrix read as a near-square m' × n' one, by a fixed order of its numbers.

    For m ≥ n the row index is split, i = i₂ m' + i₁ with i₁ < m' and i₂ < `inner`, and n' = inner·n: the contraction of
    x with U is then one matrix product of contiguous pieces of x. Otherwise the column index is split, j = j₁ n' + j₂
    with j₂ < n' = `inner`, and m' = m·n/inner. Rows beyond m, where m is not m'·inner, are zero.
    """

    rows: int
    columns: int
    inner: int
    tall: bool
    # The number of devices between which i₂ is divided: it divides `inner`, and no rows are beyond m.
    parts: int = 1

    @property
    def left(self) -> int:
        """The number m' of rows of the near-square matrix."""
        return -(-self.rows // self.inner) if self.tall else self.rows * self.columns // self.inner

    @property
    def right(self) -> int:
        """The number n' of columns of the near-square matrix."""
        return self.inner * self.columns if self.tall else self.inner

    def expand(self, left: Array, core: Array, right: Array) -> Float[Array, "rows columns"]:
        """Forms fold(U C Vᵀ) as an array, shape (m, n)."""
        square = (left @ core) @ right.T
        if self.tall:
            square = jnp.swapaxes(square.reshape(self.left, self.inner, self.columns), 0, 1)
        return square.reshape(-1, self.columns)[: self.rows]

    def product(self, x: Array, left: Array) -> Array:
        """Contracts x with U: the part of x @ fold(U C Vᵀ) that depends neither on C nor on V.

        Its shape is (…, inner, r) for a tall fold, with an entry for every i₂, and (…, n/inner, r) otherwise, one for
        every j₁. For a tall fold x may be its first coordinates alone, and the result is then that of the first i₂.
        """
        if not self.tall:
            return jnp.einsum("...m,mkr->...kr", x, left.reshape(self.rows, -1, left.shape[1]))
        short = -x.shape[-1] % self.left
        padded = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, short)]) if short else x
        return padded.reshape(*x.shape[:-1], -1, self.left) @ left

    def aligned(self, x: Blockwise) -> Blockwise:
        """Returns x in blocks of whole runs of m' coordinates, so that each block has its own i₂ in `product`."""
        rows = self.left if self.tall else 1
        return x.in_blocks(rows * max(1, x.size // rows))

    def block_product(self, block: Array, start: Any, left: Array) -> Array:
        """Returns what the coordinates from `start` on that `block` holds, shape (…, count), add to `product`, in the
        shape of the whole.
        """
        count = block.shape[-1]
        if not self.tall:
            each = self.columns // self.inner
            part = jax.lax.dynamic_slice_in_dim(left, start * each, count * each)
            return replace(self, rows=count).product(block, part)
        nothing = jnp.zeros((*block.shape[:-1], self.inner, left.shape[1]), block.dtype)
        here = self.product(block, left)
        return jax.lax.dynamic_update_slice_in_dim(nothing, here, start // self.left, axis=-2)

    def finish(self, contracted: Array, core: Array, right: Array) -> Float[Array, "*points columns"]:
        """Computes x @ fold(U C Vᵀ), shape (…, n), from the result of `product`."""
        moved = contracted @ core
        if self.tall:
            return jnp.einsum("...ms,mns->...n", moved, right.reshape(self.inner, self.columns, -1))
        both = jnp.einsum("...kr,jr->...kj", moved, right)
        return both.reshape(*both.shape[:-2], self.columns)

    def gather(self, axes: Int[Array, " axes"], left: Array, core: Array, right: Array) -> Array:
        """Gathers rows of fold(U C Vᵀ), shape (K, n)."""
        if self.tall:
            blocks = right.reshape(self.inner, self.columns, -1)[axes // self.left]
            return jnp.einsum("ks,kns->kn", left[axes % self.left] @ core, blocks)
        moved = left.reshape(self.rows, -1, left.shape[1])[axes] @ core
        return jnp.einsum("akr,jr->akj", moved, right).reshape(-1, self.columns)


def near_square(rows: int, columns: int) -> Fold:
    """Returns the fold with the least m' + n' that the divisors of rows or columns allow.

    Where that is far from square, as for a prime number of rows, the fold has further rows of zeros that are never stored.
    """
    folds = [Fold(rows, columns, k, True) for k in _divisors(rows)]
    folds += [Fold(rows, columns, k, False) for k in _divisors(columns)]
    best = min(folds, key=lambda f: f.left + f.right)
    if best.left + best.right <= 4 * math.sqrt(rows * columns):
        return best
    return Fold(rows, columns, max(1, round(math.sqrt(rows / columns))), True)


def _divisors(number: int) -> list[int]:
    small = [k for k in range(1, math.isqrt(number) + 1) if number % k == 0]
    return sorted({*small, *(number // k for k in small)})


class Basis(NamedTuple):
    """The factors U (m', r) and V (n', r) of a subspace of one folded matrix."""

    left: Float[Array, "left rank"]
    right: Float[Array, "right rank"]


def random_basis(key: PRNGKeyArray, fold: Fold, rank: int) -> Basis:
    """Draws uniformly distributed U and V with orthonormal columns."""
    one, other = jax.random.split(key)
    return Basis(orthonormal(one, fold.left, rank), orthonormal(other, fold.right, rank))


def orthonormal(key: PRNGKeyArray, rows: int, rank: int) -> Float[Array, "rows rank"]:
    """Draws a matrix with orthonormal columns: the Q factor of a Gaussian one, uniformly distributed up to signs of columns.

    A tall Gaussian matrix has singular values within √rows ± √rank, so that Cholesky's factor of its Gram matrix, taken
    twice, gives Q to rounding. That is two products instead of LAPACK's QR, and 70 times faster on a CPU at 12,500 × 64.
    """
    gaussian = jax.random.normal(key, (rows, rank))
    if rows < 4 * rank:
        return jnp.linalg.qr(gaussian)[0]
    return _orthonormalised(_orthonormalised(gaussian))


def _orthonormalised(tall: Float[Array, "rows rank"]) -> Float[Array, "rows rank"]:
    """Returns A L⁻ᵀ with L Lᵀ = AᵀA: one pass of Cholesky's QR."""
    product = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    factor = jnp.linalg.cholesky(product(tall.T, tall))
    inverse = jax.scipy.linalg.solve_triangular(factor, jnp.eye(tall.shape[1]), lower=True)
    return product(tall, inverse.T)


class LowRank(eqx.Module):
    """The matrix W₀ + fold(U C Vᵀ): the base W₀ is an array or `Seeded`, U is (m', r), C (r, r) and V (n', r)."""

    base: Any
    left: Float[Array, "left rank"]
    core: Float[Array, "rank rank"]
    right: Float[Array, "right rank"]
    fold: Fold = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers (m, n) of rows and columns."""
        return self.fold.rows, self.fold.columns

    def __rmatmul__(self, x: Any) -> Array:
        """Computes x @ (W₀ + fold(U C Vᵀ)), the second term as ((x U) C) Vᵀ: perturbations of C share everything before C."""
        if isinstance(x, Blockwise):
            plain, contracted = self._streamed(x)
        else:
            plain, contracted = x @ self.base, self.fold.product(x, self.left)
        return plain + self.fold.finish(contracted, self.core, self.right)

    def _streamed(self, x: Blockwise) -> tuple[Array, Array]:
        """Computes x @ W₀ and x U in one pass over the coordinates."""

        def part(start: Any, count: int) -> tuple[Array, Array]:
            block = x.block(start, count)
            return block @ rows_of(self.base, start, count), self.fold.block_product(block, start, self.left)

        return self.fold.aligned(x).accumulate(part)

    def __getitem__(self, axes: Int[Array, " axes"]) -> Float[Array, "axes columns"]:
        """Gathers rows, shape (K, n)."""
        return self.base[axes] + self.fold.gather(axes, self.left, self.core, self.right)


class Seeded(eqx.Module):
    """An m × n matrix of independent normal numbers, made from a seed wherever they are needed and never stored.

    The numbers have variance 1/fan_in at the start; a factor for every column is the only thing that is stored, and trained.
    """

    numbers: Streamed  # the numbers of the transpose, which has n rows and m columns
    size: int = eqx.field(static=True)

    @classmethod
    def draw(cls, key: PRNGKeyArray, rows: int, columns: int, fan_in: int) -> Seeded:
        """Returns the matrix that `key` determines, with numbers of variance 1/`fan_in`."""
        numbers = stream_normals(key, columns, rows, rows)
        scale = jnp.full(columns, 1 / math.sqrt(fan_in))
        return cls(replace(numbers, scale=scale), max(1, _ROWS // columns))

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers (m, n) of rows and columns."""
        columns, rows = self.numbers.shape
        return rows, columns

    def key(self) -> PRNGKeyArray:
        """Returns a key that follows from the seed, for what else is random about the matrix."""
        words = jnp.stack([self.numbers.column_word, self.numbers.row_words[0]])
        return jax.random.wrap_key_data(words, impl="threefry2x32")

    def block(self, start: Any, count: int) -> Float[Array, "count columns"]:
        """Makes rows start … start + count, shape (count, n)."""
        return self.numbers.block(start, count).T

    def __getitem__(self, axes: Int[Array, " axes"]) -> Float[Array, "axes columns"]:
        """Makes rows, shape (K, n)."""
        return self.numbers.columns(axes).T

    def __rmatmul__(self, x: Any) -> Array:
        """Computes x @ W, block by block."""
        if isinstance(x, Blockwise):
            return x.accumulate(lambda start, count: x.block(start, count) @ self.block(start, count))
        blocks = replace(self.numbers, size=min(self.size, x.shape[-1]))
        cut = lambda start, count: jax.lax.dynamic_slice_in_dim(x, start, count, axis=-1)
        return blocks.accumulate(lambda start, count: cut(start, count) @ self.block(start, count))


class Replayed(eqx.Module):
    """The matrix W₀ + Σ_k fold(U_k C_k V_kᵀ) + fold(U C Vᵀ), with W₀ and past U_k, V_k from seeds: only past cores C_k
    are kept.

    Subspace k, counted from 0, is `random_basis` of `key` folded with k. Every use of the matrix makes all past ones again.
    """

    now: LowRank
    key: PRNGKeyArray
    cores: Float[Array, "capacity rank rank"]  # C_k of past subspaces; zero from the present one on

    @classmethod
    def begin(cls, base: Seeded, rank: int, capacity: int) -> Replayed:
        """Returns W₀ before the first subspace, with room for the cores of `capacity` subspaces that will be over."""
        fold = near_square(*base.shape)
        rank = min(rank, fold.left, fold.right)
        left, core, right = (jnp.zeros((n, rank)) for n in (fold.left, rank, fold.right))
        return cls(LowRank(base, left, core, right, fold), base.key(), jnp.zeros((capacity, rank, rank)))

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers (m, n) of rows and columns."""
        return self.now.shape

    def basis(self, number: Any) -> Basis:
        """Makes U_k and V_k of subspace k = `number` again."""
        return random_basis(jax.random.fold_in(self.key, number), self.now.fold, self.cores.shape[-1])

    def __rmatmul__(self, x: Any) -> Array:
        """Computes x @ W: one pass over the coordinates for W₀ and the present subspace, and one for every past subspace."""
        fold = self.now.fold
        part = lambda basis, core: fold.finish(contracted(fold, x, basis.left), core, basis.right)
        return x @ self.now + self._past(part)

    def __getitem__(self, axes: Int[Array, " axes"]) -> Float[Array, "axes columns"]:
        """Gathers rows, shape (K, n)."""
        part = lambda basis, core: self.now.fold.gather(axes, basis.left, core, basis.right)
        return self.now[axes] + self._past(part)

    def _past(self, part: Callable[[Basis, Array], Array]) -> Array:
        """Returns Σ_k part(U_k and V_k, C_k) over past subspaces, one after the other, up to the last core that is not zero."""
        numbers = jnp.arange(1, self.cores.shape[0] + 1)
        count = jnp.max(jnp.where(jnp.any(self.cores != 0, axis=(1, 2)), numbers, 0))
        add = lambda k, total: total + part(self.basis(k), self.cores[k])
        shape = jax.eval_shape(lambda: part(self.basis(0), self.cores[0]))
        return jax.lax.fori_loop(0, count, add, jnp.zeros(shape.shape, shape.dtype))


class Tapped:
    """A matrix W that notes all its uses: what it is multiplied by, and a tap, an array that is added to the product.

    If r depends on W through the products L_k W alone, then ∂r/∂W = Σ_k L_kᵀ ∂r/∂tap_k at taps of zero. `left` lists
    the L_k, each once: an array, `Rows` for a gather, `Gram` for the Wᵀ of WᵀW. A `Tapped` lives while one function is
    traced and is no pytree. A use inside a transformed part of that function, such as a loop, raises `Untapped`, since
    its L does not exist outside; a product with the points `x` themselves is an exception.
    """

    def __init__(self, weight: Float[Array, "m n"], x: Float[Array, "points m"], taps: list[Array] | None):
        self.weight, self.x, self.taps = weight, x, taps
        self.left: list[Any] = []
        self.shapes: list[tuple[int, ...]] = []
        self._trace = get_opaque_trace_state()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape (m, n) of W."""
        return self.weight.shape

    def __rmatmul__(self, x: Float[Array, "*points m"]) -> Array:
        """Computes x @ W, and adds its tap."""
        return self._use(x, x @ self.weight, inside=x is self.x)

    def __getitem__(self, axes: Int[Array, "*axes"]) -> Array:
        """Gathers rows W[axes], and adds their tap."""
        return self._use(Rows(axes), self.weight[axes])

    def gram(self) -> Float[Array, "n n"]:
        """Computes WᵀW, shape (n, n), and adds its tap."""
        return self._use(Gram(), self.weight.T @ self.weight, inside=True)

    def _use(self, left: Any, product: Array, inside: bool = False) -> Array:
        known = (k for k, other in enumerate(self.left) if _same(left, other))
        number = next(known, len(self.left))
        if number == len(self.left):
            if not inside and get_opaque_trace_state() != self._trace:
                raise Untapped("the first weight is used inside a loop or a derivative along x")
            self.left.append(left)
            self.shapes.append(product.shape)
        return product if self.taps is None else product + self.taps[number]


class Rows(NamedTuple):
    """The left factor of a gather: the unit vectors of the given axes."""

    axes: Int[Array, "*axes"]


class Gram(NamedTuple):
    """The left factor of WᵀW, which is Wᵀ."""


def _same(one: Any, other: Any) -> bool:
    """Returns whether two left factors are one array, or one gather, or both Wᵀ."""
    if isinstance(one, Rows) and isinstance(other, Rows):
        return one.axes is other.axes
    return one is other or (isinstance(one, Gram) and isinstance(other, Gram))


class Untapped(Exception):
    """Raised by a use of a `Tapped` matrix whose left factor does not exist outside a loop or a derivative."""


def contracted(fold: Fold, x: Any, left: Array) -> Array:
    """Computes `fold.product` of x, which is an array or `Blockwise` coordinates."""
    if not isinstance(x, Blockwise):
        return fold.product(x, left)
    part = lambda start, count: fold.block_product(x.block(start, count), start, left)
    return fold.aligned(x).accumulate(part)


def rows_of(base: Any, start: Any, count: int) -> Float[Array, "count columns"]:
    """Returns rows start … start + count of an array or of a `Seeded` matrix, shape (count, n)."""
    if isinstance(base, Seeded):
        return base.block(start, count)
    return jax.lax.dynamic_slice_in_dim(base, start, count)


def merged(weight: LowRank, due: Array) -> Array:
    """Returns W₀ + fold(U C Vᵀ) where `due`, else W₀, as an array.

    It is added a few rows at a time, in place inside a compiled loop, and with no work where it is not due.
    """
    fold, base = weight.fold, weight.base
    once = jnp.where(due, 1, 0)
    if not fold.tall:
        change = lambda _, total: total + fold.expand(weight.left, weight.core, weight.right)
        return jax.lax.fori_loop(0, once, change, base)
    if fold.parts > 1:
        return _merged_in_parts(weight, once)
    height = fold.left
    blocks, rest = divmod(fold.rows, height)
    right = weight.right.reshape(fold.inner, fold.columns, -1)

    def add(index: Any, count: int, total: Array) -> Array:
        change = weight.left[:count] @ (weight.core @ right[index].T)
        here = jax.lax.dynamic_slice_in_dim(total, index * height, count)
        return jax.lax.dynamic_update_slice_in_dim(total, here + change, index * height, 0)

    total = jax.lax.fori_loop(0, blocks * once, lambda j, total: add(j, height, total), base)
    return jax.lax.fori_loop(0, once, lambda _, total: add(blocks, rest, total), total) if rest else total


def _merged_in_parts(weight: LowRank, once: Array) -> Array:
    """Merges on several devices: each goes through its own rows, since a slice that moves over all rows would gather W₀
    on each.
    """
    fold = weight.fold
    each = fold.inner // fold.parts
    right = (weight.right @ weight.core.T).reshape(fold.parts, each, fold.columns, -1)

    def add(index: Any, total: Array) -> Array:
        change = jnp.einsum("ls,pns->pln", weight.left, right[:, index])
        here = jax.lax.dynamic_slice_in_dim(total, index, 1, axis=1)
        return jax.lax.dynamic_update_slice_in_dim(total, here + change[:, None], index, axis=1)

    whole = weight.base.reshape(fold.parts, each, fold.left, fold.columns)
    return jax.lax.fori_loop(0, each * once, add, whole).reshape(weight.base.shape)
