"""The samplers: Green's function of the ball, the Feynman-Kac formula, and multilevel Picard iterations of either."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pdezoo import Points, Problem

from ..derivatives.field import Field
from ..estimators.base import Estimator
from .backward import Process, ValueAndGradient
from .equations import Steady
from .green import directions, shot
from .paths import Paths, rest
from .sampling import PATTERNS, Draw, Sampler, Stratum, mean_of, reflected, reflected_mean

_PARTS = 8  # of the radius or the time, in each of which a draw takes one

Reaction = Callable[[Points, PRNGKeyArray], Float[Array, " batch"]]
"""A function of points and a key: what an integral in space or time is taken of, such as f(v) − g for a random guess v of u."""


class FixedPoint(eqx.Module):
    """An equation u = A + K[f(u) − g], where A and K are expectations.

    Its unknown is u, shape (B,), or where f needs it u and ∇u: a pytree that `zero` gives.
    """

    @abstractmethod
    def integral(self, points: Points, key: PRNGKeyArray, part: Stratum, reaction: Reaction) -> Any:
        """Draws K[reaction] at points, with the uniform number of the draw in a part of (0, 1)."""

    @abstractmethod
    def whole(self, points: Points, key: PRNGKeyArray, part: Stratum, reaction: Reaction) -> Any:
        """Draws A + K[reaction] at points."""

    @abstractmethod
    def reaction(self, points: Points, values: Any) -> Float[Array, " batch"]:
        """f(u) − g, shape (B,), at points and values of the unknown there."""

    def zero(self, points: Points) -> Any:
        """The unknown, zero at points."""
        return jnp.zeros(points.x.shape[0], points.x.dtype)

    def value(self, values: Any) -> Float[Array, " batch"]:
        """u, shape (B,), of the values of the unknown."""
        return values


class OnBall(FixedPoint):
    """a Δu + f(u) = g with u = 0 on the sphere: u = ∫ G(x, y) (f(u(y)) − g(y))/a dy, eight reflections of a direction a draw."""

    problem: Problem
    equation: Steady = eqx.field(static=True)

    def integral(
        self, points: Points, key: PRNGKeyArray, part: Stratum, reaction: Reaction
    ) -> Float[Array, " batch"]:
        """Draws ∫ G(x, y) reaction(y) dy."""
        along, how_far, inner = jax.random.split(key, 3)
        fraction = part.uniform(how_far, points.x[:, 0])

        def value(direction: Array) -> Array:
            at, weight = shot(points.x, direction, fraction, self.equation.radius)
            return weight * reaction(Points(at), inner)

        return reflected_mean(directions(points.x, along), value)

    whole = integral

    def reaction(self, points: Points, values: Float[Array, " batch"]) -> Float[Array, " batch"]:
        """(f(u) − g)/a."""
        return rest(self.problem, points, values) / self.equation.diffusion


class InTime(FixedPoint):
    """u(x, t) = E[data(X_τ)] + E ∫_0^τ (f(u) − s g)(X_r) dr along the paths of an evolution.

    A draw averages over eight reflections of the noise of one path.
    """

    paths: Paths

    def integral(
        self, points: Points, key: PRNGKeyArray, part: Stratum, reaction: Reaction
    ) -> Float[Array, " batch"]:
        """Draws τ · reaction at X_r, r uniform on (0, τ)."""
        return self._along(points, key, part, reaction, lambda noise: jnp.zeros((), points.x.dtype))

    def whole(
        self, points: Points, key: PRNGKeyArray, part: Stratum, reaction: Reaction
    ) -> Float[Array, " batch"]:
        """Draws data(X_τ) too, with the same noise."""
        end = self.paths.to_go(points)
        data = lambda noise: self.paths.data(self.paths.after(points, end, noise))
        return self._along(points, key, part, reaction, data)

    def _along(
        self, points: Points, key: PRNGKeyArray, part: Stratum, reaction: Reaction, more: Callable
    ) -> Array:
        way, when, inner = jax.random.split(key, 3)
        to_go = self.paths.to_go(points)
        until = to_go * part.uniform(when, to_go)

        def value(noise: Array) -> Array:
            there = self.paths.after(points, until, noise)
            return to_go * reaction(there, inner) + more(noise)

        return reflected_mean(jax.random.normal(way, points.x.shape, points.x.dtype), value)

    def reaction(self, points: Points, values: Float[Array, " batch"]) -> Float[Array, " batch"]:
        """f(u) − s g."""
        return self.paths.rest(points, values)


class InTimeWithGradient(FixedPoint):
    """u and ∇u of u_t + L u + f(x, t, u, ∇u) = 0, L with constant coefficients, by Bismut's and Elworthy's weights.

    For X_s = x + b s + √(2D s) ξ the gradient of E h(X_s) in x is E h(X_s) ξ/√(2D s), so that

        (u, ∇u) = (data(x), 0) + E (data(X_τ) − data(x)) (1, w_τ) + E ∫_0^τ f(X_s, u, ∇u) (1, w_s) ds,      w_s = ξ/√(2D s).

    The times s = τ r², r uniform on (0, 1), take the root of s away, by which w_s grows for short times (Hutzenthaler, Jentzen and
    Kruse 2022). A draw averages over eight reflections of ξ.
    """

    process: Process

    def zero(self, points: Points) -> ValueAndGradient:
        """u = 0 and ∇u = 0."""
        return ValueAndGradient(jnp.zeros(points.x.shape[0], points.x.dtype), jnp.zeros_like(points.x))

    def value(self, values: ValueAndGradient) -> Float[Array, " batch"]:
        """Returns u, without its gradient."""
        return values.value

    def reaction(self, points: Points, values: ValueAndGradient) -> Float[Array, " batch"]:
        """f(x, t, u, ∇u), the source in it."""
        return self.process.driver(points, values.value, values.gradient)

    def integral(
        self, points: Points, key: PRNGKeyArray, part: Stratum, reaction: Reaction
    ) -> ValueAndGradient:
        """Draws the integral of the reaction at one time."""
        return self._along(points, key, part, reaction, lambda noise: self.zero(points))

    def whole(self, points: Points, key: PRNGKeyArray, part: Stratum, reaction: Reaction) -> ValueAndGradient:
        """Draws what the data give too, with the same noise."""
        end, spread = self.process.to_go(points), self._spread(points)
        here = self.process.given(points._replace(t=jnp.full_like(end, self.process.when(0.0))))
        short = jnp.sqrt(jnp.maximum(end, jnp.finfo(end.dtype).tiny))

        def data(noise: Array) -> ValueAndGradient:
            gain = self.process.given(self._moved(points, end, noise)) - here
            return ValueAndGradient(here + gain, (gain / short)[:, None] * noise / spread)

        return self._along(points, key, part, reaction, data)

    def _along(
        self,
        points: Points,
        key: PRNGKeyArray,
        part: Stratum,
        reaction: Reaction,
        more: Callable[[Array], ValueAndGradient],
    ) -> ValueAndGradient:
        way, when, inner = jax.random.split(key, 3)
        end, spread = self.process.to_go(points), self._spread(points)
        root = part.uniform(when, end)

        def value(noise: Array) -> ValueAndGradient:
            there = reaction(self._moved(points, end * root**2, noise), inner)
            of_data = more(noise)
            weight = (2 * jnp.sqrt(end) * there)[:, None]
            return ValueAndGradient(
                of_data.value + 2 * end * root * there, of_data.gradient + weight * noise / spread
            )

        return reflected_mean(jax.random.normal(way, points.x.shape, points.x.dtype), value)

    def _moved(self, points: Points, seconds: Array, noise: Array) -> Points:
        return self.process.moved(points, self._spread(points) * noise * jnp.sqrt(seconds)[:, None], seconds)

    def _spread(self, points: Points) -> Float[Array, "batch dim"]:
        return jnp.sqrt(self.process.variance(points))


class FixedPointSampler(Sampler):
    """Draws A + K[f(v) − g] with v = 0, which is u of a linear equation without u itself: one draw in each of eight parts of
    the radius or the time.
    """

    equation: FixedPoint

    def draw(self, points: Points, key: PRNGKeyArray) -> Draw:
        """Averages A + K[f(v) − g] over the parts."""
        reaction = lambda there, _: self.equation.reaction(there, self.inserted(there))
        whole = lambda k, part: self.equation.whole(points, k, part, reaction)
        return Draw(mean_of(_PARTS, key, whole), jnp.zeros(points.x.shape[0], points.x.dtype))

    def inserted(self, points: Points) -> Float[Array, " batch"]:
        """v at points, shape (B,)."""
        return self.equation.zero(points)

    @property
    def evaluations(self) -> int:
        """Eight reflections in each of eight parts."""
        return PATTERNS * _PARTS


class PicardStep(FixedPointSampler):
    """Draws A + K[f(v) − g] for a trial function v, cut off at ±`bound`: the next Picard iterate of u = A + K[f(u) − g]."""

    trial: Field
    bound: float = eqx.field(static=True)

    def inserted(self, points: Points) -> Float[Array, " batch"]:
        """The trial function, cut off."""
        return jnp.clip(self.trial.value(points), -self.bound, self.bound)


class ResidualSampler(Sampler):
    """Draws u_θ + K[N[u_θ] − g] for a trial function u_θ with the right boundary values: u itself where the equation is linear.

    Since K[Δv] = −v for a v that vanishes on the sphere, that is A + K[f(u_θ) − g] with u_θ as a control variate: its variance is
    that of the residual alone. Where f is not linear it is one Picard iteration from u_θ.
    """

    equation: OnBall
    field: Field
    estimator: Estimator = eqx.field(static=True)

    def draw(self, points: Points, key: PRNGKeyArray) -> Draw:
        """Averages the estimated residual over eight parts of the radius and eight reflections in each."""
        scale = float(self.field.problem.domain.scale) / self.equation.equation.diffusion
        residual = lambda there, k: scale * self.estimator.residual(self.field, there, k)[0]
        value = mean_of(_PARTS, key, lambda k, part: self.equation.integral(points, k, part, residual))
        return Draw(self.field.value(points) + value, jnp.zeros_like(value))

    @property
    def evaluations(self) -> int:
        """Eight reflections in each of eight parts."""
        return PATTERNS * _PARTS


class FeynmanKac(Sampler):
    """Draws v = E[e^{cτ} data(X_τ) − ∫_0^τ e^{cr} s g(X_r) dr] of a linear evolution, f(u) = c u.

    With κ|∇u|² in it and no u, e^{κu/a} solves a linear equation (Hopf 1950, Cole 1951): u = (a/κ) ln E[e^{κ data(X_τ)/a}] − s g τ.
    """

    paths: Paths

    def draw(self, points: Points, key: PRNGKeyArray) -> Draw:
        """Averages over eight reflections of the noise of one path; exponentials are taken out as the draw's scale."""
        way, when = jax.random.split(key)
        to_go, noise = self.paths.to_go(points), jax.random.normal(way, points.x.shape, points.x.dtype)
        ends = lambda n: self.paths.data(self.paths.after(points, to_go, n))
        zero = jnp.zeros_like(to_go)
        if power := self._power:
            return self._exponential(noise, lambda n: power * ends(n))
        discount = self._discount
        values = reflected_mean(noise, ends) * jnp.exp(discount * to_go)
        return Draw(values - self._source(points, noise, when, to_go, discount), zero)

    def _exponential(self, noise: Array, exponent: Callable[[Array], Array]) -> Draw:
        """The mean of e^{exponent} over the reflections, in units of the largest."""
        exponents = reflected(noise, exponent)
        unit = jnp.max(exponents, axis=0)
        return Draw(jnp.mean(jnp.exp(exponents - unit), axis=0), unit)

    def _source(
        self, points: Points, noise: Array, when: PRNGKeyArray, to_go: Array, discount: float
    ) -> Array:
        """∫_0^τ e^{cr} s g dr: in closed form where the source is constant, else at one random time."""
        source = self.paths.evolution.source
        if source is not None:
            return source * (jnp.expm1(discount * to_go) / discount if discount else to_go)
        until = to_go * jax.random.uniform(when, to_go.shape, to_go.dtype)
        along = lambda n: self.paths.rest(self.paths.after(points, until, n), jnp.zeros_like(to_go))
        return -to_go * jnp.exp(discount * until) * reflected_mean(noise, along)

    @property
    def _power(self) -> float:
        """κ/a, where there is κ|∇u|²."""
        evolution = self.paths.evolution
        return evolution.square_gradient / evolution.diffusion if evolution.square_gradient else 0.0

    @property
    def _discount(self) -> float:
        return self.paths.evolution.discount or 0.0

    @property
    def evaluations(self) -> int:
        """Eight of the data, and eight of a source that varies."""
        return PATTERNS * (1 if self.paths.evolution.source is not None else 2)

    def solution(self, points: Points, mean: Draw) -> Float[Array, " batch"]:
        """The mean; (a/κ) of its logarithm, less s g τ, where there is κ|∇u|²."""
        if not (power := self._power):
            return super().solution(points, mean)
        constant = (self.paths.evolution.source or 0.0) * self.paths.to_go(points)
        return (jnp.log(mean.value) + mean.log_scale) / power - constant


