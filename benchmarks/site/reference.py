"""The API reference: public names with their signatures and docstrings, read from the source without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from benchmarks.leaderboard.markup import Html, joined, tag
from benchmarks.records.checkout import ROOT
from benchmarks.site.page import Page, lines, prose

INDEX = "api/index.html"
PACKAGES = ("pdezoo", "solvers", "benchmarks")
_ABOUT = {
    "pdezoo": "The problems. Every name below can be imported from `pdezoo`.",
    "solvers": "The methods. Every name below can be imported from `solvers`.",
    "benchmarks": "Records, leaderboard and harness, by module.",
}
_WIDEST = 88  # characters of a signature in one line
Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


def pages(root: Path = ROOT) -> list[Page]:
    """Returns a page for each package, after one that lists them."""
    made = [Page(f"api/{name}.html", name, _package(name, root)) for name in PACKAGES]
    rows = [f"[`{name}`]({name}.md): {_ABOUT[name]}" for name in PACKAGES]
    return [Page(INDEX, "All packages", lines("# API reference", *rows)), *made]


def _package(name: str, root: Path) -> str:
    listed = None if name == "benchmarks" else _listed(root / name / "__init__.py")
    parts = [f"# {name}", prose(_ABOUT[name])]
    for path in sorted((root / name).rglob("*.py")):
        module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = [node for node in _public(tree) if _belongs(node, module, name, listed)]
        if found:
            about = ast.get_docstring(tree) or ""
            parts += [f"## {module}", prose(about), *(part for node in found for part in _entry(node))]
    return lines(*parts)


def _listed(path: Path) -> set[str]:
    """Returns the public names of a package by home, "module.name", as its table of homes lists them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES":
            return {
                f"{home}.{name}" for home, names in ast.literal_eval(node.value).items() for name in names
            }
    return set()


def _belongs(node: Definition, module: str, package: str, listed: set[str] | None) -> bool:
    if listed is None:
        return not module.startswith("benchmarks.bench_")  # asv's suites, of which nobody imports anything
    return module == package or f"{module.removeprefix(package + '.')}.{node.name}" in listed


def _public(tree: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    for node in tree.body:
        if isinstance(node, Definition) and not node.name.startswith("_") and ast.get_docstring(node):
            yield node


def _entry(node: Definition) -> Iterator[str]:
    yield f"### {node.name}"
    shown = [
        tag("pre", tag("code", signature(node)), class_="signature"),
        prose(ast.get_docstring(node) or ""),
    ]
    if isinstance(node, ast.ClassDef):
        members = [m for m in _public(node) if not isinstance(m, ast.ClassDef)]
        shown += [tag("dl", *(_member(member) for member in members))] if members else []
    yield joined(shown)


def _member(node: Definition) -> Html:
    term = tag("dt", tag("code", signature(node)))
    return joined([term, tag("dd", prose(ast.get_docstring(node) or ""))])


def signature(node: Definition) -> str:
    """Returns how a name is called: a function with its arguments, a property alone, a class with the fields that it declares."""
    if isinstance(node, ast.ClassDef):
        fields = [ast.unparse(n) for n in node.body if isinstance(n, ast.AnnAssign) and _is_field(n)]
        return _call(f"class {node.name}", fields)
    decorators = {ast.unparse(d) for d in node.decorator_list}
    if decorators & {"property", "cached_property"}:
        return f"{node.name}: {ast.unparse(node.returns)}" if node.returns else node.name
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    arguments = ast.unparse(node.args)
    whole = f"{node.name}({arguments}){returns}"
    return whole if len(whole) <= _WIDEST else _call(node.name, _split(node.args)) + returns


def _is_field(node: ast.AnnAssign) -> bool:
    name = ast.unparse(node.target)
    return not name.startswith("_") and not ast.unparse(node.annotation).startswith("ClassVar")


def _call(name: str, arguments: list[str]) -> str:
    if not arguments:
        return name
    whole = f"{name}({', '.join(arguments)})"
    inside = "".join(f"    {argument},\n" for argument in arguments)
    return whole if len(whole) <= _WIDEST else f"{name}(\n{inside})"


def _split(given: ast.arguments) -> list[str]:
    """Returns the arguments of a function one by one, as they are written."""
    text, depth, parts = ast.unparse(given), 0, [""]
    for mark in text:
        depth += (mark in "([{") - (mark in ")]}")
        if mark == "," and not depth:
            parts.append("")
        else:
            parts[-1] += mark
    return [part.strip() for part in parts]
