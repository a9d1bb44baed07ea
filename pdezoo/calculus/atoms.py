"""The vocabulary of operators, such as u, Laplacian(u), GradNormSq(u), Dt(u) and D(u, x, x, y).

An operator is a SymPy expression over these atoms: a value to print, differentiate, hash and lower. `Laplacian`,
`GradNormSq`, `Drift`, `Biharmonic`, `Dt` and their like are dimension-generic; `D` takes ordinary partial derivatives in
the coordinates x, y, t of a low-dimensional problem and differentiates products by SymPy.

An atom is one class, and says all of itself there: its exact calculus on functions of window sums, its definition by
SymPy's own differentiation, its definition by nested automatic differentiation, and how it is written. The first shares
no code with the other two, which is what makes them a proof of it.
"""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import sympy as sp
from sympy.core.function import FunctionClass

from . import collective
from .collective import X, d, t, x, y
from .expressions import as_expression, shown
from .kinks import derivative

_U = sp.Function("u", real=True)


def _unknown(*arguments: sp.Expr) -> sp.Expr:
    """The unknown at these arguments, for a pickle."""
    return _U(*arguments)


# SymPy's own pickles hold no function that has only a name.
_U.__reduce__ = lambda self: (_unknown, self.args)

u = _U(x, y, t)
"""The unknown."""

PointFunction = Callable[[Any, Any], Any]
"""A function of one point, as JAX differentiates it: x of shape (d,), t of shape () ↦ a number."""

Writer = Callable[[Any], str]
"""What writes a SymPy expression, as text or as LaTeX."""


class _AtomClass(ABCMeta, FunctionClass):
    """SymPy's class of functions, with abstract methods."""


class Atom(sp.Function, metaclass=_AtomClass):
    """What an operator is made of: a differential expression of the unknown, such as `Laplacian(u)`.

    A new atom is a subclass that sets `nargs` and defines the methods below; then `verify` proves problems with it, and the
    estimator `exact` gives it, by nested automatic differentiation.
    """

    is_real = True

    def __new__(cls, *arguments: Any, **options: Any) -> Any:
        """Raises ValueError for an argument that is no number or expression, such as a text, which SymPy would evaluate."""
        expressions = (as_expression(a, f"an argument of {cls.__name__}") for a in arguments)
        return super().__new__(cls, *expressions, **options)

    @property
    def order(self) -> int:
        """The highest order of its derivatives."""
        return 2

    @abstractmethod
    def calculus(self, function: sp.Expr) -> sp.Expr:
        """The atom of a function of window sums and t, by exact calculus: O(d) to evaluate at any dimension.

        The coordinates x and y are handed over as window sums, too. Raises ValueError where it does not close.
        """

    @abstractmethod
    def definition(self, function: sp.Expr, space: tuple[sp.Symbol, ...]) -> sp.Expr:
        """The atom of an explicit function of the space coordinates and t, by SymPy's own differentiation."""

    @abstractmethod
    def autodiff(self, f: PointFunction) -> PointFunction:
        """The atom of a function of one point, by nested automatic differentiation."""

    @abstractmethod
    def text(self, write: Writer) -> str:
        """As a terminal shows it: Δu. `write` is for what it holds besides u."""

    @abstractmethod
    def latex(self, write: Writer) -> str:
        r"""As a paper shows it: \Delta u."""


class Laplacian(Atom):
    """Δu = Σ ∂²u/∂x_i², over the space coordinates."""

    nargs = 1

    def calculus(self, function: sp.Expr) -> sp.Expr:
        """Applies the Laplacian by the chain rule over window sums."""
        return collective.laplacian(function)

    def definition(self, function: sp.Expr, space: tuple[sp.Symbol, ...]) -> sp.Expr:
        """Adds up the second derivatives that SymPy takes."""
        return _explicit_laplacian(function, space)

    def autodiff(self, f: PointFunction) -> PointFunction:
        """Takes the trace of the Hessian."""
        import jax

        return lambda x, s: jax.numpy.trace(jax.hessian(f)(x, s))

    def text(self, write: Writer) -> str:
        """Writes Δu as text."""
        return "Δu"

    def latex(self, write: Writer) -> str:
        """Writes Δu in LaTeX."""
        return r"\Delta u"


