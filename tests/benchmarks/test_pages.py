"""Tables of pages that are made from records."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_cli import call

from benchmarks.leaderboard.pages import rewritten
from benchmarks.records.checkout import ROOT
from benchmarks.records.errors import UserError
from benchmarks.records.metrics import Metrics
from benchmarks.records.reading import FOLDER, read_readings
from benchmarks.records.record import SolverKey
from benchmarks.records.store import Store

PAGES = [
    path for path in (ROOT / "docs").glob("*.md") if "\n<!-- end of re" in path.read_text(encoding="utf-8")
]


def page(spec: str, table: str = "") -> str:
    return f"before\n\n<!-- records\n{spec}\n-->\n{table}<!-- end of records -->\n\nafter\n"


def table(spec: str, records: list) -> list[str]:
    made = rewritten(page(spec), records)
    assert made.startswith("before\n\n<!-- records\n")
    assert made.endswith("<!-- end of records -->\n\nafter\n")
    assert rewritten(made, records) == made
    return [line for line in made.split("\n") if line.startswith(("|", "†"))]


@pytest.fixture
def measured(make_record):
    """A record of a solver with a rank, of a seed and dimension; `error` None is a failure."""

    def make(solver="good", error=0.1, seed=0, dim=3, rank=1, steps=10):
        record = make_record(solver, error, seed, dim)
        key = SolverKey(name=solver, hyperparameters={"trainer": {"kind": "T", "rank": rank}})
        metrics = record.metrics if error is None else Metrics(relative_l2=error, steps=steps, loss=2 * error)
        return record.model_copy(
            update={"cell": record.cell.model_copy(update={"solver": key}), "metrics": metrics}
        )

    return make


def test_a_table_has_the_least_the_middle_and_the_largest(measured):
    records = [measured(error=e, seed=k) for k, e in enumerate([0.3, 0.1, 0.2])] + [measured("other", 0.05)]
    assert table('solver = ["other", "good"]', records) == [
        "| solver | relative L2 |",
        "| --- | --- |",
        "| `other` | 0.05 |",
        "| `good` | 0.1, 0.2, 0.3 |",
    ]


def test_columns_and_order(measured):
    records = [measured(s, e, dim=d) for s, d, e in [("a", 3, 0.4), ("a", 1000, 0.2), ("b", 3, 0.3)]]
    assert table('columns = "dim"\norder = "relative_l2"', records)[::2] == [
        "| solver | d = 3 | d = 1,000 |",
        "| `b` | 0.3 |  |",
    ]
    shown = table('columns = "dim"\nshow = ["relative_l2", "loss"]\nsolver = "a"', records)
    assert shown[0].count(":") == 4
    assert shown[2] == "| `a` | 0.4 | 0.8 | 0.2 | 0.4 |"


def test_a_failed_seed_counts_and_an_early_end_is_marked(measured):
    records = [measured(error=e, seed=k) for k, e in enumerate([0.1, None, None])]
    assert table("dim = 3", records)[2] == "| `good` | 0.1, failed, failed |"
    cut = [measured(error=0.1, seed=k, steps=n) for k, n in enumerate([4, 6, 10])]
    made = table("dim = 3", cut)
    assert made[2] == "| `good` | 0.1 (4 to 6 steps †) |"
    assert made[3].startswith("† stopped by a budget of time")


def test_tuning_instances_are_shown_where_they_are_named(make_record):
    records = [make_record("a", 0.1), make_record("a", 0.2, seed=100, instance=100)]
    assert table("dim = 3", records)[2] == "| `a` | 0.1 |"
    assert table("instance = [100]", records)[2] == "| `a` | 0.2 |"


def test_devices_are_told_apart(measured):
    """A cell that was measured on a GPU and later on a CPU: each table has the record of its own device."""
    slow = measured(error=0.2)
    fast = measured(error=0.1)
    there = fast.environment.model_copy(update={"device": "NVIDIA A100"})
    fast = fast.model_copy(update={"environment": there, "start": slow.start})
    assert table('device = "NVIDIA*"', [slow, fast])[2:] == ["| `good` | 0.1 |"]
    assert table(f'device = "{slow.environment.device}"', [slow, fast])[2:] == ["| `good` | 0.2 |"]


def test_settings_are_not_mixed(measured):
    records = [measured(rank=r, error=0.1 * r) for r in (1, 2)]
    with pytest.raises(UserError, match=r"line 3: .*different settings"):
        rewritten(page("dim = 3"), records)
    assert table('rows = ["rank"]', records)[2:] == ["| 1 | 0.1 |", "| 2 | 0.2 |"]
    assert table("rank = [2]", records)[2:] == ["| `good` | 0.2 |"]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("dim = 7", "no record"),
        ("dim = ", "line 3"),
        ('show = ["speed"]', "a metric is one of"),
        ("seconds = false", "no record"),
    ],
)
def test_a_comment_that_says_nothing_is_refused(measured, spec, words):
    with pytest.raises(UserError, match=words):
        rewritten(page(spec), [measured()])


def test_the_pages_are_what_the_records_say():
    store = ROOT / "results"
    records, readings = Store.reading(store).read().records.values(), read_readings(store / FOLDER)
    texts = [path.read_text(encoding="utf-8") for path in PAGES]
    between = (
        "\n\n(the next page)\n\n"  # one call: finding the newest of all records takes longer than a page
    )
    made = rewritten(between.join(texts), records, readings).split(between)
    assert [path.name for path, text, again in zip(PAGES, texts, made, strict=True) if again != text] == []


def test_the_kept_leaderboard_is_what_the_records_say(tmp_path):
    made = tmp_path / "leaderboard.md"
    arguments = ("leaderboard", "--against", "published", "--format", "md", "--output", str(made))
    assert call(*arguments, store=ROOT / "results")[0] == 0
    kept = ROOT / "results" / "leaderboard.md"
    assert made.read_text(encoding="utf-8") == kept.read_text(encoding="utf-8"), (
        "run the same with -o results/leaderboard.md"
    )


def test_the_command_writes_and_checks(measured, tmp_path):
    record = measured()
    store = Store.writing(tmp_path / "store")
    store.add(record)
    path = tmp_path / "page.md"
    path.write_text(page("dim = 3", "| stale |\n"))
    assert call("pages", str(path), "--check", store=tmp_path / "store")[0] == 1
    assert "stale" in path.read_text()
    assert call("pages", str(path), store=tmp_path / "store")[0] == 0
    assert "| `good` | 0.1 |" in path.read_text()
    assert call("pages", str(path), "--check", store=tmp_path / "store")[0] == 0
    code, _, err = call("pages", str(Path(tmp_path) / "none.md"), store=tmp_path / "store")
    assert (code, "cannot be read" in err) == (2, True)


MADE = re.compile(r"^<!-- (records|readings)\n.*?^<!-- end of \1 -->", re.M | re.S)
NUMBER = re.compile(r"[~≈]?[−-]?\d[\d,]*(\.\d+)?(e[−-]?\d+)?( ± \S+)?( ?(s|ms|MB|GB|MiB|GiB|×|%))?")
BY_HAND = {
    "references.md": "values that the code quotes as constants; tests/pdezoo/test_references.py recomputes them",
    "rows.md": "settings of the published codes",
}
"""Pages with tables of numbers that nothing measured here, and why."""


def measured_by_hand(page: str) -> list[str]:
    """The rows of tables outside of generated ones in which a cell is nothing but a number that is not whole."""
    rows = [line for line in MADE.sub("", page).split("\n") if line.startswith("|")]
    numbers = lambda row: [c.strip() for c in row.strip("|").split("|") if NUMBER.fullmatch(c.strip())]
    return [row for row in rows if any(set(".e±") & set(cell) for cell in numbers(row))]


def test_no_table_of_measured_numbers_is_typed():
    texts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
    typed = {name: measured_by_hand(text) for name, text in texts.items() if name not in BY_HAND}
    assert {name: rows for name, rows in typed.items() if rows} == {}


def test_a_typed_number_would_be_found():
    assert measured_by_hand("| d | error |\n|---|---|\n| 100 | 1.2e-3 |") == ["| 100 | 1.2e-3 |"]
    assert measured_by_hand("| `rank` | 4·d·h | 100 |") == []
    assert measured_by_hand("<!-- records\n-->\n| 0.5 s |\n<!-- end of records -->") == []
