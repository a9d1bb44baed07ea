"""asv's history: what is asked of asv, and, `slow`, two commits measured and a planned slow-down caught."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_cli import call

from benchmarks.commands import history
from benchmarks.commands.landmark import CELLS
from benchmarks.records.asv_results import read_file, result_files
from benchmarks.records.checkout import ROOT
from benchmarks.records.errors import UserError
from benchmarks.site.history import history_page

CELL = "poisson/sin-three-body d=100 stde"


def git(where: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.invalid"]
    command = ["git", "-C", str(where), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of two commits with asv's configuration, the working folder below it."""
    root = tmp_path / "project"
    for folder in ("pdezoo", "solvers", "docs"):
        (root / folder).mkdir(parents=True)
        (root / folder / "file.py").write_text("x = 1\n")
    (root / history.CONFIGURATION).write_text('{"html_dir": "pages"}')
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "one")
    git(root, "commit", "-qm", "two", "--allow-empty")
    monkeypatch.chdir(root / "docs")
    monkeypatch.setattr(history, "MACHINES", tmp_path / "machines.json")
    return root


@pytest.fixture
def asked(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What asv is asked to do; it does nothing but note the machine."""
    calls: list[tuple[str, ...]] = []

    def pretend(root: Path, *arguments: str, **environment: str) -> int:
        assert root == project
        assert environment == ({"ASV_PYTHONPATH": str(root)} if "--python=same" in arguments else {})
        calls.append(arguments)
        return 2 if "BROKEN^!" in arguments else 0

    monkeypatch.setattr(history, "_asv", pretend)
    return calls


def test_without_commits_the_installed_packages_are_measured_as_head(asked, project):
    assert history.history([], ["Speed", "Compiled"], "me", quick=False, publish=True) == 0
    run, publish = asked
    assert run[:4] == ("run", "--python=same", "--set-commit-hash", git(project, "rev-parse", "HEAD"))
    assert run[4:6] == ("--machine", "me")
    assert run[-4:] == ("--bench", "Speed", "--bench", "Compiled")
    assert publish == ("publish",)


def test_the_machine_has_its_accelerator(asked, monkeypatch):
    host = history.host_environment().model_copy(update={"platform": "gpu", "device": "NVIDIA H200"})
    monkeypatch.setattr(history, "host_environment", lambda: host)
    assert history.machine_name().endswith("nvidia-h200")
    history.history([], [], None, quick=True, publish=False)
    history.name_machine("another")
    known = json.loads(history.MACHINES.read_text())
    assert set(known) == {"version", history.machine_name(), "another"}
    assert known["another"]["gpu"] == "NVIDIA H200"
    assert known["another"]["cpu"] == host.cpu
    assert known["another"]["num_cpu"] == str(host.cpu_count)
    assert "--quick" in asked[-1]


def test_ranges_are_run_one_after_another_and_a_failure_is_told(asked, project):
    git(project, "branch", "BROKEN")
    assert history.history(["HEAD~1..HEAD", "BROKEN^!"], [], "me", quick=False, publish=True) == 1
    assert [call[1] for call in asked if call[0] == "run"] == ["HEAD~1..HEAD", "BROKEN^!"]
    assert asked[-1] == ("publish",)


def test_changed_sources_are_not_filed_under_head(asked, project):
    (project / "solvers" / "file.py").write_text("x = 2\n")
    with pytest.raises(UserError, match=r"solvers/file\.py"):
        history.history([], [], "me", quick=False, publish=False)
    assert asked == []
    history.history(["HEAD^!"], [], "me", quick=False, publish=False)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_machine_file_that_is_none_is_told(content, asked):
    history.MACHINES.write_text(content)
    with pytest.raises(UserError, match="machine file"):
        history.history([], [], "me", quick=False, publish=False)
    assert asked == []


MISTAKES = {
    ("--commits", "nobody..HEAD"): "git rev-list",
    ("--commits", "HEAD..HEAD"): "HEAD^!",
    ("--commits=--all",): "HEAD~3..HEAD",
    ("--machine", "my machine"): "letters",
}


@pytest.mark.parametrize(("arguments", "words"), MISTAKES.items(), ids=str)
def test_mistakes_are_explained(arguments, words, asked, project, monkeypatch):
    real = os.getcwd()
    monkeypatch.setattr(history.Path, "cwd", lambda: Path(real))  # `call` goes elsewhere
    code, out, err = call("history", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert not [a for a in asked if a[0] == "run"]


def test_elsewhere_than_in_a_checkout_it_says_so():
    code, _, err = call("history")
    assert code == 2
    assert "asv.conf.json" in err


def test_the_real_configuration_is_found():
    assert history._root(ROOT / "docs") == ROOT
    assert history._html(ROOT).name == "html"


@pytest.fixture
def clone(tmp_path: Path) -> Any:
    """This repository, with a commit that changes a page and one that slows `stde` down; and a way to run commands in it."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    root, home = tmp_path / "clone", Path.home()
    git(ROOT, "clone", "-q", str(ROOT), str(root))
    (root / "docs" / "index.md").write_text("A harmless change.\n")
    git(root, "commit", "-qam", "harmless")
    method = root / "solvers" / "methods" / "stde.py"
    slower = method.read_text().replace("samples: int = 16\n", "samples: int = 96\n")
    assert slower != method.read_text()
    method.write_text(slower)
    git(root, "commit", "-qam", "six times the axes")
    settings = {
        "HOME": str(tmp_path),  # for asv's machine file
        "XDG_CONFIG_HOME": os.environ.get("XDG_CONFIG_HOME", str(home / ".config")),  # for pip
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(home / ".cache")),
        "PYTHONPATH": str(root),
    }

    def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.run(
            command, cwd=root, env=os.environ | settings, capture_output=True, text=True, check=False
        )

    run.root = root  # type: ignore[attr-defined]
    return run


