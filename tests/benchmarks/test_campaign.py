"""Campaigns: matrices in order, cut at a dimension, with other steps."""

from __future__ import annotations

import tracemalloc
from itertools import groupby

import pytest

import pdezoo
from benchmarks.leaderboard.published import published
from benchmarks.planning import campaign
from benchmarks.planning.resolve import resolve
from benchmarks.planning.subjects import names, subjects
from benchmarks.records.errors import UserError
from benchmarks.records.protocol import GIGABYTE

MATRIX = """
protocol = "quick"
pdes = ["poisson/two-body"]
dims = {dims}
solvers = ["null-zero"]
"""


@pytest.mark.parametrize("name", campaign.known())
def test_what_comes_with_the_suite_can_be_planned(name):
    """Matrices follow each other, and are not mixed; no cell comes twice."""
    cells = campaign.requests(name)
    blocks = [key for key, _ in groupby(r.protocol.fingerprint for r in cells)]
    assert len(blocks) == len(set(blocks)) > 1
    assert len(cells) == len({repr(cell) for cell in cells})


def key(cell, settings) -> tuple[str, int, str, tuple]:
    return cell.problem, cell.dim, cell.solver, tuple(sorted(settings))


def test_the_papers_campaign_begins_with_what_is_worth_most():
    """A machine may be lent for a quarter of an hour: the headline first, then whole tables, then what takes hours."""
    cells = campaign.requests("papers")
    assert [(r.dim, r.solver) for r in cells[:6]] == [
        (dim, solver) for dim in (10**6, 10**7) for solver in ("sdze", "stde", "hte")
    ]
    seconds = [r.protocol.seconds or float("inf") for r in cells]
    assert seconds == sorted(seconds, key=lambda s: s > 5)
    assert all(r.seed == 0 for r, s in zip(cells, seconds, strict=True) if s == 5)


def test_the_papers_campaign_measures_every_printed_speed_and_memory_for_which_there_is_a_row():
    problems, rows = names()
    printed = [c for c in published() if c.metric in ("speed", "peak-memory")]
    ours = {key(c, c.settings.items()) for c in printed if c.problem in problems and c.solver in rows}
    assert {dim for _, dim, *_ in ours} == {10**k for k in range(2, 8)}
    limited = [r for r in campaign.requests("papers") if r.protocol.memory_limit == 40 * GIGABYTE]
    timed = {key(r, r.hyperparameters) for r in limited if r.protocol.seconds == 5}
    assert ours
    assert ours <= timed
    assert {"sdze", "sdgd-mixed-zo", "rs-pinn-zo"} <= {row for _, dim, row, _ in timed if dim == 10**7}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "2.toml").write_text(MATRIX.format(dims="[10, 1000]"))
    (tmp_path / "1.toml").write_text(MATRIX.format(dims="[100]"))
    return tmp_path


def test_the_order_of_names_is_the_order_of_work(folder):
    assert [r.dim for r in campaign.requests(str(folder))] == [100, 10, 1000]


def test_a_largest_dimension_and_other_steps(folder):
    cells = campaign.requests(str(folder), max_dim=100, steps=7)
    assert [(r.dim, r.protocol.steps) for r in cells] == [(100, 7), (10, 7)]


@pytest.mark.parametrize(("name", "max_dim", "words"), [("nope", None, "papers"), ("papers", 1, "begins at")])
def test_mistakes(name, max_dim, words):
    with pytest.raises(UserError, match=words):
        campaign.requests(name, max_dim)


def test_planning_the_papers_campaign_makes_nothing_of_the_size_of_d(monkeypatch):
    """The first cell is to begin at once, and the plan is made beside it, on a machine whose memory the cells need."""

    def refuse(*_, **__):
        raise AssertionError("lowered while planning")

    monkeypatch.setattr(pdezoo.PDE, "lower", refuse)
    tracemalloc.start()
    jobs = resolve((r for r in campaign.requests("papers") if r.dim == 10**7), subjects())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert {job.outcome for job in jobs} == {None}
    assert all(job.cell.problem.fingerprint for job in jobs)
    assert peak < 4 * 10**7  # bytes, as many as one vector of ten million float32 numbers has
