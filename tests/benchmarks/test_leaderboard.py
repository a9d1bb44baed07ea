"""How records become rows and groups, and renderings that no record can subvert. Ranks: test_ranks.py."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser

import pytest

from benchmarks.leaderboard import figure, html, tables
from benchmarks.leaderboard.published import comparisons, published
from benchmarks.leaderboard.ranking import leaderboard, result_digest
from benchmarks.records.record import Cause, Status


def only(board):
    (group,) = board.groups
    return group


def by_label(group):
    return {row.label: row for row in group.rows}


def test_a_null_that_was_run_replaces_the_row_of_its_errors(make_record):
    """At its own replicate: at the others its errors are those that were measured beside the solvers."""
    board = leaderboard([make_record("a", 0.05), make_record("null-affine", 0.2, given={"null": "affine"})])
    rows = by_label(only(board))
    assert rows["null-affine"].error == 0.2
    assert len(only(board).rows) == 3
    more = [make_record("a", 0.05, seed=1), make_record("null-affine", 0.2, given={"null": "affine"})]
    summary = by_label(only(leaderboard(more)))["null-affine"].metrics["relative_l2"]
    assert (summary.low, summary.high, summary.n) == (0.1, 0.2, 2)


def test_a_failed_seed_is_an_infinite_error(make_record):
    seeds = [make_record("a", 0.01, seed=0), make_record("a", None, seed=1), make_record("a", 0.03, seed=2)]
    row = by_label(only(leaderboard(seeds)))["a"]
    assert (row.n, row.n_ok, row.status) == (3, 2, Status.OOM)
    assert row.error == 0.03
    assert "1 of 3 replicates failed: unranked" in row.note
    most = [make_record("a", 0.01, seed=0), make_record("a", None, seed=1), make_record("a", None, seed=2)]
    row = by_label(only(leaderboard(most)))["a"]
    assert (row.error, row.rank) == (None, None)
    assert "too large" in row.note


def test_a_training_that_was_cut_off_before_its_schedule_ended_has_no_rank(make_record):
    """Neither has the row of which it is a replicate; one whose steps were planned has."""
    of = lambda solver, seed, **known: (record := make_record(solver, 0.05, seed)).model_copy(
        update={"metrics": record.metrics.model_copy(update=known)}
    )
    cut = [of("cut", seed, steps=4 if seed == 1 else 10) for seed in range(3)]
    planned = [of("planned", seed, steps=4, planned_steps=4) for seed in range(3)]
    rows = by_label(only(leaderboard([*cut, *planned])))
    assert (rows["cut"].rank, rows["planned"].rank) == (None, 1)
    assert "cut off before its schedule ended: unranked" in rows["cut"].note


def test_a_training_that_ran_out_of_time_says_so(make_record):
    record = make_record("a", 0.05)
    short = record.model_copy(update={"metrics": record.metrics.model_copy(update={"steps": 4})})
    assert "4 of 10 steps in the time given, cut off" in by_label(only(leaderboard([short])))["a"].note
    planned = short.model_copy(update={"metrics": short.metrics.model_copy(update={"planned_steps": 4})})
    note = by_label(only(leaderboard([planned])))["a"].note
    assert "4 of 10 steps in the time given" in note
    assert "cut off" not in note
    assert "steps" not in by_label(only(leaderboard([record])))["a"].note


def test_a_diverged_seed_with_an_error_counts_as_failed(make_record):
    fields = {"status": Status.DIVERGED, "cause": Cause.NON_FINITE, "reason": "NaN"}
    row = by_label(only(leaderboard([make_record("a", 0.01, **fields)])))["a"]
    assert (row.error, row.rank) == (None, None)


def test_other_problem_protocol_or_machine_is_another_group(make_record):
    base = make_record("a", 0.05)
    machine = base.environment.model_copy(update={"cpu": "faster"})
    cell = base.cell.model_copy(update={"protocol": base.cell.protocol.but(steps=99)})
    others = [
        make_record("b", dim=4),
        make_record("b", environment=machine),
        base.model_copy(update={"cell": cell}),
    ]
    board = leaderboard([base, *others])
    assert len(board.groups) == 4
    assert all(row.rank in (1, None) for group in board.groups for row in group.rows)


def test_the_newest_record_of_a_cell_replaces_older_ones(make_record):
    row = by_label(only(leaderboard([make_record("a", 0.01), make_record("a", 0.09, minutes=1)])))["a"]
    assert (row.n, row.error) == (1, 0.09)


def test_times_beside_other_work_are_marked_and_not_the_fastest(make_replicates):
    quiet = make_replicates("quiet", 0.05, 0.05, 0.05)
    busy = []
    for record in make_replicates("busy", 0.05, 0.05, 0.05):
        more = {"steps_per_second": 900.0, "bystanders": 0.9}
        busy.append(record.model_copy(update={"metrics": record.metrics.model_copy(update=more)}))
    board = leaderboard([*quiet, *busy])
    rows, columns = by_label(only(board)), {column.head: column for column in tables.COLUMNS}
    assert [columns["steps/s"].text(rows[name]) for name in ("quiet", "busy")] == ["100", "900*"]
    assert columns["relative L2"].text(rows["busy"]) == "0.05"
    assert "quiet, 100 steps/s" in html.html(board)


def test_median_and_range_over_seeds(make_record):
    row = by_label(
        only(leaderboard([make_record("a", e, seed=s) for s, e in enumerate((0.03, 0.01, 0.02))]))
    )["a"]
    spread = row.metrics["relative_l2"]
    assert (spread.median, spread.low, spread.high, spread.n) == (0.02, 0.01, 0.03, 3)


def test_hyperparameters_tell_rows_apart(make_record):
    records = [make_record("a", given={"estimator": {"samples": s}, "rate": 1}) for s in (8, 16)]
    assert {"a (samples=8)", "a (samples=16)"} <= by_label(only(leaderboard(records))).keys()


def test_degenerate_problems_are_flagged(make_record):
    assert only(leaderboard([make_record(affine=0.009)])).degenerate
    assert not only(leaderboard([make_record(affine=0.02)])).degenerate


def test_equal_sets_have_equal_hashes(make_record):
    records = [make_record("a"), make_record("b")]
    assert leaderboard(records).digest == leaderboard(records[::-1]).digest == result_digest(records)
    assert leaderboard(records[:1]).digest != leaderboard(records).digest


class Outline(HTMLParser):
    """Elements and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs


