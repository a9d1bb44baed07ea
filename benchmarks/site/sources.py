"""What the pages are made of: records, the leaderboard of them, what is registered, and the proofs that are kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.leaderboard.overview import Link
from benchmarks.leaderboard.ranking import Group, Leaderboard, leaderboard, newest
from benchmarks.leaderboard.standings import Standing, headlines, standings
from benchmarks.planning.subjects import catalogues, names
from benchmarks.records.asv_results import KEPT, UNREADABLE, AsvResults, read_file, result_files
from benchmarks.records.errors import UserError
from benchmarks.records.record import Record
from benchmarks.site.page import problem_address, relative, solver_address
from benchmarks.terminal.parsing import names_it, require_known

PROOFS = Path("proofs") / "reports.json"
"""Where a store keeps what `pdezoo verify --json` printed."""


@dataclass(frozen=True)
class Sources:
    """Everything that pages are made of. `problems` and `solvers` have a page each, in this order.

    `registered` are the problems that can be made. `families` and `methods` are the registered families of problems and
    solvers, with one line on each. `proofs` has the kept reports of `pdezoo verify` by problem, and `history` what asv measured at
    the landmarks.
    """

    records: tuple[Record, ...]
    problems: tuple[str, ...]
    solvers: tuple[str, ...]
    registered: frozenset[str]
    families: Mapping[str, str]
    methods: Mapping[str, str]
    proofs: Mapping[str, dict[str, Any]]
    history: tuple[AsvResults, ...] = ()

    @cached_property
    def board(self) -> Leaderboard:
        """The leaderboard of the records."""
        return leaderboard(self.records)

    @cached_property
    def headlines(self) -> dict[str, Group]:
        """The headline group of every problem with records."""
        return headlines(self.board.groups)

    @cached_property
    def standings(self) -> list[Standing]:
        """Who leads over the headlines."""
        return standings(self.headlines.values())

    def problem_link(self, page: str) -> Link:
        """Returns the function that gives the link from a page to a problem's."""
        return lambda name: relative(problem_address(name), page) if name in self.problems else ""

    def solver_link(self, page: str) -> Link:
        """Returns the function that gives the link from a page to a solver's."""
        return lambda name: relative(solver_address(name), page) if name in self.solvers else ""


def gather(records: Iterable[Record], root: Path, pattern: str = "*") -> Sources:
    """Returns the sources of a site about the problems that `pattern` names, with the newest record of every cell.

    All registered problems and solvers have a page if the pattern is "*". Otherwise only solvers that were measured on
    the chosen problems have one. Raises UserError for a pattern that names nothing, and for kept proofs that cannot be read.
    """
    pdes, solvers = names()
    chosen = [r for r in newest(records) if names_it(pattern, r.cell.problem.name)]
    found = {name for name in pdes if names_it(pattern, name)} | {r.cell.problem.name for r in chosen}
    if not found:
        require_known("problem", pattern, pdes)
    summaries = [{e.name: e.summary for e in entries.values() if not e.error} for entries in catalogues()]
    measured = {record.cell.solver.row for record in chosen}
    return Sources(
        records=tuple(chosen),
        problems=tuple(sorted(found)),
        solvers=tuple(sorted(measured | set(solvers if pattern == "*" else ()))),
        registered=frozenset(pdes),
        families=summaries[0],
        methods=summaries[1],
        proofs=kept_proofs(root / PROOFS),
        history=kept_history(root / KEPT),
    )


def kept_proofs(path: Path) -> dict[str, dict[str, Any]]:
    """Returns the reports of `pdezoo verify --json` in a file by problem; none where there is no such file.

    Raises UserError where the file holds anything else.
    """
    if not path.exists():
        return {}
    try:
        reports = json.loads(path.read_text(encoding="utf-8"))
        return {report["name"]: report for report in reports}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{path} should hold what `pdezoo verify --json` printed: {error}; make it again by "
            f"pdezoo verify --json > {path}"
        ) from None


def kept_history(folder: Path) -> tuple[AsvResults, ...]:
    """Returns asv's results in a folder; none where there is no such folder.

    Raises UserError for a file that holds anything else.
    """
    if not folder.is_dir():
        return ()
    try:
        return tuple(map(read_file, result_files(folder)))
    except UNREADABLE as error:
        raise UserError(
            f"{folder} should hold asv's results alone: {error}; make them again by pdezoo history --landmarks"
        ) from None
