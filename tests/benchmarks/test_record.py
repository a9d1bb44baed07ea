"""Records: what is written is read back, and whatever is not a record is refused in one line."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

import pytest
from harness_fake import FUZZ
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.records import units
from benchmarks.records.errors import UserError
from benchmarks.records.metrics import Errors, Metrics, skill
from benchmarks.records.protocol import PROTOCOLS, Protocol
from benchmarks.records.record import Cell, Environment, Moment, ProblemKey, Record, SolverKey, Status, parse
from benchmarks.records.text import clip, first_line

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,20}(/[A-Za-z0-9][A-Za-z0-9._+-]{0,20})?", fullmatch=True)
words = st.text(
    st.characters(
        exclude_categories=["Cc", "Cs"],
        exclude_characters="\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    ),
    max_size=60,
)
finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.none() | st.floats(min_value=0, allow_nan=False, allow_infinity=False)
counts = st.integers(0, 2**63 - 1)
values = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | finite | words
settings_ = st.dictionaries(words.filter(bool), values | st.lists(values, max_size=4), max_size=4)
metrics = st.builds(
    Metrics,
    steps=st.none() | counts,
    relative_l2=positive,
    relative_l1=positive,
    skill=st.none() | finite,
    loss=st.none() | finite,
    steps_per_second=positive,
    peak_bytes=st.none() | counts,
)
cells = st.builds(
    Cell,
    problem=st.builds(
        ProblemKey, name=names, dim=st.integers(1, 2**53 - 1), seed=counts, fingerprint=st.just("ab" * 32)
    ),
    solver=st.builds(SolverKey, name=names, given=settings_, hyperparameters=settings_),
    protocol=st.sampled_from(list(PROTOCOLS.values())),
    seed=counts,
)
environments = st.builds(
    Environment,
    platform=st.just("cpu"),
    device=words.filter(bool),
    python=st.just("3"),
    os=st.just("x"),
    cpu=words.filter(bool),
    cpu_count=st.integers(1, 100),
)
records = st.builds(
    Record,
    cell=cells,
    status=st.just(Status.OK),
    cause=st.none(),
    reason=words,
    exception=st.none() | words,
    log_tail=st.none() | words,
    last=st.none() | st.builds(Moment, step=counts, loss=st.none() | finite),
    metrics=metrics,
    nulls=st.just({}),
    history=st.lists(st.builds(Moment, step=counts), max_size=3).map(tuple),
    environment=environments,
    start=st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)),
    duration=st.floats(0, 1e9),
)
anything = st.recursive(
    values | st.just(math.nan), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(records)
@settings(max_examples=150 * FUZZ, deadline=None)
def test_round_trip(record):
    again = parse(record.content)
    assert again == record
    assert again.content == record.content
    assert again.digest == record.digest


@given(st.binary(max_size=300) | anything.map(lambda v: json.dumps(v).encode()))
@settings(max_examples=300 * FUZZ, deadline=None)
def test_anything_else_is_refused_in_one_line(content):
    with pytest.raises(ValueError, match=r".") as refused:
        parse(content)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) <= 400


HOSTILE = {
    "NaN": ("duration", math.nan),
    "infinity": ("duration", math.inf),
    "a huge number": ("duration", 10**400),
    "an unknown field": ("surprise", 1),
    "another schema": ("schema_version", 2),
    "an escape sequence": ("reason", "\x1b]0;title\x07"),
    "text that runs backwards": ("reason", "\u202egnp.exe"),
    "a very long text": ("log_tail", "x" * 100_000),
    "a naive time": ("start", "2026-01-01T00:00:00"),
    "a status without a cause": ("status", "oom"),
    "a number as text": ("duration", "1.0"),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_hostile_fields_are_refused(make_record, change):
    content = json.loads(make_record().content) | {change[0]: change[1]}
    with pytest.raises(ValueError, match=r"."):
        parse(json.dumps(content).encode())


@pytest.mark.parametrize(
    "name", ["../etc/passwd", "/etc/passwd", "a/b/c", ".hidden", "a/../b", "", "a b", "a\n", "a/"]
)
def test_a_name_is_no_path(make_record, name):
    content = json.loads(make_record().content)
    content["cell"]["problem"]["name"] = name
    with pytest.raises(ValueError, match=r"."):
        parse(json.dumps(content).encode())


def nested(depth: int) -> object:
    return [nested(depth - 1)] if depth else 1


@pytest.mark.parametrize(
    "value",
    [nested(30), list(range(1000)), {str(k): k for k in range(1000)}, math.nan, 2**70],
    ids=["deep", "wide list", "wide table", "nan", "huge"],
)
def test_hyperparameters_are_bounded(make_record, value):
    content = json.loads(make_record().content)
    content["cell"]["solver"]["hyperparameters"] = {"x": value}
    with pytest.raises(ValueError, match=r"."):
        parse(json.dumps(content).encode())


def test_depth_that_would_break_a_parser():
    with pytest.raises(ValueError, match=r"."):
        parse(b"[" * 500_000 + b"]" * 400_000)


def test_identity_is_the_cell_and_not_the_code(make_record):
    one, other = make_record(minutes=0), make_record(minutes=5, error=0.2)
    assert one.cell.identity == other.cell.identity
    assert one.digest != other.digest
    assert make_record(seed=1).cell.identity != one.cell.identity
    assert make_record(given={"samples": 8}).cell.identity != one.cell.identity


def test_what_was_given_does_not_make_another_identity(make_cell):
    cell = make_cell()
    given = cell.model_copy(update={"solver": cell.solver.model_copy(update={"given": {"samples": 16}})})
    assert given.identity == cell.identity


def test_protocol_fingerprint_is_of_everything_but_the_name():
    quick = PROTOCOLS["quick"]
    assert (
        Protocol(**(quick.as_dict() | {"name": "other", "levels": tuple(quick.levels)})).fingerprint
        == quick.fingerprint
    )
    for changed in (
        quick.but(steps=7),
        quick.but(wall_limit=7.0),
        quick.but(memory_limit=7),
    ):
        assert changed.fingerprint != quick.fingerprint
        assert changed.name == "quick*"
    assert quick.but(wall_limit=120).fingerprint == quick.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"steps": 2.5},
        {"steps": True},
        {"dtype": "float16"},
        {"dtype": "float64"},
        {"seconds": -1.0},
        {"wall_limit": math.inf},
        {"memory_limit": 0},
        {"levels": (0.0,)},
    ],
)
def test_a_protocol_that_makes_no_sense_is_refused(change):
    with pytest.raises(UserError):
        PROTOCOLS["quick"].but(**change)


def test_every_status_has_a_message():
    assert all(status.message.endswith(".") for status in Status)


@given(st.text(max_size=300), st.integers(2, 100), st.booleans())
@settings(max_examples=100 * FUZZ)
def test_clipped_text_may_go_into_a_record(text, limit, end):
    clipped = clip(text, limit, end=end)
    assert len(clipped) <= limit
    assert Moment.model_fields  # the schema is importable without the store
    Metrics.model_validate({"seconds_to": {"a" + clipped.replace("\n", " ")[:100]: 1.0}})


def test_the_null_itself_has_skill_zero_in_spite_of_rounding():
    null = Errors(relative_l2=0.06, relative_l1=0.06)
    assert skill(0.06 * (1 + 2**-52), null) == 0.0
    assert skill(0.06, null) == 0.0
    assert skill(0.03, null) == pytest.approx(0.5)
    assert skill(0.12, null) == pytest.approx(-1.0)
    assert skill(0.06 * 0.999, null) == pytest.approx(1e-3)
    assert skill(None, null) is None


@pytest.mark.parametrize(
    ("value", "shown"), [(-2e-16, "0.000"), (0.1234, "0.123"), (-0.5, "-0.500"), (-1e3, "-1000"), (None, "–")]
)
def test_a_skill_that_rounds_to_zero_has_no_sign(value, shown):
    assert units.signed(value) == shown


def test_a_field_that_came_later_changes_no_name(make_record):
    """Without a probe a record is written as before there were any; with one it says so."""
    record = make_record()
    assert b"relative_point" not in record.content
    probed = record.model_copy(update={"metrics": record.metrics.model_copy(update={"relative_point": 0.25})})
    assert parse(probed.content).metrics.relative_point == 0.25


@pytest.mark.parametrize("end", [False, True])
def test_a_text_is_cut_between_words(end):
    words = ["alpha", "beta", "gamma", "delta", "epsilon"] * 8
    text = " ".join(words)
    for limit in range(40, len(text)):
        clipped = clip(text, limit, end=end)
        kept = clipped[1:] if end else clipped[:-1]
        assert "…" in clipped
        assert len(clipped) <= limit
        assert len(clipped) > limit - 10  # no more is lost than a word
        assert kept.split() == (words[-len(kept.split()) :] if end else words[: len(kept.split())])
    assert clip(text, len(text)) == text


def test_a_word_without_an_end_is_cut():
    assert clip("x" * 100, 50) == "x" * 49 + "…"
    assert clip("x" * 100, 50, end=True) == "…" + "x" * 49


def test_the_first_line_of_a_reason():
    assert first_line("", 10) == ""
    assert first_line("one two three\nfour", 11) == "one two…"


def test_a_declaration_that_came_later_changes_no_name(make_record):
    """A solver that sees no solution is written as before there was anything to declare."""
    record = make_record()
    assert not record.is_oracle
    assert not [
        field for field in (b"sees_solution", b"baselines", b"test_set_error") if field in record.content
    ]
    declared = make_record(sees_solution=True, baselines=("zero", "mean-cost"))
    assert parse(declared.content) == declared
    assert parse(declared.content).is_oracle
    assert b'"sees_solution":true' in declared.content
    assert b'"baselines":["zero","mean-cost"]' in declared.content
    before = make_record(given={"null": "affine"})
    assert (before.is_oracle, before.null) == (True, "affine")
    assert b"sees_solution" not in before.content


def test_what_a_record_declares_of_null_predictors_goes_before_the_rule_for_older_ones(make_record):
    older = make_record(given={"null": "persistence"})
    assert older.is_baseline("persistence")
    assert not older.is_baseline("function-of-time")
    newer = make_record(given={"null": "persistence"}, baselines=("zero", "function-of-time"))
    assert (newer.is_oracle, older.is_oracle) == (True, False)
    assert newer.is_baseline("function-of-time")
