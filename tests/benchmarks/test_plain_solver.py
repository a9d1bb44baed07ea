"""A solver that offers the least that is asked (a name, hyperparameters, unsupported, fit) runs in every path of the harness."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import pdezoo
import solvers
from benchmarks import suite
from benchmarks.records.checkout import ROOT

PLUGIN = '''
from dataclasses import dataclass

import jax.numpy as jnp

from solvers import Result, Solver, register


@dataclass(frozen=True)
class Guess(Solver):
    """The same value everywhere."""

    name: str
    value: float = 0.5

    def hyperparameters(self):
        return {"value": self.value}

    def unsupported(self, pde):
        return None if pde.name.startswith("poisson/") else "it guesses the solutions of Poisson's equation only"

    def fit(self, pde, *, steps, test=None, progress=None, **_):
        if reason := self.unsupported(pde):
            raise ValueError(reason)
        predict = lambda points: jnp.full(points.x.shape[0], self.value)
        return Result(
            status="ok", reason="", steps=steps, loss=None, history=[], seconds=0.1, compile_seconds=None,
            steps_per_second=None, compiled_bytes=None, errors=test and test.errors(predict),
            forward_evaluations=0, predict=predict,
        )


@register("toy-guess")
def guess() -> Solver:
    """A guess, which needs no training."""
    return Guess("toy-guess")
'''

DRIVER = """
import contextlib, io, json, os, sys
from benchmarks import cli, suite

def call(*arguments):
    out = io.StringIO()
    sys.argv = ["pdezoo", *arguments]
    with contextlib.redirect_stdout(out):
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
    return code, out.getvalue()

try:
    suite.compiled("poisson/two-body d=100 toy-guess")
    compiled = "compiled"
except NotImplementedError as error:
    compiled = str(error)
cell = ("poisson/two-body", "toy-guess", "--dim", "10", "--protocol", "quick")
print(json.dumps({
    "compiled": compiled,
    "show": call("show", "toy-guess", "--json"),
    "run": call("run", *cell, "--json"),
    "again": call("run", *cell),
    "leaderboard": call("leaderboard", "--format", "json", "-o", "board.json")[0],
    "board": json.load(open("board.json")),
    "check": call("check", "toy-guess", "--json"),
}))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What every command says of the solver."""
    target = tmp_path_factory.mktemp("plain")
    (target / "toy_guess.py").write_text(PLUGIN)
    info = target / "toy_guess-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-guess\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[pdezoo.solvers]\ntoy-guess = toy_guess\n")
    settings = {
        "PYTHONPATH": os.pathsep.join([str(target), str(ROOT)]),
        "PDEZOO_STORE": str(target / "records"),
    }
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        cwd=target,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_it_is_measured(seen):
    code, out = seen["run"]
    assert code == 0
    (record,) = json.loads(out)
    assert record["status"] == "ok"
    assert record["environment"]["memory_limit"] == "host"
    assert record["metrics"]["relative_l2"] > 0
    assert record["metrics"]["compiled_bytes"] is None
    assert "sees_solution" not in record
    code, table = seen["again"]
    assert code == 0
    assert "toy-guess" in table


def test_it_is_shown_and_stands_on_the_leaderboard(seen):
    code, out = seen["show"]
    assert (code, json.loads(out)["hyperparameters"]) == (0, {"value": 0.5})
    rows = {row["solver"]: row for row in seen["board"]["rows"]}
    assert seen["leaderboard"] == 0
    assert rows["toy-guess"]["status"] == "ok"
    assert rows["toy-guess"]["note"] != rows["null-constant"]["note"]


def test_it_keeps_its_contract_as_far_as_that_concerns_it(seen):
    code, out = seen["check"]
    (report,) = json.loads(out)
    outcomes = {finding["name"]: finding["ok"] for finding in report["findings"]}
    assert code == 0, report
    assert outcomes["made"] is outcomes["crosses"] is outcomes["repeatable"] is True
    assert outcomes["memory"] is outcomes["unbiased"] is None


def test_asv_skips_what_it_does_not_compile(seen):
    assert "toy-guess has no compiled step" in seen["compiled"]
    with pytest.raises(NotImplementedError, match="no compiled step"):
        suite.compiled("poisson/two-body d=100 null-zero")


def test_a_solver_says_whether_it_sees_the_solution_and_compiles():
    pde = pdezoo.make("poisson/two-body", dim=5)
    assert solvers.make("null-affine").sees_solution
    assert solvers.make("null-affine").compile(pde) is None
    assert not solvers.make("stde").sees_solution
    assert [name for name in solvers.names() if solvers.make(name).sees_solution] == [
        "null-affine",
        "null-constant",
    ]
