"""A network whose first weight is made again from its seed at every use, and never stored."""

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

    Trainers in subspaces change it all the same, by low-rank terms. Others train one factor for every hidden unit of
    it. Raises ValueError for a width below 1 or a depth below 2.
    """

    accepts_lazy_coordinates: ClassVar[bool] = True

    width: int = 128
    depth: int = 4

    def __post_init__(self) -> None:
        MLP(self.width, self.depth)

    @property
    def dense(self) -> MLP:
        """The MLP that stores its first weight, whose layers this network shares."""
        return MLP(self.width, self.depth)

    def init(self, key: PRNGKeyArray, dim: int, has_time: bool) -> Params:
        """Draws the parameters of an MLP, with the first weight as a `Seeded` matrix."""
        first, rest = self.dense.after_first(key, dim, has_time)
        return rest | {"first": Seeded.draw(first, dim, self.width, dim + has_time)}

    def project(self, params: Params, x: Array) -> Array:
        """Computes Wᵀx, shape (B, h)."""
        return self.dense.project(params, x)

    def rows(self, params: Params, axes: Array) -> Array:
        """Makes rows of W: the projections of coordinate axes, shape (K, h)."""
        return self.dense.rows(params, axes)

    def time_row(self, params: Params) -> Array:
        """Returns w_t, the projection of the time axis, shape (h,)."""
        return self.dense.time_row(params)

    def head(self, params: Params, stream: S) -> S:
        """Applies the layers of the dense network after its first map."""
        return self.dense.head(params, stream)
