"""A solver of u_t = Δu + f(u), u(0, x) = 5/(10 + 2|x|²), on the whole of R^d × [0, T], by the radial equation.

In s = |x|² the equation is u_t = 4 s u_ss + 2 d u_s + f(u).  Collocation for u itself loses digits as d grows
(1e-7 of the Sine-Gordon value at d = 10⁵).  So it is solved for the *defect* of the mean-field formula
m = Φ_t(V), V = P_t g, which is known to rounding.  From m_t = f(m) + Φ'ΔV and Δm = Φ'ΔV + Φ''|∇V|² the defect
e = u - m satisfies, exactly,

    e_t = Δe + f(m + e) - f(m) + Φ_t''(V) · 4 s V_s²,    e = 0 at t = 0 and as s → ∞,

and max |e|/u falls from 1e-3 (d = 2) like d^-2, so that ten digits of e give u to rounding.

Space: Chebyshev-Lobatto collocation in y = (s - L)/(s + L), L = 1.3 √d.  The Laplacian becomes polynomial,

    Δ = (1-y)²/L · [(1 - y²) ∂_yy + (d - 2(1 + y)) ∂_y],

degenerate at y = -1, where no boundary condition is needed; e = 0 is imposed at y = 1, that is s = ∞.
Time: Radau IIA collocation (L-stable), the steps growing geometrically from a fraction of 1/d, since the
layer |x|² ≲ 5 evolves on the time scale 1/d; its collocation polynomial is the interpolant in time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from numpy.polynomial.legendre import legvander
from numpy.typing import ArrayLike
from scipy.special import roots_jacobi

from pdezoo.references.mean_field import (
    Array,
    Reaction,
    check_point,
    gaussian_average,
    gaussian_average_slope,
    mean_field,
)

_ROUNDING = 5e-15  # relative rounding of the mean-field part: 1.7e-15 measured against 30 digits
_CORRECTIONS = 5  # each gains three digits or more: e is small, and f'(m) varies little within a step
_POINTS = 4096  # points a block in evaluation


@dataclass(frozen=True)
class Resolution:
    """The resolution of a solution: Chebyshev degree in space, Radau stages of a time step, number of time steps."""

    degree: int
    stages: int
    steps: int


COARSE = Resolution(degree=80, stages=7, steps=24)
FINE = Resolution(degree=96, stages=8, steps=24)


@dataclass(frozen=True, eq=False)
class Defect:
    """The defect e(s, t), s = |x|², as a piecewise polynomial in time with values in Chebyshev polynomials.

    ``coefficients[step, time degree, space degree]`` multiply Legendre polynomials on the time step, between two of the
    ``times``, and Chebyshev polynomials in y = (s - L)/(s + L), where L is ``length``.
    """

    length: float
    times: Array
    coefficients: Array

    def __call__(self, x_norm_sq: Array, t: Array) -> Array:
        """Evaluates e at points given by |x|² and t, both of shape (N,)."""
        out = np.empty(t.size)
        for first in range(0, t.size, _POINTS):
            block = slice(first, first + _POINTS)
            out[block] = self._block(x_norm_sq[block], t[block])
        return out

    def _block(self, s: Array, t: Array) -> Array:
        last = len(self.times) - 2
        step = np.clip(np.searchsorted(self.times, t, side="right") - 1, 0, last)
        left, right = self.times[step], self.times[step + 1]
        time = legvander((2 * t - left - right) / (right - left), self.coefficients.shape[1] - 1)
        space = chebvander((s - self.length) / (s + self.length), self.coefficients.shape[2] - 1)
        out = np.empty(t.size)
        for k in np.unique(step):
            here = step == k
            out[here] = np.sum((time[here] @ self.coefficients[k]) * space[here], axis=1)
        return out


@dataclass(frozen=True, eq=False)
class RadialReference:
    """The solution u(t, x) of u_t = Δu + f(u), u(0, x) = 5/(10 + 2|x|²), on R^dim × [0, horizon].

    ``error_bound`` bounds |value - u|/u over |x|² ≤ 100 max(dim, 10), 0 ≤ t ≤ horizon, and so |value - u|
    too, as u < 1 up to t = 0.3.  It is the largest difference from a solution of lower degree and order, on a
    dense sample of the domain, plus the rounding of the mean-field part: a measurement, not a proof.
    Farther out the bound holds for the absolute error.
    """

    dim: int
    reaction: Reaction
    horizon: float
    error_bound: float
    defect: Defect

    def value(self, x_norm_sq: ArrayLike, t: ArrayLike) -> Array:
        """Evaluates u at |x|² = ``x_norm_sq`` and time ``t``, in float64; shapes broadcast.

        Raises ValueError for a negative |x|² or a time outside [0, horizon].
        """
        square, time = check_point(self.dim, x_norm_sq, t)
        if np.any(time > self.horizon):
            raise ValueError(f"expected times up to {self.horizon}, got {time.max()}; try a longer horizon")
        correction = self.defect(square.ravel(), time.ravel()).reshape(square.shape)
        return mean_field(self.dim, self.reaction, square, time) + correction


@lru_cache(maxsize=64)
def radial_solution(dim: int, reaction: Reaction, horizon: float = 0.3) -> RadialReference:
    """Solve u_t = Δu + f(u), u(0, x) = 5/(10 + 2|x|²) for f = ``HEAT`` or ``SINE``, in about 0.3 s.

    The same solver serves dimensions from 1 to 10⁷.  From d = 10⁵ on the mean-field formula alone is good
    to 1e-13 at x = 0, t = 0.3, but over the whole domain only to 1.6 d^-2; the defect is the difference.

    Raises ValueError for dim < 1 or a horizon outside (0, 1].
    """
    check_point(dim, 0.0, 0.0)
    if not 0 < horizon <= 1:
        raise ValueError(f"expected a horizon in (0, 1], got {horizon}")
    fine, coarse = (solve_defect(dim, reaction, horizon, resolution) for resolution in (FINE, COARSE))
    s, t = (a.ravel() for a in np.meshgrid(*_sample(dim, horizon)))
    gap = np.abs(fine(s, t) - coarse(s, t)) / mean_field(dim, reaction, s, t)
    return RadialReference(dim, reaction, horizon, float(gap.max()) + _ROUNDING, fine)


def _sample(dim: int, horizon: float) -> tuple[Array, Array]:
    """The values of |x|² and of t at which two resolutions are compared, from below the layer's scales to the far field."""
    s = np.concatenate([[0.0], np.geomspace(1e-2, 100.0 * max(dim, 10), 60)])
    return s, np.geomspace(1e-3 * horizon / dim, horizon, 50)


