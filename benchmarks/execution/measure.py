"""Measures a cell in this process: `python -m benchmarks.execution.measure FOLDER` reads it from standard input.

The folder receives `environment.json` once the device has started, `progress.json` on the way and `record.json` at the end;
whoever started the process (`benchmarks.execution.isolate`) makes a record from what is there if the process ends before it
writes one.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.execution.load import Bystanders
from benchmarks.execution.memory import peak_memory
from benchmarks.planning.subjects import Device, Subjects, subjects
from benchmarks.records.environment import host_environment, limited, on_cpu
from benchmarks.records.files import write_whole
from benchmarks.records.metrics import Errors, Measurement, finite, metrics_of
from benchmarks.records.outcome import Outcome, failure
from benchmarks.records.record import MAX_HISTORY, Cause, Cell, Environment, Moment, Record, Status, now
from benchmarks.records.text import clip

RECORD, PROGRESS, ENVIRONMENT = "record.json", "progress.json", "environment.json"
PARENT = "PDEZOO_PARENT"


def measure(
    cell: Cell,
    progress: Any = None,
    lib: Subjects | None = None,
    cache: Path | None = None,
    started: Callable[[Device], None] = lambda device: None,
) -> Record:
    """Measures a cell in this process and returns its record, with a failure of any kind as its status; only signals get past.

    `progress(moment, steps)` is called after every compiled chunk of steps. `lib` stands in for `pdezoo` and `solvers` in
    tests; `cache` is a folder for the exact values of test sets. `started(device)` is called once it is known which device
    the cell runs on.
    """
    start, clock, device = now(), time.perf_counter(), None
    try:
        lib = lib or subjects()
        device = lib.start(cell.protocol.dtype)
        started(device)
        outcome = _measure(cell, progress or (lambda moment, steps: None), lib, device, cache)
    except (Exception, SystemExit) as error:
        outcome = failure(error)
    return Record(
        cell=cell,
        status=outcome.status,
        cause=outcome.cause,
        reason=clip(outcome.reason, 4_000),
        exception=outcome.exception,
        environment=environment(device),
        start=start,
        duration=time.perf_counter() - clock,
        **outcome.fields,
    )


def _measure(cell: Cell, progress: Any, lib: Subjects, device: Device, cache: Path | None) -> Outcome:
    pde = lib.make_pde(cell.problem.name, dim=cell.problem.dim, seed=cell.problem.seed)
    solver = _solver(cell, lib)
    if changed := _changed(cell, pde, solver):
        return Outcome(Status.ERROR, Cause.CHANGED, changed)
    if unsupported := solver.unsupported(pde):
        return Outcome(Status.UNSUPPORTED, Cause.UNSUPPORTED, unsupported)
    fields = {"sees_solution": _sees_solution(solver), "baselines": _baselines(pde)}
    limit = _unenforced_limit(cell, device)
    if too_large := _over_device_limit(limit, cell, solver, pde):
        return Outcome(Status.OOM, Cause.ESTIMATE, too_large, fields=fields)
    test = lib.test_set(pde, size=cell.protocol.test_size, cache=cache)
    bystanders = Bystanders()
    result = _fit(cell, progress, solver, pde, test)
    nulls = {name: Errors(**errors) for name, errors in lib.null_errors(test).items()}
    peak, peak_of = peak_memory(device, compiled=result.compile_seconds is not None)
    if limit is not None and peak is not None and peak_of == "device" and peak > limit:
        too_much = f"{peak:,} bytes of the device were in use at a time, the limit is {limit:,}"
        return Outcome(Status.OOM, Cause.DEVICE, too_much, fields=fields)
    measurement = Measurement(
        result=result,
        nulls=nulls,
        levels=cell.protocol.levels,
        peak=peak,
        peak_of=peak_of,
        bystanders=bystanders.cores,
        bystanders_of_its_cores=bystanders.of_its_cores,
    )
    return _judged(measurement, fields)


def _solver(cell: Cell, lib: Subjects) -> Any:
    """Makes the solver of a cell; under the name that it has today, where the row of the cell's name is another one by now.

    The name comes first, since asv runs this code on older commits too, where that row may still be what it was.
    """
    named = lib.make_solver(cell.solver.name, **cell.solver.given)
    if cell.solver.row == cell.solver.name or named.hyperparameters() == cell.solver.hyperparameters:
        return named
    return lib.make_solver(cell.solver.row, **cell.solver.given)


def _sees_solution(solver: Any) -> bool:
    """Returns whether the solver declares that it uses the exact solution. asv runs this code on older commits too, where solvers
    have no such declaration.
    """
    return getattr(solver, "sees_solution", False)


def _baselines(pde: Any) -> tuple[str, ...] | None:
    """Returns the names of the null predictors that use no solution; None on commits at which problems do not declare them."""
    return getattr(pde, "baseline_names", None)


def _changed(cell: Cell, pde: Any, solver: Any) -> str | None:
    """Returns how the problem or the solver of that name differs from the one that the cell asks for; None if both agree."""
    if pde.fingerprint != cell.problem.fingerprint:
        asked = cell.problem.fingerprint
        return f"the problem's fingerprint is {pde.fingerprint}, the cell asks for {asked}"
    if solver.hyperparameters() != cell.solver.hyperparameters:
        return f"the solver is {solver.hyperparameters()}, the cell asks for {cell.solver.hyperparameters}"
    return None


def _unenforced_limit(cell: Cell, device: Device) -> int | None:
    """Returns the cell's memory limit if nothing else sees to it; None otherwise.

    On the host the memory of the process is watched from outside, and on an accelerator the allocator mostly has no more
    than the limit. It has more where the memory of the device could not be known before it was started.
    """
    limit = cell.protocol.memory_limit
    if limit is None or device.platform == "cpu":
        return None
    return None if device.memory is not None and device.memory <= limit else limit


def _over_device_limit(limit: int | None, cell: Cell, solver: Any, pde: Any) -> str | None:
    """Returns by how much a compiled step alone exceeds the memory limit, in words; None if it does not.

    It is compiled only where this process has to keep the limit; elsewhere this second compilation is saved. A solver without
    a compiled step is judged by its peak alone.
    """
    if limit is None:
        return None
    compiled = solver.compile(pde, steps=cell.protocol.steps, batch=cell.protocol.batch, chunk=1)
    if compiled is None or compiled.bytes is None or compiled.bytes <= limit:
        return None
    return f"a compiled step needs {compiled.bytes:,} bytes, the limit is {limit:,}"


def _fit(cell: Cell, progress: Any, solver: Any, pde: Any, test: Any) -> Any:
    clock = time.perf_counter()

    def report(step: int, steps: int, loss: float, steps_per_second: float | None) -> None:
        seconds = time.perf_counter() - clock
        progress(_moment(step=step, seconds=seconds, loss=loss, steps_per_second=steps_per_second), steps)

    result = solver.fit(
        pde,
        steps=cell.protocol.steps,
        seed=cell.seed,
        batch=cell.protocol.batch,
        test=test,
        progress=report,
        seconds=cell.protocol.seconds,
    )
    if result.status == "interrupted":  # a part of a training is no measurement of the cell
        raise KeyboardInterrupt
    return result


def _judged(measurement: Measurement, more: dict[str, Any]) -> Outcome:
    """Returns the outcome of a training with its metrics: "ok", or "diverged" where the loss or the error is not finite."""
    metrics, result = metrics_of(measurement), measurement.result
    history = history_of(result)
    last = history[-1] if history else None
    fields = {"metrics": metrics, "history": history, "nulls": dict(measurement.nulls), "last": last} | more
    if result.status == "ok" and metrics.relative_l2 is not None:
        return Outcome(Status.OK, fields=fields)
    reason = result.reason or "the error on the test set is not finite"
    return Outcome(Status.DIVERGED, Cause.NON_FINITE, reason, fields=fields)


def history_of(result: Any) -> tuple[Moment, ...]:
    """Returns the training history, thinned evenly to at most MAX_HISTORY points; the last point is always kept."""
    rows = list(result.history)
    stride = max(1, math.ceil(len(rows) / MAX_HISTORY))
    kept = rows[::-1][::stride][::-1]
    return tuple(_moment(**{k: v for k, v in row.items() if k in Moment.model_fields}) for row in kept)


def _moment(step: int, **numbers: Any) -> Moment:
    return Moment(step=int(step), **{name: finite(value) for name, value in numbers.items()})


def environment(device: Device | None) -> Environment:
    """Returns the environment of this process, with what only the started device can tell; None stands for no device."""
    known = host_environment()
    if device is None:
        return known.model_copy(update={"memory_limit": limited(known.platform)})
    if device.platform == "cpu":  # also where the machine has an accelerator that JAX did not start
        return on_cpu(known).model_copy(update={"generator": device.generator})
    return known.model_copy(
        update={
            "memory_limit": limited(device.platform),
            "platform": device.platform,
            "generator": device.generator,
            "device": clip(device.kind, 200),
            "device_count": device.count,
        }
    )


def cache_folder() -> Path | None:
    """Returns the folder in which exact values of test sets are kept between cells: `PDEZOO_CACHE`, or the user's cache folder.

    None where there is no such folder, or it cannot be written: the values are then computed anew for every cell.
    """
    try:
        folder = Path(os.environ.get("PDEZOO_CACHE") or _user_cache() / "pdezoo" / "test-sets")
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: the user has no home folder
        return None
    return folder if os.access(folder, os.W_OK) else None


def _user_cache() -> Path:
    """Returns the user's cache folder. Raises RuntimeError where the user has no home folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


