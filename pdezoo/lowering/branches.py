"""Functions of several pieces, made safe to differentiate.

JAX evaluates every piece everywhere and then chooses. The gradient of a piece that was not chosen is multiplied by 0, which is
NaN where that gradient is infinite or NaN: √x where x < 0, 1/x at 0, exp(−x) where it overflows. So a piece that is not harmless
everywhere is given, wherever it is not chosen, a constant at which it is.
"""

from __future__ import annotations

import itertools
from typing import Any

import sympy as sp

_HARMLESS = (
    *(sp.sin, sp.cos, sp.tanh, sp.atan, sp.asinh, sp.erf, sp.erfc, sp.sinc),
    *(sp.Abs, sp.Max, sp.Min, sp.sign, sp.Heaviside, sp.Piecewise),
)
_CONSTANTS = tuple(map(sp.Rational, ("1", "1/2", "2", "-1", "-1/2", "-2", "1/10", "-1/10", "10", "-10")))
_TRIED = 1000  # points at which a piece is tried


class Held(sp.Function):
    """Held(s, condition, c) is s where the condition holds, and the number c elsewhere."""

    nargs = 3
    is_real = True


def with_safe_branches(expr: sp.Expr) -> sp.Expr:
    """The same function, without infinite or undefined numbers in pieces that are not chosen.

    max(h, 0)^(3/2) counts as two pieces.
    """
    expr = expr.replace(
        _is_root_of_a_part,
        lambda e: sp.Piecewise((_positive(e.base) ** e.exp, _positive(e.base) > 0), (0, True)),
    )
    return expr.replace(lambda e: isinstance(e, sp.Piecewise), _guarded) if expr.has(sp.Piecewise) else expr


def _is_root_of_a_part(e: Any) -> bool:
    """Whether e is max(h, 0)^q, q > 0 no whole number: its second derivative is 0·∞ where h < 0."""
    root = e.is_Pow and e.exp.is_number and not e.exp.is_Integer and e.exp > 0
    return bool(root and isinstance(e.base, sp.Max) and 0 in e.base.args)


def _positive(part: sp.Max) -> sp.Expr:
    """h of max(h, 0)."""
    return sp.Max(*(a for a in part.args if a != 0))


def _guarded(pieces: sp.Piecewise) -> sp.Expr:
    """Every piece with its variables held at constants where it is not chosen."""
    guarded, before = [], sp.true
    for piece, condition in pieces.args:
        guarded.append((_held(piece, sp.And(before, condition)), condition))
        before = sp.And(before, sp.Not(condition))
    return sp.Piecewise(*guarded)


def _held(piece: sp.Expr, chosen: Any) -> sp.Expr:
    """The piece with its variables held where it is not chosen; as it is where that is not needed, or no constant is found."""
    if chosen == sp.true or _is_harmless(piece):
        return piece
    place = _constants(piece, chosen)
    return piece.xreplace({s: Held(s, chosen, c) for s, c in place.items()})


def _is_harmless(piece: sp.Expr) -> bool:
    """Whether a piece and its derivatives are finite at all numbers."""
    if piece.is_Atom:
        return True
    kind = (
        piece.is_Add
        or piece.is_Mul
        or isinstance(piece, _HARMLESS)
        or (piece.is_Pow and piece.exp.is_Integer and piece.exp > 0)
    )
    inner = (a for a in piece.args if isinstance(a, sp.Expr))
    return isinstance(piece, sp.Piecewise) or (bool(kind) and all(map(_is_harmless, inner)))


def _constants(piece: sp.Expr, chosen: Any) -> dict[sp.Symbol, sp.Expr]:
    """Numbers for the variables of a piece at which it is chosen, and finite with its slopes; none where none are found."""
    variables = sorted(piece.free_symbols, key=sp.default_sort_key)
    others = sorted(chosen.free_symbols - piece.free_symbols, key=sp.default_sort_key)
    slopes = [piece, *(sp.diff(piece, s) for s in variables)]
    places = itertools.product(_CONSTANTS, repeat=len(variables) + len(others))
    for numbers in itertools.islice(places, _TRIED):
        place = dict(zip((*variables, *others), numbers, strict=True))
        if chosen.xreplace(place) == sp.true and all(_is_finite(f.xreplace(place)) for f in slopes):
            return {s: place[s] for s in variables}
    return {}


def _is_finite(value: sp.Expr) -> bool:
    number = sp.N(value)
    return bool(number.is_real and number.is_finite)
