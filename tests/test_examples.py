"""The examples run, and what they compute is right."""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

pytest.importorskip(
    "sklearn", reason="examples/digits.py needs scikit-learn: python -m pip install scikit-learn"
)

import digits


@pytest.fixture(scope="module")
def data():
    return digits.load()


def test_pixels_are_standardised_by_the_training_images(data):
    known, unknown = (np.asarray(part.pixels, np.float64) for part in data)
    assert (known.shape, unknown.shape) == ((1437, 64), (360, 64))
    np.testing.assert_allclose(known.mean(0), 0, atol=1e-5)
    assert known.std(0).max() < 1 + 1e-5
    assert np.median(known.std(0)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MLP", 64 * 256 + 256 + 256 * 10 + 10),
        ("MLP, 10 wide", 64 * 10 + 10 + 10 * 10 + 10),
        ("TT-MLP", 2 * 4 * 16 + 2 * 16 * 8 + 256 + 2 * 4 * 4 + 16 * (20 + 8) + 10),
        ("SP-MLP", 1130),
    ],
)
def test_trained_parameters(data, name, expected):
    run = digits.training(digits.NETWORKS[name], digits.TRAINERS["FO"], data[0], 1)
    params, _ = jax.eval_shape(run, jax.random.key(0))
    assert sum(a.size for a in jax.tree.leaves(params) if jnp.issubdtype(a.dtype, jnp.floating)) == expected


def matrix(train) -> np.ndarray:
    """All entries, from the four cores."""
    cores = (np.asarray(core, np.float64) for core in train.cores)
    return np.einsum("amnb,bpqc,crsd,dtue->mprtnqsu", *cores).reshape(train.shape)


def test_trains_compute_what_their_matrices_do(data):
    network, known = digits.NETWORKS["TT-MLP"], data[0]

    draw = np.random.default_rng(3)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(draw.normal(size=leaf.shape) / 3, jnp.float32),
        jax.eval_shape(lambda: network.init(jax.random.key(0), 64, False)),
    )
    scores = digits.logits(network, params, known.pixels[:50])
    ((second, shift),) = params["layers"]
    pixels, right = np.asarray(known.pixels[:50], np.float64), np.asarray(known.digits[:50])
    hidden = np.tanh(pixels @ matrix(params["first"]) + np.asarray(params["bias"]))
    expected = hidden @ matrix(second) + np.asarray(shift)
    np.testing.assert_allclose(scores, expected, atol=2e-5)  # float32 sums of 256 numbers of order one
    loss = -log_softmax(expected, axis=1)[np.arange(50), right].mean()
    assert float(digits.cross_entropy(scores, known.digits[:50])) == pytest.approx(loss, rel=1e-5)


@pytest.mark.slow
def test_training_learns_and_is_printed(data, monkeypatch, capsys):
    steps, measure, seen = 150, digits.measure, {}

    def remember(network, trainer, *rest):
        seen[type(trainer).__name__] = outcomes = list(measure(network, trainer, *rest))
        return outcomes

    monkeypatch.setattr(digits, "measure", remember)
    monkeypatch.setattr(digits, "NETWORKS", {"MLP": digits.Dense(16)})
    monkeypatch.delitem(digits.TRAINERS, "hybrid ZO")
    monkeypatch.setenv("COLUMNS", "110")
    digits.main(steps=steps, seeds=2)
    first, zeroth = seen["Adam"], seen["ZOSignRGE"]
    assert min(outcome.accuracy for outcome in first) > 70
    assert max(outcome.loss for outcome in zeroth) < 0.7 * np.log(10)  # that of equal probabilities
    assert [(outcome.parameters, outcome.evaluations) for outcome in first] == [(16 * 65 + 170, steps)] * 2
    assert [outcome.evaluations for outcome in zeroth] == [11 * steps] * 2
    printed = capsys.readouterr().out
    assert all(words in printed for words in ("most frequent digit", "logistic regression", "ZO-signRGE"))


def test_null_rows(data):
    (_, _, frequent), (_, size, linear) = digits.nulls(*data)
    most = np.bincount(data[0].digits).argmax()
    assert frequent == pytest.approx(100 * np.mean(np.asarray(data[1].digits) == most))
    assert size == 650
    assert linear > 85


def test_it_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(SystemExit, match="needs scikit-learn: python -m pip install"):
        digits.load()
