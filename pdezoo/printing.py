"""Problems as a person reads them: Unicode for a terminal, LaTeX for a paper."""

from __future__ import annotations

from typing import Any

import sympy as sp
from sympy.printing.latex import LatexPrinter
from sympy.printing.str import StrPrinter

from .calculus import collective
from .calculus.atoms import Atom, meaning, u
from .calculus.collective import Coefficients, WindowSum, X
from .condition import Condition, Periodic, SoftCondition
from .pde import PDE
from .solution import Reference

_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_SUBSCRIPTS = str.maketrans("0123456789+", "₀₁₂₃₄₅₆₇₈₉₊")
_INDICES = ("ᵢ", *(f"ᵢ{f'+{k}'.translate(_SUBSCRIPTS)}" for k in range(1, len(X))))
_LATEX_INDICES = ("i", *(f"i+{k}" for k in range(1, len(X))))


def describe(pde: PDE, latex: bool = False) -> dict[str, str]:
    """Equation, domain, measure, conditions, solution and source of a problem, as text or as LaTeX."""
    write = _Latex().doprint if latex else _Unicode().doprint
    source = "0" if pde.exact_source == 0 else "g"
    described = {
        "equation": f"{write(pde.operator)} = {source}",
        "domain": _domain(pde),
        "measure": pde.domain.measure,
        "ansatz": f"u = {_ansatz(pde, write)}",
        "solution": _solution(pde, write),
    }
    if source == "g":
        described["source"] = f"g = {write(pde.exact_source)}"
    if pde.ansatz.holds:
        described["exact on"] = ", ".join(repr(place) for place in pde.ansatz.holds)
    if pde.conditions:
        described["soft condition"] = "; ".join(
            _condition(condition, write, latex) for condition in pde.conditions
        )
    return described


def _condition(condition: SoftCondition, write: Any, latex: bool) -> str:
    """u = g at t = 0 (weight 10, of the gradient 1)."""
    if isinstance(condition, Condition):
        weights = f"weight {condition.weight:g}, of the gradient {condition.gradient_weight:g}"
        return f"u = {write(condition.target)} at t = {condition.time:g} ({weights})"
    weight = f"(weight {condition.weight:g})"
    if isinstance(condition, Periodic):
        what = "u" if condition.derivatives == 0 else f"u with {condition.derivatives} derivatives"
        return f"{what} the same on {condition.place} {weight}"
    slope = {"u": r"\partial_n u", "u*": r"\partial_n u^*"} if latex else {"u": "∂u/∂n", "u*": "∂u*/∂n"}

    def side(of: str) -> str:
        terms = [(condition.alpha, of), (condition.beta, slope[of])]
        return " + ".join(f"{'' if c == 1 else f'{c:g} '}{what}" for c, what in terms if c)

    right = side("u*") if condition.target is None else write(sp.sympify(condition.target))
    return f"{side('u')} = {right} on {condition.place} {weight}"


def atom_text(atom: Any) -> str:
    """An atom as a person writes it: Δu, |∇u|², u_xxx."""
    return _Unicode().doprint(atom)


def _domain(pde: PDE) -> str:
    fields = {k: v for k, v in vars(pde.domain).items() if v is not None and k != "scale"}
    return f"{type(pde.domain).__name__}({', '.join(f'{k}={v}' for k, v in fields.items())})"


def _ansatz(pde: PDE, write: Any) -> str:
    n, factor = sp.Symbol("n"), pde.ansatz.factor
    return write(pde.ansatz.offset + (n if factor == 1 else sp.Mul(factor, n, evaluate=False)))


def _solution(pde: PDE, write: Any) -> str:
    if not isinstance(pde.solution, Reference):
        return f"u* = {write(pde.exact)}"
    where = f" at x = {pde.solution.at[0]:g}, t = {pde.solution.at[1]:g} only" if pde.solution.at else ""
    return f"computed ({pde.solution.source}){where}, relative error {pde.solution.error:.1e}"


class _Unicode(StrPrinter):
    """Δu + u − u³ and the like."""

    def _print(self, expr: Any, **options: Any) -> str:
        return meaning(expr).text(self._print) if _is_atom(expr) else super()._print(expr, **options)

    def _print_WindowSum(self, expr: WindowSum) -> str:
        if expr == collective.r2:
            return "|x|²"
        return f"Σᵢ {_weights(expr, 'c', _INDICES)}{self.parenthesize(_indexed(expr, 'x', _INDICES), 40)}"

    def _print_Symbol(self, expr: Any) -> str:
        return expr.name

    def _print_Pow(self, expr: Any, rational: bool = False) -> str:
        if expr.exp.is_Integer and expr.exp > 0:
            return self._base(expr.base) + str(expr.exp).translate(_SUPERSCRIPTS)
        if expr.exp == sp.Rational(1, 2):
            return f"√{self._base(expr.base)}"
        return super()._print_Pow(expr, rational)

    def _base(self, base: Any) -> str:
        text = self._print(base)
        plain = text.isidentifier() and not isinstance(base, Atom)
        return text if plain else f"({text})"

    def doprint(self, expr: Any) -> str:
        """With real minus signs and products without stars."""
        return super().doprint(expr).replace("*", " ").replace(" - ", " − ").replace("  ", " ")


class _Latex(LatexPrinter):
    r"""\Delta u + u - u^{3} and the like."""

    def _print(self, expr: Any, exp: Any = None, **options: Any) -> str:
        if _is_atom(expr):  # not by a method for its class: SymPy has some of the same names
            text = meaning(expr).latex(self._print)
            return _power(text, exp) if expr != u or exp is None else f"{text}^{{{exp}}}"
        return super()._print(expr, **options if exp is None else options | {"exp": exp})

    def _print_WindowSum(self, expr: WindowSum) -> str:
        if expr == collective.r2:
            return "|x|^2"
        kernel = self.parenthesize(_indexed(expr, "x_{", _LATEX_INDICES, "}"), 40)
        return rf"\sum_i {_weights(expr, 'c_{', _LATEX_INDICES, '}')}{kernel}"


def _is_atom(expr: Any) -> bool:
    return expr == u or isinstance(expr, Atom | sp.Derivative)


def _power(text: str, exp: Any) -> str:
    return text if exp is None else rf"\left({text}\right)^{{{exp}}}"


def _indexed(expr: WindowSum, before: str, indices: tuple[str, ...], after: str = "") -> Any:
    """The kernel in x_i, x_{i+1}, …"""
    return expr.kernel.xreplace(
        {X[k]: sp.Symbol(f"{before}{index}{after}") for k, index in enumerate(indices)}
    )


def _weights(expr: WindowSum, before: str, indices: tuple[str, ...], after: str = "") -> str:
    drawn = [(c.stream, offset) for c, offset in expr.factors if isinstance(c, Coefficients)]
    names = {s: before.replace("c", "cabefhklmnpqrs"[k]) for k, s in enumerate(sorted({s for s, _ in drawn}))}
    return "".join(f"{names[stream]}{indices[offset]}{after} " for stream, offset in drawn)
