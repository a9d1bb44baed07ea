"""Draws errors against the steps of trainings or averages, or their seconds, from the histories of records.

A history's own seconds are those of a machine that may have done other things meanwhile. A curve against seconds is therefore its
steps times the seconds of a step in records that were measured alone, by whatever protocol.
"""

from __future__ import annotations

import io
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.leaderboard.figure import COLOURS, MARKERS, inline, style
from benchmarks.records.metrics import METRICS
from benchmarks.records.record import Record, Status
from benchmarks.records.store import latest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Curve:
    """The error of one solver on one problem at one dimension: the median over replicates at each step that all have.

    `steps` and `errors` have the same length; a history without errors gives an empty curve. `step_seconds` is the median time of
    a step in records of the same training that were measured alone; None where there is none.
    """

    problem: str
    dim: int
    solver: str
    steps: tuple[int, ...]
    errors: tuple[float, ...]
    step_seconds: float | None = None

    def along(self, seconds: bool) -> tuple[float, ...]:
        """The steps at which errors are known, or, with `seconds`, the time until then. Raises ValueError where that is unknown."""
        if not seconds:
            return self.steps
        if self.step_seconds is None:
            raise ValueError(
                f"no speed of {self.solver} on {self.problem} at d = {self.dim:,} was measured alone"
            )
        return tuple(step * self.step_seconds for step in self.steps)


def curves(records: Iterable[Record], problems: Sequence[str], solvers: Sequence[str]) -> list[Curve]:
    """Returns the curves of the newest record of every cell, in the order of problems, solvers and dimensions.

    Cells with different settings or protocols are different curves, of which the one with more replicates is kept.
    """
    found: dict[tuple[str, str, int], dict[tuple[str, str], list[Record]]] = defaultdict(
        lambda: defaultdict(list)
    )
    newest = latest(records).values()
    alone = _rates_alone(newest)
    for record in newest:
        cell = record.cell
        asked = cell.problem.name in problems and cell.solver.row in solvers
        if record.status is Status.OK and asked and not record.is_tuning:
            settings = str(cell.solver.hyperparameters), cell.protocol.fingerprint
            found[cell.problem.name, cell.solver.row, cell.problem.dim][settings].append(record)
    order = sorted(found, key=lambda key: (problems.index(key[0]), solvers.index(key[1]), key[2]))
    made = [_curve(*key, max(found[key].values(), key=len), alone) for key in order]
    return [curve for curve in made if curve.steps]


def _rates_alone(records: Iterable[Record]) -> dict[tuple[Any, ...], list[float]]:
    """Returns the steps per second of records that were measured alone, by what a step costs."""
    rates: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for record in records:
        rate = record.metrics.steps_per_second
        if record.status is Status.OK and record.in_competition is False and rate:
            rates[_work(record)].append(rate)
    return rates


def _work(record: Record) -> tuple[Any, ...]:
    """Returns what the cost of a step depends on: problem, settings, batch, number format and machine."""
    cell, protocol = record.cell, record.cell.protocol
    problem = cell.problem.name, cell.problem.dim
    settings = str(cell.solver.hyperparameters), protocol.batch, protocol.dtype
    return *problem, *settings, record.environment.machine


def _curve(
    problem: str,
    solver: str,
    dim: int,
    records: Sequence[Record],
    alone: Mapping[tuple[Any, ...], list[float]],
) -> Curve:
    rates = [rate for work in {_work(record) for record in records} for rate in alone.get(work, [])]
    seen = [{m.step: m.relative_l2 for m in r.history if m.relative_l2} for r in records]
    shared = sorted(set.intersection(*(set(errors) for errors in seen)))
    medians = tuple(statistics.median(errors[step] for errors in seen) for step in shared)
    return Curve(
        problem, dim, solver, tuple(shared), medians, 1 / statistics.median(rates) if rates else None
    )


def png(found: Sequence[Curve], slope: bool, seconds: bool = False) -> bytes:
    """Draws a panel for every problem, a line for every solver and dimension; with `slope`, the line of 1/√steps too.

    With `seconds` it draws against the time of the training. Raises ValueError where the speed of a curve is not known.
    """
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context(style("black", "#999999")):
        _figure(found, slope, seconds).savefig(buffer, format="png", dpi=130, facecolor="white")
    return buffer.getvalue()


def svg(found: Sequence[Curve], label: str, seconds: bool = False) -> str:
    """Returns the same panels as an inline SVG, which takes its colours from the page; `label` says what it shows.

    Raises ValueError where `seconds` are asked for and the speed of a curve is not known.
    """
    return inline(lambda ink, faint: _figure(found, slope=False, seconds=seconds), label)


def _figure(found: Sequence[Curve], slope: bool, seconds: bool) -> Figure:
    from matplotlib.figure import Figure

    problems = list(dict.fromkeys(curve.problem for curve in found))
    figure = Figure(figsize=(4.8 * len(problems), 4.0), layout="constrained")
    for axis, problem in zip(figure.subplots(1, len(problems), squeeze=False)[0], problems, strict=True):
        members = [curve for curve in found if curve.problem == problem]
        _draw(axis, problem, [(curve, curve.along(seconds)) for curve in members], slope)
        axis.set_xlabel("seconds of training" if seconds else "steps")
    return figure


def _draw(axis: Axes, problem: str, found: Sequence[tuple[Curve, tuple[float, ...]]], slope: bool) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set(xscale="log", yscale="log", ylabel=METRICS["relative_l2"].axis)
    axis.set_title(problem, loc="left", fontsize=9.5, fontweight="bold")
    axis.grid(visible=True, which="major", linewidth=0.4, alpha=0.6)
    for number, (curve, along) in enumerate(found):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        label = f"{curve.solver}, d = {curve.dim:,}"
        axis.plot(along, curve.errors, color=colour, marker=marker, label=label, markersize=4, linewidth=1.2)
    if slope and found:
        _draw_slope(axis, *min(found, key=lambda line: line[0].errors[0]))
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        scale.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        scale.set_minor_locator(NullLocator())
    axis.set_ylim(bottom=10 ** math.floor(math.log10(min(min(c.errors) for c, _ in found))))
    axis.legend(frameon=False, fontsize=8)


def _draw_slope(axis: Axes, lowest: Curve, along: tuple[float, ...]) -> None:
    """Draws error ∝ 1/√steps below the lowest curve, from its first step on."""
    start = lowest.errors[0] / 1.6
    ends = (along[0], along[-1])
    values = [start * (ends[0] / end) ** 0.5 for end in ends]
    axis.plot(ends, values, color="#999999", linestyle=(0, (5, 2)), label="1/√steps")
