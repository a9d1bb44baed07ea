"""Independent definitions of every atom: by SymPy's own differentiation, and by nested automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import sympy as sp

from ..calculus import atoms, collective
from ..lowering.codegen import compile_expressions
from ..lowering.points import Points


def explicit_atom(atom: Any, u: Any, x: tuple[Any, ...]) -> Any:
    """An atom applied to an explicit u(x_0, …, t) by SymPy's differentiation: the definition, not the fast calculus."""
    space = x if not u.has(atoms.x, atoms.y) else (atoms.x, atoms.y)
    if isinstance(atom, atoms.Laplacian):
        return _explicit_laplacian(u, space)
    if isinstance(atom, atoms.Biharmonic):
        return _explicit_laplacian(_explicit_laplacian(u, space), space)
    if isinstance(atom, atoms.GradNormSq):
        return sp.Add(*(sp.diff(u, c) ** 2 for c in space))
    if isinstance(atom, atoms.EulerDerivative):
        return sp.Add(*(c * sp.diff(u, c) for c in space))
    if isinstance(atom, atoms.GradNorm1):
        return sp.Add(*(sp.Abs(sp.diff(u, c)) for c in space))
    if isinstance(atom, atoms.Diffusion):
        return _explicit_diffusion(u, atom.args[1], x)
    if isinstance(atom, atoms.Dt):
        return sp.diff(u, collective.t, int(atom.args[1]) if len(atom.args) > 1 else 1)
    return atoms.apply_atom(atom, u)


def _explicit_laplacian(u: Any, space: tuple[Any, ...]) -> Any:
    """Σ ∂²u/∂x_i², one derivative at a time: given two at once, SymPy also factors the result, which takes most of the time."""
    return sp.Add(*(sp.diff(sp.diff(u, c), c) for c in space))


def _explicit_diffusion(u: Any, weights: Any, x: tuple[Any, ...]) -> Any:
    """Σ w_i ∂²u/∂x_i², the weights given as the window sum Σ_i w_i."""
    second = (sp.diff(u, c, 2) for c in x)
    return sp.Add(*(w * c for w, c in zip(_terms(weights, x), second, strict=True)))


def _terms(total: Any, x: tuple[Any, ...]) -> list[Any]:
    """The terms w_i of Σ_i w_i, a linear combination of window sums of single coordinates, coefficients exact."""
    terms = [sp.Integer(0)] * len(x)
    for s in collective.window_sums(total):
        for i in range(len(x)):
            exact = sp.Mul(*(sp.Rational(*float(f[i]).as_integer_ratio()) for f in s.factor_values(len(x))))
            terms[i] += (
                sp.diff(total, s).xreplace({collective.d: len(x)})
                * exact
                * s.kernel.xreplace({collective.X[0]: x[i]})
            )
    return terms


def nested_autodiff(
    value: Callable[[Points], Any], points: Points, wanted: tuple[Any, ...]
) -> dict[Any, Any]:
    """Every atom of a function `Points -> (B,)` by nesting jax.jacfwd: O(d²) and more, the reference for everything else."""

    def single(x: Any, time: Any) -> Any:
        return value(Points(x[None], None if points.t is None else time[None]))[0]

    time = jnp.zeros(points.x.shape[0], points.x.dtype) if points.t is None else points.t
    return {a: jax.vmap(_autodiff_atom(a, single))(points.x, time) for a in wanted}


def _autodiff_atom(atom: Any, f: Callable[..., Any]) -> Callable[..., Any]:
    if isinstance(atom, atoms.Laplacian):
        return lambda x, s: jnp.trace(jax.hessian(f)(x, s))
    if isinstance(atom, atoms.Biharmonic):
        return _forward_laplacian(_forward_laplacian(f))
    if isinstance(atom, atoms.GradNormSq):
        return lambda x, s: jnp.sum(jax.grad(f)(x, s) ** 2)
    if isinstance(atom, atoms.EulerDerivative):
        return lambda x, s: x @ jax.grad(f)(x, s)
    if isinstance(atom, atoms.GradNorm1):
        return lambda x, s: jnp.sum(jnp.abs(jax.grad(f)(x, s)))
    if isinstance(atom, atoms.Diffusion):
        return lambda x, s: _axis_weights(atom.args[1], x, s) @ jnp.diag(jax.hessian(f)(x, s))
    if isinstance(atom, atoms.Dt):
        order = int(atom.args[1]) if len(atom.args) > 1 else 1
        return _repeat(f, [_in_time] * order)
    if isinstance(atom, sp.Derivative):
        places = {atoms.x: _in_space(0), atoms.y: _in_space(1), collective.t: _in_time}
        return _repeat(f, [places[c] for c in atom.variables])
    return f


def _forward_laplacian(f: Callable[..., Any]) -> Callable[..., Any]:
    """Δf axis by axis, forward over forward: can be applied to itself."""

    def second(x: Any, s: Any, axis: Any) -> Any:
        along = lambda g: lambda q: jax.jvp(g, (q,), (axis,))[1]
        return along(along(lambda q: f(q, s)))(x)

    return lambda x, s: jnp.sum(jax.vmap(lambda axis: second(x, s, axis))(jnp.eye(x.shape[0], dtype=x.dtype)))


def _axis_weights(total: Any, x: Any, s: Any) -> Any:
    """The terms w_i of Σ_i w_i, a linear combination of window sums of single coordinates, at one point."""
    weights = jnp.zeros_like(x)
    for window in collective.window_sums(total):
        (kernel,) = compile_expressions((collective.X[0], collective.t), (window.kernel,))(x, s)
        coefficients = 1 if (c := window.weights(x.shape[0])) is None else jnp.asarray(c, x.dtype)
        multiple = float(sp.diff(total, window).xreplace({collective.d: sp.Integer(x.shape[0])}))
        weights = weights + multiple * coefficients * kernel
    return weights


def _repeat(f: Callable[..., Any], steps: list[Callable]) -> Callable[..., Any]:
    for step in steps:
        f = step(f)
    return f


def _in_time(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, s: jax.jvp(lambda q: f(x, q), (s,), (jnp.ones_like(s),))[1]


def _in_space(axis: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return lambda f: lambda x, s: jax.jvp(lambda q: f(q, s), (x,), (jnp.zeros_like(x).at[axis].set(1),))[1]
