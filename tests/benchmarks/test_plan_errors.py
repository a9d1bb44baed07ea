"""What is said of a request that cannot be met."""

from __future__ import annotations

import pytest

from benchmarks.planning.resolve import _solver
from benchmarks.planning.subjects import subjects
from benchmarks.records.errors import UserError


@pytest.mark.parametrize("given", [{"samples": 0}, {"depth": 1}, {"sample": 3}])
def test_an_error_names_its_solver_once(given: dict) -> None:
    with pytest.raises(UserError, match=r"^stde") as caught:
        _solver("stde", given, subjects())
    assert str(caught.value).count("stde") == 1
