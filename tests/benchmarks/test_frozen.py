"""What results depend on does not move: digests, identities and fingerprints of kept records, asv's names and versions."""

from __future__ import annotations

from pathlib import Path

import pytest

import pdezoo
from benchmarks import suite
from benchmarks.records.checkout import ROOT
from benchmarks.records.record import Record, parse

RESULTS = ROOT / "results"
KEPT = 908
"""Records that are kept in the repository; there may be more, and never fewer."""
SAMPLE = {
    "2ead4a2cf99bc96db354f490d232f77fe09647ff0032c281b0d7deeb6d365005": (
        "stde",
        "ok",
        "558c79e7ff28ca7df156a6188983d4c55db4b29c312bdeb1a093de4bc154bc80",
        "1b339a98a2bbe2488f8faec7c65194104d278364691edce172af8bb262891e4a",
    ),
    "18d05ebe51d54b1000b4e00f38fe50ec975e56d0fc436e92f03f17d9ef3df2a8": (
        "null-affine",
        "ok",
        "812ede676ec8712d7fdcf3f506ed0a20aae201c0daddf6ee08e3ac99248b086c",
        "c00ef2328f821fd41ac5fb2423972ff61b32c209fd3c76a71318b1820d0b8582",
    ),
    "1126c3987af4500da6be2a4402ce3f29d61d87a69cc2f61c5086ad4ba689d45b": (
        "null-zero",
        "ok",
        "ea77260e58812b039213b23ff48922b5729bc4affe9e029748fb11920f2dd618",
        "c53bbfa2772b2d7dc130cebe920743b326aa8e6654b036ee186b4c72ced22cd4",
    ),
    "40fe95864b5998f9a76c8b130c1923f37b562a71d8ac121007c72f612238de6c": (
        "hte",
        "unsupported",
        "3bc2f4aa5648a5af8b5c03f2430579a98f8ac8a064098879416b331069b09466",
        "1b339a98a2bbe2488f8faec7c65194104d278364691edce172af8bb262891e4a",
    ),
    "2ceb93cc6efe09cd58d590a7f6e6a18e2843cc1a1e1e095f6e832f108878d340": (
        "sdze-no-crns",
        "diverged",
        "1be2548866f704ffb5fee420272c3ee55efeb7ddecc610f63df7d3a8e7e47563",
        "7f4bd06626761e7deca961cfca4308668b28e3cd71e4b8cb510980298a6c7e75",
    ),
    "7efd640b0c4dd5dc93f90e20f098c440f49119377b8808fd41e3b84778321e6e": (
        "tt-zo-se",
        "oom",
        "e2d88c5010dfa7ca3f9d0b4ce44faf4fbb3c5a8e66307b788340781de356afce",
        "655a1920c9fb3741d774f84194a5588e668d2e109063117ddc96c3c6e662e049",
    ),
    "001cabd706111062095bfa913e42583ae627ac5e8c18b6e7fa50eb2c248b39fb": (
        "sdze",
        "ok",
        "8c96349259b81247a01cc76e57de2f2977c7169312d72c936a80e80558a7d37b",
        "a795728962331845c02b119e3def9277ef1194a5d81ca016bf14cac6c5793697",
    ),
    "0455ee461e6eb3abffa4bec911f8d834ddf9d999654d8639dabea87f6b959390": (
        "rs-pinn",
        "ok",
        "2fe61cb9c07a52f0d9093d82d439b12421f99a2aef0a10cad60e3e90bd1e2f03",
        "f81eb364bb82720b898a7e1e5bea9f8b84bd6bd9ce936efddbd84a0b0a4a9621",
    ),
    "588e56dea270c86ec94e02965a11167b2a4ce8c80683ac67b580f02f3a135b38": (
        "exact",
        "ok",
        "d3482575be706e5700f22f5c98bc4c56c9c50cbb30127d5dffc2feb1bd12749f",
        "5481f5c8b517a184dbcd41a9f4ed1c47db58ce4ef3b9876ec3117d8dba6265e5",
    ),
    "6a29693e0614a9004070018128feed1f70bbb7b1f419d4d1784eb56bcdede912": (
        "stde-offset-input",
        "ok",
        "ddf1e8e8de7bfccd343e74eabbfef17f82317be9d8f1d74d0030b62593c01a6f",
        "763d93496f401ea03315e55d998871e5958574619c8ea5c4cb7a5d86216b4281",
    ),
    "16481fa0832c4977618c9f1e3df47b36314e8fedac328f63c6595ae8818ceb20": (
        "sp-fo",
        "ok",
        "aaa7a698d1d7ab0dee208c4b383ea35f7f612b477ade462014dec8f7a60064f1",
        "5481f5c8b517a184dbcd41a9f4ed1c47db58ce4ef3b9876ec3117d8dba6265e5",
    ),
    "002e9d5ff5e2a00ada2f75ebab5a6210689f450ec6b148ba260f9bd965e6f978": (
        "stein-sparse-grid",
        "ok",
        "8bb8589d55b84e92cc1f98bc023df66dc02f4a57d698c2af5464324ad79b24b8",
        "5481f5c8b517a184dbcd41a9f4ed1c47db58ce4ef3b9876ec3117d8dba6265e5",
    ),
}
"""Digest → solver, status, identity of the cell, fingerprint of the problem."""


