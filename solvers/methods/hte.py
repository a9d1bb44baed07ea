"""Rows with dense random directions: HTE (Hu et al. 2024) and dense STDE (Shi et al. 2024)."""

from __future__ import annotations

from solvers import NeuralSolver, ReadoutStart, Solver, register
from solvers.estimators.hte import HTE, DenseSTDE


@register("hte")
def hte() -> Solver:
    """Hutchinson trace estimation with dense random signs, collapsed Taylor mode; Adam. Hu et al. 2024."""
    return NeuralSolver("hte", HTE())


@register("hte-lsq")
def hte_lsq() -> Solver:
    """HTE; Adam from a read-out that was fitted to the residuals by least squares."""
    return NeuralSolver("hte-lsq", HTE(), start=ReadoutStart())


@register("stde-dense")
def stde_dense() -> Solver:
    """Dense STDE: random signs, as in the published code, so that it is `hte`; Adam. Shi et al. 2024."""
    return NeuralSolver("stde-dense", HTE())


@register("stde-dense-normal")
def stde_dense_normal() -> Solver:
    """Dense STDE with standard normal directions, of more variance; Adam. Shi et al. 2024."""
    return NeuralSolver("stde-dense-normal", DenseSTDE())
