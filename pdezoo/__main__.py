"""The command line, as the script `pdezoo` and as `python -m pdezoo`.

pdezoo, solvers and benchmarks are imported by name, and a user's own file or folder may be called `solvers` or `benchmarks`, too.
This module, in the package whose name is not in other use, tells the user where such a file hides a package.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
_PARTS = {"solvers": "methods", "benchmarks": "records"}


def main() -> None:
    """Runs the command line. Ends with status 2 where another module hides one of the packages."""
    if hidden := shadowed():
        print(f"Error: {hidden}", file=sys.stderr)
        sys.exit(2)
    importlib.import_module("benchmarks.cli").main()


def shadowed() -> str | None:
    """Returns which file hides one of the packages that belong to pdezoo and what to do about it; None if none does."""
    for name, part in _PARTS.items():
        spec = importlib.util.find_spec(name)
        if spec is None:
            return f"the package {name!r} is missing beside {HERE / 'pdezoo'}; install pdezoo again"
        folders = list(spec.submodule_search_locations or [])
        if not any((Path(folder) / part / "__init__.py").is_file() for folder in folders):
            hiding = spec.origin or (folders[0] if folders else name)
            return (
                f"the module {name!r} at {hiding} hides the one that pdezoo is made of, in {HERE / name}. Rename it; or keep its "
                "folder off PYTHONPATH and run `pdezoo`, or `python -P -m pdezoo`, which leave the working folder out"
            )
    return None


if __name__ == "__main__":
    main()
