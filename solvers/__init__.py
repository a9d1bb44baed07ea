"""solvers: methods for the PDEs of pdezoo.

    result = solvers.make("stde").fit(pdezoo.make("allen-cahn/two-body", dim=100), steps=10_000)

A solver is estimator × trainer × network. Names that need JAX are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pdezoo import BrokenPlugin, Entry, Registry, UnknownName

if TYPE_CHECKING:
    from .contract import (
        FEW_AND_MANY,
        Clause,
        Finding,
        NotConcerned,
        Violation,
        check,
        findings,
        require_linear,
    )
    from .directions import Axes, Dense, Directions, Normal, Rademacher
    from .estimator import (
        COORDINATEWISE,
        Estimator,
        Exact,
        by_directions,
        cheap_atoms,
        dense_unsupported,
        exact_atoms,
        is_low_dimensional,
        partial_derivatives,
        shifts_unsupported,
    )
    from .field import Field
    from .jets import Jets2, Pairs, Stream, Taylor, Value
    from .loss import DoubleSampledLoss, GradientEnhancedLoss, HybridLoss, Loss, SquaredLoss
    from .matrices import (
        Basis,
        Fold,
        LowRank,
        Replayed,
        Seeded,
        merged,
        near_square,
        orthonormal,
        random_basis,
    )
    from .network import MLP, Network, OffsetMLP, Params, RidgeNetwork, S, SeededMLP
    from .sharding import Spread, coordinate_mesh, divided, places, spread, widened
    from .solver import BadHyperparameter, Compiled, Result, Solver, Trained, on_device
    from .sparse import SparseMLP
    from .tensor_train import TTMLP, TensorTrain
    from .theory import Curve, alignment, gradient_moments, kernel_error, slope_variance
    from .trainer import Adam, ForwardGradient, LossFunction, Trainer, decayed, trainable
    from .zeroth_order import ZOCGE, ZORGE, ZOHybrid, ZOSignRGE

_HOMES = {
    "contract": [
        "FEW_AND_MANY",
        "Clause",
        "Finding",
        "NotConcerned",
        "Violation",
        "check",
        "findings",
        "require_linear",
    ],
    "directions": ["Axes", "Dense", "Directions", "Normal", "Rademacher"],
    "estimator": [
        "COORDINATEWISE",
        "Estimator",
        "Exact",
        "by_directions",
        "cheap_atoms",
        "dense_unsupported",
        "exact_atoms",
        "is_low_dimensional",
        "partial_derivatives",
        "shifts_unsupported",
    ],
    "field": ["Field"],
    "jets": ["Jets2", "Pairs", "Stream", "Taylor", "Value"],
    "loss": ["DoubleSampledLoss", "GradientEnhancedLoss", "HybridLoss", "Loss", "SquaredLoss"],
    "matrices": [
        "Basis",
        "Fold",
        "LowRank",
        "Replayed",
        "Seeded",
        "merged",
        "near_square",
        "orthonormal",
        "random_basis",
    ],
    "network": ["MLP", "Network", "OffsetMLP", "Params", "RidgeNetwork", "S", "SeededMLP"],
    "sharding": ["Spread", "coordinate_mesh", "divided", "places", "spread", "widened"],
    "solver": ["BadHyperparameter", "Compiled", "Result", "Solver", "Trained", "on_device"],
    "sparse": ["SparseMLP"],
    "tensor_train": ["TTMLP", "TensorTrain"],
    "theory": ["Curve", "alignment", "gradient_moments", "kernel_error", "slope_variance"],
    "trainer": ["Adam", "ForwardGradient", "LossFunction", "Trainer", "decayed", "trainable"],
    "zeroth_order": ["ZOCGE", "ZOHybrid", "ZORGE", "ZOSignRGE"],
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

_registry = Registry("solver", "solvers.methods", "pdezoo.solvers")
register = _registry.register
catalogue = _registry.catalogue
names = _registry.names

__all__ = [
    "BrokenPlugin",
    "Entry",
    "UnknownName",
    "catalogue",
    "make",
    "names",
    "register",
    *_HOME,
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'solvers' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"solvers.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def make(name: str, **hyperparameters: Any) -> Solver:
    """The solver called `name`, with any hyperparameter of any of its parts changed by name.

    Raises UnknownName, BadHyperparameter, or BrokenPlugin, each a ValueError that says what to try.
    """
    from .solver import BadHyperparameter, Trained, override

    solver = _registry.factory(str(name))()
    if isinstance(solver, Trained):
        try:
            return override(solver, hyperparameters)
        except BadHyperparameter:
            raise
        except ValueError as error:  # a part's own check of its numbers
            raise BadHyperparameter(f"{name}: {error}") from None
    if hyperparameters:
        raise BadHyperparameter(f"{name} has no hyperparameters, got {', '.join(hyperparameters)}")
    return solver
