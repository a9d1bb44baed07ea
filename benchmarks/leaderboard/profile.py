"""Draws performance profiles: the share of cells in which a solver is within a factor τ of the best (Dolan and Moré 2002)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.leaderboard.figure import COLOURS, inline
from benchmarks.leaderboard.standings import Standing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = len(COLOURS)
"""So many lines can be told apart in one figure."""
_LARGEST = 100.0
_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)))


def svg(found: Sequence[Standing]) -> str:
    """Returns the profiles of the first MOST standings as an inline SVG, which takes its colours from the page."""
    shown = found[:MOST]
    return inline(lambda ink, faint: _figure(shown), described(shown))


def described(found: Sequence[Standing]) -> str:
    """Says in words what the profiles show: of how many cells each solver is within a factor of 2 and of 10 of the best."""
    shares = "; ".join(
        f"{s.solver} {s.within(2.0)} and {s.within(10.0)} of {s.total} cells" for s in found[:MOST]
    )
    return f"Performance profiles. Within 2 times and 10 times the least error: {shares}."


def _figure(found: Sequence[Standing]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

    figure = Figure(figsize=(8.4, 3.9), layout="constrained")
    axis = figure.subplots()
    for index, standing in enumerate(found):
        axis.step(
            *_steps(standing),
            where="post",
            label=standing.solver,
            color=COLOURS[index % len(COLOURS)],
            linestyle=_DASHES[index % len(_DASHES)],
            linewidth=1.6,
        )
    axis.set(xscale="log", xlim=(1, _LARGEST), ylim=(0, 1.02))
    axis.set(xlabel="τ, the factor of the least error", ylabel="share of cells within τ")
    axis.grid(visible=True, which="major", linewidth=0.4, alpha=0.6)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def _steps(standing: Standing) -> tuple[list[float], list[float]]:
    """Returns the factors at which the share rises, from 1 to the largest drawn, and the shares from each on."""
    ratios = sorted(ratio for ratio in standing.ratios.values() if ratio <= _LARGEST)
    factors = sorted({1.0, *ratios, _LARGEST})
    return factors, [standing.within(factor) / standing.total for factor in factors]
