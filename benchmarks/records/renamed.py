"""Rows whose definition has changed since records were kept: the name that what those records measured has today.

A record keeps the name and all hyperparameters of the solver that it measured. Where a row of that name is another method
today, its old records are told apart by their hyperparameters, and are shown under the name of the row that still is what
they measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Renamed(NamedTuple):
    """Records of `solver` whose hyperparameters contain `former` are of the row that is called `now`."""

    solver: str
    former: Mapping[str, Mapping[str, Any]]
    now: str


RENAMED = (
    Renamed("sdze", {"loss": {"kind": "SquaredLoss"}}, "sdze-single-sample"),
    Renamed("sdze-no-crns", {"loss": {"kind": "SquaredLoss"}}, "sdze-no-crns-single-sample"),
    Renamed("rs-pinn-unbiased", {"estimator": {"kind": "RSPINN"}}, "rs-pinn-unbiased-square"),
    Renamed("rs-pinn-hybrid", {"loss": {"kind": "HybridLoss"}}, "rs-pinn-hybrid-half"),
    Renamed("stde-shared", {"network": {"kind": "SharedMLP"}}, "stde-shared-linear"),
    Renamed("stde-dense", {"estimator": {"kind": "DenseSTDE"}}, "stde-dense-normal"),
    Renamed(
        "stde-gradient-enhanced",
        {"loss": {"kind": "GradientEnhancedLoss"}},
        "stde-gradient-enhanced-unscaled",
    ),
)


def name_today(solver: str, hyperparameters: Mapping[str, Any]) -> str:
    """Returns the name that a row with these hyperparameters, measured as `solver`, has today."""
    for change in RENAMED:
        if change.solver == solver and _contains(hyperparameters, change.former):
            return change.now
    return solver


def _contains(whole: Any, part: Any) -> bool:
    """Whether every entry of `part`, nested ones included, is in `whole`."""
    if isinstance(part, Mapping):
        return isinstance(whole, Mapping) and all(k in whole and _contains(whole[k], part[k]) for k in part)
    return bool(whole == part)
