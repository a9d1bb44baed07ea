"""Tracks: what a file may say, what is pinned for good, and which records belong to one."""

from __future__ import annotations

import json

import pytest
from test_cli import call

from benchmarks.commands import cite
from benchmarks.leaderboard.published import published
from benchmarks.planning import tracks
from benchmarks.planning.resolve import resolve
from benchmarks.planning.subjects import subjects
from benchmarks.planning.tracks import Track, known, track
from benchmarks.records.errors import UserError
from benchmarks.records.record import Record, Status
from benchmarks.records.store import Store

PUBLISHED = {
    "papers-1": "bcbcdf56ccc082362dfee3ca10c25b72db20335925b2580059ab3c09062dd03a",
    "quick-1": "12e2a1a7fa1b52e8c71c393b07bc2c4a9920206a2f580282b4aeb832cb857bd9",
    "speed-1": "19e4c80083e74e36a6f1c497585dce2e1bd810df8636524d5c3d4199f712bfa8",
}
"""The cells of a published track are never changed: another set is another version, in another file."""

SMALL = """
title = "A small one"
about = "Two cells."
[[parts]]
protocol = {base = "quick", steps = 2, test_size = 10}
pdes = ["poisson/two-body"]
dims = [4]
solvers = ["null-zero", "null-affine"]
"""


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A folder of tracks in the place of the suite's."""
    monkeypatch.setattr(tracks, "FOLDER", tmp_path / "tracks")
    tracks.FOLDER.mkdir()
    (tracks.FOLDER / "small-1.toml").write_text(SMALL)
    return track("small-1")


@pytest.fixture
def records(small, make_record):
    """A record of each cell of the small track, the second a failure, and one that belongs to none."""
    jobs = resolve(small.requests(), subjects())
    made = [
        make_record(error=error, minutes=k).model_copy(update={"cell": job.cell})
        for k, (job, error) in enumerate(zip(jobs, (0.1, None), strict=True))
    ]
    return [*made, make_record(minutes=9)]


def test_a_published_track_is_never_changed():
    assert {name: track(name).digest() for name in known() if track(name).cells} == PUBLISHED


@pytest.mark.parametrize("name", ["quick-1", "speed-1"])
def test_its_cells_are_those_that_it_was_published_with(name):
    """A changed problem or default of a solver makes other cells of the same names: then a new version is due."""
    assert track(name).cells_now() == track(name).cells


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_cells_of_every_track_are_those_that_it_was_published_with(name):
    assert track(name).cells_now() == track(name).cells


@pytest.mark.parametrize("name", known())
def test_the_cells_of_a_track_are_of_the_registry(name):
    chosen = track(name)
    asked = chosen.requests()
    assert asked
    assert len({repr(request) for request in asked}) == len(asked)
    assert all(len(line) > 10 for line in (chosen.title, chosen.about))


def test_a_digest_knows_the_cells_and_not_their_order(small):
    other = SMALL.replace('"null-zero", "null-affine"', '"null-affine", "null-zero"')
    (tracks.FOLDER / "small-2.toml").write_text(other)
    (tracks.FOLDER / "small-10.toml").write_text(other.replace("dims = [4]", "dims = [5]"))
    assert track("small-2").digest() == small.digest()
    assert track("small-10").digest() != small.digest()
    assert track("small").name == "small-10"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (SMALL.replace("title", "titel"), "title: Field required"),
        (SMALL + "dim = 3", "dim: Extra inputs"),
        (SMALL.replace("title", 'ranked = "speed"\ntitle'), "a metric that ranks is one of"),
        (SMALL.replace("title", 'ranked = "bystanders"\ntitle'), "a metric that ranks is one of"),
        (SMALL.replace("[[parts]]", "[parts]"), "parts"),
        (SMALL.replace("title", 'cells = "abc"\ntitle'), "cells: "),
        ("title = ", "no track"),
        ("\xff", "no track"),
    ],
)
def test_a_file_that_is_no_track_is_refused_in_one_line(tmp_path, content, words):
    path = tmp_path / "wrong-1.toml"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=words) as caught:
        Track.read(path)
    assert "\n" not in str(caught.value)


