"""Exact derivatives: the reference that every estimator is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import sympy as sp
from jaxtyping import Array, PRNGKeyArray

from pdezoo import Atom, GradNormSq, Laplacian, Points, materialize, nested_autodiff, u

from ..derivatives.directions import Axes
from ..derivatives.field import Field
from ..networks.base import OffsetNetwork, RidgeNetwork, SecondOrder
from ..networks.jets import Value
from .base import Atoms, Estimator, Values, cheap_atoms
from .directional import COORDINATEWISE, by_directions


@dataclass(frozen=True)
class Exact(Estimator):
    """Takes all second derivatives by forward-over-reverse mode: the reference.

    For a ridge network n = head(Wᵀx) the Hessian H_z of the head is contracted with WᵀW, so that the cost is that of
    min(d, h) Hessian-vector products: Δn = ⟨H_z, WᵀW⟩. With u = b + a n,

        Δu = Δb + a Δn + 2 ∇a·∇n + n Δa,      |∇u|² = |∇b + a∇n + n∇a|².

    An operator with any other atom, such as partial derivatives in low dimensions, Δ², or an atom that a plug-in
    defines, is evaluated by nested automatic differentiation as the atom defines it, at O(d²) and more.
    """

    unbiased: ClassVar[bool] = True
    accepts_lazy_coordinates: ClassVar[bool] = True
    atoms: ClassVar[tuple[type, ...]] = (Atom, sp.Derivative)

    def __call__(self, field: Field, atoms: Atoms, points: Points, key: PRNGKeyArray) -> Values:
        """Computes the atoms exactly, {atom: (B,)}; `key` is not used."""
        if not all(a == u or isinstance(a, _KNOWN) for a in atoms):
            return nested_autodiff(field.value, points._replace(x=materialize(points.x)), atoms)
        return exact_atoms(field, atoms, points, _hessian_trace)


_KNOWN = (*Estimator.atoms, *COORDINATEWISE)
"""The kinds of atoms that `exact_atoms` computes, at O(d) but for those that treat every coordinate by itself."""

Trace = Callable[[Field, RidgeNetwork, Array], tuple[Array, Array]]
"""A function (field, network, z) ↦ (Δn, |∇n|²), each (B,), with z = Wᵀx + w_t t (+ w_b b) of shape (B, h)."""


def exact_atoms(field: Field, atoms: Atoms, points: Points, trace: Trace) -> Values:
    """Computes all atoms exactly, {atom: (B,)}, from the network's Laplacian and squared gradient as `trace` computes them.

    Atoms that need every coordinate by itself cost d jets, and so do networks that have no linear first map and do not give
    their gradient and Laplacian (`Network.second_order`).
    """
    single = tuple(a for a in atoms if isinstance(a, COORDINATEWISE))
    every = Axes(jnp.arange(field.dim), field.dim)
    if not isinstance(field.network, RidgeNetwork):
        whole = field.network.second_order(field.params, points)
        if whole is None:
            return by_directions(field, atoms, points, every)
        values = by_directions(field, single, points, every) if single else {}
        return values | cheap_atoms(field, atoms, points) | _of_whole(field, points, whole)
    values = by_directions(field, single, points, every) if single else {}
    values |= cheap_atoms(field, atoms, points)
    if any(isinstance(a, Laplacian | GradNormSq) for a in atoms):
        values |= _second_order_atoms(field, field.network, points, trace)
    return values


def _of_whole(field: Field, points: Points, n: SecondOrder) -> Values:
    """Δu and |∇u|² of u = b + a n, for a network that gives its whole gradient and Laplacian."""
    factor, offset = field.problem.ansatz(points)
    lap_a, lap_b, _, _, _ = field.problem.closed(points)
    grad_a, grad_b = jnp.zeros_like(n.gradient), jnp.zeros_like(n.gradient)
    for _, (slope_a, slope_b), gradient in field.problem.ansatz.slopes(points):
        along = gradient()
        grad_a, grad_b = grad_a + slope_a[:, None] * along, grad_b + slope_b[:, None] * along
    grad_u = grad_b + factor[:, None] * n.gradient + n.value[:, None] * grad_a
    cross = jnp.sum(grad_a * n.gradient, axis=1)
    return {
        u: offset + factor * n.value,
        Laplacian(u): lap_b + factor * n.laplacian + 2 * cross + n.value * lap_a,
        GradNormSq(u): jnp.sum(grad_u**2, axis=1),
    }


def _second_order_atoms(field: Field, network: RidgeNetwork, points: Points, trace: Trace) -> Values:
    factor, offset = field.problem.ansatz(points)
    z = field.features(points, offset)
    head = lambda q: network.head(field.params, Value(q)).value[:, 0]
    slope = lambda tangent: jax.jvp(head, (z,), (tangent,))
    lap_a, lap_b, aa, ab, bb = field.problem.closed(points)
    along_a, along_b = _projected_gradients(field, network, points)
    lap_n, nn = trace(field, network, z)
    if isinstance(network, OffsetNetwork):
        row = field.offset_row
        more_lap, more_nn = _through_offset(head, z, jnp.broadcast_to(row, z.shape), along_b, lap_b, bb)
        lap_n, nn = lap_n + more_lap, nn + more_nn
        along_a, along_b = along_a + ab[:, None] * row, along_b + bb[:, None] * row
    (n, n_a), (_, n_b) = slope(along_a), slope(along_b)
    return {
        u: offset + factor * n,
        Laplacian(u): lap_b + factor * lap_n + 2 * n_a + n * lap_a,
        GradNormSq(u): bb + factor**2 * nn + n**2 * aa + 2 * (factor * n_b + n * ab + factor * n * n_a),
    }


def _through_offset(
    head: Callable, z: Array, row: Array, along: Array, lap_b: Array, bb: Array
) -> tuple[Array, Array]:
    """Returns what Δn and |∇n|² gain, each (B,), where the network reads b: z = Wᵀx + w b has the Jacobian Wᵀ + w ∇bᵀ.

    With the head's gradient g and Hessian H, and p = Wᵀ∇b, the gains are

        2 wᵀH p + |∇b|² wᵀH w + Δb g·w   and   2 (g·w)(g·p) + |∇b|² (g·w)².
    """
    along_row = lambda q: jax.jvp(head, (q,), (row,))[1]
    g_w, curvature = jax.jvp(along_row, (z,), (2 * along + bb[:, None] * row,))
    g_p = jax.jvp(head, (z,), (along,))[1]
    return curvature + lap_b * g_w, 2 * g_w * g_p + bb * g_w**2


def _projected_gradients(field: Field, network: RidgeNetwork, points: Points) -> tuple[Array, Array]:
    """Returns Wᵀ∇a and Wᵀ∇b, each (B, h).

    The window sum |x|² contributes 2 ∂a/∂|x|² Wᵀx, which is known; any other one contributes a product of its own with W.
    """
    projected = network.project(field.params, points.x)
    along = [jnp.zeros_like(projected), jnp.zeros_like(projected)]
    for radial, slopes, gradient in field.problem.ansatz.slopes(points):
        row = 2 * projected if radial else network.project(field.params, gradient())
        along = [total + slope[:, None] * row for total, slope in zip(along, slopes, strict=True)]
    return along[0], along[1]


def _hessian_trace(field: Field, network: RidgeNetwork, z: Array) -> tuple[Array, Array]:
    """Returns Δn = tr(H_z WᵀW) and |∇n|² = g_zᵀ WᵀW g_z, each (B,), with H_z by forward-over-reverse mode."""
    gradient = jax.grad(lambda q: jnp.sum(network.head(field.params, Value(q)).value))
    product = lambda row: jax.jvp(gradient, (z,), (jnp.broadcast_to(row, z.shape),))[1]
    square = squared_gradient(field, network, z)
    if field.dim < z.shape[1]:
        rows = network.rows(field.params, jnp.arange(field.dim))
        hessian_rows = jax.vmap(product)(rows)
        return jnp.einsum("kbh,kh->b", hessian_rows, rows), square
    gram = network.gram(field.params, field.dim)
    hessian = jax.vmap(product)(jnp.eye(z.shape[1]))
    return jnp.einsum("kbh,kh->b", hessian, gram), square


def squared_gradient(field: Field, network: RidgeNetwork, z: Array) -> Array:
    """Returns |∇n|² = g_zᵀ WᵀW g_z, shape (B,), with the head's gradient g_z at z = Wᵀx by reverse mode."""
    slope = jax.grad(lambda q: jnp.sum(network.head(field.params, Value(q)).value))(z)
    if field.dim < z.shape[1]:
        return jnp.sum((slope @ network.rows(field.params, jnp.arange(field.dim)).T) ** 2, axis=1)
    return jnp.sum((slope @ network.gram(field.params, field.dim)) * slope, axis=1)
