"""What a problem must be for u to be an expectation: read off its symbols, or refused in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import sympy as sp

from pdezoo import (
    PDE,
    Atom,
    Ball,
    Condition,
    Diffusion,
    Drift,
    Dt,
    EulerDerivative,
    GradNorm1,
    GradNormSq,
    Laplacian,
    Points,
    Problem,
    atom_text,
    d,
    r2,
    t,
    u,
    window_sums,
)


class NoExpectation(ValueError):
    """Raised for a problem whose solution is no expectation that is known here; the message says what stands against it."""


@dataclass(frozen=True)
class Steady:
    """a Δu + f(u, x) = g on the ball |x| < radius with u = 0 on the sphere; `linear` where u occurs in Δu alone."""

    radius: float
    diffusion: float
    linear: bool


@dataclass(frozen=True)
class Evolution:
    """±u_t + L u + κ|∇u|² + f(u, x, t) = s g with u given at one time, which is `scale` s times the problem's equation.

    With `backward` it is +u_t, and u is given at the horizon; else −u_t, and u is given at t = 0. L is the generator of a process
    that can be drawn exactly: a Δ + Σ_i D_i ∂_i² + (b + λx)·∇ with constant D and b, or γ Σ_i x_i² ∂_i² + λ x·∇.
    """

    backward: bool
    scale: float
    horizon: float
    diffusion: float
    """a"""
    diffusions: tuple[tuple[Any, float], ...]
    """The atoms that make D, and their coefficients."""
    geometric: float
    """γ"""
    drifts: tuple[tuple[Any, float], ...]
    """The atoms that make b, and their coefficients."""
    euler: float
    """λ"""
    square_gradient: float
    """κ"""
    discount: float | None
    """c where f = c u + f(0) with a constant c; None where f is another function of u."""
    source: float | None
    """s g − f(0) where that is a constant; else None."""
    soft: int | None
    """The number of the soft condition that gives u at that time; None where the ansatz does."""


@dataclass(frozen=True)
class Semilinear:
    """±u_t + L u + f(x, t, u, ∇u) = 0 with u given at one time, which is `scale` s times the problem's equation.

    With `backward` it is +u_t, and u is given at the horizon; else −u_t, and u is given at t = 0. L = Σ_i D_i ∂_i² + b·∇ is the
    generator of dX = b dt + √(2D) dW; all that is left of the operator, its source included, is the driver f.
    """

    backward: bool
    scale: float
    horizon: float
    diffusions: tuple[tuple[Any, float], ...]
    """The atoms that make D, Δu among them, and their coefficients."""
    drifts: tuple[tuple[Any, float], ...]
    """The atoms that make b, x·∇u among them, and their coefficients."""
    soft: int | None
    """The number of the soft condition that gives u at that time; None where the ansatz does."""

    @property
    def homogeneous(self) -> bool:
        """Whether D and b are constant, so that one step of Euler's and Maruyama's scheme is right in law, however long it is."""
        atoms = (atom for atom, _ in (*self.diffusions, *self.drifts))
        return all(
            isinstance(a, Laplacian) or (isinstance(a, Diffusion | Drift) and _is_constant(a.weights))
            for a in atoms
        )


_Read = TypeVar("_Read")


def _remembered(read: Callable[[PDE | Problem], _Read]) -> Callable[[PDE | Problem], _Read]:
    """Keeps what was read off a PDE. A lowered problem has arrays, by which nothing is found again, and is read every time."""
    kept = lru_cache(maxsize=64)(read)

    @wraps(read)
    def reader(pde: PDE | Problem) -> _Read:
        return kept(pde) if isinstance(pde, PDE) else read(pde)

    return reader


@_remembered
def steady(pde: PDE | Problem) -> Steady:
    """Reads a problem on a ball. Raises NoExpectation for any other."""
    _require_atoms(pde, (Laplacian,))
    coefficients = _coefficients(pde)
    if not isinstance(pde.domain, Ball):
        raise NoExpectation(
            f"Green's function is known here for a ball; the domain is a {type(pde.domain).__name__}"
        )
    if pde.conditions:
        raise NoExpectation("u on the sphere is not held by the ansatz, but by a soft condition")
    square = sp.sympify(pde.domain.radius) ** 2
    if sp.simplify(_factor(pde).xreplace({r2: square})) != 0 or _has_offset(pde):
        raise NoExpectation("u = 0 on the sphere is what it needs, and the ansatz is another one")
    diffusion = _number(coefficients[Laplacian(u)], pde, "the coefficient of Δu")
    return Steady(pde.domain.size, diffusion, u not in pde.atoms)


@_remembered
def evolution(pde: PDE | Problem) -> Evolution:
    """Reads a problem in time on all of space. Raises NoExpectation for any other.

    Of a lowered problem, which has no symbol of its source, `source` is None even where it is constant.
    """
    _require_paths(pde)
    _require_atoms(pde, (Dt, Laplacian, Diffusion, Drift, EulerDerivative, GradNormSq))
    numbers = {
        a: _number(c, pde, f"the coefficient of {atom_text(a)}") for a, c in _coefficients(pde).items()
    }
    backward, scale = _direction(numbers)
    return _evolution(pde, {a: scale * n for a, n in numbers.items()}, backward, scale)


def semilinear(equation: PDE | Problem) -> Semilinear:
    """Reads a semilinear problem in time on all of space. Raises NoExpectation for any other."""
    _require_paths(equation)
    first = (Drift, EulerDerivative, GradNormSq, GradNorm1)
    _require_atoms(equation, (Dt, Laplacian, Diffusion, *first))
    slopes = _slopes(equation)
    _require_linear({a: c for a, c in slopes.items() if not isinstance(a, first)})
    number = lambda a: _number(slopes[a], equation, f"the coefficient of {atom_text(a)}")
    backward, scale = _direction({a: number(a) for a in slopes if not isinstance(a, first)})
    constant = lambda a: not (_at_dimension(slopes[a], equation).free_symbols or window_sums(slopes[a]))
    horizon = float(equation.domain.horizon or 0)
    return Semilinear(
        backward=backward,
        scale=scale,
        horizon=horizon,
        diffusions=tuple((a, scale * number(a)) for a in slopes if isinstance(a, Laplacian | Diffusion)),
        drifts=tuple(
            (a, scale * number(a)) for a in slopes if isinstance(a, Drift | EulerDerivative) and constant(a)
        ),
        soft=_given(equation, horizon if backward else 0.0),
    )


def _require_paths(equation: PDE | Problem) -> None:
    """Raises NoExpectation for a problem that has no time, or a domain that paths leave."""
    if equation.domain.horizon is None:
        raise NoExpectation("it follows paths through time, and the problem has none")
    if equation.is_low_dimensional or not _is_all_of_space(equation):
        raise NoExpectation(
            f"its paths go through all of space; the domain is a {type(equation.domain).__name__}, which they would leave"
        )


def _direction(numbers: dict[Any, float]) -> tuple[bool, float]:
    """Whether u is given at the end, by the coefficients of ∂u/∂t and of second derivatives, and what makes that of ∂u/∂t ±1."""
    rates = [n for a, n in numbers.items() if isinstance(a, Dt)]
    if any(isinstance(a, Dt) and a.order != 1 for a in numbers) or not rates:
        raise NoExpectation("it needs the first derivative in time, ∂u/∂t, and no other")
    forwards = [n / rates[0] for a, n in numbers.items() if isinstance(a, Laplacian | Diffusion)]
    if not forwards or min(forwards) < 0 < max(forwards):
        raise NoExpectation("it needs second derivatives in space that are all of one sign")
    backward = forwards[0] > 0
    return backward, (1 if backward else -1) / rates[0]


def _is_all_of_space(pde: PDE | Problem) -> bool:
    """Whether the domain ends nowhere that a path could leave it: it holds points far out along the diagonal and two axes."""
    dim = pde.domain.dim
    with jax.ensure_compile_time_eval():  # also while a step is traced
        axes = jnp.zeros((2, dim)).at[:, 0].set(jnp.array([1.0, -1.0]))
        far = jnp.concatenate([jnp.ones((1, dim)), -jnp.ones((1, dim)), axes])
        return bool(jnp.all(pde.domain.contains(Points(1e6 * far, jnp.zeros(4)))))


def _evolution(pde: PDE | Problem, numbers: dict[Any, float], backward: bool, scale: float) -> Evolution:
    plain = lambda kind: float(sum(n for a, n in numbers.items() if isinstance(a, kind)))
    weighted = lambda kind: tuple((a, n) for a, n in numbers.items() if isinstance(a, kind))
    geometric = sum(n for a, n in weighted(Diffusion) if a.weights == r2)
    others = tuple((a, n) for a, n in weighted(Diffusion) if a.weights != r2)
    for atom, _ in (*others, *weighted(Drift)):
        if not _is_constant(atom.weights):
            raise NoExpectation(
                f"paths with the varying coefficients of {atom_text(atom)} are not drawn exactly here"
            )
    if geometric and (others or plain(Laplacian) or weighted(Drift)):
        raise NoExpectation("a diffusion in proportion to x_i² beside another one is not drawn exactly here")
    discount, source = _linear_rest(pde, numbers, scale)
    return Evolution(
        backward=backward,
        scale=scale,
        horizon=float(pde.domain.horizon or 0),
        diffusion=plain(Laplacian),
        diffusions=others,
        geometric=float(geometric),
        drifts=weighted(Drift),
        euler=plain(EulerDerivative),
        square_gradient=plain(GradNormSq),
        discount=discount,
        source=source,
        soft=_given(pde, float(pde.domain.horizon or 0) if backward else 0.0),
    )


def _linear_rest(
    pde: PDE | Problem, numbers: dict[Any, float], scale: float
) -> tuple[float | None, float | None]:
    """c, and s g − f(0), where f(u) = c u + f(0) is what is left of the operator without derivatives; None where not constant."""
    unknown = sp.Dummy(real=True)
    rest = pde.operators[0].xreplace(dict.fromkeys(numbers, sp.Integer(0))).xreplace({u: unknown})
    slope = _constant(sp.simplify(scale * sp.diff(_at_dimension(rest, pde), unknown)), pde)
    if isinstance(pde, Problem):
        return slope, None
    return slope, _constant(scale * (pde.exact_source - rest.xreplace({unknown: sp.Integer(0)})), pde)


def _constant(value: Any, pde: PDE | Problem) -> float | None:
    value = _at_dimension(value, pde)
    return None if value.free_symbols else float(value)


def _factor(pde: PDE | Problem) -> Any:
    return pde.ansatz.factor if isinstance(pde, PDE) else pde.factor


def _has_offset(pde: PDE | Problem) -> bool:
    return pde.ansatz.offset != 0 if isinstance(pde, PDE) else pde.has_offset


def _given(pde: PDE | Problem, time: float) -> int | None:
    """Finds what gives u at a time: the ansatz (None), or a soft condition, by its number. Raises NoExpectation for neither."""
    when = sp.nsimplify(time, rational=True)
    if sp.simplify(_factor(pde).xreplace({t: when})) == 0:
        return None
    for number, condition in enumerate(pde.conditions):
        if isinstance(condition, Condition) and condition.time == time:
            return number
    raise NoExpectation(f"u at t = {time:g}, from where it would be averaged, is not given")


def _require_atoms(pde: PDE | Problem, kinds: tuple[type[Atom], ...]) -> None:
    beyond = [a for a in pde.atoms if a != u and not isinstance(a, kinds)]
    if beyond:
        raise NoExpectation(f"the operator has {_listed(beyond)}, for which no expectation is known here")
    if len(pde.operators) > 1:
        raise NoExpectation("a gradient-enhanced problem has more residuals than one")


def _coefficients(pde: PDE | Problem) -> dict[Any, Any]:
    """The coefficients of all atoms but u, in which the operator must be linear."""
    found = _slopes(pde)
    _require_linear(found)
    return found


def _slopes(pde: PDE | Problem) -> dict[Any, Any]:
    """The derivatives of the operator by all atoms but u; atoms stand in them as dummies."""
    symbols = {a: sp.Dummy(real=True) for a in pde.atoms}
    operator = (
        pde.operators[0]
        .xreplace({a: s for a, s in symbols.items() if a != u})
        .xreplace({u: symbols.get(u, u)})
    )
    return {a: sp.diff(operator, s) for a, s in symbols.items() if a != u}


def _require_linear(slopes: dict[Any, Any]) -> None:
    bent = [a for a, c in slopes.items() if c.atoms(sp.Dummy)]
    if bent:
        raise NoExpectation(f"the operator is not linear in {_listed(bent)}")


def _number(coefficient: Any, pde: PDE | Problem, what: str) -> float:
    value = _at_dimension(coefficient, pde)
    if value.free_symbols or window_sums(value):
        raise NoExpectation(f"{what} varies, and paths with it are not drawn exactly here")
    return float(value)


def _at_dimension(coefficient: Any, pde: PDE | Problem) -> Any:
    return sp.sympify(coefficient).xreplace({d: sp.Integer(pde.domain.dim)})


def _is_constant(weights: Any) -> bool:
    """Whether weights of coordinates depend on neither x nor t."""
    kernels = (s.kernel for s in window_sums(weights))
    return all(not k.free_symbols - {d} for k in kernels) and not weights.has(t)


def _listed(atoms: Iterable[Any]) -> str:
    return ", ".join(atom_text(a) for a in atoms)
