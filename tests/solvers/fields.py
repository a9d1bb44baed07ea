"""Random double-precision fields, and estimates on them over many keys, shared by the tests of the estimators."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from toys import mixed, points

import solvers
from pdezoo import EulerDerivative, GradNormSq, Laplacian, Points, nested_autodiff, u
from solvers import MLP, Field, Network

SPACE = (u, Laplacian(u), GradNormSq(u), EulerDerivative(u))
TRACES = (Laplacian(u), GradNormSq(u))


@dataclass(frozen=True)
class Plain(Network):
    """The same function as an MLP, with its structure hidden: any function of the coordinates."""

    inner: MLP

    def init(self, key: Any, dim: int, has_time: bool) -> Any:
        """The MLP's."""
        return self.inner.init(key, dim, has_time)

    def value(self, params: Any, at: Points) -> Any:
        """The MLP's."""
        return self.inner.value(params, at)


SMALL = MLP(width=6, depth=3)


@lru_cache(maxsize=64)
def field_at(
    dim: int, network: Network = SMALL, wide: bool = False, time: bool = False
) -> tuple[Field, Points]:
    """A field with random float64 weights and biases, and three float64 points."""
    problem = mixed(dim, wide, time).lower()
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), dim, time))
    rng = np.random.default_rng(dim)
    fill = lambda a: rng.standard_normal(a.shape) / np.sqrt(a.shape[0] if a.ndim > 1 else 4)
    at = jax.tree.map(lambda a: np.asarray(a, np.float64), points(dim, count=3, time=time))
    return Field(problem, jax.tree.map(fill, shapes), network), at


def reference(field: Field, at: Points, atoms: tuple) -> dict[Any, np.ndarray]:
    """Nested autodiff of the field's value: knows nothing of jets, ridges or traces."""
    return _evaluate(lambda f, p: nested_autodiff(f.value, p, atoms), atoms, field, at, double=True)


def estimates(estimator: Any, field: Field, at: Points, atoms: tuple, seeds: Any) -> dict[Any, np.ndarray]:
    """Every atom's estimates, (seeds, B), one row for each seed's key, in double precision."""

    def every(f: Field, p: Points, s: Any) -> dict:
        rows = jax.vmap(lambda seed: _listed(estimator(f, atoms, p, jax.random.key(seed)), atoms))(s)
        return dict(zip(atoms, rows, strict=True))

    return _evaluate(every, atoms, field, at, np.asarray(seeds), double=True)


def in_float32(estimator: Any, field: Field, at: Points, atoms: tuple) -> dict[Any, np.ndarray]:
    """Estimates in single precision, as training has them."""
    narrow = jax.tree.map(lambda a: np.asarray(a, np.float32), (field, at))
    return _evaluate(lambda f, p: estimator(f, atoms, p, jax.random.key(0)), atoms, *narrow, double=False)


def _evaluate(function: Any, atoms: tuple, *arguments: Any, double: bool) -> dict[Any, np.ndarray]:
    with jax.enable_x64(double):
        values = jax.jit(lambda *a: _listed(function(*a), atoms))(*arguments)
        return dict(zip(atoms, map(np.asarray, values), strict=True))


def _listed(values: dict, atoms: tuple) -> list:
    """A list, since JAX sorts the keys of a dictionary and atoms have no order."""
    return [values[a] for a in atoms]


def estimator_of(name: str, samples: int | None = None) -> Any:
    """The estimator of a registered solver, with `samples` where it takes a number of them."""
    estimator = solvers.make(name).estimator
    return replace(estimator, samples=samples) if samples and hasattr(estimator, "samples") else estimator
