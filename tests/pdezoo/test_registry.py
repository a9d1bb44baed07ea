"""Names: what is listed, how fast, what is said about a wrong one, and what an instance is made of."""

from __future__ import annotations

import ast
import importlib
import json
import os
import pickle
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from toys import small

import pdezoo
import solvers
from pdezoo import (
    PDE,
    Ansatz,
    Box,
    BrokenPlugin,
    D,
    DivGrad,
    Exact,
    Laplacian,
    Registry,
    X,
    dirichlet,
    r2,
    u,
    window_sum,
    x,
    y,
)

REGISTRIES = {"pdezoo": pdezoo, "solvers": solvers}
FOLDERS = {"pdezoo": "pdezoo.equations", "solvers": "solvers.methods"}


def python(code: str, **environment: str) -> str:
    """Runs code in a fresh interpreter, and returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("layer", REGISTRIES)
def test_what_is_read_off_the_files_is_what_importing_them_registers(layer: str) -> None:
    registry = REGISTRIES[layer]._registry
    listed = {e.name: e for e in registry.catalogue().values() if e.origin == "pdezoo"}
    folder = Path(importlib.import_module(FOLDERS[layer]).__file__).parent
    for path in folder.glob("[a-z]*.py"):
        importlib.import_module(f"{FOLDERS[layer]}.{path.stem}")
    imported = {
        n: e for n, e in registry._registered.items() if registry._factories[n].__module__.startswith(layer)
    }
    assert listed == imported
    assert all(e.summary.endswith((".", ")")) for e in listed.values())
    assert max(len(e.summary) for e in listed.values()) <= 100  # a line of `pdezoo list`


@pytest.mark.parametrize("layer", REGISTRIES)
def test_listing_imports_neither_jax_nor_sympy(layer: str) -> None:
    code = f"import sys, {layer}; {layer}.names(); {layer}.catalogue(); print(*sys.modules)"
    loaded = set(python(code).split())
    assert layer in loaded
    assert not loaded & {"jax", "jaxlib", "sympy", "scipy", "optax", "equinox", "pandas"}


def test_names_are_families_with_variants() -> None:
    names = pdezoo.names()
    assert names == sorted(set(names))
    for family in ("poisson", "allen-cahn", "sine-gordon"):
        assert {f"{family}/{v}" for v in pdezoo.FEW_BODY} <= set(names)


@pytest.mark.parametrize(
    ("layer", "name", "suggestion"),
    [
        ("pdezoo", "alen-cahn", "allen-cahn"),
        ("pdezoo", "allen-cahn/two-bodies", "allen-cahn/two-body"),
        ("pdezoo", "Poisson", "poisson"),
        ("pdezoo", "xyzzy", "poisson"),
        ("pdezoo", "", "poisson"),
        ("pdezoo", "../poisson", "poisson"),
        ("pdezoo", None, "poisson"),
        ("solvers", "sdte", "stde"),
        ("solvers", "sdgd-backwards", "sdgd-backward"),
        ("solvers", "", "stde"),
        ("solvers", 7, "stde"),
    ],
)
def test_unknown_names_suggest_known_ones(layer: str, name: object, suggestion: str) -> None:
    with pytest.raises(pdezoo.UnknownName, match=suggestion):
        REGISTRIES[layer].make(name, **({"dim": 10} if layer == "pdezoo" else {}))


@pytest.mark.parametrize(
    "dim", [0, -3, 2.5, "abc", 1e400, float("nan"), True, None, [], 1j, "10", np.float64(10)]
)
def test_bad_dimensions(dim: object) -> None:
    with pytest.raises(pdezoo.BadDimension, match="dimension"):
        pdezoo.make("poisson/two-body", dim=dim)


@pytest.mark.parametrize(("variant", "least"), [("two-body", 2), ("three-body", 3), ("sin-three-body", 3)])
def test_a_dimension_below_the_windows_is_refused(variant: str, least: int) -> None:
    assert pdezoo.make(f"poisson/{variant}", dim=least).dim == least
    with pytest.raises(pdezoo.BadDimension, match=f"≥ {least}"):
        pdezoo.make(f"poisson/{variant}", dim=least - 1)


@pytest.mark.parametrize("dim", [np.int64(7), np.int32(7), 7])
def test_whole_numbers_of_any_type_are_dimensions(dim: object) -> None:
    assert pdezoo.make("poisson/two-body", dim=dim).dim == 7


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, "0", None, True])
def test_bad_seeds(seed: object) -> None:
    with pytest.raises(ValueError, match="seed"):
        pdezoo.make("poisson/two-body", dim=7, seed=seed)


def test_a_family_alone_is_its_first_variant() -> None:
    assert pdezoo.make("poisson", dim=7) == pdezoo.make(f"poisson/{pdezoo.FEW_BODY[0]}", dim=7)


def test_fingerprints_tell_instances_apart() -> None:
    base = pdezoo.make("poisson/two-body", dim=7)
    others = [
        pdezoo.make("poisson/two-body", dim=8),
        pdezoo.make("poisson/two-body", dim=7, seed=1),
        pdezoo.make("poisson/two-body-wide", dim=7),
        pdezoo.make("allen-cahn/two-body", dim=7),
    ]
    prints = {base.fingerprint, *(p.fingerprint for p in others)}
    assert len(prints) == 5
    assert all(len(p) == 64 and int(p, 16) >= 0 for p in prints)
    assert pdezoo.make("poisson/two-body", dim=7).fingerprint == base.fingerprint


def test_the_weight_of_an_enhanced_residual_tells_problems_apart() -> None:
    pde = pdezoo.make("gkdv/gradient-enhanced")
    heavier = replace(pde, enhanced_weight=2 * pde.enhanced_weight)
    assert heavier.fingerprint != pde.fingerprint
    plain = pdezoo.make("poisson/two-body", dim=7)
    assert replace(plain, enhanced_weight=1.0).fingerprint == plain.fingerprint  # a weight of nothing


@pytest.mark.slow
def test_every_registered_instance_has_its_own_fingerprint() -> None:
    prints = {name: small(name).fingerprint for name in pdezoo.names()}
    assert len(set(prints.values())) == len(prints)


def _doubled(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    """2 (a + b) as differentiation may leave it: SymPy multiplies it out when it is made again."""
    return sp.Mul(2, sp.Add(a, b), evaluate=False)


UNSETTLED = window_sum(_doubled(X[0], X[0] ** 4))


@pytest.mark.parametrize(
    "change",
    [
        {"operator": D(u**2, x, x)},
        {"operator": _doubled(u, Laplacian(u))},
        {"ansatz": Ansatz(_doubled(x, y), _doubled(x, UNSETTLED))},
        {"solution": Exact(_doubled(x, UNSETTLED))},
        {"source": _doubled(x, y)},
        {"conditions": (dirichlet(_doubled(x, y)),)},
        {"operator": DivGrad(_doubled(UNSETTLED, r2), u)},
    ],
    ids=str,
)
def test_a_problem_that_was_pickled_is_the_same_problem(change: dict[str, Any]) -> None:
    """Also where calculus left an expression that SymPy does not make again: the records of a worker are those of the problem."""
    parts = {"operator": Laplacian(u), "domain": Box(2), "ansatz": Ansatz(1, 0), "solution": Exact(UNSETTLED)}
    pde = PDE(**(parts | change))
    again = pickle.loads(pickle.dumps(pde))
    assert again.fingerprint == pde.fingerprint
    assert (again.operators, again.ansatz, again.exact, again.exact_source) == (
        *(pde.operators, pde.ansatz, pde.exact),
        pde.exact_source,
    )


def test_fingerprints_are_the_same_in_every_process() -> None:
    """Results do not depend on Python's hash seed, and so not on the order of a set."""
    names = ["allen-cahn/two-body", "sine-gordon/sin-three-body"]
    code = f"import json, pdezoo; print(json.dumps([pdezoo.make(n, dim=10).fingerprint for n in {names!r}]))"
    here = [pdezoo.make(n, dim=10).fingerprint for n in names]
    assert [json.loads(python(code, PYTHONHASHSEED=s)) for s in ("1", "2")] == [here, here]


