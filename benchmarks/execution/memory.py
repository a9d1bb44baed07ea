"""Peak memory of an accelerator, or of this process."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.planning.subjects import Device
from benchmarks.records.metrics import PeakOf


def peak_memory(device: Device) -> tuple[int, PeakOf]:
    """Peak bytes in use on the accelerator, or else the peak resident memory of this process."""
    peak = device.peak_bytes()
    return (process_peak(), "process") if peak is None else (int(peak), "device")


def process_peak() -> int:
    """Peak resident bytes of this process.

    `ru_maxrss` is no use on Linux: it survives exec, and so a small child reports its parent's size.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
