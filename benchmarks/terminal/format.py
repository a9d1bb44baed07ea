"""Writes the outcome of a cell as text for people, and gives each status a colour."""

from __future__ import annotations

from benchmarks.records.metrics import METRICS
from benchmarks.records.record import Record, Status
from benchmarks.records.text import first_line
from benchmarks.records.units import seconds

COLOURS = {
    Status.OK: "green",
    Status.DIVERGED: "red",
    Status.OOM: "magenta",
    Status.TIMEOUT: "yellow",
    Status.UNSUPPORTED: "bright_black",
    Status.ERROR: "red",
}


def outcome(record: Record) -> str:
    """Returns the outcome of a record in one line: error, skill, speed and time, or the status and the reason of a failure."""
    if record.status is not Status.OK:
        return f"{record.status}: {first_line(record.reason, 160)}"
    parts = [f"error {_text(record, 'relative_l2')}"]
    parts += [f"skill {_text(record, 'skill')}"] if record.metrics.skill is not None else []
    parts += [f"{_text(record, 'steps_per_second')} it/s"] if record.metrics.steps_per_second else []
    return f"ok: {', '.join(parts)}, {seconds(record.duration)}"


def _text(record: Record, name: str) -> str:
    return METRICS[name].text(getattr(record.metrics, name))
