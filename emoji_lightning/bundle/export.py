"""From a trained model to a bundle, checked against the model before anybody can use it."""

import math
import platform
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from emoji_lightning.bundle.bundle import write_bundle, write_summary
from emoji_lightning.bundle.like import LikeReport, as_stored_like, write_like
from emoji_lightning.checkpoint.content import BUNDLE_NAME
from emoji_lightning.checkpoint.stored_head import StoredHead, read_head
from emoji_lightning.errors import CheckpointError
from emoji_lightning.evaluation.calibration import calibrate
from emoji_lightning.evaluation.evaluation import Evaluation, evaluate
from emoji_lightning.evaluation.metrics import Metrics, compute_metrics, softmax
from emoji_lightning.model.classifier import EmojiClassifier

PARITY_TOLERANCE = 1e-5
"""Between logits, times the largest of them where that is above 1: float32 rounds in proportion."""


class EvaluatedCorpus(Protocol):
    """What export needs of a corpus: its arrays by split, see `emoji_lightning.data.corpus.Corpus`."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def labels(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def embedding_spec(self) -> Mapping[str, object]: ...  # noqa: D102
    @property
    def num_replayed(self) -> int: ...  # noqa: D102
    @property
    def best_labels(self) -> NDArray[np.int64] | None: ...  # noqa: D102

    def rows(self, split: str) -> NDArray[np.int64]:
        """Return the rows (M,) int64 of a split."""

    def blocks(self, split: str) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield rows (B,) and embeddings (B, D) of a split until each was there once."""

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many utterances each split has of each label."""


@dataclass(frozen=True)
class Exported:
    """What was exported.

    Attributes:
        file: The checkpoint that was written.
        metrics: Its numbers on dev and test, with intervals.
        like: What became of the other entries of the file that `--like` names.
    """

    file: Path
    metrics: dict[str, Evaluation]
    like: LikeReport | None = None


def export_bundle(
    model: EmojiClassifier,
    corpus: EvaluatedCorpus,
    folder: Path,
    *,
    training: Mapping[str, Any],
    like: StoredHead | None = None,
    safetensors: bool = False,
) -> Exported:
    """Write the bundle of a trained model with its figures on dev and test.

    Args:
        model: The trained model.
        corpus: The corpus that it was trained on.
        folder: Where the checkpoint, `label2id.json` and `summary.json` go.
        training: Facts about the training for `summary.json`.
        like: The head of a file in whose layout the checkpoint is written, in place of ours.
        safetensors: Whether `best_classifier.safetensors` is written, too.

    Raises:
        CheckpointError: The written head differs from the model by more than 1e-5, times the largest logit if that is
            above 1, in a logit of dev, or cannot be written in that layout; then nothing in `folder` has changed.
    """
    model = model.eval().cpu().float()
    broken = [name for name, tensor in model.head.state_dict().items() if not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(
            f"the trained model's {broken[0]} holds NaN or infinity; nothing was exported, train again"
        )
    head = model.to_stored()
    write = _Writer(like, safetensors, epochs=training.get("epochs"))
    scorer, difference = _check_parity(write, head, model, corpus)
    logits = {split: score_split(scorer, corpus, split) for split in ("dev", "test")}
    labels = {split: corpus.labels[corpus.rows(split)] for split in logits}
    calibration = calibrate(logits["dev"], labels["dev"], logits["test"], labels["test"])
    temperature = 1.0 if calibration is None else calibration.temperature
    metrics, calibrated = (
        {
            split: evaluate(labels[split], softmax(logits[split] / divisor), names=list(head.label_set))
            for split in logits
        }
        for divisor in (1.0, temperature)
    )
    summary = summarize(
        head,
        corpus,
        metrics,
        training=dict(training) | {"max_logit_difference": difference},
        calibration=None if calibration is None else calibration.on_dev(),
    )
    for split, evaluation in calibrated.items():  # as `score` gives it for TTS systems
        summary["metrics"][split]["calibrated_mean_probability"] = evaluation.numbers["mean_probability"].to_dict()
    file, report = write(replace(head, summary=summary), folder)
    return Exported(file, metrics, report)


@dataclass(frozen=True)
class _Writer:
    """Writes a head in the layout that was asked for."""

    like: StoredHead | None
    safetensors: bool
    epochs: int | None

    def __call__(self, head: StoredHead, folder: Path) -> tuple[Path, LikeReport | None]:
        """Return the checkpoint that was written, and what became of the entries of the file it is laid out like."""
        if self.like is None:
            write_bundle(head, folder, safetensors=self.safetensors)
            return folder / BUNDLE_NAME, None
        report = write_like(head, self.like, folder, epochs=self.epochs, safetensors=self.safetensors)
        write_summary(head, folder)
        return report.file, report


@torch.inference_mode()
def _check_parity(
    write: _Writer, head: StoredHead, model: EmojiClassifier, corpus: EvaluatedCorpus
) -> tuple[nn.Module, float]:
    """Write the head, read it again from its file, and compare logits with the model's.

    Where `like` keeps weights in half precision the written head is compared with the rounded one.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, _ = write(head, Path(folder))
        scorer = read_head(file).build()
    reference = model if write.like is None else as_stored_like(head, write.like).build()
    blocks = (torch.from_numpy(block) for _, block in corpus.blocks("dev"))
    pairs = [(scorer(block), reference(block)) for block in blocks]
    differences = [float((ours - expected).abs().max()) for ours, expected in pairs]
    difference = math.nan if any(map(math.isnan, differences)) else max(differences)
    tolerance = PARITY_TOLERANCE * max(1.0, *(float(expected.abs().max()) for _, expected in pairs))
    if not difference <= tolerance:
        raise CheckpointError(
            f"the exported head differs from the trained model by {difference:.1e} in a logit of dev, more than "
            f"{tolerance:.0e}; nothing was exported. Look for embeddings whose dimensions differ by orders of "
            "magnitude, or for NaN in the weights"
        )
    return scorer, difference


