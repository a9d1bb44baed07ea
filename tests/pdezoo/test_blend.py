"""Boundary data evaluated at moved points are the offset written out, and so are their derivatives."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest
import sympy as sp

import pdezoo
from pdezoo import (
    PDE,
    Ansatz,
    Box,
    D,
    Exact,
    Laplacian,
    Points,
    Side,
    boundary_data,
    coordinate_max,
    in_float64,
    r2,
    t,
    u,
    x,
    y,
)
from pdezoo.lowering.boundary import Blended, lower_blended
from pdezoo.lowering.lowered import lower
from pdezoo.problem import down_closure


@pytest.fixture(scope="module")
def pde() -> PDE:
    """A problem with every kind of side: data at one end or at both, with and without derivatives."""
    solution = sp.exp(x / 3) * sp.sin(x - y / 2 + t) + x**2 * sp.cos(y * t)
    sides = (Side(t, 0, 1, 1, 0), Side(x, -1, 2, 1, 2), Side(y, -1, 1, 2, 0))
    return PDE(
        operator=D(u, t) + D(u, x, x, y) + D(u, y),
        domain=Box(2, (-1, -1), (2, 1), 1.0),
        ansatz=boundary_data(solution, sides),
        solution=Exact(solution),
    )


def blended(pde: PDE) -> Blended:
    return lower_blended((pde.ansatz.blend.expr,), pde.ansatz.blend.solution, pde.dim)


def test_the_blend_is_the_offset(pde: PDE) -> None:
    """The blended form agrees with the lowered symbolic offset at points of the domain, in float64."""
    points = pde.domain.sample(jax.random.key(0), 30)
    (found,) = in_float64(blended(pde), points)
    (want,) = in_float64(lower((pde.ansatz.offset,), 2), points)
    np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-13)


def test_its_derivatives_are_those_of_the_offset(pde: PDE) -> None:
    """Every derivative that the operator needs agrees with SymPy's derivative of the offset written out."""
    points = pde.domain.sample(jax.random.key(1), 30)
    found = in_float64(pde.lower().closed_partials, points)
    assert set(found.b) == {(0, 0, 1), (2, 1, 0), (0, 1, 0)}
    written = [
        sp.diff(pde.ansatz.offset, *(c for c, n in zip((x, y, t), k, strict=True) for _ in range(n)))
        for k in found.b
    ]
    for key, want in zip(found.b, in_float64(lower(tuple(written), 2), points), strict=True):
        np.testing.assert_allclose(found.b[key], want, rtol=1e-11, atol=1e-12)
    assert set(found.a) == set(down_closure(tuple(found.b)))


def test_an_operator_has_one_kind_of_closed_derivatives(pde: PDE) -> None:
    """Asking for the kind that a problem does not have is an error that names the other; max x_i, which has a kink, has neither."""
    with pytest.raises(ValueError, match="needs ClosedPartials of its ansatz, not ClosedForms"):
        pde.lower().closed(pde.domain.sample(jax.random.key(1), 2))
    kinked = PDE(Laplacian(u), Box(3), Ansatz(1, coordinate_max), Exact(r2)).lower()
    points = kinked.sample(jax.random.key(1), 2)
    with pytest.raises(ValueError, match="max x_i"):
        kinked.closed(points)
    with pytest.raises(ValueError, match="needs ClosedForms of its ansatz, not ClosedPartials"):
        pdezoo.make("poisson", dim=3).lower().closed_partials(points)


def test_a_blend_belongs_to_its_offset(pde: PDE) -> None:
    with pytest.raises(ValueError, match="blend=None"):
        replace(pde.ansatz, offset=0)
    assert replace(pde.ansatz, offset=0, blend=None).offset == 0


def test_a_soliton_in_one_dimension() -> None:
    """The blended form agrees with the offset also in one dimension, where there is no y."""
    pde = pdezoo.make("kdv/two-solitons")
    points = pde.domain.sample(jax.random.key(0), 20)
    (found,) = in_float64(blended(pde), points)
    (want,) = in_float64(lower((pde.ansatz.offset,), 1), points)
    np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "side",
    [
        Side(x, np.float32(0), np.int64(1), np.int64(1), np.int8(2)),
        Side(x, sp.Integer(0), sp.S.One, 1, sp.S(2)),
    ],
)
def test_numbers_are_those_of_any_library(side: Side) -> None:
    """NumPy's and SymPy's numbers make the ansatz that Python's make, and the ends are named as they are."""
    want = boundary_data(x**2 * t, (Side(x, 0, 1, 1, 2),))
    found = boundary_data(x**2 * t, (side,))
    assert (found.factor, found.offset, found.blend) == (want.factor, want.offset, want.blend)
    assert [held.label for held in found.holds] == ["x = 0", "x = 1"]


def test_a_side_may_end_at_an_exact_number() -> None:
    """The symbol stays in the ansatz; the end that is looked at is a float."""
    held = boundary_data(sp.sin(x), (Side(x, 0, sp.pi),)).holds
    points = Points(jax.numpy.ones((2, 1)), None)
    np.testing.assert_allclose([h.project(points).x[:, 0] for h in held], [[0, 0], [np.pi] * 2], rtol=1e-6)


def test_a_seed_is_a_plain_number(pde: PDE) -> None:
    """So that what is written of a problem can be read again, whoever counted."""
    assert type(replace(pde, seed=np.int64(3)).seed) is int