class ProgressFile:
    """Writes the latest point of the training with a finite loss to a file, at most five times a second, and the last step."""

    def __init__(self, path: Path):
        self._path, self._next = path, 0.0

    def __call__(self, moment: Moment, steps: int) -> None:
        last = moment.step >= steps
        if moment.loss is not None and (last or time.monotonic() >= self._next):
            self._next = time.monotonic() + 0.2
            content = {"steps": steps, "moment": moment.model_dump(mode="json")}
            with contextlib.suppress(OSError):  # a full disk: the measurement goes on
                write_whole(self._path, json.dumps(content).encode())


def _die_with_parent() -> None:
    """Ends this process when the one that started it ends, since then nobody enforces the limits or reads the record.

    The parent tells its number, since it may have been killed before this process is awake.
    """
    told = os.environ.get(PARENT, "")
    parent = int(told) if told.isdecimal() else os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(argv: list[str] | None = None, lib: Subjects | None = None) -> int:
    """Measures the cell that standard input describes and writes its record into the folder `argv[0]`.

    Returns the exit status, which is 0 whenever a record was written, whatever it says. `lib` is for tests.
    """
    folder = Path((argv or sys.argv[1:])[0])
    cell = Cell.model_validate_json(sys.stdin.buffer.read())
    _die_with_parent()

    def started(device: Device) -> None:
        with contextlib.suppress(OSError):  # a full disk: the measurement goes on
            write_whole(folder / ENVIRONMENT, environment(device).model_dump_json().encode())

    progress = ProgressFile(folder / PROGRESS)
    record = measure(cell, progress, lib=lib, cache=cache_folder(), started=started)
    write_whole(folder / RECORD, record.content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
