"""Registries: a folder of files, one contribution each, plus plug-ins found by entry point.

Listing what is registered must not import the contributions (and with them JAX or SymPy), so a folder is
*read*, not imported: `@register("name", variants=(...))` is found in the syntax tree. A contribution is
imported when it is first asked for.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.metadata
import importlib.util
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")


class UnknownName(ValueError):
    """A name that no registered contribution has; the message suggests near ones."""

    def __init__(self, kind: str, name: str, known: list[str]):
        near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
        super().__init__(f"no {kind} is called {str(name)[:80]!r}; {hint}")


class BrokenPlugin(ValueError):
    """A plug-in that is installed but cannot be imported."""


@dataclass(frozen=True)
class Entry:
    """One registered contribution, as far as it is known without importing it."""

    name: str
    summary: str
    variants: tuple[str, ...] = ()
    origin: str = "pdezoo"
    error: str | None = None

    def full_names(self) -> list[str]:
        """`family/variant` for every variant, or the bare name."""
        return [f"{self.name}/{v}" for v in self.variants] or [self.name]


@dataclass
class Registry:
    """Contributions of one kind: those of a package folder and those of an entry-point group."""

    kind: str
    package: str
    group: str
    _factories: dict[str, Callable[..., Any]] = field(default_factory=dict)
    _registered: dict[str, Entry] = field(default_factory=dict)
    _loaded: dict[str, dict[str, Entry]] = field(default_factory=dict)

    def register(self, name: str, *, variants: tuple[str, ...] = ()) -> Callable[[Callable], Callable]:
        """Decorator: the function below it makes the contribution called `name`.

        The docstring's first line becomes the summary. Raises ValueError for a name that is malformed or
        already taken by another function.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"a {self.kind} name has lower-case letters, digits, '-' and '.', got {name!r}")

        def decorate(factory: Callable) -> Callable:
            holder = self._holder(name)
            if holder not in (None, factory.__module__):
                raise ValueError(f"the {self.kind} name {name!r} is already taken, by {holder}")
            self._factories[name] = factory
            self._registered[name] = Entry(name, _summary(inspect.getdoc(factory)), variants)
            return factory

        return decorate

    def catalogue(self) -> dict[str, Entry]:
        """Everything registered, by name. Reads the folder; imports plug-ins only."""
        builtin = {entry.name: entry for entry, _ in self._scan()}
        return dict(sorted((builtin | self._plugins(builtin)).items()))

    def names(self) -> list[str]:
        """Full names (`family/variant`) of everything that can be made."""
        return sorted(n for e in self.catalogue().values() if e.error is None for n in e.full_names())

    def factory(self, name: str) -> Callable[..., Any]:
        """The function registered as `name` (no variant). Imports its file.

        Raises UnknownName, or BrokenPlugin where the plug-in that should hold it cannot be imported.
        """
        for entry, module in self._scan():
            if entry.name == name:
                importlib.import_module(module)
                return self._factories[name]
        plugin = self._plugins({}).get(name)
        if plugin is not None and plugin.error is not None:
            raise BrokenPlugin(f"the plug-in {plugin.origin!r} that holds {name!r} is broken: {plugin.error}")
        if name not in self._factories:
            raise UnknownName(self.kind, name, list(self.catalogue()))
        return self._factories[name]

    def _holder(self, name: str) -> str | None:
        """The module that registers a name: a file of the package, imported or not, or a plug-in."""
        builtin = next((module for entry, module in self._scan() if entry.name == name), None)
        return builtin or (self._factories[name].__module__ if name in self._factories else None)

    def _scan(self) -> Iterator[tuple[Entry, str]]:
        folder = Path(importlib.import_module(self.package).__file__ or "").parent
        for path in sorted(folder.glob("[a-z]*.py")):
            for entry in scan_source(path.read_text(encoding="utf-8")):
                yield entry, f"{self.package}.{path.stem}"

    def _plugins(self, taken: dict[str, Entry]) -> dict[str, Entry]:
        """Plug-ins by name; one whose name is taken is listed beside it, as broken."""
        found: dict[str, Entry] = {}
        for point in sorted(importlib.metadata.entry_points(group=self.group), key=_origin):
            if point.value not in self._loaded:
                self._loaded[point.value] = self._load(point)
            for name, entry in self._loaded[point.value].items():
                free = name not in taken and name not in found
                clash = entry.error or f"the name {name!r} is already taken"
                found[name if free else f"{name} ({entry.origin})"] = (
                    entry if free else replace(entry, error=clash)
                )
        return found

    def _load(self, point: importlib.metadata.EntryPoint) -> dict[str, Entry]:
        origin = _origin(point)
        try:
            point.load()
        except (Exception, SystemExit) as error:  # foreign code: whatever it does, it is listed as broken
            message = f"{type(error).__name__}: {error}"
            return {point.name: Entry(point.name, "broken plug-in", origin=origin, error=message)}
        added = {
            name for name, factory in self._factories.items() if _belongs(factory.__module__, point.module)
        }
        if point.name not in added:
            message = f"it registers {sorted(added) or 'nothing'}, not {point.name!r}"
            return {point.name: Entry(point.name, "broken plug-in", origin=origin, error=message)}
        return {name: replace(self._registered[name], origin=origin) for name in added}


def _origin(point: importlib.metadata.EntryPoint) -> str:
    """The distribution that an entry point comes with."""
    return point.dist.name if point.dist else point.value


def _belongs(module: str, package: str) -> bool:
    """Whether a module is the one an entry point names, or lies in the same top-level package."""
    return module.partition(".")[0] == package.partition(".")[0]


def scan_source(source: str) -> list[Entry]:
    """The contributions that a Python source registers, read off its syntax tree."""
    tree = ast.parse(source)
    found = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and _called(call) == "register":
                    found.append(_entry(call, tree, ast.get_docstring(node)))
    return found


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _entry(call: ast.Call, tree: ast.Module, doc: str | None) -> Entry:
    keywords = {k.arg: k.value for k in call.keywords}
    variants = _literal(keywords["variants"], tree) if "variants" in keywords else ()
    return Entry(ast.literal_eval(call.args[0]), _summary(doc), tuple(variants))


def _literal(node: ast.expr, tree: ast.Module, package: str = "") -> Any:
    """The value of a literal, of a name assigned one in `tree`, or of a name imported from where it is."""
    if not isinstance(node, ast.Name):
        return ast.literal_eval(node)
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Assign) and node.id in {getattr(t, "id", "") for t in statement.targets}:
            return _literal(statement.value, tree)
        if isinstance(statement, ast.ImportFrom) and node.id in {a.name for a in statement.names}:
            module = importlib.util.resolve_name("." * statement.level + (statement.module or ""), package)
            spec = importlib.util.find_spec(module)
            source = Path(spec.origin if spec and spec.origin else "").read_text(encoding="utf-8")
            return _literal(node, ast.parse(source), package=module)
    raise ValueError(f"variants={node.id} is not a literal that can be read without importing the file")


def _summary(doc: str | None) -> str:
    return (doc or "").strip().split("\n")[0].strip()
