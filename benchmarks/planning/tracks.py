"""Tracks: named, versioned sets of cells that are measured and published together.

A track is a TOML file `benchmarks/tracks/NAME-VERSION.toml`: a `title`, a text `about` it, the metric that is `ranked`, and
`parts`, each a matrix as `pdezoo sweep` takes it. Parts with `nominal_seconds` have their numbers of steps in a table beside
the file, `NAME-VERSION.csv` (see `pace`). A record belongs to a track by its cell, whoever measured it and by
whatever command. What was published is never changed: another set of cells is another version, and both stay readable.
`cells` is the digest of what was published, so that a change elsewhere, of a problem or of a default of a solver, is seen too.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from benchmarks.planning import pace
from benchmarks.planning.matrix import MAX_MATRIX_BYTES, Matrix, Request, expand, unique
from benchmarks.planning.resolve import recordable, resolve
from benchmarks.planning.subjects import broken, families, names, subjects
from benchmarks.records.checkout import ROOT
from benchmarks.records.errors import UserError
from benchmarks.records.metrics import METRICS
from benchmarks.records.protocol import Protocol
from benchmarks.records.record import Record, Status
from benchmarks.records.store import latest
from benchmarks.records.text import clip

FOLDER = ROOT / "benchmarks" / "tracks"
_NAME = re.compile(r"[a-z]+(-[a-z]+)*-[1-9][0-9]*")


class Track(BaseModel):
    """The content of a track's file, and its name, which ends with its version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: Annotated[str, Field(min_length=1, max_length=120)]
    about: Annotated[str, Field(min_length=1, max_length=2_000)]
    ranked: str = "relative_l2"
    cells: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    parts: Annotated[list[Matrix], Field(min_length=1, max_length=100)]

    @field_validator("name")
    @classmethod
    def _versioned(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("a track is called by words and a version, such as papers-1")
        return name

    @field_validator("ranked")
    @classmethod
    def _known(cls, metric: str) -> str:
        known = [name for name, about in METRICS.items() if about.better is not None]
        if metric not in known:
            raise ValueError(f"a metric that ranks is one of {', '.join(known)}")
        return metric

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a file. Raises UserError if it cannot be read or is no track."""
        try:
            content = path.read_bytes()[: MAX_MATRIX_BYTES + 1]
            if len(content) > MAX_MATRIX_BYTES:
                raise ValueError(f"it has more than {MAX_MATRIX_BYTES:,} bytes")
            return cls.model_validate({"name": path.stem} | tomllib.loads(content.decode("utf-8-sig")))
        except OSError as error:
            raise UserError(f"the track {path} cannot be read ({error.strerror or error})") from None
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            key = ".".join(clip(str(part), 40) for part in first["loc"])
            raise UserError(f"{path.name}: {key}: {first['msg']}; docs/tracks.md shows a track") from None
        except ValueError as error:  # not UTF-8, not TOML, too long
            raise UserError(f"{path.name} is no track: {clip(str(error), 200)}") from None

    def by_part(self) -> list[list[Request]]:
        """Returns the cells of every part. Raises UserError for an unknown name and a bad number."""
        return [pace.sized(part, self.steps()) for part in self._expanded()]

    def _expanded(self) -> list[list[Request]]:
        about = (*names(), families(), *broken())
        return [expand(part, *about) for part in self.parts]

    @property
    def table(self) -> Path:
        """The path of the table of steps, which only a track with `nominal_seconds` has."""
        return FOLDER / f"{self.name}.csv"

    def steps(self) -> dict[pace.Key, int]:
        """Returns the numbers of steps of the cells with `nominal_seconds`, as far as the table has them."""
        return pace.read_steps(self.table)

    def unsized(self) -> list[pace.Key]:
        """Returns the cells of which the table lacks the number of steps, so that they cannot be measured yet."""
        return pace.missing((one for part in self._expanded() for one in part), self.steps())

    def requests(self) -> list[Request]:
        """Returns the cells of all parts, each once. Raises UserError for an unknown name and a bad number."""
        return unique(request for part in self.by_part() for request in part)

    def digest(self) -> str:
        """Returns the SHA-256 of the set of cells as they are asked for, by names: what a published track keeps for good."""
        return _sha256(repr(request) for request in self.requests())

    def cells_now(self) -> str:
        """Returns the SHA-256 of the identities of all cells, with the problems and the defaults of the code at hand.

        Making the problems of a large track takes seconds. Raises UserError for hyperparameters that a solver does not take.
        """
        possible, _ = recordable(self.requests())
        return _sha256(job.cell.identity for job in resolve(possible, subjects()))


def _sha256(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


def known() -> list[str]:
    """Returns the names of the tracks that come with the suite, each version on its own."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def track(name: str) -> Track:
    """Returns the track of that name; a name without a version stands for the newest one. Raises UserError if there is none."""
    versions = [n for n in known() if name in (n, n.rpartition("-")[0])]
    if not versions:
        raise UserError(
            f"a track is one of {', '.join(known())}, got {clip(name, 60)!r}; `pdezoo track list` tells what they are"
        )
    return Track.read(FOLDER / f"{max(versions, key=lambda n: int(n.rpartition('-')[2]))}.toml")


@dataclass(frozen=True)
class Count:
    """How many cells of a track are of a problem at a dimension, how many of them have a record, and how many of these failed."""

    problem: str
    dim: int
    cells: int
    measured: int
    failed: int

    @property
    def owed(self) -> int:
        """How many have no record."""
        return self.cells - self.measured


def members(requests: Sequence[Request], records: Iterable[Record]) -> dict[int, Record]:
    """Returns the records that belong to a track, by the place of their cells among its requests: the newest of each cell.

    Only requests of whose names there is a record are resolved, since making problems takes time.
    """
    newest = latest(records)
    named = {_key(*_of_record(record)) for record in newest.values()}
    places = [
        k
        for k, r in enumerate(requests)
        if _key(r.problem, r.dim, r.instance, r.solver, r.seed, r.protocol) in named
    ]
    jobs = resolve([requests[k] for k in places], subjects()) if places else []
    found = {k: newest.get(job.cell.identity) for k, job in zip(places, jobs, strict=True)}
    return {k: record for k, record in found.items() if record is not None}


def _key(problem: str, dim: int, instance: int, solver: str, seed: int, used: Protocol) -> tuple[Any, ...]:
    return problem, dim, instance, solver, seed, used.fingerprint


def _of_record(record: Record) -> tuple[str, int, int, str, int, Protocol]:
    cell = record.cell
    return cell.problem.name, cell.problem.dim, cell.problem.seed, cell.solver.name, cell.seed, cell.protocol


def counts(requests: Sequence[Request], found: Mapping[int, Record]) -> list[Count]:
    """Returns the counts of every problem and dimension of a track, in the order in which the track has them."""
    places: dict[tuple[str, int], list[int]] = defaultdict(list)
    for k, request in enumerate(requests):
        places[request.problem, request.dim].append(k)
    fine = (Status.OK, Status.UNSUPPORTED)
    return [
        Count(
            *of,
            cells=len(at),
            measured=sum(k in found for k in at),
            failed=sum(k in found and found[k].status not in fine for k in at),
        )
        for of, at in places.items()
    ]
