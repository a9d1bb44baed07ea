"""Networks that are periodic in space by construction."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pdezoo import PDE, Points

from .base import Network, OffsetNetwork, Params
from .mlp import MLP


@dataclass(frozen=True)
class PeriodicFeatures(Network):
    """n(x, t) = network(cos 2πx/L, sin 2πx/L, t): periodic in every coordinate with its period L, for any parameters.

    `period` is one length for all coordinates, or one for each, with None for a coordinate that is not periodic and stays as it
    is; `Box.period` has the lengths of a box. With it, u = b + a n is periodic wherever a and b are, with all its derivatives
    (Dong and Ni 2021). The features are no linear map of x, so that estimators that need one refuse it; the others
    differentiate through the whole network, at a cost of d in every direction.
    """

    period: float | tuple[float | None, ...]
    network: Network = field(default_factory=MLP)

    def __post_init__(self) -> None:
        lengths = self.period if isinstance(self.period, tuple) else (self.period,)
        if not any(lengths) or any(length is not None and not 0 < length < math.inf for length in lengths):
            raise ValueError(
                f"a period is a positive length, or None for a coordinate that has none, got {self.period}"
            )

    def init(self, key: PRNGKeyArray, dim: int, has_time: bool) -> Params:
        """Those of the network. Raises ValueError where there are not as many periods as coordinates."""
        lengths = self._lengths(dim)
        return self.network.init(key, dim + sum(length is not None for length in lengths), has_time)

    def value(self, params: Params, points: Points) -> Float[Array, " batch"]:
        """Evaluates the inner network at the periodic features of the points, shape (B,)."""
        return self.network.value(params, points._replace(x=self._features(points.x)))

    def unsupported(self, pde: PDE) -> str | None:
        """As many periods as dimensions; a network of coordinates alone."""
        if isinstance(self.network, OffsetNetwork):
            return "its features are coordinates alone; this network reads the ansatz' offset too"
        if isinstance(self.period, tuple) and len(self.period) != pde.dim:
            return f"it has {len(self.period)} periods, the problem has {pde.dim} dimensions"
        return self.network.unsupported(pde)

    def _features(self, x: Float[Array, "batch dim"]) -> Float[Array, "batch features"]:
        """cos and sin of the periodic coordinates, and the other coordinates."""
        lengths = self._lengths(x.shape[1])
        turning = [k for k, length in enumerate(lengths) if length is not None]
        other = [k for k, length in enumerate(lengths) if length is None]
        rates = jnp.asarray([2 * math.pi / length for length in lengths if length is not None], x.dtype)
        angle = x[:, jnp.asarray(turning)] * rates[None]
        still = [x[:, jnp.asarray(other)]] if other else []
        return jnp.concatenate([jnp.cos(angle), jnp.sin(angle), *still], axis=1)

    def _lengths(self, dim: int) -> tuple[float | None, ...]:
        if not isinstance(self.period, tuple):
            return (self.period,) * dim
        if len(self.period) != dim:
            raise ValueError(
                f"a period for each of {dim} coordinates, or one for all, got {len(self.period)}"
            )
        return self.period
