"""kill -9 at random moments, two writers at a time: nothing finished is lost, nothing is damaged."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import harness_chaos
import pytest

from benchmarks.execution.sweep import todo
from benchmarks.records.store import Store

SCRIPT = Path(harness_chaos.__file__)
KILLS = 200


def start(root: Path, how: str, log: Path) -> subprocess.Popen:
    with log.open("wb") as out:
        return subprocess.Popen([sys.executable, str(SCRIPT), str(root), how], stdout=out)


def killed_round(root: Path, folder: Path, number: int, rng: random.Random) -> list[Path]:
    """Two sweeps on one store, each killed at a moment of its own; their logs."""
    logs = [folder / f"{number}-{k}.log" for k in range(2)]
    writers = [start(root, "forever", log) for log in logs]
    for writer, log in zip(writers, logs, strict=True):
        if number % 4 != 1:  # the others die before they are well awake
            wait_for_lines(writer, log, 4)
        time.sleep(rng.uniform(0.0, 0.8))
        writer.kill()
    for writer in writers:
        writer.wait()
    return logs


def wait_for_lines(writer: subprocess.Popen, log: Path, count: int) -> None:
    """Waits until the writer has printed so many finished cells, however slow the machine is."""
    end = time.monotonic() + 120
    while len(log.read_bytes().splitlines()) < count:
        assert time.monotonic() < end, "the writer finishes nothing"
        assert writer.poll() is None, "the writer ended by itself"
        time.sleep(0.02)


def run_chaos(tmp_path: Path, kills: int) -> None:
    rng, root = random.Random(0), tmp_path / "store"
    logs = [log for k in range(kills // 2) for log in killed_round(root, tmp_path, k, rng)]
    taken = {line for log in logs for line in log.read_text().splitlines() if len(line) == 64}
    store = Store.reading(root)
    contents = store.read()
    assert contents.damaged == ()
    assert taken <= contents.records.keys()
    assert len(taken) > kills  # they were killed at work, not asleep
    assert start(root, "once", tmp_path / "last.log").wait(timeout=300) == 0
    assert todo(harness_chaos.jobs(), store.read().records.values()).jobs == ()


@pytest.mark.chaos
def test_two_hundred_kills(tmp_path):
    run_chaos(tmp_path, KILLS)


def test_a_few_kills(tmp_path):
    run_chaos(tmp_path, 4)