def test_a_name_has_a_version(tmp_path):
    for name in ("small", "small-0", "Small-1", "small-1.2"):
        path = tmp_path / f"{name}.toml"
        path.write_text(SMALL)
        with pytest.raises(UserError, match="words and a version"):
            Track.read(path)
    with pytest.raises(UserError, match="cannot be read"):
        Track.read(tmp_path / "missing-1.toml")


def test_an_unknown_track_is_told_in_words():
    code, _, err = call("track", "status", "zoo-99")
    assert (code, "Traceback" in err) == (2, False)
    assert "zoo-1" in err


def test_a_record_belongs_to_a_track_by_its_cell(small, records):
    found = tracks.members(small.requests(), records)
    assert {k: record.digest for k, record in found.items()} == {k: records[k].digest for k in (0, 1)}
    assert tracks.members(small.requests(), records[2:]) == {}


def test_status_counts_what_is_measured_failed_and_owed(small, records, tmp_path):
    store = Store.writing(tmp_path / "store")
    told = lambda: json.loads(call("track", "status", "small-1", "--json", store=store.root)[1])
    nothing = told()
    assert (nothing["cells"], nothing["measured"], nothing["owed"], nothing["result_set"]) == (2, 0, 2, None)
    store.add(records[0])
    store.add(records[2])
    one = told()
    assert (one["measured"], one["failed"], one["owed"]) == (1, 0, 1)
    store.add(records[1])
    both = told()
    assert (both["measured"], both["failed"], both["owed"], both["seconds_left"]) == (2, 1, 0, 0.0)
    assert both["result_set"] != one["result_set"]
    code, out, _ = call("track", "status", "small-1", store=store.root)
    assert code == 0
    assert "2 of 2 cells measured, 0 owed" in out


def test_the_leaderboard_of_a_track_has_its_records_alone(small, records, tmp_path):
    store = Store.writing(tmp_path / "store")
    for record in records:
        store.add(record)
    code, out, _ = call("leaderboard", "--track", "small-1", "--format", "md", store=store.root)
    assert code == 0
    assert "poisson/two-body" in out
    assert records[2].cell.problem.name not in out
    code, _, err = call("leaderboard", "--track", "small-1", "--pde", "kdv/*", store=store.root)
    assert (code, "in the track small-1" in err) == (2, True)


def test_a_track_is_ranked_by_its_metric(small, records, tmp_path):
    store = Store.writing(tmp_path / "store")
    store.add(records[0])
    path = tracks.FOLDER / "small-2.toml"
    path.write_text(f'ranked = "steps_per_second"\n{SMALL}')
    told = {}
    for name in ("small-1", "small-2"):
        shown = json.loads(call("leaderboard", "--track", name, "--json", store=store.root)[1])
        told[name] = {row["ranked_by"] for row in shown["rows"]}
    assert told == {"small-1": {"relative_l2"}, "small-2": {"steps_per_second"}}
    out = call("leaderboard", "--track", "small-2", "--format", "md", store=store.root)[1]
    assert "ranked by steps per second" in out


@pytest.mark.slow
def test_a_track_is_measured_and_not_twice(small, tmp_path):
    root = tmp_path / "store"
    assert call("track", "run", "small-1", store=root)[0] == 0
    kept = Store.reading(root).read().records
    assert {record.status for record in kept.values()} == {Status.OK}
    assert all(isinstance(record, Record) for record in kept.values())
    code, _, err = call("track", "run", "small-1", store=root)
    assert (code, "2 cell(s) have a record already" in err) == (0, True)
    assert Store.reading(root).read().records == kept
    assert call("track", "run", "small-1", "--dry-run", store=root)[0] == 0


def test_the_tracks_are_listed_with_what_is_left(small, records, tmp_path):
    store = Store.writing(tmp_path / "store")
    listed = lambda: json.loads(call("track", "list", "--json", store=store.root)[1])
    assert listed() == [
        {"name": "small-1", "title": "A small one", "cells": 2, "measured": 0, "seconds_left": None}
    ]
    store.add(records[0].model_copy(update={"duration": 40.0}))
    (row,) = listed()
    assert (row["measured"], row["seconds_left"]) == (1, None)
    code, out, _ = call("track", "list", store=store.root)
    assert (code, "A small one" in out) == (0, True)


