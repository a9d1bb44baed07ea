"""The vocabulary of operators: u, Laplacian(u), GradNormSq(u), Dt(u), D(u, x, x, y), …

An operator is a SymPy expression over these atoms: a value to print, differentiate, hash and lower.
`Laplacian`, `GradNormSq`, `EulerDerivative`, `Biharmonic` and `Dt` are dimension-generic; `D` takes ordinary partial
derivatives in the coordinates x, y, t of a low-dimensional problem and differentiates products by SymPy.
"""

from __future__ import annotations

import sympy as sp

from . import collective
from .collective import t

x, y = sp.symbols("x y", real=True)
"""The space coordinates of a low-dimensional problem."""

u = sp.Function("u", real=True)(x, y, t)
"""The unknown."""


class Laplacian(sp.Function):
    """Δu = Σ ∂²u/∂x_i², over the space coordinates."""

    nargs = 1
    is_real = True


class Biharmonic(sp.Function):
    """Δ²u."""

    nargs = 1
    is_real = True


class GradNormSq(sp.Function):
    """|∇u|² = Σ (∂u/∂x_i)², over the space coordinates."""

    nargs = 1
    is_real = True


class EulerDerivative(sp.Function):
    """x·∇u = Σ x_i ∂u/∂x_i."""

    nargs = 1
    is_real = True


class GradNorm1(sp.Function):
    """Σ |∂u/∂x_i|."""

    nargs = 1
    is_real = True


class Diffusion(sp.Function):
    """Σ_i w_i ∂²u/∂x_i² with weights w_i ≥ 0 given as the window sum Σ_i w_i, as in `Diffusion(u, r2)` for w_i = x_i²."""

    nargs = 2
    is_real = True


class Dt(sp.Function):
    """∂u/∂t. `Dt(u, 2)` is ∂²u/∂t²."""

    nargs = (1, 2)
    is_real = True


_GENERIC = (Laplacian, Biharmonic, GradNormSq, GradNorm1, EulerDerivative, Diffusion, Dt)


def D(expr: sp.Expr, *coordinates: sp.Symbol) -> sp.Expr:
    """∂expr/∂x∂y…: D(u, x, x, y) is u_xxy and D(u*D(u, x), x) is (u u_x)_x, multiplied out."""
    return sp.diff(expr, *coordinates)


def atoms_of(operator: sp.Expr) -> tuple[sp.Expr, ...]:
    """The atoms an operator is a function of, in a fixed order: u itself, then derivatives."""
    derivatives = operator.atoms(*_GENERIC, sp.Derivative)
    derivatives = {a for a in derivatives if not any(a != b and b.has(a) for b in derivatives)}
    bare = operator.xreplace({a: sp.Dummy() for a in derivatives})
    return tuple([u] * bare.has(u) + sorted(derivatives, key=sp.default_sort_key))


def apply(operator: sp.Expr, function: sp.Expr) -> sp.Expr:
    """The operator applied to a function: an expression in window sums, or in x, y, t, by exact calculus."""
    return operator.xreplace({atom: apply_atom(atom, function) for atom in atoms_of(operator)})


def apply_atom(atom: sp.Expr, function: sp.Expr) -> sp.Expr:
    """One atom applied to a function. Raises ValueError for an atom that has no exact calculus."""
    if atom == u:
        return function
    if isinstance(atom, sp.Derivative):
        return sp.diff(function, *atom.variables)
    if isinstance(atom, Laplacian):
        return _laplacian(function)
    if isinstance(atom, Biharmonic):
        return _laplacian(_laplacian(function))
    if isinstance(atom, GradNormSq):
        return collective.grad_dot(function, function) + sum(sp.diff(function, c) ** 2 for c in (x, y))
    if isinstance(atom, EulerDerivative):
        return collective.euler(function) + sum(c * sp.diff(function, c) for c in (x, y))
    if isinstance(atom, GradNorm1):
        return collective.grad_norm1(function)
    if isinstance(atom, Diffusion):
        return collective.diffusion(function, atom.args[1])
    if isinstance(atom, Dt):
        order = int(atom.args[1]) if len(atom.args) > 1 else 1
        for _ in range(order):
            function = collective.time_derivative(function)
        return function
    raise ValueError(f"no exact calculus for the atom {atom}")


def _laplacian(function: sp.Expr) -> sp.Expr:
    return collective.laplacian(function) + sum(sp.diff(function, c, 2) for c in (x, y))
