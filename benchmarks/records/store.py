"""Keeps records in a folder: one JSON file each, named by the SHA-256 of its bytes, never changed afterwards.

A file is written under a temporary name, flushed to the disk and renamed, so that whoever reads sees a whole
record or none, also after `kill -9`; writers never touch each other's files, and merging is copying.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import time
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.records.errors import UserError
from benchmarks.records.record import MAX_BYTES, Record, parse
from benchmarks.records.text import clip

_FILE = re.compile(r"[0-9a-f]{64}\.json")
_TEMPORARY = ".part-"
_ABANDONED_SECONDS = 86_400.0


class StoreError(UserError):
    """Raised where a store cannot be read or written."""


@dataclass(frozen=True)
class Damage:
    """A file of a store that is not a record, and the reason why it is not."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Contents:
    """The content of a store: its records by digest, and the files that were skipped."""

    records: dict[str, Record]
    damaged: tuple[Damage, ...]


@dataclass(frozen=True)
class Store:
    """The records in the folder `root`. Make a store with `reading` or `writing`, which check the folder first."""

    root: Path

    @classmethod
    def reading(cls, root: Path) -> Store:
        """Returns the store in an existing folder, to read from. Raises StoreError if there is no such folder."""
        if not root.is_dir():
            raise StoreError(f"there is no store at {root}; `pdezoo run` or `pdezoo sweep` makes one")
        return cls(root)

    @classmethod
    def writing(cls, root: Path) -> Store:
        """Returns the store in a folder, to read and write. The folder is made if need be.

        Raises StoreError if a file cannot be written there.
        """
        try:
            root.mkdir(parents=True, exist_ok=True)
            probe = root / f"{_TEMPORARY}{secrets.token_hex(8)}"
            try:
                _write_durably(probe, b"probe")
            finally:
                probe.unlink(missing_ok=True)
        except (OSError, ValueError) as error:  # ValueError: no folder can have that name
            reason = getattr(error, "strerror", None) or str(error)
            message = f"the store {root} cannot be written ({reason}); choose one with --store"
            raise StoreError(message) from None
        store = cls(root)
        store._sweep_up()
        return store

    def add(self, record: Record) -> Path:
        """Writes a record durably and returns the path of its file. Adding a record again changes nothing.

        Raises StoreError where it cannot be written, for instance on a full disk; nothing half-written is then left behind.
        """
        path = self.root / f"{record.digest}.json"
        if path.is_file():
            return path
        if len(record.content) > MAX_BYTES:
            raise StoreError(f"a record has at most {MAX_BYTES:,} bytes, got {len(record.content):,}")
        part = self.root / f"{_TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}"
        try:
            _write_durably(part, record.content)
            part.replace(path)
        except OSError as error:
            told = f"the store {self.root} cannot be written ({error.strerror or error})"
            kept = "what it holds is whole; make room, or see that the folder is there, and the same command goes on"
            raise StoreError(f"{told}; {kept}") from None
        finally:  # after a rename there is nothing to remove
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        _flush_folder(self.root)
        return path

    def read(self, skip: Container[str] = ()) -> Contents:
        """Reads every record whose digest is not in `skip`; damaged files are listed with the reasons and left out."""
        records, damaged = {}, []
        for path in sorted(self.root.glob("*.json")):
            if path.stem in skip:
                continue
            try:
                record = _read_file(path)
                records[record.digest] = record
            except (OSError, ValueError) as error:
                damaged.append(Damage(path, clip(str(error), 400)))
        return Contents(records, tuple(damaged))

    def find(self, digest: str) -> Record:
        """Returns the record whose digest begins with `digest`, at least 4 digits. Raises UserError if none or several do."""
        if not re.fullmatch(r"[0-9a-f]{4,64}", digest):
            raise UserError(f"a record is named by 4 to 64 hexadecimal digits, got {clip(digest, 80)!r}")
        matches = [r for name, r in self.read().records.items() if name.startswith(digest)]
        if len(matches) != 1:
            told = "no record begins" if not matches else f"{len(matches)} records begin"
            raise UserError(f"{told} with {digest} in {self.root}; `pdezoo status --json` lists them")
        return matches[0]

    def merge(self, others: Iterable[Store]) -> tuple[int, tuple[Damage, ...]]:
        """Copies the records of other stores into this one. Returns how many were new, and the files that were skipped."""
        before = len(list(self.root.glob("*.json")))
        damaged: list[Damage] = []
        for other in others:
            contents = other.read()
            damaged.extend(contents.damaged)
            for record in contents.records.values():
                self.add(record)
        return len(list(self.root.glob("*.json"))) - before, tuple(damaged)

    def _sweep_up(self) -> None:
        """Removes temporary files older than a day, which killed writers have left behind."""
        for part in self.root.glob(f"{_TEMPORARY}*"):
            try:
                if time.time() - part.stat().st_mtime > _ABANDONED_SECONDS:
                    part.unlink()
            except OSError:  # another writer was quicker
                continue


def read_record(path: Path) -> Record:
    """Reads the record in a file of any name. Raises UserError if it cannot be read or is not a record."""
    try:
        return parse(_bounded(path))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a record: {clip(str(error), 400)}") from None


def _read_file(path: Path) -> Record:
    if not _FILE.fullmatch(path.name):
        raise ValueError("the name is not 64 hexadecimal digits and '.json'")
    content = _bounded(path)
    if hashlib.sha256(content).hexdigest() != path.stem:
        raise ValueError("the content is not what the name says: it was changed or cut off")
    record = parse(content)
    if record.content != content:
        raise ValueError("it is not in canonical form")
    return record


def _bounded(path: Path) -> bytes:
    """Returns the bytes of a regular file. Raises ValueError for a large file, a link, a device, or a pipe, which would block."""
    if path.is_symlink() or not path.is_file():
        raise ValueError("it is not a regular file")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
    return content


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Makes a rename durable, by flushing the folder, where the system can do that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def latest(records: Iterable[Record]) -> dict[str, Record]:
    """Returns the newest record of every cell, by the cell's identity."""
    newest: dict[str, Record] = {}
    for record in sorted(records, key=lambda r: (r.start, r.digest)):
        newest[record.cell.identity] = record
    return newest
