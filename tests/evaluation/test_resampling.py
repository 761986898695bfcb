"""Resamples against counts by hand."""

import numpy as np
import pytest
import scipy.stats

from emoji_lightning.errors import ConfigError
from emoji_lightning.evaluation.resampling import Number, Resampling, leave_one_out, resample_sums, sort_groups


def test_sums_are_those_of_the_groups_drawn() -> None:
    features = np.random.default_rng(0).normal(size=(7, 3))
    resampling = Resampling(200, seed=4)
    counts = resample_sums(np.eye(7), resampling)
    assert (counts.sum(axis=1) == 7).all()
    assert set(np.unique(counts)) <= set(range(8))
    by_hand = [np.repeat(features, row.astype(int), axis=0).sum(axis=0) for row in counts]
    np.testing.assert_allclose(resample_sums(features, resampling), by_hand)


def test_groups_are_drawn_independently_and_equally_often() -> None:
    counts = resample_sums(np.eye(5), Resampling(20_000))
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.03)
    np.testing.assert_allclose(np.cov(counts.T), np.eye(5) - 1 / 5, atol=0.03)
    seen = np.bincount(counts[:, 0].astype(int), minlength=6) / 20_000
    np.testing.assert_allclose(seen, scipy.stats.binom.pmf(range(6), 5, 1 / 5), atol=0.01)


def test_many_groups_are_drawn_in_several_parts_that_differ() -> None:
    values = np.random.default_rng(0).normal(size=(30_000, 1))
    sums = resample_sums(values, Resampling(100))
    assert sums.shape == (100, 1)
    assert len(np.unique(sums)) == 100
    assert sums.std() == pytest.approx(np.sqrt(30_000), rel=0.25)


def test_the_seed_decides() -> None:
    features = np.random.default_rng(0).normal(size=(30, 2))
    first, again, other = (resample_sums(features, Resampling(100, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_leaving_one_group_out_sums_the_others() -> None:
    features = np.random.default_rng(0).normal(size=(6, 2))
    by_hand = [np.delete(features, group, axis=0).sum(axis=0) for group in range(6)]
    np.testing.assert_allclose(leave_one_out(features), by_hand)


def test_groups_are_sorted_by_what_they_hold_first_column_first() -> None:
    features = np.array([[2, 1, 0], [1, 5, 9], [1, 5, 8], [1, 4, 9.5]])
    expected = [[1, 4, 9.5], [1, 5, 8], [1, 5, 9], [2, 1, 0]]
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        assert sort_groups(features[order]).tolist() == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_resamples": 99}, "num_resamples is 99; expected 100 or more"),
        ({"level": 1.0}, r"level is 1.0; expected between 0 and 1"),
        ({"level": 95}, r"level is 95; expected between 0 and 1"),
        ({"seed": -1}, "seed is -1; expected 0 or more"),
    ],
)
def test_impossible_resampling_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Resampling(**options)  # type: ignore[arg-type]


def test_a_number_without_an_end_has_no_interval() -> None:
    assert Number.of(0.5, 0.4, 0.6).interval == [0.4, 0.6]
    assert Number.of(0.5, float("nan"), 0.6).interval is None
    assert Number.of(float("nan"), 0.4, 0.6) == Number(0.0)
    assert Number(0.5, 0.4, 0.6).to_dict() == {"value": 0.5, "low": 0.4, "high": 0.6}
