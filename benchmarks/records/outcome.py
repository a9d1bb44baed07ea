"""Describes how a measurement ended, before that becomes a record, and classifies exceptions."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.records.record import Cause, Status
from benchmarks.records.text import clip


@dataclass(frozen=True)
class Outcome:
    """How a measurement ended: its status, cause, reason and traceback (`exception`), and other fields of its record."""

    status: Status
    cause: Cause | None = None
    reason: str = ""
    exception: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)


def in_words(error: BaseException) -> str:
    """Returns the type of an exception and its message, or, where that is empty, the line at which it was raised."""
    kind, said = type(error).__name__, str(error).strip()
    if said:
        return f"{kind}: {said}"
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return f"{kind}, without a word"
    last = frames[-1]
    where = "/".join(Path(last.filename).parts[-3:])
    code = f": {last.line}" if last.line else ""
    return f"{kind} at {where}:{last.lineno}, in {last.name}{code}"


def lacks_device_memory(text: str) -> bool:
    """Returns whether an error of XLA, or a log that ends with one, says that a device has no more memory.

    Programs and buffers are refused with the status RESOURCE_EXHAUSTED; what CUDA and its libraries need for themselves is
    refused in CUDA's words, under another status of XLA.
    """
    return "RESOURCE_EXHAUSTED" in text or "CUDA_ERROR_OUT_OF_MEMORY" in text or "Out of memory" in text


def failure(error: BaseException) -> Outcome:
    """Classifies an exception: out of memory on host or device, a failed import, an exit, or any other error."""
    text = in_words(error)
    trace = clip("".join(traceback.format_exception(error)), 16_000, end=True)
    if isinstance(error, MemoryError):
        return Outcome(Status.OOM, Cause.HOST_LIMIT, f"the process could not get more memory ({text})", trace)
    if lacks_device_memory(str(error)):
        return Outcome(Status.OOM, Cause.DEVICE, f"the device ran out of memory ({text})", trace)
    if isinstance(error, ImportError) or type(error).__name__ == "BrokenPlugin":
        return Outcome(Status.ERROR, Cause.IMPORT, text, trace)
    if isinstance(error, SystemExit):
        reason = f"the code under test asked to exit with {error.code!r}"
        return Outcome(Status.ERROR, Cause.EXIT, reason, trace)
    return Outcome(Status.ERROR, Cause.EXCEPTION, text, trace)
