"""How far confidence can be believed: the reliability diagram and the expected calibration error."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.evaluation.resampling import Ints, Reals

NUM_BINS = 15
_EDGES = np.linspace(0, 1, NUM_BINS + 1)


@dataclass(frozen=True)
class Bin:
    """Utterances of similar confidence, the probability of the predicted label.

    Attributes:
        low: Confidence above which the bin begins; 0 belongs to the first bin.
        high: Confidence up to which it reaches, itself included.
        count: Utterances in it.
        confidence: Their mean confidence; None where there is no utterance.
        accuracy: Share of them that is predicted right; None where there is no utterance.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


def find_bins(confidence: Reals) -> Ints:
    """Return the bin (N,) int64 of each confidence (N,), of 15 bins of equal width, each with its upper end.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, section 2.
    """
    return np.searchsorted(_EDGES[1:-1], confidence, side="left").astype(np.int64)


def measure_reliability(confidence: Reals, correct: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Return the 15 bins of a reliability diagram.

    Args:
        confidence: (N,) probability of the predicted label.
        correct: (N,) bool, whether it is the true one.
    """
    bins = find_bins(confidence)
    counts = np.bincount(bins, minlength=NUM_BINS)
    confidences = np.bincount(bins, weights=confidence, minlength=NUM_BINS) / np.maximum(counts, 1)
    accuracies = np.bincount(bins, weights=correct, minlength=NUM_BINS) / np.maximum(counts, 1)
    return tuple(
        Bin(
            float(_EDGES[place]),
            float(_EDGES[place + 1]),
            int(count),
            float(confidences[place]) if count else None,
            float(accuracies[place]) if count else None,
        )
        for place, count in enumerate(counts)
    )


def calibration_error(confidence: Reals, correct: NDArray[np.bool_]) -> float:
    """Return the expected calibration error: mean distance of confidence and accuracy over bins, by their counts.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, eq. 3, with 15 bins of equal width.
    """
    gaps = np.bincount(find_bins(confidence), weights=confidence - correct, minlength=NUM_BINS)
    return float(np.abs(gaps).sum() / len(confidence))
