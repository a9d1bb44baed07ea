"""The reference row: exact derivatives, trained with Adam."""

from __future__ import annotations

from solvers import Exact, NeuralSolver, Solver, register


@register("exact")
def exact() -> Solver:
    """All second derivatives by forward-over-reverse mode, Adam: the reference row."""
    return NeuralSolver("exact", Exact())
