"""Python code from SymPy expressions, as functions of JAX arrays."""

from __future__ import annotations

from collections.abc import Callable

import jax
import sympy as sp
from sympy.printing.numpy import JaxPrinter
from sympy.simplify.cse_main import tree_cse

from . import vectormath


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


def compile_expressions(arguments: tuple[sp.Symbol, ...], exprs: tuple[sp.Expr, ...]) -> Callable[..., list]:
    """A function of arrays, one per argument, that returns one array per expression (common parts shared)."""
    settings = {"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": True}
    special = {"erf": jax.scipy.special.erf, "erfc": jax.scipy.special.erfc}
    modules = [{"vm_sin": vectormath.sin, "vm_cos": vectormath.cos} | special, "jax"]
    numeric = [_numeric(e) for e in exprs]
    return sp.lambdify(arguments, numeric, modules=modules, printer=_Printer(settings), cse=_share)


def _share(exprs: list[sp.Expr]) -> tuple[list[tuple[sp.Symbol, sp.Expr]], list[sp.Expr]]:
    """Common subtrees by name.

    Not SymPy's full `cse`: its rewriting of sums, `opt_cse`, can turn a − b into a product (1.14; a test keeps the case).
    """
    return tree_cse(exprs, sp.numbered_symbols("shared"))


def _numeric(expr: sp.Expr) -> sp.Expr:
    """Irrational constants as numbers, so that nothing but arithmetic is left for run time."""
    return expr.replace(lambda e: e.is_number and not e.is_Rational and not e.is_Float, lambda e: e.evalf(20))
