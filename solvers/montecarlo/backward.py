"""Semilinear parabolic equations by backward stochastic differential equations: residuals along paths, not at points.

Where u_t + L u + f(x, t, u, ∇u) = 0, with L the generator of dX = b dt + σ dW, Y_s = u(s, X_s) and Z_s = σᵀ∇u(s, X_s) solve

    dY = −f(X, s, Y, ∇u) ds + Z·dW,      Y_T = u(T, X_T)

(Pardoux and Peng 1990). Along Euler-Maruyama paths no second derivative of u_θ is needed. The path does not depend on θ.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pdezoo import (
    PDE,
    Diffusion,
    Dt,
    EulerDerivative,
    GradNorm1,
    GradNormSq,
    Laplacian,
    Points,
    Problem,
    u,
)

from ..derivatives.field import Field
from ..estimators.base import Atoms, Estimator, Values
from ..estimators.exact import Exact
from ..networks.base import Network
from .equations import NoExpectation, Semilinear, semilinear
from .paths import given


class Process(eqx.Module):
    """The forward process X of a semilinear problem, drawn by Euler's and Maruyama's scheme, and its driver f."""

    problem: Problem
    equation: Semilinear = eqx.field(static=True)

    @classmethod
    def of(cls, problem: Problem) -> Process:
        """Reads it off a problem. Raises NoExpectation where that is not semilinear in time on all of space."""
        return cls(problem, semilinear(problem))

    def variance(self, points: Points) -> Float[Array, "batch dim"]:
        """The variance 2 D_i of dX_i in a unit of time."""
        return 2 * self._weighted(self.equation.diffusions, points)

    def drift(self, points: Points) -> Float[Array, "batch dim"]:
        """The mean b_i of dX_i in a unit of time."""
        return self._weighted(self.equation.drifts, points)

    def _weighted(self, terms: tuple[tuple[Any, float], ...], points: Points) -> Float[Array, "batch dim"]:
        parts = (number * self._weights(atom, points) for atom, number in terms)
        return sum(parts, jnp.zeros_like(points.x))

    def _weights(self, atom: Any, points: Points) -> Any:
        if isinstance(atom, Laplacian):
            return 1
        if isinstance(atom, EulerDerivative):
            return points.x
        return self.problem.weights_of(atom).block(points, 0, points.x.shape[1])

    def driver(
        self, points: Points, value: Float[Array, " batch"], gradient: Float[Array, "batch dim"]
    ) -> Float[Array, " batch"]:
        """f at points with values of u, shape (B,), and of ∇u, shape (B, d): the operator without u_t and L u, less its source."""
        carried = {atom for atom, _ in self.equation.drifts}

        def term(atom: Any) -> Array:
            if atom == u:
                return value
            if isinstance(atom, Dt | Laplacian | Diffusion) or atom in carried:
                return jnp.zeros_like(value)
            if isinstance(atom, GradNormSq):
                return jnp.sum(gradient**2, axis=1)
            if isinstance(atom, GradNorm1):
                return jnp.sum(jnp.abs(gradient), axis=1)
            return jnp.sum(self._weights(atom, points) * gradient, axis=1)

        left = self.problem.operator(*map(term, self.problem.atoms), points=points)[0]
        return self.equation.scale * (left - self.problem.source(points)[0])

    def to_go(self, points: Points) -> Float[Array, " batch"]:
        """The time from every point to where u is given, shape (B,)."""
        assert points.t is not None  # an evolution has time
        return jnp.maximum(self.equation.horizon - points.t if self.equation.backward else points.t, 0)

    def given(self, points: Points) -> Float[Array, " batch"]:
        """u as it is given, at points of the time where it is, shape (B,)."""
        return given(self.problem, self.equation.soft, points)

    def when(self, to_go: Any) -> Any:
        """The time at which so much is left to where u is given."""
        return self.equation.horizon - to_go if self.equation.backward else to_go

    def noise(
        self, at: Points, seconds: Float[Array, " batch"], key: PRNGKeyArray
    ) -> Float[Array, "batch dim"]:
        """Draws σ ΔW of a step of length Δ from points, shape (B, d)."""
        normal = jax.random.normal(key, at.x.shape, at.x.dtype)
        return normal * jnp.sqrt(self.variance(at) * seconds[:, None])

    def moved(self, at: Points, noise: Float[Array, "batch dim"], seconds: Float[Array, " batch"]) -> Points:
        """Takes a step from points: X + b Δ + σ ΔW, Δ nearer to where u is given."""
        assert at.t is not None  # an evolution has time
        x = at.x + self.drift(at) * seconds[:, None] + noise
        forward = seconds if self.equation.backward else -seconds
        return Points(x, jnp.clip(at.t + forward, 0, self.equation.horizon))

    def walk(self, start: Points, intervals: int, key: PRNGKeyArray, left: Any = 0) -> Path:
        """Draws a path of equal steps from every start to where u is given, or until so much is `left` to that:
        X_{n+1} = X_n + b Δ + σ ΔW_n. Starts that are later than that stay where they are.
        """
        seconds = jnp.maximum(self.to_go(start) - left, 0) / intervals

        def step(at: Points, own: PRNGKeyArray) -> tuple[Points, tuple[Points, Array]]:
            noise = self.noise(at, seconds, own)
            return self.moved(at, noise, seconds), (at, noise)

        end, (points, noise) = jax.lax.scan(step, start, jax.random.split(key, intervals))
        return Path(points, noise, seconds, end)

    def change(
        self,
        points: Points,
        noise: Float[Array, "batch dim"],
        seconds: Float[Array, " batch"],
        value: Float[Array, " batch"],
        gradient: Float[Array, "batch dim"],
    ) -> Float[Array, " batch"]:
        """What Y gains in a step from points with values of u and ∇u, shape (B,): −f Δ + Z·ΔW, where Z·ΔW = ∇u·σ ΔW."""
        return jnp.sum(gradient * noise, axis=1) - self.driver(points, value, gradient) * seconds


class Path(NamedTuple):
    """Paths of N steps from B starts: the points before every step, (N, B, d) and (N, B), σ ΔW of every step, (N, B, d), its
    length Δ, (B,), and the points at the end.
    """

    points: Points
    noise: Float[Array, "intervals batch dim"]
    seconds: Float[Array, " batch"]
    end: Points


@dataclass(frozen=True)
class BackwardSDE(Estimator):
    """Residuals along paths of `intervals` steps of Euler's and Maruyama's scheme, from a start to where u is given.

    Paths start where u is asked for: at the points of the batch, and the share `aimed` of them at the point that the problem's
    authors report, where there is one. Atoms that are asked for by themselves are exact. Raises ValueError for fewer than
    one interval and a share that is none.
    """

    intervals: int = 20
    aimed: float = 0.5
    unbiased: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.intervals < 1 or not 0 <= self.aimed <= 1:
            raise ValueError(
                f"intervals is at least 1 and aimed from 0 to 1, got {self.intervals} and {self.aimed}"
            )

    def __call__(self, field: Field, atoms: Atoms, points: Points, key: PRNGKeyArray) -> Values:
        """Computes every atom exactly, {atom: (B,)}: the residuals along paths do not ask for them."""
        return Exact()(field, atoms, points, key)

    @abstractmethod
    def residual(self, field: Field, points: Points, key: PRNGKeyArray) -> Float[Array, "rows batch"]:
        """Draws one path from every start and returns what is 0 in the limit of short steps where u_θ is the solution."""

    def unsupported(self, pde: PDE, network: Network) -> str | None:
        """Returns the reason why no driver can be read off a problem, or no path drawn; None if it can."""
        try:
            equation = semilinear(pde)
        except NoExpectation as reason:
            return str(reason)
        if all(isinstance(atom, Laplacian) for atom, _ in equation.diffusions):
            return None
        problem = pde.lower()
        if jnp.all(Process(problem, equation).variance(problem.sample(jax.random.key(0), 100)) >= 0):
            return None
        return (
            "a coefficient of a second derivative changes its sign in the domain, so that there is no process"
        )

    def _starts(self, problem: Problem, points: Points) -> Points:
        """The points of the batch, the first of them moved to the problem's query."""
        if problem.query is None:
            return points
        position, time = problem.query
        here = jnp.arange(points.x.shape[0]) < round(self.aimed * points.x.shape[0])
        assert points.t is not None  # an evolution has time
        return Points(jnp.where(here[:, None], position, points.x), jnp.where(here, time, points.t))


