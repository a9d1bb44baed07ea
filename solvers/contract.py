"""The contract that every registered solver keeps, one clause at a time, each failure explained.

    for finding in solvers.check("stde"): print(finding.name, finding.ok, finding.seen)

The tests of the repository and `pdezoo check` run these same clauses, so that a plug-in is held to what the rows
of this repository are held to.
"""

from __future__ import annotations

import json
import math
import textwrap
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp

import pdezoo
from pdezoo import (
    Biharmonic,
    Coefficients,
    Diffusion,
    Drift,
    GradNorm1,
    GradNormSq,
    Laplacian,
    Points,
    X,
    r2,
    u,
    window_sum,
)

from .derivatives.field import Field
from .hyperparameters import BadHyperparameter
from .neural import Compiled, NeuralSolver, on_device
from .solver import Solver

DRAWS = 4000
"""The number of estimates whose mean the clause `unbiased` compares with the exact value."""

_DIM = 10
_GROWTH = 1.1  # at most, of bytes at 8 d over 8 × bytes at d: buffers are rounded up to whole ones
FEW_AND_MANY = (8_000, 64_000)
"""The two dimensions at which the memory of a compiled step is compared."""
_SMALL = {"width": 16, "depth": 3}
_STEPS, _CHUNK = 2_000, 50


@dataclass(frozen=True)
class Finding:
    """The outcome of one clause: what it expects, what was seen, and advice where these differ.

    `ok` is None where the clause does not concern this contribution.
    """

    name: str
    ok: bool | None
    expected: str
    seen: str
    advice: str = ""


class Violation(Exception):
    """Raised by a clause's test where the clause does not hold; the message says what was seen."""


class NotApplicable(Exception):
    """Raised by a clause's test that has nothing to say about a contribution; the message says why."""


@dataclass(frozen=True)
class Clause:
    """One promise that a contribution keeps: what is expected, and advice for those who fail it.

    `test` takes the contribution and returns what it saw, or raises Violation or NotApplicable.
    """

    name: str
    expected: str
    advice: str
    test: Callable[[Any], str]

    def finding(self, subject: Any) -> Finding:
        """Tests `subject` and returns the outcome. Any other exception of the test is a failure too.

        Raises UnknownName where the test does: whoever asked misspelt a name.
        """
        try:
            return Finding(self.name, True, self.expected, self.test(subject))
        except NotApplicable as reason:
            return Finding(self.name, None, self.expected, str(reason))
        except Violation as violation:
            seen = str(violation)
        except pdezoo.UnknownName:  # whoever asked misspelt it
            raise
        except (Exception, SystemExit) as error:  # foreign code may do anything
            seen = raised(error)
        return Finding(self.name, False, self.expected, seen, self.advice)


