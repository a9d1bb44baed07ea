"""Functions of many coordinates, symbolic at any dimension, and their exact calculus.

A *window sum* is Σ_p c_p φ(x_p, …, x_{p+w−1}, t), p = 0 … d−w, with a small SymPy kernel φ and coefficients c that
are products of independent sequences. It is a SymPy symbol here, so that a function u = F(s_1, …, s_m, t) of window
sums is an ordinary SymPy expression. With F_k = ∂F/∂s_k,

    b·∇u  = Σ_k F_k B_k                       B_k  = Σ_p c_p b_w·∇_w φ,   b_i(x_i, t) any weights of single coordinates
    Δu    = Σ_k F_k D_k + Σ_kl F_kl G_kl      D_k  = Σ_p c_p Δ_w φ
    |∇u|² = Σ_kl F_k F_l G_kl                 G_kl = ∇s_k·∇s_l
    ∂_t u = F_t + Σ_k F_k ∂_t s_k

and B, D, G are window sums again (G with windows up to w_k + w_l − 1), so the calculus closes: Δ²u is `laplacian`
applied twice. Everything is O(d) to evaluate, at d = 3 and at d = 10⁷; the dimension stays the symbol `d`.

The coordinates x and y of a problem in one or two dimensions are window sums too, with the coefficients 1, 0 and 0, 1
(`as_sums`); so the rules here differentiate functions of both, and write the results in x and y again (`written_out`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from .expressions import as_expression, as_whole, shown
from .kinks import derivative

d = sp.Symbol("d", integer=True, positive=True)
"""The dimension, bound to a number when an expression is lowered."""

t = sp.Symbol("t", real=True)
"""Time."""

x, y = sp.symbols("x y", real=True)
"""The space coordinates of a low-dimensional problem."""

g = sp.Symbol("g", real=True)
"""The source term, where a null predictor declares itself as a function of it."""

X = tuple(sp.Symbol(f"X{i}", real=True) for i in range(16))
"""The coordinates of a window: X[0] is x_p, X[1] is x_{p+1}, …"""


@dataclass(frozen=True)
class Coefficients:
    """A sequence c_0, c_1, … of independent standard normal numbers, fixed by (seed, stream).

    Drawn by NumPy's legacy generator, whose stream is frozen for good, so that an instance is the same
    everywhere and for ever. Raises ValueError where seed or stream is no whole number from 0 to 2³² − 1.
    """

    seed: int
    stream: int = 0

    def __post_init__(self) -> None:
        for name in ("seed", "stream"):
            number = as_whole(getattr(self, name), f"the {name} of Coefficients")
            if number >= 2**32:
                raise ValueError(f"the {name} of Coefficients is below 2³², got {shown(number)}")
            object.__setattr__(self, name, number)  # of whatever type it was: they are one sequence

    def values(self, count: int) -> np.ndarray:
        """The first `count` numbers, float64."""
        return np.random.RandomState([self.seed, self.stream]).standard_normal(count)


@dataclass(frozen=True)
class Indicator:
    """The sequence that is 1 at the coordinate of number `axis` and 0 elsewhere: Σ_i c_i x_i is then that coordinate.

    Raises ValueError where `axis` is no whole number from 0.
    """

    axis: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "axis", as_whole(self.axis, "the axis of an Indicator"))

    def values(self, count: int) -> np.ndarray:
        """Its first `count` numbers, float64."""
        return (np.arange(count) == self.axis).astype(np.float64)


Factor = tuple[Coefficients | Indicator, int]
"""A coefficient sequence and its offset: the p-th window is multiplied by c_{p + offset}."""


class WindowSum(sp.Symbol):
    """Σ_p Π_j c^{(j)}_{p+o_j} φ(x_p, …, x_{p+w−1}, t) as a SymPy symbol. Make it with `window_sum`."""

    kernel: sp.Expr
    width: int
    factors: tuple[Factor, ...]

    def __new__(cls, kernel: sp.Expr, width: int, factors: tuple[Factor, ...]) -> WindowSum:
        content = f"{sp.srepr(kernel)}|{width}|{factors}"
        name = "S" + hashlib.sha256(content.encode()).hexdigest()[:12]
        self: Any = sp.Symbol.__xnew__(cls, name, real=True)
        self.kernel, self.width, self.factors = kernel, width, factors
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle holds its content, of which its name follows."""
        return WindowSum, (self.kernel, self.width, self.factors)

    def weights(self, dim: int) -> np.ndarray | None:
        """The coefficient of every window at dimension `dim`, float64; None where all are 1."""
        return np.prod(self.factor_values(dim), axis=0) if self.factors else None

    def factor_values(self, dim: int) -> list[np.ndarray]:
        """The value of every factor at every window."""
        count = self.count(dim)
        return [c.values(count + offset)[offset:] for c, offset in self.factors]

    def count(self, dim: int) -> int:
        """How many windows there are in `dim` coordinates; none where the window is wider than that."""
        return max(0, dim - self.width + 1)


