"""What a person does to a fit in a notebook: numbers that cannot be meant, an interrupt, strict settings of JAX."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pdezoo
import solvers
from pdezoo import TestSet

PDE = pdezoo.make("poisson/two-body", dim=4)
OTHERS = [
    pdezoo.make("poisson/two-body", dim=5),
    pdezoo.make("poisson/two-body", dim=4, seed=1),
    pdezoo.make("sine-gordon/two-body", dim=4),
    pdezoo.make("hjb-lqg/log", dim=4),
]
"""Problems with another solution: of another dimension, instance, equation, in time."""
SOLVER = solvers.make("stde", width=8, depth=2, samples=2)
RIGHT: dict[str, st.SearchStrategy] = {
    "steps": st.one_of(st.integers(0, 2), st.builds(np.int32, st.integers(0, 2))),
    "batch": st.integers(1, 3),
    "seed": st.one_of(st.integers(0, 2**32 - 1), st.builds(np.uint8, st.integers(0, 255))),
    "evaluations": st.integers(1, 2**31 - 1),
    "seconds": st.sampled_from([None, 0, 0.0, 1e9, np.float32(1e9), float("inf")]),
    "test": st.sampled_from([None, TestSet(PDE, 2)]),
}
WRONG: dict[str, Any] = {
    "steps": st.one_of(
        st.floats(), st.integers(max_value=-1), st.integers(min_value=2**31), st.text(), st.booleans()
    ),
    "batch": st.one_of(
        st.floats(), st.integers(max_value=0), st.integers(min_value=2**31), st.none(), st.booleans()
    ),
    "seed": st.one_of(st.floats(), st.integers(max_value=-1), st.integers(min_value=2**32), st.none()),
    "evaluations": st.one_of(st.floats(), st.integers(max_value=0), st.none()),
    "seconds": st.one_of(st.floats(max_value=-1e-9), st.just(float("nan")), st.text(), st.booleans()),
    "test": st.one_of(
        st.integers(),
        st.text(),
        st.just(PDE),
        st.just(TestSet),
        st.sampled_from([TestSet(p, 2) for p in OTHERS]),
    ),
    "progress": st.one_of(st.integers(), st.text().filter(lambda s: s != "auto"), st.just(np.ones(2))),
    "pde": st.one_of(st.integers(), st.text(), st.none(), st.just(type(PDE)), st.just(PDE.operator)),
}


@pytest.mark.fuzz
@given(data=st.data())
def test_what_cannot_be_meant_is_refused_by_its_name(data: st.DataObject) -> None:
    """One argument is wrong, all others are any that can be meant."""
    wrong = data.draw(st.sampled_from(sorted(WRONG)))
    arguments = {name: data.draw(strategy) for name, strategy in RIGHT.items()}
    arguments |= {"pde": PDE, "progress": None, wrong: data.draw(WRONG[wrong])}
    with pytest.raises(ValueError, match="a PDE" if wrong == "pde" else wrong):
        SOLVER.fit(**arguments)


@pytest.mark.parametrize("name", ["stde", "null-affine", "green-monte-carlo"])
@pytest.mark.parametrize("other", OTHERS, ids=lambda p: f"{p.name} {p.dim} {p.seed}")
def test_a_test_set_of_another_solution_is_refused(name: str, other: pdezoo.PDE) -> None:
    with pytest.raises(ValueError, match=r"test is a TestSet of poisson/two-body at d = 4, instance 0"):
        solvers.make(name).fit(PDE, steps=1, test=TestSet(other, 2), progress=None)


def test_the_same_problem_made_again_is_the_same() -> None:
    again = TestSet(pdezoo.make("poisson/two-body", dim=4), 2)
    assert (
        solvers.make("null-zero").fit(PDE, test=again).errors
        == solvers.make("null-zero").fit(PDE, test=TestSet(PDE, 2)).errors
    )


def test_a_null_predictor_takes_what_any_solver_takes_and_nothing_else() -> None:
    null = solvers.make("null-zero")
    for wrong in ({"steps": -1}, {"batch": 0}, {"seconds": -1.0}, {"seed": 0.5}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            null.fit(PDE, test=TestSet(PDE, 2), **wrong)
    with pytest.raises(TypeError, match="bacth"):
        null.fit(PDE, bacth=10)


@pytest.mark.fuzz
@settings(max_examples=2 if settings().max_examples < 1000 else 100)
@given(arguments=st.fixed_dictionaries(RIGHT))
def test_what_can_be_meant_is_trained(arguments: dict[str, Any]) -> None:
    """Every example compiles for seconds: 2 by default, 100 with `make fuzz`."""
    result = SOLVER.fit(PDE, **arguments, progress=None)
    assert result.status == "ok"
    assert result.steps == (0 if arguments["seconds"] == 0 else arguments["steps"])
    assert (result.errors is None) == (arguments["test"] is None)


def test_numpy_integers_are_numbers() -> None:
    assert SOLVER.fit(PDE, steps=np.int64(2), batch=np.int32(4), seed=np.uint8(1), progress=None).steps == 2


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's own handler of interrupts, also where the tests were started in the background, with interrupts ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_fit_returns_what_was_trained_and_the_next_is_as_ever() -> None:
    first = SOLVER.fit(PDE, steps=20, progress=None)

    def interrupt(step: int, *_: Any) -> None:
        if step > 1:
            os.kill(os.getpid(), signal.SIGINT)

    result = SOLVER.fit(PDE, steps=2**30, progress=interrupt)
    assert result.status == "interrupted"
    assert 1 < result.steps < 2**30
    assert str(result.steps) in result.reason
    assert np.isfinite(result.u(np.zeros(4)))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert SOLVER.fit(PDE, steps=20, progress=None).loss == first.loss


STRICT: dict[str, Any] = {
    "no rank promotion": lambda: jax.numpy_rank_promotion("raise"),
    "strict types": lambda: jax.numpy_dtype_promotion("strict"),
    "not compiled": lambda: jax.disable_jit(),
    "nans are errors": lambda: jax.debug_nans(True),
    "leaks are errors": lambda: jax.checking_leaks(),
}


@pytest.mark.parametrize(
    "setting",
    [
        pytest.param(s, marks=[] if s in ("no rank promotion", "strict types") else [pytest.mark.slow])
        for s in STRICT
    ],
)
def test_strict_settings_change_nothing(setting: str) -> None:
    usual = _errors_of_a_fit()
    strict: AbstractContextManager[Any] = STRICT[setting]()
    with strict:
        assert _errors_of_a_fit() == pytest.approx(usual, rel=1e-5)


def test_matrices_are_multiplied_in_float32_unless_a_user_asks_for_less() -> None:
    """Products of matrices on an accelerator are in a shorter format by default; the compiled step says which it wants."""

    def precisions() -> set[str]:
        program = SOLVER.compile(PDE, batch=4).executable.as_text()
        assert " dot(" in program
        return set(re.findall(r"operand_precision=\{([^}]*)\}", program))

    assert precisions() == {"highest,highest"}
    with jax.default_matmul_precision("tensorfloat32"):
        assert "high,high" in precisions()


def _errors_of_a_fit() -> list[float]:
    """The errors of three steps, those of the null predictors, and a value of the solution."""
    test = pdezoo.TestSet(PDE, 20)
    result = SOLVER.fit(PDE, steps=3, batch=4, test=test, progress=None)
    assert result.errors is not None
    nulls = [errors["relative_l2"] for errors in pdezoo.null_errors(test).values()]
    return [*result.errors.values(), *nulls, float(result.u(np.full(4, 0.1)))]
