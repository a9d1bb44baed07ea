"""Figures of errors against steps, from histories."""

from __future__ import annotations

import pytest

from benchmarks.commands import curves as command
from benchmarks.leaderboard.curves import curves, png
from benchmarks.records.errors import UserError
from benchmarks.records.record import Moment
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
        command.curves(["poisson/two-body"], ["stde"], False, tmp_path / "a.png", tmp_path)
