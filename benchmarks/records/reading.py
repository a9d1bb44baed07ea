"""Defines the reading of an instrument: what one run of `python -m benchmarks.instruments.NAME` measured outside of the cross.

Readings lie beside the records, in the folder `readings` of a store: one JSON file each, named by the SHA-256 of its bytes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, ValidationError

from benchmarks.records.canonical import canonical
from benchmarks.records.errors import UserError
from benchmarks.records.fields import Data, Finite, Hyperparameters, Label, Name, Positive
from benchmarks.records.files import save
from benchmarks.records.record import QUIET, Environment
from benchmarks.records.text import clip

FOLDER = "readings"
MAX_ROWS = 10_000

Value = Annotated[str, Field(max_length=200)] | bool | int | Finite | None
Row = dict[Label, Value]


class Reading(Data):
    """One run of an instrument: what it was asked, the rows that it measured, and where, when and beside what.

    `bystanders` is the mean number of cores that others kept busy meanwhile; None where the system does not say.
    """

    schema_version: Literal[1] = 1
    instrument: Name
    arguments: Hyperparameters = Field(default_factory=dict)
    rows: Annotated[tuple[Row, ...], Field(min_length=1, max_length=MAX_ROWS)]
    environment: Environment
    start: AwareDatetime
    duration: Positive
    bystanders: Positive | None = None

    @property
    def in_competition(self) -> bool | None:
        """Whether others kept more than a sixth of a core busy, so that seconds are not the instrument's alone; None if unknown."""
        return None if self.bystanders is None else self.bystanders > QUIET

    @property
    def content(self) -> bytes:
        """The bytes of the reading's file: canonical JSON and the end of a line."""
        return canonical(self.model_dump(mode="json")) + b"\n"

    def keep(self, folder: Path) -> Path:
        """Writes the reading into a folder and returns the path of its file. Raises UserError where it cannot be written."""
        path = folder / f"{hashlib.sha256(self.content).hexdigest()}.json"
        save(path, self.content)
        return path


def read_readings(folder: Path) -> list[Reading]:
    """Returns the readings in a folder, oldest first; none where there is no such folder.

    Raises UserError for a file that is no reading, or that was changed: unlike records they come from nobody but ourselves.
    """
    readings = []
    for path in folder.glob("*.json"):
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != path.stem:
            raise UserError(f"{path} is not what its name says: it was changed or cut off")
        try:
            readings.append(Reading.model_validate_json(content))
        except ValidationError as error:
            raise UserError(f"{path} is not a reading: {clip(str(error), 400)}") from None
    return sorted(readings, key=lambda reading: (reading.start, reading.content))
