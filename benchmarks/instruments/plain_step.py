"""Measures our training step against the same step written plainly: `python -m benchmarks.instruments.plain_step`.

The plain step is what a reader of the STDE paper would write: `jax.experimental.jet` along one-hot tangents, vmapped over
axes and points, on u = (1 − |x|²) MLP(x); the Allen-Cahn two-body source as an explicit formula on `jnp.sin` and
`jnp.cos`; Optax's Adam; one dispatch a step. Ours takes ten steps a dispatch, of which a training takes even more. Both train the
same problem with the same B, K and network, in one process, in turns, so that other load on the machine slows both.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import pdezoo
import solvers
from benchmarks.instruments import running
from benchmarks.instruments.step_cost import MAX_STEPS, Dispatch, step_seconds, training
from benchmarks.records.reading import Row
from benchmarks.terminal.parsing import dimension, whole

BATCH, SAMPLES, WIDTH, DEPTH = 100, 16, 128, 4


def plain_step(dim: int) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Returns the plain training step in dimension `dim`, jitted, and its first arguments: parameters, Adam's moments and a key.

    The step returns the next three.
    """
    coefficients = jnp.asarray(pdezoo.Coefficients(0).values(dim - 1), jnp.float32)
    optimizer = optax.adam(optax.linear_schedule(1e-3, 0.0, 10_000))

    def step(params: Any, moments: Any, key: jax.Array) -> Any:
        key, where, how = jax.random.split(key, 3)
        x = pdezoo.Ball(dim).sample(where, BATCH).x
        axes = jax.random.choice(how, dim, (min(SAMPLES, dim),), replace=False)
        gradient = jax.grad(plain_loss)(params, x, axes, coefficients)
        updates, moments = optimizer.update(gradient, moments)
        return optax.apply_updates(params, updates), moments, key

    params = _parameters(dim)
    return jax.jit(step, donate_argnums=(0, 1)), (params, optimizer.init(params), jax.random.key(0))


def plain_loss(params: Any, x: jax.Array, axes: jax.Array, coefficients: jax.Array) -> jax.Array:
    """Returns the mean square of residual / d at points x, shape (B, d), with Δu estimated from ∂²_i u along `axes`, shape (K,).

    `coefficients` are those of the solution, shape (d − 1,).
    """

    def residual(y: jax.Array) -> jax.Array:
        return _residual(_laplacian(params, y, axes), _u(params, y), y, coefficients)

    return jnp.mean((jax.vmap(residual)(x) / x.shape[1]) ** 2)


def _u(params: Any, x: jax.Array) -> jax.Array:
    h = x
    for weight, bias in params[:-1]:
        h = jnp.tanh(h @ weight + bias)
    weight, bias = params[-1]
    return (1 - jnp.sum(x**2)) * (h @ weight + bias)[0]


def _laplacian(params: Any, x: jax.Array, axes: jax.Array) -> jax.Array:
    from jax.experimental.jet import jet

    tangents = jax.nn.one_hot(axes, x.shape[0])
    second = jax.vmap(lambda v: jet(lambda y: _u(params, y), (x,), ((v, jnp.zeros_like(v)),))[1][1])(tangents)
    return jnp.mean(second) * x.shape[0]


def _residual(laplacian: jax.Array, u: jax.Array, x: jax.Array, c: jax.Array) -> jax.Array:
    return laplacian + u - u**3 - _source(x, c)


def _source(x: jax.Array, c: jax.Array) -> jax.Array:
    """Δu* + u* − u*³ for u* = (1 − |x|²) Σ c_i sin(x_i + cos x_{i+1} + x_{i+1} cos x_i)."""
    a, b = x[:-1], x[1:]
    p = a + jnp.cos(b) + b * jnp.cos(a)
    p_a, p_b = 1 - b * jnp.sin(a), jnp.cos(a) - jnp.sin(b)
    total = jnp.sum(c * jnp.sin(p))
    curvature = jnp.sum(c * (-jnp.cos(p) * (b * jnp.cos(a) + jnp.cos(b)) - jnp.sin(p) * (p_a**2 + p_b**2)))
    radial = jnp.sum(c * jnp.cos(p) * (a * p_a + b * p_b))
    factor = 1 - jnp.sum(x**2)
    u = factor * total
    return factor * curvature - 4 * radial - 2 * x.shape[0] * total + u - u**3


def _parameters(dim: int) -> Any:
    sizes = [dim] + [WIDTH] * (DEPTH - 1) + [1]
    keys = jax.random.split(jax.random.key(1), DEPTH)
    pairs = zip(keys, sizes[:-1], sizes[1:], strict=True)
    return [(jax.random.normal(k, (m, n)) / np.sqrt(m), jnp.zeros(n)) for k, m, n in pairs]


def compare(dim: int, seconds: float, steps: int) -> Row:
    """Returns the median seconds a step of the plain code and of `stde` ("ours", `steps` a dispatch), and their ratio.

    Each is run for about `seconds`.
    """
    step, arguments = plain_step(dim)

    def plain() -> None:
        nonlocal arguments
        arguments = jax.block_until_ready(step(*arguments))

    plain()
    solver: Any = solvers.make("stde", samples=SAMPLES, width=WIDTH, depth=DEPTH)
    compiled = solver.compile(pdezoo.make("allen-cahn/two-body", dim), batch=BATCH, chunk=steps)
    spent = step_seconds({"plain": Dispatch(plain, 1), "ours": training(compiled)}, seconds)
    return {"dim": dim, **spent, "ratio": spent["plain"] / spent["ours"]}


def measured(options: argparse.Namespace) -> Iterator[Row]:
    """Yields the comparison at every dimension asked for. Raises UserError for a bad argument."""
    steps = whole(options.steps, "the number of steps a dispatch", 1, MAX_STEPS)
    for dim in map(dimension, options.dims):
        yield compare(dim, options.seconds, steps)


def main() -> int:
    """Prints the comparison at every dimension asked for. Returns the exit status: 2 for a bad argument."""
    parser = running.parser("plain_step", __doc__)
    parser.add_argument("--dims", nargs="+", default=["100", "1e3", "1e4", "1e5"])
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to measure at each dimension")
    parser.add_argument("--steps", default="10", help="how many of our steps a dispatch makes")
    return running.run("plain_step", parser.parse_args(), measured)


if __name__ == "__main__":
    raise SystemExit(main())