class MultilevelPicard(Sampler):
    """Draws the full-history multilevel Picard iterate U_n (E, Hutzenthaler, Jentzen and Kruse 2019) of u = A + K[f(u) − g].

    U_n = Σ_{l<n} mean over samples of (A + K)[f(U_l)] − (A + K)[f(U_{l−1})], with U_0 = 0 and both at the same y: iterates near the
    limit differ little, and need few samples. Where a level is M^n samples dear, all cost the same. Every number handed to f is cut
    off at ±`bound`. With a finite M the iterate has a bias, of f'' times the variance of the inner means.
    """

    equation: FixedPoint
    levels: int = eqx.field(static=True)
    basis: int = eqx.field(static=True)
    bound: float = eqx.field(static=True)

    def draw(self, points: Points, key: PRNGKeyArray) -> Draw:
        """Draws U_n at points, n the number of levels."""
        last = self._iterate(self.levels, points, key)
        return Draw(self.equation.value(last), jnp.zeros(points.x.shape[0], points.x.dtype))

    def _iterate(self, level: int, points: Points, key: PRNGKeyArray) -> Any:
        if level == 0:
            return self.equation.zero(points)
        keys = jax.random.split(key, level)
        first = self._count(level) * PATTERNS ** (level - 1)
        total = mean_of(first, keys[0], lambda k, part: self.equation.whole(points, k, part, self._of_zero))
        for lower in range(1, level):
            count = self._count(level - lower) * PATTERNS ** (level - lower - 1)
            change = self._change(lower)
            integral = lambda k, part, change=change: self.equation.integral(points, k, part, change)
            total = jax.tree.map(jnp.add, total, mean_of(count, keys[lower], integral))
        return total

    def _count(self, power: int) -> int:
        return self.basis**power

    def _of_zero(self, points: Points, key: PRNGKeyArray) -> Array:
        return self.equation.reaction(points, self.equation.zero(points))

    def _change(self, level: int) -> Reaction:
        """f(U_l) − f(U_{l−1}), with independent samples."""

        def change(points: Points, key: PRNGKeyArray) -> Array:
            newer, older = (
                jax.tree.map(self._cut, self._iterate(n, points, k))
                for n, k in zip((level, level - 1), jax.random.split(key), strict=True)
            )
            return self.equation.reaction(points, newer) - self.equation.reaction(points, older)

        return change

    def _cut(self, values: Array) -> Array:
        return jnp.clip(values, -self.bound, self.bound)

    @property
    def evaluations(self) -> int:
        """The number of evaluations of source and data for U_n."""
        return self._cost(self.levels)

    def _cost(self, level: int) -> int:
        if level == 0:
            return 0
        plain = self._count(level) * PATTERNS**level
        pairs = lambda n: (
            self._count(level - n) * PATTERNS ** (level - n) * (self._cost(n) + self._cost(n - 1) + 2)
        )
        return plain + sum(map(pairs, range(1, level)))