def test_what_is_left_is_forecast_from_other_problems(small, records, tmp_path):
    store = Store.writing(tmp_path / "store")
    for record, solver in zip(records[:2], ("null-zero", "null-affine"), strict=True):
        elsewhere = record.cell.problem.model_copy(update={"dim": 40})
        cell = record.cell.model_copy(update={"problem": elsewhere})
        assert cell.solver.name == solver
        store.add(record.model_copy(update={"cell": cell, "duration": 30.0}))
    told = json.loads(call("track", "status", "small-1", "--json", store=store.root)[1])
    assert (told["owed"], told["seconds_left"]) == (2, 60.0)


def test_a_track_is_shown(small):
    code, out, _ = call("track", "show", "small")
    assert code == 0
    for words in (
        "Two cells.",
        "relative L2 error",
        "poisson/two-body",
        "null-affine",
        "2 steps",
        "not published",
    ):
        assert words in out
    shown = json.loads(call("track", "show", "small", "--json")[1])
    assert (shown["cells"], shown["now"], shown["digest"]) == (None, None, small.digest())
    assert shown["parts"][0]["solvers"] == ["null-zero", "null-affine"]


def test_cells_that_have_changed_are_told(small, tmp_path):
    code, _, err = call("track", "show", "small", "--check")
    assert (code, small.cells_now() in err) == (0, True)
    path = tracks.FOLDER / "small-1.toml"
    path.write_text(f'cells = "{small.cells_now()}"\n{SMALL}')
    assert call("track", "show", "small", "--check")[0] == 0
    path.write_text(f'cells = "{"0" * 64}"\n{SMALL}')
    code, _, err = call("track", "show", "small", "--check")
    assert (code, "a problem or a default of a solver has changed" in err) == (1, True)
    code, out, err = call("track", "run", "small", "--dry-run", store=tmp_path / "store")
    assert (code, "2 cells to measure" in out, "has changed since" in err) == (0, True, True)


def test_settings_are_shown_beside_the_solver(small):
    path = tracks.FOLDER / "small-2.toml"
    path.write_text(SMALL.replace('"null-zero"', '{name = "stde", samples = [2, 4]}'))
    shown = json.loads(call("track", "show", "small-2", "--json")[1])
    assert shown["parts"][0]["solvers"] == ["stde (samples=2)", "stde (samples=4)", "null-affine"]


def test_a_track_is_cited_with_its_records_and_its_papers(small, records, tmp_path):
    store = Store.writing(tmp_path / "store")
    for record in records:
        store.add(record)
    code, out, _ = call("cite", "small-1", "--json", store=store.root)
    cited = json.loads(out)
    assert (code, cited["records"]) == (0, 2)
    assert (
        cited["result_set"]
        == json.loads(call("track", "status", "small-1", "--json", store=store.root)[1])["result_set"]
    )
    assert "Track small-1" in cited["bibtex"][0]
    assert cited["result_set"] in cited["bibtex"][0]
    assert json.loads(call("cite", "small", "--json", store=store.root)[1]) == cited


def test_the_papers_track_has_every_row_of_tables_1_and_2():
    asked = {(r.solver, r.dim) for r in track("papers-1").requests() if r.problem == "allen-cahn/two-body"}
    printed = {
        (cell.solver, cell.dim)
        for cell in published()
        if (cell.paper, cell.table) in (("SDZE", "1"), ("SDZE", "2")) and cell.dim in (100, 1_000, 10_000)
    }
    assert len(printed) == 30
    assert printed <= asked


def test_a_variant_is_cited_by_its_own_records(full_store, make_record, monkeypatch):
    one = make_record("a", minutes=3)
    problem = one.cell.problem.model_copy(update={"name": "poisson/two-body"})
    of_poisson = one.model_copy(update={"cell": one.cell.model_copy(update={"problem": problem})})
    full_store.add(of_poisson)
    cited = lambda name: json.loads(call("cite", name, "--json", store=full_store.root)[1])
    assert (cited("poisson/two-body")["records"], cited("poisson/sin-three-body")["records"]) == (1, 0)
    assert cited("poisson")["result_set"] == cited("poisson/two-body")["result_set"]
    monkeypatch.setattr(cite, "source_state", lambda: ("abc1234", True))
    assert "Commit abc1234 with changes" in cited("poisson")["bibtex"][0]
    monkeypatch.setattr(cite, "source_state", lambda: ("abc1234", False))
    assert "Commit abc1234;" in cited("poisson")["bibtex"][0]
