"""The folder that this package lies in is found from one place, and whoever needs it has the right one."""

from __future__ import annotations

import harness_fake
import pytest

import benchmarks
from benchmarks.execution import isolate
from benchmarks.planning import campaign
from benchmarks.records.checkout import ROOT, enclosing, git, git_or_none
from benchmarks.records.environment import host_environment
from benchmarks.records.errors import UserError


def test_the_root_holds_the_package():
    assert benchmarks.__file__ == str(ROOT / "benchmarks" / "__init__.py")
    assert campaign.FOLDER.is_dir()


def test_a_child_imports_the_package_that_measures(make_cell, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    made = isolate._environment(make_cell(), harness_fake.SLOT, host_environment())
    assert made["PYTHONPATH"].split(":") == [str(ROOT), "/elsewhere"]


def test_the_nearest_folder_that_has_every_mark(tmp_path):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    for folder, marks in ((tmp_path, ("x", "y")), (tmp_path / "a", ("x",))):
        for mark in marks:
            (folder / mark).touch()
    assert enclosing(inner, ["x"]) == tmp_path / "a"
    assert enclosing(inner, ["x", "y"]) == tmp_path
    assert enclosing(inner, ["no such mark of any folder"]) is None


def test_git_answers_or_says_why_not(tmp_path):
    with pytest.raises(UserError, match=r"git rev-parse: .*not a git repository"):
        git("rev-parse", "HEAD", at=tmp_path)
    assert git_or_none("rev-parse", "HEAD", at=tmp_path) is None
    assert git_or_none("rev-parse", "\x00") is None
    git("init", "-q", at=tmp_path)
    assert git("rev-parse", "--show-toplevel", at=tmp_path) == str(tmp_path.resolve())
