"""Derivatives by values alone: finite and random differences; Stein's identity by Monte Carlo or on a sparse grid.

All are stencils: points in pairs x ± δ_j in space and time, and weights for the network's even and odd parts there,

    e_j = [f(x+δ_j) + f(x−δ_j)]/2 − f(x),     o_j = [f(x+δ_j) − f(x−δ_j)]/2.

Stein's identity (Zhao et al. 2023) gives derivatives of the network smoothed by a Gaussian of width σ in all D inputs,
n(x) = E f(x + σξ),

    n = f + E e,      ∇n = E[ξ o]/σ,      Δn = E[(|ξ|² − d) e]/σ²,      ∂²n/∂t² = E[(ξ_t² − 1) e]/σ²,

with |ξ|² over the d space coordinates. The network alone is smoothed: u = b + a·n, with the derivatives of a and b in
closed form. Smoothing u itself would smooth the kinks of |x|₁ in the data of `hjb`. The parts e and o are computed as
`SymmetricIncrements`, since differences of values lose most of their digits in float32.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement, product
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pdezoo import PDE, Drift, Dt, EulerDerivative, GradNormSq, Laplacian, Points, jet2, u
from pdezoo.lowering import prng

from ..derivatives.field import Field
from ..networks.base import Network, RidgeNetwork
from ..networks.jets import SymmetricIncrements, Value
from .base import Estimator
from .directional import dense_unsupported, shifts_unsupported

LARGEST = 2**26
"""The largest number of coordinates that a stencil may have: a quarter of a gigabyte in float32."""

_BLOCK = 2**18  # numbers of one layer at the shifted points of one block of pairs, at most: a megabyte


class Derivatives(NamedTuple):
    """Derivatives of a network, or of its smoothing, at B points. `gradient` is over all D inputs, time being the last."""

    value: Float[Array, " batch"]
    gradient: Float[Array, "batch inputs"]
    laplacian: Float[Array, " batch"]
    in_time: Float[Array, " batch"]  # ∂²/∂t², if there is time


class Stencil(NamedTuple):
    """J pairs of points x ± offsets_j, and the weights that make derivatives of the even and odd parts e_j and o_j there:

        n = f + Σ mean_j e_j,   ∇n = Σ slope_j offsets_j o_j,   Δn = Σ space_j e_j,   ∂²n/∂t² = Σ time_j e_j.

    A pair all of whose numbers are zero adds nothing.
    """

    offsets: Float[Array, "pairs inputs"]
    mean: Float[Array, " pairs"]
    slope: Float[Array, " pairs"]
    space: Float[Array, " pairs"]
    time: Float[Array, " pairs"]

    def blocks(self, count: int) -> Stencil:
        """Returns the pairs in `count` parts of one size, along a new leading axis; pairs of zeros fill up the last part."""
        size = -(-self.mean.shape[0] // count)
        short = size * count - self.mean.shape[0]
        filled = (jnp.pad(a, [(0, short), *[(0, 0)] * (a.ndim - 1)]) for a in self)
        return Stencil(*(a.reshape(count, size, *a.shape[1:]) for a in filled))

    def apply(
        self,
        value: Float[Array, " batch"],
        even: Float[Array, "pairs batch"],
        odd: Float[Array, "pairs batch"],
    ) -> Derivatives:
        """Computes the derivatives at B points from f, shape (B,), and its even and odd parts at every pair, each (J, B)."""
        gradient = jnp.einsum("jb,j,ji->bi", odd, self.slope, self.offsets)
        return Derivatives(value + self.mean @ even, gradient, self.space @ even, self.time @ even)


@dataclass(frozen=True)
class ByStencil(Estimator):
    """Estimates u, its gradient, Laplacian and time derivatives by a stencil on the network. Subclasses give the stencil."""

    unbiased: ClassVar[bool] = False

    @abstractmethod
    def pairs(self, inputs: int) -> int:
        """Returns how many pairs of points a stencil in `inputs` inputs has, in space and time together."""

    @abstractmethod
    def stencil(self, dim: int, has_time: bool, key: PRNGKeyArray) -> Stencil:
        """Returns points and weights for `dim` space coordinates, with time, if there is any, as the last input."""

    def __call__(self, field: Field, atoms: tuple, points: Points, key: PRNGKeyArray) -> dict:
        """Estimates the atoms, {atom: (B,)}, from the derivatives of the network by the product rule."""
        stencil = self.stencil(field.dim, field.problem.has_time, key)
        return _under_ansatz(field, atoms, points, self._derivatives(field, points, stencil))

    def unsupported(self, pde: PDE, network: Network) -> str | None:
        """Returns a reason where the stencil is too large, the operator has other atoms, the ansatz rules out dense
        directions, or the network cannot be shifted; else None.
        """
        numbers = self.pairs(pde.dim + 1) * pde.dim
        if numbers > LARGEST:
            return f"its stencil at d = {pde.dim} has {numbers:,} coordinates, more than {LARGEST:,}; use hte or stde"
        reason = super().unsupported(pde, network) or dense_unsupported(pde, network)
        return reason or shifts_unsupported(network)

    def _derivatives(self, field: Field, points: Points, stencil: Stencil) -> Derivatives:
        """Computes the network's derivatives; block by block where pairs are many, so that memory does not grow with
        their number.
        """
        network, params = field.network, field.params
        assert isinstance(network, RidgeNetwork)
        z = network.features(params, points)
        zero = jnp.zeros(z.shape[0], z.dtype)

        def part(stencil: Stencil) -> Derivatives:
            odd = network.features(params, _as_points(stencil.offsets, field.dim))[:, None]
            parts = network.head(params, SymmetricIncrements(z, jnp.zeros_like(odd), odd))
            return stencil.apply(zero, parts.even[..., 0], parts.odd[..., 0])

        count = -(-stencil.mean.shape[0] * z.size // _BLOCK)
        total = _sum(part, stencil.blocks(count)) if count > 1 else part(stencil)
        return total._replace(value=total.value + network.head(params, Value(z)).value[:, 0])

    def _smoothed(self, field: Field, points: Points, stencil: Stencil) -> Array:
        """Evaluates u with the network's mean over the stencil in place of the network, shape (B,)."""
        factor, offset = field.problem.ansatz(points)
        return offset + factor * self._derivatives(field, points, stencil).value


