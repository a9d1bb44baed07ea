"""What the asv suites in `bench_*.py` share: their parameter, which is a cell of the cross, and compiled steps.

asv collects every public function and method that begins with time_, track_, mem_ or peakmem_, imported ones too, in every
module below `benchmarks`; none but a benchmark may be called so. The cells stand in `benchmarks/cells.txt` of the source tree
that this file lies in, and not in the installed packages: every commit is asked for the same ones, and what a commit lacks is
skipped.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from benchmarks.planning.matrix import Request
from benchmarks.planning.resolve import resolve
from benchmarks.planning.subjects import names, subjects
from benchmarks.records.checkout import ROOT
from benchmarks.records.protocol import protocol
from benchmarks.records.record import Cell

_CELL = re.compile(r"(?P<problem>\S+) d=(?P<dim>[1-9][0-9]*) (?P<solver>\S+)")
PROTOCOL = protocol("quick").but(seconds=None)


def parts(cell: str) -> tuple[str, int, str]:
    """Returns problem, dimension and solver of a cell such as "allen-cahn/two-body d=100 stde".

    Raises ValueError for another text.
    """
    found = _CELL.fullmatch(cell)
    if found is None:
        raise ValueError(f"a cell is a problem, d=DIMENSION and a solver, got {cell[:80]!r}")
    return found["problem"], int(found["dim"]), found["solver"]


CELLS = [
    line
    for line in (ROOT / "benchmarks" / "cells.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


@dataclass
class Loop:
    """A compiled training step and its current state: a step reuses the buffers of its state and returns the next one."""

    compiled: Any
    state: Any
    loss: Any = 0.0

    def step(self) -> None:
        """Takes one training step and waits until the device has finished it."""
        import jax

        self.state, losses = self.compiled(self.state)
        self.loss = jax.block_until_ready(losses)

    def require_finite(self) -> None:
        """Raises FloatingPointError if the last loss is not finite: the cost of a diverged training says nothing."""
        import jax

        if not all(math.isfinite(float(value)) for value in jax.tree.leaves(self.loss)):
            raise FloatingPointError("the loss is not finite")


def pair(cell: str) -> tuple[Any, Any]:
    """Returns the problem and the solver of a cell.

    Raises NotImplementedError, which asv shows as skipped, if this commit lacks one of them, the problem does not exist at that
    dimension, or the solver does not support it.
    """
    problem, dim, solver = parts(cell)
    try:
        pdes, solvers = names()
        lib = subjects()
    except AttributeError as error:  # a package that is not installed at all is a failure, not a skip
        raise NotImplementedError(f"this commit lacks a public name: {error}") from None
    if solver not in solvers or problem not in pdes:
        raise NotImplementedError(f"this commit lacks {problem} or {solver}")
    try:
        pde = lib.make_pde(problem, dim=dim)
    except lib.bad_dimension as error:
        raise NotImplementedError(str(error)) from None
    method = lib.make_solver(solver)
    if reason := method.unsupported(pde):
        raise NotImplementedError(reason)
    return pde, method


def cell_of(cell: str) -> Cell:
    """Returns the cell of the harness that a parameter stands for, under PROTOCOL, with instance seed 0 and training seed 0."""
    pde, _ = pair(cell)
    request = Request(pde.name, pde.dim, 0, parts(cell)[2], (), PROTOCOL, 0)
    return resolve([request], subjects())[0].cell


def compiled(cell: str) -> Any:
    """Returns the compiled training step of a cell. Raises NotImplementedError if its solver has none."""
    pde, method = pair(cell)
    made = None
    if hasattr(method, "compile"):  # solvers of older commits may lack it
        made = method.compile(pde, steps=PROTOCOL.steps, batch=PROTOCOL.batch, chunk=1)
    if made is None:
        raise NotImplementedError(f"{cell} has no compiled step at this commit")
    return made


@lru_cache(maxsize=1)
def loop(cell: str) -> Loop:
    """Returns the loop of a cell, the same at every call: asv calls `setup` before each timed call, and compiling every time
    would take too long.
    """
    made = compiled(cell)
    return Loop(made, made.init(seed=0))


class Cross:
    """The parameter, version and time limit (in seconds) that all suites inherit."""

    params = (CELLS,)
    param_names = ("cell",)
    version = PROTOCOL.fingerprint
    timeout = 600
