"""`pdezoo release` and `verify-release`: everything behind the tables in one archive, and the proof that the tables follow from it.

An archive is a gzipped tar file: `records/` and `readings/` as they are stored, with the proofs, the speeds behind the tracks'
steps and asv's results where a store has them, `tracks/` as they are defined, `site/` where one is given, `leaderboard.md` as it
is made of the records, CITATION.cff and .zenodo.json, which say who made it, and MANIFEST.json with the
SHA-256 of every other file, the version, the commit and the hash of the result set. Equal contents give equal bytes: names are
sorted, and nothing of the machine or the time enters.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from benchmarks.leaderboard import tables
from benchmarks.leaderboard.bibliography import version
from benchmarks.leaderboard.ranking import leaderboard
from benchmarks.planning import tracks
from benchmarks.records.asv_results import KEPT
from benchmarks.records.canonical import readable
from benchmarks.records.checkout import ROOT
from benchmarks.records.environment import source_state
from benchmarks.records.errors import UserError
from benchmarks.records.files import save
from benchmarks.records.reading import FOLDER, read_readings
from benchmarks.records.record import Record
from benchmarks.records.store import Store
from benchmarks.records.text import clip
from benchmarks.site.build import files_of
from benchmarks.terminal.records import read

MANIFEST, TABLES = "MANIFEST.json", "leaderboard.md"
AUTHORSHIP = ("CITATION.cff", ".zenodo.json")
"""Files of the checkout that say who made the suite; an installed package has none."""
MAX_BYTES = 2_000_000_000
"""Of all files of an archive together: a gzipped file may claim to hold more than any disk."""


_BESIDE = ("proofs", "pace", KEPT)
"""Folders of a store beside its records and readings."""


def release(path: Path, root: Path, site: Path | None = None) -> None:
    """Packs the store at `root`, and a `site` made of it, into an archive and prints its SHA-256.

    Raises UserError for an empty store, for a folder that holds no site, and where the archive cannot be written.
    """
    records = read(root).records
    if not records:
        raise UserError(f"there are no records in {root} to release; `pdezoo run` makes some")
    files = {f"records/{digest}.json": record.content for digest, record in records.items()}
    for reading in read_readings(root / FOLDER):
        files[f"{FOLDER}/{hashlib.sha256(reading.content).hexdigest()}.json"] = reading.content
    for kept in (found for folder in _BESIDE for found in (root / folder).rglob("*.json")):
        files[kept.relative_to(root).as_posix()] = kept.read_bytes()
    definitions = (source for kind in ("*.toml", "*.csv") for source in tracks.FOLDER.glob(kind))
    files |= {f"tracks/{source.name}": source.read_bytes() for source in definitions}
    if site is not None:
        files |= {f"site/{name}": content for name, content in files_of(site).items()}
    files[TABLES] = tables_of(list(records.values()))
    files |= {name: (ROOT / name).read_bytes() for name in AUTHORSHIP if (ROOT / name).is_file()}
    files[MANIFEST] = _manifest(files, list(records.values()))
    content = packed(files)
    save(path, content)
    print(
        f"{path}: {len(records)} records, {len(content):,} bytes, sha256:{hashlib.sha256(content).hexdigest()}"
    )


def verify_release(path: Path) -> None:
    """Checks an archive: every file against its SHA-256, every record, and the tables against those that its records give.

    Raises UserError for the first thing that is not as the manifest says.
    """
    files = unpacked(path)
    manifest = _read_manifest(files)
    expected, got = (
        manifest["files"],
        {name: _sha256(content) for name, content in files.items() if name != MANIFEST},
    )
    if different := sorted(
        name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name)
    ):
        missing = different[0] not in got
        raise UserError(
            f"{clip(different[0], 80)} {'is missing' if missing else 'is not what the manifest says'}, in {path}"
        )
    records = _records(files)
    if tables_of(records) != files[TABLES]:
        raise UserError(
            f"{TABLES} is not what the records of {path} give with this version of pdezoo, {version()}"
        )
    if leaderboard(records).digest != manifest["result_set"]:
        raise UserError(f"the records of {path} are not the result set that its manifest names")
    print(f"{path}: {len(records)} records, {len(files)} files; all is as the manifest says")
    print(f"result set sha256:{manifest['result_set']}")


def tables_of(records: list[Record]) -> bytes:
    """Returns the leaderboard of the records as Markdown."""
    return tables.markdown(leaderboard(records), []).encode()


def packed(files: dict[str, bytes]) -> bytes:
    """Returns files as a gzipped tar archive, the same bytes for the same files."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, filename="") as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(files[name]), 0o644
            archive.addfile(entry, io.BytesIO(files[name]))
    return buffer.getvalue()


def unpacked(path: Path) -> dict[str, bytes]:
    """Reads the files of an archive into memory; nothing is written. Raises UserError for what is no such archive."""
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(path, mode="r:gz") as archive:
            for entry in archive:
                parts = PurePosixPath(entry.name).parts
                if not entry.isfile() or ".." in parts or entry.name.startswith("/") or entry.name in files:
                    raise ValueError(f"it holds {clip(entry.name, 80)!r}, which is no file of a release")
                if sum(map(len, files.values())) + entry.size > MAX_BYTES:
                    raise ValueError(f"its files have more than {MAX_BYTES:,} bytes")
                content = archive.extractfile(entry)
                files[entry.name] = content.read() if content else b""
    except (OSError, EOFError, ValueError, tarfile.TarError) as error:
        raise UserError(f"{path} is no release: {clip(str(error), 200)}") from None
    return files


def _manifest(files: dict[str, bytes], records: list[Record]) -> bytes:
    commit, dirty = source_state()
    about = {
        "pdezoo": version(),
        "commit": commit,
        "changed": dirty,
        "result_set": leaderboard(records).digest,
        "files": {name: _sha256(content) for name, content in files.items()},
    }
    return (readable(about, ascii_only=True) + "\n").encode()


def _read_manifest(files: dict[str, bytes]) -> dict[str, Any]:
    try:
        manifest = json.loads(files[MANIFEST])
        if not isinstance(manifest["files"], dict) or not isinstance(manifest["result_set"], str):
            raise TypeError("its fields are of other kinds")
        if TABLES not in files:
            raise KeyError(TABLES)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"this is no release: {MANIFEST} or {TABLES} is missing or broken ({clip(str(error), 100)})"
        ) from None
    return manifest


def _records(files: dict[str, bytes]) -> list[Record]:
    """Reads the records as a store does. Raises UserError for one that is damaged."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            if name.startswith("records/"):
                (Path(folder) / PurePosixPath(name).name).write_bytes(content)
        contents = Store.reading(Path(folder)).read()
    if contents.damaged:
        raise UserError(f"{contents.damaged[0].path.name} is no record: {contents.damaged[0].reason}")
    return list(contents.records.values())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
