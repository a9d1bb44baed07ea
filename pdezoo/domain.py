"""Domains: where the equation holds, and the declared measure by which training and test points are drawn."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .ansatz import Ansatz, clamped_on_sphere, vanishing_on_sphere
from .calculus.collective import d
from .calculus.expressions import as_expression, as_number, as_whole, plain_number, set_numbers, shown
from .lowering.coordinates import FactoredCoordinates, block_size, can_be_held, materialize, stream_normals
from .lowering.points import Points


class BadDimension(ValueError):
    """Raised for a dimension that is not a whole number of at least 1, or one that a problem does not have."""


class Domain(ABC):
    """A set of points (x, t), a named measure on it, and the natural size of second derivatives in it.

    A domain is a frozen dataclass that says `dim`, `measure`, `horizon` and `scale`, as fields, class variables or properties,
    and defines the three methods below. `coordinates` may be left as it is.
    """

    if TYPE_CHECKING:

        @property
        def dim(self) -> int:
            """Number of space dimensions."""

        @property
        def measure(self) -> str:
            """The name of the measure that `sample` follows."""

        @property
        def horizon(self) -> float | None:
            """Time runs from 0 to this; None for a problem without time."""

        @property
        def scale(self) -> float:
            """What residuals are divided by, so that losses and step sizes do not grow with d."""

    @abstractmethod
    def sample(self, key: PRNGKeyArray, count: int, time: float | None = None) -> Points:
        """`count` independent points, float32, x an array of shape (count, d); all at one time where it is given."""

    @abstractmethod
    def contains(self, points: Points) -> Bool[Array, " batch"]:
        """Which points lie in the closed domain."""

    @abstractmethod
    def uniforms(self, points: Points) -> dict[str, np.ndarray]:
        """Statistics that are uniform on [0, 1] if points follow the measure; `verify` tests them."""

    def coordinates(self, key: PRNGKeyArray, count: int) -> Points:
        """`count` points of the same measure in the form that is cheapest to train on: by default those of `sample`.

        A domain may return x as `Coordinates` instead of an array: `FactoredCoordinates`, whose lengths are multiplied after sums
        over the coordinates, or coordinates that are made in blocks and never held (`stream_normals`), where `can_be_held` says
        that there are too many. Only solvers all of whose parts accept that ask for it.
        """
        return self.sample(key, count)

    def boundary(
        self, key: PRNGKeyArray, count: int, face: tuple[int, int] | None = None
    ) -> tuple[Points, Float[Array, "batch dim"]]:
        """`count` independent points of the boundary, or of one face of it, float32, and the outward unit normal at each.

        What conditions on the boundary are asked at. Raises ValueError for a domain that has none, unless it defines this method.
        """
        raise ValueError(
            f"{type(self).__name__} has no boundary to draw points from; conditions there need a Ball, a Box, or a domain that "
            "defines `boundary`"
        )

    def opposite_faces(
        self, key: PRNGKeyArray, count: int, axis: int
    ) -> tuple[Points, Float[Array, "batch dim"]]:
        """`count` independent points of the lower face of an axis, and the vectors to the points that face them on the upper one.

        What periodic conditions are asked at. Raises ValueError for a domain without such faces, unless it defines this method.
        """
        raise ValueError(
            f"{type(self).__name__} has no opposite faces; periodic conditions need a Box, or a domain that defines "
            "`opposite_faces`"
        )


@dataclass(frozen=True)
class Ball(Domain):
    """|x| < R, with x = R r g/|g|, r uniform on [0, 1), g standard normal: the measure `radius-uniform`.

    This is the papers' measure. It is *not* uniform by volume, which at high d would put every point
    on the sphere. `radius` may contain the dimension `d`, as in √d. Raises BadDimension for a dimension that is none, and
    ValueError for a radius that is not positive.
    """

    dim: int
    radius: Any = 1
    measure: ClassVar[str] = "radius-uniform"
    horizon: ClassVar[None] = None

    def __post_init__(self) -> None:
        require_dimension(self.dim)
        if _moderate(self.size, "the radius of a ball") <= 0:
            raise ValueError(f"the radius of a ball is positive, got {self.radius}")

    @property
    def size(self) -> float:
        """R as a number."""
        radius = as_expression(self.radius, "the radius of a ball")
        return as_number(radius.xreplace({d: sp.Integer(self.dim)}), "the radius of a ball")

    @property
    def scale(self) -> float:
        """d/R²: the Laplacian of 1 − |x|²/R², up to −2."""
        return self.dim / self.size**2

    def vanishing(self) -> Ansatz:
        """u = (1 − |x|²/R²) n: zero on the sphere for any network n."""
        return vanishing_on_sphere(self.radius, self.size)

    def clamped(self) -> Ansatz:
        """u = (1 − |x|²/R²)² n: zero on the sphere with its normal derivative."""
        return clamped_on_sphere(self.radius, self.size)

    def sample(self, key: PRNGKeyArray, count: int, time: float | None = None) -> Points:
        """Points with uniformly distributed radius and direction."""
        return Points(materialize(self.factored(key, count).x))

    def coordinates(self, key: PRNGKeyArray, count: int) -> Points:
        """The points of `sample`, their lengths apart; where they are too many numbers to be held, other points in blocks."""
        if can_be_held(count, self.dim):
            return self.factored(key, count)
        return self.stream(key, count, block_size(self.dim))

    def factored(self, key: PRNGKeyArray, count: int) -> Points:
        """The points of `sample` as directions, held, and lengths.

        The factor √2 of the normal numbers is left out, for it cancels when a direction is normalised.
        """
        radius_key, direction_key = jax.random.split(key)
        radius = self.size * jax.random.uniform(radius_key, (count,), jnp.float32)
        above = float(np.nextafter(np.float32(-1), np.float32(0)))
        g = jax.lax.erf_inv(jax.random.uniform(direction_key, (count, self.dim), jnp.float32, minval=above))
        squares = jnp.sum(g * g, axis=1)
        scale = jax.lax.rsqrt(squares / radius**2)
        return Points(FactoredCoordinates(scale, squares * scale**2, g))

    def stream(self, key: PRNGKeyArray, count: int, size: int) -> Points:
        """Points of the same measure whose coordinates are made in blocks of `size` and never held."""
        radius_key, direction_key = jax.random.split(key)
        radius = self.size * jax.random.uniform(radius_key, (count,), jnp.float32)
        g = stream_normals(direction_key, count, self.dim, size)
        norms = jnp.sqrt(g.accumulate(lambda start, n: jnp.sum(g.block(start, n) ** 2, axis=1)))
        return Points(replace(g, scale=radius / norms, squares=radius**2))

    def boundary(
        self, key: PRNGKeyArray, count: int, face: tuple[int, int] | None = None
    ) -> tuple[Points, Float[Array, "batch dim"]]:
        """Points x = R n of the sphere, uniformly distributed, and their normals n. Raises ValueError for a face: there is one."""
        if face is not None:
            raise ValueError(f"a ball has one face: leave `face` out, got {face}")
        normals = _directions(key, count, self.dim)
        return Points(self.size * normals), normals

    def contains(self, points: Points) -> Bool[Array, " batch"]:
        """|x| ≤ R, to float32 rounding."""
        return jnp.sqrt(jnp.sum(points.x**2, axis=1)) <= self.size * (1 + 1e-5)

    def uniforms(self, points: Points) -> dict[str, np.ndarray]:
        """|x|/R, and the direction's projection on one axis through its Beta distribution function."""
        radius, directions = _polar_uniforms(points)
        return {"radius": radius / self.size} | directions


