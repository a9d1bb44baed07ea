"""Every registered solver keeps the contract, and every defect that is planted is found by its clause."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import pytest

import pdezoo
import solvers
from pdezoo import Ball, Biharmonic, FactoredCoordinates, Laplacian, u
from solvers import MLP, Adam, Axes, Estimator, NeuralSolver, Result, Solver, by_directions
from solvers.contract import CLAUSES, Candidate, check

QUICK = ("made", "hyperparameters", "shapes", "learns")
BY_NAME = {clause.name: clause for clause in CLAUSES}


def covering(kinds: dict[str, set[type]]) -> set[str]:
    """A small set of rows that together have every kind: always the row with most kinds that are still missing."""
    chosen: set[str] = set()
    missing = set().union(*kinds.values())
    while missing:
        best = max(sorted(kinds), key=lambda row: len(kinds[row] & missing))
        chosen.add(best)
        missing -= kinds[best]
    return chosen


PATIENT = ("fc-zo-se", "sp-zo", "fc-zo")
"""Zeroth-order rows that take many seconds to halve their loss; they are among the slow tests."""


def learners() -> set[str]:
    """Rows that have, together, every kind of trainer that is registered; patient ones left out.

    That estimators, networks and losses are right is tested without training.
    """
    made = {name: solvers.make(name) for name in solvers.names() if name not in PATIENT}
    return covering({n: {type(s.trainer)} for n, s in made.items() if isinstance(s, NeuralSolver)})


def cases() -> list[Any]:
    """Every row and clause; `slow` are those that take several compilations, but for one row, and the learning of rows beyond
    those that have every kind of trainer.
    """
    rows, learning = solvers.names(), learners()
    quick = lambda row, clause: clause in QUICK and not (clause == "learns" and row not in learning)
    marks = lambda row, clause: [] if quick(row, clause) or row == "null-zero" else [pytest.mark.slow]
    others = [c for c in BY_NAME if c not in ("unbiased", "coordinates")]
    return [pytest.param(r, c, marks=marks(r, c)) for r in rows for c in others]


@pytest.mark.parametrize(("name", "clause"), cases())
def test_every_solver_keeps_its_contract(name: str, clause: str) -> None:
    found = BY_NAME[clause].finding(Candidate(name))
    assert found.ok is not False, found
    assert found.seen


COMPARED = (
    "exact",
    "hte",
    "forward-laplacian",
    "sdgd-backward",
    "sdgd-parallel",
    "sdgd-forward-over-backward",
)
"""Rows whose estimators other tests hold to nested autodiff, or key by key to STDE."""


def declared_unbiased() -> list[Any]:
    """One row for every registered estimator that declares itself unbiased; `slow` those that are compared elsewhere."""
    made = {name: solvers.make(name) for name in reversed(solvers.names())}
    rows = {s.estimator: name for name, s in made.items() if isinstance(s, NeuralSolver)}
    names = [name for estimator, name in rows.items() if estimator.unbiased]
    compared = {made[name].estimator for name in COMPARED}
    marks = lambda name: [pytest.mark.slow] if made[name].estimator in compared else []
    return [pytest.param(name, marks=marks(name)) for name in names]


@pytest.mark.parametrize("name", declared_unbiased())
def test_estimators_that_declare_it_are_unbiased(name: str) -> None:
    found = BY_NAME["unbiased"].finding(Candidate(name))
    assert found.ok is True, found


def declared_streaming() -> list[Any]:
    """One row for every pair of estimator and network that declare it; `slow` beyond those that have every kind of network."""
    made = {name: solvers.make(name) for name in reversed(solvers.names())}
    rows = {
        (s.estimator, s.network): name
        for name, s in made.items()
        if isinstance(s, NeuralSolver) and s.accepts_lazy_coordinates
    }
    needed = covering({name: {type(network)} for (_, network), name in rows.items()})
    return [pytest.param(n, marks=[] if n in needed else [pytest.mark.slow]) for n in rows.values()]


@pytest.mark.parametrize("name", declared_streaming())
def test_estimators_that_declare_it_need_no_array(name: str) -> None:
    found = BY_NAME["coordinates"].finding(Candidate(name))
    assert found.ok is True, found


@dataclass(frozen=True)
class Sparse(Estimator):
    """∂² along sampled axes, times `factor`: 1 is right."""

    samples: int = 3
    factor: float = 1.0
    unbiased: ClassVar[bool] = True

    def __call__(self, field: Any, atoms: tuple, points: Any, key: Any) -> dict:
        """The atoms' estimates."""
        found = by_directions(field, atoms, points, Axes.draw(key, self.samples, field.dim))
        return found | {a: self.factor * v for a, v in found.items() if isinstance(a, Laplacian)}


