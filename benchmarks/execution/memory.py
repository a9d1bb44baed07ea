"""Reads the peak memory of an accelerator, or of this process."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.planning.subjects import Device
from benchmarks.records.metrics import PeakOf

_STATUS = Path("/proc/self/status")


def peak_memory(device: Device, compiled: bool = True) -> tuple[int | None, PeakOf | None]:
    """Returns the peak bytes in use on the device and "device", or the peak resident bytes of this process and "process" where
    the device keeps no account of its memory, as CPUs do not.

    Compiling may need more memory than training. So there is no peak of a process that has taken programs from JAX's persistent
    compilation cache and has not itself `compiled` the training: it would depend on which cell came first.
    """
    peak = device.peak_bytes()
    if peak is not None:
        return int(peak), "device"
    return (process_peak(), "process") if compiled or not device.reused() else (None, None)


def process_peak() -> int:
    """Returns the peak resident bytes of this process.

    On Linux `ru_maxrss` is the second choice: it survives exec, so that a small child reports the size of its parent. Some
    sandboxes have nothing else.
    """
    lines = _STATUS.read_text().splitlines() if _STATUS.is_file() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
