"""How a measurement ended, before it becomes a record; and the label of an exception."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from typing import Any

from benchmarks.records.record import Cause, Status
from benchmarks.records.text import clip


@dataclass(frozen=True)
class Outcome:
    """How the measurement ended, before it is dressed as a record."""

    status: Status
    cause: Cause | None = None
    reason: str = ""
    exception: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)


def failure(error: BaseException) -> Outcome:
    """The label for an exception: out of memory, a failed import, or any other."""
    text = f"{type(error).__name__}: {error}"
    trace = clip("".join(traceback.format_exception(error)), 16_000, end=True)
    if isinstance(error, MemoryError):
        return Outcome(Status.OOM, Cause.HOST_LIMIT, f"the process could not get more memory ({text})", trace)
    if "RESOURCE_EXHAUSTED" in str(error) or "Out of memory" in str(error):
        return Outcome(Status.OOM, Cause.DEVICE, f"the device ran out of memory ({text})", trace)
    if isinstance(error, ImportError) or type(error).__name__ == "BrokenPlugin":
        return Outcome(Status.ERROR, Cause.IMPORT, text, trace)
    if isinstance(error, SystemExit):
        reason = f"the code under test asked to exit with {error.code!r}"
        return Outcome(Status.ERROR, Cause.EXIT, reason, trace)
    return Outcome(Status.ERROR, Cause.EXCEPTION, text, trace)
