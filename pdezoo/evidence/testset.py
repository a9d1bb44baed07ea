"""The fixed test set of an instance, and errors measured on it.

Points are drawn from the domain's measure with a key that is derived from the problem's fingerprint. Each point has its own
key, so that the set does not depend on how it is cut into chunks, and the array of all points (size × d) is never held. The
generator and the number format are named here, so that the points are the same under all settings of JAX. Exact values are
computed once, in float64 at the float32 points: at high d, differences that matter lie below float32's resolution.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp

from ..calculus.collective import X, t, window_sum, window_sums
from ..calculus.expressions import as_whole
from ..domain import Domain
from ..identity import canonical_value
from ..lowering.lowered import lower
from ..lowering.points import Points, in_float64, usual_arithmetic
from ..lowering.prng import threefry_key
from ..pde import PDE
from ..solution import Formula, Reference

_ELEMENTS = 2**22  # of x in a chunk: 16 MB in float32
_GENERATOR = "threefry2x32"
_SAMPLE = 8  # points at either end of the set by which a cache knows that its values belong to it


class TestSet:
    """`size` fixed test points of the problem `pde` with exact values; `cache` is a folder that keeps the values on disk.

    A problem whose solution is known at one point only has that one test point. Raises ValueError where `size` is no whole
    number of at least 1.

    `errors(predict)` gives relative L2 and L1 errors of a prediction: √Σ(û−u)²/Σu² and Σ|û−u|/Σ|u|. Where the problem
    declares a probe point, it also gives |û−u|/|u| there, as `relative_point`.
    """

    __test__ = False  # not a pytest class

    def __init__(self, pde: PDE, size: int = 20_000, cache: Path | None = None):
        size = as_whole(size, "the size of a test set", least=1)
        alone = isinstance(pde.solution, Reference) and pde.solution.at is not None
        self.pde, self.size, self.cache = pde, 1 if alone else size, cache
        self.rows = max(1, min(size, _ELEMENTS // pde.dim))

    def head(self, size: int) -> TestSet:
        """The test set of this one's first `size` points, with their values where they are known; itself if it has no more."""
        if size >= self.size:
            return self
        part = TestSet(self.pde, size, self.cache)
        if "table" in vars(self):
            part.table = {name: values[:size] for name, values in self.table.items()}
        return part

    def chunks(self) -> Iterator[tuple[slice, Points]]:
        """Yields the test points chunk by chunk, float32: a slice of the test set's rows, and the points of these rows.

        All chunks have the same shape, so the last one may repeat points of the one before.
        """
        if isinstance(self.pde.solution, Reference) and self.pde.solution.at is not None:
            yield slice(0, 1), single_point(self.pde, self.pde.solution.at)
            return
        for start in range(0, self.size, self.rows):
            first = min(start, self.size - self.rows)  # every chunk has the same shape: one compilation
            yield slice(first, first + self.rows), self._drawn(self.rows, first)

    def _drawn(self, rows: int, first: int) -> Points:
        """Points `first` … `first + rows` of the set, whatever the settings of JAX: they depend on the fingerprint alone."""
        with (
            jax.default_prng_impl(_GENERATOR),
            jax.threefry_partitionable(True),
            jax.enable_x64(False),
            jax.default_matmul_precision(None),
            usual_arithmetic(),
            jax.disable_jit(False),
        ):
            key = threefry_key(int(self.pde.fingerprint[:8], 16))
            return _draw(self.pde.domain, rows, key, jnp.int32(first))

    def predict(self, function: Callable[[Points], Any]) -> np.ndarray:
        """Evaluates a function `Points -> (B,)` at all test points; returns float64 of shape (size,)."""
        values = np.empty(self.size)
        for where, points in self.chunks():
            values[where] = np.asarray(function(points), np.float64)
        return values

    def errors(self, predict: Callable[[Points], Any]) -> dict[str, float]:
        """Computes the errors of a prediction `Points -> (B,)`, by name.

        They are those of `errors_of` and, where the problem declares a probe point, `relative_point` there: absolute ones where
        the solution is 0.
        """
        return self.errors_of(self._predicted(predict)) | self.point_error(predict)

    def _predicted(self, predict: Callable[[Points], Any]) -> np.ndarray:
        """A prediction at all points.

        Where the table is not known either, both come of one pass, since drawing the points is the dearest part.
        """
        if "table" not in vars(self) and (stored := self._stored()) is not None:
            self.table = stored
        if "table" in vars(self):
            return self.predict(predict)
        prediction = np.empty(self.size)

        def look(where: slice, points: Points) -> None:
            prediction[where] = np.asarray(predict(points), np.float64)

        self.table = self._made(look)
        return prediction

    def point_error(self, predict: Callable[[Points], Any]) -> dict[str, float]:
        """Computes `relative_point`, the error of a prediction at the problem's probe point; no error where it declares none."""
        if self.pde.probe is None:
            return {}
        (value,) = np.asarray(predict(single_point(self.pde, self.pde.probe)), np.float64)
        return {"relative_point": float(abs(value - self.probed) / (abs(self.probed) or 1.0))}

    def errors_of(self, values: np.ndarray) -> dict[str, float]:
        """Computes the errors of predicted values at all test points, shape (size,).

        They are `relative_l2`, `relative_l1`, the mean of (û − u)² as `mean_square`, and, where there is more than one point and
        an error, `test_set_error`: the relative standard error of `relative_l2` that comes of measuring at `size` points only.
        Where the solution is 0 at all of them, nothing is relative to it: they are the root mean square and the mean of |û|.
        """
        difference, exact = values - self.exact, self.exact
        size = exact if exact.any() else np.ones_like(exact)
        errors = {
            "relative_l2": float(np.linalg.norm(difference) / np.linalg.norm(size)),
            "relative_l1": float(np.abs(difference).sum() / np.abs(size).sum()),
            "mean_square": float(np.mean(difference**2)),
        }
        if self.size > 1 and 0 < errors["relative_l2"] < np.inf:
            errors["test_set_error"] = sampling_error(difference, size)
        return errors

    @property
    def exact(self) -> np.ndarray:
        """u* at the test points, float64, shape (size,)."""
        return self.table["exact"]

    @cached_property
    def probed(self) -> float:
        """u* at the problem's probe point. Raises ValueError where it declares none."""
        if self.pde.probe is None:
            raise ValueError(f"{self.pde.name} declares no probe point")
        point = single_point(self.pde, self.pde.probe)
        if isinstance(self.pde.solution, Reference):
            return float(self.pde.solution.formula.values(point)[0])
        lowered = lower((self.pde.exact,), self.pde.dim)
        return float(in_float64(lambda p: lowered(p)[0], point)[0])

    @cached_property
    def table(self) -> dict[str, np.ndarray]:
        """The columns of `columns` at the test points by name, float64 of shape (size,), computed or read from the cache."""
        stored = self._stored()
        return self._made() if stored is None else stored

    def _stored(self) -> dict[str, np.ndarray] | None:
        """The table as the cache has it; None without a cache, and where it does not have it."""
        exprs = columns(self.pde)
        path = self._cache_file(exprs)
        return None if path is None else _load(path, tuple(exprs), self.size)

    def _made(
        self, look: Callable[[slice, Points], None] = lambda where, points: None
    ) -> dict[str, np.ndarray]:
        """Computes the table, and stores it where there is a cache; `look` is shown every chunk of points on the way."""
        exprs = columns(self.pde)
        values = self._compute(exprs, look)
        path = self._cache_file(exprs)
        if path is not None:
            _save(path, values)
        return values

    def _compute(self, exprs: dict[str, Any], look: Callable[[slice, Points], None]) -> dict[str, np.ndarray]:
        formulas = {k: e for k, e in exprs.items() if isinstance(e, Formula)}
        symbolic = {k: e for k, e in exprs.items() if k not in formulas}
        lowered = lower(tuple(symbolic.values()), self.pde.dim)
        function = jax.jit(lambda points: jnp.stack(lowered(points)))
        values = {k: np.empty(self.size) for k in exprs}
        for where, points in self.chunks():
            for name, row in zip(symbolic, in_float64(function, points), strict=True):
                values[name][where] = row
            for name, formula in formulas.items():
                values[name][where] = formula.values(points)
            look(where, points)
        return values

    def _cache_file(self, exprs: dict[str, Any]) -> Path | None:
        if self.cache is None:
            return None
        return (
            Path(self.cache) / f"test-{self.pde.fingerprint[:24]}-{self.size}-{self._digest(exprs)[:24]}.npz"
        )

    def _digest(self, exprs: dict[str, Any]) -> str:
        """SHA-256 of what the table is made of: points at both ends of the set, and the content of every expression.

        The content of a formula is its name, and its values at those points.
        """
        formulas = [e for e in exprs.values() if isinstance(e, Formula)]
        digest = hashlib.sha256(json.dumps(canonical_value(exprs), sort_keys=True).encode())
        if isinstance(self.pde.solution, Reference) and self.pde.solution.at is not None:
            ends = [single_point(self.pde, self.pde.solution.at)]
        else:
            rows = min(_SAMPLE, self.size)
            ends = [self._drawn(rows, first) for first in (0, self.size - rows)]
        for array in (*jax.tree.leaves(ends), *(f.values(points) for f in formulas for points in ends)):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def columns(pde: PDE) -> dict[str, Any]:
    """The expressions that are tabulated on a test set, by name.

    They are `exact`, the `factor` and `offset` of the ansatz, `affine 0`, `affine 1`, … (functions of which linear
    combinations are the affine null predictors), and `null NAME` for every null predictor that the problem declares.
    """
    affine = {f"affine {k}": e for k, e in enumerate(_coordinate_features(pde))}
    declared = {f"null {name}": e for name, e in pde.exact_nulls.items()}
    exact = pde.solution.formula if isinstance(pde.solution, Reference) else pde.exact
    base = {"exact": exact, "factor": pde.ansatz.factor, "offset": pde.ansatz.offset}
    return base | affine | declared


