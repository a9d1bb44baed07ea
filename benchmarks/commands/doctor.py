"""`pdezoo doctor`: says what this machine offers to a measurement, and what is missing or broken."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.execution.isolate import child_environment
from benchmarks.planning.subjects import catalogues
from benchmarks.records.text import clip
from benchmarks.terminal.output import print_json

_DEVICES = (
    "import json; from benchmarks.planning.subjects import start_jax; d = start_jax('float32');"
    "print(json.dumps([d.platform, d.kind, d.count, d.memory]))"
)


def doctor(store: Path, as_json: bool) -> int:
    """Prints whether each thing that a measurement needs works: machine, JAX, store, plug-ins and tools.

    Returns the exit status: 1 if something that is needed does not work.
    """
    findings = [*_machine(), _store(store), *_plugins(), *_tools()]
    if as_json:
        print_json([{"what": what, "ok": ok, "detail": detail} for what, ok, detail in findings])
    else:
        table = Table(box=None, show_header=False)
        for what, ok, detail in findings:
            table.add_row(Text("ok" if ok else "PROBLEM", "green" if ok else "red"), Text(what), Text(detail))
        Console().print(table)
    return 0 if all(ok for _, ok, _ in findings) else 1


def _machine() -> list[tuple[str, bool, str]]:
    from benchmarks.records.environment import host_environment
    from benchmarks.records.units import size

    host = host_environment()
    findings = [
        ("Python", sys.version_info >= (3, 11), f"{host.python} on {host.os}"),
        ("machine", True, f"{host.machine}, {size(host.memory)} of memory"),
        ("JAX", *_devices()),
    ]
    state = f"{host.commit[:12]}{' with changes' if host.dirty else ''}" if host.commit else "installed"
    return [*findings, ("pdezoo", True, f"{host.version or 'not installed, run from its source'}, {state}")]


def _devices() -> tuple[bool, str]:
    """Returns whether JAX starts, and its devices in words. It is tried in a child process, since a broken accelerator may hang
    or crash it.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _DEVICES],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=120,
            check=True,
            env=child_environment(),
        )
        platform, kind, count, memory = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        words = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        return False, clip(f"JAX does not start: {words[-1] if words else error}", 1_500)
    from benchmarks.records.units import size

    return True, f"{count} × {kind} ({platform}{', ' + size(memory) + ' for JAX' if memory else ''})"


def _store(store: Path) -> tuple[str, bool, str]:
    from benchmarks.records.store import Store, StoreError

    if not store.exists():
        return "store", True, f"{store} does not exist yet; the first measurement makes it"
    try:
        contents = Store.writing(store).read()
    except StoreError as error:
        return "store", False, str(error)
    broken = "".join(f"; damaged: {damage.path.name} ({damage.reason})" for damage in contents.damaged)
    return "store", not contents.damaged, f"{store}: {len(contents.records)} records{broken}"


def _plugins() -> list[tuple[str, bool, str]]:
    try:
        entries = [entry for catalogue in catalogues() for entry in catalogue.values()]
    except Exception as error:
        return [("contributions", False, f"{type(error).__name__}: {error}")]
    broken = [(f"plug-in {e.origin}", False, f"{e.name}: {e.error}") for e in entries if e.error]
    return [("contributions", True, f"{len(entries) - len(broken)} usable"), *broken]


def _tools() -> list[tuple[str, bool, str]]:
    """Returns which optional tools and packages are there. Only some commands need them, so none is a problem if missing."""
    tools = [("git", shutil.which("git")), ("nvidia-smi", shutil.which("nvidia-smi"))]
    modules = [(name, importlib.util.find_spec(name)) for name in ("asv", "distributed")]
    return [
        (name, True, "available" if there else "not there (optional)") for name, there in [*tools, *modules]
    ]
