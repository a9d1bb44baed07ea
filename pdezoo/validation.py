"""What a problem may be made of. Everything else is refused when the problem is made, in words that say what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import sympy as sp
from sympy.core.function import AppliedUndef

from .ansatz import Ansatz
from .calculus import atoms as vocabulary
from .calculus import collective
from .calculus.collective import X, d, g, t, x, y
from .calculus.expressions import as_expression, as_whole, set_numbers, shown
from .condition import Condition, SoftCondition
from .domain import BadDimension, require_numbers
from .identity import canonical_domain
from .lowering.codegen import require_code, subexpressions
from .problem import multi_index
from .solution import Exact, Formula, Reference, as_place

if TYPE_CHECKING:
    from .pde import PDE

_PROTOCOL = ("dim", "measure", "horizon", "scale", "sample", "contains", "uniforms")
_LARGEST = 1e38
_SYMBOLS = {x, y, t, d, *X, collective.coordinate_max}
_OURS = {str(s): s for s in (x, y, t, d, collective.coordinate_max)}


def require_problem(pde: PDE) -> None:
    """Raises ValueError, with what is allowed instead, for a problem that cannot be lowered or identified."""
    require_domain(pde.domain)
    _require_types(pde)
    grammar = _Grammar(pde.dim, pde.domain.horizon is not None, type(pde.domain).__name__)
    _require_operator(as_expression(pde.operator, "the operator"), grammar)
    for c in pde.enhanced:
        if not (isinstance(c, sp.Symbol) and c in grammar.coordinates):
            named = ", ".join(map(str, grammar.coordinates)) or "of which there are none here"
            raise ValueError(f"`enhanced` holds coordinates of the problem, {named}, got {shown(c)}")
    bounded = {"the ansatz' factor": pde.ansatz.factor}
    if isinstance(pde.solution, Exact):
        bounded["the solution"] = pde.solution.expr
    elif pde.source is None:
        raise ValueError("a PDE without a closed-form solution must give its source term")
    if pde.source is not None:
        bounded["the source"] = pde.source
    for what, value in bounded.items():
        grammar.require(as_expression(value, what), what)
    beyond = {"the ansatz' offset": pde.ansatz.offset} | {
        f"the null predictor {name!r}": as_expression(null, f"the null predictor {name!r}").xreplace(
            {g: sp.Integer(0)}
        )
        for name, null in pde.declared_nulls.items()
        if not isinstance(null, Formula)
    }
    for condition in pde.conditions:
        target = getattr(condition, "target", None)
        if target is not None:
            beyond["the target of a condition"] = target
    for what, value in beyond.items():
        grammar.require(as_expression(value, what), what, (collective.coordinate_max,))
    _require_widths(pde)


def require_domain(domain: Any) -> None:
    """Raises ValueError for what is no domain, and BadDimension for one whose dimension is none."""
    missing = [name for name in _PROTOCOL if not hasattr(domain, name)]
    if isinstance(domain, type) or missing:
        raise ValueError(
            f"a domain is a frozen dataclass such as Ball(dim=10) that has {', '.join(_PROTOCOL)}, got {domain!r:.80} "
            f"without {', '.join(missing) or 'being made: call the class'}"
        )
    require_numbers(domain)
    canonical_domain(domain)
    try:
        hash(domain)
    except TypeError as error:
        raise ValueError(
            f"a domain is compared and hashed, and {type(domain).__name__} cannot be ({error}): write its arrays as tuples, or "
            "derive it with dataclass(frozen=True, eq=False)"
        ) from None


def require_derived(exprs: Iterable[sp.Expr], what: str) -> None:
    """Raises ValueError for expressions that calculus made of a problem's, and that have no JAX code."""
    for expr in exprs:
        sums = collective.window_sums(expr)
        try:
            require_code((expr, *(s.kernel for s in sums)), {*_SYMBOLS, *sums})
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None


