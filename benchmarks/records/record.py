"""Defines the record of one measured cell; every record is validated when it is made and when it is read.

Records may come from anybody. Nothing in them is evaluated; strings, numbers, nesting and size are bounded, control
characters and non-finite numbers are refused, and unknown fields are an error.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError, field_serializer, model_validator

from benchmarks.records.canonical import canonical, sha256
from benchmarks.records.fields import (
    About,
    Count,
    Data,
    Digest,
    Finite,
    GrowingData,
    Hyperparameters,
    Label,
    Line,
    Log,
    Name,
    Positive,
)
from benchmarks.records.metrics import Errors, Metrics
from benchmarks.records.protocol import Protocol
from benchmarks.records.renamed import name_today
from benchmarks.records.text import clip

MAX_BYTES = 1_000_000
MAX_HISTORY = 500
QUIET = 1 / 6
"""Cores that others may keep busy beside a measurement of speed; watching the child itself takes a twentieth of one."""


FIRST_TUNING_INSTANCE = 100
"""Instances of problems from this one on are for choosing hyperparameters: they are recorded, and neither ranked nor reported."""


OLD_BASELINES = frozenset({"zero", "source-leak", "mean-field", "mean-cost", "terminal", "persistence"})
"""The null predictors that use no solution, for records of the time before problems declared which do.

