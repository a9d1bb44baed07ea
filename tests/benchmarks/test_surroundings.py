"""The harness on other people's machines: no home, terminals of 8 bits, full disks, hidden GPUs, files that hide packages."""

from __future__ import annotations

import codecs
import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import harness_fake
import pytest
from test_cli import call
from toys import few

import pdezoo
import solvers
from benchmarks import cli
from benchmarks.commands import check, doctor, history, landmark, replay, show, theory, verify
from benchmarks.commands import sweep as sweeping
from benchmarks.execution import isolate, journal, measure
from benchmarks.execution.journal import Journal, journals
from benchmarks.execution.sweep import Sweep, slots
from benchmarks.planning import campaign, subjects
from benchmarks.planning.matrix import expand, load, parse
from benchmarks.planning.resolve import Job, recordable
from benchmarks.records import environment, store
from benchmarks.records.checkout import ROOT
from benchmarks.records.errors import UserError
from benchmarks.records.outcome import failure, in_words
from benchmarks.records.protocol import MAX_COUNT, Protocol
from benchmarks.records.record import Cause, Moment, Status
from benchmarks.records.store import Store, StoreError
from pdezoo import Entry

MATRIX = 'protocol = "quick"\npdes = ["poisson/two-body"]\ndims = [5]\nsolvers = ["null-zero"]\n'
WORDS = "Δu − ∂ₜu = 0, größer"


def in_process(cell, slot, report, stop):
    return measure.measure(cell, lib=harness_fake.LIBRARY)


def program(
    *arguments: str, cwd: Path, module: str = "pdezoo", **settings: str
) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own, this checkout's packages on PYTHONPATH unless the settings say otherwise."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | settings,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=300,
        check=False,
    )


# The home folder


@pytest.fixture
def homeless(monkeypatch):
    """No HOME, and no entry in the list of users."""

    def refuse(*_):
        raise KeyError("getpwuid(): uid not found: 12345")

    for name in ("HOME", "XDG_CACHE_HOME", "PDEZOO_CACHE", "USERPROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", refuse)
    with pytest.raises(RuntimeError):
        Path.home()


