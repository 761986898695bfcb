"""What every reported number is made of: sums over utterances, so that a resample costs one matrix product.

Columns of a tally, for K labels: utterances, negative log-likelihood, probability of the true label, true label among
the top three, the gap of each bin (sum of confidence - correct); then per label how often it is true, predicted, both.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.evaluation.reliability import NUM_BINS, find_bins
from emoji_lightning.evaluation.resampling import Ints, Reals

NUMBERS = ("accuracy", "balanced_accuracy", "macro_f1", "top3_accuracy", "nll", "ece", "mean_probability")
LABEL_NUMBERS = ("precision", "recall", "f1")
LEAST_PROBABILITY = 1e-12
"""Smaller probabilities count as this in the negative log-likelihood, which would be infinite for 0."""
_NUM_PLAIN = 4


class Sums(NamedTuple):
    """The columns of tallies (..., F) by name: (...) each, or (..., NUM_BINS) and (..., K)."""

    num: Reals
    nll: Reals
    probability: Reals
    top3: Reals
    gaps: Reals
    true: Reals
    predicted: Reals
    hits: Reals


def name_sums(tallies: Reals) -> Sums:
    """Split tallies (..., F) into their columns."""
    per_label = tallies[..., _NUM_PLAIN + NUM_BINS :]
    true, predicted, hits = np.split(per_label, 3, axis=-1)
    plain = tallies[..., :_NUM_PLAIN]
    gaps = tallies[..., _NUM_PLAIN : _NUM_PLAIN + NUM_BINS]
    return Sums(plain[..., 0], plain[..., 1], plain[..., 2], plain[..., 3], gaps, true, predicted, hits)


def tally_groups(labels: Ints, probabilities: Reals, group_of: Ints) -> Reals:
    """Sum what the numbers are made of over each group.

    Args:
        labels: (N,) int64 true labels.
        probabilities: (N, K) float64.
        group_of: (N,) int64, the group of each utterance, 0..G-1, each with an utterance.

    Returns:
        (G, F) float64, F = 4 + NUM_BINS + 3 K.
    """
    num_groups, num_labels = int(group_of.max()) + 1, probabilities.shape[1]
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    true = true_probabilities(labels, probabilities)
    hit = (predicted == labels).astype(np.float64)
    ones = np.ones(len(labels))

    def by_group(values: Reals, column: Ints | None = None, num_columns: int = 1) -> Reals:
        cell = group_of if column is None else group_of * num_columns + column
        sums = np.bincount(cell, weights=values, minlength=num_groups * num_columns)
        return np.asarray(sums, dtype=np.float64).reshape(num_groups, num_columns)

    parts = [by_group(each) for each in (ones, negative_log(true), true, is_in_top(labels, probabilities, 3))]
    parts.append(by_group(confidence - hit, find_bins(confidence), NUM_BINS))
    parts += [by_group(ones, each, num_labels) for each in (labels, predicted)]
    return np.concatenate([*parts, by_group(hit, labels, num_labels)], axis=1)


def true_probabilities(labels: Ints, probabilities: Reals) -> Reals:
    """Return the probability (N,) of the true label of each utterance."""
    return np.asarray(probabilities[np.arange(len(labels)), labels])


def negative_log(probabilities: Reals) -> Reals:
    """Return -ln p, with p at least LEAST_PROBABILITY."""
    return np.asarray(-np.log(np.maximum(probabilities, LEAST_PROBABILITY)))


def is_in_top(labels: Ints, probabilities: Reals, num_top: int) -> Reals:
    """Tell (1 or 0) whether the true label is among the most probable ones, (N,) float64.

    Of equally probable labels the first ones count as more probable, as they do for the predicted label (scikit-learn's
    `top_k_accuracy_score` prefers the last ones).
    """
    true = true_probabilities(labels, probabilities)[:, None]
    before = np.arange(probabilities.shape[1]) < labels[:, None]
    rank = (probabilities > true).sum(axis=1) + ((probabilities == true) & before).sum(axis=1)
    return np.asarray(rank < num_top, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Measures:
    """Computes numbers from tallies.

    Attributes:
        counted: (K,) bool, the labels that macro-F1 is the mean over.
        num_absent: How many of them neither side has in any utterance: they count as 0.
    """

    counted: NDArray[np.bool_]
    num_absent: int

    @classmethod
    def of(cls, tallies: Reals, *, asked_only: bool) -> "Measures":
        """Make the measures for tallies (G, F) of all utterances."""
        totals = name_sums(tallies.sum(axis=0))
        asked, absent = totals.true > 0, totals.true + totals.predicted == 0
        counted = asked if asked_only else np.ones_like(asked)
        return cls(counted, int((counted & absent).sum()))

    def compute(self, tallies: Reals) -> Reals:
        """Return the NUMBERS (..., 7) of tallies (..., F).

        A label that a resample lost from both sides is left out of its macro-F1, one that it lost from the true side
        out of its balanced accuracy: nothing is known of them, and to count 0 would pull every interval down.
        """
        sums = name_sums(tallies)
        present = (sums.true + sums.predicted > 0) & self.counted
        f1 = _divide(2 * sums.hits, sums.true + sums.predicted, 0.0)
        recall = _divide(sums.hits, sums.true, 0.0)
        return np.stack(
            [
                sums.hits.sum(axis=-1) / sums.num,
                recall.sum(axis=-1) / (sums.true > 0).sum(axis=-1),
                _divide((f1 * present).sum(axis=-1), present.sum(axis=-1) + self.num_absent, 0.0),
                sums.top3 / sums.num,
                sums.nll / sums.num,
                np.abs(sums.gaps).sum(axis=-1) / sums.num,
                sums.probability / sums.num,
            ],
            axis=-1,
        )


def compute_label_numbers(tallies: Reals) -> Reals:
    """Return precision, recall and F1 of each label, (..., 3, K), of tallies (..., F); NaN for 0 / 0."""
    sums = name_sums(tallies)
    return np.stack(
        [
            _divide(sums.hits, sums.predicted, np.nan),
            _divide(sums.hits, sums.true, np.nan),
            _divide(2 * sums.hits, sums.true + sums.predicted, np.nan),
        ],
        axis=-2,
    )


def _divide(numerator: Reals, denominator: Reals, otherwise: float) -> Reals:
    """Divide; 0 / 0 is `otherwise`."""
    return np.asarray(np.divide(numerator, denominator, out=np.full(numerator.shape, otherwise), where=denominator > 0))
