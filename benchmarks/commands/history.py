"""`pdezoo history`: runs the asv suites over commits, says what changed, and publishes the pages.

Machines are told apart by their accelerators too. The results of the landmarks, `benchmarks/landmarks.txt`, are kept beside the
records, from which the site draws them.
"""

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

from benchmarks.commands.landmark import CELLS
from benchmarks.leaderboard.history import TOLERANCE, by_commit, changes, in_order, series
from benchmarks.records.asv_results import KEPT, UNREADABLE, AsvResults, read_file, result_files
from benchmarks.records.checkout import ROOT, enclosing, git
from benchmarks.records.environment import host_environment
from benchmarks.records.errors import UserError
from benchmarks.records.files import save, write_whole
from benchmarks.records.text import clip

CONFIGURATION = "asv.conf.json"
LANDMARKS = ROOT / "benchmarks" / "landmarks.txt"
MACHINES = Path("~/.asv-machine.json")
PLANS = rf"Compiled.*\('({'|'.join(map(re.escape, CELLS))})'\)"
"""The benchmarks of what the compiler plans, for the cells of `pdezoo landmark`, as a regular expression."""
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
    if _results(root).is_dir():
        show(_results(root))
    return 1 if any(codes) else 0


def history_of_landmarks(benches: Sequence[str], machine: str | None, store: Path) -> int:
    """Runs the suites over the landmarks and keeps their results in a store. Returns the exit status, as `history` does.

    Without `benches` it measures what the compiler plans, of the cells that `pdezoo landmark` watches. Raises UserError as
    `history` does, and where the landmarks cannot be read.
    """
    commits = [commit for commit, _ in landmarks()]
    name = machine or machine_name()
    status = history(
        [f"{commit}^!" for commit in commits], benches or [PLANS], name, quick=False, publish=False
    )
    where = _results(_root(Path.cwd()))
    taken = [path for commit in commits for path in (where / name).glob(f"{commit[:8]}-*.json")]
    for path in [*taken, where / name / "machine.json", where / "benchmarks.json"]:
        if path.is_file():
            save(store / KEPT / path.relative_to(where), path.read_bytes())
    print(f"results of {len(taken)} landmarks are kept in {store / KEPT}", file=sys.stderr)
    return status


def landmarks(path: Path = LANDMARKS) -> list[tuple[str, str]]:
    """Returns the landmarks, the oldest first: the full hash of a commit, and what came with it.

    Raises UserError for a line that is none.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [line.partition(" ")[::2] for line in lines if line and not line.startswith("#")]
    for commit, words in found:
        if not re.fullmatch(r"[0-9a-f]{40}", commit) or not words:
            raise UserError(f"a line of {path.name} is a full hash and some words, got {clip(commit, 60)!r}")
    return found


def show(results: Path) -> None:
    """Prints what changed from commit to commit in asv's results. Raises UserError where there are none, or none can be read."""
    for machine, found in in_order(_readable(results)).items():
        all_series = series(found)
        print(f"{machine}: {len(found)} commits, {len(all_series)} series of a cell")
        told = by_commit(changes(all_series))
        for one in found:
            for change in told.get(one.commit, ()):
                print(f"  {one.commit[:8]}  {change.words}")
        if not told:
            print(f"  nothing changed by more than {TOLERANCE:.0%}")


def _readable(results: Path) -> list[AsvResults]:
    """Returns what can be read below a folder; of the rest it says why not."""
    found = []
    for path in result_files(results):
        try:
            found.append(read_file(path))
        except UNREADABLE as error:
            print(f"skipped {path}: {clip(str(error), 200)}", file=sys.stderr)
    if not found:
        raise UserError(f"no file below {results} is one of asv's results")
    return found


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
    return root / _configured(root, "html_dir", "html")


def _results(root: Path) -> Path:
    return root / _configured(root, "results_dir", "results")


def _configured(root: Path, name: str, usual: str) -> str:
    return str(json.loads((root / CONFIGURATION).read_text(encoding="utf-8")).get(name, usual))


def _asv(root: Path, *arguments: str, **environment: str) -> int:
    command = [sys.executable, "-m", "asv", *arguments]
    return subprocess.run(command, cwd=root, env=os.environ | environment, check=False).returncode
