"""Hard constraints: u = b + a·n, with a and b symbolic, so that u meets its conditions for any network n."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp


@dataclass(frozen=True)
class Ansatz:
    """u(x, t) = offset(x, t) + factor(x, t)·n(x, t)."""

    factor: Any = sp.Integer(1)
    offset: Any = sp.Integer(0)