class Biharmonic(Atom):
    """Δ²u = Δ(Δu), over the space coordinates."""

    nargs = 1

    @property
    def order(self) -> int:
        """Is 4: a Laplacian of second derivatives."""
        return 4

    def calculus(self, function: sp.Expr) -> sp.Expr:
        """Applies the Laplacian twice, by the chain rule over window sums."""
        return collective.laplacian(collective.laplacian(function))

    def definition(self, function: sp.Expr, space: tuple[sp.Symbol, ...]) -> sp.Expr:
        """Adds up the second derivatives that SymPy takes, twice."""
        return _explicit_laplacian(_explicit_laplacian(function, space), space)

    def autodiff(self, f: PointFunction) -> PointFunction:
        """Applies the Laplacian axis by axis, forward over forward, twice: a Hessian of a Hessian would have d⁴ entries."""
        return _forward_laplacian(_forward_laplacian(f))

    def text(self, write: Writer) -> str:
        """Writes Δ²u as text."""
        return "Δ²u"

    def latex(self, write: Writer) -> str:
        """Writes Δ²u in LaTeX."""
        return r"\Delta^2 u"


class GradNormSq(Atom):
    """|∇u|² = Σ (∂u/∂x_i)², over the space coordinates."""

    nargs = 1

    @property
    def order(self) -> int:
        """Is 1: there are first derivatives only."""
        return 1

    def calculus(self, function: sp.Expr) -> sp.Expr:
        """Forms ∇u·∇u by the chain rule over window sums."""
        return collective.grad_dot(function, function)

    def definition(self, function: sp.Expr, space: tuple[sp.Symbol, ...]) -> sp.Expr:
        """Adds up the squares of SymPy's first derivatives."""
        return sp.Add(*(sp.diff(function, c) ** 2 for c in space))

    def autodiff(self, f: PointFunction) -> PointFunction:
        """Adds up the squares of the gradient's components."""
        import jax

        return lambda x, s: jax.numpy.sum(jax.grad(f)(x, s) ** 2)

    def text(self, write: Writer) -> str:
        """Writes |∇u|² as text."""
        return "|∇u|²"

    def latex(self, write: Writer) -> str:
        """Writes |∇u|² in LaTeX."""
        return r"|\nabla u|^2"


class GradNorm1(Atom):
    """Σ |∂u/∂x_i|, the sum of the absolute first derivatives over the space coordinates."""

    nargs = 1

    @property
    def order(self) -> int:
        """Is 1: there are first derivatives only."""
        return 1

    def calculus(self, function: sp.Expr) -> sp.Expr:
        """Sums |∂u/∂x_i| for functions of one plain sum of single coordinates; raises ValueError for others."""
        return collective.grad_norm1(function)

    def definition(self, function: sp.Expr, space: tuple[sp.Symbol, ...]) -> sp.Expr:
        """Adds up the absolute values of SymPy's first derivatives."""
        return sp.Add(*(sp.Abs(sp.diff(function, c)) for c in space))

    def autodiff(self, f: PointFunction) -> PointFunction:
        """Adds up the absolute values of the gradient's components."""
        import jax

        return lambda x, s: jax.numpy.sum(jax.numpy.abs(jax.grad(f)(x, s)))

    def text(self, write: Writer) -> str:
        """Writes Σ |∂u/∂x_i| as text."""
        return "Σᵢ|∂u/∂xᵢ|"

    def latex(self, write: Writer) -> str:
        """Writes Σ |∂u/∂x_i| in LaTeX."""
        return r"\sum_i |\partial_i u|"


class EulerDerivative(Atom):
    """x·∇u = Σ x_i ∂u/∂x_i: the drift with b_i = x_i."""

    nargs = 1

    @property
    def order(self) -> int:
        """Is 1: there are first derivatives only."""
        return 1

    def calculus(self, function: sp.Expr) -> sp.Expr:
        """Forms x·∇u by the chain rule over window sums."""
        return collective.euler(function)

    def definition(self, function: sp.Expr, space: tuple[sp.Symbol, ...]) -> sp.Expr:
        """Adds up x_i times SymPy's first derivatives."""
        return sp.Add(*(c * sp.diff(function, c) for c in space))

    def autodiff(self, f: PointFunction) -> PointFunction:
        """Multiplies x by the gradient."""
        import jax

        return lambda x, s: x @ jax.grad(f)(x, s)

    def text(self, write: Writer) -> str:
        """Writes x·∇u as text."""
        return "x·∇u"

    def latex(self, write: Writer) -> str:
        """Writes x·∇u in LaTeX."""
        return r"x \cdot \nabla u"


