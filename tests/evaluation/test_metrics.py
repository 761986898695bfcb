"""Reported numbers against counts by hand and scipy."""

import numpy as np
import pytest
import scipy.special

from emoji_lightning.evaluation.metrics import compute_metrics, softmax


def macro_f1_by_hand(labels: np.ndarray, predicted: np.ndarray, num_labels: int) -> float:
    scores = []
    for label in range(num_labels):
        hits = ((labels == label) & (predicted == label)).sum()
        total = (labels == label).sum() + (predicted == label).sum()
        scores.append(2 * hits / total if total else 0.0)
    return float(np.mean(scores))


@pytest.mark.parametrize("seed", range(5))
def test_metrics_agree_with_counts_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, predicted = rng.integers(0, 6, 50), rng.integers(0, 4, 50)
    metrics = compute_metrics(labels, predicted, num_labels=7)
    assert metrics.macro_f1 == pytest.approx(macro_f1_by_hand(labels, predicted, 7))
    assert metrics.accuracy == pytest.approx(float((labels == predicted).mean()))
    assert metrics.num_utterances == 50


def test_a_label_absent_from_both_sides_counts_as_zero() -> None:
    labels = np.array([0, 0, 1, 1])
    assert compute_metrics(labels, labels, num_labels=4).macro_f1 == pytest.approx(0.5)


def test_softmax_agrees_with_scipy_and_survives_large_logits() -> None:
    logits = np.array([[1000.0, 1001.0, 0.0], [-1.0, 0.5, 2.0]], dtype=np.float32)
    np.testing.assert_allclose(softmax(logits), scipy.special.softmax(logits.astype(np.float64), axis=1), rtol=1e-6)
