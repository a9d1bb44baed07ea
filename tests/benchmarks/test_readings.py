"""Readings of instruments: what is kept, and the tables that pages make of them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from benchmarks.instruments import reference_accuracy, running
from benchmarks.leaderboard.pages import rewritten
from benchmarks.records.errors import UserError
from benchmarks.records.reading import Reading, read_readings
from benchmarks.records.record import now

ROWS = ({"dim": 10, "row": "stde", "seconds": 0.5}, {"dim": 1_000, "row": "stde", "seconds": 2.0})


@pytest.fixture
def reading(make_record):
    """A reading of an instrument, `late` minutes after now, of the code at `commit`."""

    def make(rows=ROWS, late=0, arguments=None, commit="0" * 40, bystanders=0.0, instrument="clock"):
        return Reading(
            instrument=instrument,
            arguments=arguments or {},
            rows=rows,
            environment=make_record().environment.model_copy(update={"commit": commit}),
            start=now() + timedelta(minutes=late),
            duration=1.0,
            bystanders=bystanders,
        )

    return make


def table(spec, readings):
    page = f"before\n<!-- readings\n{spec}\n-->\n<!-- end of readings -->\nafter\n"
    made = rewritten(page, [], readings)
    assert rewritten(made, [], readings) == made
    return [line for line in made.split("\n") if line.startswith("|")], made


SPEC = 'instrument = "clock"\nrows = ["dim"]\nshow = ["seconds"]'


def test_what_is_kept_is_read_again(reading, tmp_path):
    made = [reading(late=1), reading()]
    for one in made:
        one.keep(tmp_path / "readings")
    assert read_readings(tmp_path / "readings") == made[::-1]
    assert read_readings(tmp_path / "nothing") == []


def test_a_changed_reading_is_refused(reading, tmp_path):
    path = reading().keep(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.4"))
    with pytest.raises(UserError, match="changed"):
        read_readings(tmp_path)


def test_numbers_are_finite(reading):
    with pytest.raises(ValidationError):
        reading(rows=({"seconds": float("nan")},))


def test_a_table_has_the_spread_of_the_runs(reading):
    runs = [reading(({"dim": 1_000, "seconds": s},), late) for late, s in enumerate([3.0, 1.0, 2.0])]
    lines, page = table(SPEC + '\nheads = {seconds = "s a step"}', runs)
    assert lines == ["| dim | s a step |", "| --- | --- |", "| 1,000 | 1, 2, 3 |"]
    assert "3 runs of `clock`" in page


def test_rows_and_columns_are_chosen(reading):
    rows = [{"dim": d, "row": r, "seconds": d * 0.1 + len(r)} for d in (1, 2) for r in ("sdze", "hte")]
    spec = 'instrument = "clock"\nwhere = {row = ["hte", "sdze"]}\nrows = ["row"]\ncolumns = "dim"\nshow = ["seconds"]'
    lines, _ = table(spec, [reading(tuple(rows))])
    assert lines == [
        "| row | 1 | 2 |",
        "| --- | --- | --- |",
        "| `hte` | 3.1 | 3.2 |",
        "| `sdze` | 4.1 | 4.2 |",
    ]


def test_older_code_is_left_out(reading):
    rows = ({"dim": 1, "seconds": 9.0},), ({"dim": 1, "seconds": 7.0},)
    made = [reading(rows[0], 0, commit="1" * 40), reading(rows[1], 1, commit="2" * 40)]
    lines, page = table(SPEC, made)
    assert lines[-1] == "| 1 | 7 |"
    assert "2222222" in page


def test_a_busy_machine_is_told(reading):
    timed = SPEC.replace("clock", "step_cost")
    of = lambda cores: [reading(bystanders=cores, instrument="step_cost"), reading(bystanders=cores)]
    assert "upper bounds" in table(timed, of(1.2))[1]
    assert "upper bounds" not in table(timed, of(0.01))[1]
    assert "upper bounds" not in table(SPEC, of(1.2))[1]  # which measures no time


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (SPEC.replace("clock", "hourglass"), "no reading of 'hourglass'"),
        (SPEC + "\nwhere = {dim = 7}", "no row is chosen"),
        (SPEC.replace("seconds", "minutes"), "no 'minutes'"),
        (SPEC + "\nsort = 1", "'sort'"),
        ("instrument = ", "line 2"),
    ],
    ids=["instrument", "row", "value", "key", "toml"],
)
def test_a_comment_that_cannot_be_followed_is_refused(reading, spec, words):
    with pytest.raises(UserError, match=words):
        table(spec, [reading()])


def test_readings_that_were_asked_other_things_are_not_mixed(reading):
    made = [reading(arguments={"steps": 1}), reading(arguments={"steps": 10}, late=1)]
    with pytest.raises(UserError, match="name one"):
        table(SPEC, made)
    assert table(SPEC + "\narguments = {steps = 1}", made)[0]


def test_an_instrument_keeps_what_it_shows(tmp_path, capsys):
    parser = running.parser("clock", "Measures nothing.")
    parser.add_argument("--dims", nargs="+")
    options = parser.parse_args(["--dims", "10", "--store", str(tmp_path)])
    assert running.run("clock", options, lambda given: iter(ROWS)) == 0
    assert capsys.readouterr().out.split("\n")[0] == "dim 10  row stde  seconds 0.5"
    (kept,) = read_readings(tmp_path / "readings")
    assert (kept.rows, kept.arguments) == (ROWS, {"dims": ["10"]})


def test_the_mean_field_is_as_good_as_published_digits_say():
    row = reference_accuracy.accuracy(100, reference_accuracy.HEAT)
    assert row["mean_field_error"] == pytest.approx(1.2e-5, rel=0.05)
    assert row["mean_field_largest"] > row["mean_field_error"]
    assert row["error_bound"] < 1e-14
