"""Draws a leaderboard as figures: error, speed and memory against the dimension."""

from __future__ import annotations

import io
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from benchmarks.leaderboard.ranking import Group, Kind
from benchmarks.records.metrics import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _panels(groups: Sequence[Group]) -> tuple[str, str, str]:
    """Returns the metrics of error, speed and memory to draw. Memory is the peak on an accelerator, and the compiler's plan on a
    CPU, where most of the peak is the interpreter's.
    """
    on_device = groups[0].environments[0].platform != "cpu"
    return _ERROR, "steps_per_second", "peak_bytes" if on_device else "compiled_bytes"


# All can be read on white and on near-black. Together with the markers, the colour-blind can tell them apart.
COLOURS = ("#3b82c4", "#e07b39", "#2a9d6f", "#c4559f", "#8a6fd1", "#b08d1e", "#d1495b", "#4aa3a2", "#7f8c5a")
MARKERS = "osD^vP*Xh"
# Placeholders, replaced in the SVG by the colours of the page, which follow the reader's light or dark setting.
_INK, _FAINT = "#010203", "#040506"
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "pdezoo",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
}
_ERROR = "relative_l2"
_NULLS = (("constant", (0, (5, 2))), ("affine", (0, (1, 1.5))))


def series_names(groups: Sequence[Group]) -> list[str]:
    """Returns the solvers of the groups, and the baselines that have a rank in one of them, in the order of their colours."""
    rows = [row for group in groups for row in group.rows]
    return sorted({r.label for r in rows if r.kind is Kind.SOLVER or (r.kind is Kind.BASELINE and r.rank)})


def scaling(
    panels: Sequence[Sequence[Group]], names: Sequence[str], ink: str = "black", faint: str = "#999999"
) -> Figure:
    """Draws a line of three panels (error, speed, memory) for each set of groups that differ in their dimension alone.

    `names` are the solvers in the order of their colours; text is drawn in `ink`, grids and null predictors in `faint`.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(style(ink, faint)):
        figure = Figure(figsize=(10.5, 2.75 * len(panels) + 0.55), layout="constrained")
        axes = figure.subplots(len(panels), 3, squeeze=False)
        for line, groups, title in zip(axes, panels, titles(panels), strict=True):
            for axis, metric in zip(line, _panels(groups), strict=True):
                _draw(axis, groups, names, metric, faint)
            if len(panels) > 1:
                line[0].set_title(title, loc="left", fontsize=9.5, fontweight="bold")
        labelled = [
            pair for axis in axes.flat for pair in zip(*axis.get_legend_handles_labels(), strict=True)
        ]
        handles = {text: handle for handle, text in labelled}
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False)
        return figure


def svg(groups: Sequence[Group], names: Sequence[str], label: str = "") -> str:
    """Returns the panels of one problem as an inline SVG, which takes its colours from the page; `label` says what it shows."""
    return inline(lambda ink, faint: scaling([groups], names, ink, faint), label)


def inline(draw: Callable[[str, str], Figure], label: str = "") -> str:
    """Returns a figure as an inline SVG that takes its colours from the page: the text's, and `--faint` for what is beside it.

    `draw` makes the figure, with text in its first argument and grids in its second. `label` is what a screen reader says.
    """
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context(style(_INK, _FAINT)):
        figure = draw(_INK, _FAINT)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor").replace(_FAINT, "var(--faint)")
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1) if label else text


def png(panels: Sequence[Sequence[Group]], names: Sequence[str]) -> bytes:
    """Returns all panels as a PNG on white."""
    buffer = io.BytesIO()
    scaling(panels, names).savefig(buffer, format="png", dpi=130, facecolor="white")
    return buffer.getvalue()


def comparable(groups: Sequence[Group]) -> list[list[Group]]:
    """Collects the groups that differ in their dimension alone, each set sorted by dimension."""
    panels: dict[tuple, list[Group]] = defaultdict(list)
    for group in groups:
        panels[(group.problem, group.instances, group.protocol.comparable, group.machine)].append(group)
    return [sorted(members, key=lambda group: group.dim) for members in panels.values()]


def titles(panels: Sequence[Sequence[Group]]) -> list[str]:
    """Returns a title for every line of panels: the problem and, where several lines have the same one, the steps, the protocol and
    the machine.
    """
    short = [_name(groups[0]) for groups in panels]
    return [
        name if short.count(name) == 1 else f"{name}: {_conditions(groups[0])}"
        for name, groups in zip(short, panels, strict=True)
    ]


def _conditions(group: Group) -> str:
    used = group.protocol
    return f"{used.budget}, protocol {used.comparable[:8]}, {group.machine}"


def _name(group: Group) -> str:
    return f"{group.problem}{instances(group)}"


def instances(group: Group) -> str:
    """Returns the instances of a group as the end of a title: nothing for instance 0 alone."""
    if group.instances == (0,):
        return ""
    return f", instance{'s' if len(group.instances) > 1 else ''} {', '.join(map(str, group.instances))}"


def style(ink: str, faint: str) -> dict[Any, Any]:
    """Returns Matplotlib's settings for our figures, with text and axes in the colour `ink` and grids in `faint`."""
    dark = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    return _STYLE | dict.fromkeys(dark, ink) | {"grid.color": faint, "legend.labelcolor": ink}


def _draw(axis: Axes, groups: Sequence[Group], names: Sequence[str], metric: str, faint: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set(xscale="log", yscale="log", xlabel="d", ylabel=METRICS[metric].axis)
    axis.grid(visible=True, which="major", linewidth=0.4, alpha=0.6)
    if metric == _ERROR:
        _draw_nulls(axis, groups, faint)
    for index, name in enumerate(names):
        points = _points(groups, name, metric)
        if points:
            axis.plot(
                *zip(*points, strict=True),
                color=COLOURS[index % len(COLOURS)],
                marker=MARKERS[index % len(MARKERS)],
                label=name,
                markersize=4.5,
                linewidth=1.3,
            )
    _widen(axis)
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.yaxis.set_minor_locator(NullLocator())
    _set_dimensions(axis, [group.dim for group in groups])


def _widen(axis: Axes) -> None:
    """Makes the y axis span at least a factor of ten, so that a difference of a few percent does not look like a cliff."""
    low, high = axis.get_ylim()
    if 0 < high / low < 10:
        middle = math.sqrt(low * high)
        axis.set_ylim(middle / math.sqrt(10), middle * math.sqrt(10))


def _draw_nulls(axis: Axes, groups: Sequence[Group], faint: str) -> None:
    for name, dashes in _NULLS:
        points = [(g.dim, g.nulls[name]) for g in groups if name in g.nulls]
        points = [(d, value) for d, value in points if value > 0]
        if points:
            label = f"null: {name}"
            x, y = zip(*points, strict=True)
            axis.plot(x, y, label=label, linestyle=dashes, marker="_", color=faint, linewidth=1.3)


def _points(groups: Sequence[Group], name: str, metric: str) -> list[tuple[int, float]]:
    rows = [(group.dim, row.median(metric)) for group in groups for row in group.rows if row.label == name]
    scale = METRICS[metric].unit.scale
    return [(dim, median * scale) for dim, median in rows if median is not None and median > 0]


def _set_dimensions(axis: Axes, dims: Sequence[int]) -> None:
    """Places ticks at the dimensions that were measured, with room beside the first and the last."""
    axis.set_xlim(min(dims) / 1.7, max(dims) * 1.7)
    axis.set_xticks(list(dims), [f"{d:,}" if d < 10_000 else f"{d:.0e}".replace("e+0", "e") for d in dims])
    axis.set_xticks([], minor=True)
