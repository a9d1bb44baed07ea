"""One measured cell: the schema of a record, validated on the way in and on the way out.

A record is data from anywhere. Nothing in it is evaluated; strings, numbers, nesting and size are bounded,
control characters and non-finite numbers are refused, and unknown fields are an error.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_serializer,
    model_validator,
)

from benchmarks.records.canonical import canonical, sha256
from benchmarks.records.protocol import Protocol

MAX_BYTES = 1_000_000
MAX_HISTORY = 500
_PART = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
_DEPTH, _ITEMS = 5, 200
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_ANSI = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?)")


class Status(StrEnum):
    """How a cell ended."""

    OK = "ok"
    DIVERGED = "diverged"
    OOM = "oom"
    TIMEOUT = "timeout"
    UNSUPPORTED = "unsupported"
    ERROR = "error"

    @property
    def message(self) -> str:
        """What it means, and what to try."""
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
    """What made a cell fail, finer than its status."""

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


def _plain(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("control characters are not allowed in a record")
    return text


def _shallow(value: Any) -> Any:
    """Refuse JSON that is too deep or too wide before anything walks it recursively."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > _DEPTH or len(level) > _ITEMS:
            raise ValueError(f"at most {_DEPTH} levels of at most {_ITEMS} values are allowed")
        level = [v for node in level for v in _children(node)]
    return value


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return [*node.keys(), *node.values()]
    if isinstance(node, list | tuple):
        return list(node)
    return [] if _is_leaf(node) else _refuse(node)


def _is_leaf(node: Any) -> bool:
    if isinstance(node, str):
        return len(node) <= 1_000 and not _CONTROL.search(node)
    if isinstance(node, int):  # bool included
        return -(2**63) <= node < 2**63
    return node is None or (isinstance(node, float) and node - node == 0.0)


def _refuse(node: Any) -> list[Any]:
    raise ValueError(f"not a bounded JSON value: {type(node).__name__} {str(node)[:40]!r}")


Text = Annotated[str, AfterValidator(_plain)]
Label = Annotated[Text, Field(min_length=1, max_length=200)]
Line = Annotated[Text, Field(max_length=4_000)]
Log = Annotated[Text, Field(max_length=16_000)]
Name = Annotated[str, Field(max_length=120, pattern=rf"^{_PART}(/{_PART})?$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(allow_inf_nan=False, ge=0)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Hyperparameters = Annotated[dict[Label, JsonValue], BeforeValidator(_shallow), Field(max_length=64)]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ProblemKey(_Data):
    """An instance; without a fingerprint it could not even be made."""

    name: Name
    dim: Annotated[int, Field(ge=1, lt=2**53)]
    seed: Count = 0
    fingerprint: Digest | None = None


class SolverKey(_Data):
    """`given` is what it was made with; `hyperparameters` is all that it then consists of."""

    name: Name
    given: Hyperparameters = {}
    hyperparameters: Hyperparameters = {}


class Cell(_Data):
    """What is measured: a problem, a solver, a protocol and a training seed."""

    problem: ProblemKey
    solver: SolverKey
    protocol: Protocol
    seed: Count = 0

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the canonical cell: equal for equal measurements, whatever code or machine made them."""
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
        """One line for people."""
        return f"{self.problem.name} d={self.problem.dim:,} {self.solver.name} seed {self.seed}"


_YOUNGER = frozenset({"relative_point"})


class Errors(_Data):
    relative_l2: Positive
    relative_l1: Positive


class Moment(_Data):
    """A point of a training history. `seconds` is training time without compilation."""

    step: Count
    seconds: Positive | None = None
    loss: Finite | None = None
    relative_l2: Positive | None = None
    steps_per_second: Positive | None = None


class Metrics(_Data):
    """What was measured, in bytes, seconds and steps per second. What does not exist is None, never NaN."""

    steps: Count | None = None
    steps_per_second: Positive | None = None
    compile_seconds: Positive | None = None
    train_seconds: Positive | None = None
    peak_bytes: Count | None = None
    peak_of: Literal["device", "process"] | None = None
    compiled_bytes: Count | None = None
    relative_l2: Positive | None = None
    relative_l1: Positive | None = None
    relative_point: Positive | None = None
    best_relative_l2: Positive | None = None
    skill: Finite | None = None
    skill_affine: Finite | None = None
    loss: Finite | None = None
    seconds_to: Annotated[dict[Label, Positive], Field(max_length=16)] = {}
    forward_evaluations: Positive | None = None

    @model_serializer(mode="wrap")
    def _as_before(self, handler: Any) -> dict[str, Any]:
        """A field that is younger than a record is left out where it says nothing, so that the record keeps its name."""
        return {k: v for k, v in handler(self).items() if v is not None or k not in _YOUNGER}


class Environment(_Data):
    """Where it was measured. `memory_limit` says how the limit was enforced."""

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
        """What must be equal for two speeds to be compared."""
        cores = f"{self.cpu_count} core{'s' if self.cpu_count != 1 else ''}"
        if self.platform == "cpu":
            return f"{self.cpu}, {cores}"
        count = f"{self.device_count} × " if self.device_count > 1 else ""
        return f"{count}{self.device} ({self.cpu}, {cores})"


class Record(_Data):
    """A cell and what became of it. The file of a record is its canonical JSON, named by its SHA-256."""

    schema_version: Literal[1] = 1
    cell: Cell
    status: Status
    cause: Cause | None = None
    reason: Line = ""
    exception: Log | None = None
    log_tail: Log | None = None
    last: Moment | None = None
    metrics: Metrics = Metrics()
    nulls: Annotated[dict[Name, Errors], Field(max_length=32)] = {}
    history: Annotated[tuple[Moment, ...], Field(max_length=MAX_HISTORY)] = ()
    environment: Environment
    start: AwareDatetime
    duration: Positive

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.status is Status.OK) != (self.cause is None):
            raise ValueError("a cause belongs to a failed cell, and every failed cell has one")
        if self.status is not Status.OK and not self.reason.strip():
            raise ValueError("a failed cell needs a reason")
        return self

    @property
    def content(self) -> bytes:
        """The bytes that are stored."""
        return canonical(self.model_dump(mode="json")) + b"\n"

    @property
    def digest(self) -> str:
        """SHA-256 of the stored bytes: the record's name."""
        return hashlib.sha256(self.content).hexdigest()


def parse(content: bytes) -> Record:
    """The record that `content` holds. Raises ValueError, in one line, for anything else."""
    if len(content) > MAX_BYTES:
        raise ValueError(f"a record has at most {MAX_BYTES:,} bytes, got {len(content):,}")
    try:
        return Record.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(clip(str(part), 40) for part in first["loc"]) or "the file"
        raise ValueError(clip(f"{where}: {first['msg']} ({error.error_count()} problem(s))", 400)) from None


def clip(text: str, limit: int, *, end: bool = False) -> str:
    """`text` without control sequences, at most `limit` characters of it: its beginning, or its end."""
    lines = _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    clean = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", lines)
    if len(clean) <= limit:
        return clean
    return "…" + clean[1 - limit :] if end else clean[: limit - 1] + "…"


def now() -> datetime:
    return datetime.now(UTC)
