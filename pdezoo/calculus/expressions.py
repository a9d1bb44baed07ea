"""Numbers and SymPy expressions as they come from users."""

from __future__ import annotations

import numbers
from typing import Any

import sympy as sp


def as_expression(value: Any, what: str) -> sp.Expr:
    """Returns a number or an expression as an expression; `what` names it in messages.

    Raises ValueError for anything else, texts included: they would have to be evaluated.
    """
    if isinstance(value, sp.Expr):
        return value
    if isinstance(value, numbers.Number) and not isinstance(value, bool):
        if isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real):
            raise ValueError(f"{what} is {value}, but solutions and operators are real")
        return sp.sympify(value)
    hint = "; of an equation, give the left side N[u]" if isinstance(value, sp.Equality) else ""
    raise ValueError(f"{what} is a number or a SymPy expression, got {_shown(value)}{hint}")


def as_number(value: Any, what: str) -> float:
    """Returns a finite real number as a float. Raises ValueError for anything else."""
    expression = as_expression(value, what)
    if not (expression.is_number and expression.is_real and expression.is_finite):
        raise ValueError(f"{what} is a finite real number, got {_shown(value)}")
    return float(expression)


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) < 80 else text[:76] + ' …'}"