def test_allen_cahn_is_at_most_twelve_lines() -> None:
    path = Path(importlib.import_module("pdezoo.equations.allen_cahn").__file__)
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 12
    assert [n.name for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)] == ["allen_cahn"]


@pytest.mark.parametrize("name", ["Upper", "a b", "", "ü", "a/b", "-a"])
def test_malformed_names_cannot_be_registered(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case"):
        pdezoo.register(name)


def test_a_name_cannot_be_taken_twice() -> None:
    def poisson(dim: int) -> None:
        """Another function with the name of a registered problem."""

    importlib.import_module("pdezoo.equations.poisson")
    with pytest.raises(ValueError, match="already"):
        pdezoo.register("poisson")(poisson)


def test_public_names_exist() -> None:
    for layer in REGISTRIES.values():
        assert all(hasattr(layer, name) for name in layer.__all__)
        with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
            _ = layer.nonsense


SOUND = '''from zz_folder import register
@register("sound", variants=("a", "b"))
def sound(variant="a"):
    """Sound."""
'''
UNREADABLE = {
    "no_python": ("def f(:\n", "line 1"),
    "named_elsewhere": ('NAME = "x"\n@register(NAME)\ndef x():\n    """X."""\n', "line 2"),
    "computed": ('@register("x", variants=("a", "b" * 2))\ndef x():\n    """X."""\n', "line 1"),
    "no_record_holds_it": ('@register("x", variants=("γ=1",))\ndef x():\n    """X."""\n', "γ=1"),
    "not_text": (b"\xff\xfe\x00", "not_text.py"),
}


def test_a_broken_file_of_the_folder_is_listed_and_takes_nothing_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "zz_folder"
    folder.mkdir()
    (folder / "__init__.py").write_text("register = None\n")
    (folder / "sound.py").write_text(SOUND)
    for name, (content, _) in UNREADABLE.items():
        (folder / f"{name}.py").write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "fails.py").write_text('@register("fails")\ndef fails():\n    """Fails."""\n')
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry("thing", "zz_folder", "zz.nothing")
    sys.modules.pop("zz_folder", None)
    monkeypatch.setattr(importlib.import_module("zz_folder"), "register", registry.register)
    entries = registry.catalogue()
    assert registry.names() == ["fails", "sound/a", "sound/b"]
    assert registry.factory("sound")() is None
    errors = " ".join(str(e.error) for e in entries.values())
    for name, (_, clue) in UNREADABLE.items():
        assert clue in errors
        assert f"{name}.py" in errors or name == "no_record_holds_it"
    with pytest.raises(
        BrokenPlugin, match=r"fails.py, line 1: NameError"
    ):  # `register` is not imported there
        registry.factory("fails")
    assert "NameError" in str(registry.catalogue()["fails"].error)
    with pytest.raises(BrokenPlugin, match="line 1"):
        registry.factory("no-python")


