"""Rows of RS-PINN (He et al. 2023; Hu et al. 2023)."""

from __future__ import annotations

from solvers import DoubleSampledLoss, HybridLoss, NeuralSolver, Solver, register
from solvers.estimators.rs_pinn import RSPINN


@register("rs-pinn")
def rs_pinn() -> Solver:
    """Randomised smoothing, one sample set (biased loss); Adam. He et al. 2023, Hu et al. 2023."""
    return NeuralSolver("rs-pinn", RSPINN())


@register("rs-pinn-unbiased")
def rs_pinn_unbiased() -> Solver:
    """Randomised smoothing, two independent sample sets (unbiased loss); Adam. Hu et al. 2023."""
    return NeuralSolver("rs-pinn-unbiased", RSPINN(), loss=DoubleSampledLoss())


@register("rs-pinn-hybrid")
def rs_pinn_hybrid() -> Solver:
    """Randomised smoothing, biased for the first half of training, then unbiased; Adam. Hu et al. 2023."""
    return NeuralSolver("rs-pinn-hybrid", RSPINN(), loss=HybridLoss())