@dataclass(frozen=True)
class DeepBSDE(BackwardSDE):
    """The defect at the end, Y_N − u(T, X_N), with Y_0 = u_θ at the start (E, Han and Jentzen 2017; Han, Jentzen and E 2018).

    Y_{n+1} = Y_n − f(X_n, t_n, Y_n, ∇u_θ) Δ + ∇u_θ(t_n, X_n)·σ ΔW_n. The authors train u(0, x_0), and a network for Z at every t_n;
    here one function of (x, t) gives both, so that it is a solution at every start.
    """

    def residual(self, field: Field, points: Points, key: PRNGKeyArray) -> Float[Array, "1 batch"]:
        """Returns (Y_N − u(T, X_N))/scale, the scale being the domain's, shape (1, B)."""
        process, start = Process.of(field.problem), self._starts(field.problem, points)
        path = process.walk(start, self.intervals, key)
        gradients = jax.vmap(partial(value_and_gradient, field.value))(path.points).gradient

        def step(y: Array, before: tuple[Points, Array, Array]) -> tuple[Array, None]:
            at, noise, gradient = before
            return y + process.change(at, noise, path.seconds, y, gradient), None

        y, _ = jax.lax.scan(step, field.value(start), (path.points, path.noise, gradients))
        return ((y - process.given(path.end)) / float(field.problem.domain.scale))[None]


