"""The fixed test set: its values, how it is cut, what a cache may and may not do."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp

import pdezoo
from pdezoo import TestSet
from pdezoo.evidence import testset

DIM, SIZE = 6, 500


@pytest.fixture(scope="module")
def pde():
    return pdezoo.make("allen-cahn/two-body", dim=DIM)


@pytest.fixture(scope="module")
def test(pde):
    return TestSet(pde, SIZE)


@pytest.fixture(scope="module")
def x(test) -> np.ndarray:
    """The coordinates of the test points, float64."""
    return np.concatenate([np.asarray(p.x, np.float64) for _, p in test.chunks()])


def test_exact_values_are_the_papers_formula(test, x) -> None:
    """(1 − |x|²) Σ c_i sin(x_i + cos x_{i+1} + x_{i+1} cos x_i), in double precision at the float32 points."""
    c = np.random.RandomState([0, 0]).standard_normal(DIM - 1)
    a, b = x[:, :-1], x[:, 1:]
    want = (1 - (x**2).sum(1)) * (c * np.sin(a + np.cos(b) + b * np.cos(a))).sum(1)
    np.testing.assert_allclose(test.exact, want, rtol=1e-12, atol=1e-13)


def test_errors_are_what_they_are_called(test) -> None:
    exact = test.exact
    moved = exact + np.linspace(-1, 2, SIZE)
    found = test.errors_of(moved)
    assert found["relative_l2"] == pytest.approx(np.sqrt(((moved - exact) ** 2).sum() / (exact**2).sum()))
    assert found["relative_l1"] == pytest.approx(np.abs(moved - exact).sum() / np.abs(exact).sum())
    assert found["mean_square"] == pytest.approx(((moved - exact) ** 2).mean())
    nothing = test.errors(lambda p: jnp.zeros(p.x.shape[0]))
    assert (nothing["relative_l2"], nothing["relative_l1"]) == (1.0, 1.0)
    assert nothing["mean_square"] == pytest.approx((exact**2).mean())
    assert nothing["test_set_error"] == 0.0  # it is 1 at any points


@pytest.mark.parametrize("shape", ["part of u", "elsewhere", "heavy tails"])
def test_the_error_of_the_test_set_is_what_resampling_its_points_gives(test, shape: str) -> None:
    """Against the bootstrap of the logarithm of the error, of 2,000 resamples."""
    random = np.random.default_rng(3)
    kinds = {
        "part of u": 0.1 * test.exact * random.normal(1.0, 0.5, SIZE),
        "elsewhere": random.normal(0.0, 0.1, SIZE),
        "heavy tails": 0.01 * random.standard_t(6, SIZE),
    }
    errors = test.errors_of(test.exact + kinds[shape])
    drawn = random.integers(0, SIZE, (2_000, SIZE))
    squares = [(value**2)[drawn].sum(axis=1) for value in (kinds[shape], test.exact)]
    resampled = np.std(np.log(squares[0] / squares[1]) / 2)
    assert errors["test_set_error"] == pytest.approx(resampled, rel=0.15)


def test_of_one_point_or_no_error_nothing_is_said_about_the_test_set(pde, test) -> None:
    assert "test_set_error" not in TestSet(pde, 1).errors_of(np.ones(1))
    assert "test_set_error" not in test.errors_of(test.exact)
    assert "test_set_error" not in test.errors_of(np.full(SIZE, np.nan))


@pytest.mark.parametrize("rows", [1, 7, 499])
def test_chunking_changes_nothing(pde, test, x, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of any number of rows give the same test set, also where the number does not divide its size."""
    monkeypatch.setattr(testset, "_ELEMENTS", rows * DIM)
    size = SIZE if rows > 1 else 5
    cut = TestSet(pde, size)
    assert cut.rows == rows
    gathered = np.full((size, DIM), np.nan)
    for where, points in cut.chunks():
        gathered[where] = points.x
    np.testing.assert_array_equal(gathered[:size], x[:size])
    np.testing.assert_allclose(cut.exact, test.exact[:size], rtol=1e-14)


def test_the_set_belongs_to_the_instance(pde, test, x) -> None:
    again = TestSet(pdezoo.make("allen-cahn/two-body", dim=DIM), SIZE)
    np.testing.assert_array_equal(again.exact, test.exact)
    for other in (
        pdezoo.make("allen-cahn/two-body", dim=DIM, seed=1),
        pdezoo.make("poisson/two-body", dim=DIM),
    ):
        (_, points), *_ = TestSet(other, SIZE).chunks()
        assert not np.array_equal(points.x, x)


