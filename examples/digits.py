"""Images instead of equations: the classification table of Zhao et al. (2023) on scikit-learn's 8 × 8 digits.

    python examples/digits.py --steps 500 --seeds 3

A trainer asks only for a loss and a ridge network's parameters are data, so neither needs an equation. Networks of two affine maps
read 64 standardised pixels and give ten logits; the loss is the softmax cross-entropy of 64 images, drawn anew every step. The
first 1,437 of the 1,797 images train, the last 360 test; they are not shuffled, since images near each other in the set look alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import typer
from jaxtyping import Array, Float, Int, PRNGKeyArray
from rich.live import Live
from rich.table import Table

from pdezoo import Points
from solvers import (
    MLP,
    TTMLP,
    Adam,
    Objective,
    Params,
    RidgeNetwork,
    SparseMLP,
    TensorTrain,
    Trainer,
    Value,
    ZOHybrid,
    ZOSignRGE,
    trainable,
)

CLASSES, BATCH, TRAINING = 10, 64, 1437

FOLDS = {  # as in the paper, which has 7·4·4·7 pixels, 8·4·4·8 neurons and 1·5·2·1 digits
    (64, 256): ((4, 4), (2, 4), (2, 4), (4, 4)),
    (256, 10): ((4, 1), (4, 5), (4, 2), (4, 1)),
}


@dataclass(frozen=True)
class Dense(MLP):
    """An MLP of two maps, the second to ten logits."""

    width: int = 256
    depth: int = 2

    def init(self, key: PRNGKeyArray, dim: int, has_time: bool) -> Params:
        """Draws weights of variance 1/fan-in, with biases zero."""
        weight = jax.random.normal(jax.random.fold_in(key, 1), (self.width, CLASSES)) / jnp.sqrt(self.width)
        return _read_by(weight, super().init(key, dim, has_time))


@dataclass(frozen=True)
class Trains(TTMLP):
    """An MLP with tensor trains for both maps, folded as in the paper."""

    width: int = 256
    depth: int = 2
    rank: int = 4
    cores: int = 4

    def fold(self, shape: tuple[int, int]) -> tuple[tuple[int, int], ...]:
        """Returns the paper's folding of 64 pixels, 256 neurons and ten digits; other shapes are folded as evenly as possible."""
        return FOLDS.get(shape) or super().fold(shape)

    def init(self, key: PRNGKeyArray, dim: int, has_time: bool) -> Params:
        """Draws cores whose products have variance 1/fan-in, with biases zero."""
        shape = (self.width, CLASSES)
        train = TensorTrain.draw(jax.random.fold_in(key, 1), shape, self.fold(shape), self.rank)
        return _read_by(train, super().init(key, dim, has_time))


@dataclass(frozen=True)
class Pruned(SparseMLP):
    """The network `Dense`, pruned by GraSP to as many parameters as `Trains` has."""

    width: int = 256
    parameters: int = 1130
    batch: int = 100

    @property
    def dense(self) -> MLP:
        """The network before it is pruned."""
        return Dense(self.width)


def _read_by(matrix: Any, params: Params) -> Params:
    """Returns a network's parameters with `matrix` as the last map, to ten logits instead of one value."""
    return params | {"layers": ((matrix, jnp.zeros(CLASSES)),)}


NETWORKS = {"MLP": Dense(), "MLP, 10 wide": Dense(10), "TT-MLP": Trains(), "SP-MLP": Pruned()}


class Images(NamedTuple):
    """Standardised pixels, and which digits they show."""

    pixels: Float[Array, "images pixels"]
    digits: Int[Array, " images"]


