"""Independent random values whose mean is u, and their running mean with its standard error."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple, Self, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pdezoo import Points

_PERIOD = 3  # coordinates after which a pattern of signs repeats itself
PATTERNS = 2**_PERIOD
"""The number of reflections of a random direction that are averaged into one value."""


class Draw(NamedTuple):
    """A random value at every point of a batch: value · exp(log_scale), each of shape (B,)."""

    value: Float[Array, " batch"]
    log_scale: Float[Array, " batch"]


class Sampler(eqx.Module):
    """Draws independent values with the same mean at a point, of which `solution` makes u there.

    A pytree whose leaves are the coefficients of the problem, so that it is an argument of compiled functions.
    """

    @abstractmethod
    def draw(self, points: Points, key: PRNGKeyArray) -> Draw:
        """Draws one value at every point, independent of those of other keys. Costs O(B·d) and holds no more."""

    @property
    @abstractmethod
    def evaluations(self) -> int:
        """The number of evaluations of source or data that a draw costs at a point."""

    def solution(self, points: Points, mean: Draw) -> Float[Array, " batch"]:
        """Makes u, shape (B,), of the mean of the values: by default it is the mean."""
        return mean.value * jnp.exp(mean.log_scale)


class Tally(NamedTuple):
    """Mean and sum of squared deviations of a number of draws, in units of exp(log_scale), each of shape (B,)."""

    draws: Int[Array, ""]
    mean: Float[Array, " batch"]
    deviations: Float[Array, " batch"]
    log_scale: Float[Array, " batch"]

    @classmethod
    def empty(cls, size: int) -> Self:
        """Begins with no draw at `size` points."""
        zero = jnp.zeros(size, jnp.float32)
        return cls(jnp.zeros((), jnp.int32), zero, zero, zero - jnp.inf)

    def add(self, draw: Draw) -> Tally:
        """Takes one more draw in (Welford 1962), in the larger of the two units, so that nothing overflows."""
        unit = jnp.maximum(self.log_scale, draw.log_scale)
        old, new = jnp.exp(self.log_scale - unit), jnp.exp(draw.log_scale - unit)
        draws, mean, value = self.draws + 1, self.mean * old, draw.value * new
        moved = mean + (value - mean) / draws
        return Tally(draws, moved, self.deviations * old**2 + (value - mean) * (value - moved), unit)

    def standard_error(self) -> Float[Array, " batch"]:
        """The standard error of the mean, in the same unit, shape (B,); infinite before the second draw."""
        pairs = self.draws * (self.draws - 1)
        return jnp.where(pairs > 0, jnp.sqrt(self.deviations / jnp.maximum(pairs, 1)), jnp.inf)


class Estimate(NamedTuple):
    """u at a batch of points and its standard error, each of shape (B,)."""

    value: Float[Array, " batch"]
    standard_error: Float[Array, " batch"]


def tally_more(sampler: Sampler, points: Points, tally: Tally, key: PRNGKeyArray, count: Array) -> Tally:
    """Draws `count` times more; draw k of a tally, of any count, comes from `key` folded with k."""
    step = lambda _, t: t.add(sampler.draw(points, jax.random.fold_in(key, t.draws)))
    return jax.lax.fori_loop(0, count, step, tally)


def estimate(sampler: Sampler, points: Points, tally: Tally) -> Estimate:
    """Makes u of a tally, and its standard error to first order in that of the mean."""
    error = tally.standard_error()
    made = lambda mean: sampler.solution(points, Draw(mean, tally.log_scale))
    value, slope = jax.jvp(made, (tally.mean,), (jnp.ones_like(tally.mean),))
    return Estimate(value, jnp.abs(slope) * error)


class Stratum(NamedTuple):
    """One of `parts` equal parts of (0, 1), by its number: that from which one of as many draws takes its uniform number."""

    number: Int[Array, ""]
    parts: int

    def uniform(self, key: PRNGKeyArray, like: Float[Array, " batch"]) -> Float[Array, " batch"]:
        """Draws uniformly distributed numbers of the part, in shape and type of `like`."""
        return (self.number + jax.random.uniform(key, like.shape, like.dtype)) / self.parts


Mean = TypeVar("Mean")
"""What is averaged: an array, or several in a pytree."""


def mean_of(count: int, key: PRNGKeyArray, value: Callable[[PRNGKeyArray, Stratum], Mean]) -> Mean:
    """Averages `count` values of independent keys, each with a stratum of its own; for derivatives they are computed again."""

    def add(total: Mean, number: Array) -> tuple[Mean, None]:
        one = value(jax.random.fold_in(key, number), Stratum(number, count))
        return jax.tree.map(jnp.add, total, one), None

    shapes = jax.eval_shape(lambda: value(key, Stratum(jnp.zeros((), jnp.int32), count)))
    start = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
    total = jax.lax.scan(jax.checkpoint(add), start, jnp.arange(count))[0]
    return jax.tree.map(lambda summed: summed / count, total)


def reflected(
    direction: Float[Array, "batch dim"], value: Callable[[Float[Array, "batch dim"]], Mean]
) -> Mean:
    """Evaluates a function of a random direction at eight reflections of it: all signs of three neighbouring coordinates.

    The results, arrays in any pytree, have a first axis for the reflections.

    The pattern of signs repeats itself along the coordinates. Reflections leave the distribution of a direction as it is, so that
    the mean of the values stays unbiased. What is odd in any coordinate of a window of up to three cancels in it exactly
    (antithetic variates, Hammersley and Morton 1956).
    """
    places = jnp.arange(direction.shape[1]) % _PERIOD

    def at(pattern: Array) -> Mean:
        return value(direction * (1 - 2 * ((pattern >> places) & 1).astype(direction.dtype)))

    return jax.lax.map(jax.checkpoint(at), jnp.arange(PATTERNS))


def reflected_mean(
    direction: Float[Array, "batch dim"], value: Callable[[Float[Array, "batch dim"]], Mean]
) -> Mean:
    """Averages a function of a random direction over its reflections."""
    return jax.tree.map(lambda values: jnp.mean(values, axis=0), reflected(direction, value))
