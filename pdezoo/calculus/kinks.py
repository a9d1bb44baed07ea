"""Derivatives of functions with kinks: |x|³, max(x, 0)³, Piecewise.

SymPy differentiates such functions as distributions: the second derivative of |x|³ comes with a Dirac delta times x², and that of
a Piecewise without its jumps. Here the derivative is the classical one, which holds wherever there is no kink. It says all where
the function is continuous across its kinks; where that cannot be proven, the derivative is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational

KINKED = (sp.Abs, sp.Max, sp.Min, sp.sign, sp.Heaviside, sp.Piecewise)
"""What has a kink or a jump."""


def derivative(f: sp.Expr, *symbols: sp.Symbol) -> sp.Expr:
    """∂f/∂s for the symbols one after the other: the derivative that holds away from kinks.

    Raises ValueError where f, or a derivative on the way, jumps, or cannot be proven not to: its derivative is then a distribution.
    """
    if not f.has(*KINKED):
        return sp.diff(f, *symbols) if symbols else f
    for s in symbols:
        require_continuous(f, s)
        f = _tidy(_formal(f, s))
    return f


def require_continuous(f: sp.Expr, s: sp.Symbol) -> None:
    """Raises ValueError where f jumps as s varies, as far as can be proven."""
    for border in _borders(f, s):
        above, below = (f.xreplace(_on_side(f, border, side)) for side in (1, -1))
        if not (_vanishes(above - below, border) or _meet(above, below, border)):
            raise ValueError(
                f"no derivative by {_readable(s)} of {_readable(f)}: where {_readable(border)} = 0 it jumps, or cannot be seen not "
                "to; take kernels that are smooth enough for the operator, such as |x|³ or max(x, 0)³ for a Laplacian"
            )


def _formal(f: sp.Expr, s: sp.Symbol) -> sp.Expr:
    """The derivative away from kinks, by the chain rule through the outermost of them."""
    outermost = {k: sp.Dummy(real=True) for k in _outermost(f) if k.has(s)}
    smooth = f.xreplace(outermost)
    total = sp.diff(smooth, s)
    for kink, dummy in outermost.items():
        total += sp.diff(smooth, dummy) * _slope(kink, s)
    return total.xreplace({dummy: kink for kink, dummy in outermost.items()})


def _outermost(f: sp.Expr) -> Iterator[sp.Expr]:
    """The kinks of f that are inside no other."""
    traversal = sp.preorder_traversal(f)
    for node in traversal:
        if isinstance(node, KINKED):
            yield node
            traversal.skip()


def _slope(kink: sp.Expr, s: sp.Symbol) -> sp.Expr:
    """The derivative of a kink where it is none."""
    if isinstance(kink, sp.Piecewise):
        return sp.Piecewise(*((_formal(e, s), c) for e, c in kink.args))
    if isinstance(kink, sp.Abs):
        return sp.sign(kink.args[0]) * _formal(kink.args[0], s)
    if isinstance(kink, sp.Max | sp.Min):
        side = 1 if isinstance(kink, sp.Max) else -1
        others = lambda a: kink.func(*(b for b in kink.args if b != a))
        return sp.Add(*(sp.Heaviside(side * (a - others(a))) * _formal(a, s) for a in kink.args))
    return sp.Integer(0)


def _tidy(f: sp.Expr) -> sp.Expr:
    """h sign(h) as |h|; powers of sign and Heaviside as what they are away from the kink."""
    powers = lambda e: e.is_Pow and e.exp.is_Integer and e.exp > 1
    f = f.replace(lambda e: powers(e) and isinstance(e.base, sp.sign), lambda e: e.base ** (e.exp % 2))
    f = f.replace(lambda e: powers(e) and isinstance(e.base, sp.Heaviside), lambda e: e.base)

    def joined(product: sp.Expr) -> sp.Expr:
        for factor in sp.Mul.make_args(product):
            if isinstance(factor, sp.sign):
                h, rest = factor.args[0], product / factor
                power = rest.as_powers_dict().get(h, sp.Integer(0))
                if power.is_Integer and power > 0:
                    return joined(rest / h * sp.Abs(h))
        return product

    return f.replace(lambda e: e.is_Mul and any(isinstance(a, sp.sign) for a in e.args), joined)


def _border(h: sp.Expr) -> tuple[sp.Expr, int]:
    """h up to a positive number, and the sign with which it was given."""
    h = sp.expand(h).as_content_primitive()[1]
    return (-h, -1) if h.could_extract_minus_sign() else (h, 1)


def _sides(node: sp.Expr) -> sp.Expr:
    """What changes its sign where a jump, or a condition of a Piecewise, does."""
    return node.lhs - node.rhs if isinstance(node, Relational) else node.args[0]


def _jumps(f: sp.Expr, *within: sp.Symbol) -> list[sp.Expr]:
    """What jumps in f: sign, Heaviside, and comparisons; only those that contain the symbols."""
    switches = f.atoms(sp.sign, sp.Heaviside, Relational)
    return sorted((n for n in switches if all(n.has(s) for s in within)), key=sp.default_sort_key)


def _borders(f: sp.Expr, s: sp.Symbol) -> list[sp.Expr]:
    """Functions that vanish where f may jump as s varies, each once."""
    return list(dict.fromkeys(_border(_sides(node))[0] for node in _jumps(f, s)))


def _on_side(f: sp.Expr, border: sp.Expr, side: int) -> dict[sp.Expr, Any]:
    """The values of all that jumps at a border, on the side where it is positive (1) or negative (−1)."""
    values: dict[sp.Expr, Any] = {}
    for node in _jumps(f):
        h, turned = _border(_sides(node))
        if h == border:
            values[node] = _value(node, side * turned)
    return values


def _value(node: sp.Expr, side: int) -> Any:
    """What a jump, or a comparison with 0, is for an argument of that sign."""
    if isinstance(node, sp.sign):
        return sp.Integer(side)
    if isinstance(node, sp.Heaviside):
        return sp.Integer((1 + side) // 2)
    return node.func(sp.Integer(side), 0)


def _vanishes(f: sp.Expr, border: sp.Expr) -> bool:
    """Whether f = 0 is proven wherever `border` = 0."""
    unknown = sorted((f + border).atoms(sp.Derivative), key=sp.count_ops, reverse=True)
    for node in (*unknown, *(f + border).atoms(AppliedUndef)):
        named = {node: sp.Dummy(real=True)}
        f, border = f.xreplace(named), border.xreplace(named)
    if _is_zero(f):
        return True
    others = [_border(_sides(node))[0] for node in _jumps(f)]
    for v in sorted(border.free_symbols, key=sp.default_sort_key):
        slope = sp.diff(border, v)
        if slope.is_number and slope != 0:
            on = {v: sp.expand(v - border / slope)}
            return not any(_is_zero(h.xreplace(on)) for h in others) and _is_zero(f.xreplace(on))
    if any(_is_zero(h.subs(border, 0)) for h in others):
        return False
    return _is_zero(f.subs(border, 0)) or _is_zero(sp.factor(f).subs(border, 0))


def _meet(above: sp.Expr, below: sp.Expr, border: sp.Expr) -> bool:
    """Whether two functions are proven to have one limit at a border, each from its side: exp(−1/x) and 0 at x = 0."""
    if len(border.free_symbols) != 1 or _jumps(above - below):
        return False
    (v,) = border.free_symbols
    slope = sp.diff(border, v)
    if not slope.is_number or slope == 0:
        return False
    at, up = v - border / slope, "+" if slope > 0 else "-"
    try:
        limits = [
            sp.limit(f, v, sp.expand(at), side) for f, side in ((above, up), (below, "+-".replace(up, "")))
        ]
    except (NotImplementedError, ValueError, TypeError):
        return False
    return all(limit.is_finite for limit in limits) and _is_zero(limits[0] - limits[1])


def _readable(f: sp.Expr) -> str:
    """An expression, its window sums by their kernels; cut where it is long."""
    kernels = {s: sp.Symbol(f"Σ {s.kernel}") for s in f.free_symbols if hasattr(s, "kernel")}
    text = str(f.xreplace(kernels))
    return text if len(text) < 120 else f"{text[:100]} …"


def _is_zero(f: sp.Expr) -> bool:
    """Whether f = 0 is proven."""
    if f.has(sp.nan, sp.zoo, sp.oo, -sp.oo):
        return False
    return f == 0 or sp.expand(f) == 0 or sp.simplify(f) == 0