@dataclass(frozen=True)
class Columns(Sparse):
    """Values of shape (B, 1)."""

    def __call__(self, field: Any, atoms: tuple, points: Any, key: Any) -> dict:
        """The atoms' estimates, of the wrong shape."""
        return {a: v[:, None] for a, v in super().__call__(field, atoms, points, key).items()}


CALLS = count()


@dataclass(frozen=True)
class Counting(Sparse):
    """Depends on how often it was traced."""

    def __call__(self, field: Any, atoms: tuple, points: Any, key: Any) -> dict:
        """The atoms' estimates, a little different for each compilation."""
        found = super().__call__(field, atoms, points, key)
        return {a: v * (1 + 0.01 * next(CALLS)) for a, v in found.items()}


@dataclass(frozen=True)
class Boastful(Sparse):
    """Says that it can do what it cannot."""

    atoms: ClassVar[tuple[Any, ...]] = (*Estimator.atoms, Biharmonic)


@dataclass(frozen=True)
class Silent(Sparse):
    """Refuses without a reason."""

    def unsupported(self, pde: Any, network: Any) -> str | None:
        """An empty reason for one operator."""
        return "" if Biharmonic(u) in pde.atoms else super().unsupported(pde, network)


@dataclass(frozen=True)
class Dense(Sparse):
    """Forms a matrix of size d × d on the way."""

    def __call__(self, field: Any, atoms: tuple, points: Any, key: Any) -> dict:
        """The atoms' estimates."""
        weight = field.params["first"]
        square = jnp.sin(jax.lax.optimization_barrier(weight @ weight.T))
        nothing = 0 * jnp.sum(jax.lax.optimization_barrier(square) @ weight)
        return {a: v + nothing for a, v in super().__call__(field, atoms, points, key).items()}


@dataclass(frozen=True)
class Lengthless(Sparse):
    """Says that it needs no array, and takes directions for points."""

    accepts_lazy_coordinates: ClassVar[bool] = True

    def __call__(self, field: Any, atoms: tuple, points: Any, key: Any) -> dict:
        """The atoms' estimates, elsewhere."""
        x = points.x.rows if isinstance(points.x, FactoredCoordinates) else points.x
        return super().__call__(field, atoms, points._replace(x=x), key)


@dataclass(frozen=True)
class Uphill(Adam):
    """Goes the wrong way."""

    def step(self, loss: Any, params: Any, state: Any, key: Any) -> tuple:
        """A step of Adam, backwards."""
        after, later, value = super().step(loss, params, state, key)
        return jax.tree.map(lambda p, q: 2 * p - q, params, after), later, value


ROW = NeuralSolver("planted", Sparse(), network=MLP(width=16, depth=3))
PLANTED = {
    "no solver": ("made", lambda: "a string", "returned a str"),
    "another name": ("made", lambda: replace(ROW, name="other"), "'other'"),
    "raises": ("made", lambda: 1 / 0, "ZeroDivisionError"),
    "exits": ("made", lambda: exit(3), "SystemExit"),
    "unwritable": ("hyperparameters", lambda: replace(ROW, estimator=Sparse(samples=3 + 0j)), "not JSON"),  # type: ignore[arg-type]
    "boasts": ("crosses", lambda: replace(ROW, estimator=Boastful()), "but a step raises"),
    "no reason": ("crosses", lambda: replace(ROW, estimator=Silent()), "neither None nor a reason"),
    "columns": ("shapes", lambda: replace(ROW, estimator=Columns()), "(7, 1)"),
    "not repeatable": ("repeatable", lambda: replace(ROW, estimator=Counting()), "differ"),
    "biased": ("unbiased", lambda: replace(ROW, estimator=Sparse(factor=1.2)), "Δu"),
    "lengthless": (
        "coordinates",
        lambda: replace(ROW, estimator=Lengthless()),
        "where x is FactoredCoordinates",
    ),
    "uphill": ("learns", lambda: replace(ROW, trainer=Uphill()), "mean loss"),
    "dense": ("memory", lambda: replace(ROW, estimator=Dense()), "bytes a dimension"),
}
"""What is wrong → the clause that must find it, the solver, and what the finding must say."""


