"""What the asv suites in `bench_*.py` share: the cross they run over, and compiled steps.

asv collects every public name that begins with time_, track_, mem_ or peakmem_, imported ones too; nothing
here may be called so. The parameters are read off the source tree that this file lies in and not off the
installed packages: asv numbers parameter combinations, and the numbers must mean the same at every commit.
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

_REGISTERED = re.compile(r'^@register\(\s*"([^"]+)"', re.MULTILINE)
_SEES_SOLUTION = re.compile(r"^    sees_solution: ClassVar\[bool\] = True$", re.MULTILINE)
PROTOCOL = protocol("quick").but(seconds=None)
DIMS = [100, 1_000]


def _registered(folder: str, but: re.Pattern[str] | None = None) -> list[str]:
    """The names that the files of a folder register, files in which `but` is found left out."""
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / folder).glob("[a-z]*.py")]
    chosen = [source for source in sources if but is None or not but.search(source)]
    return sorted(name for source in chosen for name in _REGISTERED.findall(source))


PROBLEMS = _registered("pdezoo/equations")
SOLVERS = _registered("solvers/methods", but=_SEES_SOLUTION)


@dataclass
class Loop:
    """A compiled step and its state, which every call uses up and replaces."""

    compiled: Any
    state: Any
    loss: Any = 0.0

    def step(self) -> None:
        """One step, waited for."""
        import jax

        self.state, losses = self.compiled(self.state)
        self.loss = jax.block_until_ready(losses)

    def require_finite(self) -> None:
        """Raises FloatingPointError if the training has diverged: a time of NaNs is no time."""
        import jax

        if not all(math.isfinite(float(value)) for value in jax.tree.leaves(self.loss)):
            raise FloatingPointError("the loss is not finite")


def pair(problem: str, solver: str, dim: int) -> tuple[Any, Any]:
    """Problem and solver. Raises NotImplementedError, which asv shows as skipped, if this commit lacks one."""
    try:
        pdes, solvers = names()
        lib = subjects()
    except AttributeError as error:  # but a package that is not installed at all is a failure
        raise NotImplementedError(f"this commit lacks a public name: {error}") from None
    if solver not in solvers or not any(name.partition("/")[0] == problem for name in pdes):
        raise NotImplementedError(f"this commit lacks {problem} or {solver}")
    pde, method = _problem(problem, dim), lib.make_solver(solver)
    if reason := method.unsupported(pde):
        raise NotImplementedError(reason)
    return pde, method


def _problem(name: str, dim: int) -> Any:
    """The problem at `dim`; one that has a dimension of its own is measured there, once: in place of the first of DIMS."""
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
    """What the harness calls this: problem, dimension and hyperparameters spelt out, seeds 0."""
    pde, _ = pair(problem, solver, dim)
    return resolve([Request(pde.name, pde.dim, 0, solver, (), PROTOCOL, 0)], subjects())[0].cell


def compiled(problem: str, solver: str, dim: int) -> Any:
    """The compiled step. Raises NotImplementedError where a solver has none."""
    pde, method = pair(problem, solver, dim)
    made = None
    if hasattr(method, "compile"):  # at older commits, not every solver
        made = method.compile(pde, steps=PROTOCOL.steps, batch=PROTOCOL.batch, chunk=1)
    if made is None:
        raise NotImplementedError(f"{solver} has no compiled step at this commit")
    return made


@lru_cache(maxsize=1)
def loop(problem: str, solver: str, dim: int) -> Loop:
    """A loop that is compiled once in a process: asv calls `setup` before every timed call."""
    made = compiled(problem, solver, dim)
    return Loop(made, made.init(seed=0))


class Cross:
    """The parameters of every suite."""

    params = (PROBLEMS, SOLVERS, DIMS)
    param_names = ("problem", "solver", "d")
    version = PROTOCOL.fingerprint
    timeout = 600
