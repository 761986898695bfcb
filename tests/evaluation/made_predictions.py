"""Predictions to evaluate, drawn at random, and what scikit-learn says of them."""

import numpy as np
import scipy.special
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from emoji_lightning.evaluation.paired import Paired

Labels = NDArray[np.int64]
Reals = NDArray[np.float64]


def make_predictions(
    num: int, num_labels: int = 4, *, seed: int = 0, skill: float = 1.5, group_size: int = 1, group_sd: float = 0.0
) -> tuple[Labels, Reals, list[str]]:
    """Return labels (N,), probabilities (N, K) and groups; hard labels are harder, and some groups than others."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_labels, num)
    groups = np.arange(num) // group_size
    ease = rng.normal(0, group_sd, groups[-1] + 1)[groups]
    logits = rng.normal(0, 1, (num, num_labels))
    logits[np.arange(num), labels] += skill + ease + np.linspace(-0.7, 0.7, num_labels)[labels]
    return labels, scipy.special.softmax(1.5 * logits, axis=1), [f"g{group}" for group in groups]


def names_of(num_labels: int) -> list[str]:
    return [f"label{index}" for index in range(num_labels)]


def sklearn_numbers(labels: Labels, probabilities: Reals, counted: list[int]) -> list[float]:
    """Return accuracy, balanced accuracy and macro-F1 over the counted labels."""
    predicted = probabilities.argmax(axis=1)
    return [
        float(accuracy_score(labels, predicted)),
        float(balanced_accuracy_score(labels, predicted)),
        float(f1_score(labels, predicted, labels=counted, average="macro", zero_division=0)),
    ]


def make_pair(
    num: int, num_labels: int = 3, *, seed: int = 0, group_size: int = 1, group_sd: float = 0.5, gain: float = 0.0
) -> Paired:
    """Return two systems on the same texts, some of which are easy for both; the second is better by a gain in logits.

    Without a gain the two are equal in distribution, and each group's easiness is drawn for each system, too: what a
    system makes of one text is not independent from utterance to utterance.
    """
    rng = np.random.default_rng([seed, 1])
    labels = rng.integers(0, num_labels, num)
    groups = np.arange(num) // group_size
    shared = rng.normal(0, group_sd, groups[-1] + 1)[groups]
    systems = []
    for more in (0.0, gain):
        logits = rng.normal(0, 1, (num, num_labels))
        own = rng.normal(0, group_sd, groups[-1] + 1)[groups]
        logits[np.arange(num), labels] += 1 + shared + own + more
        systems.append(scipy.special.softmax(1.5 * logits, axis=1))
    return Paired(labels, systems[0], systems[1], [f"g{group}" for group in groups])
