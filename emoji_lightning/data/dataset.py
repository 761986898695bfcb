"""Embeddings in memory, read a batch at a time."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.utils.data import Dataset


class Batch(NamedTuple):
    """A batch of utterances.

    Attributes:
        embedding: (B, D) float32.
        label: (B,) int64; -1 where the utterance has no label.
        row: (B,) int64, the utterance's row in the corpus.
    """

    embedding: torch.Tensor
    label: torch.Tensor
    row: torch.Tensor


class EmbeddingDataset(Dataset[Batch]):
    """Utterances of one split, as rows of the corpus: many splits of one corpus hold its embeddings once.

    The loader asks `__getitems__` for a whole batch: one index operation instead of one per utterance and a collation,
    which made the loader 3-4 times cheaper.

    Args:
        embeddings: (N, D) float32 of the whole corpus.
        labels: (N,) int64 of the whole corpus.
        rows: (M,) int64, the rows of the corpus that this split holds.
    """

    def __init__(self, embeddings: torch.Tensor, labels: torch.Tensor, rows: torch.Tensor) -> None:
        self.embeddings = embeddings
        self.labels = labels[rows]
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        row = self.rows[index]
        return Batch(self.embeddings[row], self.labels[index], row)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return the batch (B, D), (B,), (B,) of these indices."""
        chosen = torch.as_tensor(indices)
        rows = self.rows[chosen]
        return Batch(self.embeddings[rows], self.labels[chosen], rows)
