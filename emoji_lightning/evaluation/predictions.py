"""Predictions of every utterance: gathered over processes, written once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray

from emoji_lightning.errors import EvaluationError
from emoji_lightning.evaluation.metrics import softmax
from emoji_lightning.files import write_json, write_whole

ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class Predictions:
    """A head's answers to N utterances, in the order of the corpus, each once on any number of processes.

    Attributes:
        split: "dev" or "test"; None for whatever `predict` was asked to label.
        rows: (N,) int64, the utterances' rows in the corpus.
        labels: (N,) int64, -1 where unlabelled.
        logits: (N, K) float32.
        file: Where they were written; None after a trial run over a few batches, which writes nothing.
    """

    split: str | None
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]
    file: Path | None

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Probabilities (N, K) float32, as they stand in the file."""
        return softmax(self.logits)


def predictions_table(
    logits: NDArray[np.float32], labels: NDArray[np.int64], ids: Sequence[str], names: Sequence[str]
) -> pa.Table:
    """Return a table with `id`, `label` (null where unlabelled), `predicted` and `probabilities` in label order.

    Args:
        logits: (N, K) float32.
        labels: (N,) int64, -1 where unlabelled.
        ids: N ids.
        names: K labels in the order of their ids.
    """
    probabilities = softmax(logits)
    return pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "label": pa.array([names[label] if label >= 0 else None for label in labels], pa.string()),
            "predicted": pa.array([names[label] for label in probabilities.argmax(axis=1)], pa.string()),
            "probabilities": pa.FixedSizeListArray.from_arrays(pa.array(probabilities.ravel()), len(names)),
        }
    ).replace_schema_metadata({"labels": json.dumps(list(names), ensure_ascii=False)})


class PredictionWriter(Callback):
    """Collect the outputs of an evaluation verb, write them and keep them for the numbers.

    `validate` writes `predictions.dev.parquet`, `test` `predictions.test.parquet`, `predict` `predictions.parquet`.
    Every utterance counts exactly once on any number of processes. `predictions` holds what was written, on process 0.
    Where a logit is NaN or infinite nothing is written, and an EvaluationError names checkpoint and utterances.

    Args:
        folder: The run folder.
        ids: Ids of the corpus, by row.
        labels: Labels in the order of their ids.
        checkpoint: Whose answers they are, as errors name it.
    """

    def __init__(self, folder: Path, ids: Sequence[str], labels: Sequence[str], *, checkpoint: str) -> None:
        self.folder = folder
        self.checkpoint = checkpoint
        self.ids = ids
        self.labels = labels
        self.predictions: Predictions | None = None
        self._outputs: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the outputs of a batch: row (B,), label (B,), logits (B, K)."""
        kept = cast(Mapping[str, torch.Tensor], outputs)
        self._outputs.append((kept["row"].cpu(), kept["label"].cpu(), kept["logits"].float().cpu()))

    on_test_batch_end = on_validation_batch_end
    on_predict_batch_end = on_validation_batch_end

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write dev's predictions."""
        self._finish("dev", partial=_is_rehearsal(trainer))

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write test's predictions."""
        self._finish("test", partial=_is_rehearsal(trainer))

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the predictions."""
        self._finish(None, partial=_is_rehearsal(trainer))

    def _finish(self, split: str | None, *, partial: bool) -> None:
        gathered = _gather(self._outputs)
        self._outputs = []
        if gathered is None:
            return
        rows, labels, logits = gathered
        self._demand_numbers(rows, logits)
        file = None if partial else self.folder / (f"predictions.{split}.parquet" if split else "predictions.parquet")
        self.predictions = Predictions(split, rows, labels, logits, file)
        if file is not None:
            write_whole(file, self._write)

    def _write(self, path: Path) -> None:
        """Write the predictions, some row groups after the other: as a table, millions of them take gigabytes."""
        found = self.predictions
        assert found is not None

        def table_of(part: slice) -> pa.Table:
            ids = [self.ids[row] for row in found.rows[part].tolist()]
            return predictions_table(found.logits[part], found.labels[part], ids, self.labels)

        with pq.ParquetWriter(path, table_of(slice(0)).schema) as writer:
            for start in range(0, len(found.rows), ROWS_AT_ONCE):
                writer.write_table(table_of(slice(start, start + ROWS_AT_ONCE)))

    def _demand_numbers(self, rows: NDArray[np.int64], logits: NDArray[np.float32]) -> None:
        broken = np.flatnonzero(~np.isfinite(logits).all(axis=1))
        if broken.size:
            named = ", ".join(self.ids[row] for row in rows[broken[:3]].tolist())
            raise EvaluationError(
                f"{self.checkpoint}: its logits are NaN or infinite for {broken.size} of {len(rows)} utterances "
                f"({named}); nothing was written. If for all, train again; if for some, embed their audio again"
            )


def write_metrics(path: Path, split: str, numbers: Mapping[str, Any]) -> None:
    """Put the numbers of a split into a JSON file; other splits that it already holds stay."""
    write_json(path, _read_metrics(path) | {split: numbers})


def _read_metrics(path: Path) -> dict[str, object]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # absent, or damaged: it is made anew
        return {}
    return known if isinstance(known, dict) else {}


def _is_rehearsal(trainer: pl.Trainer) -> bool:
    """Tell whether this is a trial run over a few batches, whose numbers must not replace real ones."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


def _gather(
    outputs: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]] | None:
    """Return rows, labels and logits of all processes in corpus order on process 0, None on the others."""
    parts = [outputs]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        parts = [[] for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather_object(parts, outputs)
        if torch.distributed.get_rank() != 0:
            return None
    if not any(parts):
        return None
    rows, labels, logits = (
        torch.cat(column).numpy() for column in zip(*(batch for part in parts for batch in part), strict=True)
    )
    order = rows.argsort()
    return rows[order], labels[order], logits[order]
