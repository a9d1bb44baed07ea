"""Small problems and functions with known properties, shared by the tests of the zoo and of the solvers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp

import pdezoo
from pdezoo import Points, X, t


def few(values: Iterable[Any], keep: int = 1) -> list[Any]:
    """The parameters of a test: the first `keep` are tried by default, the others among the slow tests."""
    slow = lambda value: pytest.param(
        *(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow
    )
    return [value if place < keep else slow(value) for place, value in enumerate(values)]


def small(name: str, seed: int = 0) -> Any:
    """The registered problem at ten dimensions, or at its own where it has one."""
    try:
        return pdezoo.make(name, dim=10, seed=seed)
    except pdezoo.BadDimension:
        return pdezoo.make(name, seed=seed)


@dataclass(frozen=True)
class Sum:
    """Σ_p c_p kernel(x_p, …): coefficients are those of `seed`, or all 1."""

    kernel: Any
    width: int
    seed: int | None = None

    def symbol(self) -> Any:
        """The library's window sum."""
        coefficients = () if self.seed is None else pdezoo.Coefficients(self.seed)
        return pdezoo.window_sum(self.kernel, self.width, coefficients)

    def written_out(self, x: tuple[Any, ...]) -> Any:
        """The same sum, term by term, with nothing of the library but the coefficients' definition."""
        count = max(0, len(x) - self.width + 1)
        drawn = (
            np.ones(count)
            if self.seed is None
            else np.random.RandomState([self.seed, 0]).standard_normal(count)
        )
        terms = [sp.Rational(*float(c).as_integer_ratio()) * self._term(x[p:]) for p, c in enumerate(drawn)]
        return sp.Add(*terms)

    def _term(self, x: tuple[Any, ...]) -> Any:
        return sp.sympify(self.kernel).xreplace(dict(zip(X, x[: self.width], strict=False)))


@dataclass(frozen=True)
class Function:
    """F(s_0, …, t) of window sums, in the library's form and written out."""

    outer: Any  # an expression in S[0], S[1], … and t
    sums: tuple[Sum, ...]

    def collective(self) -> Any:
        """As the library represents it."""
        return sp.sympify(self.outer).xreplace({S[k]: s.symbol() for k, s in enumerate(self.sums)})

    def written_out(self, x: tuple[Any, ...]) -> Any:
        """An ordinary expression in x and t."""
        return sp.sympify(self.outer).xreplace({S[k]: s.written_out(x) for k, s in enumerate(self.sums)})


S = tuple(sp.Symbol(f"S{k}", real=True) for k in range(4))
"""Placeholders for window sums in a Function's outer expression."""

TWO_BODY = sp.sin(X[0] + sp.cos(X[1]) + X[1] * sp.cos(X[0]))
THREE_BODY = sp.exp(X[0] * X[1] * X[2])
SQUARE = Sum(X[0] ** 2, 1)

NAMED = {
    "two-body": Function((1 - S[0]) * S[1], (SQUARE, Sum(TWO_BODY, 2, seed=1))),
    "three-body": Function((1 - S[0]) * S[1], (SQUARE, Sum(THREE_BODY, 3, seed=2))),
    "evolving": Function(
        sp.exp(-t * S[0]) * sp.tanh(S[1]) + sp.sin(S[0] * S[1] + t), (SQUARE, Sum(X[0] * X[1], 2, seed=3))
    ),
    "three sums": Function(
        S[0] * sp.cos(S[1] * t) + S[2] ** 2 * S[1],
        (Sum(sp.sin(X[0]) * t, 1, seed=4), Sum(X[0] * X[1] ** 2, 2, seed=5), Sum(X[0] * X[1] * X[2], 3)),
    ),
}
"""The few-body problems of the papers and functions that use every part of the chain rule."""


WEIGHTS = {
    "x": pdezoo.window_sum(X[0]),
    "one": pdezoo.d,
    "coefficients": pdezoo.window_sum(1, coefficients=pdezoo.Coefficients(4)),
    "towards one": pdezoo.window_sum(1 - X[0]),
    "everything": 3 * pdezoo.d
    - pdezoo.r2 / sp.sqrt(pdezoo.d)
    + t * pdezoo.window_sum(sp.sin(X[0] + t), coefficients=pdezoo.Coefficients(5)),
}
"""Weights b_i(x_i, t) of single coordinates, each as the sum over coordinates that stands for them."""


def mixed(dim: int, wide: bool = False, time: bool = False) -> Any:
    """Δu + |∇u|² + x·∇u + u³ (+ u_t) = g with an ansatz whose two parts both vary, so that every product rule is used.

    `wide`: the offset has windows of two coordinates.
    """
    waves = pdezoo.window_sum(sp.sin(X[0]), coefficients=pdezoo.Coefficients(3))
    offset = waves + (pdezoo.window_sum(X[0] * sp.cos(X[1])) if wide else 0) + t / 2
    factor = (1 - pdezoo.r2 / (2 * pdezoo.d)) * (1 + t)
    u = pdezoo.u
    operator = pdezoo.Laplacian(u) + pdezoo.GradNormSq(u) + pdezoo.EulerDerivative(u) + u**3
    still = {t: sp.Integer(0)}
    return pdezoo.PDE(
        operator=operator + (pdezoo.Dt(u) if time else 0),
        domain=pdezoo.Gaussian(dim, horizon=1.0) if time else pdezoo.Gaussian(dim),
        ansatz=pdezoo.Ansatz(
            factor if time else factor.xreplace(still), offset if time else offset.xreplace(still)
        ),
        solution=pdezoo.Exact(waves),
        name="mixed",
    )


def points(dim: int, count: int = 4, seed: int = 0, time: bool = False) -> Points:
    """Float32 points of size one, and times in (0, 1)."""
    rng = np.random.default_rng([dim, seed])
    times = jnp.asarray(rng.uniform(0.1, 0.9, count), jnp.float32) if time else None
    return Points(jnp.asarray(rng.uniform(-0.9, 0.9, (count, dim)), jnp.float32), times)
