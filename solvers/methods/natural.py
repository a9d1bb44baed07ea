"""Natural-gradient rows: SPRING and ENGD-W (Guzmán-Cordero et al. 2025), on the residuals of sparse STDE.

Settings were chosen on instance 100 of `allen-cahn/two-body-wide` at d = 100 and of `kdv/one-soliton`, by runs of 60 to 300
steps, one seed each. Estimator: exact derivatives in one pass, 16 random signs and 16 axes were tried; after as many steps all
had about the same error, and the exact ones cost five times the processor time. Of the other two, sparse STDE has partial
derivatives too. Step size of `spring`: 0.1; 0.3 overshoots, and so does a momentum of 0.95. Damping: 10⁻³; 10⁻² is 1%
better on Allen-Cahn, 10⁻⁵ a sixth on KdV. Step size of `engd`: 0.1, 0.3, 0.5 and 1 were tried on one or
the other problem; 0.1 is slow, above it the Allen-Cahn errors agree within 1%.
"""

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
