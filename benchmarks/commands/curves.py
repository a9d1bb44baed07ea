"""`pdezoo curves`: draws errors against steps from the histories of records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.leaderboard import curves as drawing
from benchmarks.records.errors import UserError
from benchmarks.records.files import write_whole
from benchmarks.terminal.records import read


def curves(problems: Sequence[str], solvers: Sequence[str], slope: bool, output: Path, root: Path) -> int:
    """Writes the figure as a PNG. Raises UserError where no record under `root` has a history of errors of these."""
    found = drawing.curves(read(root).records.values(), problems, solvers)
    if not found:
        crosses = f"{', '.join(solvers)} on {', '.join(problems)}"
        raise UserError(
            f"no record of {crosses} has errors on the way; `pdezoo status` lists what was measured"
        )
    write_whole(output, drawing.png(found, slope))
    print(f"{output}: {len(found)} curves")
    return 0
