"""`pdezoo history`: runs the asv suites over commits and publishes the pages, by machines and their accelerators."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.records.checkout import enclosing, git
from benchmarks.records.environment import host_environment
from benchmarks.records.errors import UserError
from benchmarks.records.files import write_whole
from benchmarks.records.text import clip

CONFIGURATION = "asv.conf.json"
MACHINES = Path("~/.asv-machine.json")
_MEASURED = ("pdezoo", "solvers")


def history(
    commits: Sequence[str], benches: Sequence[str], machine: str | None, quick: bool, publish: bool
) -> int:
    """Runs the suites and, with `publish`, builds asv's pages. Returns the exit status: 1 if asv says that something failed.

    Each of `commits` is a range as git names it (HEAD~3..HEAD), run in environments that asv makes, one for each Python;
    without any, this commit's sources are measured with what is installed here. `benches` are regular expressions that
    select benchmarks, `machine` is asv's name for this machine, and `quick` runs each benchmark once. What has been measured
    is not measured again, unless the benchmark's version or the commit changed. Raises UserError where asv or its
    configuration is missing, or the sources differ from the commit that they would be filed under.
    """
    root = _root(Path.cwd())
    _require_asv()
    if not commits:
        _require_clean(root)
    name = machine or machine_name()
    name_machine(name)
    chosen = [part for bench in benches for part in ("--bench", bench)]
    common = ["--machine", name, "--skip-existing-successful", *chosen, *(["--quick"] if quick else [])]
    own = {} if commits else {"ASV_PYTHONPATH": str(root)}  # asv hides PYTHONPATH from its benchmarks
    spans: Sequence[str | None] = commits or [None]
    codes = [_asv(root, "run", *_what(root, span), *common, **own) for span in spans]
    if publish:
        codes.append(_asv(root, "publish"))
        print(f"the pages are in {_html(root)}; `asv preview` shows them", file=sys.stderr)
    return 1 if any(codes) else 0


def machine_name() -> str:
    """Returns this machine's name for asv, made of the names of the host and its accelerator."""
    host = host_environment()
    accelerator = host.device if host.platform != "cpu" else "cpu"
    words = f"{platform.node() or 'machine'} {accelerator}".lower()
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-")[:100]


def name_machine(name: str) -> None:
    """Enters this machine under `name` in asv's machine file, with its accelerator as "gpu", for which asv has no field.

    `asv machine` is not used: it drops what equals its defaults. Raises UserError for a name that asv cannot keep, and where
    the file cannot be read or written.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name) or name == "version":
        raise UserError(f"a machine's name has letters, digits, '.', '_' and '-', got {clip(name, 60)!r}")
    host = host_environment()
    try:
        path = MACHINES.expanduser()
    except RuntimeError:
        raise UserError(f"asv keeps {MACHINES}, and there is no home folder here; set HOME to one") from None
    try:
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"version": 1}
        known[name] = {
            "machine": name,
            "os": host.os,
            "arch": platform.machine(),
            "cpu": host.cpu,
            "num_cpu": str(host.cpu_count),
            "ram": str(host.memory),
            "gpu": host.device if host.platform != "cpu" else "none",
        }
        write_whole(path, json.dumps(known, indent=4).encode())
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"asv's machine file {path} cannot be read or written ({clip(str(error), 200)})"
        ) from None


def _what(root: Path, span: str | None) -> list[str]:
    if span is None:
        return ["--python=same", "--set-commit-hash", git("rev-parse", "HEAD", at=root)]
    if span.startswith("-"):
        raise UserError(f"a range of commits is one such as HEAD~3..HEAD, got {clip(span, 60)!r}")
    if not git("rev-list", "--max-count=1", span, "--", at=root):
        raise UserError(
            f"there is no commit in {span}; one commit alone is written {span.rpartition('..')[2]}^!"
        )
    return [span]


def _root(start: Path) -> Path:
    root = enclosing(start, [CONFIGURATION])
    if root is None:
        raise UserError(f"there is no {CONFIGURATION} here or above; go to a checkout of pdezoo")
    return root


def _require_asv() -> None:
    if importlib.util.find_spec("asv") is None:
        raise UserError("asv is not installed; pip install -e '.[dev]'")


def _require_clean(root: Path) -> None:
    """Raises UserError if the sources differ from HEAD, under which their measurements would be filed."""
    if changed := git("status", "--porcelain", "--", *_MEASURED, at=root):
        first = changed.splitlines()[0].strip()
        raise UserError(
            f"the sources differ from HEAD ({first}); commit first, or name the commits: --commits HEAD^!"
        )


def _html(root: Path) -> Path:
    configured = json.loads((root / CONFIGURATION).read_text(encoding="utf-8")).get("html_dir", "html")
    return root / configured


def _asv(root: Path, *arguments: str, **environment: str) -> int:
    command = [sys.executable, "-m", "asv", *arguments]
    return subprocess.run(command, cwd=root, env=os.environ | environment, check=False).returncode
