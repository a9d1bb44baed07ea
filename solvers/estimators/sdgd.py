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
"""s (B,) ↦ u(x + s e_i) (B,), point by point."""


@dataclass(frozen=True)
class _SDGD(Estimator):
    """Δu ≈ (d/K) Σ_{i∈I} ∂²_i u, I a random set of K axes shared by the batch. Abstract in how derivatives are taken."""

    samples: int = 16
    unbiased: ClassVar[bool] = True
    accepts_lazy_coordinates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples is the number of sampled axes, at least 1, got {self.samples}")

    @abstractmethod
    def derivatives(self, line: Line, s: Array) -> tuple[Array, Array]:
        """∂_i u and ∂²_i u at s, each (B,)."""

    @abstractmethod
    def over_axes(
        self, one: Callable[[Array], tuple[Array, Array]], axes: Int[Array, " axes"]
    ) -> tuple[Array, Array]:
        """`one` applied to every axis, results stacked (K, B)."""

    def __call__(self, field: Field, atoms: tuple, points: Points, key: PRNGKeyArray) -> dict:
        """The atoms' estimates."""
        axes = Axes.draw(key, self.samples, field.dim)
        start = jnp.zeros(points.x.shape[0])
        one = lambda axis: self.derivatives(lambda s: field.along_axis(points, axis, s), start)
        first, second = self.over_axes(one, axes.indices)
        return cheap_atoms(field, atoms, points) | {
            Laplacian(u): axes.weight * jnp.sum(second, axis=0),
            GradNormSq(u): axes.weight * jnp.sum(first**2, axis=0),
        }


def _slope(line: Line) -> Line:
    """The derivative of every point's own line, by reverse mode."""
    return jax.grad(lambda s: jnp.sum(line(s)))


@dataclass(frozen=True)
class SDGDBackward(_SDGD):
    """Reverse over reverse, one axis after the other."""

    def derivatives(self, line: Line, s: Array) -> tuple[Array, Array]:
        """grad of grad."""
        return _slope(line)(s), _slope(_slope(line))(s)

    def over_axes(self, one: Callable, axes: Array) -> tuple[Array, Array]:
        """A loop."""
        return jax.lax.map(one, axes)


@dataclass(frozen=True)
class SDGDParallel(_SDGD):
    """Reverse over reverse, all axes at once."""

    def derivatives(self, line: Line, s: Array) -> tuple[Array, Array]:
        """grad of grad."""
        return _slope(line)(s), _slope(_slope(line))(s)

    def over_axes(self, one: Callable, axes: Array) -> tuple[Array, Array]:
        """vmap."""
        return jax.vmap(one)(axes)


@dataclass(frozen=True)
class SDGDForwardOverBackward(_SDGD):
    """Forward over reverse, all axes at once."""

    def derivatives(self, line: Line, s: Array) -> tuple[Array, Array]:
        """jvp of grad."""
        return jax.jvp(_slope(line), (s,), (jnp.ones_like(s),))

    def over_axes(self, one: Callable, axes: Array) -> tuple[Array, Array]:
        """vmap."""
        return jax.vmap(one)(axes)