HOSTILE = (
    '<script>alert(1)</script>"><img src=x onerror=alert(2)> | `a` $x$ \\input{/etc/passwd} [red]r[/red] =1+1'
)


@pytest.fixture
def hostile_board(make_record):
    given = {"mode": HOSTILE[:100]}
    machine = make_record().environment.model_copy(
        update={"cpu": HOSTILE[:100], "os": HOSTILE[:100], "commit": None}
    )
    failed = make_record("b", None, reason=HOSTILE, environment=machine)
    return leaderboard(
        [make_record("a", given=given, environment=machine), make_record("a", environment=machine), failed]
    )


def test_a_hostile_record_stays_text_in_html(hostile_board):
    text = html.html(hostile_board, comparisons(hostile_board, published()))
    outline = Outline()
    outline.feed(text)
    assert "script" not in outline.tags
    assert "img" not in outline.tags
    assert not [name for name, _ in outline.attributes if name.startswith("on")]
    assert "&lt;script&gt;" in text


def test_the_page_asks_nobody_for_anything(make_record):
    text = html.html(leaderboard([make_record(dim=d) for d in (10, 100)]))
    outline = Outline()
    outline.feed(text)
    links = [value for name, value in outline.attributes if name in ("src", "href", "xlink:href", "data")]
    assert all(link.startswith("#") for link in links)
    assert "url(http" not in text
    assert "@import" not in text
    assert not {"link", "script", "iframe", "object"} & set(outline.tags)
    assert "prefers-color-scheme: dark" in text
    assert "currentColor" in text


def test_markdown_rows_keep_their_columns(hostile_board):
    text = tables.markdown(hostile_board, [])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {len(tables.COLUMNS) + 1}
    assert "<script" not in text


def test_latex_has_no_foreign_commands(hostile_board):
    text = tables.latex(hostile_board, [])
    assert r"\input{" not in text
    assert r"\textbackslash{}input\{" in text


def test_csv_has_one_line_a_row_and_no_formulas(hostile_board, make_record):
    rows = list(csv.DictReader(io.StringIO(tables.comma_separated(hostile_board))))
    assert len(rows) == sum(len(group.rows) for group in hostile_board.groups)
    assert not [value for row in rows for value in row.values() if value and value[0] in "=@+"]


def test_json_is_strict(make_record):
    board = leaderboard([make_record("a", None, seed=0), make_record("a", 0.1, seed=1)])
    content = json.loads(tables.as_json(board, []), parse_constant=lambda name: pytest.fail(name))
    assert content["result_set"] == board.digest


def test_terminal_tables_do_not_read_markup(hostile_board):
    from rich.console import Console

    console = Console(width=400, record=True, file=io.StringIO())
    for part in tables.terminal(hostile_board, []):
        console.print(part)
    assert "[red]r[/red]" in console.export_text()


def test_figures(make_record):
    board = leaderboard(
        [make_record(s, dim=d) for s in ("a", "b") for d in (10, 100)] + [make_record("c", None, dim=10)]
    )
    sets, names = figure.comparable(board.groups), figure.series_names(board.groups)
    assert figure.png(sets, names).startswith(b"\x89PNG")
    drawing = figure.svg(sets[0], names)
    assert drawing == figure.svg(sets[0], names)
    assert drawing.startswith("<svg")


def test_a_figure_draws_baselines_that_have_a_rank_and_oracles_as_reference_lines(make_replicates):
    nulls = {"zero": 1.0, "mean-field": 1e-3, "best-of-time": 1e-2}
    fields = {"nulls": nulls, "baselines": ("zero", "mean-field")}
    groups = leaderboard(make_replicates("a", 0.05, 0.05, 0.05, **fields)).groups
    assert figure.series_names(groups) == ["a", "null-mean-field"]
    drawn = figure.scaling([groups], figure.series_names(groups)).axes[0]
    labels = drawn.get_legend_handles_labels()[1]
    assert labels == ["null: constant", "null: affine", "a", "null-mean-field"]


def test_figures_of_one_problem_under_two_protocols_have_two_titles(make_record):
    short, other = make_record("a"), make_record("a")
    cell = short.cell.model_copy(update={"protocol": short.cell.protocol.but(steps=77)})
    both = [short.model_copy(update={"cell": cell}), other]
    titles = figure.titles(figure.comparable(leaderboard(both).groups))
    assert len(set(titles)) == 2
    assert sum("77 steps" in title for title in titles) == 1
    (alone,) = figure.titles(figure.comparable(leaderboard([other]).groups))
    assert "steps" not in alone
