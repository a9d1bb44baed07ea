"""Describes where a cell runs: machine, software, and the state of the source tree. Nothing here imports JAX."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.records.checkout import ROOT, git_or_none
from benchmarks.records.record import Environment
from benchmarks.records.text import clip

_ASKED = "name,memory.total,driver_version,uuid,mig.mode.current"


def host_environment(visible: str | None = None) -> Environment:
    """Returns what can be known of the environment without starting JAX: enough to label a cell whose process died.

    `visible` names the devices that a child will see, as `CUDA_VISIBLE_DEVICES` does; None stands for those of this process.
    """
    gpu = _first_gpu(visible_gpus(visible)) if _jax_may_use_gpu() else None
    name, memory, driver = gpu or (cpu_model(), None, None)
    commit, dirty = source_state()
    return Environment(
        platform="gpu" if gpu else "cpu",
        device=clip(name, 200),
        device_memory=memory,
        driver=driver,
        jax=_version("jax"),
        python=platform.python_version(),
        os=clip(platform.platform(), 200),
        cpu=cpu_model(),
        cpu_count=core_count(),
        memory=psutil.virtual_memory().total,
        version=_version("pdezoo"),
        commit=commit,
        dirty=dirty,
    )


def on_cpu(known: Environment) -> Environment:
    """Returns the environment of a cell whose JAX computes on the CPU, whatever accelerators the machine has."""
    return known.model_copy(
        update={
            "platform": "cpu",
            "device": cpu_model(),
            "device_count": 1,
            "device_memory": None,
            "driver": None,
            "memory_limit": limited("cpu"),
        }
    )


def limited(platform: str) -> str:
    """Returns how the memory limit of a cell on such a device is kept: on the host, or emulated on the device."""
    return "host" if platform == "cpu" else "emulated on the device"


def core_count() -> int:
    """Returns the number of cores that this process may use; pinned, it has fewer than the machine."""
    if hasattr(psutil.Process, "cpu_affinity"):
        return len(psutil.Process().cpu_affinity())
    return os.cpu_count() or 1


@functools.cache
def cpu_model() -> str:
    """Returns the processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return clip(named or platform.processor() or platform.machine() or "unknown", 200)


@functools.cache
def source_state() -> tuple[str | None, bool | None]:
    """Returns the commit of the checkout that this package lies in, and whether tracked files differ from it.

    Each is None where it cannot be known: the package is installed, or git cannot read the repository.
    """
    if not (ROOT / ".git").exists():
        return None, None
    commit = git_or_none("rev-parse", "HEAD")
    if commit is None:  # no git, no commit yet, or not our repository to read
        return None, None
    changes = git_or_none("status", "--porcelain", "--untracked-files=no")
    return commit, None if changes is None else bool(changes)


def _jax_may_use_gpu() -> bool:
    """Returns whether JAX has a CUDA plug-in here and JAX_PLATFORMS does not ask for another platform first."""
    asked = os.environ.get("JAX_PLATFORMS", "").split(",")[0]
    plugins = ("jax_cuda12_plugin", "jax_cuda13_plugin")
    return asked in ("", "cuda", "gpu") and any(importlib.util.find_spec(name) for name in plugins)


def visible_gpus(asked: str | None = None) -> list[str]:
    """Returns the NVIDIA devices that this process may use, or `asked` in the place of its `CUDA_VISIBLE_DEVICES`, as that names
    them: by number or UUID.

    The variable is read as CUDA does: what follows the first entry that names no device (-1, NoDevFiles, nothing at all) is
    not visible either, and if a device is named twice none is visible.
    """
    asked = os.environ.get("CUDA_VISIBLE_DEVICES") if asked is None else asked
    there = len(_gpus())
    if asked is None:
        return [str(number) for number in range(there)]
    visible: list[str] = []
    for entry in (part.strip() for part in asked.split(",")):
        if not _names_a_gpu(entry, there):
            break
        device = str(int(entry)) if entry.isdecimal() else entry
        if device in visible:
            return []
        visible.append(device)
    return visible


def _names_a_gpu(entry: str, there: int) -> bool:
    """Returns whether an entry of CUDA_VISIBLE_DEVICES names one of `there` devices by number, or may name one by its UUID."""
    if entry.startswith(("GPU-", "MIG-")):
        return True
    return re.fullmatch("[0-9]{1,9}", entry) is not None and int(entry) < there


def _first_gpu(visible: list[str]) -> tuple[str, int | None, str] | None:
    """Returns name, bytes and driver of the first of the visible devices, None where there is none.

    For a slice of a device that is named by its UUID, they are those of the first device, without the bytes.
    """
    there = _gpus()
    if not visible or not there:
        return None
    first = visible[0]
    if first.isdecimal():
        return there[int(first)][:3]
    whole = next((gpu for gpu in there if gpu.uuid.startswith(first)), None)
    return whole[:3] if whole else (there[0].name, None, there[0].driver)


class _GPU(NamedTuple):
    """An NVIDIA device: its name, bytes of memory (None where they cannot be known), driver and UUID."""

    name: str
    memory: int | None
    driver: str
    uuid: str


@functools.cache
def _gpus() -> tuple[_GPU, ...]:
    """Returns every NVIDIA device of the machine, visible or not, as nvidia-smi tells them.

    The bytes are None for a device that shares the host's memory, and for one that is cut into slices (MIG): CUDA sees a slice
    then, and nvidia-smi tells the whole.
    """
    if shutil.which("nvidia-smi") is None:
        return ()
    command = ["nvidia-smi", f"--query-gpu={_ASKED}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = [[part.strip() for part in line.split(",")] for line in done.stdout.strip().splitlines()]
    return tuple(
        _GPU(name, _bytes(memory) if slices != "Enabled" else None, clip(driver, 200), uuid)
        for name, memory, driver, uuid, slices in (row for row in rows if len(row) == 5)
        if name and driver
    )


def _bytes(mebibytes: str) -> int | None:
    return int(mebibytes) * 2**20 if mebibytes.isdecimal() else None


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
