"""Taylor mode: the streams that a network's layers push forward.

A network that is written over streams (`stream.affine(W, b)`, `stream.tanh()`) evaluates values, collapsed 2-jets and
jets of any order with one definition of its layers.

`CollapsedJets` is collapsed Taylor mode. Along K directions v_k only Σ_k ∂²u/∂v_k² is wanted, and second coefficients
enter every later layer linearly, so they are summed over the directions at once: K first-order tangents and *one*
second-order stream are pushed, not K of each.

    affine   y = Wᵀz + b     y_k = Wᵀz_k      y_Σ = Wᵀz_Σ
    tanh     y = tanh z      y_k = y' z_k     y_Σ = y' z_Σ + y'' Σ_k z_k²      y' = 1 − y², y'' = −2 y y'
    product  y = z w         y_k = z_k w + z w_k      y_Σ = z_Σ w + z w_Σ + 2 Σ_k z_k w_k
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from functools import reduce
from typing import NamedTuple, Protocol, Self

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Stream(Protocol):
    """What passes through a network's layers, such as values or Taylor coefficients, and what a layer may do with it."""

    def affine(self, weight: Float[Array, "m n"], bias: Float[Array, " n"]) -> Self:
        """Maps z to Wᵀz + b."""

    def shift(self, bias: Float[Array, " n"]) -> Self:
        """Adds a bias: z + b."""

    def tanh(self) -> Self:
        """Applies tanh to every element."""

    def times(self, other: Self) -> Self:
        """Multiplies element by element with another stream of the same points: z w."""


class Value(NamedTuple):
    """A stream of plain values z, shape (B, h)."""

    value: Float[Array, "batch width"]

    def affine(self, weight: Array, bias: Array) -> Value:
        """Maps z to Wᵀz + b."""
        return Value(self.value @ weight + bias)

    def shift(self, bias: Array) -> Value:
        """Adds a bias: z + b."""
        return Value(self.value + bias)

    def tanh(self) -> Value:
        """Applies tanh to every element."""
        return Value(jnp.tanh(self.value))

    def times(self, other: Value) -> Value:
        """Multiplies element by element: z w."""
        return Value(self.value * other.value)


class CollapsedJets(NamedTuple):
    """Collapsed 2-jets along K directions: value (B, h), first (K, B, h) or (K, 1, h), and second (B, h), which is
    summed over K, every direction with its weight, of any sign, where there are `weights`.
    """

    value: Float[Array, "batch width"]
    first: Float[Array, "directions batch width"]
    second: Float[Array, "batch width"]
    weights: Float[Array, "directions batch"] | None = None

    def affine(self, weight: Array, bias: Array) -> CollapsedJets:
        """Maps z to Wᵀz + b, which is linear in every coefficient."""
        value, first, second = self.value @ weight + bias, self.first @ weight, self.second @ weight
        return CollapsedJets(value, first, second, self.weights)

    def shift(self, bias: Array) -> CollapsedJets:
        """Adds a bias to the values: z + b."""
        return self._replace(value=self.value + bias)

    def tanh(self) -> CollapsedJets:
        """Applies tanh by the chain rule of second order."""
        y = jnp.tanh(self.value)
        slope = 1 - y * y
        second = slope * (self.second - 2 * y * self._summed(self.first * self.first))
        return CollapsedJets(y, slope * self.first, second, self.weights)

    def times(self, other: CollapsedJets) -> CollapsedJets:
        """Multiplies element by element, by Leibniz' rule; the other stream has the same directions and weights."""
        z, w = self.value, other.value
        crossed = self._summed(self.first * other.first)
        second = self.second * w + z * other.second + 2 * crossed
        return CollapsedJets(z * w, self.first * w + z * other.first, second, self.weights)

    def _summed(self, terms: Float[Array, "directions batch width"]) -> Float[Array, "batch width"]:
        """Sums over the directions, each with its weight."""
        return jnp.sum(terms if self.weights is None else self.weights[..., None] * terms, axis=0)