def window_sum(
    kernel: sp.Expr | int,
    width: int | None = None,
    coefficients: Coefficients | Indicator | tuple[Factor, ...] = (),
) -> sp.Expr:
    """Σ_p c_p φ(x_p, …, x_{p+w−1}, t), in canonical form: a number times a WindowSum, or a number.

    `width` defaults to what the kernel uses; it is at most 16. Equal sums compare equal. Raises ValueError for a kernel that is no
    number or expression, for a width that is no whole number, and for coefficients that are no `Coefficients`.
    """
    kernel, factors = as_expression(kernel, "the kernel of a window sum"), _factors(coefficients)
    least = 1 if width is None else as_whole(width, "the width of a window sum", least=1)
    if least > len(X):
        raise ValueError(f"a window spans at most {len(X)} coordinates, got width={width}")
    content, kernel = sp.expand(kernel).as_content_primitive()
    if kernel.could_extract_minus_sign():
        content, kernel = -content, -kernel
    used = [X.index(symbol) + 1 for symbol in kernel.free_symbols if symbol in X]
    width = max([least, *used])
    if kernel == 0:
        return sp.Integer(0)
    if not factors and not used and t not in kernel.free_symbols:
        return content * kernel * sp.Max(0, d - width + 1)  # no window fits where d < width
    return content * WindowSum(kernel, width, tuple(sorted(factors, key=repr)))


def _factors(coefficients: Any) -> tuple[Factor, ...]:
    """Coefficients as `window_sum` takes them. Raises ValueError for anything else."""
    if isinstance(coefficients, Coefficients | Indicator):
        return ((coefficients, 0),)
    if isinstance(coefficients, tuple) and all(map(_is_factor, coefficients)):
        return coefficients
    raise ValueError(
        f"the coefficients of a window sum are a sequence such as Coefficients(seed=1), got {shown(coefficients)}; write numbers "
        "that are the same for every window into the kernel"
    )


def _is_factor(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[0], Coefficients | Indicator)
        and isinstance(value[1], int)
    )


def window_sums(expr: sp.Expr) -> tuple[WindowSum, ...]:
    """The window sums an expression is a function of, in a fixed order."""
    return tuple(sorted(expr.atoms(WindowSum), key=lambda s: s.name))


coordinate_max = sp.Symbol("max_i x_i", real=True)
"""max x_i: can be evaluated, but has no calculus here."""

r2 = window_sum(X[0] ** 2)
"""|x|² = Σ x_i², the commonest window sum."""


def as_sums(function: sp.Expr) -> sp.Expr:
    """A function of x, y and window sums as one of window sums alone."""
    given = [(c, axis) for axis, c in enumerate((x, y)) if function.has(c)]
    return function.xreplace({c: window_sum(X[0], coefficients=Indicator(axis)) for c, axis in given})


def written_out(function: sp.Expr) -> sp.Expr:
    """The reverse, for a problem in one or two dimensions: every window sum of which one term is left is that term in x and y."""
    return function.xreplace({s: _only_term(s) for s in window_sums(function) if _places(s)})


def axis_weight(axis: int) -> sp.Expr:
    """The weights that are 1 at one coordinate and 0 elsewhere, given as their sum: `drift` along them is ∂/∂x or ∂/∂y."""
    return window_sum(1, coefficients=Indicator(axis))


def _places(s: WindowSum) -> set[int]:
    """The windows at which the indicators among the factors are 1."""
    return {c.axis - offset for c, offset in s.factors if isinstance(c, Indicator)}


def _only_term(s: WindowSum) -> sp.Expr:
    """The term of a window sum at the one window at which its indicators are 1; 0 where no window of x and y is there."""
    place, *others = _places(s)
    if others or place < 0 or place + s.width > 2:
        return sp.Integer(0)
    drawn = [c.values(place + offset + 1)[-1] for c, offset in s.factors if isinstance(c, Coefficients)]
    space = dict(zip(X, (x, y)[place:], strict=False))
    return sp.Mul(*map(_rational, drawn)) * s.kernel.xreplace(space)


def euler(u: sp.Expr) -> sp.Expr:
    """Forms x·∇u for a function u of window sums, by the chain rule."""
    return drift(u, window_sum(X[0]))


def drift(u: sp.Expr, weights: sp.Expr) -> sp.Expr:
    """Σ_i b_i ∂u/∂x_i, the weights given as their sum Σ_i b_i, as `weight_terms` reads it."""
    u = as_sums(u)
    return written_out(_total(derivative(u, k) * _weighted_slope(k, weights) for k in window_sums(u)))


