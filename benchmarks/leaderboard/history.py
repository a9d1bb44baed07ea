"""What commits changed: asv's values of every benchmark and cell over the commits of one machine, and the steps in them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.leaderboard.figure import COLOURS, MARKERS, inline
from benchmarks.leaderboard.markup import Html
from benchmarks.records.asv_results import AsvResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOLERANCE = 0.05
"""The change of a value, as a fraction of it, from which on it is told."""


@dataclass(frozen=True)
class Series:
    """The values of one benchmark for one cell, in the order of the commits that have one. asv's values are better if lower."""

    benchmark: str
    cell: str
    points: tuple[tuple[str, float], ...]

    @property
    def quantity(self) -> str:
        """What the benchmark measures, in words: its last name without asv's prefix."""
        return self.benchmark.rpartition(".")[2].partition("_")[2].replace("_", " ")


@dataclass(frozen=True)
class Change:
    """A step in a series: from the value at the commit before it was measured next to that at `commit`."""

    series: Series
    before: str
    commit: str
    was: float
    now: float

    @property
    def ratio(self) -> float:
        """The value over the one before."""
        return self.now / self.was

    @property
    def words(self) -> str:
        """The change in one line."""
        amount = f"× {self.ratio:.2f}" if self.ratio >= 2 else f"{self.ratio - 1:+.1%}"
        return f"{self.series.cell}: {self.series.quantity} {shown(self.was)} → {shown(self.now)} ({amount})"


def shown(value: float) -> str:
    """Writes a value of asv: a whole number with its thousands from 1,000 on, else four digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def in_order(results: Iterable[AsvResults]) -> dict[str, list[AsvResults]]:
    """Returns the results of every machine, by the dates of their commits."""
    machines: dict[str, list[AsvResults]] = defaultdict(list)
    for one in sorted(results, key=lambda one: (one.date, one.commit)):
        machines[one.machine].append(one)
    return dict(sorted(machines.items()))


def series(results: Sequence[AsvResults]) -> list[Series]:
    """Returns the series of one machine that have a value, each at the newest version of its benchmark: older ones measured
    something else.
    """
    versions = {name: version for one in results for name, (version, _) in one.columns.items()}
    points: dict[tuple[str, str], list[tuple[str, float]]] = defaultdict(list)
    for one in results:
        for name, (version, values) in one.columns.items():
            if version == versions[name]:
                for cell, value in values.items():
                    if value is not None and math.isfinite(value):
                        points[name, cell].append((one.commit, value))
    return [Series(name, cell, tuple(found)) for (name, cell), found in points.items()]


def changes(found: Iterable[Series], tolerance: float = TOLERANCE) -> list[Change]:
    """Returns every step from one commit to the next of a series that changed the value by more than `tolerance` of it."""
    return [
        Change(one, before, commit, was, now)
        for one in found
        for (before, was), (commit, now) in zip(one.points[:-1], one.points[1:], strict=True)
        if abs(now - was) > tolerance * abs(was)
    ]


def svg(found: Sequence[Series], commits: Sequence[str], label: str) -> Html:
    """Draws series of one benchmark as an inline SVG: every value over the first of its series, at its commit."""
    return Html(inline(lambda ink, faint: _figure(found, commits), label))


def _figure(found: Sequence[Series], commits: Sequence[str]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    place = {commit: k for k, commit in enumerate(commits)}
    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    axis = figure.subplots()
    for number, one in enumerate(found):
        ratios = [value / one.points[0][1] for _, value in one.points]
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        at = [place[commit] for commit, _ in one.points]
        axis.plot(at, ratios, color=colour, marker=marker, label=one.cell, markersize=4, linewidth=1.2)
    axis.set(yscale="log", ylabel=f"{found[0].quantity} over the first value")
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axis.yaxis.set_major_locator(LogLocator(subs=(0.5, 0.6, 0.7, 0.8, 1, 1.2, 1.5, 2, 3), numticks=12))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.set_xticks(range(len(commits)), [commit[:8] for commit in commits], rotation=45, ha="right")
    axis.grid(visible=True, which="major", linewidth=0.4, alpha=0.6)
    axis.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def by_commit(found: Iterable[Change]) -> Mapping[str, list[Change]]:
    """Returns the changes of every commit that made one, in the order given."""
    grouped: dict[str, list[Change]] = defaultdict(list)
    for change in found:
        grouped[change.commit].append(change)
    return grouped