def values(root: Path, environment: str, commit: str, name: str) -> list[float]:
    """What asv stored of one benchmark at one commit."""
    (path,) = (root / ".asv" / "results" / "here").glob(f"{commit[:8]}-{environment}*.json")
    column = json.loads(path.read_text())["results"][f"bench_memory.Compiled.{name}"][0]
    return [value for value in column if value is not None and value == value]


@pytest.mark.slow
def test_two_commits_are_compared_and_a_planned_slow_down_is_caught(clone):
    """In environments that asv makes (it needs a package index) and in this one; by exact metrics, not by time."""
    before, harmless, slow = (git(clone.root, "rev-parse", f"HEAD~{k}") for k in (2, 1, 0))
    only = ("--bench", f"Compiled.*{CELL}")
    done = clone("benchmarks.cli", "history", "--commits", f"{before}..HEAD", "--machine", "here", *only)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for name in ("track_flops", "track_compiled_bytes"):
        (unchanged,), (more,) = (values(clone.root, "virtualenv", c, name) for c in (harmless, slow))
        assert more > 1.3 * unchanged
    compared = clone("asv", "compare", harmless, slow, "--machine", "here", "--factor", "1.1", "--split")
    assert "Benchmarks that have got worse" in compared.stdout
    assert "track_flops" in compared.stdout
    assert (clone.root / ".asv" / "html" / "index.html").exists()

    continuous = lambda one, other: clone("asv", "continuous", one, other, "--machine", "here", *only)
    assert continuous(before, harmless).returncode == 0
    caught = continuous(harmless, slow)
    assert caught.returncode == 1, caught.stdout[-2000:]
    assert "PERFORMANCE DECREASED" in caught.stdout

    again = clone("benchmarks.cli", "history", "--machine", "here", "--no-publish", *only)
    assert again.returncode == 0, again.stdout[-2000:] + again.stderr[-2000:]
    assert values(clone.root, "existing", slow, "track_flops") == values(
        clone.root, "virtualenv", slow, "track_flops"
    )


BYTES, FLOPS = "bench_memory.Compiled.track_compiled_bytes", "bench_memory.Compiled.track_flops"


