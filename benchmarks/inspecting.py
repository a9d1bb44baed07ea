"""`pdezoo list`, `show`, `verify` and `doctor`."""

from __future__ import annotations

import importlib.util
import inspect
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.errors import UserError
from benchmarks.library import catalogues, library, names
from benchmarks.parsing import dimension, require_known

_KINDS = ("all", "pdes", "solvers")
_USUAL = 100  # the dimension of a problem that exists at every one, where none is asked for
_AUDIT_POINTS = 2_000
_VERIFIERS = 8  # processes at a time, about 1 GB each
_DEVICES = (
    "import jax, json; d = jax.devices(); s = d[0].memory_stats() or {};"
    "print(json.dumps([d[0].platform, d[0].device_kind, len(d), s.get('bytes_limit')]))"
)


def print_json(value: Any) -> None:
    """Readable JSON on standard output."""
    print(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False))


def show_list(kind: str, as_json: bool) -> None:
    """Print the catalogues; a broken plug-in is listed with what is wrong with it."""
    if kind not in _KINDS:
        raise UserError(f"expected one of {', '.join(_KINDS)}, got {kind[:40]!r}")
    pdes, solvers = catalogues()
    chosen = {"pdes": pdes, "solvers": solvers}
    chosen = chosen if kind == "all" else {kind: chosen[kind]}
    if as_json:
        print_json({key: [asdict(entry) for entry in entries.values()] for key, entries in chosen.items()})
        return
    for key, entries in chosen.items():
        print(f"{key}:")
        for entry in entries.values():
            origin = f"  [{entry.origin}]" if entry.origin != "pdezoo" else ""
            print(f"  {entry.name:<28}{'BROKEN: ' + entry.error if entry.error else entry.summary}{origin}")
            for variant in entry.variants:
                print(f"    {entry.name}/{variant}")


def show(name: str, dim: str | None, latex: bool, as_json: bool) -> None:
    """Print one problem or one solver."""
    pdes, solvers = names()
    families = {n.partition("/")[0] for n in pdes}
    require_known("problem or solver", name, [*pdes, *families, *solvers])
    described = _solver(name) if name in solvers else _problem(name, dim, latex)
    if as_json:
        print_json(described)
        return
    for key, value in described.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        print(f"{key:<16}{shown}")


def _problem(name: str, dim: str | None, latex: bool) -> dict[str, Any]:
    import pdezoo

    pde = _at_its_usual(name) if dim is None else make(name, dimension(dim))
    audit = pdezoo.audit(pdezoo.TestSet(pde, _AUDIT_POINTS))
    return {
        "name": pde.name,
        "dim": pde.dim,
        "instance": pde.seed,
        "summary": catalogues()[0][pde.name.partition("/")[0]].summary,
        **pdezoo.describe(pde, latex),
        "references": ", ".join(_citations(pde.name.partition("/")[0])) or "none recorded",
        "null errors": {null: f"{error:.3g}" for null, error in audit["null_errors"].items()},
        "degenerate": "yes: an affine function solves it for practical purposes"
        if audit["degenerate"]
        else "no",
        "leak": "yes: the ansatz alone is the solution" if audit["leak"] else "no",
        "caveat": pde.caveat or "none",
        "fingerprint": pde.fingerprint,
    }


def _citations(family: str) -> list[str]:
    """Titles and years of the papers that the bibliography files under a family."""
    from benchmarks.citing import titles

    return titles(family)


def _solver(name: str) -> dict[str, Any]:
    solver = library().make_solver(name)
    words = inspect.cleandoc(catalogues()[1][name].summary)
    return {"name": solver.name, "summary": words, "hyperparameters": solver.hyperparameters()}


def make(name: str, dim: int | None) -> Any:
    """The problem, at its own dimension if `dim` is None. Raises UserError if it cannot be had."""
    try:
        return library().make_pde(name, dim=dim)
    except ValueError as error:
        raise UserError(str(error)) from None


def _at_its_usual(name: str) -> Any:
    """The problem in its own dimension, or in 100 where it exists in every one."""
    lib = library()
    try:
        return lib.make_pde(name, dim=None)
    except lib.bad_dimension:
        return make(name, _USUAL)


def verify(patterns: list[str], dim: str, as_json: bool) -> int:
    """Verify every problem that matches, and print proofs and audits. 1 if one does not hold."""
    known, _ = names()
    chosen = list(dict.fromkeys(name for pattern in patterns for name in _matches(pattern, known)))
    reports = []
    for report in _verified_all(chosen, dimension(dim)):
        reports.append(report)
        if not as_json:
            _print_report(report)
    if as_json:
        print_json(reports)
    return 0 if all(report["ok"] for report in reports) else 1


