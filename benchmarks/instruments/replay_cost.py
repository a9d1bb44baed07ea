"""Measures steps whose weights are never stored: `python -m benchmarks.instruments.replay_cost 10_000_000 --batch 10`.

The weights are regenerated from the keys of all subspaces so far. A new subspace begins with every step, so that step k
regenerates k − 1 earlier ones, with one pass over the d coordinates for each.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import jax

import pdezoo
import solvers
from benchmarks.execution.memory import process_peak
from benchmarks.instruments import running
from benchmarks.records.reading import Row


def steps(dim: int, batch: int, count: int) -> Iterator[Row]:
    """Yields a row for each of `count` steps.

    A row has the compiler's plan and the size that the weights would have, in bytes; the step's number, its seconds, processor
    seconds and loss, and the peak resident bytes of the process.
    """
    solver: Any = solvers.make("sdze-replay", refresh=1)
    compiled = solver.compile(pdezoo.make("poisson/two-body", dim=dim), steps=count, batch=batch)
    plan = {"compiled_bytes": compiled.bytes, "weight_bytes": 4 * dim * solver.network.width}
    state = jax.block_until_ready(compiled.init())
    for step in range(1, count + 1):
        begin = time.perf_counter(), time.process_time()
        state, losses = jax.block_until_ready(compiled(state))
        spent = [
            after - before
            for after, before in zip((time.perf_counter(), time.process_time()), begin, strict=True)
        ]
        yield {
            "dim": dim,
            "batch": batch,
            "step": step,
            **plan,
            "seconds": spent[0],
            "processor_seconds": spent[1],
            "loss": float(losses.mean),
            "peak_bytes": process_peak(),
        }


def main() -> int:
    """Prints one line for each step. Returns the exit status."""
    parser = running.parser("replay_cost", __doc__)
    parser.add_argument("dim", type=int)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--steps", type=int, default=2)
    measured = lambda given: steps(given.dim, given.batch, given.steps)
    return running.run("replay_cost", parser.parse_args(), measured)


if __name__ == "__main__":
    raise SystemExit(main())