def _require_types(pde: PDE) -> None:
    """Raises ValueError for fields that are of another kind than declared."""
    if not isinstance(pde.ansatz, Ansatz):
        raise ValueError(f"the ansatz is an Ansatz(factor, offset), got {pde.ansatz!r:.80}")
    if not isinstance(pde.solution, Exact | Reference):
        raise ValueError(f"the solution is an Exact(expression) or a Reference, got {pde.solution!r:.80}")
    for name, held in (("conditions", pde.conditions), ("enhanced", pde.enhanced)):
        if not isinstance(held, tuple):
            raise ValueError(f"`{name}` is a tuple, got {held!r:.80}")
    for condition in pde.conditions:
        if not isinstance(condition, SoftCondition):
            raise ValueError(
                f"`conditions` holds conditions such as Condition(time, target, weight), got {condition!r:.80}"
            )
        if isinstance(condition, Condition):
            _require_time(condition, pde.domain.horizon)
    _require_nulls(pde)
    if pde.probe is not None:
        object.__setattr__(pde, "probe", as_place(pde.probe, "`probe`"))
    set_numbers(pde, "a PDE", "enhanced_weight", least=0)
    object.__setattr__(pde, "seed", as_whole(pde.seed, "the seed of an instance"))
    for name in ("caveat", "name"):
        if not isinstance(getattr(pde, name), str):
            raise ValueError(f"`{name}` is a text, got {getattr(pde, name)!r:.80}")


def _require_time(condition: Condition, horizon: float | None) -> None:
    """Raises ValueError unless the domain has the time at which a condition is asked for."""
    if horizon is None:
        raise ValueError("a condition at one time belongs to a domain with time: give it a horizon")
    if not 0 <= condition.time <= float(horizon):
        raise ValueError(
            f"the time of a condition is from 0 to the domain's horizon, {horizon}, got {condition.time}"
        )


def _require_nulls(pde: Any) -> None:
    """Raises ValueError unless `nulls` and `baselines` map names, each given once, to predictors."""
    seen = {"zero", "constant", "affine"}
    for field in ("nulls", "baselines"):
        value = getattr(pde, field)
        if value is None:
            continue
        if not (isinstance(value, Mapping) and all(isinstance(name, str) for name in value)):
            raise ValueError(f"`{field}` maps names to expressions or Formulas, got {value!r:.80}")
        if again := sorted(seen & value.keys()):
            raise ValueError(
                f"every problem has the null predictors zero, constant and affine, and each of the others is either a null "
                f"(it uses the solution) or a baseline (it does not), got {again[0]!r} twice; name it otherwise"
            )
        seen |= value.keys()


class _Grammar:
    """What expressions of a problem of this dimension, with or without time, may contain."""

    def __init__(self, dim: int, has_time: bool, domain: str):
        self.dim, self.has_time, self.domain = dim, has_time, domain
        self.coordinates = (*((x, y)[:dim] if dim < 3 else ()), *((t,) if has_time else ()))

    def require(self, expr: sp.Expr, what: str, also: Iterable[sp.Symbol] = ()) -> None:
        """Raises ValueError for an expression that is not real, finite, and made of what has a meaning here and JAX code."""
        sums = collective.window_sums(expr)
        self._require_part(expr, what, {*self.coordinates, d, *sums, *also})
        time = {t} if self.has_time else set()
        for s in sums:
            self._require_part(s.kernel, f"a window sum in {what}", {*X[: s.width], d, *time})

    def _require_part(self, expr: sp.Expr, what: str, known: set[sp.Symbol]) -> None:
        for node in subexpressions(expr):
            if node == vocabulary.u or isinstance(node, vocabulary.Atom | sp.Derivative):
                raise ValueError(
                    f"{what} contains u or its derivatives, which belong to the operator alone: {_short(expr)}"
                )
            if isinstance(node, AppliedUndef):
                raise ValueError(
                    f"{what} contains the unknown function {node}; the one unknown is `u` of pdezoo, and systems of several are "
                    "not expressed here"
                )
            if node in (sp.nan, sp.zoo, sp.oo, -sp.oo):
                raise ValueError(f"{what} contains a number that is not finite: {_short(expr)}")
            if isinstance(node, sp.Number) and abs(node) > _LARGEST:
                raise ValueError(
                    f"{what} contains a number above {_LARGEST:g}, which float32 cannot hold: {_short(expr)}"
                )
            if node == sp.I:
                raise ValueError(_complex(expr, what))
        for symbol in sorted(expr.free_symbols - known, key=str):
            raise ValueError(f"{what} contains {_short(symbol)}{self._hint(symbol)}")
        try:
            require_code((expr,), known)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None
        if any(
            node.is_number and node.is_real is False
            for node in subexpressions(expr)
            if isinstance(node, sp.Expr)
        ):
            raise ValueError(_complex(expr, what))

    def _hint(self, symbol: sp.Symbol) -> str:
        """What is wrong with a symbol that has no meaning."""
        if isinstance(symbol, collective.WindowSum):
            return (
                ": window sums do not nest; multiply two of them, or write one kernel of several coordinates"
            )
        if symbol in X:
            return ", a coordinate of a window: it stands inside window_sum(…), as many as the window is wide"
        if symbol == t:
            return f", but {self.domain} has no time: give the domain a horizon"
        if symbol in (x, y) and self.dim > 2:
            return f": x and y are the coordinates of one and two dimensions, here are {self.dim}; write window sums, such as r2"
        if symbol in (x, y):
            return ": in one dimension the coordinate is x; inside window sums, coordinates are X[0], X[1], …"
        if symbol == g:
            return ", the source, of which null predictors alone may be made"
        if symbol == collective.coordinate_max:
            return ", which has no derivatives here: only offsets, null predictors and targets of conditions may contain it"
        if str(symbol) in _OURS:
            return (
                ", another symbol of this name than that of pdezoo: `from pdezoo import " + str(symbol) + "`"
            )
        return (
            ", a symbol without a value; expressions are made of numbers, d, t, window sums and, in one or two dimensions, x and "
            "y, and an unknown parameter is not fitted here"
        )


