"""Command lines, matrices and environment variables made at random: every command ends with status 0, 1 or 2 and says why.

A few examples each in the usual tests, ten thousand each with `make fuzz`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import harness_fake
import pytest
import typer.main
from harness_fake import LIBRARY
from hypothesis import assume, event, example, given
from hypothesis import strategies as st
from test_cli import call

import solvers
from benchmarks import cli
from benchmarks.commands import check, doctor, replay, run, theory, verify
from benchmarks.commands import sweep as sweeping
from benchmarks.execution.measure import cache_folder, measure
from benchmarks.planning import campaign
from benchmarks.planning.matrix import expand, parse
from benchmarks.records import environment
from benchmarks.records.errors import UserError
from benchmarks.records.store import Store

pytestmark = pytest.mark.fuzz

MOST_CELLS = 12
SOLVERS = [
    "good",
    "nan-loss",
    "nan-error",
    "leave",
    "bad-import",
    "memory-error",
    "crash",
    "choosy",
    "null-affine",
]
FAMILIES = {"toy": "toy/plain", "line": "line/only"}
BROKEN = (["half-written"], ["crooked"])

REPORT = {
    "name": "toy",
    "kind": "pde",
    "origin": "pdezoo",
    "ok": True,
    "dim": 3,
    "checks": [],
    "findings": [],
    "audit": {},
}


def in_process(cell: Any, slot: Any = None, report: Any = None, stop: Any = None) -> Any:
    """A fake cell, measured in this process; what it prints goes where a child's output would."""
    with contextlib.redirect_stdout(io.StringIO()):
        return measure(cell, lib=LIBRARY, cache=cache_folder())


def _no_scheduler(address: str) -> Any:
    raise UserError(f"there is no Dask scheduler at {address[:80]!r}")


@contextlib.contextmanager
def fakes() -> Iterator[Path]:
    """The program with the fake packages instead of the real ones, and a folder with a small store, a matrix and a campaign."""
    known = (harness_fake.PDES, SOLVERS)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for module in (sweeping, run, campaign):
            patch.setattr(module, "names", lambda: known)
            patch.setattr(module, "families", lambda: FAMILIES)
            patch.setattr(module, "broken", lambda: BROKEN)
        for module in (sweeping, run):
            patch.setattr(module, "subjects", lambda: LIBRARY)
        patch.setattr(run, "make", lambda name, dim: LIBRARY.make_pde(name, dim))
        patch.setattr(sweeping, "isolate", in_process)
        patch.setattr(sweeping, "connect", _no_scheduler)
        patch.setattr(replay, "isolate", in_process)
        patch.setattr(verify, "_verified_all", lambda names, dim: iter([REPORT] * len(names)))
        patch.setattr(check, "_report", lambda contribution, dim: REPORT)
        patch.setattr(doctor, "_devices", lambda: (True, "toy"))
        curve = solvers.Curve("a", "b", "c", (1.0,), (1.0,), (0.1,), (1.0,))
        patch.setattr(theory, "_measured", lambda name, diagnostic: (curve,))
        yield Path(folder)


def require_words(code: int, err: str) -> None:
    """An exit status of ours, and no exception but ours."""
    assert code in (0, 1, 2)
    assert "Traceback" not in err
    assert "Internal error" not in err
    event(f"exit status {code}")


# Matrices

text = st.text(max_size=8) | st.sampled_from(
    ["", "1e5", "1e400", "90s", "2GB", "quick", "paper", "*", "toy/*", "\x00", "γ"]
)
integers = st.integers(-3, 12) | st.sampled_from([2**31 - 1, 2**31, 2**53, 2**63, 10**30])
floats = st.floats() | st.sampled_from([1e2, 1e10, 2.5, 1e-320])
dates = st.sampled_from(["2026-01-01", "07:32:00", "1979-05-27T07:32:00Z"]).map(
    lambda words: SimpleNamespace(words=words)
)
scalars = text | integers | floats | st.booleans() | dates
keys = st.text(min_size=1, max_size=6) | st.sampled_from(["name", "samples", "steps", "base", "self", "dim"])
values = st.recursive(
    scalars, lambda one: st.lists(one, max_size=3) | st.dictionaries(keys, one, max_size=3), max_leaves=6
)

