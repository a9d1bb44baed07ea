"""Who is ranked, and against what: oracles and baselines, replicates, ties, and problems on which a constant is exact."""

from __future__ import annotations

import pytest

from benchmarks.leaderboard import tables
from benchmarks.leaderboard.ranking import Kind, Reference, Row, Summary, leaderboard
from benchmarks.records.checkout import ROOT
from benchmarks.records.record import OLD_BASELINES, Status, parse


def only(records):
    (group,) = leaderboard(records).groups
    return group


def by_label(records):
    return {row.label: row for row in only(records).rows}


def ranks(records):
    return {label: row.rank for label, row in by_label(records).items() if row.rank is not None}


# --- oracles and baselines ---


def test_a_baseline_is_ranked_like_any_solver_and_an_oracle_never(make_replicates):
    nulls = {"zero": 1.0, "mean-field": 1e-5, "best-of-time": 1e-3}
    records = make_replicates("a", 0.05, 0.05, 0.05, nulls=nulls, baselines=("zero", "mean-field"))
    rows = by_label(records)
    assert ranks(records) == {"null-mean-field": 1, "a": 2}
    assert {label: row.kind for label, row in rows.items()} == {
        "a": Kind.SOLVER,
        "null-mean-field": Kind.BASELINE,
        "null-zero": Kind.BASELINE,
        "null-constant": Kind.ORACLE,
        "null-affine": Kind.ORACLE,
        "null-best-of-time": Kind.ORACLE,
    }
    assert rows["null-constant"].note == "oracle: uses the solution"
    assert rows["null-zero"].note == "baseline; no better than the best constant: unranked"


def test_what_was_measured_to_choose_hyperparameters_is_never_ranked(make_record):
    reported = [make_record("a", 0.1, seed=k, instance=k) for k in range(3)]
    tuning = [make_record("a", 0.01, seed=k, instance=k) for k in (100, 101, 102)]
    assert leaderboard([*reported, *tuning]) == leaderboard(reported)
    assert leaderboard(tuning).groups == ()


def test_one_replicate_that_was_cut_short_disqualifies_the_row(make_replicates):
    """Two ended annealed and one before its schedule did: their median is that of no one training."""
    whole = make_replicates("a", 0.05, 0.05, 0.05)
    planned = lambda record, steps: record.model_copy(
        update={"metrics": record.metrics.model_copy(update={"planned_steps": 10, "steps": steps})}
    )
    ended = [planned(record, 10) for record in whole]
    mixed = [*ended[:2], planned(whole[2], 4)]
    assert ranks([*ended, *make_replicates("b", 0.2, 0.2, 0.2)]) == {"a": 1, "b": 2}
    assert ranks([*mixed, *make_replicates("b", 0.2, 0.2, 0.2)]) == {"b": 1}
    assert not by_label(mixed)["a"].annealed


def test_a_row_that_averages_at_the_test_points_says_so():
    row = Row(
        "a", "a", '{"pointwise": true}', 1, 1, Status.OK, "", {"relative_l2": Summary(0.1, 0.1, 0.1, 1)}
    )
    assert row.note.startswith("pointwise")


def test_the_declaration_decides_and_not_the_name(make_replicates):
    fields = {"nulls": {"zero": 0.4, "persistence": 0.01}}
    declared = make_replicates("a", 0.05, 0.05, 0.05, baselines=("zero",), **fields)
    assert by_label(declared)["null-persistence"].kind is Kind.ORACLE
    seeing = [
        r
        for s in ("null-hypothesis", "a")
        for r in make_replicates(s, 0.02, 0.02, 0.02, sees_solution=s == "a")
    ]
    rows = by_label(seeing)
    assert (rows["null-hypothesis"].kind, rows["null-hypothesis"].rank) == (Kind.SOLVER, 1)
    assert (rows["a"].kind, rows["a"].rank) == (Kind.ORACLE, None)


def test_a_record_without_the_declaration_is_read_by_a_rule(make_replicates):
    """Closed forms of the data are baselines; a name of which nothing is known may have seen the solution."""
    names = {*OLD_BASELINES, "anything-else"}
    rows = by_label(make_replicates("a", 0.05, 0.05, 0.05, nulls=dict.fromkeys(names, 0.2)))
    kinds = {name: rows[f"null-{name}"].kind for name in names}
    assert {name for name, kind in kinds.items() if kind is Kind.BASELINE} == OLD_BASELINES
    run = by_label(make_replicates("null-zero", 0.2, 0.2, 0.2, given={"null": "zero"}))
    assert (run["null-zero"].kind, run["null-zero"].rank) == (Kind.BASELINE, 1)


