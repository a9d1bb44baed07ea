"""Anchored activation perturbation: a first-order row without reverse mode.

Settings were chosen on instance 100 of `allen-cahn/two-body`, `hjb-lqg/soft-min` and `semilinear-heat/hard` at d = 100, by runs of
3 to 16 seconds, one seed each. Directions: 1, 4 and, by its loss on a small problem alone, 16; with one the noise of Δu is most of
the loss. Rate: 10⁻³, 3·10⁻³ and 10⁻²; the last overshoots on Allen-Cahn. Queries: 1, 4 and none, without a clear difference at
equal time.
"""

from __future__ import annotations

from solvers import MLP, NeuralSolver, ReadoutStart, Solver, register
from solvers.estimators.one_pass import OnePassHTE
from solvers.trainers.anchored import AnchoredActivations


@register("aap")
def aap() -> Solver:
    """HTE with a fitted read-out; gradients by perturbed activations, forward passes alone. Ours."""
    trainer = AnchoredActivations(learning_rate=3e-3)
    return NeuralSolver("aap", OnePassHTE(samples=4), trainer, MLP(), start=ReadoutStart())
