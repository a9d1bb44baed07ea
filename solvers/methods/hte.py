"""Rows with dense random directions: HTE (Hu et al. 2024) and dense STDE (Shi et al. 2024)."""

from __future__ import annotations

from solvers import NeuralSolver, Solver, register
from solvers.estimators.hte import HTE, DenseSTDE


@register("hte")
def hte() -> Solver:
    """Hutchinson trace estimation with dense random signs, collapsed Taylor mode; Adam. Hu et al. 2024."""
    return NeuralSolver("hte", HTE())


@register("stde-dense")
def stde_dense() -> Solver:
    """Dense STDE: standard normal directions, collapsed Taylor mode; Adam. Shi et al. 2024."""
    return NeuralSolver("stde-dense", DenseSTDE())