def test_in_the_kept_records_the_mean_field_formula_is_before_the_training():
    kept = [parse(path.read_bytes()) for path in (ROOT / "results").glob("*.json")]
    board = leaderboard(r for r in kept if r.cell.problem.name == "semilinear-heat/hard")
    (group,) = (g for g in board.groups if g.dim == 100 and g.protocol.steps == 2_000)
    ranked = {row.label: row.rank for row in group.rows if row.rank is not None}
    assert ranked == {"null-mean-field": 1, "stde": 2}


# --- who has a rank ---


def test_a_rank_needs_three_replicates_that_ended(make_replicates):
    records = [
        *make_replicates("two", 0.01, 0.01),
        *make_replicates("three", 0.02, 0.02, 0.02),
        *make_replicates("failed", 0.01, 0.01, 0.01, 0.01, None),
    ]
    rows = by_label(records)
    assert ranks(records) == {"three": 1}
    assert rows["two"].note == "2 of 3 replicates: unranked"
    assert rows["failed"].note == "1 of 5 replicates failed: unranked"
    assert rows["failed"].error == 0.01


def test_skill_is_above_zero_only_where_its_interval_is(make_replicates):
    """The constant has 0.5. A median below it is not enough where the replicates or the test set do not tell them apart."""
    records = [
        *make_replicates("clear", 0.40, 0.41, 0.42),
        *make_replicates("spread", 0.2, 0.45, 0.9),
        *make_replicates("near", 0.49, 0.49, 0.49),
        *make_replicates("above", 0.7, 0.7, 0.7),
    ]
    rows = by_label(records)
    assert ranks(records) == {"clear": 1}
    assert rows["spread"].skill > 0 > rows["spread"].skill_interval[0]
    assert rows["near"].skill > 0 > rows["near"].skill_interval[0]  # 2 % beside a test set of 2,000 points
    for label in ("spread", "near", "above"):
        assert rows[label].note == "no better than the best constant: unranked"


def test_a_linear_model_that_does_as_well_is_named(make_replicates):
    rows = by_label(
        [
            *make_replicates("worse", 0.2, 0.2, 0.2),
            *make_replicates("near", 0.099, 0.099, 0.099),
            *make_replicates("better", 0.05, 0.05, 0.05),
        ]
    )
    assert {label: row.note for label, row in rows.items() if row.kind is Kind.SOLVER} == {
        "worse": "a linear model does as well",
        "near": "a linear model does as well",
        "better": "",
    }


# --- ties ---


def test_rows_closer_than_the_resolution_share_a_rank(make_replicates):
    """2,000 test points tell 5 % apart; c is further than that from a, and nobody is from b."""
    records = [
        *make_replicates("a", 0.100, 0.100, 0.100, affine=0.3),
        *make_replicates("b", 0.104, 0.104, 0.104, affine=0.3),
        *make_replicates("c", 0.108, 0.108, 0.108, affine=0.3),
        *make_replicates("d", 0.2, 0.2, 0.2, affine=0.3),
    ]
    rows = by_label(records)
    assert ranks(records) == {"a": 1, "b": 1, "c": 2, "d": 4}
    assert [rows[label].ranks for label in "abcd"] == [(1, 2), (1, 3), (2, 3), (4, 4)]
    assert [row.label for row in only(records).leaders] == ["a", "b"]
    assert [tables.rank(rows[label]) for label in "ad"] == ["1 [1–2]", "4"]


def test_differences_are_paired(make_replicates):
    """Each seed makes both better or worse by the same, so that their difference is clear though their ranges overlap."""
    apart = ranks([*make_replicates("a", 0.05, 0.1, 0.2), *make_replicates("b", 0.06, 0.12, 0.24)])
    assert apart == {"a": 1, "b": 2}
    mixed = ranks([*make_replicates("a", 0.05, 0.1, 0.2), *make_replicates("b", 0.24, 0.06, 0.12)])
    assert mixed == {"a": 1, "b": 1}


def test_a_row_with_few_replicates_costs_the_others_nothing(make_replicates):
    full = [*make_replicates("a", 0.05, 0.05, 0.05), *make_replicates("b", 0.2, 0.21, 0.22)]
    few = [*make_replicates("few", 0.1), *make_replicates("many", 0.3, 0.3, 0.3, 0.3, 0.3)]
    alone, beside = by_label(full), by_label([*full, *few])
    for label in ("a", "b"):
        assert beside[label].rank == alone[label].rank
        assert beside[label].skill_interval == pytest.approx(alone[label].skill_interval)
    assert (beside["few"].rank, beside["many"].rank) == (None, 3)


