"""The protocol of a derivative estimator, and what every estimator can do exactly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import sympy as sp
from jaxtyping import Array, Float, PRNGKeyArray

from pdezoo import PDE, Drift, Dt, EulerDerivative, GradNormSq, Laplacian, Points, atom_text, u

from ..derivatives.field import Field
from ..networks.base import Network

Atoms = tuple[Any, ...]
Values = dict[Any, Float[Array, " batch"]]


class Estimator(ABC):
    """Estimates the operator's atoms at a batch of points; every atom gets one array of shape (B,)."""

    unbiased: ClassVar[bool]
    """Whether every atom's expectation over keys is its value."""

    accepts_lazy_coordinates: ClassVar[bool] = False
    """Whether it leaves x to the field, so that x need not be an array but can be `Coordinates`."""

    atoms: ClassVar[tuple[type, ...]] = (Dt, EulerDerivative, Drift, Laplacian, GradNormSq)
    """The kinds of atoms that it can estimate, besides u itself, which every estimator gives."""

    @abstractmethod
    def __call__(self, field: Field, atoms: Atoms, points: Points, key: PRNGKeyArray) -> Values:
        """The atoms' estimates. All in one call, so that one pass serves several."""

    def value(self, field: Field, points: Points) -> Float[Array, " batch"]:
        """u as it is to be tested: u_θ, unless the estimator belongs to another function of θ."""
        return field.value(points)

    def unsupported(self, pde: PDE, network: Network) -> str | None:
        """Why this estimator cannot work on this problem; None if it can."""
        beyond = [a for a in pde.atoms if a != u and not isinstance(a, self.atoms)]
        if beyond:
            has, can = ", ".join(map(atom_text, beyond)), ", ".join(map(_kind_text, self.atoms))
            return f"the operator has {has}; {type(self).__name__} estimates {can} only"
        return None


def _kind_text(kind: Any) -> str:
    """A kind of atom by its first member, Δu for Laplacian; by its name where it needs more than u."""
    if kind is sp.Derivative:
        return "partial derivatives in x, y, t"
    return atom_text(kind(u)) if 1 in kind.nargs else kind.__name__


def cheap_atoms(field: Field, atoms: Atoms, points: Points) -> Values:
    """u, its time derivatives, x·∇u and b·∇u: exact at the cost of a tangent, for every estimator."""
    values = {}
    for atom in atoms:
        if atom == u:
            values[atom] = field.value(points)
        elif isinstance(atom, EulerDerivative):
            values[atom] = field.euler_derivative(points)
        elif isinstance(atom, Drift):
            values[atom] = field.drift(points, atom)
        elif isinstance(atom, Dt):
            values[atom] = field.time_derivative(points, atom.order)
    return values


def is_low_dimensional(atoms: Atoms) -> bool:
    """Whether an operator is made of partial derivatives in x, y, t."""
    return any(isinstance(a, sp.Derivative) for a in atoms)
