"""Expressions evaluated in as few passes over the coordinates as their linearity allows."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import sympy as sp
from jaxtyping import Array, Float

from ..calculus.collective import WindowSum, X, d, t, window_sums
from ..calculus.kinks import KINKED
from .codegen import compile_expressions
from .coordinates import slice_axis
from .lowered import Lowered, contract, lower, over_windows, times_of, windows_of
from .points import Points


class Fused(eqx.Module):
    """Expressions lowered so that window sums which enter linearly are contracted together, in one pass over x.

    F = β + Σ_k α_k s_k, where α and β depend on the other sums alone: those first, then Σ_p c_p Σ_k α_k φ_k at once. XLA's CPU
    back end evaluates a kernel again for every array it returns, so a pass saved is its whole cost saved.
    """

    inner: Lowered  # β, α_1, α_2, … of every expression
    weights: tuple[Any, ...]
    passes: tuple[_Pass, ...] = eqx.field(static=True)
    count: int = eqx.field(static=True)

    def __call__(self, points: Points) -> tuple[Float[Array, " batch"], ...]:
        scalars = self.inner(points)
        totals, x = list(scalars[: self.count]), points.x
        for step, weight in zip(self.passes, self.weights, strict=True):
            count = x.shape[1] - step.width + 1
            if count < 1:
                continue
            factors = [scalars[k][:, None] for k in step.coefficients]
            part = partial(self._partial_sum, points, step, weight, factors)
            totals[step.target] = totals[step.target] + over_windows(x, count, part)
        return tuple(totals)

    def _partial_sum(
        self, points: Points, step: _Pass, weight: Any, factors: list[Array], start: Any, count: int
    ) -> Array:
        """The part of a contraction that belongs to windows start … start + count."""
        x = points.x
        (array,) = step.kernel(*windows_of(x, start, count, step.width), times_of(points)[:, None], *factors)
        return contract(jnp.broadcast_to(array, (x.shape[0], count)), slice_axis(weight, start, count))


class _Pass(NamedTuple):
    """One contraction: into which expression, over windows of what width, with which row factors, of what kernel."""

    target: int
    width: int
    coefficients: tuple[int, ...]
    kernel: Callable[..., list]


@lru_cache(maxsize=256)
def lower_fused(exprs: tuple[sp.Expr, ...], dim: int) -> Fused:
    """Lower expressions that are only evaluated, as few passes over the coordinates as linearity allows."""
    bound = [sp.sympify(e).xreplace({d: sp.Integer(dim)}) for e in exprs]
    rests: list[sp.Expr] = []
    scalars: list[sp.Expr] = []
    passes: list[_Pass] = []
    weights: list[Any] = []
    for target, expr in enumerate(bound):
        linear = _linear_sums(expr)
        rests.append(expr.xreplace(dict.fromkeys(linear, sp.Integer(0))))
        for (width, factors), members in _by_weights(linear).items():
            start = len(bound) + len(scalars)
            scalars += [sp.diff(expr, s) for s in members]
            passes.append(
                _Pass(
                    target,
                    width,
                    tuple(range(start, start + len(members))),
                    _joint_kernel(width, members, dim),
                )
            )
            weights.append(WindowSum(sp.Integer(1), width, factors).weights(dim))
    return Fused(lower((*rests, *scalars), dim), tuple(weights), tuple(passes), len(bound))


def _linear_sums(expr: sp.Expr) -> list[WindowSum]:
    """A large set of window sums in which the expression is jointly affine, costly kernels first."""
    chosen: list[WindowSum] = []
    bent = set().union(*(kink.free_symbols for kink in expr.atoms(*KINKED)))  # slopes say too little there
    for s in sorted(window_sums(expr), key=lambda s: (-sp.count_ops(s.kernel), s.name)):
        if s in bent:
            continue
        slope = sp.diff(expr, s)
        if s not in slope.free_symbols and not any(c in slope.free_symbols for c in chosen):
            chosen.append(s)
    return chosen


def _by_weights(sums: list[WindowSum]) -> dict[tuple, list[WindowSum]]:
    grouped: dict[tuple, list[WindowSum]] = {}
    for s in sums:
        grouped.setdefault((s.width, s.factors), []).append(s)
    return grouped


def _joint_kernel(width: int, members: list[WindowSum], dim: int) -> Callable[..., list]:
    factors = sp.symbols(f"alpha0:{len(members)}", real=True)
    kernel = sp.Add(*(f * s.kernel for f, s in zip(factors, members, strict=True)))
    return compile_expressions((*X[:width], t, *factors), (kernel.xreplace({d: sp.Integer(dim)}),))
