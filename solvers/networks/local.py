"""A network of neighbouring coordinates: one map shared by all windows, and a read-out of each window's own."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pdezoo import PDE, Points

from .base import Network, Params, S, SecondOrder
from .jets import CollapsedJets, Value


@dataclass(frozen=True)
class LocalMLP(Network):
    """n(x, t) = Σ_p v_p · φ(x_p, …, x_{p+w−1}, t): the same map φ into R^m for all windows, and a read-out v_p for each.

    That is its prior: a sum of functions of `window` neighbouring coordinates, alike up to a linear map. It can be no product of
    sums, and no function of distant coordinates. φ has `depth` affine maps, `width` wide, a tanh after each, and m = `features`
    outputs. Weights are normal with variance 1/fan-in. Read-outs begin at zero, so that u begins as the offset of the ansatz.
    Gradient and Laplacian are exact at O(d), since a window has `window` axes whatever d is. Raises ValueError for numbers below 1.
    """

    window: int = 3
    width: int = 32
    features: int = 4
    depth: int = 3

    def __post_init__(self) -> None:
        if min(self.window, self.width, self.features, self.depth) < 1:
            raise ValueError(f"window, width, features and depth are at least 1, got {self}")

    def init(self, key: PRNGKeyArray, dim: int, has_time: bool) -> Params:
        """Draws {"layers": ((W, b), …), "readout": (d − w + 1, m), "bias": ()}. Time is one more input of φ."""
        sizes = [self.window + has_time, *[self.width] * (self.depth - 1), self.features]
        keys = jax.random.split(key, self.depth)
        return {
            "layers": tuple(map(self._layer, keys, sizes[:-1], sizes[1:])),
            "readout": jnp.zeros((dim - self.window + 1, self.features)),
            "bias": jnp.zeros(()),
        }

    def value(self, params: Params, points: Points) -> Float[Array, " batch"]:
        """Evaluates n at a batch of points, shape (B,)."""
        inputs = self._inputs(points)
        features = self._map(params, Value(inputs.reshape(-1, inputs.shape[-1]))).value
        return params["bias"] + jnp.einsum(
            "bpm,pm->b", features.reshape(*inputs.shape[:2], -1), params["readout"]
        )

    def second_order(self, params: Params, points: Points) -> SecondOrder:
        """Computes n, ∇n and Δn, by one collapsed jet along the axes of a window for all windows at once."""
        inputs = self._inputs(points)
        batch, sites, size = inputs.shape
        axes = jnp.eye(self.window, size, dtype=inputs.dtype)[:, None]
        flat = inputs.reshape(-1, size)
        jets = self._map(params, CollapsedJets(flat, axes, jnp.zeros_like(flat)))
        read = lambda a: jnp.einsum("bpm,pm->bp", a.reshape(batch, sites, -1), params["readout"])
        slopes = [read(first) for first in jets.first]  # of every window along its own axes
        dim = points.x.shape[1]
        padded = [jnp.pad(s, ((0, 0), (j, dim - sites - j))) for j, s in enumerate(slopes)]
        gradient = jnp.sum(jnp.stack(padded), axis=0)
        return SecondOrder(
            params["bias"] + jnp.sum(read(jets.value), 1), gradient, jnp.sum(read(jets.second), 1)
        )

    def unsupported(self, pde: PDE) -> str | None:
        """As many coordinates as a window has, at least."""
        if pde.dim < self.window:
            return f"a window has {self.window} coordinates, the problem has {pde.dim}"
        return None

    def _inputs(self, points: Points) -> Float[Array, "batch sites size"]:
        count = points.x.shape[1] - self.window + 1
        places = [points.x[:, j : j + count] for j in range(self.window)]
        if points.t is not None:
            places.append(jnp.broadcast_to(points.t[:, None], places[0].shape))
        return jnp.stack(places, axis=-1)

    def _layer(self, key: PRNGKeyArray, inputs: int, outputs: int) -> Params:
        """Draws one layer of φ."""
        return _affine(key, inputs, outputs)

    def _map(self, params: Params, stream: S) -> S:
        """Applies φ to the windows."""
        for weight, bias in params["layers"]:
            stream = stream.affine(weight, bias).tanh()
        return stream


@dataclass(frozen=True)
class GatedLocalMLP(LocalMLP):
    """A `LocalMLP` whose map has `depth` gated layers, z ↦ tanh(Az + a) ⊙ (Bz + b): its units are products of the inputs, too.

    Products of coordinates, which a sum of tanh has to piece together, are polynomials of the second factors. A layer has twice the
    weights of one of the same width, so that `width` is 24 here.
    """

    width: int = 24

    def _layer(self, key: PRNGKeyArray, inputs: int, outputs: int) -> Params:
        """Draws (A, a) and (B, b)."""
        return tuple(_affine(own, inputs, outputs) for own in jax.random.split(key))

    def _map(self, params: Params, stream: S) -> S:
        """Applies φ to the windows."""
        for gate, factor in params["layers"]:
            stream = stream.affine(*gate).tanh().times(stream.affine(*factor))
        return stream


def _affine(key: PRNGKeyArray, inputs: int, outputs: int) -> tuple[Array, Array]:
    """Draws a weight of variance 1/inputs, and a bias of zero."""
    return jax.random.normal(key, (inputs, outputs)) / jnp.sqrt(inputs), jnp.zeros(outputs)