class WeightedAtom(Atom):
    """A sum over coordinates with weights w_i(x_i, t), which are given as their sum Σ_i w_i.

    That is a linear combination of window sums of single coordinates, whose coefficients may contain `d` and `t`, and of
    `window_sum(1)`, which is the symbol `d` and gives every coordinate the same weight: `window_sum(X[0]**2)` is w_i = x_i²,
    `window_sum(1, coefficients=c)` is w_i = c_i, `3*d - r2` is w_i = 3 − x_i². A number alone, which could mean two things,
    raises ValueError.
    """

    nargs = 2
    general: ClassVar[str]
    """The sum with weights that are not said, as a person writes it."""

    @property
    def weights(self) -> sp.Expr:
        """The weights, as their sum Σ_i w_i: the second argument."""
        return self.args[1]


class Diffusion(WeightedAtom):
    """Σ_i w_i ∂²u/∂x_i² with weights w_i of any sign given as the window sum Σ_i w_i, as in `Diffusion(u, r2)` for w_i = x_i²."""

    general: ClassVar[str] = "Σᵢ wᵢ ∂²u/∂xᵢ²"

    def calculus(self, function: sp.Expr) -> sp.Expr:
        """Applies the weighted Laplacian by the chain rule over window sums."""
        return collective.diffusion(function, self.weights)

    def definition(self, function: sp.Expr, space: tuple[sp.Symbol, ...]) -> sp.Expr:
        """Adds up w_i times SymPy's second derivatives."""
        weights = _explicit_weights(self.weights, space)
        return sp.Add(*(w * sp.diff(function, c, 2) for w, c in zip(weights, space, strict=True)))

    def autodiff(self, f: PointFunction) -> PointFunction:
        """Multiplies the weights by the diagonal of the Hessian."""
        import jax

        second = lambda x, s: jax.numpy.diag(jax.hessian(f)(x, s))
        return lambda x, s: _weights_at(self.weights, x, s) @ second(x, s)

    def text(self, write: Writer) -> str:
        """Writes Σᵢ wᵢ ∂²u/∂xᵢ², and what the weights sum to."""
        return f"Σᵢ wᵢ ∂²u/∂xᵢ² [Σᵢ wᵢ = {write(self.weights)}]"

    def latex(self, write: Writer) -> str:
        """Writes the sum of weighted second derivatives, and what the weights sum to, in LaTeX."""
        return rf"\sum_i w_i \partial_i^2 u \quad \Big(\sum_i w_i = {write(self.weights)}\Big)"


class Drift(WeightedAtom):
    """b·∇u = Σ_i b_i ∂u/∂x_i with b_i(x_i, t) given as the window sum Σ_i b_i.

    `Drift(u, window_sum(X[0]))` is x·∇u, `Drift(u, d)` is Σ ∂u/∂x_i, `Drift(u, window_sum(1, coefficients=c))` is
    Σ c_i ∂u/∂x_i, and `Drift(u, window_sum(1 - X[0]))` pulls every coordinate towards 1, as an Ornstein-Uhlenbeck process does.
    """

    general: ClassVar[str] = "b·∇u"

    @property
    def order(self) -> int:
        """Is 1: there are first derivatives only."""
        return 1

    def calculus(self, function: sp.Expr) -> sp.Expr:
        """Forms b·∇u by the chain rule over window sums."""
        return collective.drift(function, self.weights)

    def definition(self, function: sp.Expr, space: tuple[sp.Symbol, ...]) -> sp.Expr:
        """Adds up b_i times SymPy's first derivatives."""
        weights = _explicit_weights(self.weights, space)
        return sp.Add(*(b * sp.diff(function, c) for b, c in zip(weights, space, strict=True)))

    def autodiff(self, f: PointFunction) -> PointFunction:
        """Multiplies b by the gradient."""
        import jax

        return lambda x, s: _weights_at(self.weights, x, s) @ jax.grad(f)(x, s)

    def text(self, write: Writer) -> str:
        """Writes Σᵢ bᵢ ∂u/∂xᵢ, and what the weights sum to."""
        return f"Σᵢ bᵢ ∂u/∂xᵢ [Σᵢ bᵢ = {write(self.weights)}]"

    def latex(self, write: Writer) -> str:
        """Writes the sum of weighted first derivatives, and what the weights sum to, in LaTeX."""
        return rf"\sum_i b_i \partial_i u \quad \Big(\sum_i b_i = {write(self.weights)}\Big)"


