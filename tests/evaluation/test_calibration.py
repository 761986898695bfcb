"""Temperatures against a grid and scipy's gradient, thresholds against trying them all."""

import json

import numpy as np
import pytest
import scipy.optimize
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from emoji_lightning.errors import EvaluationError
from emoji_lightning.evaluation.calibration import (
    Calibration,
    Threshold,
    apply_threshold,
    calibrate,
    choose_threshold,
    fit_temperature,
)
from emoji_lightning.evaluation.evaluation import evaluate
from emoji_lightning.evaluation.resampling import Resampling


def make_logits(num: int, *, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return logits (N, 5) that are too large by a factor, the temperature, and labels that do not know of it."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (num, 5))
    labels = (rng.random((num, 1)) > scipy.special.softmax(logits, axis=1).cumsum(axis=1)).sum(axis=1)
    return logits * temperature, labels


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_is_the_one_that_the_labels_were_drawn_with(temperature: float) -> None:
    logits, labels = make_logits(20_000, temperature=temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.03)


@pytest.mark.parametrize("seed", range(4))
def test_the_temperature_has_the_least_nll_by_scikit_learn(seed: int) -> None:
    logits, labels = make_logits(120, temperature=2.0, seed=seed)

    def nll(inverse: np.ndarray) -> float:
        return float(log_loss(labels, scipy.special.softmax(logits * inverse[0], axis=1), labels=range(5)))

    theirs = scipy.optimize.minimize(nll, [1.0], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12})
    assert fit_temperature(logits, labels) == pytest.approx(1 / theirs.x[0], rel=1e-4)


def test_scaled_logits_need_a_scaled_temperature() -> None:
    logits, labels = make_logits(200, temperature=1.0)
    assert fit_temperature(7 * logits, labels) == pytest.approx(7 * fit_temperature(logits, labels), rel=1e-5)
    assert fit_temperature(logits + 100, labels) == pytest.approx(fit_temperature(logits, labels), rel=1e-5)


def test_a_head_that_is_right_everywhere_is_made_sure_and_one_that_is_wrong_everywhere_unsure() -> None:
    labels = np.array([0, 1, 2] * 5)
    assert 0.01 <= fit_temperature(10 * np.eye(3)[labels], labels) < 0.3  # by 1 / 0.3 * 10 the loss is 0 in float64
    assert fit_temperature(10 * np.eye(3)[(labels + 1) % 3], labels) == pytest.approx(100, rel=0.01)


def test_very_large_logits_do_not_overflow() -> None:
    logits, labels = make_logits(100, temperature=50_000.0)
    assert fit_temperature(logits, labels) == 100 or fit_temperature(logits, labels) == pytest.approx(100, rel=1e-3)


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (
            np.zeros((0, 3)),
            np.zeros(0, int),
            r"shape \(0, 3\), labels \(0,\); expected \(N, K\) and \(N,\), N at least 1",
        ),
        (np.zeros((2, 3)), [0], r"shape \(2, 3\), labels \(1,\)"),
        (np.zeros((3, 3)), [1, 1, 1], "cannot be fitted on 3 utterances of 1 label; expected utterances of two labels"),
        ([[0.0, 1.0], [np.nan, 0.0]], [0, 1], "row 1: a logit is NaN or infinite, in 1 of 2 rows; the checkpoint"),
        (np.zeros((2, 3)), [0, 3], r"labels reach from 0 to 3; expected 0\.\.2"),
    ],
)
def test_what_a_temperature_cannot_be_fitted_on_is_refused(logits: object, labels: object, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        fit_temperature(logits, labels)  # type: ignore[arg-type]


def test_calibration_says_what_it_does_to_both_splits_in_the_numbers_of_evaluate() -> None:
    dev, test = make_logits(300, temperature=3.0), make_logits(500, temperature=3.0, seed=1)
    found = calibrate(*dev, *test)
    assert found is not None
    assert found.temperature == fit_temperature(*dev)
    assert (found.fitted_on, found.num_utterances) == ("dev", 300)
    names, few = ["a", "b", "c", "d", "e"], Resampling(100)
    for (logits, labels), shown in ((test, found.to_dict()), (dev, found.on_dev())):
        for divisor, numbers in ((1.0, shown["before"]), (found.temperature, shown["after"])):
            probabilities = scipy.special.softmax(logits / divisor, axis=1)
            expected = evaluate(labels, probabilities, names=names, resampling=few).numbers
            assert numbers == pytest.approx({"nll": expected["nll"].value, "ece": expected["ece"].value})
        assert shown["after"]["nll"] < shown["before"]["nll"]
        assert shown["after"]["ece"] < shown["before"]["ece"]


def test_calibration_is_kept_as_json() -> None:
    found = calibrate(*make_logits(50, temperature=2.0), *make_logits(50, temperature=2.0, seed=1))
    assert found is not None
    assert Calibration.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    kept = Calibration.from_dict(json.loads(json.dumps(found.on_dev())))
    assert (kept.temperature, kept.before, kept.after) == (found.temperature, *found.fit.values())


def test_a_dev_of_one_label_or_none_gives_no_calibration() -> None:
    test = make_logits(50, temperature=2.0)
    assert calibrate(np.zeros((4, 5)), [1, 1, 1, 1], *test) is None
    assert calibrate(np.zeros((0, 5)), np.zeros(0, int), *test) is None


# --- abstaining ------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9, 1.0]), st.booleans()), min_size=1, max_size=25),
    st.sampled_from([0.2, 0.5, 0.75, 0.9, 1.0]),
)
def test_the_threshold_has_the_largest_coverage_of_all_that_reach_the_precision(
    answers: list[tuple[float, bool]], min_precision: float
) -> None:
    confidence, correct = np.array([each for each, _ in answers]), np.array([each for _, each in answers])
    tried = []
    for threshold in np.unique(confidence):
        answered = confidence >= threshold
        if correct[answered].mean() >= min_precision - 1e-12:
            tried.append(Threshold(float(threshold), float(answered.mean()), float(correct[answered].mean())))
    found = choose_threshold(confidence, correct, min_precision)
    assert found == max(tried, key=lambda each: each.coverage, default=None)


