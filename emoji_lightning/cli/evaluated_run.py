"""From the predictions of a split to its numbers, calibration, curves and report in the run folder."""

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emoji_lightning.data.corpus import Corpus
from emoji_lightning.errors import ConfigError
from emoji_lightning.evaluation.calibration import (
    Calibration,
    Threshold,
    apply_threshold,
    calibrate,
    choose_threshold,
)
from emoji_lightning.evaluation.curves import log_curves
from emoji_lightning.evaluation.evaluation import Evaluation, evaluate
from emoji_lightning.evaluation.metrics import softmax
from emoji_lightning.evaluation.predictions import Predictions, write_metrics
from emoji_lightning.evaluation.resampling import Resampling
from emoji_lightning.files import write_json
from emoji_lightning.report.report import write_test_report
from emoji_lightning.report.shown import Shown

METRICS, TENSORBOARD = "metrics.json", "tensorboard"
CALIBRATION_SUFFIX = ".calibration.json"
NUM_ERRORS_SHOWN = 20


class EvaluationOptions:
    """How `test` and `validate` judge predictions.

    Args:
        group: Column of the manifest (speaker, source_id, text ...) whose values the bootstrap draws as a whole; by
            default it draws single utterances.
        num_resamples: Resamples of the bootstrap behind every 95 % interval.
        seed: Seed of the bootstrap.
        min_precision: Precision, above 0 to 1, that answers should have: finds on dev the confidence below which the
            head had better not answer, and says how many utterances that leaves it. Also `--min-precision`.
        with_audio: Whether the report holds the audio of the most confident errors. Also `--with-audio`.
    """

    def __init__(
        self,
        group: str | None = None,
        num_resamples: int = 10_000,
        seed: int = 0,
        min_precision: float | None = None,
        with_audio: bool = False,
    ) -> None:
        if num_resamples < 100:
            raise ConfigError(f"--evaluation.num_resamples is {num_resamples}; expected at least 100, better 10000")
        if min_precision is not None and not 0 < min_precision <= 1:
            raise ConfigError(f"--min-precision is {min_precision}; expected a precision above 0 and at most 1")
        self.group = group
        self.resampling = Resampling(num_resamples=num_resamples, seed=seed)
        self.min_precision = min_precision
        self.with_audio = with_audio


@dataclass(frozen=True)
class Answers:
    """A head's logits (N, K) float32 for N utterances with labels (N,) int64."""

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]

    def right(self) -> NDArray[np.bool_]:
        """Tell of each utterance, (N,), whether the likeliest label is the true one."""
        return np.asarray(self.logits.argmax(axis=1) == self.labels)

    def confidence(self) -> NDArray[np.float32]:
        """Return the probability (N,) of the likeliest label."""
        return np.asarray(softmax(self.logits).max(axis=1))


@dataclass(frozen=True)
class Abstention:
    """The confidence below which a head had better not answer.

    Attributes:
        min_precision: What was asked for.
        dev: The threshold that reaches it on dev, with coverage and precision there; None where none does.
        here: Coverage and precision of the evaluated split at this threshold.
    """

    min_precision: float
    dev: Threshold | None
    here: Threshold | None

    def to_dict(self, split: str) -> dict[str, Any]:
        """Return it as it stands in metrics.json."""
        shown = {"dev": self.dev} | {split: self.here}
        figures = {
            name: each and {"coverage": each.coverage, "precision": each.precision} for name, each in shown.items()
        }
        return {"min_precision": self.min_precision, "threshold": self.dev and self.dev.threshold, **figures}


@dataclass(frozen=True)
class EvaluatedSplit:
    """What `test` or `validate` found.

    Attributes:
        split: "test" or "dev".
        evaluation: The numbers with their intervals.
        calibration: The temperature fitted on dev, and what it does to the evaluated split; None where dev cannot tell.
        abstention: Where `min_precision` was asked for.
        report: The report's file.
    """

    split: str
    evaluation: Evaluation
    calibration: Calibration | None
    abstention: Abstention | None
    report: Path


