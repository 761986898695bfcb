"""Labels that are probably wrong, found from predictions of heads that never saw the utterance."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Suspicion(NamedTuple):
    """An utterance whose label the predictions contradict.

    Attributes:
        row: Its place among the predictions.
        label: Its label.
        suggested: The label that it is counted to.
        margin: How much more probable that one is, from -1 to 1.
    """

    row: int
    label: int
    suggested: int
    margin: float


def find_suspicious(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> list[Suspicion]:
    """Return utterances off the diagonal of the confident joint, the clearest first.

    A label's threshold is the mean probability of it among the utterances that have it. An utterance is counted to the
    most probable label among those whose probability reaches their thresholds; where that is not its own label, the
    label is suspicious. A label that no utterance has is never suggested.

    Source: Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", 2021, eq. 1-2;
    ranked by margin as its section 3.2 does.

    Args:
        labels: (N,) int64, 0..K-1.
        probabilities: (N, K), each by heads that were not trained on the utterance.

    >>> found = find_suspicious(np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.1, 0.9], [0.2, 0.8], [0.1, 0.9]]))
    >>> [(each.row, each.suggested) for each in found]
    [(1, 1)]
    """
    num, num_labels = probabilities.shape
    thresholds = np.full(num_labels, np.inf)
    for label in np.unique(labels):
        thresholds[label] = probabilities[labels == label, label].mean()
    reached = np.where(probabilities >= thresholds, probabilities, -np.inf)
    counted = reached.argmax(axis=1)
    rows = np.arange(num)
    off = np.flatnonzero((reached[rows, counted] > -np.inf) & (counted != labels))
    margins = probabilities[off, counted[off]] - probabilities[off, labels[off]]
    return [
        Suspicion(int(off[place]), int(labels[off[place]]), int(counted[off[place]]), float(margins[place]))
        for place in np.argsort(-margins, kind="stable")
        if margins[place] > 0
    ]
