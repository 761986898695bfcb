"""Numbers from sums against scikit-learn and counts by hand."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_predictions import make_predictions, sklearn_numbers
from sklearn.metrics import log_loss, precision_recall_fscore_support, top_k_accuracy_score

from emoji_lightning.evaluation.tallies import (
    NUMBERS,
    Measures,
    compute_label_numbers,
    is_in_top,
    name_sums,
    tally_groups,
)


def compute(labels: np.ndarray, probabilities: np.ndarray, *, asked_only: bool = False) -> dict[str, float]:
    tallies = tally_groups(labels, probabilities, np.arange(len(labels)))
    measures = Measures.of(tallies, asked_only=asked_only)
    return dict(zip(NUMBERS, measures.compute(tallies.sum(axis=0)).tolist(), strict=True))


def error_by_hand(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the expected calibration error, bin by bin as Guo et al. write it."""
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    total = 0.0
    for place in range(15):
        inside = (confidence > place / 15) & (confidence <= (place + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(confidence[inside].mean() - correct[inside].mean())
    return total


@pytest.mark.parametrize("seed", range(4))
def test_numbers_agree_with_scikit_learn(seed: int) -> None:
    labels, probabilities, _ = make_predictions(150, 11, seed=seed)
    found = compute(labels, probabilities)
    expected = sklearn_numbers(labels, probabilities, list(range(11)))
    assert [found[name] for name in ("accuracy", "balanced_accuracy", "macro_f1")] == pytest.approx(expected)
    assert found["nll"] == pytest.approx(log_loss(labels, probabilities, labels=range(11)))
    assert found["top3_accuracy"] == pytest.approx(top_k_accuracy_score(labels, probabilities, k=3, labels=range(11)))
    assert found["ece"] == pytest.approx(error_by_hand(labels, probabilities))
    assert found["mean_probability"] == pytest.approx(np.mean([probabilities[row, labels[row]] for row in range(150)]))


def test_calibration_error_agrees_with_torchmetrics() -> None:
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    labels, probabilities, _ = make_predictions(400, 5, seed=3)
    theirs = multiclass_calibration_error(torch.tensor(probabilities), torch.tensor(labels), num_classes=5, n_bins=15)
    assert compute(labels, probabilities)["ece"] == pytest.approx(float(theirs), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_labels_and_predictions_agree_with_scikit_learn(data: st.DataObject) -> None:
    num_labels = data.draw(st.integers(1, 6))
    pairs = st.tuples(st.integers(0, num_labels - 1), st.integers(0, num_labels - 1))
    labels, predicted = np.array(data.draw(st.lists(pairs, min_size=1, max_size=30))).T
    asked_only = data.draw(st.booleans())
    probabilities = np.eye(num_labels)[predicted]
    counted = sorted(set(labels.tolist())) if asked_only else list(range(num_labels))
    found = compute(labels, probabilities, asked_only=asked_only)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of labels that are predicted and never true
        expected = sklearn_numbers(labels, probabilities, counted)
    assert [found[name] for name in ("accuracy", "balanced_accuracy", "macro_f1")] == pytest.approx(expected)
    tallies = tally_groups(labels, probabilities, np.arange(len(labels)))
    per_label = np.nan_to_num(compute_label_numbers(tallies.sum(axis=0)))
    theirs = precision_recall_fscore_support(labels, predicted, labels=range(num_labels), zero_division=0)
    np.testing.assert_allclose(per_label, theirs[:3])
    np.testing.assert_array_equal(name_sums(tallies.sum(axis=0)).true, theirs[3])


def test_sums_over_groups_are_sums_of_the_groups_utterances() -> None:
    labels, probabilities, _ = make_predictions(60, 5)
    group_of = np.random.default_rng(1).integers(0, 7, 60)
    alone = tally_groups(labels, probabilities, np.arange(60))
    together = tally_groups(labels, probabilities, group_of)
    for group in range(7):
        np.testing.assert_allclose(together[group], alone[group_of == group].sum(axis=0))


def test_a_label_that_a_resample_lost_is_left_out_of_its_means() -> None:
    labels, predicted = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])
    tallies = tally_groups(labels, np.eye(4)[predicted], np.arange(4))
    measures = Measures.of(tallies, asked_only=False)
    without_label_2 = measures.compute(tallies[:3].sum(axis=0))
    # F1 of labels 0 and 1 is 2/3 each, label 3 counts 0 because no utterance has it; recalls are 1/2 and 1.
    assert without_label_2[NUMBERS.index("macro_f1")] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert without_label_2[NUMBERS.index("balanced_accuracy")] == pytest.approx(0.75)


def test_a_probability_of_zero_counts_as_one_in_a_million_million() -> None:
    assert compute(np.array([1]), np.array([[1.0, 0.0]]))["nll"] == pytest.approx(-np.log(1e-12))


def test_of_equally_probable_labels_the_first_are_the_top() -> None:
    even = np.full((5, 5), 0.2)
    assert is_in_top(np.arange(5), even, 3).tolist() == [1, 1, 1, 0, 0]
    assert is_in_top(np.arange(5), even, 1).tolist() == [1, 0, 0, 0, 0]


def test_a_confidence_on_the_edge_of_a_bin_belongs_to_the_lower_bin() -> None:
    edge = 9 / 15
    tallies = tally_groups(np.array([0, 0]), np.array([[edge, 1 - edge], [1.0, 0.0]]), np.array([0, 0]))
    gaps = name_sums(tallies).gaps[0]
    assert np.flatnonzero(gaps).tolist() == [8]
    assert gaps[8] == pytest.approx(edge - 1)
