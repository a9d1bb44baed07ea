"""Who leads over the whole zoo, and the tables that say so."""

from __future__ import annotations

import pytest

from benchmarks.leaderboard import overview, profile
from benchmarks.leaderboard.markup import Html, tag
from benchmarks.leaderboard.ranking import leaderboard
from benchmarks.leaderboard.standings import headlines, is_telling, standings


@pytest.fixture
def replicates(make_replicates):
    """Records of three replicates with errors about `error`, on a problem of that name; None is a failure."""

    def make(solver, error, problem="toy/plain", dim=3, affine=0.3):
        errors = (None,) * 3 if error is None else (0.99 * error, error, 1.01 * error)
        made = make_replicates(solver, *errors, dim=dim, affine=affine)
        key = {"name": problem}
        return [
            r.model_copy(
                update={"cell": r.cell.model_copy(update={"problem": r.cell.problem.model_copy(update=key)})}
            )
            for r in made
        ]

    return make


@pytest.fixture
def zoo(replicates):
    """Two problems on which two solvers are ranked, one of them at two dimensions; one that is degenerate; one without a rank."""
    made = [
        replicates("a", 0.1),
        replicates("b", 0.18),
        replicates("c", None),
        replicates("a", 0.1, dim=50),
        replicates("a", 0.2, "toy/other"),
        replicates("b", 0.05, "toy/other"),
        replicates("a", 0.001, "toy/easy", affine=0.005),
        replicates("b", 0.002, "toy/easy", affine=0.005),
        replicates("a", 2.0, "toy/hard"),
    ]
    return leaderboard([record for part in made for record in part])


def test_the_headline_of_a_problem_has_the_most_ranked_rows(zoo):
    found = headlines(zoo.groups)
    assert [*found] == ["toy/easy", "toy/hard", "toy/other", "toy/plain"]
    assert found["toy/plain"].dim == 3
    assert [name for name, group in found.items() if is_telling(group)] == ["toy/other", "toy/plain"]


def test_standings_count_cells_and_ratios(zoo):
    first, second = standings(headlines(zoo.groups).values())
    assert (first.solver, second.solver) == ("b", "a")
    assert (first.total, first.measured, first.ranked, first.first) == (2, 2, 2, 1)
    assert first.ranks == {"toy/other": 1, "toy/plain": 2}
    assert first.ratios == pytest.approx({"toy/other": 1.0, "toy/plain": 1.8})
    assert [second.within(f) for f in (1.0, 1.5, 4.1)] == [1, 1, 2]
    assert second.median_rank == 1.5


def test_nobody_leads_where_nothing_can_be_told(replicates):
    board = leaderboard(replicates("a", 0.1))
    assert standings(board.groups) == []
    assert overview.standings_table([], str).rows == ()


def test_the_table_of_problems_agrees_with_the_ranks(zoo):
    made = overview.problems_table(headlines(zoo.groups), ["toy/new", "toy/plain"], str, lambda s: "")
    rows = {row[0].text: [cell.text for cell in row] for row in made.rows}
    assert [*rows] == sorted(rows)
    for name, group in headlines(zoo.groups).items():
        best = group.best
        assert rows[name][1] == f"{group.dim:,}"
        assert rows[name][2] == (best.label if best else overview.NO_RANK)
        assert rows[name][3].startswith(f"{best.error:.3g} " if best else "–")
        assert rows[name][9] == str(sum(row.rank is not None for row in group.rows))
    assert rows["toy/new"][2] == overview.UNMEASURED
    assert "[toy/plain](toy/plain)" in made.markdown


def test_a_table_names_itself_its_columns_and_its_rows(zoo):
    text = overview.rows_table(zoo.groups[0], "Rows <of> it", lambda name: f"{name}.html").html
    assert "<caption>Rows &lt;of&gt; it</caption>" in text
    assert text.count('scope="col"') == len(overview.rows_table(zoo.groups[0], "", str).heads)
    assert text.count('scope="row"') == len(zoo.groups[0].rows)
    assert 'href="a.html"' in text


def test_a_failed_row_is_marked_and_sorts_last(zoo):
    group = headlines(zoo.groups)["toy/plain"]
    made = overview.rows_table(group, "", lambda name: "")
    (failed,) = [row for row, kind in zip(made.rows, made.classes, strict=True) if kind == "failed"]
    assert failed[made.name].text == "c"
    assert failed[made.heads.index("relative L2")].order is None


def test_many_equal_leaders_are_counted(replicates):
    board = leaderboard([r for name in "abcde" for r in replicates(name, 0.1)])
    assert overview.leaders(board.groups[0]) == "a = b = c = 2 more"


def test_profiles_are_described_for_those_who_cannot_see_them(zoo):
    found = standings(headlines(zoo.groups).values())
    drawn = profile.svg(found)
    assert drawn.startswith('<svg role="img" aria-label="Performance profiles.')
    assert "b 2 and 2 of 2 cells; a 1 and 2 of 2 cells" in profile.described(found)
    assert drawn == profile.svg(found)


def test_what_is_html_is_not_escaped_again():
    assert tag("p", "a < b", Html("<b>c</b>"), class_="x", aria_label='"') == (
        '<p class="x" aria-label="&quot;">a &lt; b<b>c</b></p>'
    )
