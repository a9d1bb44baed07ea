"""The jet planner: which Taylor pushforwards give a set of mixed partials, and with which exact weights.

A jet pushes the curve x(s) = x + v₁s + v₂s² + … + v_K s^K through the network.  With normalised coefficients
u(x(s)) = Σ_n c_n sⁿ, every c_n is linear in the partials of u (Faà di Bruno's formula, in multi-index form):

    c_n = Σ_α ∂^α u(x) · [sⁿ] Π_i p_i(s)^{α_i} / α_i!,        p_i(s) = Σ_k (v_k)_i s^k.

So a set of jets is a rational matrix, and a partial is available exactly when its unit vector lies in the row
space.  Everything that a plan states is found or checked in rational arithmetic.  Two families are planned:

- *clean* jets, for a pushforward that skips zeros: one curve with one axis per slot, the slots chosen so that
  each wanted partial is alone in its coefficient.  The coefficients that matter (`Jet.active`) are then exactly
  the divisors of the wanted multi-indices, as in a multivariate Taylor polynomial, and nothing ever cancels;
- *short* jets, for a pushforward that computes all of c_1 … c_K: straight lines along small integer directions,
  and lines bent by an axis in slot 2 or 3, chosen by a deterministic search.

`docs/jets.md` has the derivation, the plans for the zoo, and how they compare with jets picked by hand.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.optimize import linprog

Index = tuple[int, ...]
"""A multi-index: how often each coordinate is differentiated; (3, 1) over (x, y) is u_xxxy."""
Curve = tuple[Index, ...]
"""The directions of a curve; entry k − 1 is v_k, the integer direction that multiplies s^k."""
Combination = Mapping[Index, Fraction]
"""One Taylor coefficient as a combination of partials."""
Terms = tuple[tuple[int, int, Fraction], ...]
"""A partial as Σ weight · c[jet][number], written (jet, number, weight)."""

_PRIME = 2**31 - 1  # ranks are searched modulo a prime: exact, and a product of two residues fits in int64
_TURNS = 300  # at most, of the search for short jets
_WORK = 500_000  # turns × matrix entries: larger families get fewer turns
_SLOTS = 20_000  # slot assignments tried for a clean jet before a closed form is used


@dataclass(frozen=True)
class Jet:
    """The curve x(s) = x + Σ_k directions[k−1]·s^k, to be pushed forward to the given order.

    `active` are the numbers of the Taylor coefficients that have to be computed, in increasing order; all from 1
    to `order` unless given.  One outside `active` may be left out (taken as zero): no active one depends on it.

    Raises ValueError if an active number is not among 1 … order.
    """

    directions: Curve
    order: int
    active: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        trimmed = self.directions[: self.order]  # later slots have no effect
        while trimmed and not any(trimmed[-1]):
            trimmed = trimmed[:-1]
        active = self.active or tuple(range(1, self.order + 1))
        if any(not 1 <= n <= self.order for n in active):
            raise ValueError(
                f"active coefficients must be among 1 … {self.order}, got {active}; raise the order."
            )
        object.__setattr__(self, "directions", trimmed)
        object.__setattr__(self, "active", active)

    def row(self, number: int) -> Combination:
        """Returns the normalised Taylor coefficient `number` as a combination of partials, {multi-index: factor}."""
        return _expansion(self.directions, self.order)[number]

    @property
    def products(self) -> int:
        """The number of pairs (k, n−k), k > 0, in the convolutions Σ_k a_k b_{n−k} of all active n: K(K+1)/2 if all are active."""
        present = {0, *self.active}
        return sum(n - k in present for n in self.active for k in self.active if k <= n)


@dataclass(frozen=True)
class Cost:
    """What a jet costs in each layer: linear · streams + elementwise · products.

    `sparse` says whether the pushforward computes the active coefficients only, or else all up to the order.
    `docs/jets.md` has the measurement behind the default weights.
    """

    linear: float = 1.0
    elementwise: float = 0.3
    sparse: bool = True

    def __call__(self, jet: Jet) -> float:
        computed = jet if self.sparse else replace(jet, active=())
        return self.linear * len(computed.active) + self.elementwise * computed.products


SPARSE = Cost()
DENSE = Cost(sparse=False)


@dataclass(frozen=True)
class Plan:
    """Jets, and for each wanted multi-index its exact weights on their normalised Taylor coefficients.

    `combination[α]` lists (jet, number, weight) with ∂^α u = Σ weight · c[jet][number].
    """

    jets: tuple[Jet, ...]
    combination: Mapping[Index, Terms] = field(hash=False)
    cost: float
    coordinates: tuple[str, ...]

    @property
    def streams(self) -> int:
        """The number of vectors that go through each linear layer per point: every active coefficient, and the shared value."""
        return 1 + sum(len(jet.active) for jet in self.jets)

    @property
    def products(self) -> int:
        """The number of elementwise products per nonlinearity and point, up to the constant factor of its rule."""
        return sum(jet.products for jet in self.jets)

    @cached_property
    def amplification(self) -> Mapping[Index, float]:
        """For every partial, Σ |weight| · Σ_β |factor of ∂^β u in that coefficient|.

        Times the unit roundoff it bounds the rounding error of the combination when all partials are of size one; 1 is ideal.
        """
        return {
            index: float(sum(abs(w) * _size(self.jets[j].row(n)) if n else abs(w) for j, n, w in terms))
            for index, terms in self.combination.items()
        }

    def evaluate(self, coefficients: Sequence[Any]) -> dict[Index, Any]:
        """Computes the wanted partials from coefficients[j][n], the n-th normalised Taylor coefficient of jet j.

        coefficients[j] is a sequence or a mapping by n; only 0 and the jet's active numbers are read. Raises ValueError
        if the number of jets differs from the plan's.
        """
        if len(coefficients) != len(self.jets):
            raise ValueError(
                f"the plan has {len(self.jets)} jets, got coefficients of {len(coefficients)}; pass one entry a jet."
            )
        return {
            index: sum(float(w) * coefficients[j][n] for j, n, w in terms)
            for index, terms in self.combination.items()
        }

    def __str__(self) -> str:
        worst = max(self.amplification.values())
        head = f"{self.streams} streams, {self.products} products, cost {self.cost:g}, amplification ≤ {worst:.3g}"
        jets = [f"  c{j}: {_describe(jet, self.coordinates)}" for j, jet in enumerate(self.jets)]
        lines = [
            f"  {_subscript(a, self.coordinates)} = {_sum(terms)}" for a, terms in self.combination.items()
        ]
        return "\n".join([head, *jets, *lines])


def plan(indices: Iterable[Index], coordinates: Sequence[str] = (), cost: Cost = SPARSE) -> Plan:
    """Returns the cheapest plan found for the partials ∂^α u, α in `indices`, over the named coordinates.

    `SPARSE` (the default) plans one clean jet, `DENSE` several short ones; pass a `Cost` to weigh them otherwise. Plans
    are cached, and the same arguments always give the same plan. Raises ValueError for no indices, indices of different
    lengths, negative entries, and names that do not fit.
    """
    wanted = tuple(sorted({tuple(int(a) for a in index) for index in indices}, key=lambda a: (sum(a), a)))
    if not wanted or len({len(a) for a in wanted}) != 1 or not wanted[0] or min(min(a) for a in wanted) < 0:
        raise ValueError(
            f"expected multi-indices of one length, like {{(0, 1), (3, 0)}}, got {wanted}; count per coordinate."
        )
    names = tuple(coordinates) or tuple(f"x{i + 1}" for i in range(len(wanted[0])))
    if len(names) != len(wanted[0]):
        raise ValueError(
            f"expected {len(wanted[0])} coordinate names, got {names}; name each entry of the multi-indices."
        )
    return _plan(wanted, names, cost)


@lru_cache(maxsize=256)
def _plan(wanted: tuple[Index, ...], names: tuple[str, ...], cost: Cost) -> Plan:
    partials = tuple(a for a in wanted if any(a))
    if not partials:
        return Plan((Jet((), 0),), MappingProxyType({wanted[0]: ((0, 0, Fraction(1)),)}), 0.0, names)
    planned = _clean(partials, names, cost) if cost.sparse else _short(partials, names, cost)
    value = {a: ((0, 0, Fraction(1)),) for a in wanted if not any(a)}  # u itself: coefficient 0 of any jet
    return replace(planned, combination=MappingProxyType({**value, **planned.combination}))


# --- coefficients as combinations of partials ---


@lru_cache(maxsize=4096)
def _expansion(directions: Curve, order: int) -> tuple[Combination, ...]:
    """c_0 … c_order of u along the curve, each as {multi-index: factor}."""
    rows: list[dict[Index, Fraction]] = [{(): Fraction(1)}, *({} for _ in range(order))]
    for component in zip(*directions, strict=True):
        powers = _divided_powers({k: Fraction(v) for k, v in enumerate(component, 1) if v}, order)
        product: list[dict[Index, Fraction]] = [{} for _ in rows]
        for n, row in enumerate(rows):
            for (a, power), (index, factor) in itertools.product(enumerate(powers), row.items()):
                for m, coefficient in power.items():
                    if n + m <= order:
                        key = (*index, a)
                        product[n + m][key] = product[n + m].get(key, Fraction(0)) + factor * coefficient
        rows = product
    return tuple({a: f for a, f in row.items() if f} for row in rows)


def _divided_powers(series: dict[int, Fraction], order: int) -> list[dict[int, Fraction]]:
    """p^a / a! for a = 0, 1, … as sparse series truncated after s^order; p has no constant term."""
    powers = [{0: Fraction(1)}]
    while powers[-1]:
        following: dict[int, Fraction] = {}
        for (n, f), (k, v) in itertools.product(powers[-1].items(), series.items()):
            if n + k <= order:
                following[n + k] = following.get(n + k, Fraction(0)) + f * v / len(powers)
        powers.append(following)
    return powers[:-1]


def _size(row: Combination) -> Fraction:
    return sum((abs(f) for f in row.values()), Fraction(0))


# --- one clean jet ---


def _clean(wanted: tuple[Index, ...], names: tuple[str, ...], cost: Cost) -> Plan:
    """One curve with coordinate i in slot p_i: ∂^α u stands alone in coefficient p·α, with factor 1/α!."""
    used = [i for i in range(len(names)) if any(a[i] for a in wanted)]
    slots = clean_slots(tuple(tuple(a[i] for i in used) for a in wanted))
    slot = dict(zip(used, slots, strict=True))
    number = {a: sum(slot[i] * a[i] for i in used) for a in wanted}
    divisors = {d for a in wanted for d in itertools.product(*(range(n + 1) for n in a)) if any(d)}
    active = sorted({sum(slot[i] * d[i] for i in used) for d in divisors})
    directions = [(0,) * len(names)] * max(slots)
    for i, p in slot.items():
        directions[p - 1] = tuple(int(j == i) for j in range(len(names)))
    jet = Jet(tuple(directions), max(number.values()), tuple(active))
    combination = {a: ((0, n, Fraction(math.prod(map(math.factorial, a)))),) for a, n in number.items()}
    return Plan((jet,), combination, cost(jet), names)


@lru_cache(maxsize=256)
def clean_slots(wanted: tuple[Index, ...]) -> tuple[int, ...]:
    """Returns distinct slots p, one for each coordinate, such that every wanted number p·α is a sum of slots in one way
    only, by α.

    They are of the least order wherever that order can be reached with slots up to 141 (two coordinates), 27 (three) or
    11 (four); a closed form serves beyond.
    """
    size = len(wanted[0])
    limit = max(int(_SLOTS ** (1 / size)), size) if size > 1 else 1
    candidates = itertools.permutations(range(1, limit + 1), size)
    ranked = sorted((max(_dot(p, a) for a in wanted), sum(p), p) for p in candidates)
    return next((p for _, _, p in ranked if _is_clean(p, wanted)), _digit_slots(size, max(map(sum, wanted))))


def _is_clean(slots: Index, wanted: tuple[Index, ...]) -> bool:
    numbers = [_dot(slots, a) for a in wanted]
    ways = [1] + [0] * max(numbers)  # in how many ways a number is a sum of slots, as in making change
    for p in slots:
        for n in range(p, len(ways)):
            ways[n] += ways[n - p]
    return all(ways[n] == 1 for n in numbers)


def _digit_slots(size: int, degree: int) -> tuple[int, ...]:
    """Always clean: p·α = base·|α| + Σ q_i α_i reveals |α|, and then α as digits in base degree + 1."""
    digits = (0, *((degree + 1) ** i for i in range(size - 1)))
    base = degree * digits[-1] + 1
    return tuple(base + q for q in digits)


def _dot(a: Index, b: Index) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))


# --- several short jets ---


def _short(wanted: tuple[Index, ...], names: tuple[str, ...], cost: Cost) -> Plan:
    """Iterated greedy: drop jets of the best plan, complete it under perturbed prices, truncate what is not needed.

    Of all the cheapest sets of jets that come up, the one of least amplification is the plan.
    """
    family = _spanning_family(wanted)
    price = np.array([cost(Jet(((1,),), k)) for k in range(max(family.order) + 1)])
    random = np.random.default_rng(0)
    best, least = np.zeros(len(family.curves), int), math.inf
    cheapest: set[tuple[int, ...]] = set()
    for turn in range(family.turns):
        kept = np.where(random.random(best.size) < random.uniform(0.2, 0.8), 0, best) if turn else best
        perturbed = np.exp(random.normal(0, 0.6, best.size)) if turn else np.ones(best.size)
        orders = family.truncate(family.complete(kept, perturbed, price), random)
        total = round(float(price[orders].sum()), 9)
        if total <= least:
            cheapest = {tuple(orders)} if total < least else cheapest | {tuple(orders)}
            best, least = orders, total
    plans = [_weigh(family.jets(np.array(orders)), wanted, names, cost) for orders in sorted(cheapest)]
    return min(plans, key=lambda p: sorted(p.amplification.values(), reverse=True))


def candidates(wanted: Sequence[Index], reach: int) -> dict[Curve, int]:
    """Lists the curves of candidate short jets, {curve: highest useful order}.

    For each wanted α: straight lines along primitive directions supported in α's coordinates, entries at most `reach`
    (one less for three coordinates or more); and, where α_i = 1, lines of entries at most 1 in α's other coordinates
    bent by ± axis i in slot 2 or 3, up to the order |α| + slot − 1 where ∂^α u shows through the bend.
    """
    orders: dict[Curve, int] = {}
    for a in wanted:
        support = [i for i, n in enumerate(a) if n]
        for v in _directions(support, len(a), reach - (len(support) > 2)):
            orders[(v,)] = max(orders.get((v,), 0), sum(a))
        for i, slot, sign in itertools.product(support, (2, 3), (1, -1)):
            if a[i] == 1 and len(support) > 1:
                bend = (*((0,) * len(a),) * (slot - 2), tuple(sign * (j == i) for j in range(len(a))))
                for v in _directions([j for j in support if j != i], len(a), 1):
                    orders[(v, *bend)] = max(orders.get((v, *bend), 0), sum(a) + slot - 1)
    return orders


def _directions(support: Sequence[int], size: int, reach: int) -> Iterator[Index]:
    for entries in itertools.product(range(-reach, reach + 1), repeat=len(support)):
        leading = next((v for v in entries if v), 0)
        if leading > 0 and math.gcd(*entries) == 1:  # −v and multiples of v tell nothing new
            value = dict(zip(support, entries, strict=True))
            yield tuple(value.get(i, 0) for i in range(size))


def _spanning_family(wanted: tuple[Index, ...]) -> _Family:
    """Small directions first; the reach grows until the wanted partials are spanned, as by Vandermonde they will be."""
    families = (_Family(candidates(wanted, reach), wanted) for reach in itertools.count(2))
    return next(family for family in families if family.spans(np.array(family.order)))


class _Family:
    """Candidate curves as a matrix modulo a prime: a row per coefficient, a column per partial, wanted ones first.

    A choice of jets is a vector `orders`: how far each curve is pushed, 0 for not at all.
    """

    def __init__(self, curves: Mapping[Curve, int], wanted: tuple[Index, ...]):
        ranked = sorted(curves.items(), key=lambda c: (len(c[0]), sum(abs(v) for d in c[0] for v in d), c[0]))
        self.curves, self.order = [c for c, _ in ranked], [k for _, k in ranked]
        self.wanted = len(wanted)
        labels = [(i, n) for i, k in enumerate(self.order) for n in range(1, k + 1)]
        self.curve, self.number = np.array(labels).T
        rows = [_expansion(self.curves[i], self.order[i])[n] for i, n in labels]
        column = {a: j for j, a in enumerate(dict.fromkeys(itertools.chain(wanted, *rows)))}
        self.matrix = np.zeros((len(rows), len(column)), np.int64)
        for r, row in enumerate(rows):
            for a, f in row.items():
                self.matrix[r, column[a]] = f.numerator * pow(f.denominator, -1, _PRIME) % _PRIME

    @property
    def turns(self) -> int:
        """Turns of the search: fewer for large families, so that planning takes seconds at most."""
        return 2 + min(_TURNS, _WORK // self.matrix.size)

    def jets(self, orders: np.ndarray) -> tuple[Jet, ...]:
        return tuple(Jet(self.curves[i], int(orders[i])) for i in np.flatnonzero(orders))

    def spans(self, orders: np.ndarray) -> bool:
        """Whether every wanted partial is a combination of the chosen coefficients."""
        chosen = self.matrix[self.number <= orders[self.curve]]
        stack = np.vstack([chosen, np.eye(self.wanted, self.matrix.shape[1], dtype=np.int64)])
        for r in range(len(chosen)):
            _eliminate(stack, r)
        return not stack[len(chosen) :].any()

    def complete(self, orders: np.ndarray, factor: np.ndarray, price: np.ndarray) -> np.ndarray:
        """Raise orders until all is spanned, each time to the cheapest coefficient of a set of which one must be added."""
        orders = orders.copy()
        preferred = np.argsort(price[self.number] * factor[self.curve], kind="stable")
        for target in range(self.wanted):
            while (missing := self._missing(orders, target, preferred)) is not None:
                owner = self.curve[missing]
                extra = (price[self.number[missing]] - price[orders[owner]]) * factor[owner]
                pick = missing[np.argmin(extra)]
                orders[self.curve[pick]] = self.number[pick]
        return orders

    def _missing(self, orders: np.ndarray, target: int, preferred: np.ndarray) -> np.ndarray | None:
        """Coefficients of which one must be added before `target` is spanned; None if it is.

        A maximal set of coefficients that does not span the target is grown from the chosen ones, preferred first;
        its complement is the answer.  The columns of `null` are a basis of the functionals that vanish on the set so far;
        the first is 1 on the target and the others are 0 there.
        """
        chosen = self.number <= orders[self.curve]
        ranking = np.concatenate([np.flatnonzero(chosen), preferred[~chosen[preferred]]])
        null = self.matrix[ranking]
        null[:, [0, target]] = null[:, [target, 0]]
        for r in range(len(ranking)):
            free = np.flatnonzero(null[r, 1:])
            if free.size:
                null = _annihilate(null, r, 1 + free[0])
            elif r < chosen.sum() and null[r, 0]:
                return None
        return ranking[null[:, 0] != 0]

    def truncate(self, orders: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Lower the orders, long jets first and ties at random, as far as the wanted partials stay spanned."""
        orders = orders.copy()
        for i in np.argsort(-(orders + random.uniform(0, 1.5, orders.size)), kind="stable"):
            while orders[i]:
                orders[i] -= 1
                if not self.spans(orders):
                    orders[i] += 1
                    break
        return orders


