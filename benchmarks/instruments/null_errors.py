"""Measures what needs no training: `python -m benchmarks.instruments.null_errors 'hjb-lqg/*' --dims 20 100`.

For every problem and dimension: the relative L2 error of every null predictor on the test set, and its error at the probe point
where the problem has one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from fnmatch import fnmatchcase

import pdezoo
from benchmarks.instruments import running
from benchmarks.records.errors import UserError
from benchmarks.records.reading import Row
from benchmarks.terminal.parsing import dimension


def errors(name: str, dim: int, size: int) -> Iterator[Row]:
    """Yields a row for each null predictor of a problem: its relative L2 error, and, at the probe point, `relative_point`."""
    pde = pdezoo.make(name, dim=dim)
    test = pdezoo.TestSet(pde, size=size)
    points = {
        null: fitted.predict for null, fitted in pdezoo.fit_nulls(test).items() if pde.probe is not None
    }
    for null, found in pdezoo.null_errors(test).items():
        at_probe = test.point_error(points[null]).get("relative_point") if null in points else None
        yield {
            "problem": name,
            "dim": dim,
            "null": null,
            "relative_l2": found["relative_l2"],
            "relative_point": at_probe,
        }


def measured(options: argparse.Namespace) -> Iterator[Row]:
    """Yields the rows of `errors` for all problems that the patterns name, at every dimension that they have.

    Raises UserError where a pattern names none, and for a bad dimension.
    """
    dims = [dimension(text) for text in options.dims]
    for pattern in options.problems:
        names = [name for name in pdezoo.names() if fnmatchcase(name, pattern)]
        if not names:
            raise UserError(f"no problem is called {pattern[:60]!r}; `pdezoo list pdes` lists them")
        for name in names:
            for dim in dims:
                try:
                    yield from errors(name, dim, options.size)
                except pdezoo.BadDimension:
                    continue


def main() -> int:
    """Prints a line for every null predictor. Returns the exit status: 2 for a bad argument."""
    parser = running.parser("null_errors", __doc__)
    parser.add_argument("problems", nargs="+", help="names of problems, globs allowed")
    parser.add_argument("--dims", nargs="+", default=["100"])
    parser.add_argument("--size", type=int, default=20_000, help="how many test points")
    return running.run("null_errors", parser.parse_args(), measured)


if __name__ == "__main__":
    raise SystemExit(main())