They are closed forms of the source, or of initial or terminal values. Any other name in such a record counts as an oracle, for
what may have seen the solution is never ranked.
"""


class Status(StrEnum):
    """The status of a cell: how its measurement ended."""

    OK = "ok"
    DIVERGED = "diverged"
    OOM = "oom"
    TIMEOUT = "timeout"
    UNSUPPORTED = "unsupported"
    ERROR = "error"

    @property
    def message(self) -> str:
        """What the status means, and what to try."""
        return _MESSAGES[self]


_MESSAGES = {
    Status.OK: "Finished; every number is final.",
    Status.DIVERGED: "The loss or the error became non-finite; try a smaller step size or another seed.",
    Status.OOM: "It needs more memory than the limit; try fewer samples, a smaller batch or a higher limit.",
    Status.TIMEOUT: "It ran past the wall-clock limit; try fewer steps or a higher limit.",
    Status.UNSUPPORTED: "This solver cannot solve this problem, as the reason says.",
    Status.ERROR: "It failed for another reason; see the exception and the end of its log.",
}


class Cause(StrEnum):
    """What made a cell fail; it is finer than the status."""

    NON_FINITE = "non-finite"
    HOST_LIMIT = "host-limit"
    HOST_KILL = "host-kill"
    DEVICE = "device"
    ESTIMATE = "compile-estimate"
    WALL_LIMIT = "wall-limit"
    SIGNAL = "signal"
    EXIT = "exit"
    IMPORT = "import"
    EXCEPTION = "exception"
    NO_RECORD = "no-record"
    CHANGED = "changed"
    UNSUPPORTED = "unsupported"


class ProblemKey(Data):
    """An instance of a problem: name, dimension, seed of its coefficients, and fingerprint, None where it could not be made."""

    name: Name
    dim: Annotated[int, Field(ge=1, lt=2**53)]
    seed: Count = 0
    fingerprint: Digest | None = None


class SolverKey(Data):
    """A solver: its name, the hyperparameters that it was made with (`given`), and all that it then has (`hyperparameters`)."""

    name: Name
    given: Hyperparameters = Field(default_factory=dict)
    hyperparameters: Hyperparameters = Field(default_factory=dict)

    @property
    def row(self) -> str:
        """The name that this solver has today: another than `name` where a row of that name has become another method."""
        return name_today(self.name, self.hyperparameters)


class Cell(Data):
    """What is measured: a problem, a solver, a protocol and a training seed."""

    problem: ProblemKey
    solver: SolverKey
    protocol: Protocol
    seed: Count = 0

    @field_serializer("protocol", mode="wrap")
    def _as_before(self, protocol: Protocol, handler: Any) -> dict[str, Any]:
        """Leaves out the field that older records do not have, so that they keep their bytes."""
        fields: dict[str, Any] = handler(protocol)
        if protocol.nominal_seconds is None:
            del fields["nominal_seconds"]
        return fields

    @cached_property
    def identity(self) -> str:
        """The SHA-256 of the cell in canonical form: equal for equal measurements, whatever code or machine makes them.

        Neither the name of the protocol nor `given` of the solver enters.
        """
        return sha256(
            {
                "problem": self.problem.model_dump(),
                "solver": self.solver.model_dump(exclude={"given"}),
                "protocol": self.protocol.fingerprint,
                "seed": self.seed,
            }
        )

    @property
    def label(self) -> str:
        """The problem, dimension, solver and seed in one line for people, with the instance unless it is 0."""
        return f"{self.problem.name} d={self.problem.dim:,} {self.solver.row} seed {self.repetition}"

    @property
    def repetition(self) -> str:
        """The training seed, with the instance of the problem unless that is 0."""
        return f"{self.seed}, instance {self.problem.seed}" if self.problem.seed else str(self.seed)


class Moment(Data):
    """A point of a training history. `seconds` is the training time so far, without compilation."""

    step: Count
    seconds: Positive | None = None
    loss: Finite | None = None
    relative_l2: Positive | None = None
    steps_per_second: Positive | None = None


class Environment(Data):
    """Where a cell was measured: device, software and machine, memory in bytes.

    `commit` is that of the checkout, and `dirty` whether it was changed. `generator` is the algorithm of JAX's random keys.
    `memory_limit` says how the limit was enforced: on the host, or emulated on the device.
    """

    platform: Label
    device: Label
    device_count: Annotated[int, Field(ge=1, lt=2**20)] = 1
    device_memory: Count | None = None
    driver: Label | None = None
    jax: Label | None = None
    python: Label
    os: Label
    cpu: Label
    cpu_count: Annotated[int, Field(ge=1, lt=2**20)]
    memory: Count | None = None
    version: Label | None = None
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")] | None = None
    dirty: bool | None = None
    generator: Label | None = None
    memory_limit: Literal["host", "emulated on the device"] | None = None

    @property
    def machine(self) -> str:
        """The device and the processor in words; they must be equal for two speeds to be compared."""
        cores = f"{self.cpu_count} core{'s' if self.cpu_count != 1 else ''}"
        if self.platform == "cpu":
            return f"{self.cpu}, {cores}"
        count = f"{self.device_count} × " if self.device_count > 1 else ""
        return f"{count}{self.device} ({self.cpu}, {cores})"


class Record(GrowingData):
    """A cell and the outcome of its measurement. The file of a record is its canonical JSON, named by its SHA-256.

    A failed cell has a cause and a reason. `last` is the last point of the training that is known, `nulls` has the errors of
    the null predictors by name, and `duration` is the time in seconds that the cell took, set-up included. `sees_solution`
    says that the solver uses the exact solution, and `baselines` names the null predictors that do not; it is None in
    records of the time before problems declared it.
    """

    schema_version: Literal[1] = 1
    cell: Cell
    status: Status
    cause: Cause | None = None
    reason: Line = ""
    exception: Log | None = None
    log_tail: Log | None = None
    last: Moment | None = None
    metrics: Metrics = Metrics()
    nulls: Annotated[dict[Name, Errors], Field(max_length=32)] = Field(default_factory=dict)
    history: Annotated[tuple[Moment, ...], Field(max_length=MAX_HISTORY)] = ()
    environment: Environment
    start: AwareDatetime
    duration: Positive
    sees_solution: Annotated[bool, About(younger=True)] = False
    baselines: Annotated[tuple[Name, ...] | None, Field(max_length=32), About(younger=True)] = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.status is Status.OK) != (self.cause is None):
            raise ValueError("a cause belongs to a failed cell, and every failed cell has one")
        if self.status is not Status.OK and not self.reason.strip():
            raise ValueError("a failed cell needs a reason")
        return self

    def is_baseline(self, null: str) -> bool:
        """Whether the null predictor of that name uses no solution: as the record declares, or else as `OLD_BASELINES` says."""
        return null in (OLD_BASELINES if self.baselines is None else self.baselines)

    @property
    def is_oracle(self) -> bool:
        """Whether the solver uses the exact solution: it declares so, or is a null predictor that is no baseline."""
        return self.sees_solution or (self.null is not None and not self.is_baseline(self.null))

    @property
    def is_tuning(self) -> bool:
        """Whether the cell is of an instance on which hyperparameters are chosen."""
        return self.cell.problem.seed >= FIRST_TUNING_INSTANCE

    @property
    def null(self) -> str | None:
        """The name of the null predictor that the solver consists of; None for any other solver."""
        hyperparameters = self.cell.solver.hyperparameters
        return str(hyperparameters["null"]) if hyperparameters.keys() == {"null"} else None

    @property
    def cut_short(self) -> str | None:
        """Why the error is that of a training whose schedules had not ended, in words; None where they had.

        Before records knew the number of steps that was planned, a budget of seconds ended a training wherever it was.
        """
        planned = self.metrics.planned_steps or self.cell.protocol.steps
        taken = self.metrics.steps
        if self.status is not Status.OK or not taken or taken >= planned:
            return None
        return f"stopped by its budget of time after {taken:,} of {planned:,} steps, before its schedules had ended"

    @property
    def in_competition(self) -> bool | None:
        """Whether other work kept more than a sixth of a core busy meanwhile, so that the speed is not the solver's own.

        None where nobody looked, as in records of the time before.
        """
        others = self.metrics.bystanders
        return None if others is None else others > QUIET

    @property
    def shared_its_cores(self) -> bool | None:
        """Whether others kept more than a sixth of a core busy of those to which the training was bound, or where it was
        bound to none, `in_competition`.

        A process that works on another core takes no time from a bound one, but memory and caches may be shared.
        """
        others = self.metrics.bystanders_of_its_cores
        return self.in_competition if others is None else others > QUIET

    @property
    def content(self) -> bytes:
        """The bytes of the record's file: canonical JSON and the end of a line."""
        return canonical(self.model_dump(mode="json")) + b"\n"

    @property
    def digest(self) -> str:
        """The SHA-256 of the stored bytes, which names the record."""
        return hashlib.sha256(self.content).hexdigest()


def parse(content: bytes) -> Record:
    """Reads a record from the bytes of its file. Raises ValueError, with a message of one line, if they are not a record."""
    if len(content) > MAX_BYTES:
        raise ValueError(f"a record has at most {MAX_BYTES:,} bytes, got {len(content):,}")
    try:
        return Record.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(clip(str(part), 40) for part in first["loc"]) or "the file"
        raise ValueError(clip(f"{where}: {first['msg']} ({error.error_count()} problem(s))", 400)) from None


def now() -> datetime:
    """Returns the present time, in UTC."""
    return datetime.now(UTC)
