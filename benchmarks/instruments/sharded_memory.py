"""Plans the memory of a step on each of many devices: `python -m benchmarks.instruments.sharded_memory sdze`.

Nothing is allocated: the program is compiled for pretended CPU devices and for shapes in place of arrays.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import sympy as sp

import solvers
from benchmarks.instruments import running
from benchmarks.records.reading import Row
from pdezoo import PDE, Ball, Exact, Laplacian, Problem, X, u, window_sum


def planned(name: str, dim: int, devices: int, batch: int) -> dict[str, int]:
    """Returns the bytes on each of `devices` as the compiler plans them for a step of the solver `name` on a batch of points:
    in total, of arguments, of temporaries; and the bytes of its part of the first weight, shape (d, h).
    """
    solver: Any = solvers.make(name)
    mesh = solvers.coordinate_mesh(jax.devices()[:devices])
    problem = solvers.pad_to_mesh(shapes_of_problem(dim), mesh)
    state = solvers.divided(jax.eval_shape(lambda: solver.init(problem, 0, 1000)), dim, mesh)
    put = lambda a, place: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place)
    arguments = jax.tree.map(put, (problem, state), solvers.places((problem, state), dim, mesh))
    loop = jax.jit(solver.advance, static_argnames="batch", donate_argnums=1)
    plan: Any = (
        loop.lower(*arguments, jax.ShapeDtypeStruct((), jnp.int32), batch=batch).compile().memory_analysis()
    )
    held, extra = plan.argument_size_in_bytes, plan.temp_size_in_bytes
    total = held + extra + plan.output_size_in_bytes - plan.alias_size_in_bytes
    return {
        "total_bytes": total,
        "argument_bytes": held,
        "temporary_bytes": extra,
        "weight_bytes": 4 * dim * solver.network.width // devices,
    }


def shapes_of_problem(dim: int) -> Problem:
    """Returns Poisson's equation with a two-body solution, its coefficients as shapes: a thousand million are never drawn."""
    ball = Ball(dim)
    kernel = sp.sin(X[0] + sp.cos(X[1]) + X[1] * sp.cos(X[0]))
    solution = Exact(ball.vanishing().factor * window_sum(kernel))
    lowered = PDE(Laplacian(u), ball, ball.vanishing(), solution).lower()
    source = lowered.source
    shapes = tuple(jax.ShapeDtypeStruct((dim,), jnp.float32) for _ in source.weights)
    return replace(lowered, source=replace(source, weights=shapes))


def measured(options: argparse.Namespace) -> Iterator[Row]:
    """Yields the plan of every solver asked for, in bytes a device."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", options.devices)
    for name in options.solvers:
        plan = planned(name, options.dim, options.devices, options.batch)
        yield {"row": name, "dim": options.dim, "devices": options.devices, **plan}


def main() -> int:
    """Prints the plans. Returns the exit status."""
    parser = running.parser("sharded_memory", __doc__)
    parser.add_argument("solvers", nargs="+")
    parser.add_argument("--dim", type=int, default=10**9)
    parser.add_argument("--devices", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    return running.run("sharded_memory", parser.parse_args(), measured)


if __name__ == "__main__":
    raise SystemExit(main())
