"""Archives of everything behind the tables: the same bytes anywhere, and whatever is changed in one is found."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest
import yaml
from test_cli import call

from benchmarks.commands import release
from benchmarks.commands.release import AUTHORSHIP, MANIFEST, TABLES, packed, unpacked
from benchmarks.records.checkout import ROOT
from benchmarks.records.reading import FOLDER, Reading
from benchmarks.records.record import now
from benchmarks.records.store import Store


@pytest.fixture
def store(make_replicates, make_record, tmp_path):
    """Three replicates of two solvers, and a reading of an instrument."""
    kept = Store.writing(tmp_path / "store")
    for solver, error in (("a", 0.1), ("b", 0.2)):
        for record in make_replicates(solver, error, error, error):
            kept.add(record)
    here = make_record().environment
    Reading(instrument="clock", rows=({"seconds": 1.0},), environment=here, start=now(), duration=1.0).keep(
        kept.root / FOLDER
    )
    return kept


@pytest.fixture
def archive(store, tmp_path) -> Path:
    path = tmp_path / "release.tar.gz"
    assert call("release", str(path), store=store.root)[0] == 0
    return path


def verified(path: Path) -> tuple[int, str]:
    code, out, err = call("verify-release", str(path))
    assert "Traceback" not in err
    return code, out + err


def test_a_release_has_everything_and_proves_itself(archive):
    files = unpacked(archive)
    kinds = {name.partition("/")[0] for name in files}
    assert {"records", FOLDER, "tracks", TABLES, MANIFEST, *AUTHORSHIP} == kinds
    assert sum(name.startswith("records/") for name in files) == 6
    code, told = verified(archive)
    assert code == 0
    assert "6 records" in told


def test_what_stands_beside_the_records_is_packed(store, tmp_path):
    """Speeds, proofs, asv's results and the tables of steps; and a site where one is given, which must be one."""
    path, site = tmp_path / "release.tar.gz", tmp_path / "site"
    for name in ("proofs/reports.json", "pace/a.json", "asv/here/b.json"):
        (store.root / name).parent.mkdir(parents=True, exist_ok=True)
        (store.root / name).write_text("{}")
    (site / "problems").mkdir(parents=True)
    (site / "problems" / "index.html").write_text("<p>")
    code, _, err = call("release", str(path), "--site", str(site), store=store.root)
    assert (code, "holds no site" in err, path.exists()) == (2, True, False)
    (site / ".pdezoo-site").touch()
    assert call("release", str(path), "--site", str(site), store=store.root)[0] == 0
    wanted = {"proofs/reports.json", "pace/a.json", "asv/here/b.json", "site/problems/index.html"}
    assert wanted <= unpacked(path).keys()
    assert verified(path)[0] == 0


def test_the_same_store_gives_the_same_bytes(store, archive, tmp_path):
    other = tmp_path / "elsewhere" / "again.tar.gz"
    assert call("release", str(other), store=store.root)[0] == 0
    assert other.read_bytes() == archive.read_bytes()


def changed(path: Path, change) -> Path:
    files = unpacked(path)
    change(files)
    path.write_bytes(packed(files))
    return path


def resealed(files: dict[str, bytes]) -> None:
    """Makes the manifest agree with the files, as somebody would who changes a number on purpose."""
    manifest = json.loads(files[MANIFEST])
    manifest["files"] = {n: release._sha256(c) for n, c in files.items() if n != MANIFEST}
    files[MANIFEST] = json.dumps(manifest).encode()


def first(files: dict[str, bytes]) -> str:
    return min(name for name in files if name.startswith("records/"))


DEFECTS = {
    "a number of the tables": (
        lambda f: f.update({TABLES: f[TABLES].replace(b"0.1", b"0.01")}),
        "not what the manifest says",
    ),
    "the tables, resealed": (
        lambda f: (f.update({TABLES: f[TABLES].replace(b"0.1", b"0.01")}), resealed(f)),
        "not what the records",
    ),
    "a record": (
        lambda f: f.update({first(f): f[first(f)].replace(b"0.1", b"0.2")}),
        "not what the manifest says",
    ),
    "a record, resealed": (
        lambda f: (f.update({first(f): f[first(f)].replace(b"0.1", b"0.2")}), resealed(f)),
        "is no record",
    ),
    "a record is gone": (lambda f: f.pop(first(f)), "is missing"),
    "a record is gone, resealed": (lambda f: (f.pop(first(f)), resealed(f)), "not what the records"),
    "one file more": (lambda f: f.update({"notes.txt": b"hello"}), "notes.txt is not what"),
    "no manifest": (lambda f: f.pop(MANIFEST), "no release"),
    "no tables": (lambda f: f.pop(TABLES), "no release"),
    "a broken manifest": (lambda f: f.update({MANIFEST: b"[]"}), "no release"),
}


@pytest.mark.parametrize(("change", "words"), DEFECTS.values(), ids=DEFECTS)
def test_whatever_is_changed_is_found(archive, change, words):
    code, told = verified(changed(archive, change))
    assert (code, words in told) == (2, True), told


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "records/../../x"])
def test_an_archive_cannot_reach_outside(tmp_path, name):
    path = tmp_path / "evil.tar.gz"
    path.write_bytes(packed({name: b"x"}))
    assert verified(path)[0] == 2
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("records/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    path.write_bytes(gzip.compress(buffer.getvalue()))
    assert "no file of a release" in verified(path)[1]


@pytest.mark.parametrize(
    "content", [b"", b"no archive", gzip.compress(b"no tar", mtime=0)], ids=["empty", "text", "gzip"]
)
def test_what_is_no_archive_is_told(tmp_path, content):
    path = tmp_path / "wrong.tar.gz"
    path.write_bytes(content)
    assert "is no release" in verified(path)[1]
    assert verified(tmp_path / "missing")[0] == 2


def test_an_empty_store_is_not_released(tmp_path):
    Store.writing(tmp_path / "empty")
    code, _, err = call("release", str(tmp_path / "a.tar.gz"), store=tmp_path / "empty")
    assert (code, "no records" in err) == (2, True)


def test_the_deposit_is_described_as_the_citation_file_says():
    citation, deposit = (yaml.safe_load((ROOT / name).read_text()) for name in AUTHORSHIP)
    same = {"title": "title", "description": "abstract", "upload_type": "type", "version": "version"}
    assert deposit == {
        **{ours: citation[theirs] for ours, theirs in same.items()},
        "license": citation["license"],
        "creators": [{"name": author["name"]} for author in citation["authors"]],
    }
