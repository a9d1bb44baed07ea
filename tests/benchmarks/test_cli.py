"""The command line: exit status 0, 1 or 2, a message that helps, never a traceback."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time

import pytest
from harness_fake import FUZZ
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks import cli
from benchmarks.commands import replay, run, show, verify
from benchmarks.leaderboard import bibliography
from benchmarks.records.errors import UserError
from benchmarks.records.outcome import Outcome
from benchmarks.records.record import Status
from benchmarks.records.store import Store

COMMANDS = [
    "list",
    "show",
    "verify",
    "check",
    "new",
    "run",
    "sweep",
    "replay",
    "pages",
    "status",
    "leaderboard",
    "compare",
    "cite",
    "merge",
    "history",
    "asv",
]
# Anything but a problem and a solver that both exist: `run` and `verify` would then work for seconds.
junk = st.text(max_size=12) | st.sampled_from(
    [
        "0",
        "-3",
        "2.5",
        "abc",
        "1e400",
        "nan",
        "--dim",
        "--seeds",
        "--json",
        "--store",
        "/dev/null",
        "/dev/null/below",
        "stde",
        "--format",
        "html",
        "--redo",
        "--set",
        "a=b",
        "*",
        "--workers",
        "--against",
        "published",
        "..",
        "-o",
        "/proc/x",
    ]
)


def call(*arguments: str, store: object = "/dev/null/store", encoding: str = "utf-8") -> tuple[int, str, str]:
    """Exit status, standard output and standard error of the program, run in this process with streams in that encoding."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2))
    patch = pytest.MonkeyPatch()
    streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with tempfile.TemporaryDirectory() as empty, patch.context() as context, streams[0], streams[1]:
        context.chdir(empty)  # whatever is written by chance
        context.setattr(sys, "argv", ["pdezoo", *arguments])
        context.setenv("PDEZOO_STORE", str(store))
        try:
            cli.main()
            code: object = 0
        except SystemExit as end:
            code = end.code or 0
    out.flush()
    err.flush()
    texts = (stream.buffer.getvalue().decode(encoding, "replace") for stream in (out, err))
    return int(str(code)), *texts