@dataclass(frozen=True)
class FBSNN(BackwardSDE):
    """The defects of all steps, u_θ(t_{n+1}, X_{n+1}) − u_θ + f Δ − ∇u_θ·σ ΔW_n at (t_n, X_n): FBSNN of Raissi 2018.

    What is given at the end is met by the ansatz, or by the problem's soft conditions there. A defect is Δ times the
    residual plus ½ (ΔWᵀA ΔW − Δ tr A), A = σᵀ(∇²u_θ)σ, so that the loss is Σ Δ² E[residual² + ½ |A|²]: where A ≠ 0 it is not
    least at the solution, however short the steps (Park and Tu 2025).
    """

    def residual(self, field: Field, points: Points, key: PRNGKeyArray) -> Float[Array, "intervals batch"]:
        """Returns the defects over the domain's scale, shape (intervals, B)."""
        process, start = Process.of(field.problem), self._starts(field.problem, points)
        path = process.walk(start, self.intervals, key)
        values, gradients = jax.vmap(partial(value_and_gradient, field.value))(path.points)
        change = lambda at, noise, *now: process.change(at, noise, path.seconds, *now)
        changes = jax.vmap(change)(path.points, path.noise, values, gradients)
        later = jnp.concatenate([values[1:], field.value(path.end)[None]])
        return (later - values - changes) / float(field.problem.domain.scale)


@dataclass(frozen=True)
class StepDefect(BackwardSDE):
    """The defect of `FBSNN` in one step of length Δ from every start, over Δ: its mean is the residual, up to O(Δ).

    Two draws of it from one start are independent, which two steps of one path are not: with `DoubleSampledLoss` the loss has
    no term ½ |A|² any more, and is least at the solution as Δ → 0. Near the end a step is shorter than Δ, and its defect counts
    less. Starts are the points of the batch, unless `aimed` is changed: a step does not lead away from the probe.
    """

    aimed: float = 0.0

    def residual(self, field: Field, points: Points, key: PRNGKeyArray) -> Float[Array, "1 batch"]:
        """Returns the defects over Δ and the domain's scale, shape (1, B)."""
        process, start = Process.of(field.problem), self._starts(field.problem, points)
        length = process.equation.horizon / self.intervals
        seconds = jnp.minimum(length, process.to_go(start))
        noise = process.noise(start, seconds, key)
        value, gradient = value_and_gradient(field.value, start)
        later = field.value(process.moved(start, noise, seconds))
        defect = later - value - process.change(start, noise, seconds, value, gradient)
        return (defect / (length * float(field.problem.domain.scale)))[None]


class ValueAndGradient(NamedTuple):
    """A function at B points, shape (B,), and its gradient in space, shape (B, d)."""

    value: Float[Array, " batch"]
    gradient: Float[Array, "batch dim"]


def value_and_gradient(
    function: Callable[[Points], Float[Array, " batch"]], points: Points
) -> ValueAndGradient:
    """Computes a function of points and its gradient in space by one reverse pass, O(B·d) where the function is."""
    value, pull = jax.vjp(lambda x: function(points._replace(x=x)), points.x)
    return ValueAndGradient(value, pull(jnp.ones_like(value))[0])
