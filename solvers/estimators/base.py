"""The protocol of a derivative estimator, and what every estimator can do exactly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import sympy as sp
from jaxtyping import Array, Float, PRNGKeyArray

from pdezoo import (
    PDE,
    Atom,
    Drift,
    Dt,
    EulerDerivative,
    GradNormSq,
    Laplacian,
    Points,
    WeightedAtom,
    atom_text,
    coordinate_max,
    u,
)

from ..derivatives.field import Field
from ..networks.base import Network

Atoms = tuple[Any, ...]
"""The terms in which an operator depends on u, such as u itself, Δu and |∇u|²."""
Values = dict[Any, Float[Array, " batch"]]
"""The value of every atom at a batch of points."""


class Estimator(ABC):
    """Estimates the atoms of an operator at a batch of points, from the field u_θ and a random key.

    An estimator is a frozen dataclass of hyperparameters; it says which atoms it can estimate, and whether it is unbiased.
    """

    unbiased: ClassVar[bool]
    """Whether the expectation over keys of every estimate is the atom's value."""

    accepts_lazy_coordinates: ClassVar[bool] = False
    """Whether x may be `Coordinates` instead of an array, since the estimator leaves it to the field."""

    atoms: ClassVar[tuple[type, ...]] = (Dt, EulerDerivative, Drift, Laplacian, GradNormSq)
    """The kinds of atoms that it can estimate, besides u itself, which every estimator gives."""

    @abstractmethod
    def __call__(self, field: Field, atoms: Atoms, points: Points, key: PRNGKeyArray) -> Values:
        """Returns an estimate of every atom, {atom: (B,)}. All are asked for in one call, so that one pass may serve several."""

    def residual(self, field: Field, points: Points, key: PRNGKeyArray) -> Float[Array, "operators batch"]:
        """Estimates (N[u_θ] − g)/scale of the field's problem: its operators of the estimated atoms, unless the estimator
        takes more than one estimate of an atom.
        """
        problem = field.problem
        return problem.residual(self(field, problem.atoms, points, key), points)

    def value(self, field: Field, points: Points) -> Float[Array, " batch"]:
        """Evaluates u as it is to be tested, shape (B,): u_θ, unless the estimator means another function of θ, such as
        a smoothed one.
        """
        return field.value(points)

    def unsupported(self, pde: PDE, network: Network) -> str | None:
        """Returns the reason why this estimator cannot work on a problem with this network; None if it can."""
        beyond = [a for a in pde.atoms if a != u and not isinstance(a, self.atoms)]
        if beyond:
            has, can = ", ".join(map(atom_text, beyond)), ", ".join(map(_kind_text, self.atoms))
            return f"the operator has {has}; {type(self).__name__} estimates {can} only"
        if pde.ansatz.offset.has(coordinate_max):
            return "its ansatz has max x_i, which has no derivatives here"
        return None


def _kind_text(kind: Any) -> str:
    """A kind of atom as a person writes it: Δu for Laplacian, b·∇u for Drift; its class name where no form is known."""
    if kind is sp.Derivative:
        return "partial derivatives in x, y, t"
    if kind is Atom:
        return "every atom"
    if issubclass(kind, WeightedAtom):
        return kind.general
    return atom_text(kind(u)) if 1 in kind.nargs else kind.__name__


def cheap_atoms(field: Field, atoms: Atoms, points: Points) -> Values:
    """Computes those of the atoms that every estimator has exactly, at the cost of a tangent: u, ∂u/∂t, ∂²u/∂t², x·∇u and b·∇u.

    Returns {atom: (B,)}; other atoms are left out.
    """
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
    """Returns whether an operator is made of partial derivatives in x, y, t."""
    return any(isinstance(a, sp.Derivative) for a in atoms)