def sampling_error(difference: np.ndarray, size: np.ndarray) -> float:
    """Computes the standard error of ln √(Σ difference² / Σ size²) over points drawn independently, shapes (B,).

    It is the bootstrap's, to first order in 1/B: the root mean square of what each point adds to the logarithm, over √B (the
    infinitesimal jackknife, Efron 1981), without the resampling.
    """
    parts = [value**2 / np.mean(value**2) for value in (difference, size)]
    influence = (parts[0] - parts[1]) / 2
    return float(np.sqrt(np.mean(influence**2) / len(influence)))


def single_point(pde: PDE, at: tuple[float, float]) -> Points:
    """A batch of one point: `at` is (x, t), where x is the value of all d coordinates."""
    position, time = at
    return Points(jnp.full((1, pde.dim), position, jnp.float32), jnp.full(1, time, jnp.float32))


def _coordinate_features(pde: PDE) -> list[Any]:
    """Linear functions of x and t whose span contains the best affine predictor.

    For a low-dimensional problem they are its coordinates. For a solution made of window sums they are Σ_p c_p x_{p+j}, for
    every place j in every window. Where the measure is symmetric under sign flips of coordinates, that is no restriction:
    the weight that least squares gives to x_i depends only on the windows that hold i, through the coefficients c_{i−j}.
    """
    from ..calculus.atoms import x, y

    if pde.exact is None:
        return [window_sum(X[0]), t]
    expr, sums = pde.exact, window_sums(pde.exact)
    shifted = {window_sum(X[j], s.width, s.factors) for s in sums for j in range(s.width)}
    plain = {c for c in (x, y, t) if expr.has(c) or any(s.kernel.has(c) for s in sums)}
    return sorted(shifted | plain, key=sp.default_sort_key)


@partial(jax.jit, static_argnums=(0, 1))
def _draw(domain: Domain, rows: int, key: jax.Array, first: jax.Array) -> Points:
    keys = jax.vmap(partial(jax.random.fold_in, key))(first + jnp.arange(rows))
    return jax.tree.map(lambda a: a[:, 0], jax.vmap(lambda k: domain.sample(k, 1))(keys))


def _load(path: Path, names: tuple[str, ...], size: int) -> dict[str, np.ndarray] | None:
    """Reads the columns that an earlier process stored. Returns None where there is no such file or it is not usable."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            values = {name: stored[name] for name in names}
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile):
        return None
    usable = all(v.shape == (size,) and np.isfinite(v).all() for v in values.values())
    return values if usable else None


def _save(path: Path, values: dict[str, np.ndarray]) -> None:
    """Stores the columns by an atomic rename. A folder that cannot be written to is no error: the cache only saves time."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(temporary, allow_pickle=False, **values)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
