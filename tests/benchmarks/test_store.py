"""The store: atomic, tolerant of damage, safe with several writers, deaf to path tricks."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.records.errors import UserError
from benchmarks.records.store import Store, StoreError, read_record

WRITER = """
import sys, pathlib
from benchmarks.records.record import parse
from benchmarks.records.store import Store
record = parse(pathlib.Path(sys.argv[2]).read_bytes())
store = Store.writing(pathlib.Path(sys.argv[1]))
for k in range(int(sys.argv[3]), int(sys.argv[4])):
    store.add(record.model_copy(update={"duration": float(k)}))
"""


def test_what_is_added_is_read(store, make_record):
    record = make_record()
    path = store.add(record)
    assert path.name == f"{record.digest}.json"
    assert store.add(record) == path
    assert store.read().records == {record.digest: record}
    assert store.find(record.digest[:8]) == record
    assert read_record(path) == record
    assert [p.name for p in store.root.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-20], lambda b: b"", lambda b: b.replace(b"2.0", b"3.0"), lambda b: b + b" "],
    ids=["cut off", "empty", "changed", "longer"],
)
def test_a_damaged_file_is_told_and_skipped(store, make_record, damage):
    good, bad = make_record(), make_record(seed=1)
    store.add(good)
    path = store.add(bad)
    path.write_bytes(damage(path.read_bytes()))
    contents = store.read()
    assert list(contents.records) == [good.digest]
    assert [d.path for d in contents.damaged] == [path]
    assert contents.damaged[0].reason


def test_files_that_are_no_records_are_told(store, make_record, tmp_path):
    outside = tmp_path / "outside.json"
    outside.write_bytes(make_record().content)
    (store.root / f"{make_record().digest}.json").symlink_to(outside)
    (store.root / "notes.json").write_text("{}")
    (store.root / f"{'0' * 64}.json").mkdir()
    os.mkfifo(store.root / f"{'1' * 64}.json")
    (store.root / f"{'2' * 64}.json").write_bytes(b"x" * 2_000_000)
    contents = store.read()
    assert contents.records == {}
    assert len(contents.damaged) == 5


def test_leftovers_of_a_killed_writer_do_not_count(store, make_record):
    (store.root / ".part-1-abc").write_bytes(b"{")
    old = store.root / ".part-2-abc"
    old.write_bytes(b"{")
    os.utime(old, (0, 0))
    assert store.read().records == {}
    Store.writing(store.root)
    assert not old.exists()
    assert (store.root / ".part-1-abc").exists()  # its writer may be alive


def test_writers_do_not_disturb_each_other(store, make_record, tmp_path):
    template = tmp_path / "template.json"
    template.write_bytes(make_record().content)
    ranges = [(0, 40), (20, 60), (40, 80)]
    command = [sys.executable, "-c", WRITER, str(store.root), str(template)]
    writers = [subprocess.Popen([*command, str(a), str(b)]) for a, b in ranges]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    contents = store.read()
    assert sorted(r.duration for r in contents.records.values()) == [float(k) for k in range(80)]
    assert contents.damaged == ()


def test_merging_copies_what_is_new(store, make_record, tmp_path):
    other = Store.writing(tmp_path / "other")
    both, new = make_record(), make_record(seed=1)
    store.add(both)
    other.add(both)
    other.add(new)
    (other.root / "junk.json").write_text("{")
    added, damaged = store.merge([other])
    assert (added, len(damaged)) == (1, 1)
    assert set(store.read().records) == {both.digest, new.digest}


def test_a_store_that_cannot_be_written_says_so(tmp_path):
    occupied = tmp_path / "file"
    occupied.write_text("")
    for place in (occupied, occupied / "below", Path("/proc/nowhere")):
        with pytest.raises(StoreError, match="cannot be written"):
            Store.writing(place)
    with pytest.raises(StoreError, match="no store"):
        Store.reading(tmp_path / "missing")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_store_says_so(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(StoreError, match="cannot be written"):
        Store.writing(tmp_path / "store")


@pytest.mark.parametrize("name", ["", "xyz", "../..", "abcd", "g" * 64, "a" * 65])
def test_finding_what_is_not_there(store, make_record, name):
    store.add(make_record())
    if make_record().digest.startswith(name) and name:
        pytest.skip("the digest happens to begin so")
    with pytest.raises(UserError):
        store.find(name)
