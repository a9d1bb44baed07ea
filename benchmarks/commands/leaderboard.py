"""`pdezoo leaderboard`: writes the ranked tables of the records in one of several formats."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks.leaderboard.published import VALUE, Comparison, comparisons, published
from benchmarks.leaderboard.ranking import BY_ERROR, Leaderboard
from benchmarks.leaderboard.ranking import leaderboard as make_leaderboard
from benchmarks.planning import tracks
from benchmarks.planning.subjects import keep_off_accelerators, reference_value
from benchmarks.records.errors import UserError
from benchmarks.terminal.output import stdout, write_file
from benchmarks.terminal.parsing import names_it
from benchmarks.terminal.records import read

FORMATS = ("text", "html", "md", "csv", "latex", "json", "png")


def leaderboard(
    shape: str, output: Path | None, against: str | None, pattern: str, track: str | None, root: Path
) -> None:
    """Writes the leaderboard of the records under `root` in the format `shape`, one of FORMATS, to a file or standard output.

    `pattern` selects problems, `track` the cells of a track, which are ranked by its metric; `against` "published" sets the
    papers' numbers beside ours. Raises UserError for any other value, where no record is selected, and for a figure without a file.
    """
    if shape not in FORMATS:
        raise UserError(f"a format is one of {', '.join(FORMATS)}, got {shape[:40]!r}")
    if against not in (None, "published"):
        raise UserError(f"a leaderboard can be set against 'published', got {str(against)[:40]!r}")
    if shape == "png" and output is None:
        raise UserError("a figure needs a file: --output leaderboard.png")
    chosen = [r for r in read(root).records.values() if names_it(pattern, r.cell.problem.name)]
    asked = None if track is None else tracks.track(track)
    if asked is not None:
        chosen = list(tracks.members(asked.requests(), chosen).values())
    if not chosen:
        of = repr(pattern[:60]) if track is None else f"{pattern[:60]!r} in the track {track[:60]}"
        raise UserError(f"there are no records of {of} in {root}; `pdezoo run` makes some")
    board = make_leaderboard(chosen, BY_ERROR if asked is None else asked.ranked)
    cells = _beside(board, pattern) if against else []
    if shape == "text" and output is None:
        _print_tables(board, cells)
    else:
        _write(_rendered(shape, board, cells), output)


def _beside(board: Leaderboard, pattern: str) -> list[Comparison]:
    """Returns the papers' numbers for the chosen problems beside ours; those without a counterpart are listed with all problems."""
    chosen = [cell for cell in published() if names_it(pattern, cell.problem)]
    if any(cell.metric == VALUE for cell in chosen):
        keep_off_accelerators()
    return comparisons(board, chosen, reference_value)


def _print_tables(board: Leaderboard, cells: list[Comparison]) -> None:
    from benchmarks.leaderboard import tables

    console = stdout()
    for part in tables.terminal(board, cells):
        console.print(part)


def _rendered(shape: str, board: Leaderboard, cells: list[Comparison]) -> bytes:
    from benchmarks.leaderboard import figure, html, tables

    makers: dict[str, Callable[[], str | bytes]] = {
        "text": lambda: _as_text(board, cells),
        "html": lambda: html.html(board, cells),
        "md": lambda: tables.markdown(board, cells),
        "csv": lambda: tables.comma_separated(board),
        "latex": lambda: tables.latex(board, cells),
        "json": lambda: tables.as_json(board, cells) + "\n",
        "png": lambda: figure.png(figure.comparable(board.groups), figure.series_names(board.groups)),
    }
    made = makers[shape]()
    return made if isinstance(made, bytes) else made.encode("utf-8")


def _as_text(board: Leaderboard, cells: list[Comparison]) -> str:
    from benchmarks.leaderboard import tables

    console = Console(width=160, color_system=None)
    with console.capture() as captured:
        for part in tables.terminal(board, cells):
            console.print(part)
    return captured.get()


def _write(content: bytes, output: Path | None) -> None:
    if output is None:
        sys.stdout.buffer.write(content)
    else:
        write_file(output, content)
