"""The public names of `pdezoo` and `solvers` that the harness builds on, in one place.

They are imported late: importing them costs seconds, may start JAX, and may fail, which is then a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Library:
    """What the harness needs of the packages under test. Tests pass their own."""

    make_pde: Callable[..., Any]
    make_solver: Callable[..., Any]
    test_set: Callable[..., Any]
    null_errors: Callable[[Any], dict[str, dict[str, float]]]
    bad_dimension: type[Exception]
    bad_hyperparameter: type[Exception]


def library() -> Library:
    """The installed packages. Raises ImportError if one of them cannot be imported."""
    import pdezoo
    import solvers

    return Library(
        make_pde=pdezoo.make,
        make_solver=solvers.make,
        test_set=pdezoo.TestSet,
        null_errors=pdezoo.null_errors,
        bad_dimension=pdezoo.BadDimension,
        bad_hyperparameter=solvers.BadHyperparameter,
    )


def catalogues() -> tuple[dict[str, Any], dict[str, Any]]:
    """What is registered: problems and solvers, by name. Imports neither JAX nor SymPy."""
    import pdezoo
    import solvers

    return pdezoo.catalogue(), solvers.catalogue()


def names() -> tuple[list[str], list[str]]:
    """Full names of the problems (`family/variant`) and of the solvers that can be made."""
    import pdezoo
    import solvers

    return pdezoo.names(), solvers.names()
