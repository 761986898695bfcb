"""Intervals against scipy's BCa, statsmodels' binomial intervals and numpy's quantiles."""

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.proportion import proportion_confint

from emoji_lightning.evaluation.intervals import bca_intervals, calibration_error_interval, exact_interval, quantiles
from emoji_lightning.evaluation.resampling import Resampling, leave_one_out, resample_sums


def expanded_level(num_groups: int, level: float = 0.95) -> float:
    """Return the level at which plain BCa has the edges of the t-expanded one (Hesterberg 2015)."""
    edge = np.sqrt(num_groups / (num_groups - 1)) * scipy.stats.t.ppf((1 - level) / 2, num_groups - 1)
    return float(1 - 2 * scipy.stats.norm.cdf(edge))


def interval_of_mean(values: np.ndarray, resampling: Resampling) -> np.ndarray:
    features = np.column_stack([np.ones(len(values)), values])
    whole, resampled, left_out = features.sum(axis=0), resample_sums(features, resampling), leave_one_out(features)
    return bca_intervals(
        np.array([whole[1] / whole[0]]),
        resampled[:, 1:] / resampled[:, :1],
        left_out[:, 1:] / left_out[:, :1],
        num_groups=len(values),
        level=resampling.level,
    )[0]


@pytest.mark.parametrize(("num", "level"), [(8, 0.95), (30, 0.9), (200, 0.95), (30, 0.5)])
def test_the_same_resamples_give_scipys_bca_interval_at_the_expanded_level(num: int, level: float) -> None:
    values = np.random.default_rng(num).exponential(size=num)
    resampling = Resampling(2000, level)
    counts = resample_sums(np.eye(num), resampling)
    given = scipy.stats.bootstrap((values,), np.mean, n_resamples=9, method="basic", rng=0)
    given.bootstrap_distribution = counts @ values / num  # scipy makes the interval from these, and draws none
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=0, bootstrap_result=given, confidence_level=expanded_level(num, level)
    )
    np.testing.assert_allclose(interval_of_mean(values, resampling), theirs.confidence_interval, rtol=1e-9)


def test_resamples_of_its_own_give_scipy_the_same_interval_up_to_chance() -> None:
    right = np.random.default_rng(0).random(300) < 0.9
    theirs = scipy.stats.bootstrap(
        (right,), np.mean, n_resamples=20_000, vectorized=True, rng=1, confidence_level=expanded_level(300)
    )
    found = interval_of_mean(right.astype(float), Resampling(20_000))
    np.testing.assert_allclose(found, theirs.confidence_interval, atol=0.0035)


def test_few_groups_have_wider_intervals_than_plain_bca() -> None:
    assert expanded_level(10) == pytest.approx(0.9829, abs=1e-3)
    values = np.random.default_rng(1).normal(size=10)
    low, high = interval_of_mean(values, Resampling())
    plain = scipy.stats.bootstrap((values,), np.mean, n_resamples=10_000, rng=0).confidence_interval
    assert low < plain.low < plain.high < high


def test_one_group_or_no_variation_has_no_interval() -> None:
    assert np.isnan(interval_of_mean(np.full(20, 0.3), Resampling())).all()
    nothing = bca_intervals(np.array([0.5]), np.full((100, 1), 0.5), np.full((1, 1), np.nan), num_groups=1, level=0.95)
    assert np.isnan(nothing).all()


def test_a_number_that_depends_on_one_group_has_no_interval_beside_others_that_have() -> None:
    rng = np.random.default_rng(0)
    resampled, left_out = rng.normal(size=(500, 2)), rng.normal(size=(9, 2))
    found = bca_intervals(np.zeros(2), resampled, left_out, num_groups=np.array([9, 1]), level=0.95)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


