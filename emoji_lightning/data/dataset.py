"""Embeddings in memory, read a batch at a time."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
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
        self.embeddings, self.places = embeddings, rows
        self.labels, self.rows = labels[rows], rows

    @classmethod
    def of(
        cls, embeddings: NDArray[np.float32], labels: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> "EmbeddingDataset":
        """Make it from numpy arrays."""
        return cls(torch.from_numpy(embeddings), torch.from_numpy(labels), torch.from_numpy(rows))

    def to(self, device: torch.device) -> "EmbeddingDataset":
        """Move this split to a device, where batches are then cut: only their indices are copied there."""
        self.embeddings = self.embeddings[self.places].to(device)
        self.places = torch.arange(len(self.places), device=device)
        self.labels, self.rows = self.labels.to(device), self.rows.to(device)
        return self

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        return Batch(self.embeddings[self.places[index]], self.labels[index], self.rows[index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return the batch (B, D), (B,), (B,) of these indices; one below 0 stands for nothing and is left out."""
        present = indices if min(indices, default=0) >= 0 else [index for index in indices if index >= 0]
        chosen = torch.tensor(present, dtype=torch.int64, device=self.rows.device)
        places = self.places[chosen]
        return Batch(self.embeddings.index_select(0, places), self.labels[chosen], self.rows[chosen])