def test_the_order_of_utterances_does_not_matter_where_confidences_are_equal() -> None:
    confidence = [0.9, 0.8, 0.8, 0.8]
    for correct in ([True, True, False, False], [True, False, False, True]):
        assert choose_threshold(confidence, correct, 0.6) == Threshold(0.9, 0.25, 1.0)
        assert choose_threshold(confidence, correct, 0.5) == Threshold(0.8, 1.0, 0.5)


def test_fifty_five_of_a_hundred_reach_0_55_though_the_product_is_rounded_up() -> None:
    assert 0.55 * 100 > 55
    correct = [True] * 55 + [False] * 45
    assert choose_threshold(np.linspace(1, 0.5, 100), correct, 0.55) == Threshold(0.5, 1.0, 0.55)


def test_a_precision_that_is_never_reached_has_no_threshold() -> None:
    assert choose_threshold([0.9, 0.5], [False, True], 0.9) is None


def test_a_threshold_is_applied_to_another_split() -> None:
    assert apply_threshold([0.9, 0.6, 0.5, 0.2], [True, False, True, True], 0.5) == Threshold(0.5, 0.75, 2 / 3)
    assert apply_threshold([0.3], [True], 0.5) == Threshold(0.5, 0.0, 0.0)
    single = np.array([0.1, 0.7], dtype=np.float32)
    chosen = choose_threshold(single, [False, True], 0.9)
    assert chosen is not None
    assert apply_threshold(single, [False, True], chosen.threshold).coverage == 0.5


@pytest.mark.parametrize(
    ("confidence", "correct", "min_precision", "message"),
    [
        ([0.5], [True], 0.0, "min_precision is 0.0; expected above 0 and at most 1"),
        ([0.5], [True], 90, "min_precision is 90; expected above 0"),
        ([], [], 0.9, r"confidence has the shape \(0,\), correct \(0,\); expected \(N,\) both, N at least 1"),
        ([0.5, 0.6], [True], 0.9, r"confidence has the shape \(2,\), correct \(1,\)"),
        ([0.5, np.nan], [True, True], 0.9, "row 1: confidence is NaN; expected 0 to 1"),
    ],
)
def test_answers_that_have_no_threshold_are_refused(
    confidence: list[float], correct: list[bool], min_precision: float, message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        choose_threshold(confidence, correct, min_precision)


@pytest.mark.parametrize("shift", [0, 1])
def test_a_dev_that_is_all_right_or_all_wrong_gives_no_temperature(shift: int) -> None:
    labels = np.array([0, 1, 2, 0])
    logits = 3 * np.eye(3)[(labels + shift) % 3]
    assert calibrate(logits, labels, logits, labels) is None


def test_a_dev_with_one_error_gives_one() -> None:
    labels = np.array([0, 1, 2, 0])
    logits = 3 * np.eye(3)[[1, 1, 2, 0]]
    found = calibrate(logits, labels, logits, labels)
    assert found is not None
    assert found.temperature == pytest.approx(3 / np.log(6), rel=1e-4)  # where softmax gives 3/4 to the likeliest label
