"""Derivative estimators: the protocol, and `exact`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import sympy as sp
from jaxtyping import Array, Float, PRNGKeyArray

from pdezoo import (
    CLOSED,
    PDE,
    Biharmonic,
    Diffusion,
    Dt,
    EulerDerivative,
    GradNorm1,
    GradNormSq,
    Laplacian,
    Points,
    coordinate_max,
    held,
    multi_index,
    nested_autodiff,
    u,
    window_sums,
)

from .directions import Axes, Directions
from .field import Field
from .jets import Value
from .network import Network, OffsetNetwork, RidgeNetwork

Atoms = tuple[Any, ...]
Values = dict[Any, Float[Array, " batch"]]

COORDINATEWISE = (GradNorm1, Diffusion)
"""Atoms that see every coordinate for itself: sums over axes only."""


class Estimator(ABC):
    """Estimates the operator's atoms at a batch of points; every atom gets one array of shape (B,)."""

    unbiased: ClassVar[bool]
    """Whether every atom's expectation over keys is its value."""

    streams: ClassVar[bool] = False
    """Whether it leaves x to the field, so that x need not be an array but can be `Coordinates`."""

    atoms: ClassVar[tuple[Any, ...]] = (u, Dt, EulerDerivative, Laplacian, GradNormSq)
    """The atoms, or kinds of atoms, that it can estimate."""

    @abstractmethod
    def __call__(self, field: Field, atoms: Atoms, points: Points, key: PRNGKeyArray) -> Values:
        """The atoms' estimates. All in one call, so that one pass serves several."""

    def value(self, field: Field, points: Points) -> Float[Array, " batch"]:
        """u as it is to be tested: u_θ, unless the estimator belongs to another function of θ."""
        return field.value(points)

    def unsupported(self, pde: PDE, network: Network) -> str | None:
        """Why this estimator cannot work on this problem; None if it can."""
        beyond = [a for a in pde.atoms if a != u and not isinstance(a, self.atoms[1:])]
        if beyond:
            can = ", ".join(kind.__name__ for kind in self.atoms[1:])
            return (
                f"the operator has {', '.join(map(str, beyond))}; {type(self).__name__} estimates {can} only"
            )
        return None


def cheap_atoms(field: Field, atoms: Atoms, points: Points) -> Values:
    """u, its time derivatives and x·∇u: exact at the cost of a tangent, for every estimator."""
    values = {}
    for atom in atoms:
        if atom == u:
            values[atom] = field.value(points)
        elif isinstance(atom, EulerDerivative):
            values[atom] = field.euler_derivative(points)
        elif isinstance(atom, Dt):
            values[atom] = field.time_derivative(points, int(atom.args[1]) if len(atom.args) > 1 else 1)
    return values


def by_directions(field: Field, atoms: Atoms, points: Points, directions: Directions) -> Values:
    """Δu ≈ w Σ_k ∂²u/∂v_k² and |∇u|² ≈ w Σ_k (∂u/∂v_k)²: unbiased if w Σ_k E[v_k v_kᵀ] = I.

    Along axes also Σ|∂_i u| and weighted second derivatives.
    """
    values = cheap_atoms(field, tuple(a for a in atoms if a != u), points)
    if any(a == u or isinstance(a, Laplacian | GradNormSq | GradNorm1) for a in atoms):
        jets = field.second_order(points, directions)
        values |= {
            u: jets.value,
            Laplacian(u): directions.weight * jets.second,
            GradNormSq(u): directions.weight * jnp.sum(jets.first**2, axis=0),
            GradNorm1(u): directions.weight * jnp.sum(jnp.abs(jets.first), axis=0),
        }
    diffusions = [a for a in atoms if isinstance(a, Diffusion)]
    if diffusions and isinstance(directions, Axes):
        for atom, weights in zip(diffusions, diffusion_weights(field, points, directions), strict=True):
            jets = field.second_order(points, directions, jnp.sqrt(weights))
            values[atom] = directions.weight * jets.second
    return values


def diffusion_weights(field: Field, points: Points, axes: Axes) -> list[Float[Array, "axes batch"]]:
    """w_i at the sampled axes, for every Diffusion atom of the problem."""
    lowered = field.problem.diffusions
    terms = lowered.terms_at(points, axes.indices)
    slopes = [slope for _, slope, _ in lowered.slopes(points)]  # the multiple of each sum in each expression
    count = len(slopes[0]) if slopes else 0
    return [
        jnp.sum(jnp.stack([s[n] * w for s, w in zip(slopes, terms, strict=True)]), axis=0)
        for n in range(count)
    ]


def partial_derivatives(field: Field, atoms: Atoms, points: Points) -> Values:
    """The ∂^α u that low-dimensional operators are made of, exactly, by one planned jet."""
    indices = {a: multi_index(a, field.dim) for a in atoms}
    values = field.partials(points, tuple(sorted(set(indices.values()))))
    return {a: values[index] for a, index in indices.items()}


def dense_unsupported(pde: PDE, network: Network) -> str | None:
    """Why dense random directions cannot be used on a problem; None if they can."""
    sums = {s for e in (pde.ansatz.factor, pde.ansatz.offset) for s in window_sums(e)}
    if any(s.width > 1 for s in sums):
        return "its ansatz has window sums wider than one coordinate; use sparse directions (stde)"
    if pde.ansatz.offset.has(coordinate_max):
        return "its ansatz has max x_i, which has no derivatives here"
    return None


