"""From a trained model to a bundle, checked against the model before anybody can use it."""

import platform
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emoji_lightning.bundle.bundle import CHECKPOINT, Bundle, read_bundle, write_bundle
from emoji_lightning.errors import CheckpointError
from emoji_lightning.evaluation.metrics import Metrics, compute_metrics
from emoji_lightning.labels import LabelSet
from emoji_lightning.model.classifier import EmojiClassifier

PARITY_TOLERANCE = 1e-5


class EvaluatedCorpus(Protocol):
    """What export needs of a corpus: its arrays by split, see `emoji_lightning.data.corpus.Corpus`."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def embeddings(self) -> NDArray[np.float32]: ...  # noqa: D102
    @property
    def labels(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def embedding_spec(self) -> Mapping[str, object]: ...  # noqa: D102
    @property
    def best_labels(self) -> NDArray[np.int64] | None: ...  # noqa: D102

    def rows(self, split: str) -> NDArray[np.int64]:
        """Return the rows (M,) int64 of a split."""

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many utterances each split has of each label."""


def export_bundle(
    model: EmojiClassifier, corpus: EvaluatedCorpus, folder: Path, *, training: Mapping[str, Any]
) -> dict[str, Metrics]:
    """Write the bundle of a trained model with its figures on dev and test.

    Args:
        model: The trained model.
        corpus: The corpus that it was trained on.
        folder: Where `best_classifier.pt`, `label2id.json` and `summary.json` go.
        training: Facts about the training for `summary.json`.

    Returns:
        The written head's metrics on dev and test.

    Raises:
        CheckpointError: The written head differs from the model by more than 1e-5 in a logit of dev; then nothing in
            `folder` has changed.
    """
    model = model.eval().cpu().float()
    broken = [name for name, tensor in model.head.state_dict().items() if not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(
            f"the trained model's {broken[0]} holds NaN or infinity; nothing was exported, train again"
        )
    hparams = model.hparams
    bundle = Bundle(
        state_dict=model.head.folded_state_dict(),
        label_set=LabelSet(tuple(model.labels)),
        input_dim=hparams["input_dim"],
        hidden_dim=hparams["hidden_dim"],
        dropout=hparams["dropout"],
        encoder=hparams["encoder"],
    )
    mlp, difference = _check_parity(bundle, model, _split(corpus, "dev"))
    num_labels = len(bundle.label_set)
    metrics = {split: _evaluate(mlp, corpus, split, num_labels=num_labels) for split in ("dev", "test")}
    summary = summarize(bundle, corpus, metrics, training=dict(training) | {"max_logit_difference": difference})
    write_bundle(Bundle(**{**vars(bundle), "summary": summary}), folder)
    return metrics


def _split(corpus: EvaluatedCorpus, split: str) -> Tensor:
    return torch.from_numpy(corpus.embeddings[corpus.rows(split)])


@torch.inference_mode()
def _check_parity(bundle: Bundle, model: EmojiClassifier, embeddings: Tensor) -> tuple[nn.Sequential, float]:
    """Write the bundle, read it again into a plain MLP, and compare logits with the model's."""
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(bundle, Path(folder))
        mlp = read_bundle(Path(folder) / CHECKPOINT).build_mlp()
    difference = float((mlp(embeddings) - model(embeddings)).abs().max())
    if not difference <= PARITY_TOLERANCE:
        raise CheckpointError(
            f"the exported head differs from the trained model by {difference:.1e} in a logit of dev, more than "
            f"{PARITY_TOLERANCE:.0e}; nothing was exported. Look for embeddings whose dimensions differ by orders of "
            "magnitude, or for NaN in the weights"
        )
    return mlp, difference


@torch.inference_mode()
def _evaluate(mlp: nn.Sequential, corpus: EvaluatedCorpus, split: str, *, num_labels: int) -> Metrics:
    rows = corpus.rows(split)
    predicted = mlp(_split(corpus, split)).argmax(dim=1).numpy()
    return compute_metrics(corpus.labels[rows], predicted, num_labels=num_labels)


def best_reachable(corpus: EvaluatedCorpus, split: str, *, num_labels: int) -> Metrics | None:
    """Return what the Bayes rule reaches on this very split, None where the distribution is not known."""
    if corpus.best_labels is None:
        return None
    rows = corpus.rows(split)
    return compute_metrics(corpus.labels[rows], corpus.best_labels[rows], num_labels=num_labels)


def summarize(
    bundle: Bundle, corpus: EvaluatedCorpus, metrics: Mapping[str, Metrics], *, training: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the content of `summary.json`; every value is named here, so that no path or host name gets in."""
    num_parameters = sum(tensor.numel() for tensor in bundle.state_dict.values())
    return {
        "model": {
            "head": "Linear-ReLU-Dropout-Linear-ReLU-Dropout-Linear, raw embeddings in, logits out",
            "layers": [bundle.input_dim, bundle.hidden_dim, bundle.hidden_dim, len(bundle.label_set)],
            "dropout": bundle.dropout,
            "num_parameters": num_parameters,
            "labels": list(bundle.label_set),
            "encoder": bundle.encoder,
            "embedding": corpus.embedding_spec,
        },
        "data": {"name": corpus.name, "synthetic": corpus.best_labels is not None, "utterances": corpus.counts()},
        "training": dict(training),
        "metrics": {
            split: numbers.to_dict() | _best_numbers(corpus, split, num_labels=len(bundle.label_set))
            for split, numbers in metrics.items()
        },
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("emoji-lightning", "torch", "lightning", "numpy", "scikit-learn")},
    }


def _best_numbers(corpus: EvaluatedCorpus, split: str, *, num_labels: int) -> dict[str, float]:
    best = best_reachable(corpus, split, num_labels=num_labels)
    return {} if best is None else {"best_accuracy": best.accuracy, "best_macro_f1": best.macro_f1}
