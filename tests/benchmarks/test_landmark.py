"""The check on what the compiler plans: what grew is named, and what cannot be compared is said."""

from __future__ import annotations

import json

import pytest

from benchmarks import suite
from benchmarks.commands import landmark
from benchmarks.commands.landmark import CELLS, changes
from benchmarks.records.errors import UserError

PLAN = {"compiled_bytes": 1000.0, "flops": 500.0}
CELL = "poisson/two-body d=4 stde"


@pytest.fixture
def plans(monkeypatch):
    """What the compiler is pretended to plan, by cell."""
    made = {CELL: dict(PLAN)}
    monkeypatch.setattr(landmark, "planned", lambda cell: made[cell])
    return made


def test_a_cell_that_grew_is_named_with_both_numbers():
    before, now = {CELL: PLAN}, {CELL: {"compiled_bytes": 1060.0, "flops": 500.0}}
    assert changes(before, now) == [f"{CELL}: compiled_bytes 1,000 → 1,060 (+6.0%)"]
    assert changes(now, before) == []
    assert changes(before, {CELL: {"compiled_bytes": 1049.0, "flops": 10.0}}) == []
    assert "not in the landmark" in changes({}, now)[0]


def test_a_landmark_is_made_held_and_broken(plans, tmp_path, capsys):
    path = tmp_path / "landmark.json"
    assert landmark.landmark(False, path, [CELL]) == 0
    assert "nothing to compare with" in capsys.readouterr().out
    assert landmark.landmark(True, path, [CELL]) == 0
    assert landmark.landmark(False, path, [CELL]) == 0
    plans[CELL]["flops"] = 600.0
    assert landmark.landmark(False, path, [CELL]) == 1
    assert "flops 500 → 600" in capsys.readouterr().err
    (key,) = json.loads(path.read_text())
    other = key.replace("cores", "more cores")
    path.write_text(json.dumps({other: {CELL: PLAN}}))
    assert landmark.landmark(False, path, [CELL]) == 0
    assert other in capsys.readouterr().out
    assert landmark.landmark(True, path, [CELL]) == 0
    assert set(json.loads(path.read_text())) == {key, other}


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_file_that_is_no_landmark_is_told(tmp_path, content):
    path = tmp_path / "landmark.json"
    path.write_text(content)
    with pytest.raises(UserError, match="--update"):
        landmark.landmark(False, path, [CELL])


def test_the_cells_of_the_landmark_are_those_of_the_history():
    assert set(CELLS) <= set(suite.CELLS)


def test_a_plan_counts_more_for_more(monkeypatch):
    small, large = (landmark.planned(f"poisson/two-body d={d} stde") for d in (4, 400))
    assert large["compiled_bytes"] > small["compiled_bytes"]
    assert large["flops"] > small["flops"]
