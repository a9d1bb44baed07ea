"""SDGD (Hu et al. 2024): second derivatives along K sampled axes, by reverse mode in three arrangements."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from pdezoo import GradNormSq, Laplacian, Points, u

from ..derivatives.directions import Axes
from ..derivatives.field import Field
from .base import Estimator, cheap_atoms

Line = Callable[[Array], Array]
"""A function s ↦ u(x + s e_i), both of shape (B,): every point has its own s and its own value."""


@dataclass(frozen=True)
class _SDGD(Estimator):
    """Estimates Δu ≈ (d/K) Σ_{i∈I} ∂²_i u, with I a random set of K axes shared by the batch. Subclasses say how
    derivatives are taken.

    Raises ValueError for fewer than one sample.
    """

    samples: int = 16
    unbiased: ClassVar[bool] = True
    accepts_lazy_coordinates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples is the number of sampled axes, at least 1, got {self.samples}")

    @abstractmethod
    def derivatives(self, line: Line, s: Array) -> tuple[Array, Array]:
        """Computes ∂_i u and ∂²_i u at s, each (B,), from u along axis i."""

    @abstractmethod
    def over_axes(
        self, one: Callable[[Array], tuple[Array, Array]], axes: Int[Array, " axes"]
    ) -> tuple[Array, Array]:
        """Applies `one` to every axis and stacks the results, each (K, B)."""

    def __call__(self, field: Field, atoms: tuple, points: Points, key: PRNGKeyArray) -> dict:
        """Estimates the atoms, {atom: (B,)}, along `samples` axes that `key` draws."""
        axes = Axes.draw(key, self.samples, field.dim)
        start = jnp.zeros(points.x.shape[0])
        one = lambda axis: self.derivatives(lambda s: field.along_axis(points, axis, s), start)
        first, second = self.over_axes(one, axes.indices)
        return cheap_atoms(field, atoms, points) | {
            Laplacian(u): axes.weight * jnp.sum(second, axis=0),
            GradNormSq(u): axes.weight * jnp.sum(first**2, axis=0),
        }


def _slope(line: Line) -> Line:
    """Returns the derivative of every point's own line, by reverse mode."""
    return jax.grad(lambda s: jnp.sum(line(s)))


@dataclass(frozen=True)
class SDGDBackward(_SDGD):
    """SDGD by reverse mode over reverse mode, one axis after the other."""

    def derivatives(self, line: Line, s: Array) -> tuple[Array, Array]:
        """Takes both derivatives by reverse mode, the second through the first."""
        return _slope(line)(s), _slope(_slope(line))(s)

    def over_axes(self, one: Callable, axes: Array) -> tuple[Array, Array]:
        """Goes through the axes one after the other, so that memory does not grow with their number."""
        return jax.lax.map(one, axes)


@dataclass(frozen=True)
class SDGDParallel(_SDGD):
    """SDGD by reverse mode over reverse mode, all axes at once."""

    def derivatives(self, line: Line, s: Array) -> tuple[Array, Array]:
        """Takes both derivatives by reverse mode, the second through the first."""
        return _slope(line)(s), _slope(_slope(line))(s)

    def over_axes(self, one: Callable, axes: Array) -> tuple[Array, Array]:
        """Maps over all axes at once, by `jax.vmap`."""
        return jax.vmap(one)(axes)


@dataclass(frozen=True)
class SDGDForwardOverBackward(_SDGD):
    """SDGD by forward mode over reverse mode, all axes at once."""

    def derivatives(self, line: Line, s: Array) -> tuple[Array, Array]:
        """Takes the first derivative by reverse mode, and the second through it by forward mode."""
        return jax.jvp(_slope(line), (s,), (jnp.ones_like(s),))

    def over_axes(self, one: Callable, axes: Array) -> tuple[Array, Array]:
        """Maps over all axes at once, by `jax.vmap`."""
        return jax.vmap(one)(axes)
