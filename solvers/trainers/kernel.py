"""The kernel J Jᵀ of a loss that is a sum of squares, J the Jacobian of its residuals: what natural-gradient steps solve with.

A step θ ← θ − α Jᵀ(J Jᵀ + λI)⁻¹ r needs N × N numbers for N residuals, and not P × P for P parameters (Woodbury's identity).
For the first weight W of a ridge network not even J is needed. A residual depends on W through products L_k W alone: z = Wᵀx
at its own point, and a few rows or projections of directions. So ∂r_i/∂W = Σ_k L_kᵀ G_ik with G_ik = ∂r_i/∂(L_k W), and

    ⟨∂r_i/∂W, ∂r_j/∂W⟩ = Σ_kl ⟨L_k L_lᵀ, G_ik G_jlᵀ⟩,

in which d appears in the inner products L_k L_lᵀ alone: those of points with points, and coordinates of points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Literal
from jaxtyping import Array, Float, PRNGKeyArray

from pdezoo import Points

from ..networks.base import Network, Params, RidgeNetwork
from ..networks.matrices import Gram, Rows, Tapped, Untapped
from .base import LeastSquares, Term, stacked


class Use(NamedTuple):
    """One use of W by the residuals of a term: the left factors L, as `Tapped` notes them, and the slopes ∂r/∂(L W).

    L has an axis of lines, and before it one of the batch where it is not the same at all points.
    """

    left: Any
    slope: Float[Array, "rows batch lines width"]


class Part(NamedTuple):
    """A term's residuals, their derivatives in all parameters that are not W, an array for each of those, and the uses of W."""

    rows: Float[Array, "rows batch"]
    rest: list[Float[Array, "rows batch parameters"]]
    uses: tuple[Use, ...]


def residual_kernel(
    loss: LeastSquares, params: Params, key: PRNGKeyArray
) -> tuple[Float[Array, " residuals"], Float[Array, "residuals residuals"]]:
    """Returns r, shape (N,), as `loss.residuals` gives it, and J Jᵀ, shape (N, N), with J = ∂r/∂θ.

    Jᵀc of a vector c is one reverse pass, `jax.vjp(lambda p: loss.residuals(p, key), params)`. It needs memory for N
    numbers for every parameter but W; for W too where the network has no `first_weight`, or a use of it is hidden in a
    loop or in a derivative along x (SDGD, x·∇u, gradient-enhanced losses).
    """
    parts = _parts(loss.network, loss.terms(key), params)
    sizes = [part.rows.size for part in parts]
    lengths = stacked([jnp.ones_like(part.rows) for part in parts])
    blocks = [
        [_inner(one, other).reshape(n, m) for other, m in zip(parts, sizes, strict=True)]
        for one, n in zip(parts, sizes, strict=True)
    ]
    return stacked([part.rows for part in parts]), jnp.block(blocks) * jnp.outer(lengths, lengths)


def _parts(network: Network, terms: tuple[Term, ...], params: Params) -> list[Part]:
    """Returns the parts of all terms: with W apart if that can be done in all of them, else with W among the other parameters."""
    weight = network.first_weight(params) if isinstance(network, RidgeNetwork) else None
    if isinstance(network, RidgeNetwork) and weight is not None:
        try:
            return [_tapped(network, weight, term, params) for term in terms]
        except Untapped:
            pass
    return [_whole(term, params) for term in terms]


def _whole(term: Term, params: Params) -> Part:
    """Takes derivatives in all parameters, point by point: a residual depends on no point but its own."""
    here = lambda p, point: (value := term.rows(p, _single(point))[:, 0], value)
    slopes, rows = jax.vmap(jax.jacrev(here, has_aux=True), (None, 0))(params, term.points)
    return Part(rows.T, _flat(slopes), ())


def _tapped(network: RidgeNetwork, weight: Array, term: Term, params: Params) -> Part:
    """Takes derivatives with W apart, by the slopes in its taps. Raises Untapped where a use of W is hidden."""
    rest = network.with_first_weight(params, None)
    seen: list[Tapped] = []

    def here(taps: list[Array] | None, rest: Params, point: Points) -> tuple[Array, Any]:
        single = _single(point)
        tapped = Tapped(weight, single.x, taps)
        value = term.rows(network.with_first_weight(rest, tapped), single)[:, 0]
        seen.append(tapped)
        return value, (value, tapped.left)

    first = jax.tree.map(lambda a: a[0], term.points)
    own = _depends(lambda point: here(None, rest, point)[1][1], first)
    taps = [jnp.zeros(shape, weight.dtype) for shape in seen[0].shapes]
    derivatives = jax.vmap(jax.jacrev(here, argnums=(0, 1), has_aux=True), (None, None, 0))
    (slopes, others), (rows, left) = derivatives(taps, rest, term.points)
    left = [
        one if any(jax.tree.leaves(o)) else jax.tree.map(lambda a: a[0], one)
        for one, o in zip(left, own, strict=True)
    ]
    uses = tuple(_use(one, slope, weight) for one, slope in zip(left, slopes, strict=True))
    return Part(rows.T, _flat(others), uses)


