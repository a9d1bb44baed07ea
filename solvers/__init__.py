"""Methods for the PDEs of pdezoo: estimator × trainer × network.

    result = solvers.make("stde").fit(pdezoo.make("allen-cahn/two-body", dim=100), steps=10_000)

`make` gives a registered solver by its name. Names that need JAX are imported when they are first used.
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
        NotApplicable,
        Violation,
        check,
        findings,
        require_linear,
    )
    from .derivatives.directions import Axes, Dense, Directions, Normal, Rademacher
    from .derivatives.field import Field
    from .estimators.base import Estimator, cheap_atoms, is_low_dimensional
    from .estimators.directional import (
        COORDINATEWISE,
        by_directions,
        dense_unsupported,
        partial_derivatives,
        shifts_unsupported,
    )
    from .estimators.exact import Exact, exact_atoms
    from .estimators.hte import HTE, DenseSTDE
    from .estimators.rs_pinn import RSPINN
    from .estimators.sdgd import SDGDBackward, SDGDForwardOverBackward, SDGDParallel
    from .estimators.stde import STDE
    from .estimators.stencils import FiniteDifference, RandomDifference, SteinMC, SteinSparseGrid
    from .hyperparameters import BadHyperparameter
    from .loss import (
        DoubleSampledLoss,
        GradientEnhancedLoss,
        HybridLoss,
        Loss,
        SquaredLoss,
        SumOfSquares,
    )
    from .montecarlo.backward import FBSNN, BackwardSDE, DeepBSDE, StepDefect
    from .montecarlo.equations import NoExpectation
    from .montecarlo.labels import MonteCarloLabels
    from .montecarlo.pointwise import PointwiseSolver, Prepared
    from .montecarlo.sampling import Draw, Sampler
    from .montecarlo.stages import DBDP, DeepSplitting, OneStep, StagewiseSolver
    from .networks.base import Network, Params, RidgeNetwork, S, SecondOrder
    from .networks.equinox import EquinoxNetwork
    from .networks.jets import CollapsedJets, Stream, SymmetricIncrements, Taylor, Value
    from .networks.local import GatedLocalMLP, LocalMLP
    from .networks.matrices import (
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
    from .networks.mlp import MLP, OffsetMLP
    from .networks.periodic import PeriodicFeatures
    from .networks.seeded import SeededMLP
    from .networks.sparse import SparseMLP
    from .networks.tensor_train import TTMLP, TensorTrain
    from .neural import Compiled, NeuralSolver, on_device
    from .sharding import ShardedDomain, coordinate_mesh, divided, pad_to_mesh, places, spread
    from .solver import FitStatus, Result, Solver, load
    from .start import ReadoutStart
    from .theory import Curve, alignment, gradient_moments, kernel_error, slope_variance
    from .trainers.adam import Adam, ForwardGradient
    from .trainers.base import (
        LeastSquares,
        LossFunction,
        Objective,
        Term,
        Trainer,
        decayed,
        trainable,
    )
    from .trainers.kernel import residual_kernel
    from .trainers.natural import NaturalGradient
    from .trainers.subspace import SubspaceZO
    from .trainers.zeroth_order import ZOCGE, ZORGE, ZOHybrid, ZOSignRGE

_HOMES = {
    "contract": [
        "Clause",
        "FEW_AND_MANY",
        "Finding",
        "NotApplicable",
        "Violation",
        "check",
        "findings",
        "require_linear",
    ],
    "derivatives.directions": ["Axes", "Dense", "Directions", "Normal", "Rademacher"],
    "derivatives.field": ["Field"],
    "estimators.base": ["Estimator", "cheap_atoms", "is_low_dimensional"],
    "estimators.directional": [
        "COORDINATEWISE",
        "by_directions",
        "dense_unsupported",
        "partial_derivatives",
        "shifts_unsupported",
    ],
    "estimators.exact": ["Exact", "exact_atoms"],
    "estimators.hte": ["DenseSTDE", "HTE"],
    "estimators.rs_pinn": ["RSPINN"],
    "estimators.sdgd": ["SDGDBackward", "SDGDForwardOverBackward", "SDGDParallel"],
    "estimators.stde": ["STDE"],
    "estimators.stencils": ["FiniteDifference", "RandomDifference", "SteinMC", "SteinSparseGrid"],
    "hyperparameters": ["BadHyperparameter"],
    "loss": [
        "DoubleSampledLoss",
        "GradientEnhancedLoss",
        "HybridLoss",
        "Loss",
        "SquaredLoss",
        "SumOfSquares",
    ],
    "montecarlo.backward": ["FBSNN", "BackwardSDE", "DeepBSDE", "StepDefect"],
    "montecarlo.equations": ["NoExpectation"],
    "montecarlo.labels": ["MonteCarloLabels"],
    "montecarlo.pointwise": ["PointwiseSolver", "Prepared"],
    "montecarlo.sampling": ["Draw", "Sampler"],
    "montecarlo.stages": ["DBDP", "DeepSplitting", "OneStep", "StagewiseSolver"],
    "networks.base": ["Network", "Params", "RidgeNetwork", "S", "SecondOrder"],
    "networks.equinox": ["EquinoxNetwork"],
    "networks.jets": ["CollapsedJets", "Stream", "SymmetricIncrements", "Taylor", "Value"],
    "networks.local": ["GatedLocalMLP", "LocalMLP"],
    "networks.matrices": [
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
    "networks.mlp": ["MLP", "OffsetMLP"],
    "networks.periodic": ["PeriodicFeatures"],
    "networks.seeded": ["SeededMLP"],
    "networks.sparse": ["SparseMLP"],
    "networks.tensor_train": ["TTMLP", "TensorTrain"],
    "neural": ["Compiled", "NeuralSolver", "on_device"],
    "sharding": ["ShardedDomain", "coordinate_mesh", "divided", "pad_to_mesh", "places", "spread"],
    "solver": ["FitStatus", "Result", "Solver", "load"],
    "start": ["ReadoutStart"],
    "theory": ["Curve", "alignment", "gradient_moments", "kernel_error", "slope_variance"],
    "trainers.adam": ["Adam", "ForwardGradient"],
    "trainers.base": [
        "LeastSquares",
        "LossFunction",
        "Objective",
        "Term",
        "Trainer",
        "decayed",
        "trainable",
    ],
    "trainers.kernel": ["residual_kernel"],
    "trainers.natural": ["NaturalGradient"],
    "trainers.subspace": ["SubspaceZO"],
    "trainers.zeroth_order": ["ZOCGE", "ZOHybrid", "ZORGE", "ZOSignRGE"],
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
    """Returns the registered solver called `name`, with hyperparameters of any of its parts changed by name.

    Raises UnknownName, BadHyperparameter or BrokenPlugin, each a ValueError that says what to try.
    """
    from .hyperparameters import BadHyperparameter

    solver = _registry.factory(str(name))()
    try:
        return solver.with_hyperparameters(**hyperparameters) if hyperparameters else solver
    except BadHyperparameter:
        raise
    except ValueError as error:  # a part's own check of its numbers
        raise BadHyperparameter(f"{name}: {error}") from None
