"""The Allen-Cahn equation as a semilinear parabolic problem with a terminal condition."""

from __future__ import annotations

from functools import partial

import numpy as np
from sympy import atan, tanh

from pdezoo import PDE, Ansatz, BadDimension, BrownianTube, Formula, Reference, coordinate_max, register, u
from pdezoo.families.semilinear import HORIZON, Semilinear, manufactured, radial, soft_condition
from pdezoo.references import ALLEN_CAHN, ALLEN_CAHN_VALUES, allen_cahn_mean_field

_ALLEN_CAHN = Semilinear("semilinear Allen-Cahn", u - u**3, tanh)


@register("semilinear-allen-cahn", variants=("soft", "manufactured", "radial"))
def semilinear_allen_cahn(dim: int, variant: str = "soft", seed: int = 0) -> PDE:
    """u_t + Δu + u − u³ = g, u(0.3, x) given. Beck et al. 2021; Shi et al. 2024.

    The terminal value arctan max x_i of `soft` is that of deep splitting. `radial` is the problem of E, Han and Jentzen 2017
    (DeepBSDE), with the terminal value 1/(2 + 0.4 |x|²) and a radial reference.
    """
    if variant == "manufactured":
        return manufactured(_ALLEN_CAHN, dim, seed)
    if variant == "radial":
        return radial(_ALLEN_CAHN, ALLEN_CAHN, dim, hard=True)
    return _largest_coordinate(dim)


def _largest_coordinate(dim: int) -> PDE:
    """Makes the problem with u(T, x) = arctan max x_i, whose solution is known at x = 0, t = 0 only.

    Raises BadDimension where u(0, 0) is not tabulated for `dim`.
    """
    if dim not in ALLEN_CAHN_VALUES:
        known = ", ".join(f"{n:,}" for n in ALLEN_CAHN_VALUES)
        raise BadDimension(
            f"u(0, 0) of semilinear-allen-cahn/soft is known for d = {known} only, got {dim}; "
            "its variant 'manufactured' has a closed form at every d ≥ 3"
        )
    value, data = ALLEN_CAHN_VALUES[dim], atan(coordinate_max)
    return PDE(
        operator=_ALLEN_CAHN.operator,
        domain=BrownianTube(dim, HORIZON),
        ansatz=Ansatz(),
        solution=Reference(
            _constant(f"u(0, 0) = {value.value}", value.value),
            value.standard_error / value.value,
            value.source,
            at=(0.0, 0.0),
        ),
        source=0,
        conditions=(soft_condition(data),),
        baselines={
            "terminal": data,
            "mean-field": _constant("mean field at (0, 0)", allen_cahn_mean_field(dim)),
        },
    )


def _constant(name: str, value: float) -> Formula:
    return Formula(name, partial(_filled, value))


def _filled(value: float, x: np.ndarray, time: np.ndarray) -> np.ndarray:
    return np.full(len(x), value)
