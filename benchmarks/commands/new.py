"""`pdezoo new`: writes a problem or a solver that works at once, into this checkout or as a package of its own."""

from __future__ import annotations

import ast
import keyword
import re
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from benchmarks.planning.subjects import catalogues
from benchmarks.records.checkout import ROOT, enclosing
from benchmarks.records.errors import UserError
from benchmarks.records.files import save

_NAME = re.compile(r"[a-z][a-z0-9]*([.-][a-z0-9]+)*")
_LONGEST = 60


@dataclass(frozen=True)
class Kind:
    """A kind of contribution: `words` names it in messages, `template` is the file it is made from, `folder` is where it lives in
    a checkout, and `group` is the entry-point group of plug-ins.
    """

    words: str
    template: str
    folder: str
    group: str


KINDS = {
    "pde": Kind("problem", "pde.py", "pdezoo/equations", "pdezoo.equations"),
    "solver": Kind("solver", "solver.py", "solvers/methods", "pdezoo.solvers"),
}


def new(kind: str, name: str, package: Path | None) -> None:
    """Writes a contribution called `name`, into the checkout or as the new folder `package`, and prints what to do next.

    Raises UserError, having written nothing, for an unknown kind, a name that is taken or not allowed, and a file in the way.
    """
    if kind not in KINDS:
        raise UserError(f"expected {' or '.join(KINDS)}, got {kind[:40]!r}")
    chosen = KINDS[kind]
    _require_free(kind, name)
    if package is None:
        written = _into_checkout(chosen, name)
        steps = [f"pdezoo check {name}"]
    else:
        written = _as_package(chosen, name, package)
        steps = [f"pip install -e {package}", f"pdezoo check {name}"]
    print("\n".join([*(f"wrote {path}" for path in written), "next:", *(f"  {step}" for step in steps)]))


def _require_free(kind: str, name: str) -> None:
    """Raises UserError for a name that cannot be registered, or is registered already."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        expected = (
            f"begins with a letter and has lower-case letters, digits, single '-' and '.', up to {_LONGEST}"
        )
        raise UserError(f"a name {expected}, got {name[: _LONGEST + 1]!r}; try one such as screened-poisson")
    for words, entries in zip(("problem", "solver"), catalogues(), strict=True):
        if words == KINDS[kind].words and name in entries:
            raise UserError(
                f"the {words} {name} exists already, in {entries[name].origin}; choose another name"
            )


def _into_checkout(kind: Kind, name: str) -> list[Path]:
    root = _checkout(Path.cwd())
    if root is None:
        raise UserError("this is no checkout of pdezoo; go to one, or write a package: --package DIR")
    path = root / kind.folder / f"{_identifier(name)}.py"
    _write({path: _source(kind, name)})
    if root != ROOT:
        print(f"pdezoo is imported from {ROOT}; `pip install -e {root}` to use this one", file=sys.stderr)
    return [path]


def _as_package(kind: Kind, name: str, folder: Path) -> list[Path]:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not an empty folder; name a new one")
    module = f"pdezoo_{_identifier(name)}"
    distribution = f"pdezoo-{name.replace('.', '-')}"
    project = _filled("pyproject.toml", name=name, module=module, distribution=distribution, group=kind.group)
    contents = {folder / "pyproject.toml": project, folder / f"{module}.py": _source(kind, name)}
    _write(contents)
    return list(contents)


def _checkout(start: Path) -> Path | None:
    """Returns the root of the checkout that `start` lies in; None if it lies in none."""
    marks = [f"{kind.folder}/__init__.py" for kind in KINDS.values()]
    return enclosing(start, marks)


def _source(kind: Kind, name: str) -> str:
    """Returns the filled-in template. Its function is named after the contribution, with a "_" at the end where that is a keyword
    or a name that the template uses.
    """
    taken, function = _names(_template(kind.template)), _identifier(name)
    function = f"{function}_" if keyword.iskeyword(function) or function in taken else function
    camel = "".join(part.capitalize() for part in re.split(r"[.-]", name))
    return _filled(kind.template, name=name, function=function, kind=f"{camel}Estimator")


def _identifier(name: str) -> str:
    return name.replace("-", "_").replace(".", "_")


def _names(template: str) -> set[str]:
    """Returns every name that a template's code uses, its placeholders aside."""
    tree = ast.parse(template.replace("$", "_"))
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _filled(template: str, **values: str) -> str:
    return Template(_template(template)).safe_substitute(values)


def _template(name: str) -> str:
    return (files("benchmarks") / "templates" / f"{name}.txt").read_text(encoding="utf-8")


def _write(contents: dict[Path, str]) -> None:
    """Writes the files. Raises UserError, having written none, if one of them exists."""
    present = [path for path in contents if path.exists()]
    if present:
        raise UserError(f"{present[0]} exists already; choose another name")
    for path, text in contents.items():
        save(path, text.encode("utf-8"))
