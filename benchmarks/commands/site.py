"""`pdezoo site`: makes the static site, or the same tables as Markdown beside the records."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from benchmarks.planning.subjects import keep_off_accelerators
from benchmarks.records.errors import UserError
from benchmarks.records.files import save
from benchmarks.site.sources import Sources, gather
from benchmarks.terminal.records import read


def site(output: Path, pattern: str, markdown: bool, check: bool, root: Path) -> int:
    """Makes the site of the records under `root` about the problems that `pattern` names, in the folder `output`.

    With `markdown` it writes the tables as Markdown files beside the records instead, and with `check` it only compares these.
    Returns the exit status: 1 if `check` found a file that differs. Raises UserError where the extra `site` is not installed,
    where `output` holds other files, for a pattern that names no problem, and for flags that do not belong together.
    """
    if markdown:
        if pattern != "*":
            raise UserError(
                f"--markdown writes the tables of all problems, got --pde {pattern[:60]!r}; leave one out"
            )
        return _beside_records(gather(read(root).records.values(), root), check, root)
    if check:
        raise UserError("--check compares the files of --markdown: give both, or neither")
    from benchmarks.site.build import all_pages, build, require_ready

    require_ready(output)
    began = time.monotonic()
    keep_off_accelerators()
    pages = all_pages(gather(read(root).records.values(), root, pattern))
    build(pages, output)
    took = time.monotonic() - began
    print(
        f"{output / 'index.html'}: {len(pages)} pages in {took:.0f} s; open it in a browser", file=sys.stderr
    )
    return 0


def _beside_records(sources: Sources, check: bool, root: Path) -> int:
    from benchmarks.site.markdown import FOLDER, files

    made = {root / name: text.encode() for name, text in files(sources).items()}
    kept = {path: path.read_bytes() for path in (*made, *(root / FOLDER).glob("*.md")) if path.is_file()}
    stale = sorted(path for path in made | kept if kept.get(path) != made.get(path))
    for path in stale:
        if not check and path in made:
            save(path, made[path])
        elif not check:
            path.unlink()  # of a problem that has no records now
        print(
            f"{path}: {'differs from the records' if check else 'written' if path in made else 'removed'}",
            file=sys.stderr,
        )
    return 1 if check and stale else 0
