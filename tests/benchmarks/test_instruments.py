"""What measures single steps, beside the sweep: turns and divisions, the reports, and errors in one line."""

from __future__ import annotations

import pytest

from benchmarks.instruments import plain_step, replay_cost, sharded_memory, step_cost
from benchmarks.instruments.step_cost import COMMON, Dispatch, compared, step_seconds


def test_rows_take_turns_and_time_is_that_of_a_step() -> None:
    order: list[str] = []
    spent = step_seconds(
        {"a": Dispatch(lambda: order.append("a"), 1), "b": Dispatch(lambda: order.append("b"), 10**9)}, 0
    )
    assert order == ["a", "b"] * 3
    assert 0 < spent["b"] < 1e-6 * spent["a"]


def test_the_common_work_is_taken_out_of_both() -> None:
    _, row, common = compared(100, {"base": 5.0, "row": 3.0, COMMON: 1.0}, "base")
    assert row["ratio"] == pytest.approx(5 / 3)
    assert row["ratio_without_common"] == pytest.approx(2)
    assert common["ratio_without_common"] is None


def test_steps_of_rows_are_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = "step_cost --dims 4 --rows stde:width=8 --batch 5 --steps 2 --seconds 0"
    monkeypatch.setattr("sys.argv", arguments.split())
    assert step_cost.main() == 0
    shown = capsys.readouterr().out
    assert "stde:width=8" in shown
    assert COMMON in shown


@pytest.mark.parametrize(
    ("wrong", "named"),
    [("--rows std", "std"), ("--rows stde:widht=3", "widht"), ("--dims ten", "ten"), ("--steps 0", "steps")],
    ids=str,
)
def test_mistakes_are_one_line(
    wrong: str, named: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["step_cost", "--dims", "4", *wrong.split()])
    assert step_cost.main() == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(("wrong", "named"), [("--dims ten", "ten"), ("--steps 0", "steps")], ids=str)
def test_mistakes_in_the_comparison_are_one_line(
    wrong: str, named: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["plain_step", *wrong.split()])
    assert plain_step.main() == 2
    assert named in capsys.readouterr().err


@pytest.mark.slow
def test_replayed_steps_are_reported_one_by_one() -> None:
    steps = list(replay_cost.steps(64, 4, 2))
    assert [step["step"] for step in steps] == [1, 2]
    assert all(step["compiled_bytes"] > step["weight_bytes"] == 4 * 64 * 128 for step in steps)
    assert all(step["loss"] > 0 and step["seconds"] > 0 for step in steps)


def test_a_plan_counts_the_weights() -> None:
    plan = sharded_memory.planned("sdze", 4096, 1, 4)
    assert plan["weight_bytes"] == 4 * 4096 * 128
    assert plan["weight_bytes"] < plan["argument_bytes"] < plan["total_bytes"] < 3 * plan["weight_bytes"]