class Dt(Atom):
    """∂u/∂t. `Dt(u, 2)` is ∂²u/∂t². Raises ValueError for any other order."""

    nargs = (1, 2)

    def __new__(cls, *arguments: Any, **options: Any) -> Any:
        """Raises ValueError for an order that is neither 1 nor 2."""
        made = super().__new__(cls, *arguments, **options)
        if made.args[1:] not in ((), (sp.Integer(1),), (sp.Integer(2),)):
            raise ValueError(
                f"Dt(u) and Dt(u, 2) are the first and second derivative by t, got {made.args[1]} for the order"
            )
        return made

    @property
    def order(self) -> int:
        """How many times u is differentiated."""
        return int(self.args[1]) if len(self.args) > 1 else 1

    def calculus(self, function: sp.Expr) -> sp.Expr:
        """Differentiates by t, by the chain rule over window sums."""
        for _ in range(self.order):
            function = collective.time_derivative(function)
        return function

    def definition(self, function: sp.Expr, space: tuple[sp.Symbol, ...]) -> sp.Expr:
        """Takes SymPy's derivative by t."""
        return sp.diff(function, t, self.order)

    def autodiff(self, f: PointFunction) -> PointFunction:
        """Nests forward mode in t, once for every order."""
        for _ in range(self.order):
            f = _in_time(f)
        return f

    def text(self, write: Writer) -> str:
        """Writes u_t, or u_tt for the second derivative."""
        return "u_" + "t" * self.order

    def latex(self, write: Writer) -> str:
        """Writes the time derivative in LaTeX."""
        return "u_{" + "t" * self.order + "}"


@dataclass(frozen=True)
class Partial:
    """u, or a partial derivative of it in x, y and t, which are SymPy's own objects: what an `Atom` says, said for them."""

    variables: tuple[sp.Symbol, ...]

    @property
    def order(self) -> int:
        """How many times u is differentiated."""
        return len(self.variables)

    def calculus(self, function: sp.Expr) -> sp.Expr:
        """By the chain rule over window sums: ∂/∂x is the drift along the first axis."""
        for variable in self.variables:
            if variable == t:
                function = collective.time_derivative(function)
            else:
                function = collective.drift(function, collective.axis_weight((x, y).index(variable)))
        return function

    def definition(self, function: sp.Expr, space: tuple[sp.Symbol, ...]) -> sp.Expr:
        """Takes SymPy's derivative of the explicit function."""
        return sp.diff(function, *self.variables) if self.variables else function

    def autodiff(self, f: PointFunction) -> PointFunction:
        """Nests forward mode, once for every coordinate of the derivative."""
        steps = {x: _in_space(0), y: _in_space(1), t: _in_time}
        for variable in self.variables:
            f = steps[variable](f)
        return f

    def text(self, write: Writer) -> str:
        """Writes u or a partial derivative, as u_xxy."""
        return "u" if not self.variables else "u_" + "".join(map(str, self.variables))

    def latex(self, write: Writer) -> str:
        """Writes u or a partial derivative in LaTeX."""
        return "u" if not self.variables else "u_{" + "".join(map(str, self.variables)) + "}"


def meaning(atom: sp.Expr) -> Atom | Partial:
    """What an atom of an operator says of itself: an `Atom` is that; u and its partial derivatives are a `Partial`.

    Raises ValueError for anything else.
    """
    if isinstance(atom, Atom) and atom.args[0] == u:
        return atom
    if atom == u or (isinstance(atom, sp.Derivative) and atom.expr == u):
        return Partial(tuple(atom.variables) if isinstance(atom, sp.Derivative) else ())
    raise ValueError(
        f"an atom is u, D(u, …) or such as Laplacian(u), of u itself, got {atom}; differentiate products and powers by hand, "
        "as in Δ(u²) = 2 u Δu + 2 |∇u|², and write Δ(Δu) as Biharmonic(u)"
    )


