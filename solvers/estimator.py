"""Derivative estimators: the protocol, and `exact`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pdezoo import PDE, Dt, EulerDerivative, GradNormSq, Laplacian, Points, u

from .directions import Axes, Directions
from .field import Field
from .jets import Value
from .network import Network, RidgeNetwork

Atoms = tuple[Any, ...]
Values = dict[Any, Float[Array, " batch"]]


class Estimator(ABC):
    """Estimates the operator's atoms at a batch of points; every atom gets one array of shape (B,)."""

    unbiased: ClassVar[bool]
    """Whether every atom's expectation over keys is its value."""

    atoms: ClassVar[tuple[Any, ...]] = (u, Dt(u), Dt(u, 2), Laplacian(u), GradNormSq(u))
    """The atoms it can estimate."""

    @abstractmethod
    def __call__(self, field: Field, atoms: Atoms, points: Points, key: PRNGKeyArray) -> Values:
        """The atoms' estimates. All in one call, so that one pass serves several."""

    def unsupported(self, pde: PDE, network: Network) -> str | None:
        """Why this estimator cannot work on this problem; None if it can."""
        beyond = [str(a) for a in pde.atoms if a not in self.atoms]
        if beyond:
            can = ", ".join(str(a) for a in self.atoms)
            return f"it needs {', '.join(beyond)}; {type(self).__name__} estimates {can} only"
        return None


def first_order(field: Field, atoms: Atoms, points: Points) -> Values:
    """u and its time derivatives, which cost no sum over coordinates."""
    values = {}
    if u in atoms:
        values[u] = field.value(points)
    for order in (1, 2):
        atom = Dt(u) if order == 1 else Dt(u, order)
        if atom in atoms:
            values[atom] = field.time_derivative(points, order)
    return values


def by_directions(field: Field, atoms: Atoms, points: Points, directions: Directions) -> Values:
    """Δu ≈ w Σ_k ∂²u/∂v_k² and |∇u|² ≈ w Σ_k (∂u/∂v_k)²: unbiased if w Σ_k E[v_k v_kᵀ] = I."""
    jets = field.second_order(points, directions)
    values = first_order(field, tuple(a for a in atoms if a != u), points)
    return values | {
        u: jets.value,
        Laplacian(u): directions.weight * jets.second,
        GradNormSq(u): directions.weight * jnp.sum(jets.first**2, axis=0),
    }


@dataclass(frozen=True)
class Exact(Estimator):
    """All second derivatives by forward-over-reverse mode: the reference.

    For a ridge network n = head(Wᵀx) the Hessian H_z of the head is contracted with WᵀW, so that the cost is that of
    min(d, h) Hessian-vector products: Δn = ⟨H_z, WᵀW⟩. With u = b + a n,

        Δu = Δb + a Δn + 2 ∇a·∇n + n Δa,      |∇u|² = |∇b + a∇n + n∇a|².
    """

    unbiased: ClassVar[bool] = True
    atoms: ClassVar[tuple[Any, ...]] = (*Estimator.atoms, EulerDerivative(u))

    def __call__(self, field: Field, atoms: Atoms, points: Points, key: PRNGKeyArray) -> Values:
        """The atoms, exactly; `key` is not used."""
        if not isinstance(field.network, RidgeNetwork):
            return by_directions(field, atoms, points, Axes(jnp.arange(field.dim), field.dim))
        return exact_atoms(field, atoms, points, _hessian_trace)


Trace = Callable[[Field, RidgeNetwork, Array], tuple[Array, Array]]
"""(field, network, z) ↦ (Δn, |∇n|²), each (B,)."""


def exact_atoms(field: Field, atoms: Atoms, points: Points, trace: Trace) -> Values:
    """All atoms of a ridge network's field, from its Laplacian and squared gradient as `trace` computes them."""
    network, params = field.network, field.params
    assert isinstance(network, RidgeNetwork)
    z = network.features(params, points)
    head = lambda q: network.head(params, Value(q)).value[:, 0]  # noqa: E731
    slope = lambda tangent: jax.jvp(head, (z,), (tangent,))  # noqa: E731
    factor, offset = field.problem.ansatz(points)
    lap_a, lap_b, aa, ab, bb = field.problem.closed_forms(points)
    along_a, along_b = _projected_gradients(field, network, points)
    (n, n_a), (_, n_b) = slope(along_a), slope(along_b)
    values = first_order(field, tuple(a for a in atoms if a != u), points) | {u: offset + factor * n}
    if Laplacian(u) in atoms or GradNormSq(u) in atoms:
        lap_n, nn = trace(field, network, z)
        values[Laplacian(u)] = lap_b + factor * lap_n + 2 * n_a + n * lap_a
        values[GradNormSq(u)] = (
            bb + factor**2 * nn + n**2 * aa + 2 * (factor * n_b + n * ab + factor * n * n_a)
        )
    if EulerDerivative(u) in atoms:
        _, values[EulerDerivative(u)] = jax.jvp(
            lambda s: field.value(points._replace(x=points.x * s[:, None])),
            (jnp.ones_like(n),),
            (jnp.ones_like(n),),
        )
    return values


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
    product = lambda row: jax.jvp(gradient, (z,), (jnp.broadcast_to(row, z.shape),))[1]  # noqa: E731
    slope = gradient(z)
    if field.dim < z.shape[1]:
        rows = network.rows(field.params, jnp.arange(field.dim))
        hessian_rows = jax.vmap(product)(rows)
        return jnp.einsum("kbh,kh->b", hessian_rows, rows), jnp.sum((slope @ rows.T) ** 2, axis=1)
    gram = network.gram(field.params)
    hessian = jax.vmap(product)(jnp.eye(z.shape[1]))
    return jnp.einsum("kbh,kh->b", hessian, gram), jnp.sum((slope @ gram) * slope, axis=1)
