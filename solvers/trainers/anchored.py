"""Descent on gradients measured by perturbing pre-activations, with a control variate: forward passes alone.

A residual depends on the weight of a layer through the pre-activations z of its own point alone, and the weight's gradient is the
product of the layer's input, which is known, and the slopes δ = ∂ℓ/∂z. Perturbed pre-activations of all layers and points at once
have to tell the δ of a point, a few numbers a unit, whatever the number of weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..estimators.one_pass import Pass
from ..networks.base import Params
from ..networks.jets import CollapsedJets
from .base import LeastSquares, LossFunction, Trainer, decayed

_DECAYS, _EPSILON = (0.9, 0.99), 1e-8
_ADAM = optax.scale_by_adam(*_DECAYS, _EPSILON)

Layers = tuple[tuple[Float[Array, "m n"], Float[Array, " n"]], ...]
Streams = tuple[CollapsedJets, ...]


class Moments(NamedTuple):
    """Adam's moments of all parameters but W, and for W the running mean square of each column's gradient."""

    inner: Any
    columns: Float[Array, " width"]
    taken: Int[Array, ""]


class Activations(NamedTuple):
    """What a pass leaves behind: pre-activations and activations of every hidden layer, and the last stream, of width 1."""

    before: Streams
    after: Streams
    out: CollapsedJets


class Measured(NamedTuple):
    """The residuals at the end of a pass, its activations, and the slopes of ℓ = ½ Σ r² of each point.

    `slopes` are ∂ℓ/∂z of every hidden layer, and `last` is ∂ℓ/∂ of the last stream: coefficient by coefficient, point by point.
    """

    rows: Float[Array, "operators batch"]
    activations: Activations
    slopes: Streams
    last: CollapsedJets


class Gradient(NamedTuple):
    """The loss, its gradient in all parameters but W, and `lines` with ∂L/∂W = Lᵀ lines, L as `Pass.left` makes it."""

    value: Float[Array, ""]
    inner: Params
    lines: Float[Array, "lines width"]


@dataclass(frozen=True)
class AnchoredActivations(Trainer):
    """Descent on anchored activation perturbations.

    ℓ = ½ Σ r² of a point has slopes δ in its n pre-activations: all Taylor coefficients in all hidden layers but the last, whose
    slopes are known from the read-out. With the anchor δ̂ and q vectors ξ of random signs, drawn for every point,

        δ̃ = δ̂ + (1/q) Σ_i [∂ℓ/∂ξ_i − δ̂·ξ_i] ξ_i,      E δ̃ = δ,      E|δ̃ − δ|² = (n − 1)/q |δ − δ̂|².

    The anchor replaces what follows a layer by its linear part at the mean of the batch's pre-activations. ∂ℓ/∂ξ is taken by
    forward mode, or with an `epsilon` above 0 from r at ±εξ, with a bias of O(ε²). No `queries` leaves the anchor alone, which
    is biased; without `anchored`, δ̂ = 0.

    W descends along its gradient over the running root mean square of each column, without momentum, a block of rows at a time: its
    gradient is never formed. Other parameters follow Adam with decays 0.9 and 0.99. Rates go linearly from `learning_rate` to
    `final_rate`. Raises ValueError for negative numbers of queries or ε, and where there is neither query nor anchor.
    """

    reverse_mode: ClassVar[bool] = False
    wants_residuals: ClassVar[bool] = True
    wants_pass: ClassVar[bool] = True

    learning_rate: float = 1e-3
    final_rate: float = 0.0
    queries: int = 1
    epsilon: float = 0.0
    anchored: bool = True

    def __post_init__(self) -> None:
        if min(self.queries, self.epsilon) < 0:
            raise ValueError(
                f"queries and epsilon are at least 0, got queries={self.queries}, epsilon={self.epsilon}"
            )
        if not (self.queries or self.anchored):
            raise ValueError("without queries the anchor is all there is; set queries=1 or anchored=True")

    def init(self, params: Params, steps: int) -> Moments:
        """Returns moments of zero."""
        first = params["first"]
        columns = jnp.zeros(first.shape[1], first.dtype)
        return Moments(_ADAM.init(_inner(params)), columns, jnp.zeros((), jnp.int32))

    def step(
        self, loss: LossFunction, params: Params, state: Moments, key: PRNGKeyArray
    ) -> tuple[Params, Moments, Array]:
        """Measures a gradient and makes one update; nothing changes where the loss is not finite."""
        assert isinstance(loss, LeastSquares)
        assert loss.through is not None  # `wants_pass`
        way = loss.through(params, key)
        found = gradient(way, params, self.measured(way, params, jax.random.fold_in(key, 1)))
        keep = partial(jnp.where, jnp.isfinite(found.value))
        rate = decayed(self.learning_rate, self.final_rate, loss.progress)
        directions, inner = _ADAM.update(found.inner, state.inner)
        taken, decay = state.taken + 1, _DECAYS[1]
        columns = decay * state.columns + (1 - decay) * column_squares(way, found.lines) / way.dim
        size = jnp.sqrt(columns / (1 - decay**taken)) + _EPSILON
        moves = jnp.where(jnp.isfinite(found.value), rate * found.lines / size, 0)
        first = descended(params["first"], way, moves)
        rest = jax.tree.map(lambda p, v: keep(p - rate * v, p), _inner(params), directions)
        later = jax.tree.map(keep, Moments(inner, columns, taken), state)
        return rest | {"first": first}, later, found.value

    def measured(self, way: Pass, params: Params, key: PRNGKeyArray) -> Measured:
        """Measures the slopes of every point's ℓ in its pre-activations, with signs that `key` draws."""
        layers = params["layers"]
        entrance = way.entrance.shift(params["bias"])
        run = lambda taps: pushed(way, entrance, layers, taps)
        rows, tangent, seen = jax.linearize(run, still(entrance, layers), has_aux=True)
        last = last_slopes(way, seen.out, rows)
        *anchor, exact = anchors(layers, seen.before, last)
        change = self._quotient(run) if self.epsilon else tangent
        along = lambda signs: jnp.sum(rows * change(signs), axis=0)
        return Measured(rows, seen, (*self.corrected(tuple(anchor), along, key), exact), last)

    def corrected(
        self, anchor: Streams, along: Callable[[Streams], Float[Array, " batch"]], key: PRNGKeyArray
    ) -> Streams:
        """Returns δ̃ from the anchor δ̂ and `along`, which measures ∂ℓ/∂ξ of every point."""
        if not self.anchored:
            anchor = jax.tree.map(jnp.zeros_like, anchor)

        def add(query: Any, total: Streams) -> Streams:
            signs = _signs(jax.random.fold_in(key, query), anchor)
            missed = (along(signs) - _products(anchor, signs)) / self.queries
            return jax.tree.map(lambda a, s: a + missed[:, None] * s, total, signs)

        if not anchor or self.queries == 0:  # a single hidden layer is known
            return anchor
        return add(0, anchor) if self.queries == 1 else jax.lax.fori_loop(0, self.queries, add, anchor)

    def evaluations(self, steps: int, params: Params, state: Any) -> int:
        """Returns the passes that the steps made: 1 + q, a tangent counting as one, or 1 + 2q with an `epsilon`; those of
        the anchor, of single points up to the width of the network, are not counted.
        """
        return steps * (1 + self.queries * (2 if self.epsilon else 1))

    def _quotient(self, run: Callable[[Streams], tuple[Array, Activations]]) -> Callable[[Streams], Array]:
        at = lambda signs, step: run(jax.tree.map(lambda s: step * s, signs))[0]
        return lambda signs: (at(signs, self.epsilon) - at(signs, -self.epsilon)) / (2 * self.epsilon)