def shifts_unsupported(network: Network) -> str | None:
    """Why values at shifted points cannot be made by shifting Wᵀx; None if they can."""
    if not isinstance(network, RidgeNetwork):
        return "it shifts the first linear map of a ridge network; this network has none"
    if isinstance(network, OffsetNetwork):
        return "it shifts the first linear map of a ridge network; this network reads the ansatz' offset too, which is not linear"
    return None


def is_low_dimensional(atoms: Atoms) -> bool:
    """Whether an operator is made of partial derivatives in x, y, t."""
    return any(isinstance(a, sp.Derivative) for a in atoms)


@dataclass(frozen=True)
class Exact(Estimator):
    """All second derivatives by forward-over-reverse mode: the reference.

    For a ridge network n = head(Wᵀx) the Hessian H_z of the head is contracted with WᵀW, so that the cost is that of
    min(d, h) Hessian-vector products: Δn = ⟨H_z, WᵀW⟩. With u = b + a n,

        Δu = Δb + a Δn + 2 ∇a·∇n + n Δa,      |∇u|² = |∇b + a∇n + n∇a|².

    Partial derivatives of low-dimensional operators, and Δ², come by nesting forward mode.
    """

    unbiased: ClassVar[bool] = True
    streams: ClassVar[bool] = True
    atoms: ClassVar[tuple[Any, ...]] = (*Estimator.atoms, *COORDINATEWISE, Biharmonic, sp.Derivative)

    def __call__(self, field: Field, atoms: Atoms, points: Points, key: PRNGKeyArray) -> Values:
        """The atoms, exactly; `key` is not used."""
        if is_low_dimensional(atoms) or any(isinstance(a, Biharmonic) for a in atoms):
            return nested_autodiff(field.value, points._replace(x=held(points.x)), atoms)
        return exact_atoms(field, atoms, points, _hessian_trace)


Trace = Callable[[Field, RidgeNetwork, Array], tuple[Array, Array]]
"""(field, network, z) ↦ (Δn, |∇n|²), each (B,)."""


def exact_atoms(field: Field, atoms: Atoms, points: Points, trace: Trace) -> Values:
    """All atoms exactly, from the network's Laplacian and squared gradient as `trace` computes them.

    Atoms that need every coordinate for itself, and networks without a linear first map, cost d jets.
    """
    single = tuple(a for a in atoms if isinstance(a, COORDINATEWISE))
    every = Axes(jnp.arange(field.dim), field.dim)
    if not isinstance(field.network, RidgeNetwork):
        return by_directions(field, atoms, points, every)
    values = by_directions(field, single, points, every) if single else {}
    values |= cheap_atoms(field, atoms, points)
    if any(isinstance(a, Laplacian | GradNormSq) for a in atoms):
        values |= _second_order_atoms(field, field.network, points, trace)
    return values


def _second_order_atoms(field: Field, network: RidgeNetwork, points: Points, trace: Trace) -> Values:
    factor, offset = field.problem.ansatz(points)
    z = field.features(points, offset)
    head = lambda q: network.head(field.params, Value(q)).value[:, 0]
    slope = lambda tangent: jax.jvp(head, (z,), (tangent,))
    lap_a, lap_b, aa, ab, bb = (field.problem.closed(points)[name] for name in CLOSED)
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
    """What Δn and |∇n|² gain where z = Wᵀx + w b has the Jacobian Wᵀ + w ∇bᵀ: with the head's gradient g and Hessian H, p = Wᵀ∇b,

    2 wᵀH p + |∇b|² wᵀH w + Δb g·w   and   2 (g·w)(g·p) + |∇b|² (g·w)².
    """
    along_row = lambda q: jax.jvp(head, (q,), (row,))[1]
    g_w, curvature = jax.jvp(along_row, (z,), (2 * along + bb[:, None] * row,))
    g_p = jax.jvp(head, (z,), (along,))[1]
    return curvature + lap_b * g_w, 2 * g_w * g_p + bb * g_w**2


def _projected_gradients(field: Field, network: RidgeNetwork, points: Points) -> tuple[Array, Array]:
    """Wᵀ∇a and Wᵀ∇b, each (B, h): 2 ∂a/∂|x|² Wᵀx for the radial part, a product of its own for any other window sum."""
    projected = network.project(field.params, points.x)
    along = [jnp.zeros_like(projected), jnp.zeros_like(projected)]
    for radial, slopes, gradient in field.problem.ansatz.slopes(points):
        row = 2 * projected if radial else network.project(field.params, gradient())
        along = [total + slope[:, None] * row for total, slope in zip(along, slopes, strict=True)]
    return along[0], along[1]


def _hessian_trace(field: Field, network: RidgeNetwork, z: Array) -> tuple[Array, Array]:
    """Δn = tr(H_z WᵀW) and |∇n|² = g_zᵀ WᵀW g_z, H_z by forward-over-reverse."""
    gradient = jax.grad(lambda q: jnp.sum(network.head(field.params, Value(q)).value))
    product = lambda row: jax.jvp(gradient, (z,), (jnp.broadcast_to(row, z.shape),))[1]
    slope = gradient(z)
    if field.dim < z.shape[1]:
        rows = network.rows(field.params, jnp.arange(field.dim))
        hessian_rows = jax.vmap(product)(rows)
        return jnp.einsum("kbh,kh->b", hessian_rows, rows), jnp.sum((slope @ rows.T) ** 2, axis=1)
    gram = network.gram(field.params, field.dim)
    hessian = jax.vmap(product)(jnp.eye(z.shape[1]))
    return jnp.einsum("kbh,kh->b", hessian, gram), jnp.sum((slope @ gram) * slope, axis=1)