def solve_defect(dim: int, reaction: Reaction, horizon: float, resolution: Resolution) -> Defect:
    """Solves the equation of the defect (see the module) at one resolution, step by step, from e = 0 at t = 0."""
    length = 1.3 * np.sqrt(dim)
    y, operator = _radial_laplacian(dim, length, resolution.degree)
    nodes, integrate = _radau(resolution.stages)
    times = _graded_times(dim, horizon, resolution.steps)
    s = length * (1 + y[1:]) / (1 - y[1:])
    values = np.zeros((resolution.steps, resolution.stages + 1, resolution.degree + 1))
    for k, (start, end) in enumerate(pairwise(times)):
        if k:
            values[k, 0] = values[k - 1, -1]
        mean, source = _forcing(dim, reaction, s, start + nodes[1:, None] * (end - start))
        integrals = (end - start) * integrate
        values[k, 1:, 1:] = _radau_step(values[k, 0, 1:], operator, integrals, reaction, mean, source)
    to_time = np.linalg.inv(legvander(2 * nodes - 1, resolution.stages))
    to_space = np.linalg.inv(chebvander(y, resolution.degree))
    return Defect(length, times, to_time @ values @ to_space.T)


def _forcing(dim: int, reaction: Reaction, s: Array, t: Array) -> tuple[Array, Array]:
    """The mean field m = Φ_t(V) and its residual Φ_t''(V) |∇V|², |∇V|² = 4 s V_s², at all pairs of s and t."""
    average, slope = gaussian_average(dim, s, t), gaussian_average_slope(dim, s, t)
    return reaction.flow(average, t), reaction.curvature(average, t) * 4 * s * slope**2


