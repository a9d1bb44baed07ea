"""`pdezoo verify`: proves and audits problems, several at once in processes of their own."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from benchmarks.planning.subjects import names, require_device
from benchmarks.terminal.output import print_json
from benchmarks.terminal.parsing import dimension, names_it, require_known

_VERIFIERS = 8  # processes at a time, about 1 GB each


def verify(patterns: list[str], dim: str, as_json: bool) -> int:
    """Verifies every problem whose name matches one of `patterns` and prints proofs and audits, these at dimension `dim`.

    Returns the exit status: 1 if a proof does not hold. Raises UserError for a pattern that matches nothing.
    """
    known, _ = names()
    size = dimension(dim)
    chosen = list(dict.fromkeys(name for pattern in patterns for name in _matches(pattern, known)))
    reports = []
    require_device()
    for report in _verified_all(chosen, size):
        reports.append(report)
        if not as_json:
            _print_report(report)
    if as_json:
        print_json(reports)
    return 0 if all(report["ok"] for report in reports) else 1


def _verified_all(names: list[str], dim: int) -> Iterator[dict[str, Any]]:
    """Yields the reports in the order of `names`, as soon as they are ready. Several problems are verified at once, each in a
    process of its own.
    """
    count = min(os.cpu_count() or 1, _VERIFIERS, len(names))
    if count < 2:
        yield from (_verified(name, dim) for name in names)
        return
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_verified, names, [dim] * len(names))


def _matches(pattern: str, known: list[str]) -> list[str]:
    families = {name.partition("/")[0] for name in known}
    return [name for name in known if names_it(pattern, name)] or [
        require_known("problem", pattern, [*known, *sorted(families)])
    ]


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
        deviation = "not finite" if check["value"] is None else f"{check['value']:.2g}"
        line = f"{check['name']}: {check['method']}, deviation {deviation}"
        print(
            f"  {'ok  ' if check['ok'] else 'FAIL'} {line}{'. ' + check['detail'] if check['detail'] else ''}"
        )
    for key, value in report["audit"].items():
        print(f"  audit {key}: {json.dumps(value, default=str)}")
