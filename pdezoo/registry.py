"""Registries: a folder of files, one contribution each, plus plug-ins found by entry point.

Listing what is registered must not run the contributions, which would import JAX or SymPy. So files, also those of
installed plug-ins, are *read* and not imported: `@register("name", variants=(...))` is looked for in the syntax tree. A
contribution is imported when it is first asked for.
"""

from __future__ import annotations

import ast
import difflib
import importlib.metadata
import importlib.util
import inspect
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
_VARIANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_LONGEST = 120  # characters of a full name in a record


class UnknownName(ValueError):
    """A name that no registered contribution has; the message suggests near ones."""

    def __init__(self, kind: str, name: str, known: list[str]):
        near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
        super().__init__(f"no {kind} is called {str(name)[:80]!r}; {hint}")


class BrokenPlugin(ValueError):
    """A plug-in that is installed but cannot be read or imported, or does not register what it announces."""


class NotLiteral(ValueError):
    """A registration that cannot be read without running its file; `lineno` is the line where it stands."""

    def __init__(self, words: str, lineno: int):
        super().__init__(words)
        self.lineno = lineno


@dataclass(frozen=True)
class Entry:
    """One registered contribution, as far as it is known without importing it; `error` says what is broken about it."""

    name: str
    summary: str
    variants: tuple[str, ...] = ()
    origin: str = "pdezoo"
    error: str | None = None

    def full_names(self) -> list[str]:
        """Returns `family/variant` for every variant, or the bare name where there are no variants."""
        return [f"{self.name}/{v}" for v in self.variants] or [self.name]


