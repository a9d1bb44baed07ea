"""Numbers and SymPy expressions as they come from users."""

from __future__ import annotations

import math
import numbers
import operator
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.traversal import bottom_up

_REMAKINGS = 4  # one is enough but for what that one evaluates


def as_expression(value: Any, what: str) -> sp.Expr:
    """Returns a number or an expression as a settled expression; `what` names it in messages.

    Raises ValueError for anything else, texts included: they would have to be evaluated.
    """
    if isinstance(value, sp.Expr) and not isinstance(value, sp.MatrixExpr | sp.Lambda):
        return settled(value)
    if isinstance(value, numbers.Number) and not isinstance(value, bool):
        if isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real):
            raise ValueError(f"{what} is {value}, but solutions and operators are real")
        return sp.sympify(value)
    hint = "; of an equation, give the left side N[u]" if isinstance(value, sp.Equality) else ""
    raise ValueError(f"{what} is a number or a SymPy expression, got {shown(value)}{hint}")


def settled(expr: sp.Expr) -> sp.Expr:
    """Returns an expression as SymPy makes it of its parts; making it again, which is what unpickling does, then changes nothing.

    Differentiation leaves products such as 2 (a + b), which SymPy multiplies out when they are made anew: the same function, but
    of other digits, and a problem of another fingerprint. What cannot be made again is returned as it is.
    """
    for _ in range(_REMAKINGS):
        try:
            again = bottom_up(expr, _made_again)
        except (
            Exception
        ):  # whatever SymPy raises; what such an expression may be used for is decided where it is used
            return expr
        if again == expr:
            return expr
        expr = again
    return expr


def _made_again(node: sp.Basic) -> sp.Basic:
    return node.func(*node.args) if node.args else node


def as_number(value: Any, what: str) -> float:
    """Returns a finite real number as a float. Raises ValueError for anything else, and for a number that no float can be."""
    if type(value) is float and math.isfinite(value):
        return value
    expression = as_expression(value, what)
    if not (expression.is_number and expression.is_real and expression.is_finite):
        raise ValueError(f"{what} is a finite real number, got {shown(value)}")
    try:
        number = float(expression)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{what} is a number below 1e308, got {shown(value)}")
    return number


def plain_number(value: Any, what: str) -> int | float:
    """Returns a finite real number as Python's own: an int or a float as it is, NumPy's by their value, any other as a float.

    Raises ValueError for anything else.
    """
    number = as_number(value, what)
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, int | float) else number


def set_numbers(holder: Any, kind: str, *names: str, least: float = -math.inf) -> None:
    """Puts Python's own numbers into fields of a frozen dataclass, that messages call a `kind`.

    Raises ValueError, by the field's name, for what is no finite real number of at least `least`.
    """
    for name in names:
        given = getattr(holder, name)
        number = plain_number(given, f"the {name} of {kind}")
        if number < least:
            raise ValueError(f"the {name} of {kind} is at least {least:g}, got {given}")
        object.__setattr__(holder, name, number)


def as_whole(value: Any, what: str, least: int = 0) -> int:
    """Returns a whole number of at least `least` as an int. Raises ValueError for anything else."""
    try:
        whole = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        whole = None
    if whole is None or whole < least:
        raise ValueError(f"{what} is a whole number of at least {least}, got {shown(value)}")
    return whole


def shown(value: Any) -> str:
    """What a message says was given: its type, and the beginning of its text."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no integers of more than 4300 digits
        text = "with very many digits"
    return f"{type(value).__name__} {text if len(text) < 80 else text[:76] + ' …'}"
