"""Records as asv results and back: what can be kept is kept, and what cannot is said."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_cli import call

from benchmarks import suite
from benchmarks.commands import asv
from benchmarks.records.checkout import git_or_none
from benchmarks.records.metrics import Metrics, asv_forms
from benchmarks.records.record import Cause, Status
from benchmarks.records.store import Store

RUN = [sys.executable, "-m", "asv"]


def head(revision: str = "HEAD") -> str:
    commit = git_or_none("rev-parse", revision)
    if commit is None:
        pytest.skip("this is no git checkout of two commits")
    return commit


@pytest.fixture
def exported(store, make_record, tmp_path) -> Path:
    """Two commits of one cell, a failure and an unsupported cell of the second, and a record of a changed tree."""
    here = lambda commit, **more: make_record("a").environment.model_copy(update={"commit": commit, **more})
    new, old = here(head()), here(head("HEAD~1"))
    unsupported = {
        "status": Status.UNSUPPORTED,
        "cause": Cause.UNSUPPORTED,
        "reason": "no",
        "metrics": Metrics(),
    }
    for record in (
        make_record("a", 0.05, environment=old),
        make_record("a", 0.10, environment=new, minutes=1),
        make_record("b", None, environment=new),
        make_record("c", None, environment=new, **unsupported),
        make_record("d", 0.10, environment=here(head(), dirty=True)),
    ):
        store.add(record)
    code, out, _ = call("asv", "export", str(tmp_path / "out"), store=store.root)
    assert code == 0
    assert "4 records exported; 1 were left out" in out
    return tmp_path / "out"


def stored(folder: Path, commit: str) -> dict[str, Any]:
    (path,) = folder.glob(f"results/*/{commit[:8]}-records.json")
    return json.loads(path.read_text())


def test_a_record_is_a_number_a_failure_null_and_what_is_not_there_skipped(exported):
    labels = [eval(text) for text in stored(exported, head())["results"]["records.relative_l2"][1][0]]
    assert [label.split()[2] for label in labels] == ["a", "b", "c"]
    new = stored(exported, head())["results"]
    old = stored(exported, head("HEAD~1"))["results"]
    assert new["records.relative_l2"][0][:2] == [0.10, None]
    assert math.isnan(new["records.relative_l2"][0][2])
    assert old["records.relative_l2"][0][0] == 0.05
    assert all(math.isnan(value) for value in old["records.relative_l2"][0][1:])
    assert new["records.error_over_constant_null"][0][0] == pytest.approx(0.2)
    assert new["records.seconds_per_step"][0][0] == pytest.approx(0.01)
    assert math.isnan(new["records.compiled_bytes"][0][0])


def test_asv_itself_compares_and_publishes_what_was_exported(exported):
    if subprocess.run([*RUN, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("asv is not installed")
    compared = subprocess.run(
        [*RUN, "compare", head("HEAD~1"), head(), "--factor", "1.1", "--split"],
        cwd=exported,
        capture_output=True,
        text=True,
        check=True,
    )
    worse = compared.stdout.partition("have got worse")[2]
    assert "records.relative_l2" in worse
    assert "0.05" in worse
    subprocess.run([*RUN, "publish"], cwd=exported, capture_output=True, check=True)
    pages = json.loads((exported / "html" / "index.json").read_text())
    assert set(pages["benchmarks"]) == {f"records.{form.name}" for form in asv_forms().values()}


CELL = "poisson/two-body d=100 stde"


def result(
    commit: str, numbers: dict[str, float | None], version: str = suite.Cross.version
) -> dict[str, Any]:
    """What asv would store of CELL, and of one that it skipped."""
    params = [[repr(CELL), "'poisson/two-body d=100 hte'"]]
    names = {name: form.benchmark for name, form in asv_forms().items()}
    return {
        "commit_hash": commit,
        "date": 1_700_000_000_000,
        "python": "3.11",
        "params": {
            "machine": "m",
            "cpu": "fast",
            "num_cpu": "4",
            "ram": "1000",
            "os": "Linux",
            "gpu": "none",
        },
        "result_columns": list(asv._COLUMNS),
        "results": {names[k]: [[v, math.nan], params, version] for k, v in numbers.items()},
        "version": 2,
    }


@pytest.fixture
def same_sources(monkeypatch):
    monkeypatch.setattr(asv, "_same_sources", lambda commit: True)


def imported(tmp_path: Path, value: Any) -> tuple[int, str, list[Any]]:
    folder = tmp_path / "results" / "m"
    folder.mkdir(parents=True)
    (folder / "machine.json").write_text("{}")
    (folder / "aaaaaaaa-env.json").write_text(value if isinstance(value, str) else json.dumps(value))
    store = tmp_path / "imported"
    code, _, err = call("asv", "import", str(folder.parent), store=store)
    return code, err, list(Store.reading(store).read().records.values())


def test_what_the_suites_measured_becomes_a_record(tmp_path, same_sources):
    numbers = {"relative_l2": 0.25, "skill": 0.5, "steps_per_second": 0.01, "compiled_bytes": 1000}
    code, err, (record,) = imported(tmp_path, result("a" * 40, {**numbers, "train_seconds": 3.0}))
    assert (code, err) == (0, "")
    assert record.cell == suite.cell_of(CELL)
    assert record.cell.problem.fingerprint is not None
    assert record.status is Status.OK
    assert record.metrics == Metrics(
        relative_l2=0.25, skill=0.5, steps_per_second=100.0, compiled_bytes=1000, train_seconds=3.0
    )
    about = record.environment
    assert (about.commit, about.cpu, about.cpu_count, about.python) == ("a" * 40, "fast", 4, "3.11")
    assert asv._version("/somewhere/bin/python") == "unknown"


def test_a_failure_under_asv_is_a_row(tmp_path, same_sources):
    _, _, (record,) = imported(tmp_path, result("a" * 40, {"relative_l2": None}))
    assert (record.status, record.cause) == (Status.ERROR, Cause.NO_RECORD)
    assert "asv" in record.reason


def test_without_an_error_there_is_no_record(tmp_path, same_sources):
    code, err, records = imported(tmp_path, result("a" * 40, {"steps_per_second": 0.01}))
    assert (code, records) == (0, [])
    assert "Accuracy" in err


def test_another_protocol_is_not_taken_for_this_one(tmp_path, same_sources):
    assert imported(tmp_path, result("a" * 40, {"relative_l2": 0.1}, "another"))[2] == []


def test_other_sources_are_not_taken_for_these(tmp_path):
    code, err, records = imported(tmp_path, result("a" * 40, {"relative_l2": 0.1}))
    assert (code, records) == (0, [])
    assert "another pdezoo" in err


@pytest.mark.parametrize(
    "content", ["{", "[]", "3", "{}", '{"result_columns": 1}', "[" * 10_000, '{"results": {}}']
)
def test_a_file_that_is_no_result_is_told_and_skipped(content, tmp_path):
    code, err, records = imported(tmp_path, content)
    assert (code, records) == (1, [])
    assert "skipped" in err


MISTAKES = {
    ("asv", "dance"): "export FOLDER",
    ("asv", "export"): "export FOLDER",
    ("asv", "export", "/dev/null"): "not an empty folder",
    ("asv", "import", "/nowhere"): "no asv results",
}


@pytest.mark.parametrize(("arguments", "words"), MISTAKES.items(), ids=lambda a: " ".join(a)[:30])
def test_mistakes_are_explained(arguments, words):
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert words in err