def _depends(function: Callable[[Any], Any], argument: Any) -> Any:
    """Returns the structure of `function(argument)`, with whether it depends on the argument in place of each array."""
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(argument)
    reached = set(closed.jaxpr.invars)
    follows = lambda atom: not isinstance(atom, Literal) and atom in reached
    for equation in closed.jaxpr.eqns:
        if any(map(follows, equation.invars)):
            reached.update(equation.outvars)
    return jax.tree.unflatten(jax.tree.structure(shapes), map(follows, closed.jaxpr.outvars))


def _use(left: Any, slope: Float[Array, "batch rows *lines width"], weight: Array) -> Use:
    """Returns a use of W with one axis of lines. WᵀW uses W on both sides: its slope is the sum of both."""
    if isinstance(left, Gram):
        return Use(weight.T, jnp.swapaxes(slope + jnp.swapaxes(slope, 2, 3), 0, 1))
    batch, rows, *lines, width = slope.shape
    if isinstance(left, Rows):
        own = left.axes.shape[: left.axes.ndim - len(lines)]
        factor: Any = Rows(left.axes.reshape(*own, -1))
    else:
        own = left.shape[: left.ndim - len(lines) - 1]
        factor = left.reshape(*own, -1, left.shape[-1])
    return Use(factor, jnp.swapaxes(slope.reshape(batch, rows, -1, width), 0, 1))


def _inner(one: Part, other: Part) -> Float[Array, "rows batch rows batch"]:
    """Returns ⟨∂r_i/∂θ, ∂r_j/∂θ⟩ for every two residuals of two terms."""
    total = sum(map(_products, one.rest, other.rest), jnp.zeros(()))
    for use in one.uses:
        for with_use in other.uses:
            total = total + _of_uses(use, with_use)
    return total


def _products(
    one: Float[Array, "rows batch parameters"], other: Float[Array, "rows batch parameters"]
) -> Float[Array, "rows batch rows batch"]:
    """Returns all inner products, as one product of matrices: XLA transposes the operands of the same einsum."""
    lines = [a.reshape(-1, a.shape[2]) for a in (one, other)]
    return (lines[0] @ lines[1].T).reshape(*one.shape[:2], *other.shape[:2])


def _of_uses(one: Use, other: Use) -> Float[Array, "rows batch rows batch"]:
    """Returns ⟨L_k L_lᵀ, G_ik G_jlᵀ⟩ for every two residuals."""
    axes, overlap = _overlap(one.left, other.left)
    return jnp.einsum(f"rbmh,scnh,{axes}->rbsc", one.slope, other.slope, overlap, optimize="optimal")


def _overlap(one: Any, other: Any) -> tuple[str, Array]:
    """Returns the inner products of the lines of two left factors, after the letters of their axes.

    The letters are batch b and lines m of the first, batch c and lines n of the second. Left factors that all points
    share, as Wᵀ, have no batch axis.
    """
    if isinstance(one, Rows) and isinstance(other, Rows):
        same = one.axes.reshape(*one.axes.shape, *[1] * other.axes.ndim) == other.axes
        return "bm"[-one.axes.ndim :] + "cn"[-other.axes.ndim :], same.astype(float)
    if isinstance(one, Rows):
        axes, overlap = _overlap(other, one)
        return axes.translate(str.maketrans("bmcn", "cnbm")), overlap
    ahead = "bm"[1 - one.ndim :]
    if isinstance(other, Rows):
        return ahead + "cn"[-other.axes.ndim :], one[..., other.axes]
    behind = "cn"[1 - other.ndim :]
    return f"{ahead}{behind}", jnp.einsum(f"{ahead}d,{behind}d->{ahead}{behind}", one, other)


def _single(point: Points) -> Points:
    return jax.tree.map(lambda a: a[None], point)


def _flat(slopes: Params) -> list[Float[Array, "rows batch parameters"]]:
    return [jnp.swapaxes(a.reshape(*a.shape[:2], -1), 0, 1) for a in jax.tree.leaves(slopes)]
