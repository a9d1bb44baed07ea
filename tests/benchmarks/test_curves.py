"""Figures of errors against steps, from histories."""

from __future__ import annotations

import pytest

from benchmarks.commands import curves as command
from benchmarks.leaderboard.curves import curves, png
from benchmarks.records.errors import UserError
from benchmarks.records.record import Cell, Moment
from benchmarks.records.store import Store


def with_history(record, *errors):
    moments = tuple(Moment(step=2**k, relative_l2=error) for k, error in enumerate(errors))
    return record.model_copy(update={"history": moments})


def test_a_curve_is_the_median_at_the_steps_that_all_replicates_have(make_replicates):
    histories = [(0.4, 0.2, 0.1), (0.6, 0.3), (0.5, 0.1)]
    records = [
        with_history(r, *h) for r, h in zip(make_replicates("a", 0.1, 0.3, 0.1), histories, strict=True)
    ]
    (curve,) = curves(records, [records[0].cell.problem.name], ["a"])
    assert (curve.steps, curve.errors) == ((1, 2), (0.5, 0.2))
    assert curves(records, [records[0].cell.problem.name], ["b"]) == []
    assert png([curve], slope=True).startswith(b"\x89PNG")


def test_without_a_history_the_command_says_so(tmp_path, make_replicates):
    Store.writing(tmp_path)
    with pytest.raises(UserError, match="errors on the way"):
        command.curves(["poisson/two-body"], ["stde"], False, False, tmp_path / "a.png", tmp_path)


def test_time_is_steps_times_a_speed_that_was_measured_alone(make_replicates, tmp_path):
    """The histories are of a busy machine; the speed is that of one record of the same work, by whatever protocol."""
    busy = [
        with_history(r, 0.4, 0.2).model_copy(
            update={"metrics": r.metrics.model_copy(update={"bystanders": 1.5, "steps_per_second": 1.0})}
        )
        for r in make_replicates("a", 0.2, 0.2)
    ]
    name = busy[0].cell.problem.name
    (curve,) = curves(busy, [name], ["a"])
    assert curve.step_seconds is None
    with pytest.raises(ValueError, match="measured alone"):
        curve.along(seconds=True)
    store = Store.writing(tmp_path / "store")
    for record in busy:
        store.add(record)
    with pytest.raises(UserError, match="--exclusive"):
        command.curves([name], ["a"], False, True, tmp_path / "a.png", store.root)
    asked = busy[0].cell
    under = lambda **changes: Cell(
        problem=asked.problem, solver=asked.solver, protocol=asked.protocol.but(**changes), seed=asked.seed
    )
    cell = under(steps=7)
    speed = busy[0].metrics.model_copy(update={"bystanders": 0.0, "steps_per_second": 4.0})
    alone = busy[0].model_copy(update={"cell": cell, "metrics": speed, "history": ()})
    (curve,) = curves([*busy, alone], [name], ["a"])
    assert curve.along(seconds=True) == (0.25, 0.5)
    store.add(alone)
    assert command.curves([name], ["a"], False, True, tmp_path / "a.png", store.root) == 0
    other = alone.model_copy(update={"cell": under(steps=7, batch=9)})
    (curve,) = curves([*busy, other], [name], ["a"])
    assert curve.step_seconds is None
