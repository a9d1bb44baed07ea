"""Natural-gradient rows: SPRING and ENGD-W (Guzmán-Cordero et al. 2025), on the residuals of sparse STDE."""

from __future__ import annotations

from solvers import STDE, NaturalGradient, NeuralSolver, Solver, register


@register("spring")
def spring() -> Solver:
    """Sparse STDE; natural gradient with momentum. Guzmán-Cordero et al. 2025."""
    return NeuralSolver("spring", STDE(), NaturalGradient())


@register("engd")
def engd() -> Solver:
    """Sparse STDE; natural gradient without momentum. Guzmán-Cordero et al. 2025."""
    return NeuralSolver("engd", STDE(), NaturalGradient(learning_rate=0.5, momentum=0.0))
