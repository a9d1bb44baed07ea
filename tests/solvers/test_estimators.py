"""Every estimator against nested autodiff, its declared bias and its variance in closed form."""

from __future__ import annotations

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fields import (
    SMALL,
    SPACE,
    TRACES,
    Plain,
    estimates,
    estimator_of,
    field_at,
    in_float32,
    reference,
)
from toys import few, small

import pdezoo
import solvers
from pdezoo import Biharmonic, Dt, GradNormSq, Laplacian, Points, in_float64, u
from solvers import MLP, Field, Normal, OffsetMLP

SAMPLES, DRAWS = 3, 6000
EXACT = {
    "exact": 1e-10,
    "forward-laplacian": 1e-5,
}  # the second adds 1e-7 of a unit matrix before it factorises
SDGD = ["sdgd-backward", "sdgd-parallel", "sdgd-forward-over-backward"]


def assert_close(found: dict, expected: dict, tolerance: float) -> None:
    for atom, want in expected.items():
        np.testing.assert_allclose(found[atom], want, rtol=tolerance, atol=tolerance * np.abs(want).max())


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize(
    ("dim", "wide"), few([(5, False), (50, True), (2, True), (300, False)], keep=2), ids=str
)
def test_exact_estimators_are_exact(name: str, dim: int, wide: bool) -> None:
    """Fewer and more dimensions than the network is wide; an offset of one and of two coordinates."""
    field, at = field_at(dim, wide=wide)
    found = estimates(estimator_of(name), field, at, SPACE, [0])
    assert_close({a: v[0] for a, v in found.items()}, reference(field, at, SPACE), EXACT[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("network", [MLP(width=1, depth=2), MLP(width=40, depth=4)], ids=str)
def test_exact_estimators_at_other_shapes(name: str, network: MLP) -> None:
    field, at = field_at(7, network)
    found = estimates(estimator_of(name), field, at, SPACE, [0])
    assert_close({a: v[0] for a, v in found.items()}, reference(field, at, SPACE), EXACT[name])


@pytest.mark.parametrize("name", few(["stde", "exact", "sdgd-parallel"], keep=2))
def test_derivatives_in_time(name: str) -> None:
    """Time derivatives are exact whatever happens to the space ones; traces too, where all axes are drawn."""
    atoms = (*SPACE, Dt(u), Dt(u, 2))
    field, at = field_at(4, time=True)
    found = estimates(estimator_of(name, samples=4), field, at, atoms, [5])
    assert_close({a: v[0] for a, v in found.items()}, reference(field, at, atoms), 1e-10)


@pytest.mark.parametrize("name", few(["stde", "sdgd-parallel"]))
def test_more_samples_than_axes_is_exact(name: str) -> None:
    field, at = field_at(5, wide=True)
    found = estimates(estimator_of(name, samples=99), field, at, SPACE, [0])
    assert_close({a: v[0] for a, v in found.items()}, reference(field, at, SPACE), 1e-10)


@pytest.mark.parametrize("name", few(SDGD, keep=2))
def test_modes_of_sdgd_agree_with_stde_key_by_key(name: str) -> None:
    field, at = field_at(50, wide=True)
    seeds = [0, 1, 2]
    want = estimates(estimator_of("stde", SAMPLES), field, at, TRACES, seeds)
    assert_close(estimates(estimator_of(name, SAMPLES), field, at, TRACES, seeds), want, 1e-10)


@pytest.mark.parametrize("name", few(["exact", "stde", "hte", "forward-laplacian", *SDGD], keep=3))
def test_a_network_without_structure_gives_the_same(name: str) -> None:
    """Taylor mode through any function of the coordinates, and the fast path through the ridge network."""
    field, at = field_at(9)
    plain = Field(field.problem, field.params, Plain(SMALL))
    seeds = [0, 1]
    want = estimates(estimator_of(name, SAMPLES), field, at, TRACES, seeds)
    assert_close(estimates(estimator_of(name, SAMPLES), plain, at, TRACES, seeds), want, 1e-5)


@lru_cache(maxsize=32)
def draws(name: str, dim: int) -> tuple[dict, dict]:
    """Many estimates of what it estimates of Δu and |∇u|², (DRAWS, B), and the exact values."""
    field, at = field_at(dim)
    estimator = estimator_of(name, SAMPLES)
    atoms = tuple(a for a in TRACES if isinstance(a, estimator.atoms))
    return estimates(estimator, field, at, atoms, np.arange(DRAWS)), reference(field, at, atoms)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dim"), [(n, d) for n in ("stde", "hte") for d in (2, 50)])
def test_estimators_are_unbiased_at_other_dimensions(name: str, dim: int) -> None:
    """The mean over keys is within four standard errors of the exact value; test_contract.py asks every row, at d = 5."""
    found, exact = draws(name, dim)
    assert found
    for atom, values in found.items():
        error = np.abs(values.mean(0) - exact[atom])
        bound = 4 * values.std(0) / np.sqrt(DRAWS) + 1e-5 * np.abs(exact[atom])
        assert (error <= bound).all(), (atom, error, bound)


def hessians(dim: int) -> np.ndarray:
    """∇²u at the points, (B, d, d), float64."""
    field, at = field_at(dim)
    single = lambda x: field.value(Points(x[None]))[0]
    return in_float64(jax.jit(jax.vmap(jax.hessian(single))), at.x)


def assert_variance(values: np.ndarray, expected: np.ndarray) -> None:
    """Within five standard errors of a sample variance."""
    centred = values - values.mean(0)
    variance, fourth = (centred**2).mean(0), (centred**4).mean(0)
    error = np.sqrt((fourth - variance**2) / len(values))
    assert (np.abs(variance - expected) <= 5 * error + 1e-9 * expected).all(), (variance, expected, error)
    assert (error < 0.1 * expected).all()  # the test can fail


@pytest.mark.parametrize("dim", few([5, 50]))
def test_variance_of_sampled_axes(dim: int) -> None:
    """A sample of K out of d numbers d·∂²_i u without replacement: (1 − K/d)/K · Σ (d ∂²_i u − Δu)²/(d − 1)."""
    diagonal = np.einsum("bii->bi", hessians(dim))
    spread = ((dim * diagonal - diagonal.sum(1, keepdims=True)) ** 2).sum(1) / (dim - 1)
    found, _ = draws("stde", dim)
    assert_variance(found[Laplacian(u)], (1 - SAMPLES / dim) / SAMPLES * spread)


@pytest.mark.slow
@pytest.mark.parametrize("dim", [2, 5, 50])
def test_variance_of_random_signs(dim: int) -> None:
    """Hutchinson's estimator with random signs: 2/K Σ_{i≠j} H_ij²."""
    h = hessians(dim)
    off = h - np.einsum("bii,ij->bij", h, np.eye(dim))
    found, _ = draws("hte", dim)
    assert_variance(found[Laplacian(u)], 2 / SAMPLES * (off**2).sum((1, 2)))


def test_squared_gradient_of_random_signs_has_its_variance() -> None:
    """(v·∇u)² over random signs is Hutchinson's estimate of the trace of ∇u ∇uᵀ."""
    dim = 5
    field, at = field_at(dim)
    gradient = in_float64(jax.jit(jax.grad(lambda x: field.value(Points(x)).sum())), at.x)
    matrix = np.einsum("bi,bj,ij->bij", gradient, gradient, 1 - np.eye(dim))
    found, _ = draws("hte", dim)
    assert_variance(found[GradNormSq(u)], 2 / SAMPLES * (matrix**2).sum((1, 2)))


def test_fourth_derivatives_along_directions() -> None:
    """Against four nested forward derivatives of the field's value; through a ridge network and through any network."""
    pde = pdezoo.make("biharmonic/two-body-wide", dim=4)
    field = Field(pde.lower(), field_at(4)[0].params, SMALL)
    at = field_at(4)[1]
    directions = Normal(jax.random.key(1), 3, 4)

    def nested(f: Field, p: Points) -> jax.Array:
        def along(v: jax.Array) -> jax.Array:
            line = lambda s: f.value(p._replace(x=p.x + s * v))
            for _ in range(4):
                line = jax.jacfwd(line)
            return line(0.0)

        return jax.vmap(along)(directions.vectors())

    want = in_float64(jax.jit(nested), field, at)
    for network in (SMALL, Plain(SMALL)):
        other = Field(field.problem, field.params, network)
        found = in_float64(jax.jit(lambda f, p: f.fourth_order(p, directions)), other, at)
        np.testing.assert_allclose(found, want, rtol=1e-6)  # |v|² is summed in v's own single precision


def test_biharmonic_by_random_directions_is_unbiased() -> None:
    pde = pdezoo.make("biharmonic/two-body-wide", dim=3)
    field, at = Field(pde.lower(), field_at(3)[0].params, SMALL), field_at(3)[1]
    atoms = (Biharmonic(u), u)
    want = reference(field, at, atoms)
    values = estimates(estimator_of("hte", 16), field, at, atoms, np.arange(2000))
    error = np.abs(values[Biharmonic(u)].mean(0) - want[Biharmonic(u)])
    spread = values[Biharmonic(u)].std(0) / np.sqrt(2000)
    assert (error < 4 * spread).all()
    assert (spread < 0.1 * np.abs(want[Biharmonic(u)]).max()).all()
    np.testing.assert_allclose(values[u][0], want[u], rtol=1e-10)


@pytest.mark.slow
def test_exact_gradient_leaves_the_variance_of_the_network_alone() -> None:
    """a²(1 − K/d)/K · Σ (d ∂²_i n − Δn)²/(d − 1); with every axis it is exact."""
    dim = 20
    field, at = field_at(dim)
    network = lambda x: field.network.value(field.params, Points(x[None]))[0]
    diagonal = in_float64(jax.jit(jax.vmap(lambda x: jnp.diag(jax.hessian(network)(x)))), at.x)
    factor = in_float64(jax.jit(lambda p: field.problem.ansatz(p)[0]), at)
    spread = ((dim * diagonal - diagonal.sum(1, keepdims=True)) ** 2).sum(1) / (dim - 1)
    found, _ = draws("stde-exact-gradient", dim)
    assert_variance(found[Laplacian(u)], factor**2 * (1 - SAMPLES / dim) / SAMPLES * spread)
    whole = estimates(estimator_of("stde-exact-gradient", samples=99), field, at, SPACE, [0])
    assert_close({a: v[0] for a, v in whole.items()}, reference(field, at, SPACE), 1e-10)


def test_single_precision_is_good_enough_for_training() -> None:
    """Float32 estimates with the keys' own axes agree with float64 ones to a few parts in 10⁵."""
    field, at = field_at(50, wide=True)
    for name in EXACT:
        found = in_float32(estimator_of(name), field, at, SPACE)
        assert_close(found, reference(field, at, SPACE), 1e-4)


def test_forward_laplacian_survives_dependent_columns() -> None:
    """A first layer of rank one: its Gram matrix is singular, and float32 rounding may push it below."""
    field, at = field_at(300)
    first = np.outer(field.params["first"][:, 0], np.linspace(1, 2, SMALL.width))
    flat = Field(field.problem, field.params | {"first": first}, SMALL)
    found = in_float32(estimator_of("forward-laplacian"), flat, at, SPACE)
    assert_close(found, reference(flat, at, SPACE), 1e-3)


REASONS = {
    (
        "hte",
        "kdv/one-soliton",
    ): "the operator has u_t, u_x, u_xxx; HTE estimates u_t, x·∇u, b·∇u, Δu, |∇u|², Δ²u only",
    ("rs-pinn", "hjb/corrected"): "the operator has |∇u|²; RSPINN estimates u_t, x·∇u, b·∇u, Δu only",
    ("exact", "biharmonic/two-body"): None,
}


@pytest.mark.parametrize(("solver", "problem"), REASONS)
def test_a_reason_names_atoms_as_people_write_them(solver: str, problem: str) -> None:
    pde = small(problem)
    assert solvers.make(solver).unsupported(pde) == REASONS[solver, problem]


def test_a_network_that_reads_b_names_atoms_as_people_write_them() -> None:
    reason = OffsetMLP().unsupported(small("kdv/one-soliton"))
    assert reason.startswith("the operator has u_t, u_x, u_xxx; a network that reads b")