def test_a_measured_error_of_the_test_set_replaces_the_estimate(make_replicates):
    def with_precision(solver, error, precision):
        for record in make_replicates(solver, error, error, error):
            more = {"test_set_error": precision, "mean_square": 0.1}
            yield record.model_copy(update={"metrics": record.metrics.model_copy(update=more)})

    def board(precision):
        return [*with_precision("a", 0.10, precision), *with_precision("b", 0.11, precision)]

    assert ranks(board(0.001)) == {"a": 1, "b": 2}
    assert ranks(board(0.06)) == {"a": 1, "b": 1}
    assert tables.test_set(by_label(board(0.06))["a"]) == "6 %"
    assert tables.test_set(by_label(make_replicates("a", 0.1, 0.1, 0.1))["a"]) == "≈ 2.2 %"
    assert tables.test_set(by_label(board(None))["a"]) == "–"  # measured, at one point: nothing can be said


# --- where null predictors are exact ---


def test_where_a_constant_is_exact_the_zero_network_is_the_reference(make_replicates):
    nulls = {"constant": 0.0, "affine": 3e-18, "zero": 0.05}
    records = [
        *make_replicates("a", 0.004, 0.004, 0.004, nulls=nulls),
        *make_replicates("b", 0.02, 0.02, 0.02, nulls=nulls),
        *make_replicates("worse", 0.06, 0.06, 0.06, nulls=nulls),
    ]
    group, rows = only(records), by_label(records)
    assert ranks(records) == {"a": 1, "b": 2}
    assert group.reference is Reference.ZERO
    assert rows["b"].skill == pytest.approx(1 - 0.02 / 0.05)
    assert rows["worse"].note == "no better than the zero network: unranked"
    assert rows["null-zero"].rank is None
    assert tables.EXACT_CONSTANT in tables.caption(group)


def test_where_the_ansatz_is_exact_nothing_is_ranked_and_it_is_said(make_replicates):
    nulls = {"constant": 0.0, "affine": 0.0, "zero": 0.0}
    records = make_replicates("a", 0.004, 0.004, 0.004, nulls=nulls)
    assert ranks(records) == {}
    assert by_label(records)["a"].note == "the ansatz alone is exact: unranked"
    assert tables.EXACT_ANSATZ in tables.caption(only(records))


def test_without_a_null_predictor_nothing_is_ranked_and_it_is_said(make_replicates):
    records = [r.model_copy(update={"nulls": {}}) for r in make_replicates("a", 0.01, 0.01, 0.01)]
    assert by_label(records)["a"].note == "no null predictor beside it: unranked"


# --- replicates ---


def across(make_record, solver, *errors, **fields):
    """Replicate k is instance k with training seed k."""
    return [make_record(solver, e, seed=k, instance=k, **fields) for k, e in enumerate(errors)]


def test_instance_k_with_seed_k_is_a_group_of_its_own(make_record):
    """Instances are as different as a factor of ten; the rows are compared instance by instance."""
    scales = (0.01, 0.1, 0.3)
    records = [
        make_record(
            solver, error * scale, seed=k, instance=k, nulls={"constant": 3 * scale, "affine": 2 * scale}
        )
        for solver, error in (("a", 1.0), ("b", 1.2))
        for k, scale in enumerate(scales)
    ]
    group = only(records)
    assert (group.instances, len(group.fingerprints)) == ((0, 1, 2), 3)
    assert ranks(records) == {"a": 1, "b": 2}
    assert "instance k with training seed k" in tables.caption(group)
    assert tables.title(group) == "toy/plain, d = 3, instances 0, 1, 2"


def test_a_problem_without_coefficients_is_the_same_at_every_instance(make_record):
    def same(record):
        problem = record.cell.problem.model_copy(update={"fingerprint": "a" * 64})
        return record.model_copy(update={"cell": record.cell.model_copy(update={"problem": problem})})

    group = only(map(same, across(make_record, "a", 0.05, 0.05, 0.05)))
    assert group.instances == (0, 1, 2)
    assert "the same for every instance seed" in tables.caption(group)
    assert next(row for row in group.rows if row.label == "a").n == 3