class SymmetricIncrements(NamedTuple):
    """Values z (B, h) and what they become at J pairs of shifted points: z + even ± odd, each (J, B, h).

    Finite differences lose the digits that f(x + δ), f(x − δ) and f(x) share; in float32, at steps of 0.1, that is most
    of a second difference. So increments are pushed, not values: tanh(z + e) − tanh z = (1 − y²) T/(1 + y T) with y =
    tanh z and T = tanh e. With e = even ± odd the two T's are fractions in tanh even and tanh odd over the same
    denominator. Each increment keeps its own relative accuracy, at two tanh a pair, as many as two values need.
    """

    value: Float[Array, "batch width"]
    even: Float[Array, "pairs batch width"]
    odd: Float[Array, "pairs batch width"]

    def affine(self, weight: Array, bias: Array) -> SymmetricIncrements:
        """Maps z to Wᵀz + b, which is linear in the increments."""
        return SymmetricIncrements(self.value @ weight + bias, self.even @ weight, self.odd @ weight)

    def shift(self, bias: Array) -> SymmetricIncrements:
        """Adds a bias to the values: z + b."""
        return self._replace(value=self.value + bias)

    def tanh(self) -> SymmetricIncrements:
        """Applies tanh by its addition theorem. Where z and an increment saturate against each other the increment is
        kept finite.
        """
        y, even, odd = jnp.tanh(self.value), jnp.tanh(self.even), jnp.tanh(self.odd)
        # T₊ T₋ and (T₊ + T₋)/2 are these two numbers over the common denominator 1 − even² odd².
        product = even * even - odd * odd
        half_sum = even * (1 - odd * odd)
        whole = 1 - (even * odd) ** 2 + 2 * y * half_sum + y * y * product
        slope = (1 - y * y) / jnp.maximum(whole, 1e-30)
        return SymmetricIncrements(y, slope * (half_sum + y * product), slope * odd * (1 - even * even))

    def times(self, other: SymmetricIncrements) -> SymmetricIncrements:
        """Multiplies element by element: (z + e)(w + f) − z w = e w + z f + e f, for e = even ± odd."""
        z, w = self.value, other.value
        even = self.even * w + z * other.even + self.even * other.even + self.odd * other.odd
        odd = self.odd * w + z * other.odd + self.even * other.odd + self.odd * other.even
        return SymmetricIncrements(z * w, even, odd)


class Taylor(eqx.Module):
    """A jet of any order along one curve, z(s) = Σ_n z_n sⁿ, of which only the wanted coefficients are kept.

    `coefficients[i]`, of shape (B, h), belongs to the power `numbers[i]`; the numbers start with 0. A product leaves
    the others out, which is exact if no wanted coefficient depends on an unwanted one (a planned jet, see planner.py).
    Coefficients stay apart: one stacked array makes the reverse pass two to three times slower on a CPU (docs/jets.md).
    """

    coefficients: tuple[Float[Array, "batch width"], ...]
    numbers: tuple[int, ...] = eqx.field(static=True)

    def affine(self, weight: Array, bias: Array) -> Taylor:
        """Maps z to Wᵀz + b, which is linear in every coefficient."""
        return Taylor(tuple(c @ weight for c in self.coefficients), self.numbers).shift(bias)

    def shift(self, bias: Array) -> Taylor:
        """Adds a bias to the coefficient of s⁰: z + b."""
        first, *rest = self.coefficients
        return Taylor((first + bias, *rest), self.numbers)

    def tanh(self) -> Taylor:
        """Applies tanh by y' = (1 − y²) z': n y_n = Σ_k k z_k w_{n−k} with w = 1 − y²."""
        z = dict(zip(self.numbers, self.coefficients, strict=True))
        y = {0: jnp.tanh(z[0])}
        w = {0: 1 - y[0] * y[0]}
        for n in self.numbers[1:]:
            y[n] = _sum(k * z[k] * w[n - k] for k in z if 0 < k <= n and n - k in w) / n
            w[n] = -_sum(y[i] * y[n - i] for i in y if n - i in y)
        return Taylor(tuple(y[n] for n in self.numbers), self.numbers)

    def times(self, other: Taylor) -> Taylor:
        """Multiplies element by element: y_n = Σ_k z_k w_{n−k}, of the coefficients that both keep."""
        z, w = (dict(zip(f.numbers, f.coefficients, strict=True)) for f in (self, other))
        products = (_sum(z[k] * w[n - k] for k in z if n - k in w) for n in self.numbers)
        return Taylor(tuple(products), self.numbers)


def _sum(terms: Iterable[Array]) -> Array:
    return reduce(operator.add, terms)
