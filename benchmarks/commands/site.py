"""`pdezoo site`: makes the static site, or the same tables as Markdown beside the records."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from benchmarks.planning.subjects import keep_off_accelerators
from benchmarks.site.sources import gather
from benchmarks.terminal.records import read


def site(output: Path, pattern: str, root: Path) -> int:
    """Makes the site of the records under `root` about the problems that `pattern` names, in the folder `output`.

    Returns the exit status, which is 0. Raises UserError where the extra `site` is not installed, where `output` holds other files,
    and for a pattern that names no problem.
    """
    from benchmarks.site.build import build

    began = time.monotonic()
    keep_off_accelerators()
    count = build(gather(read(root).records.values(), root, pattern), output)
    took = time.monotonic() - began
    print(f"{output / 'index.html'}: {count} pages in {took:.0f} s; open it in a browser", file=sys.stderr)
    return 0
