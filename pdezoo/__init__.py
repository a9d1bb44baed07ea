"""pdezoo: symbolically defined PDEs with exact solutions, at any dimension, each one proven.

    pde = pdezoo.make("allen-cahn/two-body", dim=100)

The public names are listed in `__all__`. Those that need SymPy or JAX are imported when they are first used, so
that listing the zoo is instant.
"""

from __future__ import annotations

import importlib
import inspect
import operator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .registry import BrokenPlugin, Entry, Registry, UnknownName

if TYPE_CHECKING:
    from .ansatz import Ansatz, Side, at_time, boundary_data, initial, terminal
    from .calculus.atoms import (
        Atom,
        Biharmonic,
        D,
        Diffusion,
        DivGrad,
        Drift,
        Dt,
        EulerDerivative,
        GradNorm1,
        GradNormSq,
        Laplacian,
        WeightedAtom,
        u,
        x,
        y,
    )
    from .calculus.collective import Coefficients, X, coordinate_max, d, g, r2, t, window_sum, window_sums
    from .condition import (
        BoundaryCondition,
        BoundaryPoints,
        Condition,
        Periodic,
        SoftCondition,
        dirichlet,
        neumann,
        robin,
    )
    from .domain import Annulus, BadDimension, Ball, Box, BrownianTube, Domain, Gaussian
    from .evidence.nulls import Null, fit_nulls, null_errors
    from .evidence.testset import TestSet
    from .evidence.verification import Check, Report, audit, verify
    from .families.few_body import FEW_BODY, few_body
    from .lowering.autodiff import nested_autodiff
    from .lowering.coordinates import (
        Blockwise,
        Coordinates,
        FactoredCoordinates,
        Streamed,
        block_size,
        can_be_held,
        joined,
        materialize,
        stream_normals,
        streamed_product,
    )
    from .lowering.lowered import Lowered
    from .lowering.points import Points, in_float64, jet2, usual_arithmetic
    from .lowering.weights import displaced
    from .pde import PDE
    from .printing import atom_text, describe
    from .problem import ClosedForms, ClosedPartials, Problem, down_closure, multi_index
    from .solution import Exact, Formula, Reference

_HOMES = {
    "ansatz": ["Ansatz", "Side", "at_time", "boundary_data", "initial", "terminal"],
    "calculus.atoms": [
        "Atom",
        "Biharmonic",
        "D",
        "Diffusion",
        "DivGrad",
        "Drift",
        "Dt",
        "EulerDerivative",
        "GradNorm1",
        "GradNormSq",
        "Laplacian",
        "WeightedAtom",
        "u",
        "x",
        "y",
    ],
    "calculus.collective": [
        "Coefficients",
        "X",
        "coordinate_max",
        "d",
        "g",
        "r2",
        "t",
        "window_sum",
        "window_sums",
    ],
    "condition": [
        "BoundaryCondition",
        "BoundaryPoints",
        "Condition",
        "Periodic",
        "SoftCondition",
        "dirichlet",
        "neumann",
        "robin",
    ],
    "domain": ["Annulus", "BadDimension", "Ball", "Box", "BrownianTube", "Domain", "Gaussian"],
    "evidence.nulls": ["Null", "fit_nulls", "null_errors"],
    "evidence.testset": ["TestSet"],
    "evidence.verification": ["Check", "Report", "audit", "verify"],
    "families.few_body": ["FEW_BODY", "few_body"],
    "lowering.autodiff": ["nested_autodiff"],
    "lowering.coordinates": [
        "Blockwise",
        "Coordinates",
        "FactoredCoordinates",
        "Streamed",
        "block_size",
        "can_be_held",
        "joined",
        "materialize",
        "stream_normals",
        "streamed_product",
    ],
    "lowering.lowered": ["Lowered"],
    "lowering.points": ["Points", "in_float64", "jet2", "usual_arithmetic"],
    "lowering.weights": ["displaced"],
    "pde": ["PDE"],
    "printing": ["atom_text", "describe"],
    "problem": ["ClosedForms", "ClosedPartials", "Problem", "down_closure", "multi_index"],
    "solution": ["Exact", "Formula", "Reference"],
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

_registry = Registry("PDE", "pdezoo.equations", "pdezoo.equations")
register = _registry.register
catalogue = _registry.catalogue
names = _registry.names

__all__ = [
    "BrokenPlugin",
    "Entry",
    "Registry",
    "UnknownName",
    "catalogue",
    "make",
    "names",
    "register",
    *_HOME,
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pdezoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"pdezoo.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def make(name: str, dim: int | None = None, seed: int = 0) -> PDE:
    """The PDE called `name` (`family` or `family/variant`) in `dim` space dimensions; coefficients from `seed`.

    Raises UnknownName, BadDimension, or BrokenPlugin, each a ValueError that says what to try.
    """
    family, _, variant = str(name).partition("/")
    factory = _registry.factory(family)
    known = _registry.catalogue()[family].full_names()
    if variant and f"{family}/{variant}" not in known:
        raise UnknownName("PDE", name, known)
    chosen = f"{family}/{variant}" if variant else known[0]
    arguments: dict[str, Any] = {"variant": chosen.partition("/")[2]} if "/" in chosen else {}
    pde = factory(**_dimension(factory, chosen, dim), **arguments, **_seed(factory, seed))
    return replace(pde, name=chosen, seed=seed)


def _dimension(factory: Any, name: str, dim: Any) -> dict[str, int]:
    from .domain import BadDimension

    if "dim" not in inspect.signature(factory).parameters:
        if dim is None or dim == _fixed_dimension(factory):
            return {}
        raise BadDimension(f"{name} has {_fixed_dimension(factory)} space dimension(s) only, got dim={dim!r}")
    if dim is None:
        raise BadDimension(f"{name} exists at every dimension: say which, for instance dim=100")
    try:
        whole = operator.index(dim)
    except TypeError:
        raise BadDimension(f"a dimension is a whole number from 1 to 10 million or so, got {dim!r}") from None
    if whole < 1 or isinstance(dim, bool):
        raise BadDimension(f"a dimension is a whole number of at least 1, got {dim!r}")
    return {"dim": whole}


def _fixed_dimension(factory: Any) -> int:
    return factory().dim


def _seed(factory: Any, seed: Any) -> dict[str, int]:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"an instance seed is a whole number from 0 to 2³² − 1, got {seed!r}")
    return {"seed": seed} if "seed" in inspect.signature(factory).parameters else {}
