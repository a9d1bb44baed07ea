"""`pdezoo theory`: what it prints and draws."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import solvers
from benchmarks.commands import theory
from benchmarks.records.errors import UserError
from solvers import Curve

CURVES = tuple(
    Curve("Var ρ", "ε", label, (1e-3, 1e-2, 1e-1), (5.0 * k, 5.1 * k, 5.2 * k), (0.1,) * 3, (5.0 * k,) * 3)
    for k, label in ((1, "common"), (2, "apart"))
)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(solvers, "slope_variance", lambda solver, pde: CURVES)


def test_a_figure_is_small_and_the_same_every_time():
    first = theory.png(CURVES)
    assert first.startswith(b"\x89PNG")
    assert len(first) < 60_000
    assert theory.png(CURVES) == first
    assert theory.png(CURVES[:1]) != first


def test_numbers_and_figure(quick, tmp_path, capsys):
    theory.theory(["variance"], tmp_path / "new" / "folder", as_json=True)
    (curve, _) = json.loads(capsys.readouterr().out)["variance"]
    assert curve["seen"] == list(CURVES[0].seen)
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["theory-variance.png"]


def test_the_table_sets_prediction_beside_measurement(quick, capsys):
    theory.theory(["variance"], None, as_json=False)
    line = next(text for text in capsys.readouterr().out.splitlines() if "5.1" in text)
    assert "1.020" in line


def test_a_folder_that_cannot_be_written(quick):
    with pytest.raises(UserError, match="cannot be written"):
        theory.theory(["variance"], theory.Path("/dev/null/folder"), as_json=True)


@pytest.mark.slow
def test_the_whole_command(tmp_path):
    """Every diagnostic has its figure; the curves with an exact prediction are within five standard errors of it."""
    command = [sys.executable, "-m", "benchmarks.cli", "theory", "--json", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=True)
    curves = json.loads(done.stdout)
    assert {f"theory-{name}.png" for name in curves} == {path.name for path in tmp_path.iterdir()}
    exact = curves["moments"] + curves["alignment"] + curves["kernel"]
    for curve in (c for c in exact if c["variable"] != "outputs"):
        for seen, error, predicted in zip(curve["seen"], curve["error"], curve["predicted"], strict=True):
            assert abs(seen - predicted) < 5 * error, curve
