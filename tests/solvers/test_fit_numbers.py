"""What a person does to a fit in a notebook: numbers that cannot be meant, an interrupt, strict settings of JAX."""

from __future__ import annotations

import os
import signal
from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pdezoo
import solvers

PDE = pdezoo.make("poisson/two-body", dim=4)
SOLVER = solvers.make("stde", width=8, depth=2, samples=2)
WRONG: dict[str, Any] = {
    "steps": st.one_of(
        st.floats(), st.integers(max_value=-1), st.integers(min_value=2**31), st.text(), st.booleans()
    ),
    "batch": st.one_of(
        st.floats(), st.integers(max_value=0), st.integers(min_value=2**31), st.none(), st.booleans()
    ),
    "seed": st.one_of(st.floats(), st.integers(max_value=-1), st.integers(min_value=2**32), st.none()),
    "evaluations": st.one_of(st.floats(), st.integers(max_value=0), st.none()),
    "seconds": st.one_of(st.floats(max_value=-1e-9), st.just(float("nan")), st.text()),
}


@pytest.mark.parametrize("name", WRONG)
@given(data=st.data())
def test_a_number_that_cannot_be_meant_is_refused_by_its_name(name: str, data: st.DataObject) -> None:
    with pytest.raises(ValueError, match=name):
        SOLVER.fit(PDE, **{"steps": 3, name: data.draw(WRONG[name])}, progress=None)


def test_numpy_integers_are_numbers() -> None:
    assert SOLVER.fit(PDE, steps=np.int64(2), batch=np.int32(4), seed=np.uint8(1), progress=None).steps == 2


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
    "setting", [pytest.param(s, marks=[pytest.mark.slow] if "errors" in s else []) for s in STRICT]
)
def test_strict_settings_change_nothing(setting: str) -> None:
    usual = _errors_of_a_fit()
    strict: AbstractContextManager[Any] = STRICT[setting]()
    with strict:
        assert _errors_of_a_fit() == pytest.approx(usual, rel=1e-5)


def _errors_of_a_fit() -> list[float]:
    """The errors of three steps, those of the null predictors, and a value of the solution."""
    test = pdezoo.TestSet(PDE, 20)
    result = SOLVER.fit(PDE, steps=3, batch=4, test=test, progress=None)
    assert result.errors is not None
    nulls = [errors["relative_l2"] for errors in pdezoo.null_errors(test).values()]
    return [*result.errors.values(), *nulls, float(result.u(np.full(4, 0.1)))]