def results(
    folder: Path, commit: str, date: int, values: dict[str, list[float | None]], version: str = "1"
) -> Path:
    """Writes what asv would of two cells at a commit."""
    columns = {name: [found, [["'a d=1 stde'", "'b d=2 hte'"]], version] for name, found in values.items()}
    content = {
        "commit_hash": commit * 8,
        "date": date,
        "params": {"machine": folder.name, "cpu": "a cpu", "os": "an os"},
        "result_columns": ["result", "params", "version"],
        "results": columns,
    }
    path = folder / f"{commit}-env.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """Results of one machine at three commits: the second halves the bytes of a cell, the third fails and changes the other's."""
    folder = tmp_path / "asv" / "two-cores"
    results(folder, "ccccc", 3, {BYTES: [None, 300.0], FLOPS: [7.0, 8.0]})
    results(folder, "aaaaa", 1, {BYTES: [100.0, 200.0], FLOPS: [7.0, math.nan]})
    results(folder, "bbbbb", 2, {BYTES: [50.0, 209.0], FLOPS: [7.0, 8.1]})
    (folder / "machine.json").write_text("{}")
    return tmp_path / "asv"


def test_it_says_which_commit_changed_which_cell_by_how_much(measured, capsys):
    history.show(measured)
    assert capsys.readouterr().out.splitlines() == [
        "two-cores: 3 commits, 4 series of a cell",
        "  bbbbbbbb  a d=1 stde: compiled bytes 100 → 50 (-50.0%)",
        "  cccccccc  b d=2 hte: compiled bytes 209 → 300 (+43.5%)",
    ]


def test_a_new_version_of_a_benchmark_begins_anew(measured, capsys):
    results(measured / "two-cores", "ddddd", 4, {BYTES: [1.0, 1.0]}, version="2")
    history.show(measured)
    assert "bytes" not in capsys.readouterr().out


def test_files_that_are_none_are_told_and_the_rest_is_read(measured, capsys):
    (measured / "two-cores" / "eeeee-env.json").write_text("[]")
    assert call("history", "--show", str(measured))[0] == 0
    code, out, err = call("history", "--show", str(measured))
    assert (code, "skipped" in err, "two-cores" in out) == (0, True, True)
    code, _, err = call("history", "--show", str(measured / "nowhere"))
    assert (code, "pdezoo history" in err) == (2, True)


def test_the_page_has_the_changes_and_every_value(measured):
    found = tuple(map(read_file, result_files(measured)))
    text = history_page(found).text
    assert text.count("<svg") == 1  # operations changed by less than 5 %
    for part in ("bbbbbbbb", "0.5", "209", "a d=1 stde", "8.1", "a cpu"):
        assert part in text
    assert "pdezoo history --landmarks" in history_page(()).text


def test_landmarks_are_commits_with_words(tmp_path):
    commits = [commit for commit, _ in history.landmarks()]
    assert len(commits) == len(set(commits)) >= 10
    path = tmp_path / "landmarks.txt"
    path.write_text("abc words\n")
    with pytest.raises(UserError, match="full hash"):
        history.landmarks(path)


def test_the_results_of_the_landmarks_are_kept(asked, project, monkeypatch, tmp_path):
    """They are copied where asv has them; what is asked is what the compiler plans for the cells of `pdezoo landmark`."""
    head = git(project, "rev-parse", "HEAD")
    monkeypatch.setattr(history, "landmarks", lambda: [(head, "now")])
    results(project / "results" / "me", head[:8], 1, {BYTES: [1.0, 2.0]})
    assert history.history_of_landmarks([], "me", tmp_path / "store") == 0
    assert [path.name for path in result_files(tmp_path / "store" / "asv")] == [f"{head[:8]}-env.json"]
    (run,) = asked
    assert run[1] == f"{head}^!"
    assert all(re.search(history.PLANS, f"bench_memory.Compiled.track_flops({cell!r})") for cell in CELLS)
    assert not re.search(history.PLANS, f"bench_memory.Compiled.track_flops({CELLS[0] + '-lsq'!r})")


def test_kept_results_are_of_the_landmarks():
    known = {commit for commit, _ in history.landmarks()}
    kept = ROOT / "results" / "asv"
    assert not kept.exists() or {read_file(path).commit for path in result_files(kept)} <= known
