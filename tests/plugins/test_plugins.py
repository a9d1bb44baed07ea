"""Contributions from outside: one installed package adds a problem and a solver; broken ones harm nothing."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from benchmarks.commands import new

TOY = Path(__file__).parent / "toy_zoo"


def describe(target: Path, name: str, entry_points: dict[str, dict[str, str]]) -> None:
    """What an installer writes beside a package: its name and its entry points."""
    info = target / f"{name.replace('-', '_')}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    groups = (f"[{g}]\n" + "".join(f"{k} = {v}\n" for k, v in e.items()) for g, e in entry_points.items())
    (info / "entry_points.txt").write_text("\n".join(groups))


def install(package: Path, target: Path) -> None:
    """By pip where the package's build back end is at hand; else as pip would."""
    if importlib.util.find_spec("hatchling") and importlib.util.find_spec("pip"):
        options = [
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--no-index",
            "--disable-pip-version-check",
        ]
        source = shutil.copytree(package, target.with_name("source"))
        subprocess.run(
            [sys.executable, "-m", "pip", "install", *options, "--target", target, source], check=True
        )
        return
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    shutil.copytree(package, target, dirs_exist_ok=True)
    describe(target, project["name"], project["entry-points"])


def process(target: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter with the plug-ins of `target`."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(target), *sys.path])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def python(target: Path, code: str) -> Any:
    """What a fresh interpreter with the plug-ins of `target` prints, as JSON."""
    done = process(target, "-c", dedent(code))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def checked(target: Path, *names: str) -> tuple[int, dict[str, Any]]:
    """Exit status of `pdezoo check`, and its reports by name."""
    done = process(target, "-m", "benchmarks.cli", "check", *names, "--json")
    return done.returncode, {report["name"]: report for report in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which toy-zoo is installed."""
    target = tmp_path_factory.mktemp("installed") / "site"
    target.mkdir()
    install(TOY, target)
    return target


def test_a_plugin_adds_a_problem_and_a_solver(toy: Path) -> None:
    """Listed with its origin, proven, solved, and told apart from a misspelling."""
    found = python(
        toy,
        """
        import json, pdezoo, solvers
        pde = pdezoo.make("toy-helmholtz/strong", dim=5)
        report = pdezoo.verify(pde, test_size=100)
        test = pdezoo.TestSet(pde, 100)
        solver = solvers.make("toy-descent", width=8, depth=2, learning_rate=0.02)
        result = solver.fit(pde, steps=20, batch=8, test=test, progress=None)
        try:
            pdezoo.make("toy-helmholz", dim=5)
        except pdezoo.UnknownName as error:
            hint = str(error)
        entries = pdezoo.catalogue()["toy-helmholtz"], solvers.catalogue()["toy-descent"]
        print(json.dumps({
            "names": pdezoo.names(), "rows": solvers.names(), "name": pde.name,
            "origins": [e.origin for e in entries], "errors": [e.error for e in entries],
            "summaries": [e.summary for e in entries], "ok": report.ok, "status": result.status,
            "relative_l2": result.errors["relative_l2"], "hint": hint,
        }))
        """,
    )
    assert {"toy-helmholtz/weak", "toy-helmholtz/strong", "poisson/two-body"} <= set(found["names"])
    assert {"toy-descent", "stde"} <= set(found["rows"])
    assert found["name"] == "toy-helmholtz/strong"
    assert found["origins"] == ["toy-zoo", "toy-zoo"]
    assert found["errors"] == [None, None]
    assert found["summaries"][0] == "Δu + k u = g on the unit ball, u = 0 on the sphere."
    assert found["ok"]
    assert found["status"] == "ok"
    assert 0 < found["relative_l2"] < 10
    assert "toy-helmholtz" in found["hint"]


def test_other_tests_do_not_depend_on_what_is_installed(toy: Path) -> None:
    """Those over the registry are over the project's own rows, on the machine of a plug-in's author too."""
    shared = str(Path(__file__).parent.with_name("conftest.py"))
    found = python(
        toy,
        f"""
        import json, runpy, pdezoo, solvers
        seen = lambda: ["toy-helmholtz" in pdezoo.catalogue(), "toy-descent" in solvers.catalogue()]
        before = seen()
        runpy.run_path({shared!r})["hide_installed_plugins"]()
        print(json.dumps([before, seen()]))
        """,
    )
    assert found == [[True, True], [False, False]]


def test_a_plugin_may_be_imported_before_it_is_listed(toy: Path) -> None:
    """As its author does in a notebook."""
    found = python(
        toy,
        """
        import json, pdezoo, toy_zoo.helmholtz
        entry = pdezoo.catalogue()["toy-helmholtz"]
        print(json.dumps([entry.error, entry.origin, pdezoo.make("toy-helmholtz", dim=5).name]))
        """,
    )
    assert found == [None, "toy-zoo", "toy-helmholtz/weak"]


REGISTERS = """
from pdezoo import register
@register({name!r}{more})
def anything(dim):
    '''Nothing in particular.'''
"""
BROKEN = {
    "does-not-parse": ("def", "SyntaxError"),
    "registers-nothing": ("x = 1", "nothing"),
    "registers-another": (REGISTERS.format(name="something-else", more=""), "something-else"),
    "computes-variants": (
        REGISTERS.format(name="computes-variants", more=", variants=tuple('ab')"),
        "literal strings",
    ),
    "poisson": (REGISTERS.format(name="poisson", more=""), "poisson"),
}
"""Entry point → the module's source, which shows what is wrong, and what the listed error must name."""

FAILING = {
    "cannot-import": ("import a_module_that_does_not_exist", "a_module_that_does_not_exist"),
    "exits": ("raise SystemExit(3)", "SystemExit"),
    "fails": ("1 / 0", "ZeroDivisionError"),
    "unregisters": (
        "import pdezoo; del pdezoo._registry._factories['unregisters']",
        "though its source says so",
    ),
}
"""Entry point → what follows on a registration that reads well, and what the error must name once it is imported."""


@pytest.fixture(scope="module")
def infested(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same folder with every kind of broken plug-in beside toy-zoo, one distribution each."""
    target = tmp_path_factory.mktemp("infested") / "site"
    shutil.copytree(toy, target)
    failing = {k: (REGISTERS.format(name=k, more="") + code, clue) for k, (code, clue) in FAILING.items()}
    for point, (source, _) in (BROKEN | failing).items():
        module = f"broken_{point.replace('-', '_')}"
        (target / f"{module}.py").write_text(source)
        describe(target, f"broken-{point}", {"pdezoo.equations": {point: module}})
    (target / "rival.py").write_text(REGISTERS.format(name="toy-helmholtz", more=""))
    describe(target, "zz-rival", {"pdezoo.equations": {"toy-helmholtz": "rival"}})  # after toy-zoo, by name
    describe(target, "broken-missing", {"pdezoo.solvers": {"missing": "not_there"}})
    return target


@pytest.mark.parametrize(
    "before", ["pass", "pdezoo.make('poisson', dim=5)"], ids=["fresh", "after a problem is made"]
)
def test_broken_plugins_are_listed_and_harm_nothing(infested: Path, before: str) -> None:
    """Also those that claim a name of the zoo's own or of another plug-in's: whoever is asked first."""
    found = python(
        infested,
        f"""
        import json, sys, pdezoo, solvers
        {before}
        entries = [*pdezoo.catalogue().values(), *solvers.catalogue().values()]
        made = [pdezoo.make(n, dim=5).operator for n in ("poisson", "toy-helmholtz", "allen-cahn")]
        print(json.dumps({{
            "broken": {{e.origin: e.error for e in entries if e.error}},
            "sound": {{e.name: e.origin for e in entries if not e.error}},
            "names": pdezoo.names() + solvers.names(),
            "imported": [m for m in sys.modules if m.startswith(("broken_", "rival"))],
        }}))
        """,
    )
    for point, (_, clue) in BROKEN.items():
        assert clue in found["broken"][f"broken-{point}"]
    assert "toy-helmholtz" in found["broken"]["zz-rival"]
    assert "not_there" in found["broken"]["broken-missing"]
    assert found["sound"]["poisson"] == "pdezoo"
    assert found["sound"]["toy-helmholtz"] == "toy-zoo"
    assert {"poisson/two-body", "toy-helmholtz/weak", "toy-descent", "stde"} <= set(found["names"])
    assert not {*BROKEN, "missing"} - {"poisson"} & set(found["names"])
    assert {name: found["sound"][name] for name in FAILING} == {name: f"broken-{name}" for name in FAILING}
    assert found["imported"] == []


def test_listing_runs_no_plugin(infested: Path) -> None:
    """Neither a module nor the package that holds it; what an import brings with it is not there."""
    found = python(
        infested,
        """
        import json, sys, pdezoo, solvers
        entry = pdezoo.catalogue()["toy-helmholtz"]
        names = pdezoo.names() + solvers.names()
        print(json.dumps([entry.summary, entry.variants, entry.origin, names, [*sys.modules]]))
        """,
    )
    summary, variants, origin, names, modules = found
    assert (summary, origin) == ("Δu + k u = g on the unit ball, u = 0 on the sphere.", "toy-zoo")
    assert variants == ["weak", "strong"]
    assert {"toy-helmholtz/strong", "toy-descent"} <= set(names)
    assert not {"toy_zoo", "toy_zoo.helmholtz", "toy_zoo.descent", "broken_exits", "jax", "sympy"} & set(
        modules
    )


def test_a_package_may_gather_its_modules_and_share_its_variants(tmp_path: Path) -> None:
    """The entry points name the package, which imports what registers; variants are imported from a third module."""
    package = tmp_path / "gathered"
    package.mkdir()
    (package / "__init__.py").write_text("from . import one\nfrom .deeper.two import anything\nimport os\n")
    (package / "one.py").write_text(
        "from .shared import KINDS\n" + REGISTERS.format(name="one", more=", variants=KINDS")
    )
    (package / "deeper").mkdir()
    (package / "deeper" / "__init__.py").write_text("")
    (package / "deeper" / "two.py").write_text(REGISTERS.format(name="two", more=""))
    (package / "shared.py").write_text("KINDS = ('a', 'b')\n")
    describe(tmp_path, "gathered", {"pdezoo.equations": {"one": "gathered", "two": "gathered"}})
    found = python(
        tmp_path,
        """
        import json, sys, pdezoo
        entries = {e.name: [e.error, e.variants] for e in pdezoo.catalogue().values() if e.origin == "gathered"}
        before = "gathered" in sys.modules
        made = [pdezoo._registry.factory(name).__module__ for name in ("one", "two")]
        print(json.dumps([entries, before, made]))
        """,
    )
    listed = {"one": [None, ["a", "b"]], "two": [None, []]}
    assert found == [listed, False, ["gathered.one", "gathered.deeper.two"]]


@pytest.mark.parametrize("point", FAILING)
def test_a_plugin_that_fails_when_it_is_imported_is_broken_from_then_on(infested: Path, point: str) -> None:
    before, errors, after = python(
        infested,
        f"""
        import json, pdezoo
        before, errors = pdezoo.catalogue()[{point!r}].error, []
        for _ in range(2):
            try:
                pdezoo.make({point!r}, dim=5)
            except pdezoo.BrokenPlugin as error:
                errors.append(str(error))
        print(json.dumps([before, errors, pdezoo.catalogue()[{point!r}].error]))
        """,
    )
    assert before is None
    assert len(errors) == 2
    for message in (*errors, after):
        assert FAILING[point][1] in message
    assert f"broken-{point}" in errors[0]


@pytest.mark.parametrize("point", ["registers-another", "does-not-parse"])
def test_asking_for_a_broken_plugin_says_what_is_wrong(infested: Path, point: str) -> None:
    message = python(
        infested,
        f"""
        import json, pdezoo
        try:
            pdezoo.make({point!r}, dim=5)
        except pdezoo.BrokenPlugin as error:
            print(json.dumps(str(error)))
        """,
    )
    assert f"broken-{point}" in message
    assert BROKEN[point][1] in message


@pytest.mark.slow
def test_an_installed_problem_and_solver_keep_their_contracts(toy: Path) -> None:
    begin = time.monotonic()
    code, reports = checked(toy, "toy-helmholtz", "toy-descent")
    assert code == 0, reports
    assert set(reports) == {"toy-helmholtz/weak", "toy-helmholtz/strong", "toy-descent"}
    assert {report["origin"] for report in reports.values()} == {"toy-zoo"}
    found = {f["name"]: f["ok"] for f in reports["toy-descent"]["findings"]}
    assert all(found[clause] is True for clause in ("repeatable", "unbiased", "learns", "memory"))
    assert time.monotonic() - begin < 120


@pytest.mark.slow
def test_broken_plugins_fail_their_check_and_a_sound_one_beside_them_does_not(infested: Path) -> None:
    code, reports = checked(infested, "cannot-import", "exits", "missing", "null-zero")
    assert code == 1
    assert {name: report["ok"] for name, report in reports.items()} == {
        "cannot-import": False,
        "exits": False,
        "missing": False,
        "null-zero": True,
    }
    for name, clue in (("cannot-import", "a_module_that_does_not_exist"), ("missing", "not_there")):
        (finding,) = reports[name]["findings"]
        assert clue in finding["seen"]
        assert finding["advice"]


@pytest.mark.slow
def test_what_pdezoo_new_writes_can_be_installed_and_passes_its_check(tmp_path: Path) -> None:
    target = tmp_path / "site"
    target.mkdir()
    for kind, name in (("pde", "fresh-problem"), ("solver", "fresh-solver")):
        new.new(kind, name, tmp_path / name)
        (tmp_path / "source").exists() and shutil.rmtree(tmp_path / "source")
        install(tmp_path / name, target)
    code, reports = checked(target, "fresh-problem", "fresh-solver")
    assert code == 0, reports
    assert {name: report["origin"] for name, report in reports.items()} == {
        "fresh-problem": "pdezoo-fresh-problem",
        "fresh-solver": "pdezoo-fresh-solver",
    }
    assert {f["name"]: f["ok"] for f in reports["fresh-solver"]["findings"]}["unbiased"] is True
    assert reports["fresh-problem"]["audit"]["degenerate"] is False
