"""Linear parabolic equations, and those that Hopf and Cole make linear, as expectations over random paths."""

from __future__ import annotations

from dataclasses import dataclass

from pdezoo import PDE
from solvers import Solver, on_device, register
from solvers.montecarlo.equations import NoExpectation, evolution
from solvers.montecarlo.paths import Paths
from solvers.montecarlo.pointwise import PointwiseSolver
from solvers.montecarlo.samplers import FeynmanKac


@dataclass(frozen=True)
class FeynmanKacSolver(PointwiseSolver):
    """u(x, t) = E[e^{cτ} data(X_τ)] + … along paths that are drawn exactly, without steps in time."""

    def require(self, pde: PDE) -> None:
        """Raises NoExpectation where the equation is neither linear nor made so by v = e^{κu/a}."""
        found = evolution(pde)
        if found.discount is None:
            raise NoExpectation(
                "the operator is not linear in u, or u has a coefficient that varies: see multilevel-picard"
            )
        if not found.square_gradient:
            return
        if found.discount or found.source is None or found.diffusions or found.geometric:
            raise NoExpectation(
                "|∇u|² goes away by v = exp(κu/a) beside a Δu, constant sources and drifts only"
            )

    def sampler(self, pde: PDE) -> FeynmanKac:
        """Makes what draws values along paths."""
        return FeynmanKac(Paths(on_device(pde), evolution(pde)))


@register("feynman-kac")
def feynman_kac() -> Solver:
    """Feynman-Kac formula along exact paths, by Hopf-Cole where there is |∇u|²; no training."""
    return FeynmanKacSolver("feynman-kac")
