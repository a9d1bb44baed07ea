"""The steps that a track's seconds are worth: measured of each cell alone, kept in a table, the same wherever they are taken."""

from __future__ import annotations

import pytest
from test_cli import call

from benchmarks.leaderboard.ranking import leaderboard
from benchmarks.planning import pace, tracks
from benchmarks.planning.matrix import Request
from benchmarks.planning.resolve import named
from benchmarks.planning.tracks import known, track
from benchmarks.records.checkout import ROOT
from benchmarks.records.errors import UserError
from benchmarks.records.metrics import Metrics
from benchmarks.records.protocol import Protocol
from benchmarks.records.record import QUIET, parse
from benchmarks.terminal.records import read

NOMINAL = Protocol(steps=1, nominal_seconds=10.0)
STDE = Request("poisson/two-body", 4, 0, "stde", (), NOMINAL, 0)
HTE = Request("poisson/two-body", 4, 1, "hte", (("samples", 4),), NOMINAL, 1)
FIXED = Request("poisson/two-body", 4, 0, "exact", (), Protocol(steps=7), 0)


def speed(make_record, request: Request, rate: float | None, bystanders=0.0, bystanders_of_its_cores=None):
    """A record of the probe of a request."""
    (probe,) = pace.probes([request])
    record = make_record(error=0.5)
    metrics = Metrics(
        steps_per_second=rate, bystanders=bystanders, bystanders_of_its_cores=bystanders_of_its_cores
    )
    return record.model_copy(update={"cell": named(probe), "metrics": metrics})


def test_a_probe_is_short_on_instance_0_and_else_alike():
    (probe,) = pace.probes([HTE, HTE, FIXED])
    assert (probe.instance, probe.seed, probe.hyperparameters) == (0, 0, HTE.hyperparameters)
    assert (probe.protocol.seconds, probe.protocol.nominal_seconds) == (pace.PROBE_SECONDS, None)
    assert (probe.protocol.batch, probe.protocol.test_size) == (NOMINAL.batch, NOMINAL.test_size)


@pytest.mark.parametrize(
    ("rate", "steps"),
    [(123.4, 1200), (0.31, 3), (0.02, 1), (None, 1), (98_765.0, 990_000), (1e12, 2**31 - 1)],
)
def test_steps_are_seconds_times_rate_to_two_digits(rate, steps, make_record):
    assert pace.worth([STDE, FIXED], [speed(make_record, STDE, rate)]) == {pace.key(STDE): steps}


def test_a_speed_beside_other_work_does_not_count(make_record):
    disturbed = speed(make_record, STDE, 100.0, bystanders=2 * QUIET)
    assert pace.worth([STDE], [disturbed]) == {}
    assert pace.worth([STDE], [disturbed, speed(make_record, HTE, 100.0)]) == {}


def test_a_speed_beside_work_on_another_core_counts(make_record):
    bound = speed(make_record, STDE, 100.0, bystanders=1.0, bystanders_of_its_cores=0.01)
    assert pace.worth([STDE], [bound]) == {pace.key(STDE): 1000}
    shared = speed(make_record, STDE, 100.0, bystanders=1.0, bystanders_of_its_cores=2 * QUIET)
    assert pace.worth([STDE], [shared]) == {}


def test_the_speed_of_two_machines_is_compared_by_rows_measured_on_both(make_record):
    records = lambda *rates: [
        speed(make_record, r, rate) for r, rate in zip((STDE, HTE), rates, strict=False)
    ]
    before = pace.rates(records(100.0, 50.0))
    assert before == {pace.key(STDE): 100.0, pace.key(HTE): 50.0}
    assert pace.relative_speed(before, pace.rates(records(60.0))) == pytest.approx(0.6)
    assert pace.relative_speed(before, pace.rates(records(100.0, 100.0))) == pytest.approx(1.5)
    assert pace.relative_speed(before, {}) is None
    assert pace.rates([speed(make_record, STDE, None)]) == {}


def test_the_table_says_the_steps_and_what_is_missing(tmp_path, make_record):
    path = tmp_path / "small-1.csv"
    assert pace.read_steps(path) == {}
    assert pace.missing([STDE, HTE, HTE, FIXED], {}) == [pace.key(STDE), pace.key(HTE)]
    found = pace.worth([STDE, HTE], [speed(make_record, r, rate) for r, rate in ((STDE, 50.0), (HTE, 7.0))])
    path.write_text(pace.written(found))
    assert pace.read_steps(path) == found == {pace.key(STDE): 500, pace.key(HTE): 70}
    assert [r.protocol.steps for r in pace.sized([STDE, HTE, FIXED], found)] == [500, 70, 7]


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "problem,dim,solver,steps\nx,4,y,-3\n"])
def test_a_table_that_is_none_is_told(content, tmp_path):
    (tmp_path / "small-1.csv").write_text(content)
    with pytest.raises(UserError, match=r"small-1\.csv"):
        pace.read_steps(tmp_path / "small-1.csv")


def test_rows_of_equal_worth_are_compared_and_others_are_not(make_record):
    def records(solver: str, protocol: Protocol, error: float):
        made = [make_record(solver=solver, error=error + 0.01 * k, seed=k) for k in range(3)]
        return [r.model_copy(update={"cell": r.cell.model_copy(update={"protocol": protocol})}) for r in made]

    many = records("stde", Protocol(steps=500, nominal_seconds=10.0), 0.1)
    few = records("hte", Protocol(steps=70, nominal_seconds=10.0), 0.2)
    (group,) = leaderboard([*many, *few]).groups
    assert [row.solver for row in group.rows][:2] == ["stde", "hte"]
    other = records("exact", Protocol(steps=70, nominal_seconds=20.0), 0.2)
    assert len(leaderboard([*many, *other]).groups) == 2
    assert len(leaderboard([*records("exact", Protocol(steps=70), 0.2), *few]).groups) == 2


def test_steps_that_are_worth_seconds_have_no_other_budget():
    with pytest.raises(UserError, match="leave seconds out"):
        Protocol(nominal_seconds=10.0, seconds=5.0)


def test_a_record_keeps_what_its_steps_are_worth(make_record):
    record = make_record(error=0.1)
    assert b"nominal_seconds" not in record.content
    cell = record.cell.model_copy(update={"protocol": NOMINAL})
    new = record.model_copy(update={"cell": cell})
    assert parse(new.content) == new
    assert new.cell.identity != record.cell.identity


@pytest.mark.parametrize("name", known())
def test_the_steps_of_a_track_are_those_that_its_records_of_speed_give(name):
    chosen = track(name)
    if chosen.steps():
        records = read(ROOT / "results" / "pace").records.values()
        assert chosen.steps() == pace.worth(chosen.requests(), records)


def test_a_track_that_is_not_sized_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(tracks, "FOLDER", tmp_path)
    (tmp_path / "small-1.toml").write_text(
        'title = "Small"\nabout = "One cell."\n[[parts]]\nprotocol = {base = "quick", steps = 1, seconds = 5.0}\n'
        'pdes = ["poisson/two-body"]\ndims = [4]\nsolvers = ["null-zero"]\n'
    )
    code, _, err = call("track", "pace", "small-1")
    assert (code, "stand in its file" in err) == (2, True)
    text = (tmp_path / "small-1.toml").read_text()
    (tmp_path / "small-1.toml").write_text(text.replace("seconds = 5.0", "nominal_seconds = 5"))
    code, _, err = call("track", "run", "small-1")
    assert code == 2
    assert "pdezoo track pace small-1" in err
