"""The embedded demo corpus: synthetic embeddings with the shape of the original corpus and a known best accuracy.

Eleven Gaussian clusters with unit covariance stand at equal distance from each other, in a random 11-dimensional
subspace of the 768 dimensions. Nothing in it was ever spoken: its numbers say whether a recipe works, not how well
speech carries emoji.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.labels import CARD_LABELS

EMBEDDING_DIM = 768
NUM_EMOJI, NUM_NONE = 19_945, 1_995
NUM_HELD_OUT = 1_000
BEST_ACCURACY = 0.7
"""Accuracy, and macro-F1, of the Bayes rule in expectation."""
CLASS_NORM = 2.138118557887597
"""Norm a of the orthogonal class means. The Bayes rule takes the largest of 11 scores, N(a, 1) for the true class and
N(0, 1) for the others, so its accuracy is the integral of phi(z - a) Phi(z)^10 dz; this a makes it BEST_ACCURACY."""


@dataclass(frozen=True)
class DemoCorpus:
    """Synthetic embeddings with their labels and splits.

    Attributes:
        embeddings: (21940, 768) float32.
        labels: (21940,) int64, positions in CARD_LABELS.
        splits: (21940,) str, one of train, dev, test: 19,940 / 1,000 / 1,000 with dev and test balanced.
        best_labels: (21940,) int64, what the Bayes rule, which knows the class means, answers.
    """

    embeddings: NDArray[np.float32]
    labels: NDArray[np.int64]
    splits: NDArray[np.str_]
    best_labels: NDArray[np.int64]


def make_demo_corpus(seed: int = 0) -> DemoCorpus:
    """Draw the demo corpus; the same seed gives the same corpus.

    Args:
        seed: Seed of class means, noise and order.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(CARD_LABELS)), _class_sizes()))
    basis, _ = np.linalg.qr(rng.standard_normal((EMBEDDING_DIM, len(CARD_LABELS))))
    means = (CLASS_NORM * basis.T).astype(np.float32)
    embeddings = rng.standard_normal((labels.size, EMBEDDING_DIM), dtype=np.float32)
    embeddings += means[labels]
    best = (embeddings @ means.T).argmax(axis=1)
    return DemoCorpus(embeddings, labels, _balanced_splits(labels), best)


def _class_sizes() -> NDArray[np.int64]:
    num_emoji_classes = len(CARD_LABELS) - 1
    sizes = np.full(len(CARD_LABELS), NUM_EMOJI // num_emoji_classes)
    sizes[1 : 1 + NUM_EMOJI % num_emoji_classes] += 1
    sizes[0] = NUM_NONE
    return sizes


def _balanced_splits(labels: NDArray[np.int64]) -> NDArray[np.str_]:
    """Give each class 90 or 91 utterances in dev and in test; labels come in random order, so the first ones do."""
    splits = np.full(labels.size, "train", dtype="<U5")
    share, rest = divmod(NUM_HELD_OUT, len(CARD_LABELS))
    for label in range(len(CARD_LABELS)):
        members = np.flatnonzero(labels == label)
        num_dev = share + (label < rest)
        num_test = share + (label >= len(CARD_LABELS) - rest)
        splits[members[:num_dev]] = "dev"
        splits[members[num_dev : num_dev + num_test]] = "test"
    return splits