patterns = st.sampled_from(
    [*harness_fake.PDES, "toy", "toy/*", "*", "half-written/*", "l[i]ne/*", "toy/plan"]
)
rows = st.sampled_from([*SOLVERS, "*", "null-*", "cr*"])
tables = st.fixed_dictionaries({"name": rows | values}, optional={"samples": values, "other": values})
settings_of = st.fixed_dictionaries(
    {},
    optional={
        "base": st.sampled_from(["quick", "paper"]) | values,
        **dict.fromkeys(("steps", "batch", "test_size", "seconds"), integers | floats | text | values),
        **{key: st.sampled_from(["90s", "2GB", 1]) | values for key in ("wall_limit", "memory_limit")},
        "levels": st.lists(floats, max_size=3) | values,
        "dtype": st.just("float32") | values,
        "name": text,
        "surprise": values,
    },
)
fields = {
    "pdes": st.lists(patterns, max_size=2) | values,
    "dims": st.lists(integers | floats | text, max_size=2) | values,
    "solvers": st.lists(rows | tables, max_size=2) | values,
}
more = {
    "seeds": st.integers(0, 3) | st.lists(integers, max_size=2) | values,
    "instances": st.integers(0, 3) | st.lists(integers, max_size=2) | values,
    "protocol": st.sampled_from(["quick", "paper"]) | settings_of | values,
    "surprise": values,
}
documents = st.fixed_dictionaries(fields, optional=more)
working = st.fixed_dictionaries(
    {
        "pdes": st.lists(patterns.filter(lambda p: p != "toy/plan"), min_size=1, max_size=2),
        "dims": st.lists(st.integers(1, 5) | st.sampled_from(["1e2", 1e3]), min_size=1, max_size=2),
        "solvers": st.lists(rows | tables, min_size=1, max_size=2),
    },
    optional=more,
)
"""Matrices that are right but for one or another setting: they get as far as being measured."""


def toml(value: Any) -> str:
    """A value in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, SimpleNamespace):
        return value.words
    if isinstance(value, str):  # JSON writes characters beyond 16 bits as two, which TOML does not know
        return (
            '"'
            + "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in value)
            + '"'
        )
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(v)}" for key, v in value.items()) + "}"
    return "[" + ", ".join(map(toml, value)) + "]" if isinstance(value, list) else repr(value)


def content(document: dict[str, Any]) -> bytes:
    return "\n".join(f"{toml(key)} = {toml(value)}" for key, value in document.items()).encode(
        "utf-8", "surrogatepass"
    )


def is_small(matrix: bytes) -> bool:
    """Whether it has at most MOST_CELLS cells, or is no valid matrix."""
    with contextlib.suppress(UserError):
        return len(expand(parse(matrix), harness_fake.PDES, SOLVERS, FAMILIES, *BROKEN)) <= MOST_CELLS
    return True


@given(documents | working, st.sampled_from([b"", b"\xef\xbb\xbf", b"\xff\xfe"]), st.booleans())
@example({"pdes": ["toy/plain"], "dims": [3], "solvers": ["good"], "protocol": {"levels": 3}}, b"", False)
@example(
    {"pdes": ["toy/plain"], "dims": [3], "solvers": ["good"], "protocol": {"memory_limit": 2.5e9}}, b"", False
)
def test_any_matrix_is_measured_or_explained(document: dict[str, Any], mark: bytes, dry: bool) -> None:
    matrix = mark + content(document)
    assume(is_small(matrix))
    with fakes() as folder:
        (folder / "matrix.toml").write_bytes(matrix)
        store = folder / "store"
        code, out, err = call(
            "sweep", str(folder / "matrix.toml"), "--json", *(["--dry-run"] if dry else []), store=store
        )
        require_words(code, err)
        if code != 2 and not dry:  # what was measured was kept, and can be read again
            kept = Store.reading(store).read()
            assert kept.damaged == ()
            assert {row["digest"] for row in json.loads(out)} == kept.records.keys()


# Command lines

COMMANDS = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
WORDS = """
0 1 2 3 -1 1e2 1e5 1e10 1e400 nan 2.5 3,7 90s 10m soon 2GB -1GB toy toy/plain toy/broken line/only good crash
choosy * [ samples=8 samples=[] a=b =1 rate=NaN quick paper failed all text html md csv latex json png
published pde solver export import papers campaign matrix.toml store board.out /dev/null /dev/null/below
/proc/x variance aaaa bbbb table --json --help -- --dim --dry-run
"""
words = st.text(max_size=10).filter(lambda word: ".." not in word and "/" not in word) | st.sampled_from(
    WORDS.split()
)


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command with its own options and arguments, and values that may or may not suit them."""
    name = draw(st.sampled_from(sorted(COMMANDS)))
    line = [name]
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name == "argument":
            line += draw(st.lists(words, min_size=draw(st.sampled_from([1, 1, 1, 0])), max_size=1))
        elif draw(st.integers(0, 3)) == 0:
            flag = draw(st.sampled_from(parameter.opts))
            line += [flag] if getattr(parameter, "is_flag", False) else [flag, draw(words)]
    return line + draw(st.lists(words, max_size=1)) * draw(st.sampled_from([0, 0, 1]))


@given(command_lines(), st.sampled_from(["utf-8", "utf-8", "cp1252", "ascii"]))
@example(["list", "\udcff"], "utf-8")
@example(["leaderboard", "-o", "\x00"], "utf-8")
def test_any_command_line_is_obeyed_or_explained(line: list[str], encoding: str) -> None:
    with fakes() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            tempfile, "TemporaryDirectory", lambda **_: contextlib.nullcontext(str(folder))
        )  # where it is called
        (folder / "matrix.toml").write_bytes(
            content({"pdes": ["toy/*"], "dims": [3], "solvers": ["good"], "seeds": 2})
        )
        (folder / "campaign").mkdir()
        (folder / "campaign" / "1.toml").write_bytes((folder / "matrix.toml").read_bytes())
        code, _, err = call(*line, store=folder / "store", encoding=encoding)
        require_words(code, err)