@dataclass
class Registry:
    """All contributions of one kind, such as problems: those of a package's folder and those of installed plug-ins.

    `kind` is the word for a contribution in messages, `package` the package with the folder, and `group` the entry-point
    group under which plug-ins announce theirs.
    """

    kind: str
    package: str
    group: str
    _factories: dict[str, Callable[..., Any]] = field(default_factory=dict)
    _registered: dict[str, Entry] = field(default_factory=dict)
    _read: dict[tuple[str, str], dict[str, Entry]] = field(default_factory=dict)  # by distribution and module
    _scanned: dict[Path, tuple[Any, list[Entry]]] = field(default_factory=dict)  # by file, and its state then
    _failed: dict[str, str] = field(default_factory=dict)  # what modules raised when they were imported

    def register(self, name: str, *, variants: tuple[str, ...] = ()) -> Callable[[Callable], Callable]:
        """Decorates the function that makes the contribution called `name`, in any of its `variants`.

        The first line of the function's docstring becomes the summary. Raises ValueError for a name that is malformed or
        taken by another module, and for a variant whose name no record can hold.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"a {self.kind} name has lower-case letters, digits, '-' and '.', got {name!r}")
        if problem := _unusable(name, variants):
            raise ValueError(problem)

        def decorate(factory: Callable) -> Callable:
            holder = self._holder(name)
            if holder not in (None, factory.__module__):
                raise ValueError(f"the {self.kind} name {name!r} is already taken, by {holder}")
            self._factories[name] = factory
            self._registered[name] = Entry(name, _summary(inspect.getdoc(factory)), variants)
            return factory

        return decorate

    def catalogue(self) -> dict[str, Entry]:
        """Lists everything registered, by name. Reads the files of the folder and of plug-ins, and imports none of them.

        A defect is listed as far as the source shows it; one that only shows when a file is imported is listed after the
        first attempt to use it. What was registered by hand, as in a notebook, is listed too.
        """
        builtin = {entry.name: entry for entry, _ in self._scan()}
        plugins = {name: entry for name, (entry, _) in self._plugins(builtin).items()}
        return dict(sorted((self._registered | builtin | plugins).items()))

    def names(self) -> list[str]:
        """Lists the full names (`family/variant`) of everything that can be made, sorted."""
        return sorted(n for e in self.catalogue().values() if e.error is None for n in e.full_names())

    def factory(self, name: str) -> Callable[..., Any]:
        """Returns the function registered as `name` (without a variant), and imports its file.

        Raises UnknownName, or BrokenPlugin where the file or the plug-in that should hold it cannot be read or imported.
        """
        for entry, module in self._scan():
            if entry.name == name:
                error = entry.error or self._import(module, name)
                if error:
                    raise BrokenPlugin(f"the {self.kind} {name!r} is broken: {error}")
                return self._factories[name]
        plugin, module = self._plugins({}).get(name, (None, ""))
        if plugin is not None:
            error = plugin.error or self._import(module, name)
            if error:
                raise BrokenPlugin(f"the plug-in {plugin.origin!r} that holds {name!r} is broken: {error}")
        if name not in self._factories:
            raise UnknownName(self.kind, name, list(self.catalogue()))
        return self._factories[name]

    def _import(self, module: str, name: str) -> str | None:
        """Imports the module of a plug-in that should register `name`, once. Returns what went wrong, or None."""
        held = name in self._factories and _same_package(self._factories[name].__module__, module)
        if held or module in self._failed:
            return self._failed.get(module)
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as error:  # foreign code: whatever it does, it is listed as broken
            self._failed[module] = f"{_place(error)}{type(error).__name__}: {error}"
        else:
            if name not in self._factories:
                self._failed[module] = (
                    f"importing {module} does not register {name!r}, though its source says so"
                )
        return self._failed.get(module)

    def _holder(self, name: str) -> str | None:
        """The module that registers a name: a file of the package, imported or not, or a plug-in."""
        builtin = next((module for entry, module in self._scan() if entry.name == name), None)
        return builtin or (self._factories[name].__module__ if name in self._factories else None)

    def _scan(self) -> Iterator[tuple[Entry, str]]:
        """Yields what the files of the folder register, and their modules. A file that cannot be read is an entry with an error."""
        folder = Path(importlib.import_module(self.package).__file__ or "").parent
        for path in sorted(folder.glob("[a-z]*.py")):
            module = f"{self.package}.{path.stem}"
            failed = self._failed.get(module)
            for entry in self._entries_of(path, module):
                yield entry if failed is None else replace(entry, error=entry.error or failed), module

    def _entries_of(self, path: Path, module: str) -> list[Entry]:
        """Returns what a file registers, read again only where the file has changed: every problem that is made looks here."""
        try:
            status = path.stat()
            state = (status.st_mtime_ns, status.st_size)
        except OSError:  # reading says what is the matter
            state = None
        if state is None or self._scanned.get(path, (None, []))[0] != state:
            self._scanned[path] = state, _entries_in(path, module)
        return self._scanned[path][1]

    def _plugins(self, taken: dict[str, Entry]) -> dict[str, tuple[Entry, str]]:
        """Returns the entries of plug-ins and their modules, by name.

        An entry whose name is in `taken`, or of another plug-in, is listed as `name (origin)` and as broken.
        """
        entries: dict[str, tuple[Entry, str]] = {}
        for (origin, module), announced in _announced(self.group).items():
            if (origin, module) not in self._read:
                self._read[origin, module] = _read_plugin(module, origin, announced)
            for name, entry in self._read[origin, module].items():
                free = name not in taken and name not in entries
                error = entry.error or self._failed.get(module)
                error = error if free or error else f"the name {name!r} is already taken"
                entries[name if free else f"{name} ({origin})"] = replace(entry, error=error), module
        return entries


def _entries_in(path: Path, module: str) -> list[Entry]:
    """Reads what a file registers. One that cannot be read is an entry with an error."""
    try:
        return scan_source(importlib.util.decode_source(path.read_bytes()), module)
    except (OSError, SyntaxError, ValueError, ImportError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        where = f"{path.name}, line {line}" if line else path.name
        words = f"{where}: {type(error).__name__}: {getattr(error, 'msg', None) or error}"
        return [Entry(path.stem.replace("_", "-"), "broken file", error=words)]


def _announced(group: str) -> dict[tuple[str, str], list[str]]:
    """The names that entry points announce, by distribution and module."""
    announced: dict[tuple[str, str], list[str]] = {}
    for point in importlib.metadata.entry_points(group=group):
        origin = point.dist.name if point.dist else point.value
        announced.setdefault((origin, point.module), []).append(point.name)
    return dict(sorted(announced.items()))


def _read_plugin(module: str, origin: str, announced: list[str]) -> dict[str, Entry]:
    """Reads what a plug-in's module registers off its source. A name that is announced and not registered is broken."""
    try:
        read = {e.name: replace(e, origin=origin) for e in _registered_by(module)}
    except (Exception, SystemExit) as error:  # whatever is the matter with it, it is listed as broken
        read, problem = {}, f"{type(error).__name__}: {error}"
    else:
        problem = f"{module} registers {', '.join(map(repr, sorted(read))) or 'nothing'}, not "
        problem = problem + "{!r}: write @register above a function there"
    missing = (name for name in announced if name not in read)
    return read | {
        name: Entry(name, "broken plug-in", origin=origin, error=problem.format(name)) for name in missing
    }


