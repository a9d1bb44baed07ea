"""What every solver offers, and what a fit returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import jax.numpy as jnp
import numpy as np

from pdezoo import PDE, Points, TestSet

from .networks.base import Params
from .progress import Progress

if TYPE_CHECKING:
    from .neural import Compiled


@dataclass
class Result:
    """What a fit found. Errors are those at the end of training; `best` is the lowest seen on the way, a separate thing."""

    status: str
    """"ok" or "diverged"."""
    reason: str
    steps: int
    loss: float | None
    history: list[dict[str, float]]
    seconds: float
    compile_seconds: float | None
    steps_per_second: float | None
    compiled_bytes: int | None
    errors: dict[str, float] | None
    forward_evaluations: int
    predict: Callable[[Points], Any] = field(repr=False)
    params: Params = field(default=None, repr=False)

    @property
    def best(self) -> float | None:
        """The lowest relative L2 error in the history."""
        return min((h["relative_l2"] for h in self.history if "relative_l2" in h), default=None)

    def u(self, x: Any, t: Any = None) -> np.ndarray:
        """The trained u at x of shape (d,) or (B, d), and t of shape () or (B,) where the problem has time."""
        points = np.atleast_2d(np.asarray(x, np.float32))
        times = None if t is None else jnp.broadcast_to(jnp.asarray(t, jnp.float32), points.shape[:1])
        values = np.asarray(self.predict(Points(jnp.asarray(points), times)))
        return values[0] if np.ndim(x) == 1 else values


class Solver(ABC):
    """What every solver offers, trained or not."""

    name: str
    sees_solution: ClassVar[bool] = False
    """Whether it uses the exact solution, which no solver may: such a row is shown, and never ranked."""

    @abstractmethod
    def hyperparameters(self) -> dict[str, Any]:
        """Everything that decides what it does, as plain data."""

    @abstractmethod
    def unsupported(self, pde: PDE) -> str | None:
        """Why this cross makes no sense; None if it does."""

    @abstractmethod
    def fit(
        self,
        pde: PDE,
        *,
        steps: int,
        seed: int = 0,
        batch: int = 100,
        test: TestSet | None = None,
        progress: Progress | str | None = "auto",
        seconds: float | None = None,
        evaluations: int = 10,
    ) -> Result:
        """Solve `pde`.

        `seed` fixes initialisation and all training randomness; the instance has its own. With a `test` set, errors are
        measured `evaluations` times, evenly, and at the end. `seconds` ends training early: 0 before the first step, None never.
        `progress(step, steps, loss, steps_per_second)` is called about twice a second; "auto" draws a bar.

        Raises ValueError where `unsupported` gives a reason.
        """

    def compile(self, pde: PDE, *, steps: int = 10_000, batch: int = 100, chunk: int = 1) -> Compiled | None:
        """The training loop compiled ahead of time, `chunk` steps a call; None where a solver has no compiled step."""
        return None
