"""The table of metrics: it is the schema of a record's numbers, and a new line of it is seen everywhere."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import harness_fake
import pytest

from benchmarks.execution.measure import measure
from benchmarks.leaderboard import tables
from benchmarks.leaderboard.ranking import leaderboard
from benchmarks.records import metrics
from benchmarks.records.checkout import ROOT
from benchmarks.records.metrics import METRICS, Better, Metrics, asv_forms, from_asv, in_asv

FULL = Metrics(
    **{name: 2 if metric.unit.whole else 0.5 for name, metric in METRICS.items()},
    peak_of="device",
    seconds_to={"0.1": 1.0},
)


def test_every_field_says_how_it_is_read():
    assert set(metrics._FIELDS) == set(Metrics.model_fields)
    assert METRICS.keys() < Metrics.model_fields.keys()


def test_a_fit_is_read_by_the_table(make_cell):
    measured = measure(make_cell(), lib=harness_fake.LIBRARY).metrics
    expected = {
        "relative_l2": 0.05,
        "relative_l1": 0.05,
        "mean_square": pytest.approx(0.0025),
        "test_set_error": 0.01,
        "estimated_error": None,
        "relative_point": None,
        "best_relative_l2": 0.04,
        "skill": pytest.approx(0.9),
        "skill_affine": pytest.approx(0.5),
        "steps_per_second": 10.0,
        "compiled_bytes": 1000,
        "compile_seconds": 0.5,
        "train_seconds": 1.0,
        "loss": 0.5,
        "steps": 10,
        "forward_evaluations": 20.0,
        "planned_steps": None,
        "processor_seconds": None,
    }
    read = {name: getattr(measured, name) for name in METRICS}
    assert read.pop("peak_bytes") > 1_000_000
    assert (read.pop("bystanders") or 0) >= 0
    assert (read.pop("bystanders_of_its_cores") or 0) >= 0
    assert read == expected
    assert measured.peak_of == "process"
    assert measured.seconds_to == {"0.1": pytest.approx(1.0)}


def test_what_a_failed_replicate_counts_as_is_the_worst_or_what_was_measured():
    for name, metric in METRICS.items():
        worst = {Better.LOWER: math.inf, Better.HIGHER: -math.inf, None: None}[metric.better]
        assert metric.failed in (None, worst), name
        assert metric.counted(3.0, ok=True) == 3.0
        assert metric.counted(None, ok=True) is None
        assert metric.counted(3.0, ok=False) == (3.0 if metric.failed is None else worst)
    assert {name for name, metric in METRICS.items() if metric.failed is not None} == {
        "relative_l2",
        "relative_l1",
        "relative_point",
        "mean_square",
        "best_relative_l2",
        "skill",
        "skill_affine",
        "loss",
    }


OUTCOMES = [name for name, metric in METRICS.items() if metric.failed is not None]


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_median_over_seeds_is_not_one_over_survivors(name, make_record):
    """0.1 and 0.3 and a failure: the median is the worse of the survivors', not the mean of both."""
    better = METRICS[name].better
    record = make_record("a", 0.05)
    seeds = [
        make_record("a", 0.05, seed=seed, metrics=record.metrics.model_copy(update={name: value}))
        for seed, value in enumerate((0.1, 0.3))
    ]
    failed = [make_record("a", None, seed=seed) for seed in (2, 3)]

    def summary(records):
        (group,) = leaderboard(records).groups
        return next(row for row in group.rows if row.label == "a").metrics[name]

    assert summary(seeds).median == pytest.approx(0.2)
    assert summary([*seeds, failed[0]]).median == (0.3 if better is Better.LOWER else 0.1)
    assert summary([*seeds, failed[0]]).n == 3
    worst = METRICS[name].failed
    assert summary([seeds[0], *failed]).median == worst
    assert worst in (summary([*seeds, failed[0]]).high, summary([*seeds, failed[0]]).low)


def test_a_failed_seed_with_a_cost_keeps_it_and_one_without_is_left_out(make_record):
    """It was as fast as it was before it diverged; one that ran out of memory at the start had no speed."""
    diverged = make_record("a", None, seed=2, metrics=Metrics(steps_per_second=300.0))
    (group,) = leaderboard([make_record("a", 0.05), make_record("a", None, seed=1), diverged]).groups
    speed = next(row for row in group.rows if row.label == "a").metrics["steps_per_second"]
    assert (speed.low, speed.median, speed.high, speed.n) == (100.0, 200.0, 300.0, 2)


def test_a_table_shows_a_number_in_its_unit_and_no_infinity(make_record):
    record = make_record("a", 0.05, metrics=FULL)
    shown = {column.head: column for column in tables.COLUMNS}
    (group,) = leaderboard([record]).groups
    row = next(row for row in group.rows if row.label == "a")
    for metric in METRICS.values():
        if metric.head:
            star = "*" if metric.timed else ""  # others kept half a core busy
            assert shown[metric.head].text(row) == metric.text(2 if metric.unit.whole else 0.5) + star
    for metric in METRICS.values():
        assert metric.text(None) == "–"
        assert metric.text(math.inf) == metric.text(-math.inf) == "failed"