def _verified_all(names: list[str], dim: int) -> Iterator[dict[str, Any]]:
    """Reports in the order asked for, as they come; several problems share the cores, a process each."""
    count = min(os.cpu_count() or 1, _VERIFIERS, len(names))
    if count < 2:
        yield from (_verified(name, dim) for name in names)
        return
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_verified, names, [dim] * len(names))


def _matches(pattern: str, known: list[str]) -> list[str]:
    return [n for n in known if fnmatchcase(n, pattern)] or [require_known("problem", pattern, known)]


def _verified(name: str, dim: int) -> dict[str, Any]:
    import pdezoo

    print(f"verifying {name} …", file=sys.stderr, flush=True)
    try:
        pde = pdezoo.make(name, dim=dim)
    except pdezoo.BadDimension:
        pde = pdezoo.make(name)
    return pdezoo.verify(pde).json()


def _print_report(report: dict[str, Any]) -> None:
    print(f"{'ok  ' if report['ok'] else 'FAIL'} {report['name']}  d = {report['dim']:,}")
    for check in report["checks"]:
        found = f"{check['name']}: {check['method']}, deviation {check['value']:.2g}"
        print(
            f"  {'ok  ' if check['ok'] else 'FAIL'} {found}{'. ' + check['detail'] if check['detail'] else ''}"
        )
    for key, value in report["audit"].items():
        print(f"  audit {key}: {json.dumps(value, default=str)}")


def doctor(store: Path, as_json: bool) -> int:
    """Look at everything a measurement needs. 1 if something that is needed does not work."""
    findings = [*_machine(), _store(store), *_plugins(), *_tools()]
    if as_json:
        print_json([{"what": what, "ok": ok, "detail": detail} for what, ok, detail in findings])
    else:
        table = Table(box=None, show_header=False)
        for what, ok, detail in findings:
            table.add_row(Text("ok" if ok else "PROBLEM", "green" if ok else "red"), Text(what), Text(detail))
        Console().print(table)
    return 0 if all(ok for _, ok, _ in findings) else 1


def _machine() -> list[tuple[str, bool, str]]:
    from benchmarks.display import size
    from benchmarks.environment import host_environment

    host = host_environment()
    found = [
        ("Python", sys.version_info >= (3, 11), f"{host.python} on {host.os}"),
        ("machine", True, f"{host.machine}, {size(host.memory)} of memory"),
        ("JAX", *_devices()),
    ]
    state = f"{host.commit[:12]}{' with changes' if host.dirty else ''}" if host.commit else "installed"
    return [*found, ("pdezoo", True, f"{host.version or 'not installed, run from its source'}, {state}")]


def _devices() -> tuple[bool, str]:
    """Asked in a process of its own: starting a broken accelerator may hang or crash."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _DEVICES], capture_output=True, text=True, timeout=120, check=True
        )
        platform, kind, count, memory = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        words = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        return False, f"JAX does not start: {words[-1] if words else error}"
    from benchmarks.display import size

    return True, f"{count} × {kind} ({platform}{', ' + size(memory) if memory else ''})"


def _store(store: Path) -> tuple[str, bool, str]:
    from benchmarks.store import Store, StoreError

    if not store.exists():
        return "store", True, f"{store} does not exist yet; the first measurement makes it"
    try:
        contents = Store.writing(store).read()
    except StoreError as error:
        return "store", False, str(error)
    broken = "".join(f"; damaged: {damage.path.name} ({damage.reason})" for damage in contents.damaged)
    return "store", not contents.damaged, f"{store}: {len(contents.records)} records{broken}"


def _plugins() -> list[tuple[str, bool, str]]:
    try:
        found = [entry for catalogue in catalogues() for entry in catalogue.values()]
    except Exception as error:
        return [("contributions", False, f"{type(error).__name__}: {error}")]
    broken = [(f"plug-in {e.origin}", False, f"{e.name}: {e.error}") for e in found if e.error]
    return [("contributions", True, f"{len(found) - len(broken)} usable"), *broken]


def _tools() -> list[tuple[str, bool, str]]:
    """What only some commands need: its absence is told, and is no problem."""
    tools = [("git", shutil.which("git")), ("nvidia-smi", shutil.which("nvidia-smi"))]
    modules = [(name, importlib.util.find_spec(name)) for name in ("asv", "distributed")]
    return [
        (name, True, "available" if found else "not there (optional)") for name, found in [*tools, *modules]
    ]