def time_derivative(u: sp.Expr) -> sp.Expr:
    """Forms ∂u/∂t for a function u of window sums and t, by the chain rule."""
    inner = _total(
        derivative(u, s) * window_sum(derivative(s.kernel, t), s.width, s.factors) for s in window_sums(u)
    )
    return derivative(u, t) + inner


def grad_dot(u: sp.Expr, v: sp.Expr) -> sp.Expr:
    """Forms ∇u·∇v for functions u and v of window sums."""
    u, v = as_sums(u), as_sums(v)
    pairs = ((k, l) for k in window_sums(u) for l in window_sums(v))
    return written_out(_total(derivative(u, k) * derivative(v, l) * _gram(k, l) for k, l in pairs))


def laplacian(u: sp.Expr) -> sp.Expr:
    """Δu. Apply it twice for Δ²u."""
    u = as_sums(u)
    first = _total(derivative(u, k) * _window_laplacian(k) for k in window_sums(u))
    return written_out(first + _total(second * _gram(k, l) for k, l, second in _second_derivatives(u)))


def diffusion(u: sp.Expr, weights: sp.Expr) -> sp.Expr:
    """Σ_i w_i ∂²u/∂x_i², the weights given as their sum Σ_i w_i, as `weight_terms` reads it."""
    u = as_sums(u)
    first = _total(derivative(u, k) * _weighted_laplacian(k, weights) for k in window_sums(u))
    second = (f * _weighted_gram(k, l, weights) for k, l, f in _second_derivatives(u))
    return written_out(first + _total(second))


def _second_derivatives(u: sp.Expr) -> Iterator[tuple[WindowSum, WindowSum, sp.Expr]]:
    """(s_k, s_l, F_kl) for those F_kl that are not zero.

    One variable at a time: given two at once, SymPy also factors the result, which takes most of the time.
    """
    sums = window_sums(u)
    for k in sums:
        slope = derivative(u, k)
        for l in sums:
            if (second := derivative(slope, l)) != 0:
                yield k, l, second


def grad_norm1(u: sp.Expr) -> sp.Expr:
    """Σ_i |∂u/∂x_i|, for u a function of x and y, or of one window sum of single coordinates with one sign of derivative of F.

    Raises ValueError for any other: the sum of absolute values does not close.
    """
    u = as_sums(u)
    sums = window_sums(u)
    if sums and all(s in (as_sums(x), as_sums(y)) for s in sums):
        return written_out(_total(sp.Abs(derivative(u, s)) for s in sums))
    if len(sums) != 1 or sums[0].width != 1 or sums[0].factors:
        raise ValueError("Σ|∂u/∂x_i| has a closed form for functions of one plain sum Σ φ(x_i) only")
    (s,) = sums
    return sp.Abs(derivative(u, s)) * window_sum(sp.Abs(derivative(s.kernel, X[0])))


def expand(u: sp.Expr, dim: int) -> tuple[sp.Expr, tuple[sp.Symbol, ...]]:
    """u as an explicit expression in x_0 … x_{dim−1} (and t), coefficients as exact rationals. For proofs at small d.

    In one and two dimensions the coordinates are called x and y, as in an operator of partial derivatives.
    """
    space = (x, y)[:dim] if dim < 3 else sp.symbols(f"x0:{dim}", real=True)
    values = {s: _explicit(s, space) for s in window_sums(u)}
    return u.xreplace(values).xreplace({d: sp.Integer(dim)}), space


def _explicit(s: WindowSum, space: tuple[sp.Symbol, ...]) -> sp.Expr:
    factors = [[_rational(c) for c in values] for values in s.factor_values(len(space))]
    return _total(
        sp.Mul(*(c[p] for c in factors), s.kernel.xreplace({X[j]: space[p + j] for j in range(s.width)}))
        for p in range(s.count(len(space)))
    )


def _rational(value: Any) -> sp.Rational:
    """A float64 number, exactly."""
    return sp.Rational(*float(value).as_integer_ratio())


def _total(terms: Any) -> sp.Expr:
    return sp.Add(*terms)


@cache
def _window_laplacian(s: WindowSum) -> sp.Expr:
    kernel = _total(derivative(_slope(s.kernel, j), X[j]) for j in range(s.width))
    return window_sum(kernel, s.width, s.factors)


