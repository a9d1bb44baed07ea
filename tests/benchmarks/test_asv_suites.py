"""asv finds exactly the benchmarks that are meant, in every module of the package."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from asv_runner.discovery import disc_benchmarks

import benchmarks
from benchmarks import suite
from benchmarks.planning import subjects

EXPECTED = {
    "bench_accuracy.Accuracy.track_error_over_constant_null",
    "bench_accuracy.Accuracy.track_relative_l2",
    "bench_accuracy.Accuracy.track_seconds_to_train",
    "bench_compile.Compilation.track_compile_seconds",
    "bench_memory.Compiled.track_compiled_bytes",
    "bench_memory.Compiled.track_flops",
    "bench_memory.Device.track_peak_bytes",
    "bench_speed.Speed.time_step",
}


def discovered() -> set[str]:
    """What asv finds: it imports every module below `benchmarks`, those of every room too, and makes the classes that it takes."""
    return {found.name for found in disc_benchmarks("benchmarks")}


def test_asv_discovers_what_is_meant_and_nothing_else():
    assert discovered() == EXPECTED


FIRST = [
    "poisson/sin-three-body d=100 stde",
    "poisson/sin-three-body d=1000 stde",
    "poisson/sin-three-body d=100 hte",
]


def test_the_cells_are_of_the_registry_and_each_stands_once():
    """Every family is followed. Whether a solver supports its problem is asked when the suites run, and by a slow test."""
    pdes, rows = subjects.names()
    asked = [suite.parts(cell) for cell in suite.CELLS]
    assert len(set(suite.CELLS)) == len(suite.CELLS) >= 60
    assert {problem for problem, _, _ in asked} <= set(pdes)
    assert {solver for _, _, solver in asked} <= set(rows)
    assert {p.partition("/")[0] for p, _, _ in asked} == {p.partition("/")[0] for p in pdes}


def test_cells_are_added_at_the_end_alone():
    assert suite.CELLS[: len(FIRST)] == FIRST
    head = hashlib.sha256("\n".join(suite.CELLS[:64]).encode()).hexdigest()
    assert head == "dbd50c393ebeb08be7237fa60abaa0bb67bca7fae7b49e498a925ee42b4709e6", (
        "a line of benchmarks/cells.txt was changed or moved"
    )


@pytest.mark.parametrize("cell", ["poisson/two-body stde", "poisson/two-body d=0 stde", "a b d=1 c", ""])
def test_a_cell_is_three_words(cell):
    with pytest.raises(ValueError, match="a problem, d=DIMENSION and a solver"):
        suite.parts(cell)


@pytest.mark.slow
@pytest.mark.parametrize("cell", suite.CELLS)
def test_every_cell_is_supported_now(cell):
    suite.pair(cell)


def test_the_version_is_the_protocol():
    assert suite.Cross.version == suite.PROTOCOL.fingerprint


def test_a_missing_name_is_skipped_and_not_failed():
    for cell in ("no-such-problem d=10 stde", "poisson/two-body d=10 no-such-solver"):
        with pytest.raises(NotImplementedError, match="lacks"):
            suite.pair(cell)
    for cell in ("kdv/one-soliton d=7 stde", "kdv/one-soliton d=1 green-monte-carlo"):
        with pytest.raises(NotImplementedError):
            suite.pair(cell)


def test_the_configuration_names_this_project_and_this_folder():
    root = Path(benchmarks.__file__).resolve().parent.parent
    configuration = json.loads((root / "asv.conf.json").read_text())
    assert configuration["project"] == "pdezoo"
    assert configuration["benchmark_dir"] == "benchmarks"
    assert configuration["branches"] == ["HEAD"]
    assert configuration["launch_method"] == "spawn"


def test_a_diverged_loop_has_no_time():
    loop = suite.Loop(None, None, float("nan"))
    with pytest.raises(FloatingPointError):
        loop.require_finite()