@dataclass(frozen=True)
class Annulus(Domain):
    """The shell r < |x| < R between two spheres: |x| uniform, the direction too, the measure `radius-uniform`.

    Raises BadDimension for a dimension that is none, and ValueError where 0 < `inner` < `outer` does not hold.
    """

    dim: int
    inner: float = 1.0
    outer: float = 2.0
    measure: ClassVar[str] = "radius-uniform"
    horizon: ClassVar[None] = None

    def __post_init__(self) -> None:
        require_dimension(self.dim)
        for name in ("inner", "outer"):
            object.__setattr__(
                self, name, float(_moderate(getattr(self, name), f"the {name} radius of an annulus"))
            )
        if not 0 < np.float32(self.inner) < np.float32(self.outer):
            raise ValueError(
                f"an annulus has 0 < inner < outer in float32, got inner={self.inner} and outer={self.outer}"
            )

    @property
    def scale(self) -> float:
        """d/R²: the Laplacian of 1 − |x|²/R², up to −2."""
        return self.dim / self.outer**2

    def vanishing(self) -> Ansatz:
        """u = (|x|²/r² − 1)(1 − |x|²/R²) n: zero on both spheres for any network n."""
        one, other = (vanishing_on_sphere(sp.nsimplify(end), end) for end in (self.inner, self.outer))
        return Ansatz(-one.factor * other.factor, 0, (*one.holds, *other.holds))

    def clamped(self) -> Ansatz:
        """u = (|x|²/r² − 1)² (1 − |x|²/R²)² n: zero on both spheres with its normal derivative."""
        once = self.vanishing()
        return Ansatz(once.factor**2, 0, once.holds)

    def sample(self, key: PRNGKeyArray, count: int, time: float | None = None) -> Points:
        """Points with uniformly distributed radius and direction."""
        how_far, where = jax.random.split(key)
        radius = jax.random.uniform(how_far, (count, 1), jnp.float32, self.inner, self.outer)
        return Points(radius * _directions(where, count, self.dim))

    def boundary(
        self, key: PRNGKeyArray, count: int, face: tuple[int, int] | None = None
    ) -> tuple[Points, Float[Array, "batch dim"]]:
        """Points of a sphere, uniformly distributed, and the normals out of the shell: the inner one is face (0, −1), the outer
        one (0, 1).

        Without a face a point lies on either sphere with probability ½: by area nearly all would lie on the outer one at high d.
        Raises ValueError for a face that does not exist.
        """
        which, where = jax.random.split(key)
        directions = _directions(where, count, self.dim)
        if face is None:
            outer = jax.random.bernoulli(which, shape=(count, 1))
        elif face in ((0, -1), (0, 1)):
            outer = jnp.full((count, 1), face[1] == 1)
        else:
            raise ValueError(f"the faces of an annulus are (0, −1), inside, and (0, 1), outside, got {face}")
        radius = jnp.where(outer, self.outer, self.inner)
        return Points(radius * directions), jnp.where(outer, directions, -directions)

    def contains(self, points: Points) -> Bool[Array, " batch"]:
        """r ≤ |x| ≤ R, to float32 rounding."""
        norm = jnp.sqrt(jnp.sum(points.x**2, axis=1))
        return (norm >= self.inner * (1 - 1e-5)) & (norm <= self.outer * (1 + 1e-5))

    def uniforms(self, points: Points) -> dict[str, np.ndarray]:
        """|x| scaled to [0, 1], and the direction's projection on one axis through its Beta distribution function."""
        radius, directions = _polar_uniforms(points)
        return {"radius": (radius - self.inner) / (self.outer - self.inner)} | directions