@dataclass(frozen=True)
class FiniteDifference(ByStencil):
    """Central differences of the network along every input, biased by O(step²); they take 2D + 1 values a point.

    Raises ValueError for a `step` that is not positive.
    """

    step: float = 0.01

    def __post_init__(self) -> None:
        if self.step <= 0:
            raise ValueError(f"step is the distance of neighbours, positive, got {self.step}")

    def pairs(self, inputs: int) -> int:
        """Returns one pair for every input."""
        return inputs

    def stencil(self, dim: int, has_time: bool, key: PRNGKeyArray) -> Stencil:
        """Returns the neighbours at distance `step` along every axis, with the weights of central differences; `key` is
        not used.
        """
        inputs = dim + has_time
        weight = jnp.full(inputs, 1 / self.step**2)
        in_space = jnp.arange(inputs) < dim
        return Stencil(
            self.step * jnp.eye(inputs),
            jnp.zeros(inputs),
            weight,
            2 * weight * in_space,
            2 * weight * ~in_space,
        )


@dataclass(frozen=True)
class RandomDifference(ByStencil):
    """Random differences (DRDM; Cai, Fang and Zhou 2025, arXiv:2506.20308): Δn ≈ E[n(x + √(2h) ξ) − n(x)]/h, ξ standard normal.

    The mean is over `samples` pairs ±ξ_j shared by the batch. The bias is h/2 Δ²n + O(h²), the variance at small h that of
    `DenseSTDE`. With the parts e_j and o_j at δ_j = √(2h) ξ_j,

        Δn ≈ Σ e_j/(J h),      ∇n ≈ Σ ξ_j o_j/(J √(2h)),

    the second for ∇a·∇n of the ansatz and for drifts; |∇u|² is refused, since its square is far from unbiased. Time
    derivatives are central differences of step h by a pair of their own: the paper moves t and x together, which has the
    same limit and more variance. Raises ValueError for fewer than one sample and an `h` that is not positive.
    """

    samples: int = 16
    h: float = 1e-3
    atoms: ClassVar[tuple[type, ...]] = (Dt, EulerDerivative, Drift, Laplacian)

    def __post_init__(self) -> None:
        if self.samples < 1 or self.h <= 0:
            raise ValueError(f"samples is at least 1 and h positive, got {self}")

    def pairs(self, inputs: int) -> int:
        """Returns `samples`, and one pair in time, whatever the number of inputs."""
        return self.samples + 1

    def stencil(self, dim: int, has_time: bool, key: PRNGKeyArray) -> Stencil:
        """Draws `samples` random pairs in space from `key`, of equal weights; the neighbours in time come after them."""
        moves = (2 * self.h) ** 0.5 * jax.random.normal(key, (self.samples, dim))
        offsets = jnp.pad(moves, [(0, has_time), (0, has_time)]).at[self.samples :, dim:].set(self.h)
        in_time = jnp.arange(self.samples + has_time) == self.samples
        in_space = ~in_time / (self.samples * self.h)
        once = in_time / self.h**2
        return Stencil(offsets, jnp.zeros(in_time.shape), in_space / 2 + once, in_space, 2 * once)


