"""Rows of SDZE: a forward-only estimator trained in random low-rank subspaces, and its ablations.

The loss is the mean of r̂_ξ(x) r̂_ξ'(x) with two independent sets of axes (the paper's equation 9), which is unbiased. What the
two sides of a difference have in common is the points and both sets (`sdze`), the points alone (`sdze-other-directions`, the
paper's ablation), or nothing (`sdze-no-crns`).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from solvers import ZORGE, DoubleSampledLoss, NeuralSolver, SeededMLP, Solver, register
from solvers.estimators.rs_pinn import RSPINN
from solvers.estimators.sdgd import SDGDBackward
from solvers.estimators.stde import STDE
from solvers.trainers.subspace import PerturbedLoss, SubspaceZO


@dataclass(frozen=True)
class OtherDirections(SubspaceZO):
    """SDZE's descent with the same points on both sides of a difference and an independent ξ on each: the paper's ablation.

    `common` true gives both sides the same ξ too, as `SubspaceZO` does. Raises ValueError where `SubspaceZO` does.
    """

    common: bool = False

    def apart(
        self, at: PerturbedLoss, z: list[Float[Array, "sides ..."]], key: PRNGKeyArray
    ) -> Float[Array, " sides"]:
        """Evaluates the loss at every z on the points that `key` draws, each with a ξ of its own."""
        own = jax.random.split(jax.random.fold_in(key, 3), len(z[0]))
        return jax.vmap(lambda d, k: at(d, key, k))(z, own)


@register("sdze")
def sdze() -> Solver:
    """Sparse STDE, two sets of axes in the loss, descent in random subspaces, common random numbers."""
    return NeuralSolver("sdze", STDE(), SubspaceZO(), loss=DoubleSampledLoss())


@register("sdze-single-sample")
def sdze_single_sample() -> Solver:
    """SDZE with one set of axes, squared: half the derivatives, a loss biased by their variance."""
    return NeuralSolver("sdze-single-sample", STDE(), SubspaceZO())


@register("sdze-other-directions")
def sdze_other_directions() -> Solver:
    """The published ablation of common random numbers: the same points on both sides, other axes.

    With ε as small as in `sdze` the noise of ρ drowns everything; ε = 0.1 is that of `sdze-no-crns`.
    """
    trainer = OtherDirections(epsilon=0.1)
    return NeuralSolver("sdze-other-directions", STDE(), trainer, loss=DoubleSampledLoss())


@register("sdze-no-crns")
def sdze_no_crns() -> Solver:
    """The ablation with nothing in common: each side of a difference has its own points and axes.

    With ε as small as in `sdze` the noise of ρ drowns everything; at ε = 0.1 it learns a small problem.
    """
    trainer = SubspaceZO(common=False, epsilon=0.1)
    return NeuralSolver("sdze-no-crns", STDE(), trainer, loss=DoubleSampledLoss())


@register("sdze-no-crns-single-sample")
def sdze_no_crns_single_sample() -> Solver:
    """`sdze-single-sample` with nothing in common on the two sides of a difference."""
    return NeuralSolver("sdze-no-crns-single-sample", STDE(), SubspaceZO(common=False, epsilon=0.1))


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
