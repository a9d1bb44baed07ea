"""The API reference: public names with their signatures and docstrings, read from the source without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from benchmarks.leaderboard.markup import Html, joined, tag
from benchmarks.records.checkout import ROOT
from benchmarks.records.text import clip
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
        found = [node for node in _public(tree) if _belongs(node.name, module, name, listed)]
        values = [value for value in _values(tree) if listed and _belongs(value[0], module, name, listed)]
        if found or values:
            parts += [f"## {module}", prose(ast.get_docstring(tree) or "")]
            parts += [part for value in values for part in _value(*value)]
            parts += [part for node in found for part in _entry(node)]
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


def _belongs(thing: str, module: str, package: str, listed: set[str] | None) -> bool:
    if listed is None:
        return not module.startswith("benchmarks.bench_")  # asv's suites, of which nobody imports anything
    return module == package or f"{module.removeprefix(package + '.')}.{thing}" in listed


def _public(tree: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    for node in tree.body:
        if isinstance(node, Definition) and not node.name.startswith("_") and ast.get_docstring(node):
            yield node


def _values(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    """Yields the names to which a module gives a value, the statement that does, and the text below it that says what it is."""
    for node, below in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [n for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]
            for name in names:
                yield name.id, ast.unparse(node), _text_of(below)


def _text_of(node: ast.stmt | None) -> str:
    """Returns a statement that is nothing but a text; "" for any other."""
    constant = node.value if isinstance(node, ast.Expr) else None
    return constant.value if isinstance(constant, ast.Constant) and isinstance(constant.value, str) else ""


def _value(name: str, statement: str, about: str) -> Iterator[str]:
    yield f"### {name}"
    yield joined([tag("pre", tag("code", clip(statement, 2 * _WIDEST)), class_="signature"), prose(about)])


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
    places = [*given.posonlyargs, *given.args]
    defaults = [*[None] * (len(places) - len(given.defaults)), *given.defaults]
    parts = [_argument(*pair) for pair in zip(places, defaults, strict=True)]
    if given.posonlyargs:
        parts.insert(len(given.posonlyargs), "/")
    if given.vararg:
        parts.append(f"*{ast.unparse(given.vararg)}")
    elif given.kwonlyargs:
        parts.append("*")
    parts += [_argument(*pair) for pair in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return [*parts, f"**{ast.unparse(given.kwarg)}"] if given.kwarg else parts


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(argument) + (f"={ast.unparse(default)}" if default is not None else "")