@dataclass(frozen=True)
class SteinMC(ByStencil):
    """Stein's identity by Monte Carlo: `samples` pairs x ± σξ, with ξ standard normal and shared by the batch,
    2·samples + 1 values a point.

    It is unbiased for the smoothed function's value, gradient and Laplacian, which differ from the network's by O(σ²).
    `test_samples` pairs, always the same, smooth u when it is tested. Raises ValueError for numbers of samples below 1
    and a `sigma` that is not positive.
    """

    samples: int = 1024
    sigma: float = 0.1
    test_samples: int = 64

    def __post_init__(self) -> None:
        if min(self.samples, self.test_samples) < 1 or self.sigma <= 0:
            raise ValueError(f"samples and test_samples are at least 1 and sigma positive, got {self}")

    def pairs(self, inputs: int) -> int:
        """Returns `samples`, whatever the number of inputs."""
        return self.samples

    def stencil(self, dim: int, has_time: bool, key: PRNGKeyArray) -> Stencil:
        """Draws `samples` random pairs from `key`, of equal weights."""
        return self._drawn(key, self.samples, dim, has_time)

    def value(self, field: Field, points: Points) -> Float[Array, " batch"]:
        """Evaluates u with a smoothed network, shape (B,), by `test_samples` pairs that are always the same."""
        drawn = self._drawn(prng.key(0), self.test_samples, field.dim, field.problem.has_time)
        return self._smoothed(field, points, drawn)

    def _drawn(self, key: PRNGKeyArray, count: int, dim: int, has_time: bool) -> Stencil:
        nodes = jax.random.normal(key, (count, dim + has_time))
        return stein(nodes, jnp.full(count, 1 / count), dim, self.sigma)


@dataclass(frozen=True)
class SteinSparseGrid(ByStencil):
    """Stein's identity by the Smolyak rule of Gauss-Hermite rules of this level: at level 3, 2D² + 2D + 1 values a point.

    It is exact for networks that are polynomials of degree 2·level − 3 for Δn, one more for ∇n; the nodes are
    symmetric, so that pairs share values. The rule of `test_level` smooths u when it is tested. Raises ValueError for a
    level below 2, a `test_level` below 1 and a `sigma` that is not positive.
    """

    level: int = 3
    sigma: float = 0.1
    test_level: int = 2

    def __post_init__(self) -> None:
        if self.level < 2 or self.test_level < 1 or self.sigma <= 0:
            raise ValueError(f"level is at least 2, test_level at least 1 and sigma positive, got {self}")

    def pairs(self, inputs: int) -> int:
        """Counts the pairs of nodes that differ from zero on level − 1 axes, which are most: D² − D of D² + D pairs at level 3."""
        return 2 ** (self.level - 2) * math.comb(inputs, self.level - 1)

    def stencil(self, dim: int, has_time: bool, key: PRNGKeyArray) -> Stencil:
        """Returns one node of every pair ±ξ of the rule, with the weights of both; `key` is not used."""
        return self._grid(self.level, dim, has_time)

    def value(self, field: Field, points: Points) -> Float[Array, " batch"]:
        """Evaluates u with a network smoothed by the rule of `test_level`, shape (B,)."""
        return self._smoothed(field, points, self._grid(self.test_level, field.dim, field.problem.has_time))

    def _grid(self, level: int, dim: int, has_time: bool) -> Stencil:
        nodes, weights = smolyak(dim + has_time, level)
        first = np.take_along_axis(nodes, np.argmax(nodes != 0, axis=1)[:, None], axis=1)[:, 0]
        half = first > 0
        return stein(jnp.asarray(nodes[half]), jnp.asarray(2 * weights[half]), dim, self.sigma)


def stein(
    nodes: Float[Array, "pairs inputs"], weights: Float[Array, " pairs"], dim: int, sigma: float
) -> Stencil:
    """Returns the stencil of Stein's identity for pairs ±σξ_j of standard normal nodes ξ_j, each with the weight of both."""
    excess = jnp.sum(nodes[:, :dim] ** 2, axis=1) - dim
    in_time = jnp.sum(nodes[:, dim:] ** 2 - 1, axis=1)
    second = weights / sigma**2
    return Stencil(sigma * nodes, weights, second, second * excess, second * in_time)


