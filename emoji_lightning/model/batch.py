"""What the model asks of a batch; the data side has its own type."""

from typing import Protocol

from torch import Tensor


class LabelledBatch(Protocol):
    """What a step needs: embedding (B, D) float32, label (B,) int64, row (B,) int64."""

    @property
    def embedding(self) -> Tensor: ...  # noqa: D102
    @property
    def label(self) -> Tensor: ...  # noqa: D102
    @property
    def row(self) -> Tensor: ...  # noqa: D102


def output_of(batch: LabelledBatch, logits: Tensor) -> dict[str, Tensor]:
    """What evaluation steps return: row (B,) int64 in the corpus, label (B,) int64, logits (B, K) float32."""
    return {"row": batch.row, "label": batch.label, "logits": logits}
