"""Campaigns: matrices in order, cut at a dimension, with other steps."""

from __future__ import annotations

from itertools import groupby

import pytest

from benchmarks.planning import campaign
from benchmarks.records.errors import UserError

MATRIX = """
protocol = "quick"
pdes = ["poisson/two-body"]
dims = {dims}
solvers = ["null-zero"]
"""


@pytest.mark.parametrize("name", campaign.known())
def test_what_comes_with_the_suite_can_be_planned(name):
    """Matrices follow each other, and are not mixed."""
    cells = campaign.requests(name)
    blocks = [key for key, _ in groupby(r.protocol.fingerprint for r in cells)]
    assert len(blocks) == len(set(blocks)) > 1


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
