"""What is said of a request that cannot be met."""

from __future__ import annotations

import pytest

from benchmarks.errors import UserError
from benchmarks.library import library
from benchmarks.plan import _solver


@pytest.mark.parametrize("given", [{"samples": 0}, {"depth": 1}, {"sample": 3}])
def test_an_error_names_its_solver_once(given: dict) -> None:
    with pytest.raises(UserError, match=r"^stde") as caught:
        _solver("stde", given, library())
    assert str(caught.value).count("stde") == 1
