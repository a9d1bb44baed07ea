"""mix32 against statistical tests with known null distributions: a true source passes every bound with probability > 0.9999."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from pdezoo.lowering import prng

COUNT = 2**18
RARE = 1e-5


@pytest.fixture(scope="module", params=[0, 1, 12345])
def words(request) -> np.ndarray:
    return np.asarray(jax.random.bits(prng.key(request.param), (COUNT,)))


def test_every_bit_is_fair(words):
    ones = ((words[:, None] >> np.arange(32)) & 1).sum(axis=0)
    assert stats.binomtest(int(ones.min()), COUNT).pvalue > RARE
    assert stats.binomtest(int(ones.max()), COUNT).pvalue > RARE


@pytest.mark.parametrize("shift", [0, 8, 16, 24])
def test_bytes_are_uniform(words, shift):
    counts = np.bincount((words >> shift) & 255, minlength=256)
    assert stats.chisquare(counts).pvalue > RARE


@pytest.mark.parametrize("lag", [1, 2, 3, 64, 100, 4096])
def test_pairs_at_a_lag_are_uniform_on_the_square(words, lag):
    high = words >> 28
    counts = np.bincount(high[:-lag] * 16 + high[lag:], minlength=256)
    assert stats.chisquare(counts).pvalue > RARE


def test_no_collisions_beyond_birthdays(words):
    # a bijection of a counter never repeats; two keyed rounds of one are still a bijection of it
    assert len(np.unique(words)) == COUNT


def test_streams_of_neighbouring_keys_are_independent():
    root = prng.key(7)
    streams = np.stack(
        [np.asarray(jax.random.normal(jax.random.fold_in(root, k), (COUNT // 64,))) for k in range(64)]
    )
    correlation = np.corrcoef(streams)[np.triu_indices(64, 1)] * np.sqrt(streams.shape[1])
    assert stats.kstest(correlation, "norm").pvalue > RARE
    assert np.abs(correlation).max() < 5.5


def test_normals_are_normal():
    sample = np.asarray(jax.random.normal(prng.key(3), (COUNT,)))
    assert stats.kstest(sample, "norm").pvalue > RARE
    radii = np.sum(sample.reshape(-1, 8) ** 2, axis=1)
    assert stats.kstest(radii, "chi2", args=(8,)).pvalue > RARE


def test_avalanche():
    word = jnp.asarray(np.random.default_rng(0).integers(0, 2**32, 4096, dtype=np.uint32))
    for bit in range(32):
        flipped = np.asarray(prng.mix(word) ^ prng.mix(word ^ jnp.uint32(1 << bit)))
        rates = ((flipped[:, None] >> np.arange(32)) & 1).mean(axis=0)
        assert np.abs(rates - 0.5).max() < 0.06


def test_same_key_same_bits_under_transformations():
    key, shape = prng.key(11), (5, 7)
    plain = jax.random.bits(key, shape)
    assert jnp.array_equal(plain, jax.jit(lambda k: jax.random.bits(k, shape))(key))
    keys = jax.random.split(key, 3)
    together = jax.vmap(lambda k: jax.random.bits(k, shape))(keys)
    assert all(jnp.array_equal(together[i], jax.random.bits(keys[i], shape)) for i in range(3))


def test_double_precision():
    with jax.enable_x64(True):
        sample = np.asarray(jax.random.uniform(prng.key(5), (COUNT,), jnp.float64))
    assert stats.kstest(sample, "uniform").pvalue > RARE
    assert len(np.unique(sample)) == COUNT


def test_more_numbers_than_the_counter_has_values_do_not_repeat(monkeypatch):
    key = prng.key(5)
    whole = np.asarray(jax.random.bits(key, (6, 50)))
    monkeypatch.setattr(prng, "_WORDS", 100)
    parts = np.asarray(jax.jit(lambda k: jax.random.bits(k, (6, 51)))(key))
    assert np.unique(parts).size == 6 * 51
    np.testing.assert_array_equal(jax.random.bits(key, (2, 50)), whole[:2])  # those that fit are as ever
    with pytest.raises(ValueError, match="at most 100 numbers"):
        jax.random.bits(key, (101,))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
@pytest.mark.parametrize("shape", [(), (1,), (1000,), (3, 5, 7)], ids=str)
def test_the_cipher_in_one_pass_gives_the_bits_of_jax(dtype, shape):
    draw = lambda key: jax.random.bits(key, shape, dtype)
    with jax.enable_x64(True), jax.threefry_partitionable(True):
        ours, theirs = prng.threefry_key(2**32 - 3), jax.random.key(2**32 - 3, impl="threefry2x32")
        np.testing.assert_array_equal(draw(ours), draw(theirs))
        folded = lambda key: jax.vmap(lambda k: draw(jax.random.fold_in(key, k)))(jnp.arange(4))
        np.testing.assert_array_equal(folded(ours), folded(theirs))
        np.testing.assert_array_equal(
            draw(jax.random.split(ours, 3)[1]), draw(jax.random.split(theirs, 3)[1])
        )


def test_a_key_counts_as_far_as_a_word():
    with pytest.raises(ValueError, match="4,294,967,296 numbers"):
        jax.jit(lambda: jax.random.bits(prng.threefry_key(0), (2**16 + 1, 2**16))).lower()
