"""Says who leads over the whole zoo: one group of rows for every problem, and how often and how closely a solver is the best there.

Of the groups of a problem, which differ in dimension, protocol, machine or kind of repetition, the one is its *headline* that has
most ranked rows; among equals the one with most rows, then the one of highest dimension. Every problem has one, so that a
problem that was measured ten times counts once.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.leaderboard.ranking import Group, Kind, Row

FACTORS = (1.5, 2.0, 5.0, 10.0)
"""The factors of the best error for which tables say how many cells are within."""


def headlines(groups: Iterable[Group]) -> dict[str, Group]:
    """Returns the headline group of every problem that has a record, by the problem's name."""
    best: dict[str, Group] = {}
    for group in groups:
        held = best.get(group.problem)
        if held is None or _weight(group) > _weight(held):
            best[group.problem] = group
    return dict(sorted(best.items()))


def _weight(group: Group) -> tuple:
    ranked = sum(row.rank is not None for row in group.rows)
    return ranked, len(group.rows), group.dim, group.machine, group.protocol.comparable, group.instances


@dataclass(frozen=True)
class Standing:
    """How one solver stands over several cells: where it was measured, ranked and first, and how far it is from the best.

    `total`, `measured` and `first` are numbers of cells: looked at, with a row of it, and with a first rank, which may be
    shared. `ranks` has its rank in every cell in which it has one, by problem, and `ratios` its error divided by the least
    error of a ranked row there.
    """

    solver: str
    total: int
    measured: int
    first: int
    ranks: Mapping[str, int]
    ratios: Mapping[str, float]

    @property
    def ranked(self) -> int:
        """In how many cells it has a rank."""
        return len(self.ranks)

    @property
    def median_rank(self) -> float | None:
        """The median of its ranks; None if it has none."""
        return statistics.median(self.ranks.values()) if self.ranks else None

    def within(self, factor: float) -> int:
        """Returns in how many cells it is ranked with at most `factor` times the least error."""
        return sum(ratio <= factor for ratio in self.ratios.values())


def standings(groups: Iterable[Group]) -> list[Standing]:
    """Returns the standings of all solvers and baselines with a rank in one of the groups, of which each problem has one.

    Looked at are the groups in which two rows or more are ranked and that are not degenerate. A solver stands in a group by its
    row with the fewest hyperparameters given, which is the one as registered where that was measured. Who has rank 1, alone or
    shared, in more cells comes first; among equals who is within 1.5 times the least error in more, and so on by FACTORS.
    """
    cells = [group for group in groups if is_telling(group)]
    rows: dict[str, dict[str, tuple[Group, Row]]] = defaultdict(dict)
    for group in cells:
        for row in _one_of_each_solver(group):
            rows[row.solver][group.problem] = group, row
    found = [_standing(solver, len(cells), found) for solver, found in rows.items()]
    known = [standing for standing in found if standing.ranks]
    return sorted(known, key=lambda s: (-s.first, [-s.within(f) for f in FACTORS], s.median_rank, s.solver))


def is_telling(group: Group) -> bool:
    """Whether a group says which of two solvers is better: two rows or more have a rank, and no affine function does as well."""
    return not group.degenerate and sum(row.rank is not None for row in group.rows) > 1


def _one_of_each_solver(group: Group) -> Sequence[Row]:
    chosen: dict[str, Row] = {}
    for row in group.rows:
        held = chosen.get(row.solver)
        if row.kind is not Kind.ORACLE and (held is None or len(row.given) < len(held.given)):
            chosen[row.solver] = row
    return list(chosen.values())


def _standing(solver: str, total: int, found: Mapping[str, tuple[Group, Row]]) -> Standing:
    ranked = {p: (group, row) for p, (group, row) in found.items() if row.rank is not None}
    return Standing(
        solver=solver,
        total=total,
        measured=len(found),
        first=sum(row.rank == 1 for _, row in ranked.values()),
        ranks={problem: row.rank for problem, (_, row) in ranked.items() if row.rank is not None},
        ratios={problem: _ratio(group, row) for problem, (group, row) in ranked.items()},
    )


def _ratio(group: Group, row: Row) -> float:
    least = min(r.error for r in group.rows if r.rank is not None and r.error is not None)
    return math.inf if row.error is None else row.error / least if least else 1.0
