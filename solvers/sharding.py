"""Trainings spread over devices: weights, coefficients and points are split along the coordinates, everything else is copied.

    mesh = coordinate_mesh()
    problem, state = spread(on_device(pde), solver.init(problem, seed, steps), mesh)
    state, losses = jax.jit(solver.advance, static_argnames="batch")(problem, state, count, batch=100)

XLA's partitioner does the rest: the product with the first weight becomes a sum over devices, neighbouring coordinates at the
border of two devices are exchanged, and a row of W comes from the device that has it.
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
_WINDOW = 16  # coefficients of window sums are fewer than d by less than this


@dataclass(frozen=True)
class ShardedDomain(Domain):
    """A domain whose points are made split along the coordinates, and held."""

    whole: Any
    mesh: Mesh

    @property
    def dim(self) -> int:
        """Number of space dimensions."""
        return self.whole.dim

    @property
    def measure(self) -> str:
        """That of the domain."""
        return self.whole.measure

    @property
    def horizon(self) -> float | None:
        """That of the domain."""
        return self.whole.horizon

    @property
    def scale(self) -> float:
        """That of the domain."""
        return self.whole.scale

    def sample(self, key: PRNGKeyArray, count: int, time: float | None = None) -> Points:
        """The domain's points."""
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
        """Which points lie in the closed domain."""
        return self.whole.contains(points)

    def uniforms(self, points: Points) -> dict[str, np.ndarray]:
        """Those of the domain."""
        return self.whole.uniforms(points)


def coordinate_mesh(devices: list[Any] | None = None) -> Mesh:
    """All devices, or those given, in a row."""
    return Mesh(np.asarray(jax.devices() if devices is None else devices), (AXIS,))


def spread(problem: Problem, state: State, mesh: Mesh) -> tuple[Problem, State]:
    """Both on the devices of a mesh, arrays of d rows split between them.

    Raises ValueError where d, or the fold of the first weight, is no multiple of the number of devices.
    """
    dim = problem.domain.dim
    wide = pad_to_mesh(problem, mesh), divided(state, dim, mesh)
    return jax.device_put(wide, places(wide, dim, mesh))


def divided(state: State, dim: int, mesh: Mesh) -> State:
    """The state with folds of matrices of d rows divided between the devices."""

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
    """The problem with its points spread, and its coefficients filled up with zeros, which no window reads, to d of them."""
    dim, devices = problem.domain.dim, mesh.size
    if dim % devices:
        raise ValueError(
            f"the number of dimensions is a multiple of that of devices, got {dim} on {devices}; "
            f"try {dim - dim % devices} dimensions, or fewer devices"
        )
    fill = lambda a: jnp.pad(a, (0, dim - a.shape[0])) if dim - _WINDOW < a.shape[0] < dim else a
    return replace(jax.tree.map(fill, problem), domain=ShardedDomain(problem.domain, mesh))


def places(tree: Any, dim: int, mesh: Mesh) -> Any:
    """For every array of a tree (or its shape) where it lives: split along its first axis if that is d, else copied."""

    def place(leaf: Any) -> NamedSharding:
        split = leaf.ndim > 0 and leaf.shape[0] == dim
        return NamedSharding(mesh, PartitionSpec(AXIS) if split else PartitionSpec())

    return jax.tree.map(place, tree)
