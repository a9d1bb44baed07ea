"""Measures how good reference solutions are: `python -m benchmarks.instruments.reference_accuracy`.

For the radial problems u_t = Δu + f(u), u(0, x) = 5/(10 + 2|x|²), t ≤ 0.3: the error bound of the reference, and the relative
error of the mean-field formula Φ_t(P_t g), at (t, x) = (0.3, 0) and at its largest on a sample of the domain. All is float64.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from benchmarks.instruments import running
from benchmarks.records.reading import Row
from benchmarks.terminal.parsing import dimension
from pdezoo.references import ALLEN_CAHN, HEAT, SINE, mean_field, radial_solution
from pdezoo.references.mean_field import Reaction

HORIZON = 0.3
REACTIONS = {"heat": HEAT, "Sine-Gordon": SINE, "Allen-Cahn": ALLEN_CAHN}
TIMES, SQUARES = 400, 200


def accuracy(dim: int, reaction: Reaction) -> Row:
    """Returns the bound of the reference's error in dimension `dim`, and the mean-field formula's relative errors.

    The sample has 400 times from 10⁻³/d to 0.3, in geometric progression, and 200 values of |x|² from 0 to 10 max(d, 10), closer
    together near 0. `largest_td` and `largest_square` say where on it the largest error is: its t·d and |x|².
    """
    reference = radial_solution(dim, reaction)
    times = np.geomspace(1e-3 / dim, HORIZON, TIMES)[:, None]
    squares = 10 * max(dim, 10) * np.linspace(0, 1, SQUARES)[None, :] ** 4
    shape = (TIMES, SQUARES)
    at = [np.broadcast_to(part, shape).ravel() for part in (squares, times)]
    formula, exact = mean_field(dim, reaction, *at), reference.value(*at)
    errors = np.abs(formula - exact) / np.abs(exact)
    worst = int(np.argmax(errors))
    end = float(reference.value(0.0, HORIZON))
    probe = float(mean_field(dim, reaction, np.zeros(1), np.full(1, HORIZON))[0])
    return {
        "dim": dim,
        "value": end,
        "error_bound": reference.error_bound,
        "mean_field_error": abs(probe - end) / abs(end),
        "mean_field_largest": float(errors[worst]),
        "largest_td": float(at[1][worst] * dim),
        "largest_square": float(at[0][worst]),
    }


def measured(options: argparse.Namespace) -> Iterator[Row]:
    """Yields `accuracy` for every reaction and dimension asked for. Raises UserError for a bad dimension."""
    dims = [dimension(text) for text in options.dims]
    for name, reaction in REACTIONS.items():
        for dim in dims:
            yield {"reaction": name, **accuracy(dim, reaction)}


def main() -> int:
    """Prints a line for every reaction and dimension. Returns the exit status: 2 for a bad argument."""
    parser = running.parser("reference_accuracy", __doc__)
    parser.add_argument("--dims", nargs="+", default=["2", "10", "100", "1e3", "1e4", "1e5", "1e6"])
    return running.run("reference_accuracy", parser.parse_args(), measured)


if __name__ == "__main__":
    raise SystemExit(main())
