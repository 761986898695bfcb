"""From a split of the corpus to batches: embeddings in memory, on the accelerator, or in the store."""

import os
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from emoji_lightning.data.balance import BalancedSampler
from emoji_lightning.data.corpus import Corpus
from emoji_lightning.data.dataset import Batch, EmbeddingDataset
from emoji_lightning.data.sampling import EvaluationSampler, TrainLoader, TrainSampler
from emoji_lightning.data.streaming import Shuffle, StreamedBatches
from emoji_lightning.embedding.stored import StoredEmbeddings

BATCH_SIZES = (256, 128, 64, 32, 16)
MIN_STEPS = 256
"""Steps of an epoch that a smaller batch is taken for: 20 epochs of fewer leave the head half trained (6,600 utterances
of curved classes: macro-F1 0.60 in batches of 256, 0.78 in batches of 16; `benchmarks/quality.py --heads ablation`)."""
NUM_SAMPLED = 32_768
"""Utterances of a corpus in the store that a fine-tuning looks at before it begins: 100 MB of 768 dimensions."""
RESIDENT_SHARE = 0.5
"""Share of the accelerator's free memory that the embeddings of a split may take."""
POOL_SHARE, HELD_SHARE = 1 / 4, 1 / 8
"""Shares of `--data.memory_gib`: the pool that train is mixed in, and a split that is read once and kept."""


@dataclass(frozen=True)
class LoaderOptions:
    """How batches are made; see `EmojiDataModule` for the options.

    Attributes:
        batch_size: Utterances of a batch.
        sampler_beta: Draw train by `BalancedSampler` with this beta; None if `draws` is false or for 1 / n.
        draws: Whether train is drawn by `BalancedSampler`.
        memory_bytes: What embeddings may take.
        resident: Whether embeddings may stay on the accelerator.
    """

    batch_size: int
    sampler_beta: float | None
    draws: bool
    memory_bytes: int
    resident: bool


class Loaders:
    """Makes the loaders of a corpus.

    Args:
        corpus: The corpus.
        options: How batches are made.
        trainer: Knows the process, the epoch and the device; None outside of a run.
    """

    def __init__(self, corpus: Corpus, options: LoaderOptions, trainer: pl.Trainer | None) -> None:
        self.corpus, self.options, self.trainer = corpus, options, trainer
        self.rank = 0 if trainer is None else trainer.global_rank
        self.num_processes = 1 if trainer is None else trainer.world_size
        self.seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))  # where Lightning keeps the run's seed

    def make(self, split: str, *, training: bool = False) -> DataLoader[Batch]:
        """Return the loader of a split."""
        embeddings, rows = self.corpus.embeddings, self.corpus.rows(split)
        if not isinstance(embeddings, StoredEmbeddings):
            return self._in_memory(EmbeddingDataset.of(embeddings, self.corpus.labels, rows), training=training)
        if not training and len(rows) * embeddings.dim * 4 <= HELD_SHARE * self.options.memory_bytes:
            return self._in_memory(self._read(embeddings, rows), training=False)
        return self._streamed(embeddings, rows, training=training)

    def _read(self, embeddings: StoredEmbeddings, rows: NDArray[np.int64]) -> EmbeddingDataset:
        dataset = EmbeddingDataset.of(embeddings[rows], self.corpus.labels[rows], np.arange(len(rows)))
        dataset.rows = torch.from_numpy(rows)
        return dataset

    def _streamed(self, embeddings: StoredEmbeddings, rows: NDArray[np.int64], *, training: bool) -> DataLoader[Batch]:
        trainer = self.trainer
        shuffle = Shuffle(
            self.seed,
            int(POOL_SHARE * self.options.memory_bytes),
            lambda: 0 if trainer is None else trainer.current_epoch,
        )
        dataset = StreamedBatches(
            embeddings,
            self.corpus.labels,
            rows,
            batch_size=self.options.batch_size,
            shuffle=shuffle if training else None,
            rank=self.rank,
            num_processes=self.num_processes,
        )
        return self._loader(dataset, batch_size=None, training=training)

    def _in_memory(self, dataset: EmbeddingDataset, *, training: bool) -> DataLoader[Batch]:
        sampler = self._train_sampler(dataset) if training else self._evaluation_sampler(dataset)
        device = resident_device(self.trainer, dataset) if self.options.resident else None
        return self._loader(
            dataset if device is None else dataset.to(device),
            batch_size=self.options.batch_size,
            sampler=sampler,
            training=training,
        )

    def _loader(self, dataset: Dataset[Batch], *, training: bool, **options: Any) -> DataLoader[Batch]:
        # An iterator draws a number when it is made: not from the generator that dropout draws from.
        make = TrainLoader if training else DataLoader[Batch]
        return make(dataset, collate_fn=_as_is, generator=torch.Generator(), **options)

    def _train_sampler(self, dataset: EmbeddingDataset) -> TrainSampler:
        processes = {"num_replicas": self.num_processes, "rank": self.rank}
        if self.options.draws:
            return BalancedSampler(dataset, beta=self.options.sampler_beta, seed=self.seed, **processes)
        return TrainSampler(dataset, seed=self.seed, **processes)

    def _evaluation_sampler(self, dataset: EmbeddingDataset) -> EvaluationSampler:
        return EvaluationSampler(
            dataset, batch_size=self.options.batch_size, num_replicas=self.num_processes, rank=self.rank
        )


def choose_batch_size(num_utterances: int) -> int:
    """Return the batch size for a train of this size: the largest that gives an epoch `MIN_STEPS` steps."""
    return next(size for size in BATCH_SIZES if size == BATCH_SIZES[-1] or size * MIN_STEPS <= num_utterances)


def resident_device(trainer: pl.Trainer | None, dataset: EmbeddingDataset) -> torch.device | None:
    """Return the CUDA device of this process if half of its free memory holds a split's embeddings, else None."""
    device = None if trainer is None else trainer.strategy.root_device
    if device is None or device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return device if len(dataset) * dataset.embeddings[0].nbytes <= RESIDENT_SHARE * free else None


def _as_is(batch: Any) -> Any:
    """Datasets return whole batches; there is nothing to collate."""
    return batch
