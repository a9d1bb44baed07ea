"""The papers' numbers: every name in the file is one of ours, every cell is listed, and only like is divided by like."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

import pdezoo
import solvers
from benchmarks.leaderboard import tables
from benchmarks.leaderboard.published import (
    _PRINTED,
    REFERENCE,
    UNITS,
    VALUE,
    Published,
    comparisons,
    published,
)
from benchmarks.leaderboard.ranking import leaderboard
from benchmarks.planning.subjects import reference_value
from benchmarks.records.errors import UserError
from benchmarks.records.metrics import METRICS

CELLS = published()
MEASURABLE = [cell for cell in CELLS if cell.solver not in ("", REFERENCE)]
GPU = {"platform": "gpu", "device": "NVIDIA H100 80GB HBM3"}


# --- the file ---


def test_every_printed_cell_is_there():
    """Tables 1 and 2 of SDZE: nine rows, six dimensions. TT-ZO: 27 cells of tables 4 to 6, ten of table 1. STDE: twelve values."""
    assert Counter((cell.paper, cell.metric) for cell in CELLS) == {
        ("SDZE", "speed"): 54,
        ("SDZE", "peak-memory"): 54,
        ("TT-ZO", "validation-mse"): 27,
        ("TT-ZO", "accuracy"): 10,
        ("STDE", VALUE): 12,
    }


def test_every_problem_is_registered_and_exists_at_the_printed_dimension():
    known = {(cell.problem, cell.dim) for cell in CELLS if cell.problem}
    assert {name for name, _ in known} <= set(pdezoo.names())
    for name, dim in known:
        assert pdezoo.make(name, dim=dim).dim == dim


def test_every_row_is_registered_and_takes_its_settings():
    for cell in MEASURABLE:
        made = solvers.make(cell.solver, **cell.settings)
        flat = {
            k: v
            for part in made.hyperparameters().values()
            if isinstance(part, dict)
            for k, v in part.items()
        }
        assert cell.settings.items() <= flat.items(), cell


def test_a_cell_without_a_counterpart_says_why():
    for cell in CELLS:
        assert bool(cell.problem) == bool(cell.solver), cell
        assert cell.problem or cell.note, cell


def test_every_metric_and_unit_has_a_meaning():
    assert {cell.metric for cell in MEASURABLE} <= _PRINTED.keys()
    assert {cell.unit for cell in CELLS} <= UNITS.keys()
    assert {cell.metric for cell in CELLS if cell.solver == REFERENCE} == {VALUE}


def test_rows_are_those_that_the_papers_name():
    """The zeroth-order RS-PINN of SDZE's table 1 is another row than the first-order one of its table 2."""
    named = {(c.table, c.row): c.solver for c in CELLS if c.paper == "SDZE"}
    assert named["1", "RS-PINN (ZO)"] == "rs-pinn-zo"
    assert named["2", "RS-PINN (FO)"] == "rs-pinn"
    for (_, row), solver in named.items():
        if "ZO" in row or "Ours" in row:
            assert "Adam" not in str(solvers.make(solver).hyperparameters()["trainer"]["kind"]), row


# --- beside ours ---


def cell(**changes) -> Published:
    """A printed speed of `good` on the problem of the fake records."""
    base = Published(
        paper="P",
        table="1",
        row="Good (FO)",
        problem="toy/plain",
        dim=3,
        solver="good",
        settings={},
        parameters=None,
        metric="speed",
        value="50",
        unit="it/s",
        hardware="NVIDIA A100 40GB",
        note="",
    )
    return replace(base, **changes)


def on(record, **environment):
    """The record, measured elsewhere."""
    return record.model_copy(update={"environment": record.environment.model_copy(update=environment)})


def of_device(record):
    return record.model_copy(update={"metrics": record.metrics.model_copy(update={"peak_of": "device"})})


def beside(records, *cells, **more):
    return comparisons(leaderboard(records), cells or [cell()], **more)


def test_every_cell_is_listed_and_one_without_a_record_is_owed(make_record):
    listed = comparisons(leaderboard([make_record("good")]), CELLS)
    assert [one.published for one in listed] == CELLS
    assert {one.status.split(":")[0] for one in listed} == {"owed", "no counterpart", "not computed here"}
    assert len(tables.beside_cells(listed)) == len(CELLS) == 157