def weight_terms(total: sp.Expr) -> tuple[tuple[sp.Expr, tuple[Factor, ...]], ...]:
    """The weights of single coordinates behind a total Σ_i w_i: w_i = Σ_j c^{(j)}_i φ_j(x_i, t), a kernel and factors for each j.

    The total is a linear combination of window sums of single coordinates, whose coefficients may contain d and t, and of d,
    which is `window_sum(1)`. Raises ValueError for any other.
    """
    total = as_expression(total, "the sum of weights")
    sums = window_sums(total)
    slopes = [derivative(total, s) for s in sums]
    rest = total.xreplace(dict.fromkeys(sums, sp.Integer(0)))
    allowed = all(s.width == 1 for s in sums) and all(e.free_symbols <= {d, t} for e in (rest, *slopes))
    if not allowed or (rest != 0 and not rest.has(d)):
        given = total.xreplace({s: sp.Symbol(f"window_sum({s.kernel})") for s in sums})
        raise ValueError(
            f"weights are a linear combination of window sums of single coordinates and of d, got {given}; for the weight w_i = 1 "
            "write window_sum(1), which is d, for w_i = x_i² write window_sum(X[0]**2)"
        )
    shared = [] if rest == 0 else [(sp.expand(rest / d), ())]
    return (*((slope * s.kernel, s.factors) for slope, s in zip(slopes, sums, strict=True)), *shared)


@cache
def _weighted_slope(k: WindowSum, weights: sp.Expr) -> sp.Expr:
    """Σ_i w_i ∂s_k/∂x_i."""
    return _collected(
        (_shift(kernel, j) * _slope(k.kernel, j), k.width, (*k.factors, *_moved(factors, j)))
        for kernel, factors in weight_terms(weights)
        for j in range(k.width)
    )


def _weighted_laplacian(k: WindowSum, weights: sp.Expr) -> sp.Expr:
    """Σ_i w_i ∂²s_k/∂x_i²."""
    return _collected(
        (
            _shift(kernel, j) * derivative(_slope(k.kernel, j), X[j]),
            k.width,
            (*k.factors, *_moved(factors, j)),
        )
        for kernel, factors in weight_terms(weights)
        for j in range(k.width)
    )


def _weighted_gram(k: WindowSum, l: WindowSum, weights: sp.Expr) -> sp.Expr:
    """Σ_i w_i ∂_i s_k ∂_i s_l."""
    terms = []
    for offset in range(1 - l.width, k.width):
        a, b = max(0, -offset), max(0, offset)
        width = max(a + k.width, b + l.width)
        joint = (*_moved(k.factors, a), *_moved(l.factors, b))
        for i in range(max(a, b), min(a + k.width, b + l.width)):
            slope = _shift(_slope(k.kernel, i - a), a) * _shift(_slope(l.kernel, i - b), b)
            for kernel, factors in weight_terms(weights):
                terms.append((_shift(kernel, i) * slope, width, (*joint, *_moved(factors, i))))
    return _collected(terms)


@cache
def _slope(kernel: sp.Expr, j: int) -> sp.Expr:
    """∂φ/∂x_j, its terms brought to a form in which those that cancel do: a product of two such is then written out."""
    return sp.factor_terms(derivative(kernel, X[j]))


def _collected(parts: Iterable[tuple[sp.Expr, int, tuple[Factor, ...]]]) -> sp.Expr:
    """The sum of window sums, each given by kernel, width and factors: one for every width and set of factors."""
    grouped: dict[tuple, list[sp.Expr]] = {}
    for kernel, width, factors in parts:
        grouped.setdefault((width, tuple(sorted(factors, key=repr))), []).append(kernel)
    return _total(window_sum(_total(kernels), *key) for key, kernels in grouped.items())


def _moved(factors: tuple[Factor, ...], by: int) -> tuple[Factor, ...]:
    return tuple((c, offset + by) for c, offset in factors)


@cache
def _gram(k: WindowSum, l: WindowSum) -> sp.Expr:
    """∇s_k·∇s_l: one window sum for every way in which a window of k and a window of l overlap."""
    return _collected(_overlap(k, l, offset) for offset in range(1 - l.width, k.width))


def _overlap(k: WindowSum, l: WindowSum, offset: int) -> tuple[sp.Expr, int, tuple[Factor, ...]]:
    """Kernel, width and factors of the pairs (window p of k, window p + offset of l)."""
    a, b = max(0, -offset), max(0, offset)  # where each window starts inside the joint one
    width = max(a + k.width, b + l.width)
    if width > len(X):
        raise ValueError(
            f"products of window sums span at most {len(X)} coordinates, these windows span {width}"
        )
    shared = range(max(a, b), min(a + k.width, b + l.width))
    kernel = _total(_shift(_slope(k.kernel, i - a), a) * _shift(_slope(l.kernel, i - b), b) for i in shared)
    return kernel, width, _moved(k.factors, a) + _moved(l.factors, b)


def _shift(kernel: sp.Expr, by: int) -> sp.Expr:
    return kernel.xreplace({X[j]: X[j + by] for j in range(len(X) - by)})
