"""RS-PINN (He et al. 2023; Hu et al. 2023): derivatives of a Gaussian-smoothed network, by values alone.

The trial function is u = b + a·n with n(x) = E_δ f(x + σδ), f the network, δ standard normal. By Stein's identity

    ∇n = E[δ (f(x+σδ) − f(x−σδ))] / 2σ,      Δn = E[(|δ|² − d) (f(x+σδ) + f(x−σδ) − 2f(x))] / 2σ²,

so that only values of f are needed. Squaring one sample's residual biases the loss by the estimate's variance
(`rs-pinn`); two independent samples do not (`rs-pinn-unbiased`), at more variance; the hybrid starts with the first and
ends with the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pdezoo import PDE, Drift, Dt, EulerDerivative, Laplacian, Points, jet2, u
from pdezoo.lowering import prng

from ..derivatives.directions import Normal
from ..derivatives.field import Field
from ..networks.base import Network, RidgeNetwork
from ..networks.jets import Value
from .base import Estimator, cheap_atoms
from .directional import dense_unsupported, shifts_unsupported


@dataclass(frozen=True)
class RSPINN(Estimator):
    """Estimates u and Δu of the smoothed trial function from `samples` pairs f(x ± σδ), with σ = `sigma` and δ shared
    by the batch.

    The estimates are unbiased for the smoothed function, and so biased by O(σ²) for u_θ itself. `test_samples` pairs, always
    the same, smooth it when it is tested. Raises ValueError for numbers of samples below 1 and a `sigma` that is not positive.
    """

    samples: int = 128
    sigma: float = 0.01
    test_samples: int = 512
    unbiased: ClassVar[bool] = False
    accepts_lazy_coordinates: ClassVar[bool] = True
    atoms: ClassVar[tuple[type, ...]] = (Dt, EulerDerivative, Drift, Laplacian)

    def __post_init__(self) -> None:
        if min(self.samples, self.test_samples) < 1 or self.sigma <= 0:
            raise ValueError(f"samples and test_samples are at least 1 and sigma positive, got {self}")

    def __call__(self, field: Field, atoms: tuple, points: Points, key: PRNGKeyArray) -> dict:
        """Estimates the atoms, {atom: (B,)}; time derivatives, x·∇u and b·∇u are those of the network itself, without
        smoothing.
        """
        directions = Normal(key, self.samples, field.dim)
        even, odd = self._pairs(field, points, directions)
        base = field.network.value(field.params, points)
        n = base + jnp.mean(even, axis=0)
        excess = (squared_norms(directions) - field.dim)[:, None]
        lap_n = jnp.mean(excess * even, axis=0) / self.sigma**2
        line = directions.line(field.problem.ansatz, points)
        (a, b), (a_along, _), _ = jet2(line, jnp.zeros_like(even))
        grad_a_grad_n = jnp.mean(a_along * odd, axis=0) / self.sigma
        closed = field.problem.closed(points)
        values = cheap_atoms(field, tuple(x for x in atoms if x != u), points)
        return values | {
            u: b[0] + a[0] * n,
            Laplacian(u): closed.lap_b + a[0] * lap_n + 2 * grad_a_grad_n + n * closed.lap_a,
        }

    def value(self, field: Field, points: Points) -> Float[Array, " batch"]:
        """Evaluates the smoothed u, shape (B,), by `test_samples` pairs that are always the same."""
        even, _ = self._pairs(field, points, Normal(prng.key(0), self.test_samples, field.dim))
        factor, offset = field.problem.ansatz(points)
        return offset + factor * (field.network.value(field.params, points) + jnp.mean(even, axis=0))

    def unsupported(self, pde: PDE, network: Network) -> str | None:
        """Returns a reason where the operator has other atoms, the ansatz rules out dense directions, or the network
        cannot be shifted; else None.
        """
        reason = super().unsupported(pde, network) or dense_unsupported(pde, network)
        return reason or shifts_unsupported(network)

    def _pairs(self, field: Field, points: Points, directions: Normal) -> tuple[Array, Array]:
        """Returns (f(x+σδ) + f(x−σδ))/2 − f(x) and (f(x+σδ) − f(x−σδ))/2, each (samples, B)."""
        network, params = field.network, field.params
        assert isinstance(network, RidgeNetwork)
        z = network.features(params, points)
        step = self.sigma * directions.rows(network, params)[:, None]
        head = lambda q: network.head(params, Value(q)).value[..., 0]
        up, down = head(z + step), head(z - step)
        return (up + down) / 2 - head(z), (up - down) / 2


def squared_norms(directions: Normal) -> Float[Array, " directions"]:
    """Computes |δ_k|² of every direction, shape (K,), block by block."""
    count, rest = divmod(directions.dim, directions.size)
    norms = lambda start, n: jnp.sum(directions.block(start, n) ** 2, axis=1)
    total = norms(count * directions.size, rest) if rest else jnp.zeros(directions.count)
    return jax.lax.fori_loop(0, count, lambda i, s: s + norms(i * directions.size, directions.size), total)