def _eliminate(rows: np.ndarray, r: int) -> None:
    """Clear, below row r and in place, the column of its first nonzero entry."""
    pivots = np.flatnonzero(rows[r])
    if pivots.size:
        scaled = rows[r] * pow(int(rows[r, pivots[0]]), -1, _PRIME) % _PRIME
        below = r + 1 + np.flatnonzero(rows[r + 1 :, pivots[0]])
        rows[below] = (rows[below] - rows[below, pivots[0]][:, None] * scaled) % _PRIME


def _annihilate(columns: np.ndarray, r: int, j: int) -> np.ndarray:
    """Combine the columns with column j so that row r becomes zero, and drop column j."""
    scaled = columns[r] * pow(int(columns[r, j]), -1, _PRIME) % _PRIME
    touched, changed = np.flatnonzero(columns[:, j]), np.flatnonzero(scaled)
    block = np.ix_(touched, changed)
    columns[block] = (columns[block] - columns[touched, j][:, None] * scaled[changed]) % _PRIME
    return np.delete(columns, j, axis=1)


# --- exact weights ---


def _weigh(jets: tuple[Jet, ...], wanted: tuple[Index, ...], names: tuple[str, ...], cost: Cost) -> Plan:
    """The plan of jets that span the wanted partials, with weights of the least amplification."""
    rows = {(j, n): jet.row(n) for j, jet in enumerate(jets) for n in jet.active}
    combination = {a: _weights(rows, a) for a in wanted}
    return Plan(jets, combination, sum(map(cost, jets)), names)


