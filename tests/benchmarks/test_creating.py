"""`pdezoo new` writes what passes its own check, and refuses what could not be registered."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_cli import call

import pdezoo
from benchmarks.commands import new
from benchmarks.records.checkout import ROOT
from benchmarks.records.errors import UserError
from benchmarks.records.record import ProblemKey


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like a checkout, the working folder somewhere inside it."""
    for kind in new.KINDS.values():
        (tmp_path / kind.folder).mkdir(parents=True)
        (tmp_path / kind.folder / "__init__.py").touch()
    inside = tmp_path / "docs"
    inside.mkdir()
    monkeypatch.chdir(inside)
    return tmp_path


def registered(path: Path) -> list[str]:
    return [entry.name for entry in pdezoo.registry.scan_source(path.read_text())]


@pytest.mark.parametrize("kind", new.KINDS)
def test_in_a_checkout_one_file_is_written(kind, checkout, capsys):
    new.new(kind, "brand-new.2", None)
    path = checkout / new.KINDS[kind].folder / "brand_new_2.py"
    assert registered(path) == ["brand-new.2"]
    out, err = capsys.readouterr()
    assert "pdezoo check brand-new.2" in out
    assert "pip install -e" in err  # the tests import another copy
    with pytest.raises(UserError, match="exists already"):
        new.new(kind, "brand-new.2", None)


@pytest.mark.parametrize("kind", new.KINDS)
def test_what_is_written_is_in_the_style_of_the_repository(kind, checkout):
    if importlib.util.find_spec("ruff") is None:
        pytest.skip("ruff is not installed")
    new.new(kind, "brand-new", None)
    path = Path(new.KINDS[kind].folder) / "brand_new.py"
    root = ROOT
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "--stdin-filename", path, "-"]
        done = subprocess.run(ruff, cwd=root, input=(checkout / path).read_bytes(), check=False)
        assert done.returncode == 0


@pytest.mark.parametrize("kind", new.KINDS)
def test_a_package_names_its_module_and_its_entry_point(kind, tmp_path):
    folder = tmp_path / "mine"
    new.new(kind, "brand-new", folder)
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    assert project["project"]["name"] == "pdezoo-brand-new"
    (points,) = project["project"]["entry-points"].values()
    assert points == {"brand-new": "pdezoo_brand_new"}
    assert registered(folder / "pdezoo_brand_new.py") == ["brand-new"]
    with pytest.raises(UserError, match="not an empty folder"):
        new.new(kind, "brand-new", folder)


@given(st.from_regex(new._NAME, fullmatch=True).filter(lambda name: len(name) <= new._LONGEST))
@example("lambda")
@example("u")
@example("d")
@example("axes")
@example("estimator")
def test_every_accepted_name_gives_a_module_that_means_what_it_says(name):
    """No placeholder is left, and the contribution's own names hide none that it uses."""
    ProblemKey(name=name, dim=3)
    for kind in new.KINDS.values():
        tree = ast.parse(new._source(kind, name))
        made = [n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        imported = [a.asname or a.name for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names]
        assert len({*made, *imported}) == len(made) + len(imported)


BAD = {
    "Poisson": "lower-case",
    "2d": "begins with a letter",
    "a b": "lower-case",
    "../x": "lower-case",
    "a--b": "single",
    "ends-": "single",
    "x" * 61: "up to 60",
    "poisson": "exists already, in pdezoo",
}


@pytest.mark.parametrize(("name", "words"), BAD.items())
def test_bad_and_taken_names_are_refused(name, words, checkout):
    code, out, err = call("new", "pde", name)
    assert (code, out) == (2, "")
    assert words in err
    assert len(list((checkout / "pdezoo/equations").iterdir())) == 1


MISTAKES = {
    ("new", "network", "mine"): "pde or solver",
    ("new", "solver", "stde"): "exists already",
    ("new", "solver", "null-affine"): "exists already",
    ("new", "pde", "mine"): "--package",
    ("new", "pde", "mine", "--package", "/dev/null"): "not an empty folder",
    ("new", "pde", "mine", "--package", "/proc/nowhere/mine"): "cannot be written",
}


@pytest.mark.parametrize(("arguments", "words"), MISTAKES.items(), ids=lambda a: " ".join(a)[:40])
def test_mistakes_are_explained(arguments, words):
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