@dataclass(frozen=True)
class Box(Domain):
    """A box low < x_i < high for every i, 0 < t < horizon: the measure `uniform`. Bounds are numbers or one per coordinate.

    Points of its boundary are uniform too, by surface area and in time.
    Raises BadDimension for a dimension that is none, and ValueError for bounds that are none, and for a horizon or a scale that is
    not positive.
    """

    dim: int
    low: float | tuple[float, ...] = 0.0
    high: float | tuple[float, ...] = 1.0
    horizon: float | None = None
    scale: float = 1.0
    measure: ClassVar[str] = "uniform"

    def __post_init__(self) -> None:
        _set_numbers(self)
        for name in ("low", "high"):
            object.__setattr__(self, name, self._bound(name))
        low, high = np.asarray(self.low, np.float32), np.asarray(self.high, np.float32)
        if not np.all(low < high):
            raise ValueError(
                f"a box has low < high in float32 for every coordinate, got low={shown(self.low)} and high={shown(self.high)}"
            )

    def _bound(self, name: str) -> float | tuple[float, ...]:
        """Raises ValueError for what is neither a number nor a tuple of one number for each coordinate."""
        given: Any = getattr(self, name)
        what = f"`{name}` of a box, a number or a tuple of numbers,"
        if not isinstance(given, tuple):
            return _moderate(given, what)
        if len(given) != self.dim:
            raise ValueError(f"{what} has one for each of {self.dim} coordinates, got {shown(given)}")
        return tuple(_moderate(number, what) for number in given)

    def sample(self, key: PRNGKeyArray, count: int, time: float | None = None) -> Points:
        """Uniformly distributed points."""
        space, when = jax.random.split(key)
        low, high = jnp.asarray(self.low, jnp.float32), jnp.asarray(self.high, jnp.float32)
        x = low + (high - low) * jax.random.uniform(space, (count, self.dim), jnp.float32)
        return Points(x, _times(when, count, self.horizon, time))

    @property
    def period(self) -> tuple[float, ...]:
        """The length of every side: what a function that is periodic on the box repeats itself after."""
        low, high = (np.broadcast_to(np.asarray(b, float), self.dim) for b in (self.low, self.high))
        return tuple((high - low).tolist())

    def boundary(
        self, key: PRNGKeyArray, count: int, face: tuple[int, int] | None = None
    ) -> tuple[Points, Float[Array, "batch dim"]]:
        """Points of a face (axis, −1 or 1), uniformly distributed, time too, and its normal −e_axis or e_axis.

        Without a face they are uniform by surface area on all 2d faces: a face across axis i has the volume of the box
        over the length of side i as its area, and is drawn in proportion to it. Raises ValueError for a face that does not exist.
        """
        inside, which = jax.random.split(key)
        points = self.sample(inside, count)
        if face is None:
            across, side = jax.random.split(which)
            lengths = jnp.asarray(self.high, jnp.float32) - jnp.asarray(self.low, jnp.float32)
            axis = jax.random.categorical(
                across, -jnp.log(jnp.broadcast_to(lengths, self.dim)), shape=(count,)
            )
            end = 2 * jax.random.randint(side, (count,), 0, 2) - 1
        else:
            self._require_axis(face[0])
            if face[1] not in (-1, 1):
                raise ValueError(f"a face is (axis, −1) or (axis, 1), got {face}")
            axis, end = (jnp.full(count, n) for n in face)
        kind = points.x.dtype
        normals = end.astype(kind)[:, None] * jax.nn.one_hot(axis, self.dim, dtype=kind)
        low, high = (jnp.broadcast_to(jnp.asarray(b, kind), normals.shape) for b in (self.low, self.high))
        return points._replace(x=jnp.select([normals > 0, normals < 0], [high, low], points.x)), normals

    def opposite_faces(
        self, key: PRNGKeyArray, count: int, axis: int
    ) -> tuple[Points, Float[Array, "batch dim"]]:
        """Points of the lower face, uniformly distributed, time too, and (high − low) e_axis."""
        self._require_axis(axis)
        points, normals = self.boundary(key, count, (axis, -1))
        return points, -self.period[axis] * normals

    def _require_axis(self, axis: int) -> None:
        if not 0 <= axis < self.dim:
            raise ValueError(f"a box of {self.dim} dimensions has axes 0 to {self.dim - 1}, got axis {axis}")

    def contains(self, points: Points) -> Bool[Array, " batch"]:
        """Tells for each point whether low ≤ x_i ≤ high and 0 ≤ t ≤ horizon, shape (B,)."""
        x = points.x
        low, high = jnp.asarray(self.low, x.dtype), jnp.asarray(self.high, x.dtype)
        inside = jnp.all((x >= low) & (x <= high), axis=1)
        return inside & _in_time(points, self.horizon)

    def uniforms(self, points: Points) -> dict[str, np.ndarray]:
        """The first and last coordinate and the time, scaled to [0, 1]."""
        low, high = (np.broadcast_to(b, self.dim) for b in (self.low, self.high))
        x = (np.asarray(points.x, np.float64) - low) / (high - low)
        return {"first": x[:, 0], "last": x[:, -1]} | _time_uniform(points, self.horizon)


