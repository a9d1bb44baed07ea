"""What the asv suites in `bench_*.py` share: their parameters (problems × solvers × dimensions) and compiled steps.

asv collects every public name that begins with time_, track_, mem_ or peakmem_, imported ones too; nothing
here may be called so. The parameters are read off the source tree that this file lies in and not off the
installed packages: asv numbers parameter combinations, and the numbers must mean the same at every commit.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import decode_source
from typing import Any

from benchmarks.planning.matrix import Request
from benchmarks.planning.resolve import resolve
from benchmarks.planning.subjects import names, subjects
from benchmarks.records.checkout import ROOT
from benchmarks.records.protocol import protocol
from benchmarks.records.record import Cell

_REGISTERED = re.compile(r'^@register\(\s*"([^"]+)"', re.MULTILINE)
_SEES_SOLUTION = re.compile(r"^    sees_solution: ClassVar\[bool\] = True$", re.MULTILINE)
"""Marks a file of solvers that is left out whole: the null predictors stand in one file, and train nothing."""
PROTOCOL = protocol("quick").but(seconds=None)
DIMS = [100, 1_000]


def _registered(folder: str, but: re.Pattern[str] | None = None) -> list[str]:
    """Returns the sorted names that the files of a folder register, without the files that the pattern `but` matches."""
    sources = [decode_source(file.read_bytes()) for file in (ROOT / folder).glob("[a-z]*.py")]
    chosen = [source for source in sources if but is None or not but.search(source)]
    return sorted(name for source in chosen for name in _REGISTERED.findall(source))


PROBLEMS = _registered("pdezoo/equations")
SOLVERS = _registered("solvers/methods", but=_SEES_SOLUTION)


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


def pair(problem: str, solver: str, dim: int) -> tuple[Any, Any]:
    """Returns the problem, at `dim`, and the solver. Raises NotImplementedError, which asv shows as skipped, if this commit
    lacks one of them, the problem does not exist at `dim`, or the solver does not support it.
    """
    try:
        pdes, solvers = names()
        lib = subjects()
    except AttributeError as error:  # a package that is not installed at all is a failure, not a skip
        raise NotImplementedError(f"this commit lacks a public name: {error}") from None
    if solver not in solvers or not any(name.partition("/")[0] == problem for name in pdes):
        raise NotImplementedError(f"this commit lacks {problem} or {solver}")
    pde, method = _problem(problem, dim), lib.make_solver(solver)
    if reason := method.unsupported(pde):
        raise NotImplementedError(reason)
    return pde, method


def _problem(name: str, dim: int) -> Any:
    """Returns the problem at `dim`. A problem of one fixed dimension is measured once, in place of the first of DIMS; for the
    other DIMS NotImplementedError is raised.
    """
    lib = subjects()
    try:
        return lib.make_pde(name, dim=dim)
    except lib.bad_dimension as error:
        if dim != DIMS[0]:
            raise NotImplementedError(str(error)) from None
    try:
        return lib.make_pde(name, dim=None)
    except lib.bad_dimension as error:
        raise NotImplementedError(str(error)) from None


def cell(problem: str, solver: str, dim: int) -> Cell:
    """Returns the cell of the harness for these parameters, under PROTOCOL, with instance seed 0 and training seed 0."""
    pde, _ = pair(problem, solver, dim)
    return resolve([Request(pde.name, pde.dim, 0, solver, (), PROTOCOL, 0)], subjects())[0].cell


def compiled(problem: str, solver: str, dim: int) -> Any:
    """Returns the compiled training step of a solver on a problem. Raises NotImplementedError if the solver has none."""
    pde, method = pair(problem, solver, dim)
    made = None
    if hasattr(method, "compile"):  # solvers of older commits may lack it
        made = method.compile(pde, steps=PROTOCOL.steps, batch=PROTOCOL.batch, chunk=1)
    if made is None:
        raise NotImplementedError(f"{solver} has no compiled step at this commit")
    return made


@lru_cache(maxsize=1)
def loop(problem: str, solver: str, dim: int) -> Loop:
    """Returns the loop for these parameters, the same at every call: asv calls `setup` before each timed call, and compiling
    every time would take too long.
    """
    made = compiled(problem, solver, dim)
    return Loop(made, made.init(seed=0))


class Cross:
    """The parameters, version and time limit (in seconds) that all suites inherit."""

    params = (PROBLEMS, SOLVERS, DIMS)
    param_names = ("problem", "solver", "d")
    version = PROTOCOL.fingerprint
    timeout = 600
