"""What old records measured is shown under the name that it has today, and never as a row that has changed since."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

import solvers
from benchmarks.execution.measure import _solver
from benchmarks.leaderboard.published import comparisons, published
from benchmarks.leaderboard.ranking import Kind, leaderboard
from benchmarks.planning.subjects import subjects
from benchmarks.records.checkout import ROOT
from benchmarks.records.record import Cell, Record, SolverKey, parse
from benchmarks.records.renamed import RENAMED, name_today

TODAYS = datetime(2026, 11, 26, 20, tzinfo=UTC)
"""When no record of the former `sdze` was made any more, and none of the present one yet."""


@pytest.fixture(scope="module")
def kept() -> list[Record]:
    return [parse(path.read_bytes()) for path in sorted((ROOT / "results").glob("*.json"))]


def test_every_kept_record_is_of_the_row_that_it_is_shown_as(kept: list[Record]) -> None:
    """The row of that name, with the changes that the record was given, has the hyperparameters that the record has."""
    measured = {json.dumps(r.cell.solver.model_dump(), sort_keys=True): r.cell.solver for r in kept}
    other = [
        (solver.name, solver.row, solver.given)
        for solver in measured.values()
        if solvers.make(solver.row, **solver.given).hyperparameters() != solver.hyperparameters
    ]
    assert other == []


@pytest.mark.parametrize("change", RENAMED, ids=lambda change: change.solver)
def test_a_renamed_row_has_records_and_another_row_has_its_name(change, kept: list[Record]) -> None:
    assert any(r.cell.solver.name == change.solver and r.cell.solver.row == change.now for r in kept)
    own = solvers.make(change.solver).hyperparameters()
    assert name_today(change.solver, own) == change.solver
    assert solvers.make(change.now).hyperparameters() != own


def test_part_of_a_description_is_not_enough() -> None:
    assert name_today("sdze", {"loss": {"kind": "SquaredLoss"}, "network": {}}) == "sdze-single-sample"
    for other in ({}, {"loss": None}, {"loss": {}}, {"loss": {"kind": "DoubleSampledLoss"}}):
        assert name_today("sdze", other) == "sdze"
    assert name_today("stde", {"loss": {"kind": "SquaredLoss"}}) == "stde"


def test_the_leaderboard_shows_old_records_as_what_they_measured(kept: list[Record]) -> None:
    old = [r for r in kept if r.cell.solver.name == "sdze" and r.start < TODAYS]
    board = leaderboard(old)
    shown = {row.solver for group in board.groups for row in group.rows if row.kind is Kind.SOLVER}
    assert shown == {"sdze-single-sample"}
    assert all(row.label.startswith(row.solver) for group in board.groups for row in group.rows)
    printed = [cell for cell in published() if cell.solver == "sdze"]
    beside = comparisons(board, printed)
    assert printed
    assert beside
    assert all(comparison.ours is None for comparison in beside)


def test_an_old_cell_is_measured_again_as_what_it_was(kept: list[Record]) -> None:
    old = next(r.cell for r in kept if r.cell.solver.name == "sdze" and r.start < TODAYS)
    assert _solver(old, subjects()).hyperparameters() == old.solver.hyperparameters
    assert old.label.split()[2] == "sdze-single-sample"
    today = SolverKey(name="sdze", hyperparameters=solvers.make("sdze").hyperparameters())
    now = Cell(problem=old.problem, solver=today, protocol=old.protocol)
    assert _solver(now, subjects()).name == "sdze"
