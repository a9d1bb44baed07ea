"""Rows of RS-PINN (He et al. 2023; Hu et al. 2023).

Two nonlinearities bias its loss: the square, and the operator's own. Two independent residuals in the loss mend the first. A
power uᵏ in the operator is mended by k independent estimates of u: E u₁ u₂ u₃ = (E u)³.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import sympy as sp
from jaxtyping import Array, Float, PRNGKeyArray

from pdezoo import Laplacian, Points, Problem, u
from solvers import DoubleSampledLoss, Field, HybridLoss, NeuralSolver, Solver, register
from solvers.estimators.rs_pinn import RSPINN
from solvers.loss import Residual


@dataclass(frozen=True)
class UnbiasedRSPINN(RSPINN):
    """RS-PINN whose residual is unbiased for the smoothed function where the operator is a polynomial in u, linear in Δu.

    A power of u takes as many independent sets of `samples` pairs as its exponent: u³ becomes u₁u₂u₃, of which the first set
    gives Δu too (Hu et al. 2023). Where Δu is multiplied by u, its set is one more. Other operators, such as those with sin u,
    are estimated from one set, as by `RSPINN`. Raises ValueError where `RSPINN` does.
    """

    def residual(self, field: Field, points: Points, key: PRNGKeyArray) -> Float[Array, "operators batch"]:
        """Estimates (N[u_θ] − g)/scale, shape (operators, B), with independent factors of u."""
        problem = field.problem
        degree, apart = _independent_factors(problem)
        if degree + apart < 2:
            return super().residual(field, points, key)
        keys = jax.random.split(key, degree + apart)
        values = self(field, problem.atoms, points, keys[0])
        factors = [] if apart else [values[u]]
        factors += [self(field, (u,), points, k)[u] for k in keys[1:]]
        mean, weights = _polarised(factors)
        each = jax.vmap(lambda at: problem.residual(values | {u: at}, points))(mean)
        return jnp.tensordot(weights, each, 1)


def _independent_factors(problem: Problem) -> tuple[int, bool]:
    """Returns how many independent estimates of u the operators need, and whether Δu, which some u multiplies, needs another.

    The first is the degree in u. It is 0 for operators that are no polynomials in u, or are not linear in Δu.
    """
    value, laplacian = sp.symbols("value laplacian")
    symbols = {a: laplacian if isinstance(a, Laplacian) else sp.Dummy() for a in problem.atoms if a != u}
    bare = [operator.xreplace(symbols).xreplace({u: value}) for operator in problem.operators]
    if not all(e.is_polynomial(value, laplacian) and sp.degree(e, laplacian) <= 1 for e in bare):
        return 0, False
    degree = max(int(sp.degree(e, value)) for e in bare)
    return max(degree, 0), any(sp.expand(sp.diff(e, value, laplacian)) != 0 for e in bare)


def _polarised(factors: list[Float[Array, " batch"]]) -> tuple[Float[Array, "means batch"], Array]:
    """Returns means m_S of subsets S of k numbers, and weights with Σ_S w_S p(m_S) = the polarisation of any p of degree ≤ k.

    That is linear in every number, and p(v) where all are v; of u³ it is u₁u₂u₃. w_S = (−1)^(k−|S|) |S|^k / k!.
    """
    count = len(factors)
    chosen = [s for size in range(1, count + 1) for s in itertools.combinations(factors, size)]
    weights = [(-1) ** (count - len(s)) * len(s) ** count / math.factorial(count) for s in chosen]
    return jnp.stack([sum(s) / len(s) for s in chosen]), jnp.asarray(weights, factors[0].dtype)


@dataclass(frozen=True)
class GrowingHybridLoss(HybridLoss):
    """A hybrid that is biased for the fraction `biased` in 10 dimensions, twice that in 100, and so on, up to `latest`.

    It has the published fractions 0.2, 0.4 and 0.8 in 10, 100 and 1,000 dimensions.
    """

    biased: float = 0.2
    latest: float = 0.8

    def until(self, residual: Residual) -> float:
        """Returns the fraction of the training at which the loss changes: biased · 2^log₁₀(d/10), `latest` at most."""
        dim = residual.points.x.shape[1]
        return min(self.latest, self.biased * 2 ** math.log10(dim / 10))


@register("rs-pinn")
def rs_pinn() -> Solver:
    """Randomised smoothing, one sample set (biased loss); Adam. He et al. 2023, Hu et al. 2023."""
    return NeuralSolver("rs-pinn", RSPINN())


@register("rs-pinn-unbiased")
def rs_pinn_unbiased() -> Solver:
    """Randomised smoothing, unbiased: two residuals, independent factors of powers; Adam. Hu et al. 2023."""
    return NeuralSolver("rs-pinn-unbiased", UnbiasedRSPINN(), loss=DoubleSampledLoss())


@register("rs-pinn-unbiased-square")
def rs_pinn_unbiased_square() -> Solver:
    """Randomised smoothing, two residuals of one sample set each: only the square is unbiased; Adam."""
    return NeuralSolver("rs-pinn-unbiased-square", RSPINN(), loss=DoubleSampledLoss())


@register("rs-pinn-hybrid")
def rs_pinn_hybrid() -> Solver:
    """Randomised smoothing, biased, then unbiased from a step that grows with d; Adam. Hu et al. 2023."""
    return NeuralSolver("rs-pinn-hybrid", UnbiasedRSPINN(), loss=GrowingHybridLoss())


@register("rs-pinn-hybrid-half")
def rs_pinn_hybrid_half() -> Solver:
    """Randomised smoothing, biased for half of the training, then `rs-pinn-unbiased-square`; Adam."""
    return NeuralSolver("rs-pinn-hybrid-half", RSPINN(), loss=HybridLoss())