def evaluate_run(
    predictions: Predictions,
    corpus: Corpus,
    options: EvaluationOptions,
    *,
    dev: Answers | None,
    folder: Path,
    checkpoint: Path,
) -> EvaluatedSplit:
    """Write `metrics.json`, the calibration beside the checkpoint, TensorBoard's curves and the report.

    Args:
        predictions: The head's answers to a split.
        corpus: What they are answers to.
        options: How they are judged.
        dev: The answers to dev, on which temperature and threshold are fitted; None where there is no labelled dev.
        folder: The run folder.
        checkpoint: The checkpoint that answered.

    Raises:
        ConfigError: The corpus has no column `options.group`, or no dev for `options.min_precision`.
    """
    split = str(predictions.split)
    evaluation = evaluate(
        predictions.labels,
        predictions.probabilities,
        names=list(corpus.label_set),
        groups=_groups(corpus, predictions, options.group),
        group_name=options.group or "utterance",
        resampling=options.resampling,
    )
    calibration = None if dev is None else calibrate(dev.logits, dev.labels, predictions.logits, predictions.labels)
    abstention = _abstention(dev, Answers(predictions.logits, predictions.labels), options.min_precision)
    numbers = evaluation.to_dict()
    kept = checkpoint.with_suffix(CALIBRATION_SUFFIX)
    kept.unlink(missing_ok=True)  # of an earlier dev, which may have told what this one cannot
    if calibration is not None:
        numbers["calibration"] = calibration.to_dict()
        write_json(kept, calibration.on_dev())
    if abstention is not None:
        numbers["abstain"] = abstention.to_dict(split)
    write_metrics(folder / METRICS, split, numbers)
    log_curves(folder / TENSORBOARD, split, evaluation, predictions.labels, predictions.probabilities)
    report = folder / ("report.html" if split == "test" else f"report.{split}.html")
    write_test_report(
        report,
        split,
        numbers,
        facts=_facts(corpus, checkpoint, options),
        errors=_confident_errors(corpus, predictions, with_audio=options.with_audio),
    )
    return EvaluatedSplit(split, evaluation, calibration, abstention, report)


def _groups(corpus: Corpus, predictions: Predictions, group: str | None) -> list[str] | None:
    """Return the group of each utterance; one whose group is not given is a group of its own."""
    if group is None:
        return None
    if corpus.manifest is None:
        raise ConfigError(f"--evaluation.group {group}: the demo corpus has no columns; leave it out")
    if not corpus.manifest.has(group):
        columns = corpus.manifest.table.column_names
        raise ConfigError(f"--evaluation.group {group}: {corpus.name} has no such column; found {columns}")
    values = corpus.manifest.column(group)
    found = [values[row] for row in predictions.rows.tolist()]
    return [f"={value}" if value not in (None, "") else f"row {place}" for place, value in enumerate(found)]


def _abstention(dev: Answers | None, here: Answers, min_precision: float | None) -> Abstention | None:
    """Choose the threshold on dev, on the probabilities that predictions hold and `classify` prints."""
    if min_precision is None:
        return None
    if dev is None:
        raise ConfigError("--min-precision finds its threshold on dev; expected a dev with labels")
    chosen = choose_threshold(dev.confidence(), dev.right(), min_precision)
    reached = chosen and apply_threshold(here.confidence(), here.right(), chosen.threshold)
    return Abstention(min_precision, chosen, reached)


def _facts(corpus: Corpus, checkpoint: Path, options: EvaluationOptions) -> dict[str, str | int | float]:
    """Return what the report says of the run; every value is named here, so that no path or host name gets in."""
    spec = corpus.embedding_spec
    weights = {"encoder weights (sha256)": str(spec["weights_sha256"])} if spec.get("weights_sha256") else {}
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    return {
        "corpus": corpus.name,
        "encoder": corpus.encoder,
        **weights,
        "checkpoint": checkpoint.name,
        "checkpoint (sha256)": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "epochs": content["epoch"] + 1,
        "training seed": content.get("seed", -1),
        "bootstrap seed": options.resampling.seed,
        "python": platform.python_version(),
        **{name: version(name) for name in ("emoji-lightning", "torch", "lightning", "numpy", "scikit-learn")},
    }


def _confident_errors(corpus: Corpus, predictions: Predictions, *, with_audio: bool) -> list[Shown]:
    """Return the wrong answers with the highest probabilities."""
    probabilities = predictions.probabilities
    heard = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    wrong = np.flatnonzero(heard != predictions.labels)
    ranked = wrong[np.argsort(-confidence[wrong], kind="stable")][:NUM_ERRORS_SHOWN]
    names = list(corpus.label_set)
    rows = predictions.rows[ranked].tolist()
    texts, audio = _texts(corpus, rows), _audio(corpus, rows) if with_audio else [None] * len(rows)
    return [
        Shown(
            id=corpus.ids[row],
            asked=names[predictions.labels[place]],
            heard=names[heard[place]],
            probability=float(confidence[place]),
            text=text,
            audio=file,
        )
        for place, row, text, file in zip(ranked.tolist(), rows, texts, audio, strict=True)
    ]


def _texts(corpus: Corpus, rows: Sequence[int]) -> list[str | None]:
    if corpus.manifest is None or not corpus.manifest.has("text"):
        return [None] * len(rows)
    return corpus.manifest.select(rows).column("text")


def _audio(corpus: Corpus, rows: Sequence[int]) -> list[Path | None]:
    """Return the audio of utterances, None where it is not here; a segment is part of a file and is left out."""
    if corpus.manifest is None or not corpus.manifest.has("audio"):
        raise ConfigError("--with-audio: the corpus has no column 'audio'; leave it out")
    chosen = corpus.manifest.select(rows)
    whole = [
        start is None and end is None for start, end in zip(chosen.seconds("start"), chosen.seconds("end"), strict=True)
    ]
    return [file if each and file.is_file() else None for file, each in zip(chosen.audio_paths(), whole, strict=True)]
