"""Cross-validation: K folds times S seeds of one setting, or of several, trained at once."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emoji_lightning.data.corpus import Corpus
from emoji_lightning.data.datamodule import EmojiDataModule
from emoji_lightning.errors import ConfigError
from emoji_lightning.evaluation.evaluation import Evaluation, evaluate
from emoji_lightning.evaluation.metrics import Metrics, compute_metrics, softmax
from emoji_lightning.model.classifier import EmojiClassifier
from emoji_lightning.stacking.folding import Folding
from emoji_lightning.stacking.head_run import HeadRun, HeadSpec, options_of
from emoji_lightning.stacking.recipe import Recipe
from emoji_lightning.stacking.training import Report, train_all

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class TrainedHead:
    """What is left of a head: where it was trained, and how it did.

    Attributes:
        fold: The fold that was test.
        seed: Its seed.
        best_epoch: Which epoch was kept, from 0.
        num_epochs: How many were trained.
        dev: `dev/loss`, `dev/macro_f1`, `dev/accuracy` of the kept epoch.
        test: Its numbers on the fold.
    """

    fold: int
    seed: int
    best_epoch: int
    num_epochs: int
    dev: Mapping[str, float]
    test: Metrics


@dataclass(frozen=True, eq=False)
class Crossval:
    """The outcome for one setting.

    Attributes:
        corpus: What was divided.
        folding: How.
        heads: The K * S heads.
        probabilities: (S, N, K) of each seed's heads on the utterances that they were not trained on; 0 where an
            utterance is in no fold.
    """

    corpus: Corpus
    folding: Folding
    heads: Sequence[TrainedHead]
    probabilities: Reals

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Rows (M,) of the utterances that are in a fold."""
        return self.folding.rows

    @cached_property
    def mean(self) -> Reals:
        """Probabilities (M, K) of the utterances in folds, the mean over seeds."""
        return np.asarray(self.probabilities.mean(axis=0)[self.rows])

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels (M,) of the utterances in folds."""
        return self.corpus.labels[self.rows]

    @cached_property
    def evaluation(self) -> Evaluation:
        """The numbers of the mean probabilities, each utterance once, with intervals over utterances or groups."""
        groups = self.folding.groups
        return evaluate(
            self.labels,
            self.mean,
            names=list(self.corpus.label_set),
            groups=None if groups is None else [groups[row] for row in self.rows],
            group_name=self.folding.group_name,
        )

    def of_seeds(self) -> list[Metrics]:
        """Return for each seed the numbers of its heads alone, over all utterances in folds."""
        num = len(self.corpus.label_set)
        predicted = self.probabilities.argmax(axis=2)[:, self.rows]
        return [compute_metrics(self.labels, each, num_labels=num) for each in predicted]


def crossvalidate(
    data: EmojiDataModule,
    folding: Folding,
    recipe: Recipe,
    settings: Sequence[Mapping[str, Any]],
    *,
    seeds: Sequence[int],
    report: Report,
) -> list[Crossval]:
    """Train a head for each setting, fold and seed; return an outcome for each setting.

    Args:
        data: The corpus.
        folding: Its folds.
        recipe: How long heads are trained.
        settings: Arguments of `EmojiClassifier`.
        seeds: Seeds of the heads.
        report: Told of each head that has ended.
    """
    embeddings = torch.from_numpy(data.corpus.embeddings).to(recipe.device)
    runs = []
    for fold in folding.known:
        own = data.with_splits(folding.splits(fold))
        weighted = [{**setting, "class_weights": own.class_weights} for setting in settings]
        specs = [HeadSpec(fold, seed, each, number) for number, each in enumerate(weighted) for seed in seeds]
        runs += runs_of_fold(specs, own, recipe, embeddings)
    train_all(runs, report)
    return [_gather(data.corpus, folding, [run for run in runs if run.spec.setting == n]) for n in range(len(settings))]


def runs_of_fold(
    specs: Sequence[HeadSpec], data: EmojiDataModule, recipe: Recipe, embeddings: torch.Tensor
) -> list[HeadRun]:
    """Return the runs of heads of one fold, which is fitted once: discriminant and standardisation follow from train.

    Args:
        specs: Which heads.
        data: The corpus in the splits of the fold.
        recipe: How long heads are trained.
        embeddings: (N, D) float32 of the whole corpus on the device.
    """
    runs: list[HeadRun] = []
    for spec in specs:
        runs.append(HeadRun(spec, data, recipe, embeddings, like=runs[0].model if runs else None))
    return runs


def _gather(corpus: Corpus, folding: Folding, runs: Sequence[HeadRun]) -> Crossval:
    seeds = sorted({run.spec.seed for run in runs})
    num_labels = len(corpus.label_set)
    probabilities = np.zeros((len(seeds), len(corpus.labels), num_labels))
    heads = []
    for run in runs:
        rows = run.stage.datamodule.corpus.rows("test")
        logits = run.predict("test")
        probabilities[seeds.index(run.spec.seed), rows] = softmax(logits)
        test = compute_metrics(corpus.labels[rows], logits.argmax(axis=1), num_labels=num_labels)
        heads.append(TrainedHead(run.spec.fold, run.spec.seed, run.best_epoch, len(run.history), run.numbers, test))
    return Crossval(corpus, folding, heads, probabilities)


def list_seeds(num: int) -> list[int]:
    """Return seeds that count up from that of the run, which Lightning keeps in the environment.

    Raises:
        ConfigError: There are fewer than 1.
    """
    if num < 1:
        raise ConfigError(f"--seeds is {num}; expected at least 1 head for each fold")
    first = int(os.environ.get("PL_GLOBAL_SEED", "0"))
    return list(range(first, first + num))


def check_stackable(model: EmojiClassifier, data: EmojiDataModule) -> dict[str, Any]:
    """Return the arguments that heads are made with.

    Raises:
        ConfigError: An option is given that only a single run of `fit` knows.
    """
    if model.finetuning is not None:
        raise ConfigError("--model.init_from is given; many heads at once start from scratch only; leave it out")
    for name in ("replay", "fold"):
        if getattr(data, name) is not None:
            raise ConfigError(
                f"--data.{name} is {getattr(data, name)}; many heads at once take one corpus, and each of its folds in "
                "turn; leave it out"
            )
    return options_of(model)
