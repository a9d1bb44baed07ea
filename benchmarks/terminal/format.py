"""Durations, sizes, skills and outcomes as text for people."""

from __future__ import annotations

from benchmarks.records.record import Record, Status

COLOURS = {
    Status.OK: "green",
    Status.DIVERGED: "red",
    Status.OOM: "magenta",
    Status.TIMEOUT: "yellow",
    Status.UNSUPPORTED: "bright_black",
    Status.ERROR: "red",
}


def seconds(value: float | None) -> str:
    """A duration for people: "8 s", "3 min", "2.5 h"."""
    if value is None:
        return "?"
    if value < 100:
        return f"{value:.3g} s"
    return f"{value / 60:.0f} min" if value < 6_000 else f"{value / 3600:.1f} h"


def size(value: float | None) -> str:
    """Bytes for people, in decimal units."""
    if value is None:
        return "?"
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def signed(value: float | None) -> str:
    """A skill: three decimals are enough, and a disaster needs none. What rounds to zero has no sign."""
    if value is None:
        return "–"
    if abs(value) < 10:
        return f"{round(value, 3) + 0.0:.3f}"
    return f"{value:.0f}" if abs(value) < 1e5 else f"{value:.0e}"


def outcome(record: Record) -> str:
    """What a record says, in one line."""
    metrics = record.metrics
    if record.status is not Status.OK:
        return f"{record.status}: {record.reason.splitlines()[0][:160]}"
    speed = f", {metrics.steps_per_second:,.0f} it/s" if metrics.steps_per_second else ""
    skill = f", skill {signed(metrics.skill)}" if metrics.skill is not None else ""
    return f"ok: error {metrics.relative_l2:.3g}{skill}{speed}, {seconds(record.duration)}"