def test_rounding_is_no_variation() -> None:
    values = 0.3 + 1e-14 * np.arange(20)
    assert np.isnan(interval_of_mean(values, Resampling())).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_pole_of_the_formula_gives_the_outermost_resample(sign: int) -> None:
    """With 3 groups and 99.9 % the edge is 38.7 and the acceleration 0.068: their product is beyond 1."""
    values = sign * np.array([0.0, 0.0, 1.0])
    low, high = interval_of_mean(values, Resampling(2000, level=0.999))
    assert [low, high] == [values.min(), values.max()]


def test_quantiles_agree_with_numpys_and_leave_out_nan() -> None:
    rng = np.random.default_rng(0)
    resampled = rng.normal(size=(101, 3))
    resampled[::7, 1] = np.nan
    resampled[:, 2] = np.nan
    levels = np.array([[0.03, 0.97], [0.0, 1.0], [0.1, 0.2]])
    found = quantiles(resampled, levels)
    np.testing.assert_allclose(found[0], np.quantile(resampled[:, 0], levels[0]))
    np.testing.assert_allclose(found[1], np.nanquantile(resampled[:, 1], levels[1]))
    assert np.isnan(found[2]).all()


@pytest.mark.parametrize("num", [1, 2, 20, 1000])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_all_right_and_all_wrong_agree_with_statsmodels_clopper_pearson(num: int, level: float) -> None:
    for all_right in (True, False):
        theirs = proportion_confint(num if all_right else 0, num, alpha=1 - level, method="beta")
        assert exact_interval(num, all_right=all_right, level=level) == pytest.approx(theirs)


def error_interval(gaps: np.ndarray, num_resamples: int = 2000) -> tuple[float, np.ndarray]:
    features = np.column_stack([np.ones(len(gaps)), gaps])
    resampled = resample_sums(features, Resampling(num_resamples))
    whole = features.sum(axis=0)
    num = np.concatenate([[whole[0]], resampled[:, 0]])
    found = calibration_error_interval(whole[1:], resampled[:, 1:], num, num_groups=len(gaps), level=0.95)
    return float(np.abs(whole[1:]).sum() / whole[0]), found


def test_the_interval_of_a_calibrated_classifier_begins_at_zero_and_holds_its_error() -> None:
    rng = np.random.default_rng(0)
    gaps = np.zeros((300, 15))
    confidence = rng.random(300)
    gaps[np.arange(300), (confidence * 15).astype(int)] = confidence - (rng.random(300) < confidence)
    value, (low, high) = error_interval(gaps)
    assert low == 0
    assert 0 < value <= high < 0.15


def test_the_ends_of_the_calibration_error_agree_with_a_grid_of_factors_and_the_percentile_less_its_bias() -> None:
    rng, num = np.random.default_rng(1), 150
    gaps = np.zeros((num, 15))
    gaps[np.arange(num), rng.integers(0, 15, num)] = rng.normal(0.15, 0.3, num)
    features = np.column_stack([np.ones(num), gaps])
    means = resample_sums(features, Resampling(2000))[:, 1:] / num
    whole = gaps.mean(axis=0)
    value, (low, high) = error_interval(gaps)
    tail = (1 - expanded_level(num)) / 2
    errors = np.abs(means).sum(axis=1)
    assert high == pytest.approx(np.quantile(errors, 1 - tail) - (errors.mean() - value))
    grid = np.linspace(0, 1, 501)
    reach = [np.quantile(np.abs(means - whole + factor * whole).sum(axis=1), 1 - tail) for factor in grid]
    assert 0.1 * value < low < 0.9 * value
    assert low == pytest.approx(value * grid[np.argmax(np.array(reach) >= value)], abs=0.003 * value)


def test_the_interval_of_one_bins_error_is_that_of_a_mean() -> None:
    """Far from 0 there is no bias, and the absolute value of one mean is the mean."""
    gaps = np.zeros((400, 15))
    gaps[:, 3] = np.random.default_rng(0).normal(0.3, 0.2, 400)
    value, found = error_interval(gaps, 20_000)
    edge = 1.966 * 0.2 / np.sqrt(400)
    np.testing.assert_allclose(found, [value - edge, value + edge], atol=0.002)
