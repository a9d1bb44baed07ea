"""Natural-gradient rows: SPRING and ENGD-W (Guzmán-Cordero et al. 2025), with exact derivatives in one pass."""

from __future__ import annotations

from solvers import NaturalGradient, NeuralSolver, Solver, register

from .forward_laplacian import ForwardLaplacian


@register("spring")
def spring() -> Solver:
    """Exact derivatives in one forward pass; natural gradient with momentum. Guzmán-Cordero et al. 2025."""
    return NeuralSolver("spring", ForwardLaplacian(), NaturalGradient())


@register("engd")
def engd() -> Solver:
    """Exact derivatives in one forward pass; natural gradient without momentum. Guzmán-Cordero et al. 2025."""
    return NeuralSolver("engd", ForwardLaplacian(), NaturalGradient(momentum=0.0))
