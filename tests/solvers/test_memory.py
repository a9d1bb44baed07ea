"""Nothing of size K·d or B·K·d is ever formed: read off the compiled training step."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from fields import Plain
from toys import few

import pdezoo
import solvers
from pdezoo import block_size
from solvers import MLP, Compiled, NeuralSolver

DIM, BATCH, SAMPLES, WIDTH = 10_007, 5, 11, 8  # K is the largest, so that K·d is beyond what is allowed
ROWS = ["stde", "hte", "sdgd-backward", "sdgd-parallel", "sdgd-forward-over-backward"]
_SHAPE = re.compile(r"\b(?:pred|bf16|[sufc]\d+)\[([\d,]+)\]")


def largest_array(compiled: Compiled) -> int:
    """The number of elements of the largest array in the compiled program."""
    shapes = _SHAPE.findall(compiled.executable.as_text())
    assert shapes
    return max(math.prod(map(int, s.split(","))) for s in shapes)


def compiled_step(solver: NeuralSolver) -> Compiled:
    return solver.compile(pdezoo.make("allen-cahn/two-body", dim=DIM), steps=10, batch=BATCH)


@pytest.mark.parametrize("name", few(ROWS, keep=2))
def test_no_array_is_larger_than_the_weights_or_the_points(name: str) -> None:
    compiled = compiled_step(solvers.make(name, samples=SAMPLES, width=WIDTH, depth=3))
    assert largest_array(compiled) <= max(BATCH, WIDTH) * DIM
    # weights and both moments live through a step; updates, points and the source's terms come and go
    assert compiled.bytes < 4 * DIM * (8 * WIDTH + 16 * BATCH)


def test_plain_one_hot_directions_would_be_found() -> None:
    """The same estimator through a network that hides its first layer pushes whole directions: the control."""
    solver = solvers.make("stde", samples=SAMPLES)
    plain = replace(solver, network=Plain(MLP(width=WIDTH, depth=3)))
    assert largest_array(compiled_step(plain)) >= SAMPLES * DIM


def test_adam_at_many_dimensions_is_planned_in_four_weights_and_a_block() -> None:
    """Weights, gradient, two moments; a block of points, and of the gradient. Compiled only, nothing is run."""
    dim, batch, width = 400_000, 100, 128
    solver = solvers.make("stde", samples=2, width=width, depth=3)
    compiled = solver.compile(pdezoo.make("allen-cahn/two-body", dim=dim), steps=10, batch=batch)
    numbers = 4 * dim * width + block_size(dim) * (batch + width)
    coefficients = 4 * dim  # the solution's two, and room for what does not grow with d
    assert compiled.bytes <= 4 * (numbers + coefficients)
