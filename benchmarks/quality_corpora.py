"""Corpora that a recipe has to stand on: the synthetic demo corpus, harder variants of it, and EmoDB by speakers.

All but EmoDB are synthetic: 768 dimensions, 11 labels. `demo` is the demo corpus (19,940 / 1,000 / 1,000), drawn anew
for each seed. The variants have 600 utterances of each label in train, 60 in dev and 400 in test unless they say
otherwise.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from finetune import read_emodb
from numpy.typing import NDArray

from emoji_lightning.data.synthetic import CLASS_NORM, EMBEDDING_DIM, make_demo_corpus

NUM_LABELS = 11
TEST_PER_LABEL = 400
SPLITS = ("train", "dev", "test")


class Part(NamedTuple):
    """Utterances of one split: embeddings (N, D) float32, labels (N,) int64."""

    embeddings: NDArray[np.float32]
    labels: NDArray[np.int64]


Corpus = dict[str, Part]
Draws = Callable[[int], list[Corpus]]
Draw = Callable[[np.random.Generator, NDArray[np.int64]], NDArray[np.float32]]


def demo(seed: int) -> list[Corpus]:
    """The demo corpus itself; seed 0 is the embedded one."""
    made = make_demo_corpus(seed)
    return [{split: Part(made.embeddings[made.splits == split], made.labels[made.splits == split]) for split in SPLITS}]


def gaussian(rng: np.random.Generator, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Draw as the demo corpus does: clusters of unit covariance at equal distances."""
    means = CLASS_NORM * _directions(rng, NUM_LABELS).T
    noise = rng.standard_normal((len(labels), EMBEDDING_DIM), dtype=np.float32)
    return np.asarray(noise + means[labels], dtype=np.float32)


def curved(rng: np.random.Generator, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Draw four clusters for each label in ten dimensions, two of which are bent; the other 758 are noise."""
    size = 10
    centres = 1.75 * rng.standard_normal((NUM_LABELS, 4, size))
    inner = centres[labels, rng.integers(4, size=len(labels))] + rng.standard_normal((len(labels), size))
    inner[:, 0] += 0.35 * (inner[:, 1] ** 2 - 4)
    inner[:, 2] += 0.35 * inner[:, 3] * inner[:, 4]
    axes = _directions(rng, size)
    noise = rng.standard_normal((len(labels), EMBEDDING_DIM))
    return np.asarray(noise + (inner - noise @ axes) @ axes.T, dtype=np.float32)


def heavy_tailed(rng: np.random.Generator, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Draw noise of Student's t with 4 degrees of freedom, dimensions scaled log-normally and shifted."""
    means = CLASS_NORM * _directions(rng, NUM_LABELS).T
    noise = rng.standard_t(4, size=(len(labels), EMBEDDING_DIM)) / np.sqrt(2)
    scales = 0.4 * np.exp(rng.standard_normal(EMBEDDING_DIM))
    shifts = 0.05 * rng.standard_normal(EMBEDDING_DIM)
    return np.asarray((noise + means[labels]) * scales + shifts, dtype=np.float32)


def _directions(rng: np.random.Generator, number: int) -> NDArray[np.float64]:
    basis, _ = np.linalg.qr(rng.standard_normal((EMBEDDING_DIM, number)))
    return np.asarray(basis)


def variant(draw: Draw, *, train: int = 600, dev: int = 60, ratio: float = 1.0, wrong: float = 0.0) -> Draws:
    """Return a function that draws a corpus by its seed.

    Args:
        draw: Gives embeddings for labels.
        train: Utterances of the most frequent label in train.
        dev: Utterances of each label in dev.
        ratio: How many times as many utterances the most frequent label has in train as the rarest.
        wrong: Share of labels in train and dev that are replaced by another one.
    """

    def of_seed(seed: int) -> list[Corpus]:
        rng = np.random.default_rng((1, seed))
        shares = ratio ** (-rng.permutation(NUM_LABELS) / (NUM_LABELS - 1))
        counts = {
            "train": np.round(train * shares).astype(int),
            "dev": np.full(NUM_LABELS, dev),
            "test": np.full(NUM_LABELS, TEST_PER_LABEL),
        }
        labels = np.concatenate([np.repeat(np.arange(NUM_LABELS), counts[split]) for split in SPLITS])
        splits = np.repeat(SPLITS, [counts[split].sum() for split in SPLITS])
        embeddings = draw(rng, labels)
        spoilt = (rng.random(len(labels)) < wrong) & (splits != "test")
        given = np.where(spoilt, (labels + rng.integers(1, NUM_LABELS, size=len(labels))) % NUM_LABELS, labels)
        return [{split: Part(embeddings[splits == split], given[splits == split]) for split in SPLITS}]

    return of_seed


CORPORA: dict[str, Draws] = {
    "demo": demo,
    "curved": variant(curved),
    "heavy-tailed": variant(heavy_tailed),
    "10 % wrong": variant(gaussian, wrong=0.1),
    "50 per label": variant(gaussian, train=50, dev=20),
    "100:1": variant(gaussian, train=1800, dev=20, ratio=100.0),
}


def emodb(folder: Path, work: Path) -> Draws:
    """Return a function that deals EmoDB's ten speakers, by a seed, into five rounds of six, two and two."""
    speech = read_emodb(folder, work)
    embeddings, speakers = speech.part.embeddings, np.array(speech.speakers)
    _, labels = np.unique(speech.part.labels, return_inverse=True)

    def rounds(seed: int) -> Iterator[Corpus]:
        pairs = np.random.default_rng(seed).permutation(np.unique(speakers)).reshape(5, 2)
        for number in range(5):
            is_test, is_dev = (np.isin(speakers, pairs[place % 5]) for place in (number, number + 1))
            chosen = {"train": ~is_test & ~is_dev, "dev": is_dev, "test": is_test}
            yield {split: Part(embeddings[chosen[split]], labels[chosen[split]]) for split in SPLITS}

    return lambda seed: list(rounds(seed))
