"""Derivatives by values alone: finite differences; Stein's identity by Monte Carlo or on a sparse grid (Zhao et al. 2023).

All three are stencils: points in pairs x ± δ_j in space and time, and weights for the network's even and odd parts there,

    e_j = [f(x+δ_j) + f(x−δ_j)]/2 − f(x),     o_j = [f(x+δ_j) − f(x−δ_j)]/2.

Stein's identity gives derivatives of the network smoothed by a Gaussian of width σ in all D inputs, n(x) = E f(x + σξ),

    n = f + E e,      ∇n = E[ξ o]/σ,      Δn = E[(|ξ|² − d) e]/σ²,      ∂²n/∂t² = E[(ξ_t² − 1) e]/σ²,

|ξ|² over the d space coordinates. The network alone is smoothed: u = b + a·n, with the derivatives of a and b in closed form.
Smoothing u itself would smooth the kinks of |x|₁ in the data of `hjb`. Increments are formed as `Pairs`, to keep float32 usable.
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
"""Coordinates of a stencil: a quarter of a gigabyte."""

_BLOCK = 2**18  # numbers of one layer, at all shifted points of a block of pairs: a megabyte


class Derivatives(NamedTuple):
    """Of a network, or of its smoothing, at points; `gradient` is over all D inputs."""

    value: Float[Array, " batch"]
    gradient: Float[Array, "batch inputs"]
    laplacian: Float[Array, " batch"]
    in_time: Float[Array, " batch"]  # ∂²/∂t², if there is time


class Stencil(NamedTuple):
    """J pairs of points, and weights: n = f + mean·e, ∇n = Σ slope_j δ_j o_j, Δn = space·e, ∂²n/∂t² = time·e.

    A pair of which all numbers are zero adds nothing.
    """

    offsets: Float[Array, "pairs inputs"]
    mean: Float[Array, " pairs"]
    slope: Float[Array, " pairs"]
    space: Float[Array, " pairs"]
    time: Float[Array, " pairs"]

    def blocks(self, count: int) -> Stencil:
        """Its pairs in `count` parts of one size, on a new leading axis; pairs of zeros fill the last."""
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
        """From f, and the parts e and o."""
        gradient = jnp.einsum("jb,j,ji->bi", odd, self.slope, self.offsets)
        return Derivatives(value + self.mean @ even, gradient, self.space @ even, self.time @ even)


@dataclass(frozen=True)
class ByStencil(Estimator):
    """u, its gradient, Laplacian and time derivatives by a stencil on the network."""

    unbiased: ClassVar[bool] = False

    @abstractmethod
    def pairs(self, inputs: int) -> int:
        """How many pairs of points a stencil in so many inputs has."""

    @abstractmethod
    def stencil(self, dim: int, has_time: bool, key: PRNGKeyArray) -> Stencil:
        """Points and weights for `dim` space coordinates, and time as the last input."""

    def __call__(self, field: Field, atoms: tuple, points: Points, key: PRNGKeyArray) -> dict:
        """The atoms' estimates."""
        stencil = self.stencil(field.dim, field.problem.has_time, key)
        return _under_ansatz(field, atoms, points, self._derivatives(field, points, stencil))

    def unsupported(self, pde: PDE, network: Network) -> str | None:
        """The protocol's reasons, and what rules out dense directions."""
        numbers = self.pairs(pde.dim + 1) * pde.dim
        if numbers > LARGEST:
            return f"its stencil at d = {pde.dim} has {numbers:,} coordinates, more than {LARGEST:,}; use hte or stde"
        reason = super().unsupported(pde, network) or dense_unsupported(pde, network)
        return reason or shifts_unsupported(network)

    def _derivatives(self, field: Field, points: Points, stencil: Stencil) -> Derivatives:
        """Block by block where pairs are many, so that memory does not grow with their number."""
        network, params = field.network, field.params
        assert isinstance(network, RidgeNetwork)
        z = network.features(params, points)
        zero = jnp.zeros(z.shape[0], z.dtype)

        def part(stencil: Stencil) -> Derivatives:
            odd = network.features(params, _as_points(stencil.offsets, field.dim))[:, None]
            found = network.head(params, SymmetricIncrements(z, jnp.zeros_like(odd), odd))
            return stencil.apply(zero, found.even[..., 0], found.odd[..., 0])

        count = -(-stencil.mean.shape[0] * z.size // _BLOCK)
        total = _sum(part, stencil.blocks(count)) if count > 1 else part(stencil)
        return total._replace(value=total.value + network.head(params, Value(z)).value[:, 0])

    def _smoothed(self, field: Field, points: Points, stencil: Stencil) -> Array:
        """u with the network's mean over the stencil."""
        factor, offset = field.problem.ansatz(points)
        return offset + factor * self._derivatives(field, points, stencil).value


@dataclass(frozen=True)
class FiniteDifference(ByStencil):
    """Central differences of the network along every input, 2D + 1 values a point: biased by O(step²)."""

    step: float = 0.01

    def __post_init__(self) -> None:
        if self.step <= 0:
            raise ValueError(f"step is the distance of neighbours, positive, got {self.step}")

    def pairs(self, inputs: int) -> int:
        """One for every input."""
        return inputs

    def stencil(self, dim: int, has_time: bool, key: PRNGKeyArray) -> Stencil:
        """Neighbours along the axes."""
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
class SteinMC(ByStencil):
    """Stein's identity with `samples` pairs x ± σξ, ξ standard normal and shared by the batch: 2·samples + 1 values a point.

    Unbiased for the smoothed function's value, gradient and Laplacian, which differ from the network's by O(σ²).
    `test_samples` pairs, always the same, smooth u when it is tested.
    """

    samples: int = 1024
    sigma: float = 0.1
    test_samples: int = 64

    def __post_init__(self) -> None:
        if min(self.samples, self.test_samples) < 1 or self.sigma <= 0:
            raise ValueError(f"samples and test_samples are at least 1 and sigma positive, got {self}")

    def pairs(self, inputs: int) -> int:
        """Whatever the dimension."""
        return self.samples

    def stencil(self, dim: int, has_time: bool, key: PRNGKeyArray) -> Stencil:
        """Random points."""
        return self._drawn(key, self.samples, dim, has_time)

    def value(self, field: Field, points: Points) -> Float[Array, " batch"]:
        """The smoothed u."""
        drawn = self._drawn(prng.key(0), self.test_samples, field.dim, field.problem.has_time)
        return self._smoothed(field, points, drawn)

    def _drawn(self, key: PRNGKeyArray, count: int, dim: int, has_time: bool) -> Stencil:
        nodes = jax.random.normal(key, (count, dim + has_time))
        return stein(nodes, jnp.full(count, 1 / count), dim, self.sigma)


@dataclass(frozen=True)
class SteinSparseGrid(ByStencil):
    """Stein's identity by the Smolyak rule of Gauss-Hermite rules of this level: at level 3, 2D² + 2D + 1 values a point.

    Exact for networks that are polynomials of degree 2·level − 3 for Δn, one more for ∇n; the nodes are symmetric, so that pairs
    share values. The rule of `test_level` smooths u when it is tested.
    """

    level: int = 3
    sigma: float = 0.1
    test_level: int = 2

    def __post_init__(self) -> None:
        if self.level < 2 or self.test_level < 1 or self.sigma <= 0:
            raise ValueError(f"level is at least 2, test_level at least 1 and sigma positive, got {self}")

    def pairs(self, inputs: int) -> int:
        """Those of the nodes with most coordinates off zero, ±1 on level − 1 axes: D² of D² + D pairs at level 3."""
        return 2 ** (self.level - 2) * math.comb(inputs, self.level - 1)

    def stencil(self, dim: int, has_time: bool, key: PRNGKeyArray) -> Stencil:
        """One of every pair of nodes, with the weights of both."""
        return self._grid(self.level, dim, has_time)

    def value(self, field: Field, points: Points) -> Float[Array, " batch"]:
        """The smoothed u."""
        return self._smoothed(field, points, self._grid(self.test_level, field.dim, field.problem.has_time))

    def _grid(self, level: int, dim: int, has_time: bool) -> Stencil:
        nodes, weights = smolyak(dim + has_time, level)
        first = np.take_along_axis(nodes, np.argmax(nodes != 0, axis=1)[:, None], axis=1)[:, 0]
        half = first > 0
        return stein(jnp.asarray(nodes[half]), jnp.asarray(2 * weights[half]), dim, self.sigma)


def stein(
    nodes: Float[Array, "pairs inputs"], weights: Float[Array, " pairs"], dim: int, sigma: float
) -> Stencil:
    """The stencil of Stein's identity: pairs ±σξ_j of standard normal nodes, each with the weight of both."""
    excess = jnp.sum(nodes[:, :dim] ** 2, axis=1) - dim
    in_time = jnp.sum(nodes[:, dim:] ** 2 - 1, axis=1)
    second = weights / sigma**2
    return Stencil(sigma * nodes, weights, second, second * excess, second * in_time)


@lru_cache(maxsize=16)
def smolyak(dim: int, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (n, dim) and weights (n,) of the level-k Smolyak rule for the standard normal measure, by the combination technique.

    A = Σ_q (−1)^{k−1−q} C(dim−1, k−1−q) Σ_{|l| = dim+q} V_{l_1} ⊗ ⋯ ⊗ V_{l_dim}, V_l the Gauss-Hermite rule of l nodes
    (Wasilkowski and Woźniakowski 1995). Exact for polynomials of total degree 2k − 1. Nodes that rules share are merged.
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
    """(node, weight) of the Gauss rule for the standard normal measure; its middle node is 0 and not nearly so."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return [
        (round(x, 12), w) for x, w in zip(nodes.tolist(), (weights / weights.sum()).tolist(), strict=True)
    ]


def _sum(part: Callable[[Stencil], Derivatives], blocks: Stencil) -> Derivatives:
    """Σ_k part(k-th block), one after the other; each block is made again for the gradient."""
    again = jax.checkpoint(part, prevent_cse=False)
    add = lambda total, block: (jax.tree.map(jnp.add, total, again(block)), None)
    shapes = jax.eval_shape(part, jax.tree.map(lambda a: a[0], blocks))
    return jax.lax.scan(add, jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes), blocks)[0]


def _as_points(vectors: Array, dim: int) -> Points:
    return Points(vectors[:, :dim], vectors[:, dim] if vectors.shape[1] > dim else None)


def _under_ansatz(field: Field, atoms: tuple, points: Points, n: Derivatives) -> dict:
    """The atoms of u = b + a·n by the product rule."""
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
