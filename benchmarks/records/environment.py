"""Where a cell runs: machine, software, and the state of the source tree. Nothing here imports JAX."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
from pathlib import Path

import psutil

from benchmarks.records.checkout import ROOT, git_or_none
from benchmarks.records.record import Environment
from benchmarks.records.text import clip


def host_environment() -> Environment:
    """What can be known without starting JAX: enough to label a cell whose process died."""
    gpu = _gpu() if _jax_may_use_gpu() else None
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


def core_count() -> int:
    """The cores this process may use, which pinning makes fewer than the machine has."""
    if hasattr(psutil.Process, "cpu_affinity"):
        return len(psutil.Process().cpu_affinity())
    return os.cpu_count() or 1


@functools.cache
def cpu_model() -> str:
    """The processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return clip(named or platform.processor() or platform.machine() or "unknown", 200)


@functools.cache
def source_state() -> tuple[str | None, bool | None]:
    """Commit of the source tree this package lies in and whether it was changed since; None if installed."""
    if not (ROOT / ".git").exists():
        return None, None
    commit = git_or_none("rev-parse", "HEAD")
    if commit is None:  # no git, no commit yet, or not our repository to read
        return None, None
    changes = git_or_none("status", "--porcelain", "--untracked-files=no")
    return commit, None if changes is None else bool(changes)


def _jax_may_use_gpu() -> bool:
    """Whether JAX here has a CUDA plug-in and is not told to stay on the CPU."""
    asked = os.environ.get("JAX_PLATFORMS", "").split(",")[0]
    plugins = ("jax_cuda12_plugin", "jax_cuda13_plugin")
    return asked in ("", "cuda", "gpu") and any(importlib.util.find_spec(name) for name in plugins)


def gpu_count() -> int:
    """NVIDIA devices that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([device for device in visible.split(",") if device.strip()])
    return len((_query("name") or "").splitlines())


@functools.cache
def _gpu() -> tuple[str, int, str] | None:
    answer = _query("name,memory.total,driver_version") if gpu_count() else None
    parts = [part.strip() for part in answer.splitlines()[0].split(",")] if answer else []
    if len(parts) != 3 or not parts[1].isdigit():
        return None
    return parts[0], int(parts[1]) * 2**20, parts[2]


def _query(fields: str) -> str | None:
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