# Environment variables

SETTINGS = """
PDEZOO_CACHE CUDA_VISIBLE_DEVICES JAX_PLATFORMS HOME XDG_CACHE_HOME TMPDIR
PATH PYTHONIOENCODING PYTHONPATH COLUMNS LINES TERM NO_COLOR FORCE_COLOR TTY_COMPATIBLE TTY_INTERACTIVE LANG
LC_ALL TZ
"""
ODD = "0 1 ² 1e3 -5 99999999 /dev/null /dev/null/below /proc/x ~ cuda ascii"
strings = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
settings = st.dictionaries(
    st.sampled_from(SETTINGS.split()),
    strings
    | integers.map(str)
    | st.lists(
        st.integers(-1, 3).map(str) | st.sampled_from(["GPU-1", "MIG-2", "NoDevFiles", ""]), max_size=4
    ).map(",".join)
    | st.sampled_from(ODD.split()),
    max_size=4,
)
ORDINARY = [
    ("list",),
    ("status",),
    ("leaderboard",),
    ("leaderboard", "--format", "csv"),
    ("doctor",),
    ("run", "toy/plain", "good", "--dim", "3"),
    ("run", "toy/plain", "crash", "--dim", "3", "--memory-limit", "1GB", "--json"),
    ("sweep", "--help"),
    ("cite",),
]


@given(st.sampled_from(ORDINARY), settings, st.sampled_from(["utf-8", "ascii"]))
@example(("doctor",), {"COLUMNS": "²"}, "utf-8")
@example(("doctor",), {"COLUMNS": "0"}, "utf-8")
def test_any_environment_is_lived_with(line: tuple[str, ...], changes: dict[str, str], encoding: str) -> None:
    with fakes() as folder, pytest.MonkeyPatch.context() as patch:
        Store.writing(folder / "store")
        if line[0] == "leaderboard":
            call("run", "toy/plain", "good", "--dim", "3", store=folder / "store")
        for name, value in changes.items():
            patch.setenv(name, value)
        patch.delenv("PDEZOO_TRACEBACK", raising=False)
        environment._gpus.cache_clear()
        code, out, err = call(*line, store=folder / "store", encoding=encoding)
        require_words(code, err)
        if line[:3] == ("run", "toy/plain", "good"):
            assert code == 0, (out, err)
    environment._gpus.cache_clear()
    assert os.environ.keys() >= {"PATH"}
