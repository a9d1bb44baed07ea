"""A network that reads the ansatz' known part: its values by NumPy, its derivatives by nested autodiff, its limits by reasons."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest
from fields import SPACE, estimates, estimator_of, field_at, reference
from toys import few

import pdezoo
import solvers
from pdezoo import Dt, u
from solvers import OffsetMLP

READS = OffsetMLP(width=6, depth=3)
ALL_AXES = 300
TOLERANCE = {"forward-laplacian": 1e-5}  # it adds 1e-7 of a unit matrix before it factorises


def test_values_are_those_of_an_mlp_on_x_t_and_b() -> None:
    field, at = field_at(5, READS, time=True)
    with jax.enable_x64(True):
        found = np.asarray(field.value(at))
        factor, offset = map(np.asarray, field.problem.ansatz(at))
    p = field.params
    z = at.x @ p["first"] + at.t[:, None] * p["time"] + offset[:, None] * p["offset"] + p["bias"]
    for weight, bias in p["layers"]:
        z = np.tanh(z) @ weight + bias
    np.testing.assert_allclose(found, offset + factor * z[:, 0], rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "dim", "wide"),
    few(
        [
            ("stde", 5, True),
            ("exact", 20, False),
            ("exact", 3, True),
            ("forward-laplacian", 20, False),
            ("stde-exact-gradient", 5, True),
            ("sdgd-parallel", 5, False),
            ("sdgd-backward", 5, True),
        ],
        keep=2,
    ),
)
def test_derivatives_agree_with_nested_autodiff(name: str, dim: int, wide: bool) -> None:
    """Narrower and wider than the network, each random estimator with all axes."""
    atoms = (*SPACE, Dt(u))
    if name == "stde-exact-gradient":
        atoms = tuple(a for a in atoms if type(a).__name__ != "GradNormSq")  # the square of a mean, by axes
    field, at = field_at(dim, READS, wide=wide, time=True)
    found = estimates(estimator_of(name, ALL_AXES), field, at, atoms, [0])
    for atom, want in reference(field, at, atoms).items():
        tolerance = TOLERANCE.get(name, 1e-10)
        np.testing.assert_allclose(
            found[atom][0], want, rtol=tolerance, atol=tolerance * np.abs(want).max(), err_msg=str(atom)
        )


def test_the_scale_of_the_solution_is_the_unit_of_b() -> None:
    """Where u is of size 50 the head gets b/50."""
    field, _ = field_at(4, READS)
    problem = field.problem
    wider = replace(problem, domain=replace(problem.domain, scale=50.0))
    assert problem.domain.scale == 1.0
    np.testing.assert_allclose(replace(field, problem=wider).offset_row * 50.0, field.offset_row, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "dim", "words"),
    [("poisson/two-body", 10, "no known part"), ("kdv/one-soliton", None, "first and second derivatives")],
)
def test_problems_without_an_offset_or_of_high_order_are_unsupported(name, dim, words) -> None:
    pde = pdezoo.make(name, dim=dim)
    solver = replace(solvers.make("stde"), network=OffsetMLP())
    assert words in solver.unsupported(pde)
    assert solvers.make("stde").unsupported(pde) is None


@pytest.mark.parametrize("name", ["rs-pinn", "stein-sparse-grid"])
def test_estimators_that_shift_the_first_map_are_unsupported(name: str) -> None:
    pde = pdezoo.make("semilinear-heat/hard", dim=4)
    assert "not linear" in estimator_of(name).unsupported(pde, OffsetMLP())


def test_its_values_are_not_a_function_of_the_points_alone() -> None:
    field, at = field_at(4, READS)
    with pytest.raises(TypeError, match="Field"):
        field.network.value(field.params, at)