@dataclass(frozen=True)
class Gaussian(Domain):
    """All of space, x standard normal, t uniform on (0, horizon): the measure `gaussian`.

    Raises BadDimension for a dimension that is none, and ValueError for a horizon or a scale that is not positive.
    """

    dim: int
    horizon: float | None = None
    scale: float = 1.0
    measure: ClassVar[str] = "gaussian"

    def __post_init__(self) -> None:
        _set_numbers(self)

    def sample(self, key: PRNGKeyArray, count: int, time: float | None = None) -> Points:
        """Independent normal coordinates."""
        space, when = jax.random.split(key)
        return Points(
            jax.random.normal(space, (count, self.dim), jnp.float32), _times(when, count, self.horizon, time)
        )

    def contains(self, points: Points) -> Bool[Array, " batch"]:
        """Finite x, 0 ≤ t ≤ horizon."""
        return jnp.all(jnp.isfinite(points.x), axis=1) & _in_time(points, self.horizon)

    def uniforms(self, points: Points) -> dict[str, np.ndarray]:
        """|x|² and the first coordinate through their distribution functions, and the time."""
        return _gaussian_uniforms(np.asarray(points.x, np.float64)) | _time_uniform(points, self.horizon)


@dataclass(frozen=True)
class BrownianTube(Domain):
    """Where paths x = √2 W_t from the origin go: t uniform on (0, horizon), x ~ N(0, 2t): the measure `brownian`.

    Raises BadDimension for a dimension that is none, and ValueError for a horizon or a scale that is not positive.
    """

    dim: int
    horizon: float
    scale: float = 1.0
    measure: ClassVar[str] = "brownian"

    def __post_init__(self) -> None:
        _set_numbers(self)
        if self.horizon is None:
            raise ValueError("a BrownianTube has time: give it a horizon, such as horizon=1.0")

    def sample(self, key: PRNGKeyArray, count: int, time: float | None = None) -> Points:
        """Points of independent paths, each at its own time."""
        space, when = jax.random.split(key)
        times = _times(when, count, self.horizon, time)
        return Points(
            jnp.sqrt(2 * times)[:, None] * jax.random.normal(space, (count, self.dim), jnp.float32), times
        )

    def contains(self, points: Points) -> Bool[Array, " batch"]:
        """Finite x, 0 ≤ t ≤ horizon."""
        return jnp.all(jnp.isfinite(points.x), axis=1) & _in_time(points, self.horizon)

    def uniforms(self, points: Points) -> dict[str, np.ndarray]:
        """|x|²/2t and x_0/√2t through their distribution functions, and the time."""
        x, times = np.asarray(points.x, np.float64), np.asarray(points.t, np.float64)
        scaled = x / np.sqrt(2 * np.maximum(times, 1e-300))[:, None]
        return _gaussian_uniforms(scaled) | _time_uniform(points, self.horizon)


