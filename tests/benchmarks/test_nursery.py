"""A nursery forks children that are as good as new ones, and gives way where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import harness_fake
import psutil
import pytest

from benchmarks.execution import nursery
from benchmarks.execution.isolate import child_environment, isolate
from benchmarks.records.record import Status

NEVER = threading.Event()
SCRIPT = """
import os, sys
from pathlib import Path
import toy
from benchmarks.execution import nursery

def run():
    print(toy.VALUE, os.getppid(), os.environ["MARK"], sys.stdin.read())

nursery.serve(run, (Path(toy.__file__).parent,))
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Runs a child of a nursery that has imported a toy module; returns what it printed, or None if there was no child."""
    (tmp_path / "toy.py").write_text("VALUE = 1\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / nursery.CELL).write_text("told")
    monkeypatch.setattr(nursery, "_idle", nursery.defaultdict(list))

    def run(mark: str = "a") -> list[str] | None:
        (tmp_path / nursery.LOG).write_text("")
        environment = child_environment() | {"MARK": mark, "PYTHONDONTWRITEBYTECODE": "1"}
        command = (sys.executable, str(tmp_path / "script.py"))
        with nursery.forked(command, environment, tmp_path, NEVER) as child:
            if child is None:
                return None
            assert child.wait() == 0
            return (tmp_path / nursery.LOG).read_text().split()

    yield run
    nursery.close_idle()


def test_one_process_forks_all_children_of_an_environment(toy):
    first, second, other = toy(), toy(), toy("b")
    assert [first[0], *first[2:]] == ["1", "a", "told"]
    assert second == first
    assert other[2] == "b"
    assert other[1] != first[1]


def test_what_was_imported_and_has_changed_is_imported_again(toy, tmp_path):
    before = toy()
    (tmp_path / "toy.py").write_text("VALUE = 22\n")
    after = toy()
    assert (before[0], after[0]) == ("1", "22")
    assert after[1] != before[1]


def test_a_nursery_that_fails_leaves_it_to_others(toy, tmp_path):
    (tmp_path / "toy.py").write_text("raise ValueError\n")
    assert toy() is None


def test_a_cell_is_measured_where_no_nursery_can_be_had(make_cell):
    broken = (sys.executable, "-c", "raise SystemExit(1)")
    for command in (broken, (sys.executable, "-c", "print('nonsense')")):
        record = isolate(make_cell(), replace(harness_fake.SLOT, nursery=command))
        assert record.status is Status.OK


def test_the_nursery_ends_with_the_harness_and_takes_its_child_with_it(make_cell, tmp_path):
    """The harness is killed while a child of a nursery hangs: nothing of it is left."""
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import harness_fake
from benchmarks.execution.isolate import isolate
from benchmarks.records.record import Cell
isolate(Cell.model_validate_json(sys.stdin.read()), harness_fake.FORKED, lambda *_: print("hangs", flush=True))
"""
    harness = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | child_environment(),
        text=True,
    )
    harness.stdin.write(make_cell("hang").model_dump_json())
    harness.stdin.close()
    assert harness.stdout.readline() == "hangs\n"
    family = psutil.Process(harness.pid).children(recursive=True)
    assert len(family) == 2
    harness.kill()
    harness.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive


def test_no_device_is_started_before_the_fork():
    """Threads and devices of JAX do not survive a fork."""
    code = """
from benchmarks.execution import nursery
def serve(run, packages):
    from jax._src import xla_bridge
    assert {"pdezoo", "solvers", "optax", "sympy"} <= __import__("sys").modules.keys()
    print(xla_bridge.backends_are_initialized(), [p.name for p in packages])
nursery.serve = serve
nursery.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | child_environment(), capture_output=True, text=True
    )
    assert done.stdout == "False ['pdezoo', 'solvers', 'benchmarks']\n", done.stderr
