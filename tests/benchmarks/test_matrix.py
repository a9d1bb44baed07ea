"""Matrices and numbers: what is meant is understood, and anything else is a message."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from harness_fake import FUZZ, LIBRARY, PDES, SOLVERS
from hypothesis import example, given, settings
from hypothesis import strategies as st

import pdezoo
from benchmarks.planning import subjects
from benchmarks.planning.matrix import expand, load, parse
from benchmarks.planning.resolve import resolve
from benchmarks.records.errors import UserError
from benchmarks.records.record import Cause, Status
from benchmarks.terminal import parsing

MATRICES = Path(__file__).resolve().parents[2] / "benchmarks" / "matrices"
TEXT = """
protocol = {base = "quick", steps = 7, wall_limit = "1.5m", memory_limit = "2GB"}
pdes = ["toy/*", "line/only"]
dims = [1, "1e2", 1e3]
solvers = ["good", {name = "crash", samples = [8, 16]}]
seeds = [3, 1]
"""


def test_a_matrix_expands_to_every_combination():
    requests = expand(parse(TEXT.encode()), PDES, SOLVERS)
    assert len(requests) == 3 * 3 * 3 * 2
    assert {r.dim for r in requests} == {1, 100, 1000}
    assert {(r.solver, r.hyperparameters) for r in requests} == {
        ("good", ()),
        ("crash", (("samples", 8),)),
        ("crash", (("samples", 16),)),
    }
    used = requests[0].protocol
    assert (used.steps, used.wall_limit, used.memory_limit, used.batch) == (7, 90.0, 2 * 10**9, 100)


def test_a_replicate_is_an_instance_with_the_training_seed_of_the_same_number():
    """The first of every solver comes before the second, so that a sweep that is cut short has compared something."""
    text = TEXT.replace("seeds = [3, 1]", "replicates = 3").replace('["toy/*", "line/only"]', '["toy/plain"]')
    requests = expand(parse(text.encode()), PDES, SOLVERS)
    assert [(r.instance, r.seed) for r in requests if r.dim == 100] == [(0, 0)] * 3 + [(1, 1)] * 3 + [
        (2, 2)
    ] * 3
    assert len({job.cell.problem.fingerprint for job in resolve(requests, LIBRARY)}) == 3 * 3
    seeds = text.replace("replicates = 3", "seeds = 2\ninstances = [4, 5]")
    crossed = expand(parse(seeds.encode()), PDES, SOLVERS)
    assert {(r.instance, r.seed) for r in crossed} == {(4, 0), (4, 1), (5, 0), (5, 1)}


def test_the_first_replicate_is_a_cell_that_older_matrices_asked_for_too():
    def identities(asked):
        text = TEXT.replace("seeds = [3, 1]", asked)
        return [job.cell.identity for job in resolve(expand(parse(text.encode()), PDES, SOLVERS), LIBRARY)]

    assert identities("replicates = 1") == identities("seeds = 1")


@pytest.mark.parametrize("other", ["seeds = 2", "instances = [0]"])
def test_replicates_are_not_asked_for_beside_seeds(other):
    text = TEXT.replace("seeds = [3, 1]", f"replicates = 3\n{other}")
    with pytest.raises(UserError, match="leave seeds and instances out"):
        expand(parse(text.encode()), PDES, SOLVERS)


def test_a_family_stands_for_its_first_variant():
    """The bare name means the variant that `pdezoo.make` takes, whatever the order of the alphabet."""
    text = 'pdes = ["kdv", "semilinear-heat", "kdv/narrow"]\ndims = [10]\nsolvers = ["stde"]'
    requests = expand(parse(text.encode()), *subjects.names(), subjects.families())
    assert [r.problem for r in requests] == ["kdv/one-soliton", "semilinear-heat/hard", "kdv/narrow"]
    for family, first in subjects.families().items():
        try:
            pde = pdezoo.make(family)
        except pdezoo.BadDimension:
            pde = pdezoo.make(family, dim=10)
        assert pde.name == first


def test_planning_gives_every_cell_an_identity_and_foresees_failures():
    jobs = resolve(expand(parse(TEXT.encode()), PDES, SOLVERS), LIBRARY)
    assert len({job.cell.identity for job in jobs}) == len(jobs)
    outcomes = {(j.cell.problem.name, j.cell.problem.dim): j.outcome for j in jobs}
    assert outcomes["toy/plain", 100] is None
    assert outcomes["line/only", 1] is None
    assert outcomes["line/only", 100].status is Status.UNSUPPORTED
    assert outcomes["toy/broken", 1].cause is Cause.IMPORT


def test_an_unknown_hyperparameter_is_a_mistake_of_the_matrix():
    text = 'pdes = ["toy/plain"]\ndims = [2]\nsolvers = [{name = "good", simples = 3}]'
    with pytest.raises(UserError, match="samples"):
        resolve(expand(parse(text.encode()), PDES, SOLVERS), LIBRARY)
    text = text.replace("simples = 3", "samples = nan")
    with pytest.raises(UserError, match="no hyperparameters"):
        resolve(expand(parse(text.encode()), PDES, SOLVERS), LIBRARY)


WRONG = {
    'pdes = ["toy/plan"]': "toy/plain",
    'pdes = ["zoo/*"]': "matches",
    "pdes = []": "at least 1",
    "pdes = 3": "valid list",
    "dims = [2.5]": "whole number",
    "dims = [0]": "whole number",
    "dims = [inf]": "whole number",
    "dims = [true]": "whole number",
    'dims = ["1e400"]': "whole number",
    'solvers = ["god"]': "good",
    "solvers = [{samples = 3}]": "table such as",
    'solvers = [{name = "good", samples = []}]': "empty list",
    "seeds = 0": "seeds",
    "replicates = 0": "replicates",
    "seeds = [1.5]": "seed",
    "seeds = 100000": "seeds",
    'protocol = "slow"': "quick",
    "protocol = {steps = 0}": "steps",
    "protocol = {stops = 3}": "steps",
    'protocol = {wall_limit = "soon"}': "duration",
    "surprise = 1": "surprise",
    "pdes = [": "not TOML",
    "pdes = " + "[" * 5000: "not TOML",
}


@pytest.mark.parametrize(("line", "hint"), WRONG.items(), ids=[w[:30] for w in WRONG])
def test_mistakes_in_a_matrix_are_explained(line, hint):
    key = line.split(" ")[0]
    given_lines = {"pdes": 'pdes = ["toy/plain"]', "dims": "dims = [2]", "solvers": 'solvers = ["good"]'} | {
        key: line
    }
    with pytest.raises(UserError, match=hint):
        expand(parse("\n".join(given_lines.values()).encode()), PDES, SOLVERS)


@given(
    st.binary(max_size=200)
    | st.sampled_from(TEXT.splitlines()).flatmap(
        lambda line: st.text(max_size=20).map(lambda junk: TEXT.replace(line, line + junk).encode())
    )
)
@settings(max_examples=300 * FUZZ, deadline=None)
def test_a_matrix_file_never_breaks_the_program(content):
    with contextlib.suppress(UserError):
        expand(parse(content), PDES, SOLVERS)


@pytest.mark.parametrize("path", sorted(MATRICES.glob("*.toml")), ids=lambda path: path.stem)
def test_a_matrix_of_the_suite_names_what_exists(path):
    assert expand(load(path), *subjects.names())


def test_a_matrix_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path / "missing.toml")
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("text", "value"), [("100", 100), ("1e5", 100_000), ("1_000", 1000), (1e2, 100), (" 7 ", 7)]
)
def test_dimensions(text, value):
    assert parsing.dimension(text) == value


@given(st.text(max_size=30) | st.floats() | st.integers() | st.none())
@example("1e999999999")
@example("0x10")
@example("²")
@settings(max_examples=400 * FUZZ)
def test_a_dimension_is_a_bounded_whole_number_or_a_message(value):
    with contextlib.suppress(UserError):
        assert 1 <= parsing.dimension(value) <= parsing.MAX_DIM


@pytest.mark.parametrize(
    ("text", "value"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), ("1e2 s", 100)]
)
def test_durations(text, value):
    assert parsing.duration(text) == value


@pytest.mark.parametrize(("text", "value"), [("40GB", 40 * 10**9), ("512 MiB", 512 * 2**20), ("1e9", 10**9)])
def test_sizes(text, value):
    assert parsing.size(text) == value


@given(st.text(max_size=20))
@settings(max_examples=100 * FUZZ)
def test_quantities_are_numbers_or_messages(text):
    for read in (parsing.duration, parsing.size, parsing.seeds, parsing.hyperparameter):
        with contextlib.suppress(UserError):
            read(text)


def test_hyperparameters():
    assert parsing.hyperparameter("samples=32") == ("samples", 32)
    assert parsing.hyperparameter("mode=fast") == ("mode", "fast")
    assert parsing.hyperparameter("rate=1e-3") == ("rate", 1e-3)
    for wrong in ("samples", "=3", "a b=3", "rate=NaN"):
        with pytest.raises(UserError):
            parsing.hyperparameter(wrong)
