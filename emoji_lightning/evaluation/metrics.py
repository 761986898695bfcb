"""The reported numbers, computed once from all predictions with scikit-learn's definitions."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Metrics:
    """How well predicted labels agree with the true ones.

    Attributes:
        num_utterances: How many were evaluated, each once.
        accuracy: Share of utterances whose predicted label is the true one.
        macro_f1: Mean of the F1 of every label in the label set; a label that neither side has counts as 0, which
            torchmetrics leaves out (0.50 where scikit-learn says 0.375).
    """

    num_utterances: int
    accuracy: float
    macro_f1: float

    def to_dict(self) -> dict[str, float | int]:
        """Return the numbers by name."""
        return asdict(self)


def compute_metrics(labels: NDArray[np.int64], predicted: NDArray[np.int64], *, num_labels: int) -> Metrics:
    """Compare predicted with true labels.

    Args:
        labels: (N,) int64 true labels.
        predicted: (N,) int64 predicted labels.
        num_labels: Number K of labels in the label set.
    """
    from sklearn.metrics import accuracy_score, f1_score

    return Metrics(
        num_utterances=len(labels),
        accuracy=float(accuracy_score(labels, predicted)),
        macro_f1=float(f1_score(labels, predicted, labels=range(num_labels), average="macro", zero_division=0)),
    )


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities (N, K) float32 of logits (N, K), computed in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)
