"""The gallery: slices of exact solutions, drawn as pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from benchmarks.leaderboard.figure import style
from benchmarks.leaderboard.markup import tag
from benchmarks.records.units import number
from benchmarks.site.page import GALLERY, Page, anchor, lines, problem_address, relative
from benchmarks.site.sources import Sources
from benchmarks.site.usual import at_its_usual

_PIXELS = 120
_INK = "#808a98"  # can be read on white and on near-black
_SAMPLE = 200  # points from which the extent of a domain without bounds is read
WORDS = (
    "One problem of each family, at its own dimension or at d = 100. Solutions in one dimension are drawn over space and time, all "
    "others over the first two coordinates, at the middle of the time span and with the other coordinates at 0, or at ½ where the "
    "solution is constant else."
)


@dataclass(frozen=True)
class Slice:
    """A solution on a grid: `values` has a row for each of the vertical coordinate, NaN outside of the domain."""

    name: str
    axes: tuple[str, str]
    extent: tuple[float, float, float, float]
    values: np.ndarray
    where: str

    @property
    def words(self) -> str:
        """What the picture shows, for those who cannot see it."""
        low, high = np.nanmin(self.values), np.nanmax(self.values)
        return (
            f"The solution of {self.name} over {self.axes[0]} and {self.axes[1]}{self.where}, "
            f"between {number(float(low))} and {number(float(high))}"
        )


def gallery_page(sources: Sources) -> Page:
    """Returns the page of pictures, with one problem of each family that has a solution everywhere."""
    slices = list(_slices(sources))
    files = {_picture_address(found.name): png(found) for found in slices}
    figures = (
        tag(
            "figure",
            tag("img", src=relative(_picture_address(s.name), GALLERY), alt=s.words),
            tag("figcaption", anchor(s.name, problem_address(s.name), GALLERY), s.where),
        )
        for s in slices
    )
    shown = tag("div", *figures, class_="gallery")
    return Page(GALLERY, "Gallery", lines("# Gallery of solutions", tag("p", WORDS), shown), files, wide=True)


def _picture_address(name: str) -> str:
    return f"gallery/{name.replace('/', '-')}.png"


def _slices(sources: Sources) -> Iterator[Slice]:
    seen: set[str] = set()
    for name in sources.problems:
        family = name.partition("/")[0]
        if name in sources.registered and family not in seen:
            found = solution_slice(at_its_usual(name))
            if found is not None:
                seen.add(family)
                yield found


def solution_slice(pde: Any) -> Slice | None:
    """Returns a slice of a problem's solution; None where it is known at one point only, or is constant on every slice."""
    if pde.exact is None and pde.solution.at is not None:
        return None
    return _slice_at(pde, 0.0) or (_slice_at(pde, 0.5) if pde.dim > 2 else None)


def _slice_at(pde: Any, others: float) -> Slice | None:
    """Returns the slice on which all coordinates but the first two are `others`; None where the solution is constant there."""
    import jax.numpy as jnp

    import pdezoo

    over_time = pde.dim == 1
    across = _span(pde, 0)
    up = (0.0, float(pde.domain.horizon)) if over_time else _span(pde, 1)
    first, second = np.meshgrid(np.linspace(*across, _PIXELS), np.linspace(*up, _PIXELS))
    x = np.full((first.size, pde.dim), others, np.float32)
    x[:, 0] = first.ravel()
    if not over_time:
        x[:, 1] = second.ravel()
    middle = None if over_time or pde.domain.horizon is None else pde.domain.horizon / 2
    time = second.ravel() if over_time else None if middle is None else np.full(first.size, middle)
    points = pdezoo.Points(jnp.asarray(x), None if time is None else jnp.asarray(time, jnp.float32))
    inside = np.asarray(pde.domain.contains(points))
    values = np.where(inside, pde.solution_at(points), np.nan).reshape(first.shape)
    if not inside.any() or np.nanmax(values) == np.nanmin(values):
        return None
    names = ("x", "t") if over_time else ("x", "y") if pde.dim == 2 else ("x₁", "x₂")
    places = [] if middle is None else [f"t = {middle:g}"]
    if others:
        places.append(f"x₃ = … = {others:g}")
    where = f" at {' and '.join(places)}" if places else ""
    return Slice(pde.name, names, (*across, *up), values, where)


def _span(pde: Any, axis: int) -> tuple[float, float]:
    """Returns the ends of a coordinate: of the domain where it has bounds, else of most of its points."""
    import jax

    import pdezoo

    domain = pde.domain
    if isinstance(domain, pdezoo.Box):
        low, high = (end[axis] if isinstance(end, tuple) else end for end in (domain.low, domain.high))
        return float(low), float(high)
    if isinstance(domain, pdezoo.Ball | pdezoo.Annulus):
        end = domain.size if isinstance(domain, pdezoo.Ball) else domain.outer
        return -end, end
    end = float(np.quantile(np.abs(domain.sample(jax.random.key(0), _SAMPLE).x), 0.95))
    return -end, end


def png(found: Slice) -> bytes:
    """Draws a slice, with transparent paper and text that can be read on a light and on a dark page."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    with mpl.rc_context(style(_INK, _INK)):
        figure = Figure(figsize=(3.6, 2.9), layout="constrained")
        axis = figure.subplots()
        shape: Literal["auto", "equal"] = "auto" if found.axes[1] == "t" else "equal"
        drawn = axis.imshow(found.values, origin="lower", extent=found.extent, aspect=shape, cmap="viridis")
        axis.set(xlabel=found.axes[0], ylabel=found.axes[1])
        figure.colorbar(drawn, ax=axis)
        figure.savefig(buffer, format="png", dpi=110, transparent=True)
    return buffer.getvalue()
