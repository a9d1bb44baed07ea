"""A sweep to be killed: `python harness_chaos.py STORE once|forever|stuck`, printing every digest that the store has taken.

Every measurement leaves a line with its seed in the file STORE.measured. A sweep that is `stuck` never ends one.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import harness_fake

from benchmarks.execution.journal import Journal
from benchmarks.execution.measure import measure
from benchmarks.execution.sweep import Sweep, todo
from benchmarks.planning.matrix import Request
from benchmarks.planning.resolve import resolve
from benchmarks.records.protocol import protocol
from benchmarks.records.store import Store

CELLS = 40


def jobs():
    used = protocol("quick").but(steps=10)
    requests = [Request("toy/plain", 3, 0, "good", (), used, seed) for seed in range(CELLS)]
    return resolve(requests, harness_fake.LIBRARY)


def execute(cell, slot, report, stop):
    with Path(sys.argv[1] + ".measured").open("a") as log:  # lines this short are appended whole
        log.write(f"{cell.seed}\n")
    while sys.argv[2] == "stuck":
        time.sleep(1)
    time.sleep(random.uniform(0, 0.02))
    return measure(cell, lib=harness_fake.LIBRARY)


class Printer:
    def started(self, cell):
        pass

    def awaited(self, cell):
        print("awaited", flush=True)

    def moved(self, cell, moment, steps):
        pass

    def finished(self, record):
        print(record.digest, flush=True)


def main(root: str, how: str) -> None:
    store = Store.writing(Path(root))
    redo = None
    while True:
        known = store.read().records
        work = todo(jobs(), known.values(), redo)
        journal = Journal(store, [job.cell for job in work.jobs], 2)
        Sweep(store, [harness_fake.SLOT] * 2, (journal, Printer()), execute=execute).run(
            work.jobs, known=known
        )
        journal.close()
        if how == "once":
            return
        redo = "all"


if __name__ == "__main__":
    main(*sys.argv[1:])
