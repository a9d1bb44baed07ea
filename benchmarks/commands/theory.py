"""`pdezoo theory`: sets what theory predicts of zeroth-order descent beside what a small problem shows."""

from __future__ import annotations

import io
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from benchmarks.instruments.running import Watch
from benchmarks.leaderboard.figure import COLOURS, MARKERS, style
from benchmarks.planning.subjects import require_device
from benchmarks.records.errors import UserError
from benchmarks.records.reading import FOLDER, Row
from benchmarks.records.units import seconds
from benchmarks.terminal.output import print_json, stdout, write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from solvers import Curve

PROBLEM, DIM = "allen-cahn/two-body", 20
SOLVER: dict[str, int] = {"width": 24, "depth": 3, "samples": 4, "rank": 4, "queries": 4}


def theory(names: Sequence[str], output: Path | None, as_json: bool, store: Path | None = None) -> None:
    """Prints the diagnostics called `names`, by default all, and draws each as a figure in the folder `output`, if given.

    Each is kept as a reading of its own in the store, if one is given. Raises UserError for an unknown name, and where a figure
    or a reading cannot be written.
    """
    chosen = _chosen(names)
    require_device()
    results = {}
    for name, diagnostic in chosen.items():
        watch = Watch()
        results[name] = _measured(name, diagnostic)
        if store is not None:
            reading = watch.reading("theory", {"diagnostic": name}, _rows(results[name]))
            print(reading.keep(store / FOLDER), file=sys.stderr)
    if output is not None:
        for name, curves in results.items():
            write_file(output / f"theory-{name}.png", png(curves))
    if as_json:
        print_json({name: [asdict(curve) for curve in curves] for name, curves in results.items()})
    else:
        for name, curves in results.items():
            stdout().print(_table(name, curves))


def png(curves: Sequence[Curve]) -> bytes:
    """Draws curves as a PNG: observed values as points with standard errors, predictions as lines, a panel for each quantity and
    variable.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    panels: dict[tuple[str, str], list[Curve]] = defaultdict(list)
    for curve in curves:
        panels[curve.quantity, curve.variable].append(curve)
    buffer = io.BytesIO()
    with mpl.rc_context(style("black", "#999999")):
        figure = Figure(figsize=(3.6 * max(len(panels), 1.5), 3.3), layout="constrained")
        for axis, members in zip(
            figure.subplots(1, len(panels), squeeze=False).flat, panels.values(), strict=True
        ):
            _draw(axis, members)
        figure.suptitle("points: seen, with standard errors; lines: predicted", fontsize=8.5)
        figure.savefig(buffer, format="png", dpi=85, facecolor="white")
    return buffer.getvalue()


def _chosen(names: Sequence[str]) -> dict[str, Callable[..., Any]]:
    import solvers

    every: dict[str, Callable[..., Any]] = {
        "variance": solvers.slope_variance,
        "moments": solvers.gradient_moments,
        "alignment": solvers.alignment,
        "kernel": solvers.kernel_error,
    }
    unknown = [name for name in names if name not in every]
    if unknown:
        raise UserError(f"a diagnostic is one of {', '.join(every)}, got {unknown[0][:40]!r}")
    return {name: every[name] for name in (names or every)}


def _measured(name: str, diagnostic: Callable[..., tuple[Curve, ...]]) -> tuple[Curve, ...]:
    import pdezoo
    import solvers

    begin = time.perf_counter()
    curves = diagnostic(solvers.make("sdze-single-sample", **SOLVER), pdezoo.make(PROBLEM, dim=DIM))
    print(f"{name}: {seconds(time.perf_counter() - begin)}", file=sys.stderr)
    return curves


def _rows(curves: Sequence[Curve]) -> Iterator[Row]:
    """Yields a row for each value of each curve."""
    for curve in curves:
        names = {"quantity": curve.quantity, "curve": curve.label, "variable": curve.variable}
        for at, seen, error, predicted in zip(
            curve.at, curve.seen, curve.error, curve.predicted, strict=True
        ):
            numbers = {"at": float(at), "seen": seen, "error": error, "predicted": predicted}
            yield {**names, **numbers, "seen / predicted": seen / predicted}


def _table(name: str, curves: Sequence[Curve]) -> Table:
    table = Table("quantity", "curve", "against", "at", "seen", "±", "predicted", "ratio", title=name)
    for curve in curves:
        rows = zip(curve.at, curve.seen, curve.error, curve.predicted, strict=True)
        for at, seen, error, predicted in rows:
            numbers = (f"{value:.3g}" for value in (at, seen, error, predicted))
            table.add_row(curve.quantity, curve.label, curve.variable, *numbers, f"{seen / predicted:.3f}")
    return table


def _draw(axis: Axes, curves: Sequence[Curve]) -> None:
    axis.set(xscale="log", yscale="log", xlabel=curves[0].variable, ylabel=curves[0].quantity)
    axis.grid(visible=True, which="major", linewidth=0.4, alpha=0.6)
    for curve, colour, marker in zip(curves, COLOURS, MARKERS, strict=False):
        axis.plot(curve.at, curve.predicted, color=colour, linewidth=1.0)
        axis.errorbar(
            curve.at,
            curve.seen,
            yerr=curve.error,
            label=curve.label,
            color=colour,
            marker=marker,
            markersize=4,
            linestyle="none",
            elinewidth=0.8,
        )
    for one, limits in ((axis.xaxis, axis.get_xlim()), (axis.yaxis, axis.get_ylim())):
        _set_ticks(one, limits[1] / limits[0])
    if len(curves) > 1:
        axis.legend(
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=2,
            columnspacing=1.0,
            frameon=False,
            fontsize=7.5,
        )


def _set_ticks(axis: Axis, span: float) -> None:
    """Places ticks at powers of ten, and at their 2- and 5-fold where the axis spans less than a factor of 50."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 50 else (1,), numticks=7))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}" if value < 1e5 else f"{value:.0e}"))
    axis.set_minor_locator(NullLocator())