def still(entrance: CollapsedJets, layers: Layers) -> Streams:
    """Returns perturbations of zero of the pre-activations in all hidden layers but the last."""

    def zeros(width: int) -> CollapsedJets:
        like = lambda a: jnp.zeros((*a.shape[:-1], width), a.dtype)
        return CollapsedJets(like(entrance.value), like(entrance.first), like(entrance.second))

    return tuple(zeros(weight.shape[0]) for weight, _ in layers[:-1])


def pushed(
    way: Pass, stream: CollapsedJets, layers: Layers, taps: Streams
) -> tuple[Float[Array, "operators batch"], Activations]:
    """Pushes the entrance through tanh and all layers, `taps` added to the pre-activations; returns residuals and activations."""
    before, after = [], []
    for place, (weight, bias) in enumerate(layers):
        if place < len(taps):
            stream = _moved(stream, taps[place])
        before.append(stream)
        after.append(stream.tanh())
        stream = after[-1].affine(weight, bias)
    return way.residual(stream), Activations(tuple(before), tuple(after), stream)


def _moved(stream: CollapsedJets, tap: CollapsedJets) -> CollapsedJets:
    first, second = stream.first + tap.first, stream.second + tap.second
    return CollapsedJets(stream.value + tap.value, first, second, stream.weights)


def last_slopes(way: Pass, out: CollapsedJets, rows: Float[Array, "operators batch"]) -> CollapsedJets:
    """Returns ∂ℓ/∂o for every coefficient o of the last stream, by one tangent of the residual each: what follows the network
    treats every point by itself.
    """
    free = out._replace(weights=None)
    tangent = jax.linearize(lambda o: way.residual(o._replace(weights=out.weights)), free)[1]
    none, one = jax.tree.map(jnp.zeros_like, free), jnp.ones_like(out.value)
    along = lambda direction: jnp.sum(rows * tangent(direction), axis=0)[:, None]
    first = [along(none._replace(first=none.first.at[k].set(one))) for k in range(len(out.first))]
    value, second = along(none._replace(value=one)), along(none._replace(second=one))
    return CollapsedJets(value, jnp.stack(first), second)


