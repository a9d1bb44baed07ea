"""The row of random differences, trained with Adam."""

from __future__ import annotations

from solvers import NeuralSolver, RandomDifference, Solver, register


@register("random-difference")
def random_difference() -> Solver:
    """Random differences, 16 pairs: no derivative in x is taken; Adam. Cai, Fang and Zhou 2025."""
    return NeuralSolver("random-difference", RandomDifference())
