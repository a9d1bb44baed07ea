"""asv finds exactly the benchmarks that are meant, in every module of the package."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from pathlib import Path

import pytest

import benchmarks
import solvers
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
# What asv takes for a benchmark, asv_runner.benchmarks: by prefix or by CamelCase.
BENCHMARK = re.compile(
    r"^(time|timeraw|track|mem|peakmem)(_|[A-Z])|^(Time|Timeraw|Track|Mem|PeakMem)([A-Z]|$)"
)


def discovered() -> set[str]:
    collected = set()
    for info in pkgutil.walk_packages(benchmarks.__path__):
        module = importlib.import_module(f"benchmarks.{info.name}")
        for name, value in vars(module).items():
            if name.startswith("_"):
                continue
            if BENCHMARK.match(name):
                collected.add(f"{info.name}.{name}")
            if isinstance(value, type):
                collected |= {f"{info.name}.{name}.{m}" for m in dir(value) if BENCHMARK.match(m)}
    return collected


def test_asv_discovers_what_is_meant_and_nothing_else():
    assert discovered() == EXPECTED


def test_the_suites_run_over_the_registries():
    """Only what the repository registers is measured: plug-ins installed beside it are not in its history."""
    families, rows = (
        [entry.name for entry in entries.values() if entry.origin == "pdezoo"]
        for entries in subjects.catalogues()
    )
    assert families == suite.PROBLEMS
    assert [name for name in rows if "null" not in solvers.make(name).hyperparameters()] == suite.SOLVERS


def test_the_version_is_the_protocol():
    assert suite.Cross.version == suite.PROTOCOL.fingerprint


def test_a_missing_name_is_skipped_and_not_failed():
    for problem, solver in (("no-such-problem", "stde"), ("poisson", "no-such-solver")):
        with pytest.raises(NotImplementedError, match="lacks"):
            suite.pair(problem, solver, 10)


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
