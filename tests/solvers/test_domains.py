"""A contributed domain has the fast paths: it offers its own coordinates, or inherits arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from toys import few

import pdezoo
import solvers
from pdezoo import (
    PDE,
    Ansatz,
    Coordinates,
    Domain,
    Exact,
    FactoredCoordinates,
    Laplacian,
    Points,
    Streamed,
    X,
    block_size,
    can_be_held,
    materialize,
    r2,
    stream_normals,
    u,
    verify,
    window_sum,
)
from pdezoo.ansatz import ConditionSet
from solvers.contract import CLAUSES, Candidate


@dataclass(frozen=True)
class Annulus(Domain):
    """1/2 < |x| < 1, the radius uniform: x = r g/|g|, g standard normal."""

    dim: int
    measure: ClassVar[str] = "radius-uniform"
    horizon: ClassVar[None] = None

    @property
    def scale(self) -> float:
        """d."""
        return float(self.dim)

    def vanishing(self) -> Ansatz:
        """u = (1 − |x|²)(4|x|² − 1) n: zero on both spheres."""
        onto = lambda radius: (
            lambda p: p._replace(x=radius * p.x / jnp.linalg.norm(p.x, axis=1, keepdims=True))
        )
        return Ansatz(
            (1 - r2) * (4 * r2 - 1), 0, tuple(ConditionSet(f"|x| = {s}", onto(s)) for s in (0.5, 1.0))
        )

    def sample(self, key: Any, count: int, time: float | None = None) -> Points:
        """Directions times lengths."""
        return Points(materialize(self._factored(key, count).x))

    def coordinates(self, key: Any, count: int) -> Points:
        """Directions and lengths apart; in blocks where they are many."""
        return self._factored(key, count) if can_be_held(count, self.dim) else self._streamed(key, count)

    def contains(self, points: Points) -> Any:
        """To float32 rounding."""
        norm = jnp.linalg.norm(points.x, axis=1)
        return (norm <= 1 + 1e-5) & (norm >= 0.5 - 1e-5)

    def uniforms(self, points: Points) -> dict[str, np.ndarray]:
        """The radius."""
        return {"radius": 2 * np.linalg.norm(np.asarray(points.x, np.float64), axis=1) - 1}

    def _factored(self, key: Any, count: int) -> Points:
        lengths, directions = jax.random.split(key)
        radius = jax.random.uniform(lengths, (count,), minval=0.5)
        g = jax.random.normal(directions, (count, self.dim))
        return Points(FactoredCoordinates(radius / jnp.linalg.norm(g, axis=1), radius**2, g))

    def _streamed(self, key: Any, count: int) -> Points:
        lengths, directions = jax.random.split(key)
        radius = jax.random.uniform(lengths, (count,), minval=0.5)
        g = stream_normals(directions, count, self.dim, block_size(self.dim))
        squares = g.accumulate(lambda start, n: jnp.sum(g.block(start, n) ** 2, axis=1))
        return Points(replace(g, scale=radius / jnp.sqrt(squares), squares=radius**2))


@dataclass(frozen=True)
class HalfSpace(Domain):
    """x_0 > 0, x otherwise standard normal: a domain that says no more than it must."""

    dim: int
    horizon: ClassVar[None] = None
    scale: ClassVar[float] = 1.0
    measure: ClassVar[str] = "half-gaussian"

    def sample(self, key: Any, count: int, time: float | None = None) -> Points:
        """Normal numbers, reflected."""
        x = jax.random.normal(key, (count, self.dim))
        return Points(x.at[:, 0].set(jnp.abs(x[:, 0])))

    def contains(self, points: Points) -> Any:
        """x_0 ≥ 0."""
        return points.x[:, 0] >= 0

    def uniforms(self, points: Points) -> dict[str, np.ndarray]:
        """The first coordinate, through its distribution function."""
        from scipy.stats import halfnorm

        return {"first": halfnorm.cdf(np.asarray(points.x[:, 0], np.float64))}


def ring(dim: int, shape: Any = None) -> PDE:
    """Δu = g between two spheres, u* = (1 − |x|²)(4|x|² − 1) times Σ x_p x_{p+1}, or another shape."""
    domain = Annulus(dim)
    target = domain.vanishing().factor * (window_sum(X[0] * X[1]) if shape is None else shape)
    return PDE(Laplacian(u), domain, domain.vanishing(), Exact(target), name="ring")


def half(dim: int) -> PDE:
    """Δu = g on a half space, without a condition."""
    return PDE(Laplacian(u), HalfSpace(dim), Ansatz(), Exact(window_sum(sp.sin(X[0]))), name="half")


@pytest.mark.parametrize("make", [ring, half])
def test_problems_on_contributed_domains_are_proven(make: Any) -> None:
    report = verify(make(6), remake=make, test_size=50)
    assert report.ok, [c for c in report.checks if not c.ok]


def test_a_domain_must_say_how_it_is_sampled() -> None:
    class Nowhere(Domain):
        """Says nothing."""

    with pytest.raises(TypeError, match="abstract"):
        Nowhere()


def test_coordinates_are_those_of_the_sample_by_default() -> None:
    key = jax.random.key(0)
    for domain in (HalfSpace(5), pdezoo.Box(5), pdezoo.Gaussian(5, horizon=1.0), pdezoo.BrownianTube(5, 1.0)):
        for one, other in zip(domain.coordinates(key, 3), domain.sample(key, 3), strict=True):
            assert (one is None and other is None) or np.array_equal(one, other)


@pytest.mark.parametrize("domain", [Annulus(30), pdezoo.Ball(30)], ids=str)
def test_lazy_coordinates_are_bit_for_bit_the_sampled_points(domain: Domain) -> None:
    key = jax.random.key(0)
    points = domain.coordinates(key, 7)
    assert isinstance(points.x, FactoredCoordinates)
    np.testing.assert_array_equal(materialize(points.x), domain.sample(key, 7).x)


def test_the_solver_takes_what_the_domain_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Factored, streamed where they are many, and an array where a part needs one."""
    stde, key = solvers.make("stde"), jax.random.key(0)
    problem = ring(40).lower()
    assert isinstance(stde.points(problem, key, 4).x, FactoredCoordinates)
    assert not isinstance(solvers.make("stde-gradient-enhanced").points(problem, key, 4).x, Coordinates)
    assert not isinstance(stde.points(half(40).lower(), key, 4).x, Coordinates)
    monkeypatch.setattr("pdezoo.lowering.coordinates._HELD", 0)
    assert isinstance(stde.points(problem, key, 4).x, Streamed)


