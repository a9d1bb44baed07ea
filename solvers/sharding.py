"""Trainings spread over devices: weights, coefficients and points are split along the coordinates, everything else is copied.

    mesh = coordinate_mesh()
    problem, state = spread(on_device(pde), solver.init(problem, seed, steps), mesh)
    state, losses = jax.jit(solver.advance, static_argnames="batch")(problem, state, count, batch=100)

XLA's partitioner does the rest: the product with the first weight becomes a sum over devices, neighbouring coordinates
at the border of two devices are exchanged, and a row of W comes from the device that has it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from pdezoo import Domain, Points, Problem

from .networks.matrices import LowRank
from .neural import State

AXIS = "coordinates"
_WINDOW = 16  # a window sum has d − width + 1 coefficients, and no window is wider than this


@dataclass(frozen=True)
class ShardedDomain(Domain):
    """A domain whose points are arrays that are split along the coordinates over the devices of a mesh.

    Everything else is that of the domain `whole`, which it wraps.
    """

    whole: Any
    mesh: Mesh

    @property
    def dim(self) -> int:
        """The number of space dimensions."""
        return self.whole.dim

    @property
    def measure(self) -> str:
        """The name of the measure that the points of `whole` follow."""
        return self.whole.measure

    @property
    def horizon(self) -> float | None:
        """The end of time in `whole`; None for a problem without time."""
        return self.whole.horizon

    @property
    def scale(self) -> float:
        """The number by which residuals on `whole` are divided."""
        return self.whole.scale

    def sample(self, key: PRNGKeyArray, count: int, time: float | None = None) -> Points:
        """Draws points of `whole`, with x split along the coordinates."""
        points = self.whole.sample(key, count, time)
        return points._replace(x=self._split(points.x))

    def boundary(
        self, key: PRNGKeyArray, count: int, face: tuple[int, int] | None = None
    ) -> tuple[Points, Float[Array, "batch dim"]]:
        """The domain's points of the boundary, and their normals."""
        points, normals = self.whole.boundary(key, count, face)
        return points._replace(x=self._split(points.x)), self._split(normals)

    def opposite_faces(
        self, key: PRNGKeyArray, count: int, axis: int
    ) -> tuple[Points, Float[Array, "batch dim"]]:
        """The domain's points of a lower face, and the vectors to the upper one."""
        points, across = self.whole.opposite_faces(key, count, axis)
        return points._replace(x=self._split(points.x)), self._split(across)

    def _split(self, array: Float[Array, "batch dim"]) -> Float[Array, "batch dim"]:
        return jax.lax.with_sharding_constraint(array, NamedSharding(self.mesh, PartitionSpec(None, AXIS)))

    def contains(self, points: Points) -> Bool[Array, " batch"]:
        """Returns which points lie in the closed domain, shape (B,)."""
        return self.whole.contains(points)

    def uniforms(self, points: Points) -> dict[str, np.ndarray]:
        """Returns the statistics of `whole` that are uniform on [0, 1] if points follow its measure."""
        return self.whole.uniforms(points)


def coordinate_mesh(devices: list[Any] | None = None) -> Mesh:
    """Returns a mesh of all devices, or of those given, in one row."""
    return Mesh(np.asarray(jax.devices() if devices is None else devices), (AXIS,))


def spread(problem: Problem, state: State, mesh: Mesh) -> tuple[Problem, State]:
    """Puts a problem and a state on the devices of a mesh, with arrays of d rows split between them.

    Raises ValueError where d, or the fold of the first weight, cannot be shared evenly by the devices.
    """
    dim = problem.domain.dim
    wide = pad_to_mesh(problem, mesh), divided(state, dim, mesh)
    return jax.device_put(wide, places(wide, dim, mesh))


def divided(state: State, dim: int, mesh: Mesh) -> State:
    """Returns the state with the folds of matrices of d rows divided between the devices.

    Raises ValueError where the devices cannot share a fold evenly.
    """

    def divide(leaf: Any) -> Any:
        if not isinstance(leaf, LowRank) or leaf.fold.rows != dim:
            return leaf
        fold, devices = leaf.fold, mesh.size
        if fold.inner % devices or fold.left * fold.inner != dim:
            raise ValueError(
                f"a weight of {dim} rows is folded in {fold.inner} parts of {fold.left}, which {devices} devices cannot "
                "share evenly; try dimensions with more small factors, such as a power of two"
            )
        return replace(leaf, fold=replace(fold, parts=devices))

    return jax.tree.map(divide, state, is_leaf=lambda leaf: isinstance(leaf, LowRank))


def pad_to_mesh(problem: Problem, mesh: Mesh) -> Problem:
    """Returns the problem with its points split over the mesh, and its coefficients padded to length d with zeros,
    which no window reads.

    Raises ValueError where d is no multiple of the number of devices.
    """
    dim, devices = problem.domain.dim, mesh.size
    if dim % devices:
        raise ValueError(
            f"the number of dimensions is a multiple of that of devices, got {dim} on {devices}; "
            f"try {dim - dim % devices} dimensions, or fewer devices"
        )
    fill = lambda a: jnp.pad(a, (0, dim - a.shape[0])) if dim - _WINDOW < a.shape[0] < dim else a
    return replace(jax.tree.map(fill, problem), domain=ShardedDomain(problem.domain, mesh))


def places(tree: Any, dim: int, mesh: Mesh) -> Any:
    """Returns the sharding of every array (or shape) of a tree: split along its first axis if that has length d, else copied."""

    def place(leaf: Any) -> NamedSharding:
        split = leaf.ndim > 0 and leaf.shape[0] == dim
        return NamedSharding(mesh, PartitionSpec(AXIS) if split else PartitionSpec())

    return jax.tree.map(place, tree)