def test_the_tables_other_readers_find_their_words():
    """A word that two metrics share would name neither."""
    for words in (
        [m.head for m in METRICS.values() if m.head],
        [m.brief for m in METRICS.values() if m.brief],
        [m.printed for m in METRICS.values() if m.printed],
        [form.name for form in asv_forms().values()],
        [form.benchmark for form in asv_forms().values()],
        [m.title for m in METRICS.values()],
    ):
        assert len(words) == len(set(words)) > 1


def test_asv_has_what_is_better_lower_and_it_comes_back():
    numbers = {name: in_asv(name, FULL) for name in asv_forms()}
    assert all(value is not None for value in numbers.values())
    back = from_asv(numbers)
    assert all(getattr(back, name) == getattr(FULL, name) for name in numbers)
    for name in asv_forms():
        worse = 0.25 if METRICS[name].better is Better.HIGHER else 4
        assert in_asv(name, FULL.model_copy(update={name: worse})) > numbers[name]
    assert from_asv({"relative_l2": None, "steps_per_second": 0.0}) == Metrics()


NEW = """
    gradient_norm: Annotated[
        Positive | None,
        Metric(
            title="norm of the gradient",
            unit=RATIO,
            read=lambda m: 2.0 * m.result.loss,
            better=Better.LOWER,
            failed=math.inf,
            head="gradient norm",
            brief="gradient",
            watched=True,
            exact=True,
            printed="gradient-norm",
            asv=AsvForm(name="gradient_norm", unit="norm", benchmark="bench_x.X.track_gradient_norm"),
            younger=True,
        ),
    ] = None
"""
SCRIPT = """
import io, json, sys
from pathlib import Path
import harness_fake
from rich.console import Console
from benchmarks.commands import asv, compare, replay, sweep
from benchmarks.execution.measure import measure
from benchmarks.leaderboard import html, published, tables
from benchmarks.leaderboard.ranking import leaderboard
from benchmarks.planning.matrix import Request
from benchmarks.planning.resolve import resolve
from benchmarks.records.protocol import protocol
from benchmarks.records.record import Cell, parse

(job,) = resolve([Request("toy/plain", 3, 0, "good", (), protocol("quick"), 0)], harness_fake.LIBRARY)
record = measure(job.cell, lib=harness_fake.LIBRARY)
worse = record.model_copy(update={"metrics": record.metrics.model_copy(update={"gradient_norm": 7.0})})
board = leaderboard([record])
console = Console(width=400, file=io.StringIO(), record=True)
for part in tables.terminal(board, []):
    console.print(part)
kept = [path for folder in sys.argv[1:] for path in sorted(Path(folder).glob("*.json"))[::20]]
print(json.dumps({
    "record": record.metrics.gradient_norm,
    "stored": parse(record.content) == record,
    "kept": len(kept),
    "renamed": [path.stem for path in kept if parse(path.read_bytes()).digest != path.stem],
    "text": console.export_text(),
    "md": tables.markdown(board, []),
    "csv": tables.comma_separated(board),
    "latex": tables.latex(board, []),
    "html": html.html(board),
    "json": tables.as_json(board, []),
    "sweep": [metric.brief for metric in sweep._shown().values()],
    "compare": compare._changes(record, worse, 1.1),
    "replay": replay.reproduces(record, worse)["differences"],
    "asv": asv._benchmarks({})["records.gradient_norm"]["unit"],
    "published": published._PRINTED,
}))
"""


@pytest.fixture(scope="module")
def with_a_new_metric(tmp_path_factory):
    """What a copy of the harness with one more line in its table makes of a measurement."""
    folder = tmp_path_factory.mktemp("grown")
    shutil.copytree(ROOT / "benchmarks", folder / "benchmarks", ignore=shutil.ignore_patterns("__pycache__"))
    table = folder / "benchmarks" / "records" / "metrics.py"
    before, at, after = table.read_text().partition("    loss: Annotated[")
    table.write_text(before + NEW.lstrip("\n") + at + after)
    paths = [str(folder), str(Path(__file__).parent), str(ROOT)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ROOT / "results")],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("shape", ["text", "md", "latex", "html"])
def test_a_new_metric_is_a_column(with_a_new_metric, shape):
    assert "gradient norm" in with_a_new_metric[shape]


def test_a_new_metric_is_in_every_output_and_renames_no_record(with_a_new_metric):
    seen = with_a_new_metric
    assert (seen["record"], seen["stored"]) == (1.0, True)
    assert "gradient_norm,gradient_norm_low,gradient_norm_high" in seen["csv"].splitlines()[0]
    assert (
        next(row for row in json.loads(seen["json"])["rows"] if row["solver"] == "good")["gradient_norm"]
        == 1.0
    )
    assert "gradient" in seen["sweep"]
    assert [(c["what"], c["worse"]) for c in seen["compare"]] == [("gradient_norm", True)]
    assert seen["replay"] == {"gradient_norm": [1.0, 7.0]}
    assert seen["asv"] == "norm"
    assert seen["published"]["gradient-norm"] == "gradient_norm"
    if seen["kept"]:
        assert seen["renamed"] == []
