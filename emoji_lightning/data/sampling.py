"""Which utterances a process gets: as many processes as there are, together they do what one would."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, DistributedSampler

from emoji_lightning.data.dataset import Batch, EmbeddingDataset
from emoji_lightning.data.streaming import StreamedBatches
from emoji_lightning.errors import ConfigError

NO_UTTERANCE = -1
"""Stands in a sampler's part for nothing, so that all processes have equally many batches; datasets leave it out."""


class TrainSampler(DistributedSampler[int]):
    """Shuffles train; step k of R processes with batch B holds the utterances of step k of one process with batch R B.

    The order follows from seed and epoch alone, so every process makes the same one and takes every R-th of it. Nothing
    is repeated to fill the last round. Lightning calls `set_epoch`, for a resumed run with the epoch it goes on with,
    and leaves the sampler as it is because it is a DistributedSampler.

    Args:
        dataset: Utterances.
        num_replicas: Number R of processes.
        rank: Which of them this is, from 0.
        seed: 0 or more.
    """

    def __init__(self, dataset: EmbeddingDataset, *, num_replicas: int = 1, rank: int = 0, seed: int = 0) -> None:
        super().__init__(dataset, num_replicas=num_replicas, rank=rank, seed=seed)
        self.num_utterances = len(dataset)
        self.start = 0

    def __iter__(self) -> Iterator[int]:
        """Yield this process's part (num_samples,) of the epoch's order from `start` on: positions in the dataset."""
        part: list[int] = self.draw()[self.rank :: self.num_replicas].tolist()
        part += [NO_UTTERANCE] * (self.num_samples - len(part))
        return iter(part[self.start :])

    def draw(self) -> NDArray[np.int64]:
        """Return the epoch's order (N,) int64 for all processes: positions in the dataset."""
        return np.random.default_rng((self.seed, self.epoch)).permutation(self.num_utterances)


class EvaluationSampler(DistributedSampler[int]):
    """Deals out whole batches, those that one process would make: a row's logits depend on its batch in the last bits.

    Each utterance comes once (Lightning's default repeats some to fill the last round, which biases metrics: lightning
    #2398). A process without a batch in the last round gets an empty one.

    Args:
        dataset: Utterances, taken in their order.
        batch_size: Utterances in a batch.
        num_replicas: Number of processes.
        rank: Which of them this is, from 0.
    """

    def __init__(self, dataset: EmbeddingDataset, *, batch_size: int, num_replicas: int, rank: int) -> None:
        super().__init__(dataset, num_replicas=num_replicas, rank=rank, shuffle=False)
        size = len(dataset)
        starts = range(0, size, batch_size)
        own = starts[rank::num_replicas]
        self._part = [place for start in own for place in range(start, min(start + batch_size, size))]
        if len(own) < len(starts[::num_replicas]):
            self._part.append(NO_UTTERANCE)

    def __iter__(self) -> Iterator[int]:
        """Yield positions in the dataset."""
        return iter(self._part)

    def __len__(self) -> int:
        return len(self._part)


class TrainLoader(DataLoader[Batch]):
    """Batches of train, which a resumed run takes up inside an epoch; Lightning keeps its state in checkpoints."""

    _num_done = 0
    _num_skipped = 0

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """Yield the epoch's batches, those before a resumed run's place left out."""
        self._num_done, self._num_skipped = self._num_skipped, 0
        batches: Iterator[Batch] = super().__iter__()
        if isinstance(self.sampler, TrainSampler):
            self.sampler.start = self._num_done * int(self.batch_size or 1)
        else:
            batches = islice(batches, self._num_done, None)  # streamed ones must be read to be passed over
        for batch in batches:
            self._num_done += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Return how many batches of the epoch were taken, and how many utterances all processes have in one."""
        return {"num_done": self._num_done, "utterances": self._utterances_per_step()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Begin the next epoch where that one stood.

        Raises:
            ConfigError: A step has another number of utterances now.
        """
        num_done = state_dict["num_done"] % len(self)  # all of them: the next epoch begins
        if num_done and state_dict["utterances"] != self._utterances_per_step():
            raise ConfigError(
                f"the checkpoint stands inside an epoch, behind {num_done} steps of {state_dict['utterances']} "
                f"utterances; a step has {self._utterances_per_step()} now; give --data.batch_size and "
                f"--trainer.devices such that their product is {state_dict['utterances']} again"
            )
        self._num_skipped = num_done

    def _utterances_per_step(self) -> int:
        if isinstance(self.dataset, StreamedBatches):
            return self.dataset.batch_size * self.dataset.num_processes
        return int(self.batch_size or 1) * int(getattr(self.sampler, "num_replicas", 1))