def _weights(rows: Mapping[tuple[int, int], Combination], wanted: Index) -> Terms:
    """Exact w with Σ w_r row_r = ∂^wanted, on the rows of the vertex where a linear program has the least Σ|w|·size."""
    labels, columns = list(rows), {a: i for i, a in enumerate(dict.fromkeys(itertools.chain(*rows.values())))}
    matrix = np.zeros((len(columns), len(labels)))
    for r, label in enumerate(labels):
        for a, f in rows[label].items():
            matrix[columns[a], r] = f
    size = np.array([float(_size(row)) for row in rows.values()])
    unit = np.eye(len(columns))[columns[wanted]]
    optimum = linprog(np.tile(size, 2), A_eq=np.hstack([matrix, -matrix]), b_eq=unit, method="highs-ds")
    weight = np.abs(optimum.x.reshape(2, -1)).sum(axis=0) if optimum.success else np.zeros(len(labels))
    ranked = sorted(range(len(labels)), key=lambda r: (weight[r] < 1e-9, size[r], r))
    exact = _solve([rows[labels[r]] for r in ranked], wanted)
    return tuple((*labels[ranked[r]], w) for r, w in sorted(exact.items()))


def _solve(rows: Sequence[Combination], wanted: Index) -> dict[int, Fraction]:
    """{r: w_r ≠ 0} with Σ w_r rows[r] = ∂^wanted exactly, preferring early rows."""
    pivots: dict[Index, dict[Any, Fraction]] = {}
    for r, row in enumerate(rows):
        left = _reduce(
            {**row, r: Fraction(1)}, pivots
        )  # the entry at the integer r records what was combined
        pivot = next((a for a in left if isinstance(a, tuple)), None)
        if pivot is not None:
            pivots[pivot] = left
        rest = _reduce({wanted: Fraction(1)}, pivots)
        if not any(isinstance(a, tuple) for a in rest):
            return {r: -w for r, w in rest.items()}
    raise ArithmeticError(
        f"∂^{wanted} is not in the span of the planned jets: a rank modulo {_PRIME} misled; report the indices."
    )


