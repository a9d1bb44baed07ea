"""Measures steps whose weights are never stored: `python -m benchmarks.instruments.replay_cost 10_000_000 --batch 10`.

The weights are regenerated from the keys of all subspaces so far. A new subspace begins with every step, so that step k
regenerates k − 1 earlier ones, with one pass over the d coordinates for each.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax

import pdezoo
import solvers
from benchmarks.execution.memory import process_peak


def measured(dim: int, batch: int, steps: int) -> Iterator[dict[str, Any]]:
    """Yields the compiler's plan and the size of the weights in bytes; then, for every step, its seconds, its loss and the peak
    resident bytes of the process.
    """
    solver: Any = solvers.make("sdze-replay", refresh=1)
    compiled = solver.compile(pdezoo.make("poisson/two-body", dim=dim), steps=steps, batch=batch)
    yield {"compiled_bytes": compiled.bytes, "weight_bytes": 4 * dim * solver.network.width}
    state = jax.block_until_ready(compiled.init())
    for _ in range(steps):
        begin = time.perf_counter(), time.process_time()
        state, losses = jax.block_until_ready(compiled(state))
        spent = [
            after - before
            for after, before in zip((time.perf_counter(), time.process_time()), begin, strict=True)
        ]
        yield {
            "seconds": spent[0],
            "processor_seconds": spent[1],
            "loss": float(losses.mean),
            "peak_bytes": process_peak(),
        }


def main(arguments: list[str]) -> int:
    """Prints one line for the compiled program and one for each step. Returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dim", type=int)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--steps", type=int, default=2)
    given = parser.parse_args(arguments)
    for line in measured(given.dim, given.batch, given.steps):
        print("  ".join(f"{name} {value:,.4g}" for name, value in line.items()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
