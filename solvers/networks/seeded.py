"""A network whose first weight is made again from its seed at every use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Array, PRNGKeyArray

from .base import Params, RidgeNetwork, S
from .matrices import Seeded
from .mlp import MLP


@dataclass(frozen=True)
class SeededMLP(RidgeNetwork):
    """An MLP whose first weight is never stored, but made again from its seed at every use.

    Trainers in subspaces change it all the same. Others leave it as it is, but for one factor for every hidden unit.
    """

    accepts_lazy_coordinates: ClassVar[bool] = True

    width: int = 128
    depth: int = 4

    def __post_init__(self) -> None:
        MLP(self.width, self.depth)

    @property
    def dense(self) -> MLP:
        """The network that stores it."""
        return MLP(self.width, self.depth)

    def init(self, key: PRNGKeyArray, dim: int, has_time: bool) -> Params:
        """Those of an MLP, the first weight `Seeded`."""
        first, rest = self.dense.after_first(key, dim, has_time)
        return rest | {"first": Seeded.draw(first, dim, self.width, dim + has_time)}

    def project(self, params: Params, x: Array) -> Array:
        """Wᵀx."""
        return self.dense.project(params, x)

    def rows(self, params: Params, axes: Array) -> Array:
        """W[axes]."""
        return self.dense.rows(params, axes)

    def time_row(self, params: Params) -> Array:
        """w_t."""
        return self.dense.time_row(params)

    def head(self, params: Params, stream: S) -> S:
        """The dense network's."""
        return self.dense.head(params, stream)