def _reduce(row: dict[Any, Fraction], pivots: Mapping[Index, Mapping[Any, Fraction]]) -> dict[Any, Fraction]:
    """Subtract multiples of the pivot rows, oldest first, so that no pivot is left in the row."""
    for pivot, other in pivots.items():
        if factor := row.get(pivot, Fraction(0)) / other[pivot]:
            row = {a: row.get(a, Fraction(0)) - factor * other.get(a, Fraction(0)) for a in {**row, **other}}
    return {a: f for a, f in row.items() if f}


# --- printing ---


def _subscript(index: Index, names: Sequence[str]) -> str:
    letters = "".join(name * n for name, n in zip(names, index, strict=True))
    return f"u_{letters}" if letters else "u"


def _describe(jet: Jet, names: Sequence[str]) -> str:
    """For example `(x + s, y - s²), order 5`."""
    curves = []
    for i, name in enumerate(names):
        steps = [(v[i], k) for k, v in enumerate(jet.directions, 1) if v[i]]
        curves += [" ".join([name, *(_step(v, k) for v, k in steps)])] if steps else []
    numbers = f", coefficients {', '.join(map(str, jet.active))}" if len(jet.active) < jet.order else ""
    return f"({', '.join(curves)}), order {jet.order}{numbers}"


def _step(factor: int, power: int) -> str:
    """For example `- 2s³`."""
    exponent = str(power).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")) if power > 1 else ""
    return f"{'-' if factor < 0 else '+'} {abs(factor) if abs(factor) > 1 else ''}s{exponent}"


def _sum(terms: Terms) -> str:
    parts = [f"{'-' if w < 0 else '+'} {'' if abs(w) == 1 else f'{abs(w)}·'}c{j}[{n}]" for j, n, w in terms]
    return " ".join(parts).removeprefix("+ ")