def test_no_speed_or_memory_of_a_processor_is_divided_by_an_accelerators(make_record):
    memory = cell(metric="peak-memory", unit="MB")
    process = make_record("good").model_copy(update={})
    for printed in (cell(), memory):
        (one,) = beside([process], printed)
        assert (one.ours, one.ratio) == (100.0, None)
        assert one.status == "measured, 1/1 replicates"
    (speed,) = beside([on(process, **GPU)])
    assert speed.ratio == 2.0
    busy = process.model_copy(update={"metrics": process.metrics.model_copy(update={"bystanders": 0.9})})
    (competing,) = beside([on(busy, **GPU)])
    assert (competing.ours, competing.ratio) == (100.0, None)
    (whole_process,) = beside([on(process, **GPU)], memory)
    assert (whole_process.ours, whole_process.ratio) == (100.0, None)
    (allocator,) = beside([of_device(on(process, **GPU))], memory)
    assert allocator.ratio == 2.0
    assert "H100" in allocator.where


def test_memory_is_in_the_unit_that_is_printed(make_record):
    record = of_device(on(make_record("good"), **GPU))
    printed = [cell(metric="peak-memory", unit=unit) for unit in ("MB", "MiB")]
    assert [one.ours for one in beside([record], *printed)] == [100.0, pytest.approx(95.367, rel=1e-4)]


def test_the_row_is_that_with_the_registered_hyperparameters_and_not_the_best(make_record):
    """Two settings that were tuned stand before it on the leaderboard, and beside the paper it stands alone."""
    full = {"network": {"width": 128, "rank": 2}}

    def made(error, given, width):
        record = make_record("good", error, given=given)
        hyperparameters = {"network": full["network"] | {"width": width}}
        key = record.cell.solver.model_copy(update={"hyperparameters": hyperparameters})
        speed = record.metrics.model_copy(update={"steps_per_second": float(width)})
        cell = record.cell.model_copy(update={"solver": key})
        return record.model_copy(update={"cell": cell, "metrics": speed})

    tuned = [made(0.01, {"width": 64}, 64), made(0.02, {"width": 32}, 32)]
    (one,) = beside([*tuned, made(0.05, {}, 128)])
    assert one.ours == 128.0
    (named,) = beside([*tuned, made(0.05, {}, 128)], cell(settings={"width": 64}))
    assert named.ours == 64.0
    assert named.published.title == "good (width=64)"
    (missing,) = beside(tuned)
    assert missing.ours is None
    assert missing.status == "owed; there is good (width=32), good (width=64)"


def test_mean_square_errors_and_values_are_shown_too(make_record):
    record = make_record("good")
    squared = record.model_copy(update={"metrics": record.metrics.model_copy(update={"mean_square": 2e-4})})
    printed = cell(metric="validation-mse", unit="1", value="1e-4", hardware="")
    assert [one.ratio for one in beside([squared], printed)] == [pytest.approx(2.0)]
    (older,) = beside([record], printed)
    assert older.status == "owed: measured without mean square error"
    value = cell(metric=VALUE, unit="1", value="0.47006", solver=REFERENCE, problem="semilinear-heat/soft")
    (one,) = beside([record], value, reference=lambda name, dim: 0.4695498713521)
    assert tables.beside_cells([one])[0]["ours"] == "0.4695499"
    assert one.ratio == pytest.approx(0.99891, abs=1e-5)


def test_the_values_beside_the_papers_are_those_of_the_references():
    assert reference_value("semilinear-heat/soft", 10) == pytest.approx(0.4695498713521, rel=1e-10)
    assert reference_value("semilinear-allen-cahn/soft", 100) == pytest.approx(1.0442462, rel=1e-7)
    with pytest.raises(UserError, match="no point"):
        reference_value("poisson/two-body", 10)
    printed = {c.problem: float(c.value) for c in CELLS if c.metric == VALUE and c.dim == 100}
    for name, value in printed.items():
        assert reference_value(name, 100) == pytest.approx(value, rel=2e-3), name


def test_a_metric_that_papers_print_is_one_of_ours():
    assert {"speed", "peak-memory", "validation-mse"} == _PRINTED.keys()
    assert all(METRICS[name].printed for name in _PRINTED.values())
