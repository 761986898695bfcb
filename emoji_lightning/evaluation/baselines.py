"""What is reached without listening: the rows beside every result."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.evaluation.resampling import Ints

Baselines = dict[str, dict[str, float | str]]


def compute_baselines(supports: Ints, names: Sequence[str], counted: NDArray[np.bool_]) -> Baselines:
    """Return the numbers of guessing and of always naming the commonest label.

    `chance` guesses every label with the same probability 1 / K, and says so: its numbers are expectations, that of
    macro-F1 computed from the expected counts (2 hits / (true + predicted) with hits n / K and N / K predicted).
    `majority` always names the commonest label of these utterances, the first of equally common ones.

    Args:
        supports: (K,) int64 utterances of each label, at least one in all.
        names: K labels.
        counted: (K,) bool, the labels that macro-F1 is the mean over.
    """
    num_labels, total, commonest = len(supports), int(supports.sum()), int(supports.argmax())
    chance_f1 = 2 * (supports / num_labels) / (supports + total / num_labels)
    majority_f1 = np.zeros(num_labels)
    majority_f1[commonest] = 2 * supports[commonest] / (supports[commonest] + total)
    return {
        "chance": {
            "accuracy": 1 / num_labels,
            "balanced_accuracy": 1 / num_labels,
            "macro_f1": float(chance_f1[counted].mean()),
            "top3_accuracy": min(3, num_labels) / num_labels,
            "nll": float(np.log(num_labels)),
            "mean_probability": 1 / num_labels,
        },
        "majority": {
            "label": names[commonest],
            "accuracy": float(supports[commonest] / total),
            "balanced_accuracy": 1 / int((supports > 0).sum()),
            "macro_f1": float(majority_f1[counted].mean()),
        },
    }
