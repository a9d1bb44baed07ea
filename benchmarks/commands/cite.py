"""`pdezoo cite`: prints BibTeX for a track, a problem, a solver or all records, and the hash that names a result set."""

from __future__ import annotations

from pathlib import Path

from benchmarks.leaderboard.bibliography import entries, suite_entry
from benchmarks.leaderboard.ranking import leaderboard
from benchmarks.planning import tracks
from benchmarks.planning.subjects import names
from benchmarks.records.environment import source_state
from benchmarks.records.record import Record
from benchmarks.records.store import Store
from benchmarks.terminal.output import print_json
from benchmarks.terminal.parsing import require_known

TABLE = "table"


def cite(name: str, root: Path, as_json: bool) -> None:
    """Prints the BibTeX entries for a track, a problem, a solver or TABLE, which is all records under `root`, and the hash of the
    result set: of one variant's records alone where one is named. The entry of the suite says if the checkout was changed.

    Raises UserError for an unknown name.
    """
    pdes, solvers = names()
    families = {pde.partition("/")[0] for pde in pdes}
    of_tracks = {short for one in tracks.known() for short in (one, one.rpartition("-")[0])}
    whole = {TABLE} | of_tracks
    if name not in whole:
        known = [*sorted(whole), *sorted(families), *pdes, *solvers]
        require_known("track, problem, solver or 'table'", name, known)
    records = _records(root)
    track = tracks.track(name) if name in of_tracks else None
    if track is not None:
        records = list(tracks.members(track.requests(), records).values())
    wanted = _used(records) if name in whole else {name.partition("/")[0]}
    chosen = [r for r in records if name in whole or _is_about(name, r)]
    digest = leaderboard(chosen).digest if chosen else None
    bibtex = [suite_entry(digest, _commit(), None if track is None else track.name), *entries(wanted)]
    if as_json:
        print_json({"bibtex": bibtex, "result_set": digest, "records": len(chosen)})
    else:
        print("\n\n".join(bibtex))


def _records(root: Path) -> list[Record]:
    return list(Store.reading(root).read().records.values()) if root.is_dir() else []


def _commit() -> str | None:
    commit, changed = source_state()
    return f"{commit} with changes" if commit and changed else commit


def _is_about(name: str, record: Record) -> bool:
    """Whether a record is of the problem, the family or the solver of that name."""
    problem = record.cell.problem.name
    return name in (problem, problem.partition("/")[0], record.cell.solver.row)


def _used(records: list[Record]) -> set[str]:
    families = {record.cell.problem.name.partition("/")[0] for record in records}
    return families | {record.cell.solver.row for record in records}