def fresh(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("arguments", ["['list']", "['--help']", "['list', '--json']", "['run', '--help']"])
def test_list_and_help_import_nothing_heavy(arguments):
    code = (
        f"import sys; sys.argv = ['pdezoo', *{arguments}]\n"
        "from benchmarks import cli\n"
        "try: cli.main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'jax', 'jaxlib', 'sympy', 'numpy', 'pandas', 'matplotlib', 'equinox'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    begin = time.perf_counter()
    done = fresh(code)
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - begin < 5  # well under one on an idle machine


def test_list_shows_problems_and_solvers():
    code, out, _ = call("list", "--json")
    listed = json.loads(out)
    assert code == 0
    assert "stde" in {entry["name"] for entry in listed["solvers"]}
    assert "allen-cahn" in {entry["name"] for entry in listed["pdes"]}
    assert "stde" not in call("list", "pdes")[1].split()


MISTAKES = {
    ("list", "everything"): "solvers",
    ("show", "allen-can/two-body"): "allen-cahn/two-body",
    ("run", "allen-can/two-body", "stde", "--dim", "10"): "allen-cahn/two-body",
    ("run", "allen-cahn/two-body", "stdee", "--dim", "10"): "stde",
    ("run", "kdw", "stde"): "did you mean kdv",
    ("run", "kdv/one-solitons", "stde"): "did you mean kdv/one-soliton",
    ("verify", "kdw"): "did you mean kdv",
    (
        "run",
        "reaction-difusion",
        "stde",
    ): "did you mean reaction-diffusion or kdv",  # a family and its only variant, once
    **{
        ("run", "poisson/two-body", "stde", f"--dim={dim}"): "whole number"
        for dim in ("0", "-3", "2.5", "abc", "1e400")
    },
    ("run", "poisson/two-body", "stde", "--dim", "10", "--seeds", "0"): "seeds",
    ("run", "poisson/two-body", "stde", "--dim", "10", "--steps", "many"): "steps",
    ("run", "poisson/two-body", "stde", "--dim", "10", "--protocol", "slow"): "quick",
    ("run", "poisson/two-body", "stde", "--dim", "10", "--wall-limit", "soon"): "duration",
    ("run", "poisson/two-body", "stde", "--dim", "10", "--memory-limit", "-1GB"): "size",
    ("run", "poisson/two-body", "stde", "--dim", "10", "--workers", "0"): "workers",
    ("run", "poisson/two-body", "stde", "--dim", "10", "--set", "samples"): "name=value",
    ("sweep", "/nowhere/matrix.toml"): "cannot be read",
    ("status",): "no store",
    ("pages", "/nowhere/page.md"): "no store",
    ("leaderboard",): "no store",
    ("leaderboard", "--format", "docx"): "html",
    ("leaderboard", "--against", "everyone"): "published",
    ("leaderboard", "--format", "png"): "--output",
    ("compare", "a", "b"): "no store",
    ("compare", "a", "b", "--factor", "0"): "1.1",
    ("merge", "/nowhere/else"): "no store",
    ("replay", "zzzz"): "no store",
    ("replay", "/nowhere/record.json"): "not a record",
    ("cite", "nobody"): "table",
    ("theory", "entropy"): "alignment",
    ("dance",): "dance",
}


@pytest.mark.parametrize(("arguments", "hint"), MISTAKES.items(), ids=[" ".join(a)[:50] for a in MISTAKES])
def test_mistakes_are_explained(arguments, hint):
    code, out, err = call(*arguments)
    assert code == 2
    assert hint in err
    assert out == ""
    assert "Traceback" not in err


def test_a_family_is_run_as_its_first_variant():
    """`run` takes the bare name of a family as `pdezoo.make` does; elsewhere, as in `verify`, it stands for all variants."""
    used = run.adjusted("quick")
    (cell,) = run.requests("kdv", "stde", None, [(0, [0])], [], used)
    assert (cell.problem, cell.dim) == ("kdv/one-soliton", 1)
    assert run.requests("kdv/one-soliton", "stde", "1", [(0, [0])], [], used) == [cell]
    assert [r.problem for r in run.requests("poisson", "stde", "10,20", [(0, [0])], [], used)] == [
        "poisson/two-body"
    ] * 2
    known = ["kdv/a", "kdv/b", "kdv2d/c"]
    assert verify._matches("kdv", known) == known[:2]
    assert verify._matches("kdv*", known) == known


def test_replicates_or_training_seeds_of_one_instance():
    assert run.repetitions("3", None, None) == [(0, [0]), (1, [1]), (2, [2])]
    assert run.repetitions("2,7", None, None) == [(2, [2]), (7, [7])]
    assert run.repetitions(None, "2", "4") == [(4, [0, 1])]
    assert run.repetitions(None, None, None) == [(0, [0])]
    for others in (("1", None), (None, "0")):
        with pytest.raises(UserError, match="leave seeds and instances out"):
            run.repetitions("3", *others)


def test_an_unwritable_store_is_told_before_any_work(tmp_path):
    occupied = tmp_path / "file"
    occupied.write_text("")
    code, _, err = call("run", "poisson/two-body", "stde", "--dim", "10", store=occupied)
    assert code == 2
    assert "cannot be written" in err


def works_for_minutes(argument: str) -> bool:
    """Whether an argument makes `verify` or `check` work on problems for minutes; options alone mean all problems."""
    return "*" in argument or argument == "stde" or not argument.strip("-") or argument == "--json"


@given(st.sampled_from(COMMANDS), st.lists(junk, max_size=4))
@example("run", ["poisson/two-body", "stde", "--dim", "\x00"])
@example("cite", ["\ud800"])
@settings(max_examples=100 * FUZZ, deadline=None)
def test_no_arguments_cause_a_traceback(command, arguments):
    if command in ("verify", "check") and (not arguments or any(works_for_minutes(a) for a in arguments)):
        return
    code, _, err = call(command, *arguments)
    assert code in (0, 1, 2)
    assert "Traceback" not in err
    assert "Internal error" not in err


def test_leaderboard_in_every_format(full_store, tmp_path):
    for shape in ("text", "html", "md", "csv", "latex", "json"):
        code, out, err = call("leaderboard", "--format", shape, store=full_store.root)
        assert (code, err) == (0, "")
        assert "toy/plain" in out.replace("\\", "")
    figure = tmp_path / "below" / "board.png"
    assert call("leaderboard", "--format", "png", "-o", str(figure), store=full_store.root)[0] == 0
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert call("leaderboard", "--against", "published", store=full_store.root)[0] == 0
    assert call("leaderboard", "--pde", "none/*", store=full_store.root)[0] == 2
    assert call("leaderboard", "--pde", "toy", store=full_store.root)[0] == 0


def test_a_damaged_record_is_told_and_the_rest_is_shown(full_store):
    path = next(full_store.root.glob("*.json"))
    path.write_bytes(path.read_bytes()[:100])
    for command in ("leaderboard", "status"):
        code, out, err = call(command, store=full_store.root)
        assert code == 0
        assert path.name in err
        assert "toy/plain" in out


def test_status_tells_what_failed(full_store):
    code, out, _ = call("status", store=full_store.root)
    assert code == 0
    assert "too large" in out
    listed = json.loads(call("status", "--json", store=full_store.root)[1])
    assert {row["status"] for row in listed["records"]} == {"ok", "oom"}


def test_compare_finds_what_became_worse(store, make_record):
    before = make_record("a", 0.05)
    environment = before.environment.model_copy(update={"commit": "b" * 40})
    store.add(before)
    store.add(make_record("a", 0.10, environment=environment, minutes=1))
    code, out, _ = call("compare", "aaaa", "bbbb", store=store.root)
    assert code == 1
    assert "relative_l2" in out
    assert call("compare", "bbbb", "aaaa", store=store.root)[0] == 0
    assert call("compare", "aaaa", "cccc", store=store.root)[0] == 2


def test_compare_judges_the_error_of_a_row_by_its_replicates(store, make_record):
    """One seed of a doubled, as rounding may do; b is worse at every seed; c fails once, which is a change of status."""
    other = make_record().environment.model_copy(update={"commit": "b" * 40})
    errors = {
        "a": ((0.050, 0.10), (0.052, 0.051), (0.048, 0.047)),
        "b": ((0.050, 0.070), (0.052, 0.071), (0.048, 0.069)),
        "c": ((0.050, None), (0.052, 0.052), (0.048, 0.048)),
    }
    for solver, pairs in errors.items():
        for seed, (before, after) in enumerate(pairs):
            store.add(make_record(solver, before, seed=seed))
            store.add(make_record(solver, after, seed=seed, environment=other, minutes=1))
    code, out, _ = call("compare", "aaaa", "bbbb", "--json", store=store.root)
    assert code == 1
    found = {
        (c["cell"], c["what"]): (c["before"], c["after"], c["worse"]) for c in json.loads(out)["changes"]
    }
    assert found == {
        ("toy/plain d=3 b, 3 replicates", "relative_l2"): (0.05, 0.07, True),
        ("toy/plain d=3 c seed 0", "status"): ("ok", "oom", True),
    }


def test_merge(full_store, tmp_path):
    target = tmp_path / "target"
    code, out, _ = call("merge", str(full_store.root), store=target)
    assert (code, out.split()[0]) == (0, "3")
    (full_store.root / "junk.json").write_text("{")
    assert call("merge", str(full_store.root), store=target)[0] == 1


def test_cite_names_papers_and_the_result_set(full_store):
    code, out, _ = call("cite", "stde", store=full_store.root)
    assert code == 0
    assert "shi2024stde" in out
    assert "sha256" not in out  # no record of it in this store
    table = json.loads(call("cite", "--json", store=full_store.root)[1])
    assert len(table["result_set"]) == 64
    assert table["records"] == 3


def test_every_entry_of_the_bibliography_is_complete():
    from importlib.resources import files

    text = (files("benchmarks") / "references.bib").read_text()
    entries = bibliography._ENTRY.findall(text)
    assert len(entries) == text.count("\n@")
    assert all(bibliography._keywords(entry) for entry in entries)


def test_replay_judges_bits_on_the_same_machine_and_closeness_elsewhere(make_record):
    old = make_record("a", 0.05)
    assert replay.reproduces(old, make_record("a", 0.05, minutes=9))["reproduces"]
    other = replay.reproduces(old, make_record("a", 0.0501))
    assert not other["reproduces"]
    assert other["differences"]["relative_l2"] == (0.05, 0.0501)
    elsewhere = old.environment.model_copy(update={"cpu": "other"})
    assert replay.reproduces(old, make_record("a", 0.0501, environment=elsewhere))["reproduces"]
    assert not replay.reproduces(old, make_record("a", 0.09, environment=elsewhere))["reproduces"]
    assert not replay.reproduces(old, make_record("a", None))["reproduces"]


def test_an_internal_error_is_one_line(monkeypatch):

    def broken(*_):
        raise RuntimeError("it broke")

    monkeypatch.setattr(show, "show_list", broken)
    code, _, err = call("list")
    assert code == 1
    assert "it broke" in err
    assert "PDEZOO_TRACEBACK" in err


@pytest.mark.slow
def test_a_real_run_resumes_and_replays(tmp_path):
    store = tmp_path / "store"
    arguments = [
        "run",
        "poisson/two-body",
        "stde",
        "--dim",
        "10",
        "--steps",
        "20",
        "--protocol",
        "quick",
        "--json",
    ]
    code, out, _ = call(*arguments, store=store)
    assert code == 0
    (record,) = json.loads(out)
    assert record["status"] == "ok"
    assert Store.reading(store).read().records[record["digest"]].status is Status.OK
    code, again, err = call(*arguments, store=store)
    assert json.loads(again) == [record]
    assert "has a record already" in err or "have a record already" in err
    assert call("replay", record["digest"][:12], store=store)[0] == 0


def test_outcome_defaults_are_those_of_a_finished_cell():
    assert Outcome(Status.OK).cause is None
