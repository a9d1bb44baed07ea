"""TT-ZO (Zhao et al. 2023): tensor-train networks trained by values alone, and what the paper compares them with.

A forward-only estimator of derivatives × a trainer that only calls the loss × a wide network of few parameters. The paper's
networks have 3 layers of 768 neurons (sine activation there, tanh here: XLA's sine is ten times slower on CPUs).
"""

from __future__ import annotations

from dataclasses import dataclass

from solvers import MLP, TTMLP, Exact, NeuralSolver, Solver, SparseMLP, ZOHybrid, register
from solvers.estimators.stencils import FiniteDifference, SteinMC, SteinSparseGrid

PUBLISHED = {
    (21, 768): ((7, 8), (1, 6), (3, 16)),
    (768, 768): ((12, 12), (8, 4), (8, 16)),
}
"""For the shape (m, n) of a matrix of the paper, its folding ((m_1, n_1), (m_2, n_2), (m_3, n_3))."""


@dataclass(frozen=True)
class PublishedTTMLP(TTMLP):
    """A TTMLP folded so that it has the paper's parameters in 20 dimensions and time: 7,745 at rank 8 and 3,209 at rank 2.

    The paper does not give its foldings. Of all into two to four factors for each of both matrices, with biases and a
    dense read-out, this is the only one in three that gives both numbers at integer ranks.
    """

    def fold(self, shape: tuple[int, int]) -> tuple[tuple[int, int], ...]:
        """Returns the folding that gives the paper's numbers for a matrix of the paper's; others are folded as evenly
        as possible.
        """
        return PUBLISHED.get(shape) or super().fold(shape)


@register("tt-zo")
def tt_zo() -> Solver:
    """Tensor-train network, Stein's identity on a sparse grid, zeroth-order hybrid. Zhao et al. 2023."""
    return NeuralSolver("tt-zo", SteinSparseGrid(), ZOHybrid(), PublishedTTMLP(rank=2))


@register("tt-zo-fd")
def tt_zo_fd() -> Solver:
    """Tensor-train network, finite differences, zeroth-order hybrid. Zhao et al. 2023."""
    return NeuralSolver("tt-zo-fd", FiniteDifference(), ZOHybrid(), PublishedTTMLP(rank=2))


@register("tt-zo-se")
def tt_zo_se() -> Solver:
    """Tensor-train network, Stein's identity by Monte Carlo, zeroth-order hybrid. Zhao et al. 2023."""
    return NeuralSolver("tt-zo-se", SteinMC(), ZOHybrid(), PublishedTTMLP(rank=2))


@register("tt-fo")
def tt_fo() -> Solver:
    """Tensor-train network, exact derivatives, Adam. Zhao et al. 2023."""
    return NeuralSolver("tt-fo", Exact(), network=PublishedTTMLP(rank=2))


@register("tt-fo-fd")
def tt_fo_fd() -> Solver:
    """Tensor-train network, finite differences, Adam. Zhao et al. 2023."""
    return NeuralSolver("tt-fo-fd", FiniteDifference(), network=PublishedTTMLP(rank=2))


@register("tt-fo-se")
def tt_fo_se() -> Solver:
    """Tensor-train network, Stein's identity by Monte Carlo, Adam. Zhao et al. 2023."""
    return NeuralSolver("tt-fo-se", SteinMC(), network=PublishedTTMLP(rank=2))


@register("tt-fo-sg")
def tt_fo_sg() -> Solver:
    """Tensor-train network, Stein's identity on a sparse grid, Adam. Zhao et al. 2023."""
    return NeuralSolver("tt-fo-sg", SteinSparseGrid(), network=PublishedTTMLP(rank=2))


@register("fc-zo")
def fc_zo() -> Solver:
    """Dense network, Stein's identity on a sparse grid, zeroth-order hybrid. Zhao et al. 2023."""
    return NeuralSolver("fc-zo", SteinSparseGrid(), ZOHybrid(), MLP(768, 3))


@register("fc-zo-fd")
def fc_zo_fd() -> Solver:
    """Dense network, finite differences, zeroth-order hybrid. Zhao et al. 2023."""
    return NeuralSolver("fc-zo-fd", FiniteDifference(), ZOHybrid(), MLP(768, 3))


@register("fc-zo-se")
def fc_zo_se() -> Solver:
    """Dense network, Stein's identity by Monte Carlo, zeroth-order hybrid. Zhao et al. 2023."""
    return NeuralSolver("fc-zo-se", SteinMC(), ZOHybrid(), MLP(768, 3))


@register("sp-zo")
def sp_zo() -> Solver:
    """Network pruned by GraSP, Stein's identity on a sparse grid, zeroth-order hybrid. Zhao et al. 2023."""
    return NeuralSolver("sp-zo", SteinSparseGrid(), ZOHybrid(), SparseMLP())


@register("sp-fo")
def sp_fo() -> Solver:
    """Network pruned by GraSP, exact derivatives, Adam. Zhao et al. 2023."""
    return NeuralSolver("sp-fo", Exact(), network=SparseMLP())
