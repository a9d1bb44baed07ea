"""Measures training steps of several solvers in turns in one process: `python -m benchmarks.instruments.step_cost`.

A dispatch takes many steps, as in training: memory for temporaries is then allocated once a dispatch, not once a step. The work
common to all solvers, drawing points and evaluating the source, is measured too, so that it can be subtracted. The learning rate is
almost zero: the cost of a step does not depend on it, and nothing diverges. Peak memory is that of the process; to measure it for
one solver, name that one alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import pdezoo
import solvers
from benchmarks.execution.memory import process_peak
from benchmarks.instruments import running
from benchmarks.records.errors import UserError
from benchmarks.records.reading import Row
from benchmarks.terminal.parsing import dimension, hyperparameter, whole
from pdezoo.lowering import prng

PROBLEM = "allen-cahn/two-body"
COMMON = "points and source"
MAX_STEPS = 10**6


class Dispatch(NamedTuple):
    """A function `run` that takes `steps` training steps in one dispatch and waits for them."""

    run: Callable[[], object]
    steps: int


def rows(specs: list[str], dim: int, batch: int, steps: int) -> dict[str, Dispatch]:
    """Returns the dispatches of all specifications, and of the work that they have in common, compiled and run once.

    A specification is the name of a solver, with hyperparameters if wanted: `sdze:queries=16,rank=32`.
    """
    pde = pdezoo.make(PROBLEM, dim)
    return {spec: _row(spec, pde, batch, steps) for spec in specs} | {COMMON: _common(pde, batch, steps)}


def _row(spec: str, pde: Any, batch: int, steps: int) -> Dispatch:
    name, _, settings = spec.partition(":")
    given = dict(hyperparameter(text) for text in settings.split(",") if text)
    solver: Any = solvers.make(name, **({"learning_rate": 1e-12} | given))
    return training(solver.compile(pde, batch=batch, chunk=steps))


def training(compiled: Any) -> Dispatch:
    """Returns a compiled training loop as a dispatch of `compiled.chunk` steps, run once already."""
    state = compiled.init()

    def run() -> None:
        nonlocal state
        state = jax.block_until_ready(compiled(state)[0])

    run()
    return Dispatch(run, compiled.chunk)


def _common(pde: Any, batch: int, steps: int) -> Dispatch:
    trained: Any = solvers.make("stde")
    problem = solvers.on_device(pde)

    @jax.jit
    def work(problem: Any, key: Any) -> Any:
        draw = lambda step: trained.points(problem, jax.random.fold_in(key, step), batch)
        return jax.lax.map(lambda step: jnp.stack(problem.source(draw(step))), jnp.arange(steps))

    keys = iter(range(10**9))
    run = lambda: jax.block_until_ready(work(problem, prng.key(next(keys))))
    run()
    return Dispatch(run, steps)


def step_seconds(dispatches: dict[str, Dispatch], seconds: float) -> dict[str, float]:
    """Returns the median seconds a step of each dispatch. They run in turns, at least three times each, until the time spent is
    `seconds` for each on average.
    """
    times: dict[str, list[float]] = {name: [] for name in dispatches}
    budget, least = seconds * len(dispatches), 3
    while min(map(len, times.values())) < least or sum(map(sum, times.values())) < budget:
        for name, dispatch in dispatches.items():
            begin = time.perf_counter()
            dispatch.run()
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(t) / dispatches[name].steps for name, t in times.items()}


def compared(dim: int, seconds: dict[str, float], base: str) -> Iterator[Row]:
    """Yields a row for each solver: its seconds a step, how many times faster it is than the solver `base`, and that ratio with the
    common work subtracted from both, None where nothing is left.
    """
    common = seconds[COMMON]
    for name, spent in seconds.items():
        own, its = seconds[base] - common, spent - common
        yield {
            "dim": dim,
            "row": name,
            "seconds": spent,
            "ratio": seconds[base] / spent,
            "ratio_without_common": own / its if name != COMMON and its > 0 else None,
        }


def measured(options: argparse.Namespace) -> Iterator[Row]:
    """Yields the rows of `compared` at every dimension asked for, with the peak memory of the process so far, in bytes.

    Raises UserError for a bad argument.
    """
    steps = whole(options.steps, "the number of steps a dispatch", 1, MAX_STEPS)
    for dim in map(dimension, options.dims):
        try:
            dispatches = rows(options.rows, dim, options.batch, steps)
        except ValueError as error:  # no such solver, or no such hyperparameter
            raise UserError(str(error)) from None
        seconds = step_seconds(dispatches, options.seconds)
        peak = process_peak()
        for row in compared(dim, seconds, options.rows[0]):
            yield row | {"peak_bytes": peak}


def main() -> int:
    """Prints the comparison at every dimension asked for. Returns the exit status: 2 for a bad argument."""
    parser = running.parser("step_cost", __doc__)
    parser.add_argument("--dims", nargs="+", default=["1e4", "1e5"])
    parser.add_argument(
        "--rows", nargs="+", default=["stde", "sdze", "sdze:queries=16"], help="the first is the base"
    )
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--steps", default="10", help="how many steps a dispatch makes")
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="how long to measure at each dimension, a row"
    )
    return running.run("step_cost", parser.parse_args(), measured)


if __name__ == "__main__":
    raise SystemExit(main())