@torch.inference_mode()
def score_split(scorer: nn.Module, corpus: EvaluatedCorpus, split: str) -> NDArray[np.float32]:
    """Return the logits (M, K) float32 that a module on the CPU gives the utterances of a split, in their order."""
    rows = corpus.rows(split)
    scored = [(members, scorer(torch.from_numpy(block)).float().numpy()) for members, block in corpus.blocks(split)]
    logits = np.empty((len(rows), scored[0][1].shape[1]), dtype=np.float32)
    for members, answers in scored:
        logits[np.searchsorted(rows, members)] = answers
    return logits


def best_reachable(corpus: EvaluatedCorpus, split: str, *, num_labels: int) -> Metrics | None:
    """Return what the Bayes rule reaches on this very split, None where the distribution is not known."""
    if corpus.best_labels is None:
        return None
    rows = corpus.rows(split)
    return compute_metrics(corpus.labels[rows], corpus.best_labels[rows], num_labels=num_labels)


def summarize(
    head: StoredHead,
    corpus: EvaluatedCorpus,
    metrics: Mapping[str, Evaluation],
    *,
    training: Mapping[str, Any],
    calibration: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the content of `summary.json`; every value is named here, so that no path or host name gets in."""
    architecture = head.architecture
    return {
        "model": {
            "head": f"{architecture.describe()}, raw embeddings in, logits out",
            "layers": [architecture.input_dim, *architecture.hidden_dims, architecture.num_labels],
            "dropout": head.dropout,
            "num_parameters": sum(tensor.numel() for tensor in head.state_dict.values()),
            "labels": list(head.label_set),
            "encoder": head.encoder,
            "embedding": corpus.embedding_spec,
            "calibration": calibration,
        },
        "data": {
            "name": corpus.name,
            "synthetic": corpus.best_labels is not None,
            "utterances": corpus.counts(),
            "replayed": corpus.num_replayed,
        },
        "training": dict(training),
        "metrics": {
            split: numbers.to_dict() | _best_numbers(corpus, split, num_labels=len(head.label_set))
            for split, numbers in metrics.items()
        },
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("emoji-lightning", "torch", "lightning", "numpy", "scikit-learn")},
    }


def _best_numbers(corpus: EvaluatedCorpus, split: str, *, num_labels: int) -> dict[str, float]:
    best = best_reachable(corpus, split, num_labels=num_labels)
    return {} if best is None else {"best_accuracy": best.accuracy, "best_macro_f1": best.macro_f1}