def test_coefficients_come_of_the_instance_seed_alone(pde) -> None:
    """The test set does not depend on the global random state of JAX or NumPy."""
    np.random.seed(99)  # noqa: NPY002
    one = pdezoo.make("allen-cahn/two-body", dim=DIM)
    np.random.seed(7)  # noqa: NPY002
    assert one.fingerprint == pde.fingerprint
    (want,) = pde.lower().source.weights[:1] or (None,)
    (found,) = one.lower().source.weights[:1] or (None,)
    np.testing.assert_array_equal(found, want)


def test_errors_and_exact_values_come_of_one_pass(
    pde, test, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The points are drawn once for both, whatever is cut into chunks; and once more where the values are known."""
    predict = lambda p: jnp.sum(p.x, axis=1)
    test.exact  # noqa: B018
    monkeypatch.setattr(testset, "_ELEMENTS", 100 * DIM)
    fresh, drawn, draw = TestSet(pde, SIZE, cache=tmp_path), [], TestSet._drawn
    monkeypatch.setattr(TestSet, "_drawn", lambda self, *where: drawn.append(where) or draw(self, *where))
    found = fresh.errors(predict)
    assert found == pytest.approx(test.errors(predict), rel=1e-6)
    np.testing.assert_allclose(fresh.exact, test.exact, rtol=1e-11, atol=1e-15)
    ends = [(8, 0), (8, SIZE - 8)]  # of which the cache knows to whom its values belong
    assert [where for where in drawn if where not in ends] == [(100, k) for k in range(0, SIZE, 100)] + [
        (SIZE, 0)
    ]
    drawn.clear()
    assert TestSet(pde, SIZE, cache=tmp_path).errors(predict) == found
    assert [where for where in drawn if where not in ends] == [(100, k) for k in range(0, SIZE, 100)]


def test_the_points_are_those_of_jax_s_generator(pde, test) -> None:
    (_, points), *_ = test.chunks()
    key = jax.random.key(int(pde.fingerprint[:8], 16), impl="threefry2x32")
    with jax.threefry_partitionable(True):
        third = pde.domain.sample(jax.random.fold_in(key, 2), 1)
    np.testing.assert_allclose(points.x[2], third.x[0], rtol=1e-6)


def test_a_set_needs_points(pde) -> None:
    with pytest.raises(ValueError, match="size of a test set is a whole number of at least 1"):
        TestSet(pde, 0)


def files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def test_cache_round_trip(pde, test, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TestSet(pde, SIZE, cache=tmp_path / "deep" / "folder").exact  # noqa: B018
    (kept,) = files(tmp_path)
    monkeypatch.setattr(TestSet, "_compute", lambda *_: pytest.fail("computed again"))
    again = TestSet(pde, SIZE, cache=kept.parent)
    np.testing.assert_array_equal(again.exact, test.exact)
    assert set(again.table) == set(test.table)


DAMAGE = {
    "empty": lambda p: p.write_bytes(b""),
    "truncated": lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
    "garbage": lambda p: p.write_bytes(b"\x00garbage" * 100),
    "flipped bits": lambda p: p.write_bytes(p.read_bytes().replace(p.read_bytes()[200:208], b"\xff" * 8)),
    "another size": lambda p: np.savez(p, **{k: v[:7] for k, v in np.load(p).items()}),
    "not finite": lambda p: np.savez(p, **{k: v * np.nan for k, v in np.load(p).items()}),
    "a column lost": lambda p: np.savez(p, exact=np.load(p)["exact"]),
    "an array": lambda p: np.save(p.open("wb"), np.zeros(3)),
    "a text": lambda p: p.write_text("hello"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_computed_again(pde, test, tmp_path: Path, damage: str) -> None:
    TestSet(pde, SIZE, cache=tmp_path).exact  # noqa: B018
    (kept,) = files(tmp_path)
    DAMAGE[damage](kept)
    np.testing.assert_array_equal(TestSet(pde, SIZE, cache=tmp_path).exact, test.exact)
    assert files(tmp_path) == [kept]
    np.testing.assert_array_equal(np.load(kept)["exact"], test.exact)


def test_a_cache_of_another_instance_is_not_used(pde, test, tmp_path: Path) -> None:
    other = pdezoo.make("allen-cahn/two-body", dim=DIM, seed=5)
    TestSet(other, SIZE, cache=tmp_path).exact  # noqa: B018
    np.testing.assert_array_equal(TestSet(pde, SIZE, cache=tmp_path).exact, test.exact)
    assert len(files(tmp_path)) == 2


def test_a_cache_that_cannot_be_written_does_no_harm(pde, test, tmp_path: Path) -> None:
    obstacle = tmp_path / "file"
    obstacle.write_text("in the way")
    np.testing.assert_array_equal(TestSet(pde, SIZE, cache=obstacle).exact, test.exact)
    np.testing.assert_array_equal(TestSet(pde, SIZE, cache=obstacle / "below").exact, test.exact)
    assert obstacle.read_text() == "in the way"


def test_dimension_one_has_a_set() -> None:
    """In one dimension the ball is an interval, and a direction is a sign."""
    ball = pdezoo.Ball(1)
    one = pdezoo.PDE(
        operator=pdezoo.Laplacian(pdezoo.u),
        domain=ball,
        ansatz=ball.vanishing(),
        solution=pdezoo.Exact(ball.vanishing().factor * sp.cos(pdezoo.r2)),
    )
    values = TestSet(one, 50).exact
    assert values.shape == (50,)
    assert np.isfinite(values).all()


RECORDED = np.array(
    [
        [0.16466528177261353, -0.19291704893112183, 0.038418080657720566, 0.032060980796813965],
        [-0.10804235935211182, 0.03955104574561119, -0.005664591211825609, 0.05165945366024971],
        [0.004924038425087929, -0.04901604354381561, -0.1883375644683838, 0.18957340717315674],
    ],
    np.float32,
)
"""The first test points of poisson/two-body at d = 4, drawn by the version of the code that measured the first records."""

SETTINGS = {
    "another generator": lambda: jax.default_prng_impl("rbg"),
    "not partitionable": lambda: jax.threefry_partitionable(False),
    "double precision": lambda: jax.enable_x64(True),
    "no rank promotion": lambda: jax.numpy_rank_promotion("raise"),
    "strict types": lambda: jax.numpy_dtype_promotion("strict"),
    "not compiled": lambda: jax.disable_jit(),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", ["poisson/two-body", "semilinear-heat/hard", "kdv/one-soliton"])
def test_the_points_are_the_same_under_every_setting_of_jax(setting: str, name: str) -> None:
    pde = pdezoo.make(name) if name.startswith("kdv") else pdezoo.make(name, dim=4)
    ((_, want),) = TestSet(pde, 20).chunks()
    with SETTINGS[setting]():
        ((_, points),) = TestSet(pde, 20).chunks()
    for seen, expected in zip(jax.tree.leaves(points), jax.tree.leaves(want), strict=True):
        assert seen.dtype == expected.dtype == jnp.float32
        np.testing.assert_array_equal(seen, expected)


def test_points_and_values_of_a_cache_are_those_of_the_records() -> None:
    """Those of the committed records, but for the last bit, which depends on how the compiler fuses a product and a sum."""
    ((_, points),) = TestSet(pdezoo.make("poisson/two-body", dim=4), 3).chunks()
    np.testing.assert_array_max_ulp(np.asarray(points.x), RECORDED, maxulp=2)


def test_a_null_predictor_corrected_under_its_name_is_not_read_from_the_cache(tmp_path: Path) -> None:
    ball = pdezoo.Ball(5)
    ansatz = ball.vanishing()
    exact = ansatz.factor * pdezoo.window_sum(sp.sin(pdezoo.X[0]))

    def error(guess: sp.Expr) -> float:
        pde = pdezoo.PDE(
            pdezoo.Laplacian(pdezoo.u), ball, ansatz, pdezoo.Exact(exact), nulls={"guess": guess}
        )
        return pdezoo.null_errors(TestSet(pde, 100, cache=tmp_path))["guess"]["relative_l2"]

    assert error(ansatz.factor) > 0.1
    assert error(exact) < 1e-12
    assert error(ansatz.factor) > 0.1


def test_values_in_a_cache_belong_to_the_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pde = pdezoo.make("poisson/two-body", dim=4)
    mine = TestSet(pde, 50, cache=tmp_path).exact
    monkeypatch.setattr(testset, "threefry_key", lambda seed: jax.random.key(seed, impl="rbg"))
    other = TestSet(pde, 50, cache=tmp_path).exact
    assert not np.array_equal(mine, other)
