"""Every public name says what it is: modules, classes, functions and methods have docstrings that a stranger can read.

Files are read and not imported. What no test can see, whether a docstring is true and plain, is left to the reviewer.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("pdezoo", "solvers", "benchmarks")

SUMMARY = 100  # characters of a registered function's first line, which `pdezoo list` shows in a table
WORDS = 3
ENDS = (".", ":", "?", ")")
SMALL = re.compile(r"[a-z]{2,}[\s,.]")  # a word; formulas, such as u_t = 0, begin as they do
RIDDLE = re.compile(
    r"(that|those|the ones?) of\b[^.]*\.|of\b[^.]*\.|the same(,? (of|with|as|for)\b[^.]*)?\.", re.IGNORECASE
)

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public(module: ast.Module, name: str) -> Iterator[tuple[str, Documented]]:
    """A module and what is public in it, by full names: classes and functions, and those inside of classes.

    A module that only registers something is left out if it has no docstring: that of its function says all there is to say,
    and is what `pdezoo list` shows. A problem or a solver in seven lines stays at seven.
    """
    if ast.get_docstring(module) or not only_registers(module):
        yield name, module
    yield from inside(module, name)


def only_registers(module: ast.Module) -> bool:
    """Whether a module has functions decorated with `@register`, and beside them imports and constants alone."""
    plain = ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign | ast.Expr
    rest = [statement for statement in module.body if not isinstance(statement, plain)]
    return bool(rest) and all(isinstance(r, ast.FunctionDef) and "register" in decorators(r) for r in rest)


def inside(node: ast.AST, owner: str) -> Iterator[tuple[str, Documented]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If | ast.Try | ast.With):
            yield from inside(child, owner)
        elif isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and is_public(child):
            yield f"{owner}.{child.name}", child
            if isinstance(child, ast.ClassDef):
                yield from inside(child, f"{owner}.{child.name}")


def is_public(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a reader meets it by its own name. An overload is documented by its implementation, a setter by its property."""
    overloads = {"overload", "typing.overload", f"{node.name}.setter", f"{node.name}.deleter"}
    return not node.name.startswith("_") and overloads.isdisjoint(decorators(node))


def decorators(node: Documented) -> set[str]:
    """The names of the decorators, without the arguments of those that are called."""
    given = () if isinstance(node, ast.Module) else node.decorator_list
    return {ast.unparse(d.func if isinstance(d, ast.Call) else d) for d in given}


def faults(node: Documented) -> Iterator[str]:
    """What a docstring lacks."""
    text = ast.get_docstring(node)
    if not text:
        yield "has no docstring"
        return
    first, *_ = text.split("\n\n")
    if SMALL.match(text):
        yield f"begins with a small letter: {first!r}"
    if not ends(first) or not (ends(text) or ends_in_formula(node)):
        yield f"does not end a sentence: {text!r}"
    if len(text.split()) < WORDS:
        yield f"is no sentence: {text!r}"
    if RIDDLE.fullmatch(text):
        yield f"means nothing to those who do not know what it refers to: {text!r}"
    summary = text.splitlines()[0]
    if "register" in decorators(node) and len(summary) > SUMMARY:
        yield f"has a summary of {len(summary)} characters, more than {SUMMARY}: {summary!r}"


def ends(text: str) -> bool:
    return text.rstrip("`*\"'").endswith(ENDS)


def ends_in_formula(node: Documented) -> bool:
    """Whether the last line is indented, as formulas and code are, against the quotes of the docstring."""
    text = ast.get_docstring(node, clean=False) or ""
    return text.rstrip().splitlines()[-1].startswith(" " * (node.body[0].col_offset + 4))


def modules(package: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        named = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in named):
            yield ".".join(named), ast.parse(path.read_text(encoding="utf-8"))


def report(module: ast.Module, name: str) -> list[str]:
    return [f"{where} {fault}" for where, node in public(module, name) for fault in faults(node)]


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_have_docstrings(package):
    complaints = [line for name, module in modules(package) for line in report(module, name)]
    assert not complaints, "\n".join([f"{len(complaints)} docstrings to write:", *complaints])


def test_every_room_is_read():
    read = {name for package in PACKAGES for name, _ in modules(package)}
    assert {"pdezoo", "pdezoo.domain", "solvers.methods.stde", "benchmarks.records.metrics"} <= read
    names = {where for name, module in modules("solvers") for where, _ in public(module, name)}
    assert {"solvers.make", "solvers.solver.Solver.fit", "solvers.networks.base.RidgeNetwork.rows"} <= names


PLANTED = '''"""{module}"""

@register("row")
def row():
    """{row}"""

class Owner:
    """Something that has methods."""

    def method(self):
        """{method}"""

    @overload
    def chosen(self): ...

    def __len__(self): ...

    if TYPE_CHECKING:

        class Nested:
            """{nested}"""

            def deep(self):
                """{deep}"""
'''

GOOD = {
    "module": "What the module is for.",
    "row": "A solver, trained with Adam.",
    "method": "Computes u (the solution):\n\n            u = b + a n\n        ",
    "nested": "∇u is its gradient, shape (B, d).",
    "deep": "u(x) = 0: the value as `float`.",
}


@pytest.mark.parametrize(
    ("place", "text", "complaint"),
    [
        ("module", "", "planted has no docstring"),
        ("method", "", "planted.Owner.method has no docstring"),
        ("deep", "", "planted.Owner.Nested.deep has no docstring"),
        ("method", "computes the value.", "begins with a small letter"),
        ("method", "sin x, elementwise.", "begins with a small letter"),
        ("method", "Computes the value", "does not end a sentence"),
        ("method", "Computes the value\n\n        In float32.", "does not end a sentence"),
        ("method", "Computes it:\n\n        the value", "does not end a sentence"),
        ("method", "K.", "is no sentence"),
        ("method", "One-hot vectors.", "is no sentence"),
        ("method", "That of the domain.", "means nothing"),
        ("method", "Those of an MLP, and an offset.", "means nothing"),
        ("nested", "The same with a stencil.", "means nothing"),
        ("method", "Of a block of rows.", "means nothing"),
        ("row", f"Sparse STDE. {88 * 'x'}.", "has a summary of 102 characters"),
    ],
)
def test_a_fault_is_reported(place, text, complaint):
    planted = lambda texts: ast.parse(PLANTED.format(**texts))
    assert report(planted(GOOD), "planted") == []
    (line,) = report(planted(GOOD | {place: text}), "planted")
    assert complaint in line


REGISTERED = """from pdezoo import PDE, register
VARIANTS = ("one", "two")
@register("row", variants=VARIANTS)
def row(dim):
    {}
"""


@pytest.mark.parametrize(
    ("source", "complaints"),
    [
        (REGISTERED.format('"""u_t = Δu on R^d."""'), []),
        (REGISTERED.format("return PDE(dim)"), ["planted.row has no docstring"]),
        (REGISTERED.format('"""u_t = Δu on R^d."""') + "def _helper(): ...\n", ["planted has no docstring"]),
        ('"""Row."""\n' + REGISTERED.format('"""u_t = Δu on R^d."""'), ["planted is no sentence: 'Row.'"]),
        ("VARIANTS = ()\n", ["planted has no docstring"]),
    ],
)
def test_a_module_that_only_registers_needs_no_docstring(source, complaints):
    assert report(ast.parse(source), "planted") == complaints