def D(expr: sp.Expr, *coordinates: sp.Symbol) -> sp.Expr:
    """∂expr/∂x∂y…: D(u, x, x, y) is u_xxy and D((1 + x**2)*D(u, x), x) is ((1 + x²) u_x)_x, multiplied out.

    Coefficients may be expressions in x, y, t and window sums, such as r2. Raises ValueError for an expression with
    dimension-generic atoms, which have no derivative by one coordinate here, and for anything but the coordinates x, y and t.
    """
    expr = as_expression(expr, "what D differentiates")
    if not all(isinstance(c, sp.Symbol) and c in (x, y, t) for c in coordinates):
        raise ValueError(
            "D differentiates by the coordinates x, y and t of pdezoo, one for every derivative, as in D(u, x, x), "
            f"got {shown(coordinates)}"
        )
    if coordinates and (generic := sorted(expr.atoms(Atom), key=sp.default_sort_key)):
        raise ValueError(
            f"D differentiates u, its partial derivatives, and coefficients, got {', '.join(a.text(str) for a in generic)}; write "
            "D(u, x, x) + D(u, y, y) for the Laplacian and D(u, t) for the time derivative"
        )
    if coordinates:
        _require_derivatives(expr)
    if not collective.window_sums(expr):
        return derivative(expr, *coordinates)
    for c in coordinates:
        inner = (derivative(expr, s) * _slope(s, c) for s in collective.window_sums(expr))
        expr = sp.Add(derivative(expr, c), *inner)
    return expr


def DivGrad(a: sp.Expr, function: sp.Expr) -> sp.Expr:
    """∇·(a∇u) for a coefficient a(x, t, u): a Δu + ∇a·∇u, in the atoms that every estimator has.

    `a` is an expression in u, t, d, and window sums of single coordinates s_k = Σ_i c_i φ_k(x_i, t):

        ∇a·∇u = ∂a/∂u |∇u|² + Σ_k ∂a/∂s_k Σ_i c_i φ_k'(x_i) ∂u/∂x_i,

    of which each sum over i is a `Drift`, or x·∇u for |x|². `DivGrad(1 + r2, u)` is (1 + |x|²) Δu + 2 x·∇u. Raises ValueError for
    an `a` with wider window sums, whose gradient is no weight of single coordinates, with x or y, for which `D` is there, or with
    derivatives of u.
    """
    a, function = (
        as_expression(a, "the coefficient of DivGrad"),
        as_expression(function, "what DivGrad takes"),
    )
    value = sp.Dummy("u", real=True)
    bare = a if a.has(sp.Derivative, Atom) else a.xreplace({u: value})
    if function != u or bare.has(x, y, sp.Derivative, Atom):
        raise ValueError(
            f"DivGrad(a, u) takes a in u, t and window sums, and u itself, got a = {a} and {function}; in the coordinates x, y "
            "write D(a*D(u, x), x) + D(a*D(u, y), y)"
        )
    _require_derivatives(a)
    wide = [s.kernel for s in collective.window_sums(bare) if s.width > 1]
    if wide:
        raise ValueError(
            f"DivGrad(a, u) takes window sums of single coordinates in a, got one of {wide[0]}: its gradient is not a weight "
            "b_i(x_i, t) of single coordinates, which Drift needs"
        )
    terms = [a * Laplacian(u), derivative(bare, value).xreplace({value: u}) * GradNormSq(u)]
    for s in collective.window_sums(bare):
        if (weights := _gradient_sum(s)) != 0:
            along = 2 * EulerDerivative(u) if s == collective.r2 else Drift(u, weights)
            terms.append(derivative(bare, s).xreplace({value: u}) * along)
    return sp.Add(*terms)


def _require_derivatives(coefficient: sp.Expr) -> None:
    """Raises ValueError for max x_i, which is a symbol that no rule here differentiates."""
    if coefficient.has(collective.coordinate_max):
        raise ValueError(
            f"max x_i has no derivatives here: take it out of what is differentiated, {coefficient}"
        )


def _gradient_sum(s: collective.WindowSum) -> sp.Expr:
    """Σ_i ∂s/∂x_i of a window sum of single coordinates: the weights b = ∇s, as `Drift` takes them."""
    return collective.window_sum(derivative(s.kernel, X[0]), 1, s.factors)


def _slope(s: collective.WindowSum, c: sp.Symbol) -> sp.Expr:
    """The derivative of a window sum by x, y or t."""
    return Partial((c,)).calculus(s)