@pytest.mark.usefixtures("homeless")
def test_without_a_home_nothing_is_kept_between_cells_unless_a_folder_is_named(monkeypatch, tmp_path):
    assert measure.cache_folder() is None
    monkeypatch.setenv("PDEZOO_CACHE", str(tmp_path / "kept"))
    assert measure.cache_folder() == tmp_path / "kept"
    monkeypatch.delenv("PDEZOO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert measure.cache_folder() == tmp_path / "pdezoo" / "test-sets"


@pytest.mark.usefixtures("homeless")
def test_without_a_home_asv_has_no_machine_file_and_that_is_said():
    with pytest.raises(UserError, match="HOME"):
        history.name_machine("somewhere")


def test_a_cache_that_is_no_folder_is_no_cache(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    for place in ("file", "file/below"):
        monkeypatch.setenv("PDEZOO_CACHE", str(tmp_path / place))
        assert measure.cache_folder() is None


# Terminals and pipes of 8 bits


@pytest.fixture
def spoken(monkeypatch, tmp_path, full_store, make_record):
    """Every command with what it takes to end well, quickly, and with something to say that 8 bits do not hold."""
    monkeypatch.setattr(landmark, "planned", lambda cell: {})
    report = {
        "name": "toy",
        "kind": "pde",
        "origin": "pdezoo",
        "ok": True,
        "dim": 3,
        "checks": [{"name": WORDS, "method": WORDS, "value": 0.1, "ok": True, "detail": WORDS}],
        "findings": [{"name": WORDS, "ok": None, "expected": WORDS, "seen": WORDS, "advice": WORDS}],
        "audit": {WORDS: WORDS},
    }
    curve = solvers.Curve(WORDS, WORDS, WORDS, (1.0,), (1.0,), (0.1,), (1.0,))
    monkeypatch.setattr(verify, "_verified", lambda name, dim: report)
    monkeypatch.setattr(check, "_report", lambda contribution, dim: report)
    monkeypatch.setattr(theory, "_measured", lambda name, diagnostic: (curve,))
    monkeypatch.setattr(doctor, "_devices", lambda: (True, WORDS))
    monkeypatch.setattr(history, "_root", lambda start: tmp_path)
    monkeypatch.setattr(history, "_html", lambda root: Path(WORDS))
    monkeypatch.setattr(history, "_results", lambda root: root / "none")
    monkeypatch.setattr(history, "_require_clean", lambda root: None)
    monkeypatch.setattr(history, "_what", lambda root, span: [])
    monkeypatch.setattr(history, "_asv", lambda root, *arguments, **settings: 0)
    monkeypatch.setattr(history, "MACHINES", tmp_path / "machines.json")

    def measured(cell, slot=None, report=None, stop=None):
        return make_record(reason=WORDS).model_copy(update={"cell": cell})

    monkeypatch.setattr(sweeping, "isolate", measured)
    monkeypatch.setattr(replay, "isolate", measured)
    (tmp_path / "mätrix.toml").write_text(MATRIX, encoding="utf-8")
    (tmp_path / "plän").mkdir()
    (tmp_path / "plän" / "1.toml").write_text(MATRIX, encoding="utf-8")
    (tmp_path / "asv" / "here").mkdir(parents=True)
    result = {"commit_hash": "a" * 40, "result_columns": [], "results": {}}
    (tmp_path / "asv" / "here" / "größe.json").write_text(json.dumps(result))
    digest = next(iter(full_store.read().records))
    kept = make_record("with-history", minutes=9, history=(Moment(step=1, relative_l2=0.1),))
    full_store.add(kept)
    table = "<!-- records\nsolver = 'a'\ncolumns = 'dim'\n-->\n<!-- end of records -->\n"
    (tmp_path / "blätter.md").write_text(table, encoding="utf-8")
    return {
        ("list",): "Δu",
        ("show", "poisson/two-body", "--dim", "5"): "Δ",
        ("verify", "poisson/two-body"): "∂",
        ("check", "poisson"): "∂",
        ("theory", "variance"): "∂",
        ("doctor",): "∂",
        ("new", "pde", "quite-new", "--package", str(tmp_path / "pläne{}")): "ä",
        ("run", "poisson/two-body", "null-zero", "--dim", "5", "--redo", "all"): "rel",
        ("sweep", str(tmp_path / "mätrix.toml"), "--redo", "all"): "rel",
        ("sweep", str(tmp_path / "mätrix.toml"), "--dry-run", "--redo", "all"): "┃",
        ("campaign", str(tmp_path / "plän"), "--redo", "all"): "rel",
        ("replay", digest): "reproduces",
        ("status",): "toy",
        ("compare", "aaaa", "aaaa"): "",
        ("merge", str(full_store.root)): "records",
        (
            *("curves", kept.cell.problem.name, "--solver", "with-history"),
            *("-o", str(tmp_path / "kürve.png")),
        ): "1 curve",
        ("pages", str(tmp_path / "blätter.md")): "written",
        ("site", "--markdown"): "written",
        ("cite",): "pdezoo",
        ("release", str(tmp_path / "veröffentlicht.tar.gz")): "records",
        ("verify-release", str(tmp_path / "veröffentlicht.tar.gz")): "result set",
        ("landmark",): "cells compared",
        ("history",): "",
        ("asv", "export", str(tmp_path / "exportiert-ä{}")): "",
        ("asv", "import", str(tmp_path / "asv")): "imported",
        **{
            ("leaderboard", "--format", shape): "toy"
            for shape in ("text", "html", "md", "csv", "latex", "json")
        },
        ("leaderboard", "--format", "png", "-o", str(tmp_path / "tafel-ä.png")): "",
    }


@pytest.mark.parametrize("encoding", few(["ascii", "utf-8", "cp1252", "latin-1"]))
def test_every_command_can_be_read_where_8_bits_are_all_there_is(spoken, full_store, encoding):
    names = {command.name or command.callback.__name__ for command in cli.app.registered_commands}
    assert names == {words[0] for words in spoken}
    for words, expected in spoken.items():
        arguments = [word.format(encoding) for word in words]
        code, out, err = call(*arguments, store=full_store.root, encoding=encoding)
        assert (code, "Error" in err) == (0, False), (words, out, err)
        if encoding == "utf-8":
            assert expected in out + err, (words, out, err)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_json_loses_nothing_where_8_bits_are_all_there_is(monkeypatch, encoding):
    entry = Entry("toy", WORDS)
    monkeypatch.setattr(show, "catalogues", lambda: ({"toy": entry}, {}))
    code, out, _ = call("list", "--json", encoding=encoding)
    assert code == 0
    assert json.loads(out)["pdes"][0]["summary"] == WORDS


def test_a_pipe_of_8_bits(tmp_path):
    for encoding in ("ascii", "cp1252:strict"):
        done = program("list", "pdes", cwd=tmp_path, PYTHONIOENCODING=encoding)
        assert done.returncode == 0, done.stderr
        assert "allen-cahn" in done.stdout


def test_what_the_code_under_test_prints_never_depends_on_the_terminal(monkeypatch, make_cell):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii:strict")
    record = isolate.isolate(
        make_cell("good"),
        isolate.Slot(command=(sys.executable, "-c", f"print({WORDS!r}); raise SystemExit(3)")),
    )
    assert WORDS in record.log_tail


# Byte order marks


def test_a_byte_order_mark_is_read_past(tmp_path):
    matrix = tmp_path / "matrix.toml"
    matrix.write_bytes(codecs.BOM_UTF8 + MATRIX.replace("\n", "\r\n").encode())
    assert load(matrix) == parse(MATRIX.encode())
    assert [r.dim for r in campaign.requests(str(tmp_path))] == [5]
    for encoding in ("utf-16", "utf-16-be"):
        marked = MATRIX.encode(encoding)
        marked = marked if encoding == "utf-16" else codecs.BOM_UTF16_BE + marked
        with pytest.raises(UserError, match="save it as UTF-8"):
            parse(marked)


# Full disks


@pytest.fixture
def filling(monkeypatch):
    """A disk on which the third record finds room for half of itself."""
    writes = []
    durably = store._write_durably

    def write(path, content):
        if b"schema_version" in content:
            writes.append(path)
        if len(writes) < 3:
            durably(path, content)
            return
        path.write_bytes(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store, "_write_durably", write)


@pytest.mark.usefixtures("filling")
def test_a_disk_that_fills_up_keeps_what_was_finished_and_says_which_store(tmp_path, make_cell):
    kept = Store.writing(tmp_path / "store")
    jobs = [Job(make_cell(seed=seed)) for seed in range(6)]
    with pytest.raises(StoreError, match=r"store cannot be written \(No space left on device\)"):
        Sweep(kept, [harness_fake.SLOT], execute=in_process).run(jobs)
    assert len(kept.read().records) == 2
    assert kept.read().damaged == ()
    assert {path.suffix for path in kept.root.iterdir()} == {".json", ""}  # and the folder .sweeps
    assert list((kept.root / ".sweeps").iterdir()) == []


@pytest.mark.usefixtures("filling")
def test_a_full_disk_is_status_2_and_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(sweeping, "subjects", lambda: harness_fake.LIBRARY)
    monkeypatch.setattr(sweeping, "isolate", in_process)
    monkeypatch.setattr(sweeping, "names", lambda: (harness_fake.PDES, harness_fake.SOLVERS))
    matrix = tmp_path / "matrix.toml"
    matrix.write_text('pdes = ["toy/plain"]\ndims = [3]\nsolvers = ["good"]\nseeds = 6\n')
    code, _, err = call("sweep", str(matrix), store=tmp_path / "store")
    assert code == 2
    assert f"Error: the store {tmp_path / 'store'} cannot be written" in err
    assert "Internal" not in err


def test_no_measurement_ends_because_its_progress_cannot_be_written(monkeypatch, tmp_path, make_cell):
    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(journal, "write_whole", full)
    monkeypatch.setattr(measure, "write_whole", full)
    kept = Store.writing(tmp_path / "store")
    jobs = [Job(make_cell(seed=seed)) for seed in range(2)]

    def execute(cell, slot, report, stop):
        return measure.measure(
            cell, measure.ProgressFile(tmp_path / "progress.json"), lib=harness_fake.LIBRARY
        )

    diary = Journal(kept, [job.cell for job in jobs], 1)
    records = Sweep(kept, [harness_fake.SLOT], (diary,), execute=execute).run(jobs)
    diary.close()
    assert [record.status for record in records] == [Status.OK] * 2


def test_a_journal_that_cannot_be_made_is_none(monkeypatch, make_cell):
    unwritable = Store(Path(os.devnull))
    diary = Journal(unwritable, [make_cell()], 1)
    diary.started(make_cell())
    diary.close()


def test_half_a_file_is_not_left_behind(tmp_path, monkeypatch):
    from benchmarks.records.files import write_whole

    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_whole(tmp_path / "folder", b"a file cannot replace a folder")
    assert os.listdir(tmp_path) == ["folder"]


def test_no_room_for_temporary_files_is_said(monkeypatch, make_cell):
    def full(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(isolate.tempfile, "TemporaryDirectory", full)
    with pytest.raises(UserError, match="TMPDIR"):
        isolate.isolate(make_cell())


# More than can be counted


@pytest.mark.parametrize("setting", ["steps", "batch", "test_size"])
def test_what_is_counted_in_32_bits_is_refused_beyond_them(setting):
    assert getattr(Protocol(**{setting: MAX_COUNT}), setting) == 2**31 - 1
    with pytest.raises(UserError, match="2,147,483,647"):
        Protocol(**{setting: MAX_COUNT + 1})
    matrix = f'protocol = {{base = "quick", {setting} = {{}}}}\n' + MATRIX.partition("\n")[2]
    for number in ("1e10", "2147483648", '"1e10"'):
        with pytest.raises(UserError, match="2,147,483,647"):
            expand(parse(matrix.replace("{}", number).encode()), ["poisson/two-body"], ["null-zero"])
    (request,) = expand(parse(matrix.replace("{}", '"1e3"').encode()), ["poisson/two-body"], ["null-zero"])
    assert getattr(request.protocol, setting) == 1000


@pytest.mark.parametrize("option", ["--steps", "--batch"])
def test_the_command_line_refuses_them_too(option):
    code, _, err = call("run", "poisson/two-body", "null-zero", "--dim", "5", option, "1e10")
    assert (code, "2,147,483,647" in err) == (2, True)
    code, _, err = call("campaign", "papers", "--steps", "1e10", "--dry-run")
    assert (code, "2,147,483,647" in err) == (2, True)


def test_as_many_steps_as_can_be_counted_train_until_the_budget_is_over():
    pde = pdezoo.make("poisson/two-body", dim=3)
    small = solvers.make("stde", width=8, depth=2, samples=2)
    result = small.fit(pde, steps=MAX_COUNT, batch=4, seconds=0.05, progress=None)
    assert result.status == "ok"
    assert 0 < result.steps < MAX_COUNT


# Accelerators that are there, hidden, or not there


VISIBLE = {
    None: ["0", "1"],
    "0": ["0"],
    "1": ["1"],
    " 1 , 0 ": ["1", "0"],
    "00": ["0"],
    "0,-1,1": ["0"],
    "1,7,0": ["1"],
    "0,1,": ["0", "1"],
    "GPU-8f2a,MIG-1/2/3": ["GPU-8f2a", "MIG-1/2/3"],
    "-1": [],
    "": [],
    " ": [],
    ",0": [],
    "NoDevFiles": [],
    "none": [],
    "2": [],
    "0,0": [],
    "1,01": [],
    "99999999999999999999": [],
}


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(("value", "visible"), VISIBLE.items(), ids=map(repr, VISIBLE))
def test_devices_are_visible_as_cuda_sees_them(monkeypatch, value, visible):
    if value is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert environment.visible_gpus() == visible
    host = environment.host_environment()
    if not visible:
        assert (host.platform, host.device, host.device_memory) == ("cpu", environment.cpu_model(), None)
        assert isolate.slot_environment(isolate.Slot()).memory_limit == "host"
        assert [slot.environment for slot in slots(1)] == [{}]
    elif visible[0] == "1":
        assert (host.platform, host.device, host.device_memory) == ("gpu", "Toy B", None)
    else:
        assert (host.platform, host.device, host.device_memory) == ("gpu", "Toy A", 40960 * 2**20)


@pytest.mark.usefixtures("gpus")
def test_each_worker_has_a_visible_device(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0,-1")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core, one worker")
    assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots(2)] == ["1", "0"]


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize("solver", ["good", "hog"])
def test_where_jax_does_not_start_the_accelerator_the_host_keeps_the_limit(make_cell, solver):
    """A plug-in that is too old for the driver, for instance: JAX then computes on the CPU."""
    assert environment.host_environment().platform == "gpu"
    record = isolate.isolate(make_cell(solver, memory_limit=300_000_000), harness_fake.SLOT)
    seen = record.environment
    assert (seen.platform, seen.device, seen.memory_limit) == ("cpu", environment.cpu_model(), "host")
    assert (seen.device_memory, seen.driver) == (None, None)
    if solver == "hog":
        assert (record.status, record.cause) == (Status.OOM, Cause.HOST_LIMIT)


def test_an_accelerator_that_is_asked_for_and_not_there_is_named(monkeypatch):
    def refuse():
        raise AssertionError

    monkeypatch.setenv("JAX_PLATFORMS", "toycard")
    with pytest.raises(
        subjects.NoDevice, match="JAX_PLATFORMS asks for toycard, which JAX cannot start here"
    ) as told:
        subjects.local_devices(SimpleNamespace(local_devices=refuse))
    assert "test_surroundings.py" in str(told.value)
    monkeypatch.delenv("JAX_PLATFORMS")
    with pytest.raises(subjects.NoDevice, match="JAX cannot start here: AssertionError at"):
        subjects.local_devices(SimpleNamespace(local_devices=refuse))


def test_every_command_says_so_in_words(tmp_path):
    settings = {"JAX_PLATFORMS": "cuda", "PDEZOO_STORE": str(tmp_path / "store")}
    done = program("verify", "poisson/two-body", "--dim", "5", cwd=tmp_path, **settings)
    assert (done.returncode, "Error: JAX_PLATFORMS asks for cuda" in done.stderr) == (2, True), done.stderr
    done = program("doctor", cwd=tmp_path, COLUMNS="2000", **settings)
    assert (done.returncode, "JAX_PLATFORMS asks for cuda" in done.stdout) == (1, True), done.stdout
    arguments = ("run", "poisson/two-body", "null-zero", "--dim", "5", "--protocol", "quick", "--json")
    done = program(*arguments, cwd=tmp_path, **settings)
    (row,) = json.loads(done.stdout)
    assert (done.returncode, row["status"]) == (1, "error")
    assert "JAX_PLATFORMS asks for cuda" in row["reason"]
    done = program(*arguments, cwd=tmp_path, JAX_ENABLE_X64="perhaps")
    assert (done.returncode, "Error: JAX cannot be imported" in done.stderr) == (2, True), done.stderr


def test_an_exception_without_a_word_is_named_by_its_place():
    def empty():
        raise AssertionError

    with pytest.raises(AssertionError) as raised:
        empty()
    words = in_words(raised.value)
    assert words.startswith("AssertionError at tests/benchmarks/test_surroundings.py:")
    assert words.endswith("in empty: raise AssertionError")
    assert failure(raised.value).reason == words
    assert in_words(KeyError()) == "KeyError, without a word"
    assert in_words(ValueError("words")) == "ValueError: words"


# Sweeps that look alive


def seen(kept: Store, diary: Journal, **state: object) -> bool:
    """Whether a sweep whose state is as in `diary`, but changed, passes for one that runs."""
    written = diary._state.model_dump() | state
    diary._path.write_text(json.dumps({key: value for key, value in written.items() if value is not ...}))
    (sighting,) = journals(kept)
    return sighting.alive


def test_a_dead_sweep_does_not_pass_for_the_process_that_has_its_number_now(store, make_cell):
    diary = Journal(store, [make_cell()], 1)
    assert seen(store, diary)
    assert seen(store, diary, pid=2**30, host="another", beat=0.0)  # the lock is held: it lives, wherever
    diary._locked.close()  # the process has ended; its number belongs to this one, as process 1 does in every container
    assert not seen(store, diary)
    assert not seen(store, diary, started=None)


def test_without_locks_the_process_must_be_the_one_that_was_started(store, make_cell):
    diary = Journal(store, [make_cell()], 1)
    diary._locked.close()
    assert seen(store, diary, locked=False)
    assert not seen(store, diary, locked=False, started=diary._state.started - 60)
    assert not seen(store, diary, locked=False, pid=2**30)
    elsewhere = {"host": "another", "boot": "another", "locked": True}  # whose locks may not be seen here
    assert seen(store, diary, **elsewhere, beat=time.time())
    assert not seen(store, diary, **elsewhere, beat=time.time() - 600)


def test_journals_of_before_are_read(store, make_cell):
    diary = Journal(store, [make_cell()], 1)
    before = {"started": ..., "boot": ..., "locked": ...}
    assert seen(store, diary, **before)
    assert not seen(store, diary, **before, pid=2**30)


# Names and broken contributions


def test_a_name_that_no_record_can_hold_is_left_out_and_said(tmp_path, monkeypatch):
    pdes = ["toy/γ=1", "toy/plain"]
    monkeypatch.setattr(sweeping, "subjects", lambda: harness_fake.LIBRARY)
    monkeypatch.setattr(sweeping, "isolate", in_process)
    monkeypatch.setattr(sweeping, "names", lambda: (pdes, harness_fake.SOLVERS))
    matrix = tmp_path / "matrix.toml"
    matrix.write_text('pdes = ["toy/*"]\ndims = [3]\nsolvers = ["good"]\n')
    code, _, err = call("sweep", str(matrix), store=tmp_path / "store")
    assert code == 1  # not all that was asked for
    assert "left out 'toy/γ=1': a record cannot hold that name" in err
    (record,) = Store.reading(tmp_path / "store").read().records.values()
    assert record.cell.problem.name == "toy/plain"
    monkeypatch.setattr(sweeping, "names", lambda: (pdes[:1], harness_fake.SOLVERS))
    code, _, err = call("sweep", str(matrix), store=tmp_path / "store")
    assert (code, "register it under another" in err) == (2, True)


@pytest.mark.parametrize("name", ["a b", "γ", "a/b/c", "a/", "/a", "-a", "a\n", "x" * 121, ""])
def test_what_a_record_cannot_hold_is_what_is_left_out(make_cell, name):
    """Planning leaves out exactly the names that a record would refuse."""
    from pydantic import ValidationError

    from benchmarks.planning.matrix import Request
    from benchmarks.records.record import ProblemKey

    request = Request(name, 3, 0, "good", (), Protocol(), 0)
    assert recordable([request]) == ([], [name])
    with pytest.raises(ValidationError):
        ProblemKey(name=name, dim=3)


def test_the_list_says_what_is_wrong_with_such_a_name(monkeypatch):
    entry = Entry("toy", "u = 0", variants=("γ=1", "plain"), origin="somebody")
    monkeypatch.setattr(show, "catalogues", lambda: ({"toy": entry}, {}))
    _, out, _ = call("list", "pdes")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert "BROKEN: a record cannot hold that name" in lines["toy/γ=1"]
    assert "BROKEN" not in lines["toy/plain"]


def test_a_broken_contribution_that_may_be_meant_is_a_row_and_the_others_go_on():
    about = (["kdv/one", "toy/a"], ["good"], {"kdv": "kdv/one"}, ["half", "half-written"], ["crooked"])

    def cells(pdes: list[str], names: list[str]) -> set[tuple[str, str]]:
        text = f"pdes = {json.dumps(pdes)}\ndims = [3]\nsolvers = {json.dumps(names)}\n"
        return {(r.problem, r.solver) for r in expand(parse(text.encode()), *about)}

    assert cells(["half/*", "kdv"], ["good"]) == {("half", "good"), ("kdv/one", "good")}
    assert cells(["half/first"], ["good"]) == {("half", "good")}
    assert cells(["half*"], ["good"]) == {("half", "good"), ("half-written", "good")}
    assert cells(["kdv/*"], ["cr*", "good"]) == {("kdv/one", "crooked"), ("kdv/one", "good")}
    with pytest.raises(UserError, match="half"):
        cells(["hal"], ["good"])


# Files that hide packages

SHADOWS = {
    "benchmarks.py": "pdezoo",
    "benchmarks/__init__.py": "pdezoo",
    "solvers.py": "pdezoo",
    "solvers/__init__.py": "benchmarks.cli",
    "pdezoo.py": "benchmarks.cli",
}


@pytest.mark.parametrize(("file", "module"), SHADOWS.items(), ids=SHADOWS)
def test_a_file_that_hides_a_package_is_named(tmp_path, file, module):
    """In the working folder, and on PYTHONPATH, where the installed script meets it."""
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("print('mine')\n")
    done = program("list", cwd=tmp_path, module=module)
    assert (done.returncode, done.stdout) == (2, "")
    assert str(path) in done.stderr
    assert "ename" in done.stderr
    assert "Traceback" not in done.stderr
    if file.startswith("pdezoo"):
        return
    script = [sys.executable, "-P", "-c", "from pdezoo.__main__ import main; main()", "list"]
    settings = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(script, env=settings, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert str(path) in done.stderr


def test_a_folder_of_data_hides_nothing(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    done = program("list", "solvers", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "stde" in done.stdout


def test_python_m_pdezoo_is_as_quick_as_the_script(tmp_path):
    code = (
        "import sys; sys.argv = ['pdezoo', 'list']\n"
        "from pdezoo.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "sys.exit(str({'jax', 'sympy', 'numpy', 'pandas'} & set(sys.modules) or ''))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip() == ""