def raised(error: BaseException) -> str:
    """Describes an exception in one line: its type, its message, and the file, line and function that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    where = (
        f" ({frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}, {frames[-1].name})"
        if frames
        else ""
    )
    words = (str(error).strip().splitlines() or ["no message"])[0]
    return f"{type(error).__name__}: {textwrap.shorten(words, 300, placeholder=' …')}{where}"


def findings(subject: Any, clauses: tuple[Clause, ...]) -> Iterator[Finding]:
    """Yields the finding of every clause. It stops after a failure of the first clause, since the others need what that
    one promises.
    """
    for clause in clauses:
        finding = clause.finding(subject)
        yield finding
        if finding.ok is False and clause is clauses[0]:
            return


@dataclass(frozen=True)
class Candidate:
    """The registered solver under test, by name, and what the clauses need of it."""

    name: str

    @cached_property
    def solver(self) -> Solver:
        """The solver with its default hyperparameters, as registered."""
        return _make(self.name)

    @cached_property
    def small(self) -> Solver:
        """The solver with a network of width 16 and depth 3, where it has such hyperparameters."""
        own = _numbers(self.solver)
        return _make(self.name, **{k: v for k, v in _SMALL.items() if k in own})

    @cached_property
    def pde(self) -> pdezoo.PDE:
        """The first registered problem that it supports, Poisson's equation where it can.

        Raises NotApplicable if there is none.
        """
        first = sorted(_problems(), key=lambda pde: not pde.name.startswith("poisson/"))
        for pde in first:
            if self.solver.unsupported(pde) is None:
                return pde
        raise NotApplicable("it supports no registered problem")

    def require_trained(self) -> NeuralSolver:
        """Returns the small solver. Raises NotApplicable where it is not made of estimator, trainer and network."""
        if not isinstance(self.small, NeuralSolver):
            raise NotApplicable("it has no estimator, trainer and network")
        return self.small


def check(name: str) -> tuple[Finding, ...]:
    """Holds the registered solver `name` to every clause and returns the findings.

    Raises UnknownName for a name that nobody registered.
    """
    return tuple(findings(Candidate(name), CLAUSES))


def _make(name: str, **changes: Any) -> Solver:
    from . import make

    return make(name, **changes)


@cache
def _problems() -> tuple[pdezoo.PDE, ...]:
    """Returns one problem of each family, at ten dimensions or at the number it is fixed to; those that cannot be made
    are left out.
    """
    problems = []
    for entry in pdezoo.catalogue().values():
        with suppress(Exception, SystemExit):
            problems.append(_somewhere(entry.full_names()[0]))
    return tuple(problems)


def _somewhere(name: str) -> pdezoo.PDE:
    try:
        return pdezoo.make(name, dim=_DIM)
    except pdezoo.BadDimension:
        return pdezoo.make(name)


@lru_cache(maxsize=64)
def _lowered(pde: pdezoo.PDE) -> Any:
    return on_device(pde)


def _made(subject: Candidate) -> str:
    solver = subject.solver
    if not isinstance(solver, Solver):
        raise Violation(f"the registered function returned a {type(solver).__name__}")
    if solver.name != subject.name:
        raise Violation(f"it calls itself {solver.name!r}")
    return f"a {type(solver).__name__}"


def _hyperparameters(subject: Candidate) -> str:
    shown = subject.solver.hyperparameters()
    try:
        json.dumps(shown, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Violation(f"hyperparameters() are not JSON: {error}") from None
    if _make(subject.name).hyperparameters() != shown:
        raise Violation("two solvers made the same way have different hyperparameters")
    own = _numbers(subject.solver)
    for name, value in own.items():
        if _make(subject.name, **{name: value}).hyperparameters() != shown:
            raise Violation(f"make({subject.name!r}, {name}={value!r}) is another solver than the default")
    return ", ".join(f"{n}={v!r}" for n, v in own.items()) or "none to change"


def _numbers(solver: Solver) -> dict[str, bool | int | float]:
    """Returns the numbers and booleans among its hyperparameters, or those of its parts, that it lets change."""
    shown = solver.hyperparameters()
    parts = [shown, *(part for part in shown.values() if isinstance(part, dict))]
    numbers = {n: v for part in parts for n, v in part.items() if isinstance(v, bool | int | float)}
    return {name: value for name, value in numbers.items() if _changes(solver, name, value)}


def _changes(solver: Solver, name: str, value: Any) -> bool:
    try:
        solver.with_hyperparameters(**{name: value})
    except BadHyperparameter:
        return False
    return True


def _crosses(subject: Candidate) -> str:
    supported = [pde for pde in _problems() if not _reason(subject.solver, pde)]
    if not supported:
        raise Violation(f"it supports none of {len(_problems())} registered families")
    for pde in supported:
        if isinstance(subject.small, NeuralSolver):
            _trace(subject.small, pde)
    refused = len(_problems()) - len(supported)
    return f"{len(supported)} families supported, {refused} refused with a reason"


def _reason(solver: Solver, pde: pdezoo.PDE) -> str | None:
    reason = solver.unsupported(pde)
    if reason is not None and (not isinstance(reason, str) or not reason.strip()):
        raise Violation(f"unsupported({pde.name}) is {reason!r}, neither None nor a reason")
    if reason:
        try:
            solver.fit(pde, steps=1, batch=4, progress=None)
        except ValueError:
            return reason
        raise Violation(f"{pde.name} is unsupported, but fit does not raise ValueError")
    return None


def _trace(solver: NeuralSolver, pde: pdezoo.PDE) -> None:
    problem = _lowered(pde)
    try:
        jax.eval_shape(lambda: solver.step(problem, solver.init(problem, 0, 10), 4))
    except Exception as error:
        raise Violation(f"unsupported({pde.name}) is None, but a step raises {raised(error)}") from None


def _shapes(subject: Candidate) -> str:
    solver, problem = subject.require_trained(), _lowered(subject.pde)

    def estimates() -> tuple[Any, Any]:
        state = solver.init(problem, 0, 10)
        points = problem.sample(jax.random.key(0), 7)
        values = solver.estimator(
            Field(problem, state.params, solver.network), problem.atoms, points, state.key
        )
        return {pdezoo.atom_text(atom): values[atom] for atom in problem.atoms}, solver.predict(
            problem, state.params, points
        )

    values, prediction = jax.eval_shape(estimates)
    for what, value in {**values, "the prediction": prediction}.items():
        if value.shape != (7,) or value.dtype != jnp.float32:
            raise Violation(f"{what} of 7 points has shape {value.shape} and type {value.dtype}")
    return f"{', '.join(values)} and the prediction, float32 of shape (7,)"


def _repeatable(subject: Candidate) -> str:
    solver, pde, test = subject.small, subject.pde, pdezoo.TestSet(subject.pde, 50)
    one = test.predict(solver.fit(pde, steps=6, seed=1, batch=8, progress=None).predict)
    compiled = solver.compile(pde, steps=6, batch=8)
    if compiled is not None:
        again, other = _two_seeds(compiled, test)
        if np.array_equal(one, other):
            raise Violation("seeds 1 and 2 give the same solution")
    else:
        again = test.predict(solver.fit(pde, steps=6, seed=1, batch=8, progress=None).predict)
    if not np.array_equal(one, again):
        raise Violation(f"two runs of seed 1 differ by up to {np.abs(one - again).max():.3g}")
    return f"the same bits at {test.size} points after 6 steps"


def _two_seeds(compiled: Compiled, test: pdezoo.TestSet) -> list[np.ndarray]:
    """Returns predictions at the test points after six steps from seeds 1 and 2, in one compiled loop."""
    ends = [compiled.advance(compiled.init(seed), 6)[0].params for seed in (1, 2)]
    return [test.predict(compiled.predictor(params)) for params in ends]


def _unbiased(subject: Candidate) -> str:
    solver = subject.require_trained()
    if not solver.estimator.unbiased:
        raise NotApplicable(f"{type(solver.estimator).__name__} declares itself biased")
    problem = _probe(solver)
    with jax.enable_x64(True):
        at, field = _double_field(solver, problem)
        exact = _exact(solver, field, at)
        drawn = _drawn(solver, field, at)
    for atom, values, want in zip(problem.atoms, drawn, exact, strict=True):
        error = np.abs(values.mean(0) - want)
        bound = 4 * values.std(0) / math.sqrt(DRAWS) + 1e-5 * (np.abs(want) + np.abs(want).max())
        if not (error <= bound).all():
            k = int(np.argmax(error - bound))
            off = f"{values.mean(0)[k]:.6g} against {want[k]:.6g}, standard error {values.std(0)[k] / math.sqrt(DRAWS):.2g}"
            raise Violation(f"the mean of {pdezoo.atom_text(atom)} over {DRAWS} keys is {off}")
    return f"{', '.join(map(pdezoo.atom_text, problem.atoms))}: means over {DRAWS} keys"


def _probe(solver: NeuralSolver) -> Any:
    """Returns a small problem with every atom that the estimator takes, whose ansatz varies in both parts; or one that
    it supports.
    """
    known = (
        Laplacian(u),
        GradNormSq(u),
        GradNorm1(u),
        Diffusion(u, r2),
        Drift(u, window_sum(1 - X[0], coefficients=Coefficients(4))),
        Biharmonic(u),
    )
    atoms = [a for a in known if isinstance(a, solver.estimator.atoms)]
    waves = window_sum(sp.sin(X[0]), coefficients=Coefficients(3))
    ansatz = pdezoo.Ansatz(1 - r2 / (2 * pdezoo.d), waves)
    if any(isinstance(a, Laplacian) for a in atoms):
        atoms = [a for a in atoms if not isinstance(a, Biharmonic)]  # one order at a time: they share no pass
    for chosen in (atoms, atoms[:1]):
        if chosen:
            made = pdezoo.PDE(sum(chosen), pdezoo.Gaussian(5), ansatz, pdezoo.Exact(waves), source=0)
            if solver.unsupported(made) is None:
                return made.lower()
    return Candidate(solver.name).pde.lower()


def _double_field(solver: NeuralSolver, problem: Any) -> tuple[Points, Field]:
    """Returns three points and a field with generic parameters, both in float64; to be called under `enable_x64`."""
    wide = lambda tree: jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), tree)
    params = solver.network.init(jax.random.key(0), problem.domain.dim, problem.has_time)
    leaves, shape = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [a + 0.2 * jax.random.normal(k, a.shape) for a, k in zip(leaves, keys, strict=True)]
    at = wide(problem.sample(jax.random.key(2), 3))
    return at, Field(wide(problem), wide(jax.tree.unflatten(shape, moved)), solver.network)


def _exact(solver: NeuralSolver, field: Field, at: Points) -> list[np.ndarray]:
    """Computes every atom, (B,), by nested autodiff of the function that the estimator means: independent of the code
    of estimators.
    """
    atoms = field.problem.atoms
    function = lambda f, p: pdezoo.nested_autodiff(lambda q: solver.estimator.value(f, q), p, atoms)
    values = jax.jit(lambda f, p: [function(f, p)[a] for a in atoms])(field, at)
    return [np.asarray(v) for v in values]


def _drawn(solver: NeuralSolver, field: Field, at: Points) -> list[np.ndarray]:
    """Returns the estimates of every atom for DRAWS keys, each (DRAWS, B)."""
    atoms = field.problem.atoms

    def one(f: Field, p: Points, seed: Any) -> list[Any]:
        values = solver.estimator(f, atoms, p, jax.random.key(seed))
        return [values[a] for a in atoms]

    many = jax.jit(lambda f, p, seeds: jax.lax.map(lambda s: one(f, p, s), seeds, batch_size=500))
    return [np.asarray(v) for v in many(field, at, jnp.arange(DRAWS))]


def _coordinates(subject: Candidate) -> str:
    solver = subject.require_trained()
    if not solver.accepts_lazy_coordinates:
        raise NotApplicable("a part of it needs x as an array, and says so")
    pde = _with_lazy_coordinates(solver)
    problem, forms = _lowered(pde), _lazy_forms(pde.domain)
    params = jax.jit(lambda: solver.init(problem, 0, 10).params)()

    @jax.jit
    def estimates(points: Points) -> Any:
        values = solver.estimator(
            Field(problem, params, solver.network), problem.atoms, points, jax.random.key(1)
        )
        return jnp.stack([values[a] for a in problem.atoms])

    for form, points in forms.items():
        seen, want = estimates(points), estimates(points._replace(x=pdezoo.materialize(points.x)))
        error, size = jnp.abs(seen - want).max(axis=1), jnp.abs(want).max(axis=1)
        for atom, off, scale in zip(problem.atoms, error, size, strict=True):
            if not off <= 1e-3 * scale:
                raise Violation(
                    f"{pdezoo.atom_text(atom)} is off by {off:.2g} of {scale:.2g} on {pde.name} where x is {form}"
                )
    return f"{', '.join(map(pdezoo.atom_text, problem.atoms))} on {pde.name}, {' and '.join(forms)}"


def _with_lazy_coordinates(solver: NeuralSolver) -> pdezoo.PDE:
    """Returns the first problem that it supports whose domain offers lazy coordinates.

    Raises NotApplicable if there is none.
    """
    for pde in _problems():
        if _lazy_forms(pde.domain) and solver.unsupported(pde) is None:
            return pde
    raise NotApplicable("it supports no registered problem whose domain offers coordinates that are no array")


def _lazy_forms(domain: pdezoo.Domain) -> dict[str, Points]:
    """Returns seven points in every lazy form that a domain has, by the name of the type of x; empty where it has arrays only.

    The forms are the one that `coordinates` offers, and coordinates in blocks of 4 where the domain has a method `stream`.
    """
    points = domain.coordinates(jax.random.key(0), 7)
    if not isinstance(points.x, pdezoo.Coordinates):
        return {}
    stream = getattr(domain, "stream", None)
    forms = [points, stream(jax.random.key(0), 7, 4)] if stream else [points]
    return {type(form.x).__name__: form for form in forms}


def _learns(subject: Candidate) -> str:
    compiled = _compiled(subject.small, subject.pde, steps=_STEPS, batch=32, chunk=_CHUNK)
    state, losses = compiled(compiled.init(seed=0))
    first = mean = float(losses.mean)
    done = _CHUNK
    while mean >= 0.5 * first and done < _STEPS:
        state, losses = compiled(state)
        mean, done = float(losses.mean), done + _CHUNK
    seen = f"on {subject.pde.name} the mean loss of {_CHUNK} steps goes from {first:.3g} to {mean:.3g} within {done:,} steps"
    if not mean < 0.5 * first:
        raise Violation(seen)
    return seen


def _memory(subject: Candidate) -> str:
    solver = subject.small
    try:
        problems = [pdezoo.make(subject.pde.name, dim=dim) for dim in FEW_AND_MANY]
    except pdezoo.BadDimension:
        raise NotApplicable(f"{subject.pde.name} has few dimensions only") from None
    for pde in problems:
        if reason := solver.unsupported(pde):
            raise NotApplicable(f"at d = {pde.dim:,}: {reason}")
    small, large = (_compiled(solver, pde, steps=10, batch=8).bytes for pde in problems)
    return require_linear(small, large)


def _compiled(solver: Solver, pde: pdezoo.PDE, **options: int) -> Compiled:
    compiled = solver.compile(pde, **options)
    if compiled is None:
        raise NotApplicable("it compiles nothing")
    return compiled


def require_linear(small: int, large: int) -> str:
    """Describes the bytes that a compiled step needs at the two dimensions FEW_AND_MANY.

    Raises Violation where they grow faster than the dimension.
    """
    low, high = FEW_AND_MANY
    seen = f"{small / low:,.0f} bytes a dimension at d = {low:,}, {large / high:,.0f} at {high:,}"
    if large > _GROWTH * (high / low) * small:
        raise Violation(seen)
    return seen


CLAUSES = (
    Clause(
        "made",
        "the registered function makes a Solver that bears its name",
        "return NeuralSolver(NAME, …), or a subclass of Solver whose `name` is the registered one",
        _made,
    ),
    Clause(
        "hyperparameters",
        "hyperparameters() is plain JSON, the same each time, and make(name, field=value) changes a number by its name",
        "make every number a field of a frozen dataclass, and check its range in __post_init__",
        _hyperparameters,
    ),
    Clause(
        "crosses",
        "for one problem of every family: a step can be traced, or unsupported() gives the reason and fit raises ValueError",
        "list the atoms that the estimator gives in `atoms`; return a sentence from `unsupported` for anything else it cannot do",
        _crosses,
    ),
    Clause(
        "shapes",
        "every atom, and the prediction, is one float32 number for each point",
        "sum over directions, and return arrays of shape (B,); do not convert to another type",
        _shapes,
    ),
    Clause(
        "repeatable",
        "the same seed gives the same bits, another seed another solution",
        "take all randomness from the keys you are handed: no time, no global state, no iteration over a set",
        _repeatable,
    ),
    Clause(
        "unbiased",
        f"the mean of each atom over {DRAWS} keys lies within 4 standard errors of nested autodiff, in float64",
        "look at the weight of the sum (d/K for K of d axes) and at directions with E[v vᵀ] ≠ I; or declare unbiased = False",
        _unbiased,
    ),
    Clause(
        "coordinates",
        "where every part declares `accepts_lazy_coordinates`: at points whose x is no array, the estimates are those at the array",
        "leave x to the field and its methods; or do not declare accepts_lazy_coordinates = True, and be given arrays",
        _coordinates,
    ),
    Clause(
        "learns",
        f"within {_STEPS:,} steps of a small network, the mean loss of {_CHUNK} steps falls below half of the first {_CHUNK}",
        "look at the sign of the update, at its step size, and at state that is not carried on from step to step",
        _learns,
    ),
    Clause(
        "memory",
        "the compiled step needs at most 8.8 times the bytes at 8 times the dimension",
        "something of size d² is formed: sample directions instead of looping over all, and use field.second_order",
        _memory,
    ),
)