def _require_operator(operator: sp.Expr, grammar: _Grammar) -> None:
    """Raises ValueError for an operator that no estimator could be asked for."""
    if operator.has(sp.Integral, sp.Sum, sp.Product, sp.Limit, sp.Subs):
        raise ValueError(
            f"the operator contains an integral or a sum over an index, which is not expressed here: {_short(operator)}"
        )
    atoms = vocabulary.atoms_of(operator)
    if not atoms:
        raise ValueError(
            f"the operator does not contain u: it is made of u, D(u, x), Laplacian(u), Dt(u) and the like, got {_short(operator)}"
        )
    named = {atom: sp.Dummy(vocabulary.meaning(atom).text(_short), real=True) for atom in atoms}
    derivatives = {a: s for a, s in named.items() if a != vocabulary.u}
    bare = operator.xreplace(derivatives).xreplace(named)
    grammar.require(bare, "the operator", (*named.values(), collective.coordinate_max))
    partial = any(isinstance(a, sp.Derivative) for a in atoms)
    if partial and grammar.dim > 2:
        raise ValueError(
            f"D(…) differentiates by x, y and t in one or two dimensions, here are {grammar.dim}; write Laplacian(u), "
            "GradNormSq(u), Drift(u, …), Dt(u) and the like"
        )
    for atom in atoms:
        _require_atom(atom, grammar)
        if partial:
            multi_index(atom, grammar.dim)


def _require_atom(atom: sp.Expr, grammar: _Grammar) -> None:
    """Raises ValueError for an atom by a coordinate that the problem has not, or with weights that are none."""
    if isinstance(atom, vocabulary.WeightedAtom):
        collective.weight_terms(atom.weights)
        grammar.require(atom.weights, f"the weights of {type(atom).__name__}")
    by = (
        {*atom.variables}
        if isinstance(atom, sp.Derivative)
        else {t}
        if isinstance(atom, vocabulary.Dt)
        else set()
    )
    for coordinate in sorted(by - set(grammar.coordinates), key=str):
        raise ValueError(f"the operator differentiates by {coordinate}{grammar._hint(coordinate)}")


def _complex(expr: sp.Expr, what: str) -> str:
    """What is said of an expression that is not real."""
    return (
        f"{what} is complex, but solutions and operators are real: {_short(expr)}. A complex equation is a system of two real "
        "ones, for the real and the imaginary part"
    )


def _require_widths(pde: PDE) -> None:
    """Raises BadDimension where a window of an expression is wider than the problem has coordinates.

    Such a sum has no window, and is 0: a coefficient would silently not be there.
    """
    targets = (getattr(condition, "target", None) for condition in pde.conditions)
    parts = (pde.operator, pde.exact, pde.source, pde.ansatz.factor, pde.ansatz.offset, *targets)
    widths = [s.width for part in parts if part is not None for s in collective.window_sums(sp.sympify(part))]
    if max(widths, default=1) > pde.dim:
        raise BadDimension(f"this problem needs dimension ≥ {max(widths)}, got {pde.dim}")


def _short(expr: Any) -> str:
    """An expression, its window sums by their kernels and what stands for atoms by their text; cut where it is long."""
    names = {s: sp.Symbol(f"Σ {s.kernel}") for s in collective.window_sums(expr)}
    text = str(expr.xreplace(names | {s: sp.Symbol(s.name) for s in expr.atoms(sp.Dummy)}))
    return text if len(text) < 120 else f"{text[:100]} …"