def test_old_records_of_one_instance_stay_a_group_and_share_the_first_replicate(make_record, make_replicates):
    seeds = make_replicates("a", 0.01, 0.011, 0.012)
    replicates = across(make_record, "a", 0.01, 0.1, 0.3)
    board = leaderboard([*seeds, *replicates])
    assert [group.instances for group in board.groups] == [(0, 1, 2), (0,)]
    assert [next(r.n for r in g.rows if r.label == "a") for g in board.groups] == [3, 3]
    assert "on one instance" in tables.caption(board.groups[1])
    assert board.records == 5


def test_a_changed_problem_is_not_repeated_with_its_former_self(make_record):
    old = across(make_record, "a", 0.01, 0.1, 0.3)
    changed = []
    for record in across(make_record, "a", 0.01, 0.1, 0.3, minutes=60)[:2]:
        problem = record.cell.problem
        other = problem.model_copy(update={"fingerprint": problem.fingerprint[::-1]})
        changed.append(record.model_copy(update={"cell": record.cell.model_copy(update={"problem": other})}))
    board = leaderboard([*old, *changed])
    assert board.groups[0].instances == (0, 1)  # instance 2 was measured before the change only
    assert set(board.groups[0].fingerprints) == {r.cell.problem.fingerprint for r in changed}


# --- by another metric ---


def at_speed(records, *speeds, bystanders=0.0):
    changes = [{"steps_per_second": speed, "bystanders": bystanders} for speed in speeds]
    return [
        record.model_copy(update={"metrics": record.metrics.model_copy(update=change)})
        for record, change in zip(records, changes, strict=True)
    ]


def by_speed(records):
    (group,) = leaderboard(records, "steps_per_second").groups
    return {row.label: row for row in group.rows if row.kind is Kind.SOLVER}


def test_ranks_by_speed_need_no_skill_and_the_most_is_first(make_replicates):
    slow = at_speed(make_replicates("accurate", 0.01, 0.01, 0.01), 10.0, 11.0, 10.5)
    fast = at_speed(make_replicates("useless", 5.0, 5.0, 5.0), 100.0, 110.0, 105.0)
    assert list(by_speed(slow + fast)) == ["useless", "accurate"]
    assert {name: row.rank for name, row in by_speed(slow + fast).items()} == {"useless": 1, "accurate": 2}
    assert by_speed(slow + fast)["useless"].note == ""
    assert ranks(slow + fast) == {"accurate": 1}


def test_ranks_by_memory_begin_with_the_least(make_replicates):
    large, small = make_replicates("large", 0.1, 0.1, 0.1), make_replicates("small", 0.2, 0.2, 0.2)
    small = [
        record.model_copy(update={"metrics": record.metrics.model_copy(update={"peak_bytes": 10**7 + k})})
        for k, record in enumerate(small)
    ]
    (group,) = leaderboard([*large, *small], "peak_bytes").groups
    assert {row.label: row.rank for row in group.rows if row.rank} == {"small": 1, "large": 2}


def test_speeds_that_cannot_be_told_apart_share_a_rank(make_replicates):
    one = at_speed(make_replicates("one", 0.1, 0.1, 0.1), 100.0, 120.0, 90.0)
    other = at_speed(make_replicates("other", 0.1, 0.1, 0.1), 110.0, 100.0, 95.0)
    assert {row.rank for row in by_speed(one + other).values()} == {1}


def test_a_speed_beside_other_work_or_without_a_replicate_has_no_rank(make_replicates):
    alone = at_speed(make_replicates("alone", 0.1, 0.1, 0.1), 10.0, 10.0, 10.0)
    beside = at_speed(make_replicates("beside", 0.1, 0.1, 0.1), 99.0, 99.0, 99.0, bystanders=1.0)
    failed = at_speed(make_replicates("failed", 0.1, 0.1, None), 99.0, 99.0, 99.0)
    none = at_speed(make_replicates("none", 0.1, 0.1, 0.1), 99.0, 99.0, None)
    rows = by_speed(alone + beside + failed + none)
    assert {name: row.rank for name, row in rows.items()} == {
        "alone": 1,
        "beside": None,
        "failed": None,
        "none": None,
    }
    assert rows["beside"].note == "other work beside it: unranked"
    assert ranks(beside) == {"beside": 1}


def test_the_words_say_what_ranks(make_replicates):
    board = leaderboard(at_speed(make_replicates("a", 0.1, 0.1, 0.1), 10.0, 10.0, 10.0), "steps_per_second")
    assert "ranked by steps per second" in tables.caption(board.groups[0])
    assert "ranked by their steps per second" in tables.markdown(board, [])
    assert "ranked by" not in tables.caption(leaderboard(make_replicates("a", 0.1, 0.1, 0.1)).groups[0])
