"""Measures by how much a squared loss is biased: `python -m benchmarks.instruments.squared_loss_bias`.

The square of an estimate r̂ is on average (E r̂)² and the variance of r̂. For rows of RS-PINN, on Allen-Cahn two-body at d = 10 with
σ = 0.1 and a network 16 wide at its start: the mean of the loss over keys, less the loss of the mean residual.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import pdezoo
import solvers
from benchmarks.instruments import running
from benchmarks.records.reading import Row
from solvers.loss import Residual

DIM = 10


def over_keys(function: Callable[[Any], Any], count: int) -> np.ndarray:
    """Returns the values of a function of a key, for the keys 0 … `count` − 1."""
    return np.asarray(
        jax.jit(lambda s: jax.lax.map(lambda k: function(jax.random.key(k)), s))(jnp.arange(count))
    )


def bias(name: str, samples: int, count: int) -> tuple[float, float]:
    """Returns E loss − mean (E r̂)² of the row `name` with so many samples, and its standard error, over `count` keys.

    The residual is taken less its mean, so that what is left is the error of the estimate.
    """
    pde = pdezoo.make("allen-cahn/two-body", dim=DIM)
    made: Any = solvers.make(name, samples=samples, sigma=0.1, width=16, depth=3)
    points = pde.domain.sample(jax.random.key(1), 8)
    field = solvers.Field(pde.lower(), made.network.init(jax.random.key(0), DIM, False), made.network)
    residual = lambda p, k: made.estimator.residual(field, p, k)
    mean = over_keys(lambda k: residual(points, k), count).mean(0)
    centred = Residual(lambda p, k: residual(p, k) - mean, points)
    drawn = over_keys(lambda k: made.loss(centred, k), count)
    return float(drawn.mean()), float(drawn.std() / np.sqrt(count))


def measured(options: argparse.Namespace) -> Iterator[Row]:
    """Yields the bias of every row at every number of samples asked for, with its standard error."""
    for name in options.rows:
        for samples in options.samples:
            found, error = bias(name, samples, options.keys)
            yield {"row": name, "samples": samples, "bias": found, "standard_error": error}


def main() -> int:
    """Prints a line for every row and number of samples. Returns the exit status."""
    parser = running.parser("squared_loss_bias", __doc__)
    parser.add_argument("--rows", nargs="+", default=["rs-pinn", "rs-pinn-unbiased-square"])
    parser.add_argument("--samples", nargs="+", type=int, default=[4, 16, 64, 256])
    parser.add_argument("--keys", type=int, default=2_000)
    return running.run("squared_loss_bias", parser.parse_args(), measured)


if __name__ == "__main__":
    raise SystemExit(main())