ENCODINGS = {
    "a byte-order mark, as Notepad and PowerShell write it": ("utf-8-sig", "", "\n"),
    "a declared encoding": ("latin-1", "# -*- coding: latin-1 -*-\n", "\n"),
    "line ends of Windows": ("utf-8", "", "\r\n"),
}


@pytest.mark.parametrize("written", ENCODINGS)
def test_a_file_that_python_can_read_is_listed_and_imported(
    written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the registry reads is what the import system does, whatever the editor that wrote it."""
    encoding, head, end = ENCODINGS[written]
    source = (head + SOUND.replace("Sound.", "Sound, Größe é.")).replace("\n", end)
    folder = tmp_path / "zz_folder"
    folder.mkdir()
    (folder / "__init__.py").write_text("register = None\n")
    (folder / "sound.py").write_bytes(source.encode(encoding))
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("zz_folder", "zz_folder.sound"):
        sys.modules.pop(name, None)
    registry = Registry("thing", "zz_folder", "zz.nothing")
    monkeypatch.setattr(importlib.import_module("zz_folder"), "register", registry.register)
    (entry,) = registry.catalogue().values()
    assert (entry.error, entry.summary, entry.variants) == (None, "Sound, Größe é.", ("a", "b"))
    assert registry.factory("sound")() is None
    assert registry._registered["sound"] == entry


@pytest.mark.parametrize("variant", ["γ=1", "two body", "a/b", "", "x" * 130, 3])
def test_a_variant_that_no_record_holds_is_refused(variant: object) -> None:
    with pytest.raises(ValueError, match=r"variant's name|at most 120"):
        Registry("thing", "pdezoo.equations", "zz.nothing").register("zz", variants=("plain", variant))


def test_what_is_registered_by_hand_can_be_made() -> None:
    """As in a notebook: no file of the folder, no entry point."""
    code = """
    import pdezoo
    from pdezoo import PDE, Ball, Exact, Laplacian, u

    @pdezoo.register("zz-by-hand", variants=("plain",))
    def zz_by_hand(dim: int, variant: str = "plain") -> PDE:
        \"\"\"Δu = g.\"\"\"
        ansatz = Ball(dim).vanishing()
        return PDE(Laplacian(u), Ball(dim), ansatz, Exact(ansatz.factor))

    print(pdezoo.make("zz-by-hand", dim=3).name, "zz-by-hand" in pdezoo.catalogue())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["zz-by-hand/plain", "True"], done.stderr