def require_dimension(dim: Any) -> None:
    """Raises BadDimension for what is no whole number from 1 to 2³¹ − 1, with which JAX numbers the coordinates."""
    try:
        whole = as_whole(dim, "a dimension", least=1)
    except ValueError as error:
        raise BadDimension(str(error)) from None
    if whole >= 2**31:
        raise BadDimension(f"a dimension is below 2³¹, got {shown(dim)}")


def require_numbers(domain: Any) -> None:
    """Raises BadDimension for a domain whose dimension is none, and ValueError where its scale or horizon is not positive."""
    require_dimension(domain.dim)
    if _moderate(domain.scale, "the scale of a domain") <= 0:
        raise ValueError(f"the scale of a domain is positive, got {domain.scale}")
    if domain.horizon is not None and _moderate(domain.horizon, "the horizon of a domain") <= 0:
        raise ValueError(
            f"the horizon of a domain is positive, or None where there is no time, got {domain.horizon}"
        )


def _set_numbers(domain: Any) -> None:
    """Puts Python's own numbers into the fields of a domain that has dim, horizon and scale; raises as `require_numbers` does."""
    require_numbers(domain)
    set_numbers(domain, "a domain", "scale", *(["horizon"] if domain.horizon is not None else []))


def _moderate(value: Any, what: str) -> int | float:
    """Returns a number as Python's own. Raises ValueError for none, and for one whose square float32 cannot hold."""
    number = plain_number(value, what)
    if number != 0 and not 1e-18 <= abs(number) <= 1e18:
        raise ValueError(
            f"{what} is between 1e-18 and 1e18 in size, since points are float32, got {shown(value)}; take other units"
        )
    return number


def kolmogorov_smirnov_bound(count: int) -> float:
    """The Kolmogorov-Smirnov distance that a true sample of `count` exceeds once in 10⁵ times."""
    return math.sqrt(math.log(2e5) / (2 * count))


def _directions(key: PRNGKeyArray, count: int, dim: int) -> Float[Array, "batch dim"]:
    """Uniformly distributed unit vectors."""
    g = jax.random.normal(key, (count, dim))
    return g / jnp.linalg.norm(g, axis=1, keepdims=True)


def _polar_uniforms(points: Points) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """|x|, and the projections of x/|x| on the first and the last axis through their Beta distribution function."""
    from scipy.stats import beta

    x = np.asarray(points.x, np.float64)
    norm, shape = np.linalg.norm(x, axis=1), (x.shape[1] - 1) / 2
    axes = (0, x.shape[1] - 1) if shape > 0 else ()
    project = lambda axis: beta.cdf((1 + x[:, axis] / norm) / 2, shape, shape)
    return norm, {f"direction {axis}": project(axis) for axis in axes}


def _times(key: PRNGKeyArray, count: int, horizon: float | None, time: float | None) -> Any:
    """Times of shape (count,); None for a problem without time."""
    if horizon is None:
        return None
    return (
        float(horizon) * jax.random.uniform(key, (count,), jnp.float32)
        if time is None
        else jnp.full(count, time, jnp.float32)
    )


def _in_time(points: Points, horizon: float | None) -> Bool[Array, ...]:
    if horizon is None or points.t is None:
        return jnp.asarray(True)
    return (points.t >= 0) & (points.t <= horizon)


def _time_uniform(points: Points, horizon: float | None) -> dict[str, np.ndarray]:
    return {} if horizon is None else {"time": np.asarray(points.t, np.float64) / horizon}


def _gaussian_uniforms(x: np.ndarray) -> dict[str, np.ndarray]:
    from scipy.stats import chi2, norm

    return {"norm": chi2.cdf(np.sum(x * x, axis=1), x.shape[1]), "first": norm.cdf(x[:, 0])}