def _radau_step(
    start: Array, operator: Array, integrals: Array, reaction: Reaction, mean: Array, source: Array
) -> Array:
    """Solves E = e₀ + hA [ΔE + f(m + E) - f(m) + source] for the stage values E, shape (stages, space).

    Newton's method is simplified to one space Jacobian J for all stages, so that the eigenvectors of hA decouple them:
    one inverse of I - λJ for each eigenvalue λ replaces one of the system of all stages.
    """
    scales, vectors = np.linalg.eig(integrals)
    jacobian = operator + np.diag(reaction.slope(mean).mean(axis=0))
    inverses = np.linalg.inv(np.eye(start.size) - scales[:, None, None] * jacobian)
    to_modes = np.linalg.inv(vectors)
    stages = np.tile(start, (len(integrals), 1))
    for _ in range(_CORRECTIONS):
        rate = stages @ operator.T + reaction.rate(mean + stages) - reaction.rate(mean) + source
        modes = to_modes @ (stages - start - integrals @ rate)
        stages = stages - (vectors @ np.einsum("kij,kj->ki", inverses, modes)).real
    return stages


def _radial_laplacian(dim: int, length: float, degree: int) -> tuple[Array, Array]:
    """Returns the nodes y, of which the first is 1, and the matrix of 4 s ∂_ss + 2 d ∂_s in y.

    The matrix acts on values at all nodes but y = 1 (s = ∞), where the function is zero.
    """
    y, derivative = _chebyshev(degree)
    first, second = derivative[1:, 1:], (derivative @ derivative)[1:, 1:]
    inner = y[1:, None]
    return y, (1 - inner) ** 2 / length * ((1 - inner**2) * second + (dim - 2 * (1 + inner)) * first)


def _chebyshev(degree: int) -> tuple[Array, Array]:
    """Returns the Chebyshev-Lobatto nodes and the differentiation matrix.

    Against rounding, differences of nodes are products of sines, and each row's diagonal entry makes the row sum zero.
    """
    index = np.arange(degree + 1)
    scale = np.where((index == 0) | (index == degree), 2.0, 1.0) * (-1.0) ** index
    half = np.pi / (2 * degree)
    gaps = -2 * np.sin(np.add.outer(index, index) * half) * np.sin(np.subtract.outer(index, index) * half)
    np.fill_diagonal(gaps, 1.0)
    matrix = np.outer(scale, 1 / scale) / gaps
    np.fill_diagonal(matrix, 0.0)
    np.fill_diagonal(matrix, -matrix.sum(axis=1))
    return np.cos(2 * half * index), matrix


def _radau(stages: int) -> tuple[Array, Array]:
    """Returns the nodes 0, c₁, …, c_s = 1 of Radau IIA, and its matrix A = (∫₀^{c_i} ℓ_j), ℓ_j the Lagrange polynomials."""
    nodes = np.append((1 + roots_jacobi(stages - 1, 1, 0)[0]) / 2, 1.0)
    powers = np.arange(1, stages + 1)
    integrals = nodes[:, None] ** powers / powers
    return np.insert(nodes, 0, 0.0), integrals @ np.linalg.inv(np.vander(nodes, stages, increasing=True))


def _graded_times(dim: int, horizon: float, steps: int) -> Array:
    """Returns the ends of the time steps, which grow geometrically beyond t = 1/(2d). The first step is of the order 0.1/d."""
    scale = 0.5 / dim
    times = scale * np.expm1(np.log1p(horizon / scale) * np.linspace(0.0, 1.0, steps + 1))
    times[-1] = horizon
    return times