@lru_cache(maxsize=16)
def smolyak(dim: int, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns nodes (n, dim) and weights (n,) of the level-k Smolyak rule for the standard normal measure, by the
    combination technique.

        A = Σ_q (−1)^{k−1−q} C(dim−1, k−1−q) Σ_{|l| = dim+q} V_{l_1} ⊗ ⋯ ⊗ V_{l_dim},

    with V_l the Gauss-Hermite rule of l nodes (Wasilkowski and Woźniakowski 1995). It is exact for polynomials of total
    degree 2k − 1. Nodes that rules share are merged.
    """
    merged: dict[tuple[tuple[int, float], ...], float] = defaultdict(float)
    for q in range(max(0, level - dim), level):
        sign = (-1) ** (level - 1 - q) * math.comb(dim - 1, level - 1 - q)
        for axes in combinations_with_replacement(range(dim), q):
            refined = Counter(axes)
            for picked in product(*(_hermite(more + 1) for more in refined.values())):
                away = tuple((i, x) for i, (x, _) in zip(refined, picked, strict=True) if x)
                merged[away] += sign * math.prod(w for _, w in picked)
    nodes = np.zeros((len(merged), dim))
    for row, away in zip(nodes, merged, strict=True):
        for axis, x in away:
            row[axis] = x
    return nodes, np.array(list(merged.values()))


def _hermite(count: int) -> list[tuple[float, float]]:
    """Returns (node, weight) of the Gauss rule for the standard normal measure, rounded so that its middle node is exactly 0."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return [
        (round(x, 12), w) for x, w in zip(nodes.tolist(), (weights / weights.sum()).tolist(), strict=True)
    ]


def _sum(part: Callable[[Stencil], Derivatives], blocks: Stencil) -> Derivatives:
    """Returns Σ_k part(k-th block), one block after the other; each is computed again for the gradient instead of being stored."""
    again = jax.checkpoint(part, prevent_cse=False)
    add = lambda total, block: (jax.tree.map(jnp.add, total, again(block)), None)
    shapes = jax.eval_shape(part, jax.tree.map(lambda a: a[0], blocks))
    return jax.lax.scan(add, jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes), blocks)[0]


def _as_points(vectors: Array, dim: int) -> Points:
    return Points(vectors[:, :dim], vectors[:, dim] if vectors.shape[1] > dim else None)


def _under_ansatz(field: Field, atoms: tuple, points: Points, n: Derivatives) -> dict:
    """Computes the atoms of u = b + a·n, {atom: (B,)}, from the derivatives of n by the product rule."""
    ansatz, dim = field.problem.ansatz, field.dim
    factor, offset = ansatz(points)
    closed = field.problem.closed(points)
    grad_a = grad_b = jnp.zeros_like(points.x)
    for radial, (slope_a, slope_b), gradient_of in ansatz.slopes(points):
        along = 2 * points.x if radial else gradient_of()
        grad_a, grad_b = grad_a + slope_a[:, None] * along, grad_b + slope_b[:, None] * along
    grad_n = n.gradient[:, :dim]
    gradient = grad_b + factor[:, None] * grad_n + n.value[:, None] * grad_a
    cross = 2 * jnp.sum(grad_a * grad_n, axis=1)
    values = {
        u: offset + factor * n.value,
        Laplacian(u): closed.lap_b + factor * n.laplacian + cross + n.value * closed.lap_a,
        GradNormSq(u): jnp.sum(gradient**2, axis=1),
        EulerDerivative(u): jnp.sum(points.x * gradient, axis=1),
    }
    for atom in (a for a in atoms if isinstance(a, Drift)):
        weights = field.problem.weights_of(atom).block(points, 0, dim)
        values[atom] = jnp.sum(weights * gradient, axis=1)
    return values | (_in_time(field, points, n) if field.problem.has_time else {})


def _in_time(field: Field, points: Points, n: Derivatives) -> dict:
    assert points.t is not None
    moved = lambda time: field.problem.ansatz(points._replace(t=time))
    (a, _), (a1, b1), (a2, b2) = jet2(moved, points.t)
    n1 = n.gradient[:, field.dim]
    return {
        Dt(u): b1 + a * n1 + n.value * a1,
        Dt(u, 2): b2 + a * n.in_time + 2 * a1 * n1 + n.value * a2,
    }
