"""The contracts between rooms hold what they say: one import planted against each level is reported, and without it none is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("importlinter")

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS: list[dict[str, Any]] = SETTINGS["contracts"]
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"


def siblings(layer: str) -> list[str]:
    return [name.strip() for name in re.split(r"[|:]", layer)]


def forbidden(contract: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Imports that a contract must report: from each level to the one above it, and between independent modules of one."""
    if contract["type"] == "forbidden":
        yield from ((s, f) for s in contract["source_modules"] for f in contract["forbidden_modules"])
    if contract["type"] == "layers":
        for container in contract.get("containers", [""]):
            inside = lambda name, container=container: f"{container}.{name}".lstrip(".")
            layers = contract["layers"]
            for upper, lower in pairwise(layers):
                yield inside(siblings(lower)[0]), inside(siblings(upper)[-1])
            for layer in layers:
                if "|" in layer:
                    first, *others = siblings(layer)
                    yield from ((inside(first), inside(other)) for other in others)


PLANTED = {
    (contract["name"], importer, imported)
    for contract in CONTRACTS
    for importer, imported in forbidden(contract)
}


def source(tree: Path, module: str) -> Path:
    path = tree / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def copied(folder: Path) -> Path:
    """The packages and their contracts in another folder."""
    for package in SETTINGS["root_packages"]:
        shutil.copytree(ROOT / package, folder / package, ignore=lambda _, names: unread(names))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def unread(names: list[str]) -> list[str]:
    return [name for name in names if "." in name and not name.endswith(".py")] + ["__pycache__"]


def linted(tree: Path) -> tuple[int, str]:
    """Exit status and report of import-linter; every finding is one line of it."""
    done = subprocess.run(
        [sys.executable, "-c", LINT],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree), "COLUMNS": "500", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def violated(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is said of a copy with one import planted against every level, a circle, and a module that has no level."""
    tree = copied(tmp_path_factory.mktemp("violated"))
    for _, importer, imported in sorted(PLANTED):
        with source(tree, importer).open("a") as file:
            file.write(f"\nimport {imported}\n")
    (tree / "pdezoo" / "calculus" / "one.py").write_text("import pdezoo.calculus.two\n")
    (tree / "pdezoo" / "calculus" / "two.py").write_text("import pdezoo.calculus.one\n")
    for contract in CONTRACTS:
        for container in contract.get("containers", []):
            (tree / container / "lost.py").touch()
    code, report = linted(tree)
    assert code == 1, report
    return report


def test_the_tree_as_it_is_keeps_every_contract(tmp_path: Path) -> None:
    code, report = linted(copied(tmp_path))
    assert code == 0, report
    assert all(f"{contract['name']} KEPT" in report for contract in CONTRACTS)


@pytest.mark.parametrize("name", [contract["name"] for contract in CONTRACTS])
def test_every_contract_can_be_broken(name: str, violated: str) -> None:
    assert f"{name} BROKEN" in violated


@pytest.mark.parametrize(("name", "importer", "imported"), sorted(PLANTED), ids=str)
def test_an_import_against_a_level_is_reported(
    name: str, importer: str, imported: str, violated: str
) -> None:
    """In the section of its own contract."""
    section = violated.rpartition(f"\n{name}\n---")[2].split("\n---")[0]
    assert re.search(rf"{re.escape(importer)} (is not allowed to import|->) {re.escape(imported)}\b", section)


def test_a_module_without_a_level_is_reported(violated: str) -> None:
    for contract in CONTRACTS:
        for container in contract.get("containers", []):
            assert f"- {container}.lost\n" in violated
