"""`mix32`, a counter-based generator of random bits that costs a few operations per 32-bit word.

Drawing points is the largest part of a training step at high d, and with JAX's default generator (threefry, 20 rounds of a
cipher) most of that time is spent on random bits. `mix32` hashes a counter by two keyed mixing functions, each of full
avalanche (the multiply-xorshift finaliser of MurmurHash3, with multipliers from Wellons' search), which vectorises on every
back end. It is meant for Monte Carlo points and directions, not for secrets. Keys are split and folded by threefry, so that
streams of different keys are as independent as JAX's own. `tests/pdezoo/test_prng.py` holds it to statistical tests.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.random import define_prng_impl
from jaxtyping import Array, PRNGKeyArray, UInt32

NAME = "mix32"

_WORDS = 2**32
"""The number of words that one key gives, which is the number of values of its counter."""

_ROUNDS = ((16, 0x21F0AAAD), (15, 0x735A2D97), (15, None))


def key(seed: int) -> PRNGKeyArray:
    """Makes a key of this generator from a seed, for use with every function of `jax.random`."""
    return jax.random.key(seed, impl=_implementation())


def mix(word: UInt32[Array, ...]) -> UInt32[Array, ...]:
    """Mixes 32-bit words elementwise, by a bijection in which each input bit flips each output bit about half the time."""
    for shift, multiplier in _ROUNDS:
        word = word ^ (word >> shift)
        if multiplier is not None:
            word = word * jnp.uint32(multiplier)
    return word


@cache
def _implementation() -> Any:
    return define_prng_impl(
        key_shape=(2,),
        seed=_seed,
        split=_split,
        random_bits=_random_bits,
        fold_in=_fold_in,
        name=NAME,
        tag="mx",
    )


def _threefry(words: Array) -> PRNGKeyArray:
    return jax.random.wrap_key_data(words, impl="threefry2x32")


def _seed(seed: Array) -> Array:
    return jax.random.key_data(jax.random.key(seed, impl="threefry2x32"))


def _split(words: Array, shape: tuple[int, ...]) -> Array:
    return jax.random.key_data(jax.random.split(_threefry(words), shape))


def _fold_in(words: Array, data: Any) -> Array:
    return jax.random.key_data(jax.random.fold_in(_threefry(words), data))


def _random_bits(words: Array, bit_width: int, shape: tuple[int, ...]) -> Array:
    size = math.prod(shape)
    if bit_width == 64:
        high, low = _random_bits(words, 32, (2, *shape)).astype(jnp.uint64)
        return (high << 32) | low
    if size > _WORDS:
        return _by_rows(words, bit_width, shape)
    first, second = _stream(words)
    counter = jax.lax.iota(jnp.uint32, size).reshape(shape)
    word = mix(mix(counter + first) + second)
    return word if bit_width == 32 else (word >> (32 - bit_width)).astype(f"uint{bit_width}")


def _by_rows(words: Array, bit_width: int, shape: tuple[int, ...]) -> Array:
    """Draws more numbers than a counter has values, with a key for each row; with one key they would repeat."""
    if len(shape) == 1:
        raise ValueError(
            f"a key of {NAME} gives at most {_WORDS:,} numbers in a row, got {shape[0]:,}; fold in the place of each block"
        )
    rows = (_random_bits(_fold_in(words, row), bit_width, shape[1:]) for row in range(shape[0]))
    return jnp.stack(list(rows))


def _stream(words: Array) -> Array:
    """Derives two well-mixed words from a key, so that neighbouring keys do not give overlapping counters."""
    return jax.random.key_data(jax.random.fold_in(_threefry(words), 0x6D6978))
