"""How long the intervals of an evaluation take, beside scipy's bootstrap and loops over scikit-learn and torchmetrics.

    python benchmarks/intervals.py                            # 1,000 utterances, 11 labels, 10,000 resamples
    python benchmarks/intervals.py --num_utterances 100000 --num_peer_resamples 20

All run in this process, one after the other, on the same predictions. Ours makes all numbers and those of each label; a
peer makes the one that it is named for. Peers that draw one resample after the other draw `--num_peer_resamples` of
them, and their seconds are scaled up to all.
"""

import argparse
import resource
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import scipy.special
import scipy.stats
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score
from torchmetrics.classification import MulticlassF1Score
from torchmetrics.wrappers import BootStrapper

from emoji_lightning.evaluation.evaluation import evaluate
from emoji_lightning.evaluation.resampling import Resampling

NUM_LABELS = 11
REPEATS = 5

Labels = NDArray[np.int64]
Reals = NDArray[np.float64]


def draw_predictions(num_utterances: int) -> tuple[Labels, Reals]:
    """Return labels (N,) and probabilities (N, K) of a classifier that is right in about half of the cases."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, NUM_LABELS, num_utterances)
    logits = rng.normal(0, 1, (num_utterances, NUM_LABELS))
    logits[np.arange(num_utterances), labels] += 1.5
    return labels, np.asarray(scipy.special.softmax(logits, axis=1))


def time_ours(labels: Labels, probabilities: Reals, num_resamples: int) -> float:
    names = [f"label{index}" for index in range(NUM_LABELS)]
    start = time.perf_counter()
    evaluate(labels, probabilities, names=names, resampling=Resampling(num_resamples))
    return time.perf_counter() - start


def time_scipy(labels: Labels, probabilities: Reals, num_resamples: int) -> float:
    """BCa of accuracy alone, vectorised."""
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    batch = max(1, 10_000_000 // len(right))  # without it, 10,000 resamples of 100,000 would fill 8 GB
    start = time.perf_counter()
    scipy.stats.bootstrap((right,), np.mean, n_resamples=num_resamples, vectorized=True, batch=batch, rng=0)
    return time.perf_counter() - start


def time_scikit_learn(labels: Labels, probabilities: Reals, num_resamples: int) -> float:
    """Macro-F1 alone, one resample after the other."""
    rng, predicted = np.random.default_rng(0), probabilities.argmax(axis=1)
    start = time.perf_counter()
    for _ in range(num_resamples):
        rows = rng.integers(0, len(labels), len(labels))
        f1_score(labels[rows], predicted[rows], labels=range(NUM_LABELS), average="macro", zero_division=0)
    return time.perf_counter() - start


def time_torchmetrics(labels: Labels, probabilities: Reals, num_resamples: int) -> float:
    """Macro-F1 alone, a copy of the metric per resample."""
    metric = BootStrapper(
        MulticlassF1Score(num_classes=NUM_LABELS, validate_args=False),
        num_bootstraps=num_resamples,
        sampling_strategy="multinomial",
    )
    predicted, true = torch.from_numpy(probabilities.argmax(axis=1)), torch.from_numpy(labels)
    start = time.perf_counter()
    metric.update(predicted, true)
    metric.compute()
    return time.perf_counter() - start


def report(name: str, seconds: list[float], ours: float | None = None) -> float:
    middle = median(seconds)
    ratio = f", {middle / ours:.1f} times ours" if ours else ""
    print(f"{name}: median {middle:.2f} s ({min(seconds):.2f}-{max(seconds):.2f} of {len(seconds)}){ratio}")
    return middle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_utterances", type=int, default=1000)
    parser.add_argument("--num_resamples", type=int, default=10_000)
    parser.add_argument("--num_peer_resamples", type=int, default=100)
    options = parser.parse_args()
    labels, probabilities = draw_predictions(options.num_utterances)
    print(f"{options.num_utterances:,} utterances, {NUM_LABELS} labels, {options.num_resamples:,} resamples")
    time_ours(labels, probabilities, 100)  # loads scipy
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ours = report(
        f"ours, 7 numbers and {3 * NUM_LABELS} of labels",
        [time_ours(labels, probabilities, options.num_resamples) for _ in range(REPEATS)],
    )
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"  which raised the peak of memory by {grown:.0f} MB")
    scipys = [time_scipy(labels, probabilities, options.num_resamples) for _ in range(REPEATS)]
    report("scipy.stats.bootstrap, BCa, vectorised, accuracy", scipys, ours)
    peers: dict[str, Callable[[Labels, Reals, int], float]] = {
        "scikit-learn's f1_score in a loop": time_scikit_learn,
        "torchmetrics' BootStrapper, macro-F1": time_torchmetrics,
    }
    scale = options.num_resamples / options.num_peer_resamples
    for name, peer in peers.items():
        runs = [scale * peer(labels, probabilities, options.num_peer_resamples) for _ in range(REPEATS)]
        report(f"{name} (from {options.num_peer_resamples} resamples)", runs, ours)


if __name__ == "__main__":
    main()
