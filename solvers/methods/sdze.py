"""Rows of SDZE: a forward-only estimator trained in random low-rank subspaces, and its ablations."""

from __future__ import annotations

from solvers import ZORGE, NeuralSolver, SeededMLP, Solver, register
from solvers.estimators.rs_pinn import RSPINN
from solvers.estimators.sdgd import SDGDBackward
from solvers.estimators.stde import STDE
from solvers.trainers.subspace import SubspaceZO


@register("sdze")
def sdze() -> Solver:
    """Sparse STDE, zeroth-order descent in random low-rank subspaces, common random numbers on both sides."""
    return NeuralSolver("sdze", STDE(), SubspaceZO())


@register("sdze-no-crns")
def sdze_no_crns() -> Solver:
    """The ablation without common random numbers: each side of a difference has its own points and axes.

    With ε as small as in `sdze` the noise of ρ drowns everything; at ε = 0.1 it learns a small problem.
    """
    return NeuralSolver("sdze-no-crns", STDE(), SubspaceZO(common=False, epsilon=0.1))


@register("sdze-adam")
def sdze_adam() -> Solver:
    """SDZE with Adam's moments in the r × r core; sixteen queries a step."""
    return NeuralSolver("sdze-adam", STDE(), SubspaceZO(5e-3, momentum=0.9, second_moment=0.99, queries=16))


@register("sdze-replay")
def sdze_replay() -> Solver:
    """SDZE that makes its first weight and its past subspaces again from seeds at every use: memory ∝ √d."""
    return NeuralSolver("sdze-replay", STDE(), SubspaceZO(refresh=500), SeededMLP())


@register("sdze-full-space")
def sdze_full_space() -> Solver:
    """Ablation without subspaces: sparse STDE, symmetric differences along a Gaussian in all parameters."""
    return NeuralSolver(
        "sdze-full-space", STDE(), ZORGE(mu=1e-3, symmetric=True, queries=1, learning_rate=1e-4)
    )


@register("sdgd-mixed-zo")
def sdgd_mixed_zo() -> Solver:
    """SDGD by reverse mode in space, zeroth-order descent in all parameters."""
    return NeuralSolver(
        "sdgd-mixed-zo", SDGDBackward(), ZORGE(mu=1e-3, symmetric=True, queries=1, learning_rate=1e-4)
    )


@register("rs-pinn-zo")
def rs_pinn_zo() -> Solver:
    """Randomised smoothing in space, zeroth-order descent in all parameters: no automatic differentiation."""
    return NeuralSolver("rs-pinn-zo", RSPINN(), ZORGE(mu=1e-3, symmetric=True, queries=1, learning_rate=1e-4))
