"""Networks pruned before training: few trainable parameters behind wide layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .base import Params, RidgeNetwork, S
from .mlp import MLP


class Kept(eqx.Module):
    """The parameters of a dense network that are not pruned, and their places in the flattened network; all others are zero.

    The places are integers, and are not trained.
    """

    values: Float[Array, " kept"]
    places: Int[Array, " kept"]
    dim: int = eqx.field(static=True)
    has_time: bool = eqx.field(static=True)


@dataclass(frozen=True)
class SparseMLP(RidgeNetwork):
    """An MLP of which GraSP (Wang, Zhang and Grosse 2020) keeps `parameters` numbers at initialisation.

    They are all biases and the best weights. With g and H the gradient and Hessian of the initial loss on `batch`
    points, a weight's score is θ·(Hg): what |g|², and so the first decrease of the loss, loses without it. That is
    second-order work by automatic differentiation, once. Raises ValueError for numbers of parameters or points below 1.
    """

    width: int = 768
    depth: int = 3
    parameters: int = 7745
    batch: int = 10

    def __post_init__(self) -> None:
        if min(self.parameters, self.batch) < 1:
            raise ValueError(f"parameters and batch are at least 1, got {self}")

    @property
    def dense(self) -> MLP:
        """The dense network before it is pruned."""
        return MLP(self.width, self.depth)

    def init(self, key: PRNGKeyArray, dim: int, has_time: bool) -> Params:
        """Draws the dense network's parameters, and keeps all of them; `adapt` prunes."""
        flat, _ = ravel_pytree(self.dense.init(key, dim, has_time))
        return Kept(flat, jnp.arange(flat.size), dim, has_time)

    def adapt(
        self, loss: Callable[[Params, PRNGKeyArray, int], Array], params: Params, key: PRNGKeyArray
    ) -> Params:
        """Keeps the `parameters` numbers with the best scores of GraSP. Numbers that are zero at the start are biases,
        and are kept first.
        """
        gradient = jax.grad(
            lambda values: loss(eqx.tree_at(lambda p: p.values, params, values), key, self.batch)
        )
        values = params.values
        _, curved = jax.jvp(gradient, (values,), (gradient(values),))
        score = jnp.where(values == 0, jnp.inf, values * curved)
        _, best = jax.lax.top_k(score, min(self.parameters, values.size))
        places = jnp.sort(best)
        return Kept(values[places], places, params.dim, params.has_time)

    def project(self, params: Params, x: Array) -> Array:
        """Computes Wᵀx, shape (B, h)."""
        return self.dense.project(self._expand(params), x)

    def rows(self, params: Params, axes: Array) -> Array:
        """Gathers rows of W: the projections of coordinate axes, shape (K, h)."""
        return self.dense.rows(self._expand(params), axes)

    def time_row(self, params: Params) -> Array:
        """Returns w_t, the projection of the time axis, shape (h,)."""
        return self.dense.time_row(self._expand(params))

    def head(self, params: Params, stream: S) -> S:
        """Applies the layers of the dense network after its first map."""
        return self.dense.head(self._expand(params), stream)

    def _expand(self, params: Kept) -> Params:
        """Returns the dense network's parameters, with zeros where they are pruned."""
        shapes = jax.eval_shape(lambda: self.dense.init(jax.random.key(0), params.dim, params.has_time))
        flat, unravel = ravel_pytree(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes))
        return unravel(flat.astype(params.values.dtype).at[params.places].set(params.values))
