"""Any Equinox module as a network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pdezoo import Points

from .base import Network, Params

Factory = Callable[[PRNGKeyArray, int], Callable[[Array], Array]]
"""A function (key, number of inputs) ↦ module, where the module maps one vector of inputs to one number."""


@dataclass(frozen=True)
class EquinoxNetwork(Network):
    """A network n(x, t) = module([x, t]) for the module that `make(key, inputs)` builds, with inputs = d, and one more
    with time.

    The module is a function of one point; it is mapped over a batch. It must give one number, of shape () or (1,), and
    have as many derivatives as the operator asks for: tanh or sine, not relu. Its floating-point arrays are trained.
    Estimators that need a linear first map (RS-PINN, stencils) refuse it with that reason; all others differentiate the
    whole module, at a cost that is proportional to d in every direction. `hyperparameters` names `make` by its module
    and name, so give it one.
    """

    make: Factory

    def init(self, key: PRNGKeyArray, dim: int, has_time: bool) -> Params:
        """Builds the module and returns its arrays. Raises ValueError where it does not map its inputs to one number."""
        inputs = dim + has_time
        module = self.make(key, inputs)
        shape = jax.eval_shape(module, jnp.zeros(inputs)).shape
        if math.prod(shape) != 1:
            raise ValueError(f"the module maps {inputs} inputs to one number, got a result of shape {shape}")
        return eqx.filter(module, eqx.is_array)

    def value(self, params: Params, points: Points) -> Float[Array, " batch"]:
        """Evaluates n(x, t) at a batch of points, shape (B,)."""
        inputs = points.x if points.t is None else jnp.concatenate([points.x, points.t[:, None]], axis=1)
        module: Any = eqx.combine(params, _without_arrays(self.make, inputs.shape[1]))
        return jax.vmap(module)(inputs).reshape(len(inputs))


@lru_cache(maxsize=64)
def _without_arrays(make: Factory, inputs: int) -> Any:
    """Returns everything of a module that is not an array: activations, sizes."""
    module = eqx.filter_eval_shape(make, jax.random.key(0), inputs)
    return eqx.filter(module, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct), inverse=True)