def anchors(layers: Layers, before: Streams, last: CollapsedJets) -> Streams:
    """Returns δ̂ of every hidden layer: that of a network whose output is g·y, y the layer's activations and g = ∂n/∂y at the
    mean pre-activations of the later layers. In the last hidden layer g is the read-out, and δ̂ = δ.

    g is pushed forward, from one tangent a unit.
    """
    slopes = [1 - jnp.tanh(jnp.mean(z.value, axis=0)) ** 2 for z in before]
    found = []
    for place, z in enumerate(before):
        tangents = layers[place][0]
        for slope, (weight, _) in zip(slopes[place + 1 :], layers[place + 1 :], strict=True):
            tangents = (tangents * slope) @ weight
        found.append(_through_tanh(z, last, tangents[:, 0]))
    return tuple(found)


def _through_tanh(z: CollapsedJets, last: CollapsedJets, g: Float[Array, " width"]) -> CollapsedJets:
    """Returns the derivatives in z of Σ_s o_s (g·y_s), y = tanh z and o_s the slopes in the last stream.

    The coefficients are y, y_k = y'z_k and y_Σ = y'z_Σ + y''Σ_k w_k z_k²; those of the derivatives need y''' too.
    """
    y = jnp.tanh(z.value)
    one = 1 - y * y
    two, three = -2 * y * one, one * (6 * y * y - 2)
    counted = z.first if z.weights is None else z.weights[..., None] * z.first
    squares = jnp.sum(counted * z.first, axis=0)
    value = last.value * one + two * jnp.sum(last.first * z.first, axis=0)
    value = value + last.second * (two * z.second + three * squares)
    first = last.first * one + 2 * last.second * two * counted
    return CollapsedJets(g * value, g * first, g * last.second * one)


def gradient(way: Pass, params: Params, measured: Measured) -> Gradient:
    """Returns the gradient of the loss, the sum over operators of mean r², from the slopes of every point's ℓ = ½ Σ r²."""
    rows, seen = measured.rows, measured.activations
    scale = 2 / rows.shape[1]
    layers = tuple(
        (scale * _outer(y, slope), scale * jnp.sum(slope.value, axis=0))
        for y, slope in zip(seen.after, (*measured.slopes[1:], measured.last), strict=True)
    )
    entrance = way.slopes(measured.slopes[0])
    inner = {"bias": scale * jnp.sum(measured.slopes[0].value, axis=0), "layers": layers}
    if entrance.time is not None:
        inner["time"] = scale * entrance.time
    return Gradient(jnp.sum(jnp.mean(rows**2, axis=1)), inner, scale * entrance.lines)


def column_squares(way: Pass, lines: Float[Array, "lines width"]) -> Float[Array, " width"]:
    """Returns the squared length of every column of Lᵀ lines, from L Lᵀ."""

    def add(start: Any, size: int, total: Array) -> Array:
        left = way.left(start, size)
        return total + left @ left.T

    gram = _by_blocks(way, add, jnp.zeros((len(lines), len(lines)), lines.dtype))
    return jnp.sum(lines * (gram @ lines), axis=0)


def descended(
    weight: Float[Array, "dim width"], way: Pass, lines: Float[Array, "lines width"]
) -> Float[Array, "dim width"]:
    """Returns W − Lᵀ lines, a block of rows after the other, in place inside a compiled loop."""

    def change(start: Any, size: int, total: Array) -> Array:
        here = jax.lax.dynamic_slice_in_dim(total, start, size)
        return jax.lax.dynamic_update_slice_in_dim(total, here - way.left(start, size).T @ lines, start, 0)

    return _by_blocks(way, change, weight)


def _by_blocks(way: Pass, change: Callable[[Any, int, Array], Array], total: Array) -> Array:
    size = way.size
    count, rest = divmod(way.dim, size)
    total = jax.lax.fori_loop(0, count, lambda j, sum_: change(j * size, size, sum_), total)
    return change(count * size, rest, total) if rest else total


def _inner(params: Params) -> Params:
    return {name: part for name, part in params.items() if name != "first"}


def _outer(y: CollapsedJets, slope: CollapsedJets) -> Float[Array, "m n"]:
    """Σ over points and coefficients of the products of a layer's inputs and slopes."""
    first = jnp.einsum("kbm,kbn->mn", y.first, slope.first)
    return y.value.T @ slope.value + first + y.second.T @ slope.second


def _signs(key: PRNGKeyArray, like: Streams) -> Streams:
    leaves, structure = jax.tree.flatten(like)
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.rademacher(k, a.shape, a.dtype) for k, a in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)


def _products(one: Streams, other: Streams) -> Float[Array, " batch"]:
    """The inner product of two sets of pre-activations at every point."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return sum((jnp.einsum("...bh,...bh->b", a, b) for a, b in pairs), jnp.zeros(()))
