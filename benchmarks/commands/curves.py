"""`pdezoo curves`: draws errors against steps, or against seconds, from the histories of records."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.leaderboard import curves as drawing
from benchmarks.records.errors import UserError
from benchmarks.records.files import write_whole
from benchmarks.terminal.records import read


def curves(
    problems: Sequence[str], solvers: Sequence[str], slope: bool, seconds: bool, output: Path, root: Path
) -> int:
    """Writes the figure as a PNG, against seconds of training if asked for.

    Curves whose speed no record has that was measured alone are then left out, and named. Raises UserError where no record under
    `root` has a history of errors of these, or none that can be drawn.
    """
    found = drawing.curves(read(root).records.values(), problems, solvers)
    if not found:
        crosses = f"{', '.join(solvers)} on {', '.join(problems)}"
        raise UserError(
            f"no record of {crosses} has errors on the way; `pdezoo status` lists what was measured"
        )
    if seconds:
        for curve in (c for c in found if c.step_seconds is None):
            who = f"{curve.solver} on {curve.problem} at d = {curve.dim:,}"
            print(
                f"left out: no speed of {who} was measured alone (pdezoo run … --exclusive)", file=sys.stderr
            )
        found = [curve for curve in found if curve.step_seconds is not None]
        if not found:
            raise UserError(
                "of none of these a speed was measured alone: measure a few steps with --exclusive"
            )
    write_whole(output, drawing.png(found, slope, seconds))
    print(f"{output}: {len(found)} curves")
    return 0
