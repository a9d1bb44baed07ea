"""Random paths of the generator of an evolution, drawn exactly, and its data where they end."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from pdezoo import Points, Problem, u

from .equations import Evolution


class Paths(eqx.Module):
    """The process whose generator is L: X_s from X_0 = x, and what the problem gives along it.

    dX = (b + λX) ds + √(2(a + D)) dW, or dX_i = λ X_i ds + √(2γ) X_i dW_i.
    """

    problem: Problem
    evolution: Evolution = eqx.field(static=True)

    def to_go(self, points: Points) -> Float[Array, " batch"]:
        """The time τ from every point to where u is given, shape (B,)."""
        time = _time(points)
        return jnp.maximum(self.evolution.horizon - time if self.evolution.backward else time, 0)

    def after(
        self, points: Points, seconds: Float[Array, " batch"], noise: Float[Array, "batch dim"]
    ) -> Points:
        """X after times s of shape (B,), made of standard normal noise (B, d); the result carries the time that it is then."""
        s, growth = seconds[:, None], self.evolution.euler
        if self.evolution.geometric:
            spread = self.evolution.geometric
            x = points.x * jnp.exp((growth - spread) * s + jnp.sqrt(2 * spread * s) * noise)
        else:
            mean = points.x * jnp.exp(growth * s) + self._drift(points) * _grown(growth, s)
            x = mean + jnp.sqrt(2 * self._diffusion(points) * _grown(2 * growth, s)) * noise
        return Points(x, _time(points) + (seconds if self.evolution.backward else -seconds))

    def _drift(self, points: Points) -> Any:
        parts = (n * self._weights(atom, points) for atom, n in self.evolution.drifts)
        return sum(parts, jnp.zeros((), points.x.dtype))

    def _diffusion(self, points: Points) -> Any:
        parts = (n * self._weights(atom, points) for atom, n in self.evolution.diffusions)
        return sum(parts, jnp.asarray(self.evolution.diffusion, points.x.dtype))

    def _weights(self, atom: Any, points: Points) -> Array:
        return self.problem.weights_of(atom).block(points, 0, points.x.shape[1])

    def data(self, points: Points) -> Float[Array, " batch"]:
        """u as it is given, at points of the time where it is, shape (B,)."""
        return given(self.problem, self.evolution.soft, points)

    def rest(self, points: Points, values: Float[Array, " batch"]) -> Float[Array, " batch"]:
        """f(u) − s g at points and values of u there, each of shape (B,)."""
        return self.evolution.scale * rest(self.problem, points, values)


def given(problem: Problem, soft: int | None, points: Points) -> Float[Array, " batch"]:
    """u as a soft condition gives it, by its number, or the ansatz where that is None, at points of the time where it does."""
    return problem.ansatz(points)[1] if soft is None else problem.targets(points)[soft]


def rest(problem: Problem, points: Points, values: Float[Array, " batch"]) -> Float[Array, " batch"]:
    """The operator without its derivatives at values of u, less the source, each of shape (B,): f(u) − g."""
    atoms = [values if a == u else jnp.zeros_like(values) for a in problem.atoms]
    return problem.operator(*atoms, points=points)[0] - problem.source(points)[0]


def _time(points: Points) -> Float[Array, " batch"]:
    assert points.t is not None  # an evolution has time
    return points.t


def _grown(rate: float, s: Float[Array, "batch 1"]) -> Float[Array, "batch 1"]:
    """∫_0^s e^{rate·r} dr."""
    return s if rate == 0 else jnp.expm1(rate * s) / rate