def atoms_of(operator: sp.Expr) -> tuple[sp.Expr, ...]:
    """The atoms an operator is a function of, in a fixed order: u itself, then derivatives.

    Raises ValueError for an atom of anything but u.
    """
    derivatives = operator.atoms(Atom, sp.Derivative)
    derivatives = {a for a in derivatives if not any(a != b and b.has(a) for b in derivatives)}
    bare = operator.xreplace({a: sp.Dummy() for a in derivatives})
    parts = tuple([u] * bare.has(u) + sorted(derivatives, key=sp.default_sort_key))
    for atom in parts:
        meaning(atom)
    return parts


def apply(operator: sp.Expr, function: sp.Expr) -> sp.Expr:
    """The operator applied to a function: an expression in window sums and in x, y, t, by exact calculus.

    Raises ValueError where the calculus of an atom does not close.
    """
    return operator.xreplace({atom: exactly(meaning(atom), function) for atom in atoms_of(operator)})


def exactly(atom: Atom | Partial, function: sp.Expr) -> sp.Expr:
    """An atom of a function of window sums and of x, y, t, by exact calculus.

    Raises ValueError where the calculus of the atom does not close.
    """
    if isinstance(atom, Partial) and not collective.window_sums(function):
        return derivative(function, *atom.variables)
    return collective.written_out(atom.calculus(collective.as_sums(function)))


# Definitions from here on. They share no code with the calculus above.


def _explicit_laplacian(function: sp.Expr, space: tuple[sp.Symbol, ...]) -> sp.Expr:
    """Σ ∂²u/∂x_i², one derivative at a time: given two at once, SymPy also factors the result, which takes most of the time."""
    return sp.Add(*(sp.diff(sp.diff(function, c), c) for c in space))


def _explicit_weights(total: sp.Expr, space: tuple[sp.Symbol, ...]) -> list[sp.Expr]:
    """The terms w_i of Σ_i w_i, coefficients exact: a derivative by each window sum, and what is left shared evenly."""
    dim, sums = len(space), collective.window_sums(total)
    terms = [total.xreplace(dict.fromkeys(sums, sp.Integer(0))) / dim] * dim
    for s in sums:
        multiple, factors = sp.diff(total, s), s.factor_values(dim)
        for i, c in enumerate(space):
            exact = sp.Mul(*(sp.Rational(*float(f[i]).as_integer_ratio()) for f in factors))
            terms[i] += multiple * exact * s.kernel.xreplace({X[0]: c})
    return [term.xreplace({d: sp.Integer(dim)}) for term in terms]


def _weights_at(total: sp.Expr, x: Any, s: Any) -> Any:
    """The terms w_i of Σ_i w_i at one point, (d,)."""
    import jax.numpy as jnp

    dim, sums = x.shape[0], collective.window_sums(total)
    bind = lambda expr: expr.xreplace({d: sp.Integer(dim)})
    evaluate = lambda expr: sp.lambdify((X[0], t), bind(expr), modules="jax")(x, s)
    weights = jnp.zeros_like(x) + evaluate(total.xreplace(dict.fromkeys(sums, sp.Integer(0))) / dim)
    for window in sums:
        given = window.weights(dim)
        coefficients = 1 if given is None else jnp.asarray(given, x.dtype)
        weights = weights + coefficients * evaluate(sp.diff(total, window) * window.kernel)
    return weights


def _forward_laplacian(f: PointFunction) -> PointFunction:
    """Δf axis by axis, forward over forward: can be applied to itself."""
    import jax

    def second(x: Any, s: Any, axis: Any) -> Any:
        along = lambda g: lambda q: jax.jvp(g, (q,), (axis,))[1]
        return along(along(lambda q: f(q, s)))(x)

    def laplacian(x: Any, s: Any) -> Any:
        axes = jax.numpy.eye(x.shape[0], dtype=x.dtype)
        return jax.numpy.sum(jax.vmap(lambda axis: second(x, s, axis))(axes))

    return laplacian


def _in_time(f: PointFunction) -> PointFunction:
    """∂f/∂t."""
    import jax

    return lambda x, s: jax.jvp(lambda q: f(x, q), (s,), (jax.numpy.ones_like(s),))[1]


def _in_space(axis: int) -> Callable[[PointFunction], PointFunction]:
    """∂f/∂x_axis."""
    import jax

    along = lambda x: jax.numpy.zeros_like(x).at[axis].set(1)
    return lambda f: lambda x, s: jax.jvp(lambda q: f(q, s), (x,), (along(x),))[1]