def _registered_by(module: str) -> Iterator[Entry]:
    """Yields what importing a module would register: in itself, and in the modules of its own package that it imports."""
    waiting, seen = [module], {module}
    while waiting:
        source = _source(here := waiting.pop(0))
        yield from scan_source(source, here)
        imported = (name for statement in ast.parse(source).body for name in _imports(statement, here))
        own = [name for name in imported if _same_package(name, module) and name not in seen and _spec(name)]
        seen.update(own)
        waiting += dict.fromkeys(own)


def _imports(statement: ast.stmt, module: str) -> list[str]:
    """The names of modules that an import statement of `module` may mean."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom):
        home = _imported_module(statement, module)
        return [home, *(f"{home}.{alias.name}" for alias in statement.names)]
    return []


def _same_package(module: str, other: str) -> bool:
    """Whether two modules have the same top-level package."""
    return module.partition(".")[0] == other.partition(".")[0]


def _source(module: str) -> str:
    """Reads the source of a module; runs neither it nor the packages that hold it. Raises ImportError where there is none."""
    spec = _spec(module)
    if spec is None:
        raise ModuleNotFoundError(f"there is no module {module!r}")
    get_source = getattr(spec.loader, "get_source", None)
    source = get_source(module) if get_source else None
    if source is None:
        raise ImportError(f"the source of {module!r} is not installed, and listing reads it")
    return source


def _spec(module: str) -> ModuleSpec | None:
    """Finds a module without importing its parent packages, which `importlib.util.find_spec` would do."""
    name, *rest = module.split(".")
    spec = importlib.util.find_spec(name)
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, spec.submodule_search_locations)
    return spec


def scan_source(source: str, module: str = "") -> list[Entry]:
    """Lists the contributions that the Python source of a module registers, read off its syntax tree.

    Raises SyntaxError where the source is no Python, and ValueError or ImportError where the value of `variants` cannot be
    told without running the module.
    """
    tree = ast.parse(source)
    entries = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and _called(call) == "register":
                    entries.append(_entry(call, tree, ast.get_docstring(node), module))
    return entries


def _unusable(name: str, variants: tuple[str, ...]) -> str | None:
    """Why a record could not hold the full name of a contribution or of one of its variants; None if it can."""
    for variant in variants:
        if not isinstance(variant, str) or not _VARIANT.fullmatch(variant):
            return f"a variant's name has letters, digits, '.', '_', '+' and '-', as in 'two-body', got {variant!r}"
    longest = max((f"{name}/{v}" for v in variants), key=len, default=name)
    if len(longest) > _LONGEST:
        return f"a full name has at most {_LONGEST} characters, got the {len(longest)} of {longest[:60]!r}…"
    return None


def _place(error: BaseException) -> str:
    """The file and line in which an exception arose, and a colon; for a module that does not parse, those of the fault."""
    if isinstance(error, SyntaxError):
        return f"{Path(error.filename or 'source').name}, line {error.lineno}: "
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}: " if frames else ""


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _entry(call: ast.Call, tree: ast.Module, doc: str | None, module: str) -> Entry:
    keywords = {k.arg: k.value for k in call.keywords}
    try:
        variants = _literal(keywords["variants"], tree, module) if "variants" in keywords else ()
    except ValueError as error:
        words = f"variants is a tuple of literal strings, since listing reads it without running the file ({str(error)[:60]})"
        raise NotLiteral(words, call.lineno) from None
    if not (call.args and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)):
        words = "the name in @register is a literal string, since listing reads it without running the file"
        raise NotLiteral(words, call.lineno)
    name = call.args[0].value
    return Entry(name, _summary(doc), tuple(variants), error=_unusable(name, tuple(variants)))


def _literal(node: ast.expr, tree: ast.Module, module: str) -> Any:
    """Evaluates a literal, or a name that stands for one: assigned in the `tree` of the module, or imported from another.

    Raises ValueError or ImportError where that is not possible.
    """
    if not isinstance(node, ast.Name):
        return ast.literal_eval(node)
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Assign) and node.id in {getattr(t, "id", "") for t in statement.targets}:
            return _literal(statement.value, tree, module)
        if isinstance(statement, ast.ImportFrom) and node.id in {a.name for a in statement.names}:
            home = _imported_module(statement, module)
            return _literal(node, ast.parse(_source(home)), home)
    raise ValueError(f"variants={node.id} is not a literal that can be read without importing the file")


def _imported_module(statement: ast.ImportFrom, module: str) -> str:
    """The absolute name of the module of a `from … import` inside `module`."""
    name = statement.module or ""
    if not statement.level:
        return name
    spec = _spec(module) if module else None
    package = module if spec and spec.submodule_search_locations else module.rpartition(".")[0]
    return importlib.util.resolve_name("." * statement.level + name, package)


def _summary(doc: str | None) -> str:
    return (doc or "").strip().split("\n")[0].strip()
