"""Knows the folder that this package is imported from, and asks git about a repository, for all other modules."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from benchmarks.records.errors import UserError
from benchmarks.records.text import clip

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds `benchmarks`: a checkout's root, or `site-packages` where the package is installed."""

_GIT_SECONDS = 60.0


def enclosing(start: Path, marks: Iterable[str]) -> Path | None:
    """Returns the nearest folder, `start` or one above it, that has every file of `marks`; None if there is none."""
    files = tuple(marks)
    return next((f for f in (start, *start.parents) if all((f / mark).is_file() for mark in files)), None)


def git(*arguments: str, at: Path = ROOT) -> str:
    """Runs git in the folder `at` and returns what it prints, without space at the ends.

    Raises UserError, with the last line that git wrote on standard error, where git is missing, fails or takes more than a minute.
    """
    command = ["git", "-C", str(at), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_GIT_SECONDS,
            check=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        words = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise UserError(f"git {arguments[0]}: {clip(words[-1], 200) if words else 'it failed'}") from None
    return done.stdout.strip()


def git_or_none(*arguments: str, at: Path = ROOT) -> str | None:
    """Runs git in the folder `at` and returns what it prints, or None where git is missing or fails."""
    try:
        return git(*arguments, at=at)
    except UserError:
        return None
