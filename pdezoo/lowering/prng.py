"""Generators of random bits: `mix32`, which costs a few operations per 32-bit word, and JAX's own numbers in one pass.

Drawing points is the largest part of a training step at high d, and with JAX's default generator (threefry, 20 rounds of a
cipher) most of that time is spent on random bits. `mix32` hashes a counter by two keyed mixing functions, each of full
avalanche (the multiply-xorshift finaliser of MurmurHash3, with multipliers from Wellons' search), which vectorises on every
back end. It is meant for Monte Carlo points and directions, not for secrets. Keys are split and folded by threefry, so that
streams of different keys are as independent as JAX's own. `tests/pdezoo/test_prng.py` holds it to statistical tests.

`threefry_key` makes keys that give, bit by bit, the numbers of JAX's generator, for points that are to stay the same for good. On a
CPU JAX runs the rounds of the cipher as a loop over whole arrays, each of which passes through memory; written out, they are one
pass.
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

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))

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


def threefry_key(seed: int) -> PRNGKeyArray:
    """Makes a key of JAX's own generator from a seed: the numbers of `jax.random.key(seed, impl="threefry2x32")`, in one pass.

    The numbers are those that JAX gives under its setting `jax_threefry_partitionable`.
    """
    return jax.random.key(seed, impl=_unrolled())


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


@cache
def _unrolled() -> Any:
    return define_prng_impl(
        key_shape=(2,),
        seed=_seed,
        split=_split,
        random_bits=_threefry_bits,
        fold_in=_fold_in,
        name="threefry2x32-unrolled",
        tag="tu",
    )


def _threefry_bits(words: Array, bit_width: int, shape: tuple[int, ...]) -> Array:
    """Threefry-2×32 with 20 rounds (Salmon, Moraes, Dror and Shaw 2011) of the numbers 0, 1, 2, …, as two 32-bit words each.

    Raises ValueError for more numbers than one word can count.
    """
    size = math.prod(shape)
    if size > _WORDS:
        raise ValueError(f"a key gives at most {_WORDS:,} numbers at a time, got {size:,}")
    first, second = words
    keys = (first, second, first ^ second ^ jnp.uint32(0x1BD11BDA))
    counter = jax.lax.iota(jnp.uint32, size).reshape(shape)
    high, low = jnp.zeros(shape, jnp.uint32) + keys[0], counter + keys[1]
    for turn in range(5):
        for shift in _ROTATIONS[turn % 2]:
            high = high + low
            low = high ^ ((low << shift) | (low >> (32 - shift)))
        high = high + keys[(turn + 1) % 3]
        low = low + keys[(turn + 2) % 3] + jnp.uint32(turn + 1)
    if bit_width == 64:
        return (high.astype(jnp.uint64) << 32) | low.astype(jnp.uint64)
    word = high ^ low
    return word if bit_width == 32 else word.astype(f"uint{bit_width}")


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