def load() -> tuple[Images, Images]:
    """Returns training and test images. Pixels that hardly vary are divided by one grey level of the sixteen.

    Raises SystemExit, with what to install, where scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise SystemExit("digits.py needs scikit-learn: python -m pip install scikit-learn") from None
    pixels, digits = load_digits(return_X_y=True)
    known = pixels[:TRAINING]
    pixels = jnp.asarray((pixels - known.mean(0)) / np.maximum(known.std(0), 1), jnp.float32)
    split = lambda part: Images(pixels[part], jnp.asarray(digits[part]))
    return split(slice(TRAINING)), split(slice(TRAINING, None))


@partial(jax.jit, static_argnums=0)
def logits(
    network: RidgeNetwork, params: Params, pixels: Float[Array, "images pixels"]
) -> Float[Array, "images 10"]:
    """Computes, for every image and digit, the logarithm of its probability up to a constant, shape (images, 10)."""
    return network.head(params, Value(network.features(params, Points(pixels)))).value


@jax.jit
def cross_entropy(scores: Array, digits: Array) -> Array:
    """Computes the mean of −log p, where p is the probability that the softmax of the scores gives the right digit."""
    return optax.softmax_cross_entropy_with_integer_labels(scores, digits).mean()


def task(network: RidgeNetwork, images: Images) -> Callable[[Params, PRNGKeyArray, int], Array]:
    """Returns the loss (params, key, count) ↦ mean cross-entropy of `count` random images."""

    def loss(params: Params, key: PRNGKeyArray, count: int) -> Array:
        chosen = jax.random.randint(key, (count,), 0, len(images.digits))
        return cross_entropy(logits(network, params, images.pixels[chosen]), images.digits[chosen])

    return loss


TRAINERS = {
    "FO": Adam(learning_rate=1e-2),
    "ZO-signRGE": ZOSignRGE(learning_rate=1e-2, mu=0.01),
    "hybrid ZO": ZOHybrid(  # an epoch is the training images once
        learning_rate=1e-2,
        mu=0.01,
        fine_rate=0.1,
        block=64,
        fine_chunk=16,
        epoch=TRAINING // BATCH,
        patience=2,
        improvement=0.2,
    ),
}


def training(
    network: RidgeNetwork, trainer: Trainer, images: Images, steps: int
) -> Callable[[PRNGKeyArray], tuple[Params, Any]]:
    """Returns the function from a key to the parameters and the trainer's state after `steps` steps."""
    loss = task(network, images)

    def run(key: PRNGKeyArray) -> tuple[Params, Any]:
        start, pruning, order = jax.random.split(key, 3)
        params = network.adapt(loss, network.init(start, images.pixels.shape[1], False), pruning)
        params, state = trainer.start(params, steps)
        free, fixed = eqx.partition(params, eqx.is_inexact_array)
        at = lambda free, batch: loss(eqx.combine(free, fixed), batch, BATCH)
        loss_at = lambda k: Objective(at, k / steps)
        step = lambda k, now: trainer.step(loss_at(k), now[0], now[1], jax.random.fold_in(order, k))[:2]
        free, state = jax.lax.fori_loop(0, steps, step, (free, state))
        return eqx.combine(free, fixed), state

    return run


@dataclass(frozen=True)
class Outcome:
    """What is reported of one training."""

    accuracy: float  # in percent of the test images
    loss: float  # mean over all training images
    parameters: int
    evaluations: int
    seconds: float


def measure(
    network: RidgeNetwork, trainer: Trainer, data: tuple[Images, Images], steps: int, seeds: int
) -> Iterator[Outcome]:
    """Trains once for every seed and yields the outcomes; compiles before the clock starts."""
    known, unknown = data
    run = jax.jit(training(network, trainer, known, steps)).lower(jax.random.key(0)).compile()
    for seed in range(seeds):
        begin = time.perf_counter()
        params, state = jax.block_until_ready(run(jax.random.key(seed)))
        seconds = time.perf_counter() - begin
        free = trainable(params)
        yield Outcome(
            accuracy=percent(logits(network, params, unknown.pixels).argmax(1), unknown),
            loss=float(cross_entropy(logits(network, params, known.pixels), known.digits)),
            parameters=sum(leaf.size for leaf in jax.tree.leaves(free)),
            evaluations=trainer.evaluations(steps, free, state),
            seconds=seconds,
        )


def percent(guesses: Any, images: Images) -> float:
    """Returns how many guesses are right, in percent."""
    return 100 * float(np.mean(np.asarray(guesses) == np.asarray(images.digits)))


def nulls(known: Images, unknown: Images) -> Iterator[tuple[str, int, float]]:
    """Yields name, parameters and accuracy of what needs no network: the most frequent digit, and the best softmax of
    an affine map.
    """
    from sklearn.linear_model import LogisticRegression

    frequent = np.bincount(known.digits).argmax()
    yield "most frequent digit", 1, percent(frequent, unknown)
    linear = LogisticRegression(max_iter=1000).fit(known.pixels, known.digits)
    size = linear.coef_.size + linear.intercept_.size
    yield "logistic regression", size, percent(linear.predict(unknown.pixels), unknown)


def row(outcomes: list[Outcome]) -> list[str]:
    """Returns the cells of a table's row: means over the seeds, and the range of the accuracy."""
    mean = lambda name: np.mean([getattr(outcome, name) for outcome in outcomes])
    low, high = (pick(outcome.accuracy for outcome in outcomes) for pick in (min, max))
    return [
        f"{mean('accuracy'):.1f} ({low:.1f} to {high:.1f})",
        f"{mean('loss'):.3f}",
        f"{mean('evaluations'):,.0f}",
        f"{mean('seconds'):.1f}",
    ]


def main(
    steps: Annotated[int, typer.Option(min=1, help="Steps of every training.")] = 500,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of every row.")] = 3,
) -> None:
    """Trains every network with every trainer, and prints them beside what needs neither."""
    data = load()
    table = Table("Network", "Parameters", "Trainer", "Accuracy, %", "Loss", "Loss evaluations", "Seconds")
    with Live(table, auto_refresh=False) as live:
        for name, size, accuracy in nulls(*data):
            table.add_row(name, f"{size:,}", "", f"{accuracy:.1f}")
        for network in NETWORKS:
            for trainer in TRAINERS:
                outcomes = list(measure(NETWORKS[network], TRAINERS[trainer], data, steps, seeds))
                table.add_row(network, f"{outcomes[0].parameters:,}", trainer, *row(outcomes))
                live.refresh()


if __name__ == "__main__":
    typer.run(main)