def kept(digest: str) -> Record:
    return parse((RESULTS / f"{digest}.json").read_bytes())


@pytest.mark.parametrize("digest", SAMPLE, ids=lambda digest: digest[:8])
def test_a_kept_record_says_what_it_said(digest):
    solver, status, identity, fingerprint = SAMPLE[digest]
    record = kept(digest)
    assert record.digest == digest
    assert (record.cell.solver.name, str(record.status)) == (solver, status)
    assert record.cell.identity == identity
    assert record.cell.problem.fingerprint == fingerprint


@pytest.mark.parametrize("digest", SAMPLE, ids=lambda digest: digest[:8])
def test_its_problem_is_still_that_problem(digest):
    problem = kept(digest).cell.problem
    made = pdezoo.make(problem.name, dim=problem.dim, seed=problem.seed)
    assert made.fingerprint == SAMPLE[digest][3]


def test_every_kept_record_keeps_its_bytes():
    files = sorted(RESULTS.glob("*.json"))
    assert len(files) >= KEPT
    changed = [path.name for path in files if not same(path)]
    assert changed == []


def same(path: Path) -> bool:
    content = path.read_bytes()
    record = parse(content)
    return record.content == content and record.digest == path.stem


def test_the_null_predictors_among_them_are_known():
    """They were measured before a solver could declare that it sees the solution."""
    records = [parse(path.read_bytes()) for path in RESULTS.glob("*.json")]
    nulls = [record for record in records if record.null is not None]
    assert {record.cell.solver.name for record in nulls} >= {"null-zero", "null-constant", "null-affine"}
    assert {record.null for record in records if record.cell.solver.name.startswith("null-")} <= {
        "zero",
        "constant",
        "affine",
    }
    assert len(nulls) >= 214
    assert {r.cell.solver.name for r in records if r.is_oracle} >= {"null-constant", "null-affine"}
    assert not any(r.is_oracle for r in records if r.cell.solver.name == "null-zero")


def test_asv_compares_with_what_it_has_measured():
    """asv keeps results by a benchmark's name, version and parameters; tests/benchmarks/test_asv_suites.py has the names."""
    assert suite.Cross.version == "8b99ea3d00463645132028cdd9b55fe7e50fb30bd34c8ac4190653e8979a2e53"
    assert suite.Cross.param_names == ("cell",)
    assert {"poisson/sin-three-body d=100 stde", "kdv/one-soliton d=1 stde"} < set(suite.CELLS)