@pytest.mark.parametrize("held", few([0, 2**25]))
def test_an_annulus_trains_without_an_array(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Factored and streamed: the network finds the constant that solves the problem."""
    monkeypatch.setattr("pdezoo.lowering.coordinates._HELD", held)
    monkeypatch.setattr("pdezoo.lowering.coordinates._BLOCK", 16)
    solver = solvers.make("stde", samples=4, width=12, depth=2, learning_rate=1e-2)
    result = solver.fit(ring(40, sp.Integer(2)), steps=150, batch=16, progress=None)
    losses = [h["loss"] for h in result.history]
    assert losses[-1] < 0.2 * losses[0]


@dataclass(frozen=True)
class Held(Annulus):
    """The same points as an array."""

    def coordinates(self, key: Any, count: int) -> Points:
        """Those of `sample`."""
        return self.sample(key, count)


def test_lazy_coordinates_train_as_arrays_do() -> None:
    """Step by step, to float32 rounding."""
    solver = solvers.make("stde", samples=4, width=12, depth=2)

    def losses(pde: PDE) -> list[float]:
        problem = solvers.on_device(pde)
        state, step = solver.init(problem, 0, 10), jax.jit(lambda s: solver.step(problem, s, 8))
        found = []
        for _ in range(6):
            state = step(state)
            found.append(float(state.loss))
        return found

    pde = ring(30)
    held = losses(replace(pde, domain=Held(30)))
    assert len(set(held)) == 6
    np.testing.assert_allclose(losses(pde), held, rtol=1e-4)


def test_the_contract_s_clause_holds_any_domain_with_lazy_coordinates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the annulus for the only problem, it is what the clause tests on; with the half space, nothing is."""
    (clause,) = (c for c in CLAUSES if c.name == "coordinates")
    monkeypatch.setattr("solvers.contract._problems", lambda: (half(10), ring(10)))
    found = clause.finding(Candidate("stde"))
    assert found.ok is True
    assert "ring" in found.seen
    monkeypatch.setattr("solvers.contract._problems", lambda: (half(10),))
    assert clause.finding(Candidate("stde")).ok is None