@pytest.fixture
def plant():
    """Registers a function as the solver "planted", for the length of one test."""

    def register(factory: Any) -> None:
        solvers.register("planted")(lambda: factory())

    yield register
    solvers._registry._factories.pop("planted", None)
    solvers._registry._registered.pop("planted", None)


@dataclass(frozen=True)
class Guess(Solver):
    """All that a solver must have, and no more: u = `height` at every point."""

    name: str = "planted"
    height: float = 0.5
    terms: int = 3
    centred: bool = True
    basis: str = "cosine"
    note: str = "not shown"

    def hyperparameters(self) -> dict[str, Any]:
        """What decides, and a number that nobody can change."""
        shown = {"height": self.height, "terms": self.terms, "centred": self.centred, "basis": self.basis}
        return shown | {"order": 2}

    def unsupported(self, pde: Any) -> str | None:
        """Anything goes on a ball."""
        return None if isinstance(pde.domain, Ball) else "it guesses on balls only"

    def fit(self, pde: Any, *, test: Any = None, **_: Any) -> Result:
        """Nothing to do."""
        if reason := self.unsupported(pde):
            raise ValueError(reason)
        predict = lambda points: jnp.full(points.x.shape[0], self.height)
        errors = None if test is None else test.errors(predict)
        return Result("ok", "", 0, None, [], 0.0, None, None, None, errors, 0, predict)


def test_a_solver_of_three_methods_keeps_the_contract(plant: Any) -> None:
    plant(Guess)
    found = {f.name: f.ok for f in check("planted")}
    passed = {"made", "hyperparameters", "crosses", "repeatable"}
    assert found == {clause: True if clause in passed else None for clause in BY_NAME}
    assert Guess().compile(pdezoo.make("poisson/two-body", dim=4)) is None


def test_its_hyperparameters_change_by_name(plant: Any) -> None:
    plant(Guess)
    changed = solvers.make("planted", height=2, terms=5.0, centred=False, basis="sine")
    assert changed == Guess(height=2.0, terms=5, centred=False, basis="sine")
    assert type(changed.height) is float
    for wrong, words in {
        "size": "planted has no hyperparameter 'size'; it has basis, centred, height, terms",
        "note": "no hyperparameter 'note'",
        "order": "no hyperparameter 'order'",
        "terms": "terms is a int such as 3, got 2.5",
        "basis": "basis is a str such as 'cosine', got 2.5",
        "centred": "centred is a bool such as True, got 2.5",
    }.items():
        with pytest.raises(solvers.BadHyperparameter, match=re.escape(words)):
            solvers.make("planted", **{wrong: 2.5})


def test_only_what_is_fitted_on_the_solution_sees_it() -> None:
    seeing = {name for name in solvers.names() if solvers.make(name).sees_solution}
    assert seeing == {"null-constant", "null-affine"}


def planted() -> list[Any]:
    """Those that take two compilations of a training are `slow`."""
    slow = {"repeatable", "memory"}
    return [pytest.param(d, marks=[pytest.mark.slow] if c in slow else []) for d, (c, *_) in PLANTED.items()]


@pytest.mark.parametrize("defect", planted())
def test_a_planted_defect_is_found_and_explained(defect: str, plant: Any) -> None:
    clause, factory, words = PLANTED[defect]
    plant(factory)
    found = BY_NAME[clause].finding(Candidate("planted"))
    assert found.ok is False
    assert words in found.seen
    assert found.expected
    assert found.advice


@pytest.mark.slow
@pytest.mark.parametrize(
    "clause", ["hyperparameters", "shapes", "repeatable", "unbiased", "learns", "memory"]
)
def test_without_the_defect_nothing_is_found(clause: str, plant: Any) -> None:
    plant(lambda: ROW)
    found = BY_NAME[clause].finding(Candidate("planted"))
    assert found.ok is True, found


def test_after_a_solver_that_cannot_be_made_nothing_else_is_asked(plant: Any) -> None:
    plant(lambda: 1 / 0)
    assert [f.name for f in check("planted")] == ["made"]


def test_an_unknown_name_is_the_callers_mistake() -> None:
    with pytest.raises(solvers.UnknownName, match="stde"):
        check("stdee")
