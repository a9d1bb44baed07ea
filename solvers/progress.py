"""Progress of a fit: a bar with step, loss and speed, or the caller's own callback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Progress = Callable[[int, int, float, float | None], None]
"""A function called as progress(step, steps, loss, steps_per_second); the last is None before there is a rate."""


@contextmanager
def progress_bar(progress: Progress | str | None, name: str, pde: Any) -> Iterator[Progress]:
    """Gives, as a context manager, the function to be called with progress: `progress` itself, a bar ("auto"), or
    nothing (None).

    The bar is drawn on stderr. Raises ValueError for anything else.
    """
    if progress is None:
        yield lambda *_: None
    elif callable(progress):
        yield progress
    elif isinstance(progress, str) and progress == "auto":
        with _rich_bar(name, pde) as show:
            yield show
    else:
        raise ValueError(
            f'progress is "auto", None or a function of (step, steps, loss, rate), got {progress!r:.80}'
        )


@contextmanager
def _rich_bar(name: str, pde: Any) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[state]}"))
    with Bars(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        task = bars.add_task(f"{name} on {pde.name}, d = {pde.dim}", total=None, state="compiling")

        def show(step: int, steps: int, loss: float, rate: float | None) -> None:
            speed = f", {rate:.3g} it/s" if rate else ""
            bars.update(task, completed=step, total=steps, state=f"loss {loss:.3g}{speed}")

        yield show
