"""Python code from SymPy expressions, as functions of JAX arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax
import sympy as sp
from sympy.core.relational import Relational
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.logic.boolalg import BooleanAtom, BooleanFunction
from sympy.printing.numpy import JaxPrinter
from sympy.simplify.cse_main import tree_cse

from . import vectormath
from .branches import with_safe_branches

# SymPy prints these by exponentials, with a cancellation at 0 and ∞/∞ beyond 89. Its 1/cosh, of which solitons are made, is sound.
_RECIPROCALS = {sp.sec: sp.cos, sp.csc: sp.sin, sp.cot: sp.tan, sp.csch: sp.sinh, sp.coth: sp.tanh}

FUNCTIONS = (
    *(sp.exp, sp.log, sp.sin, sp.cos, sp.tan, sp.asin, sp.acos, sp.atan, sp.atan2),
    *(sp.sinh, sp.cosh, sp.tanh, sp.asinh, sp.acosh, sp.atanh, sp.sech, *_RECIPROCALS),
    *(
        sp.erf,
        sp.erfc,
        sp.sinc,
        sp.Abs,
        sp.sign,
        sp.Heaviside,
        sp.Max,
        sp.Min,
        sp.Piecewise,
        sp.floor,
        sp.ceiling,
    ),
)
"""The functions that have JAX code here."""

_GRAMMAR = (
    *(sp.Add, sp.Mul, sp.Pow, sp.Symbol, sp.Number, sp.NumberSymbol),
    *(Relational, BooleanAtom, BooleanFunction, ExprCondPair),
)


class _Printer(JaxPrinter):
    """Integer powers stay integer powers; sine and cosine are the vectorised ones.

    Integers beyond JAX's int32, of which derivatives of rational functions are full, become floats.
    """

    def _print_Integer(self, expr: sp.Integer) -> str:
        return str(expr.p) if abs(expr.p) < 2**31 else f"{expr.p}.0"

    def _print_Pow(self, expr: sp.Pow, rational: bool = False) -> str:
        if expr.exp.is_Integer:
            return f"({self._print(expr.base)})**({int(expr.exp)})"
        return super()._print_Pow(expr, rational=rational)

    def _print_sin(self, expr: sp.Expr) -> str:
        return f"vm_sin({self._print(expr.args[0])})"

    def _print_cos(self, expr: sp.Expr) -> str:
        return f"vm_cos({self._print(expr.args[0])})"

    def _print_And(self, expr: Any) -> str:
        return self._joined("logical_and", expr.args)

    def _print_Or(self, expr: Any) -> str:
        return self._joined("logical_or", expr.args)

    def _joined(self, function: str, conditions: Iterable[Any]) -> str:
        """Conditions on arrays of different shapes, which SymPy's printer would stack."""
        name = self._module_format(f"{self._module}.{function}")
        first, *rest = map(self._print, conditions)
        for other in rest:
            first = f"{name}({first}, {other})"
        return first

    def _print_Held(self, expr: Any) -> str:
        where = self._module_format(f"{self._module}.where")
        value, chosen, constant = map(self._print, expr.args)
        return f"{where}({chosen}, {value}, {constant})"


def compile_expressions(arguments: tuple[sp.Symbol, ...], exprs: tuple[sp.Expr, ...]) -> Callable[..., list]:
    """A function of arrays, one per argument, that returns one array per expression (common parts shared).

    Raises ValueError for a function that has no JAX code here, and for a symbol that is no argument.
    """
    require_code(exprs, arguments)
    settings = {"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": True}
    special = {"erf": jax.scipy.special.erf, "erfc": jax.scipy.special.erfc}
    modules = [{"vm_sin": vectormath.sin, "vm_cos": vectormath.cos} | special, "jax"]
    numeric = [with_safe_branches(_numeric(e)) for e in exprs]
    return sp.lambdify(arguments, numeric, modules=modules, printer=_Printer(settings), cse=_share)


def require_code(exprs: Iterable[Any], arguments: Iterable[sp.Symbol]) -> None:
    """Raises ValueError, with what may be used instead, for expressions that cannot be written as JAX code in these arguments."""
    known = set(arguments)
    for expr in map(sp.sympify, exprs):
        for node in subexpressions(expr):
            if isinstance(node, sp.Symbol) and node not in known:
                raise ValueError(
                    f"the symbol {node} is neither a coordinate nor a number: of symbols, d, t, X[0], X[1], … inside window sums "
                    "and, in low dimensions, x and y have a meaning"
                )
            if not isinstance(node, (*_GRAMMAR, *FUNCTIONS)) or node in (sp.nan, sp.zoo):
                raise ValueError(
                    f"{_name(node)} has no JAX code here; expressions are made of real numbers, +, ·, powers and "
                    f"{', '.join(sorted(f.__name__ for f in FUNCTIONS))}"
                )


def subexpressions(expr: sp.Expr) -> Iterable[Any]:
    """Yields every subexpression, once."""
    seen, todo = set(), [expr]
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            todo.extend(node.args)
            yield node


def _name(node: Any) -> str:
    """A function by its name, anything else as it is written."""
    if node == sp.I:
        return "the imaginary unit"
    return node.func.__name__ if isinstance(node, sp.Function) else str(node)


def _share(exprs: list[sp.Expr]) -> tuple[list[tuple[sp.Symbol, sp.Expr]], list[sp.Expr]]:
    """Common subtrees by name.

    Not SymPy's full `cse`: its rewriting of sums, `opt_cse`, can turn a − b into a product (1.14; a test keeps the case).
    """
    return tree_cse(exprs, sp.numbered_symbols("shared"))


def _numeric(expr: sp.Expr) -> sp.Expr:
    """Irrational constants as numbers, so that nothing but arithmetic is left for run time; coth x as 1/tanh x and the like."""
    for function, inverse in _RECIPROCALS.items():
        expr = (
            expr.replace(function, lambda a, inverse=inverse: 1 / inverse(a)) if expr.has(function) else expr
        )
    return expr.replace(lambda e: e.is_number and not e.is_Rational and not e.is_Float, lambda e: e.evalf(20))
