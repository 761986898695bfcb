"""Batches of embeddings that stay in the store: blocks in random order, mixed in a pool, read ahead by a thread."""

import math
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from emoji_lightning.data.dataset import Batch
from emoji_lightning.embedding.stored import StoredEmbeddings
from emoji_lightning.errors import ConfigError

AHEAD_BYTES = 32 * 2**20
"""Embeddings of batches that are read ahead."""
WAIT_S = 0.1
"""How often the reading thread looks whether it is still wanted."""
Item = TypeVar("Item")
Block = tuple[int, NDArray[np.int64]]
"""A row group, and the rows (B,) of the corpus that are taken of it."""
Rows = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Rows (B,) of the corpus and their embeddings (B, D)."""


class Shuffle(NamedTuple):
    """How an epoch of train is mixed.

    Attributes:
        seed: 0 or more; with the epoch it decides the order, alike on all processes.
        pool_bytes: Embeddings that are held to be drawn from.
        epoch: Tells which epoch it is, from 0.
    """

    seed: int
    pool_bytes: int
    epoch: Callable[[], int]


class StreamedBatches(IterableDataset[Batch]):
    """Every utterance of a split once, in batches, with bounded memory.

    Without `shuffle` they come in the order of the store. With it, the row groups come in random order, each
    in an order of its own; a new one
    takes the places of as many utterances drawn at random from a full pool, which make up the batches. An utterance
    stays for pool / block draws on average, so neighbours in the store end up as far apart as the pool is large.

    The sequence of row groups is cut into equal shares, one for each process and worker of its loader, of n / shares
    utterances rounded down or up: nothing is read twice but the row groups at the cuts. All shares have the same number
    of batches, ceil(floor(n / shares) / batch_size); where a share has one utterance more, its last batch has.

    Args:
        embeddings: Of the whole corpus, (N, D).
        labels: (N,) int64.
        rows: (n,) int64, the rows of the corpus in this split.
        batch_size: Utterances of a batch.
        shuffle: None for the order of the store.
        rank: Which process this is, from 0.
        num_processes: Of how many.

    Raises:
        ConfigError: There are more shares than utterances.
    """

    def __init__(
        self,
        embeddings: StoredEmbeddings,
        labels: NDArray[np.int64],
        rows: NDArray[np.int64],
        *,
        batch_size: int,
        shuffle: Shuffle | None = None,
        rank: int = 0,
        num_processes: int = 1,
    ) -> None:
        super().__init__()
        self.embeddings, self.labels, self.num_rows = embeddings, labels, len(rows)
        self.batch_size, self.shuffle = batch_size, shuffle
        self.rank, self.num_processes = rank, num_processes
        self.blocks: list[Block] = embeddings.split(rows)
        if len(rows) < num_processes:
            raise ConfigError(f"{len(rows)} utterances for {num_processes} processes; lower --trainer.devices")

    def __len__(self) -> int:
        """Number of batches of this process, without workers of the loader."""
        return self._num_batches(self.num_processes)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of an epoch: embedding (B, D), label (B,), row (B,)."""
        worker = get_worker_info()
        num_workers, number = (1, 0) if worker is None else (worker.num_workers, worker.id)
        batches = self._batches(self.rank * num_workers + number, self.num_processes * num_workers)
        depth = AHEAD_BYTES // (4 * self.embeddings.dim * self.batch_size)
        yield from read_ahead(batches, depth=min(max(depth, 2), 64))

    def _num_batches(self, num_shares: int) -> int:
        return math.ceil(self.num_rows // num_shares / self.batch_size)

    def _batches(self, share: int, num_shares: int) -> Iterator[Batch]:
        epoch = 0 if self.shuffle is None else self.shuffle.epoch()
        blocks = take_share(self._order(epoch), self.num_rows, share=share, num_shares=num_shares)
        if self.shuffle is not None:
            rng = np.random.default_rng((self.shuffle.seed, epoch, share, num_shares))
            blocks = ((group, rng.permutation(rows)) for group, rows in blocks)
        read: Iterator[Rows] = ((rows, self.embeddings.read_rows(group, rows)) for group, rows in blocks)
        if self.shuffle is not None:
            first, last = _bounds(self.num_rows, share, num_shares)
            capacity = max(1, min(last - first, self.shuffle.pool_bytes // (4 * self.embeddings.dim)))
            read = Pool(capacity, self.embeddings.dim, rng).mix(read)
        for rows, vectors in cut(read, self.batch_size, num_batches=self._num_batches(num_shares)):
            yield Batch(torch.from_numpy(vectors), torch.from_numpy(self.labels[rows]), torch.from_numpy(rows))

    def _order(self, epoch: int) -> list[Block]:
        if self.shuffle is None:
            return self.blocks
        order = np.random.default_rng((self.shuffle.seed, epoch)).permutation(len(self.blocks))
        return [self.blocks[index] for index in order.tolist()]


class Pool:
    """Utterances that wait to be drawn.

    Args:
        capacity: Their number.
        dim: Dimension D of an embedding.
        rng: Draws them.
    """

    def __init__(self, capacity: int, dim: int, rng: np.random.Generator) -> None:
        self.capacity, self.rng = capacity, rng
        self.vectors = np.empty((capacity, dim), dtype=np.float32)
        self.rows = np.empty(capacity, dtype=np.int64)
        self.num_held = 0

    def mix(self, blocks: Iterable[Rows]) -> Iterator[Rows]:
        """Yield what blocks hold in another order, a few rows (B,) and embeddings (B, D) at a time."""
        step = max(1, self.capacity // 4)
        for rows, vectors in blocks:
            for start in range(0, len(rows), step):
                yield self._exchange(rows[start : start + step], vectors[start : start + step])
        rest = self.rng.permutation(self.num_held)
        for start in range(0, len(rest), step):
            slots = rest[start : start + step]
            yield self.rows[slots], self.vectors[slots]

    def _exchange(self, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> Rows:
        """Take rows in, and give out as many as there is no place for, drawn before they come in."""
        num_fitting = min(len(rows), self.capacity - self.num_held)
        self.rows[self.num_held : self.num_held + num_fitting] = rows[:num_fitting]
        self.vectors[self.num_held : self.num_held + num_fitting] = vectors[:num_fitting]
        self.num_held += num_fitting
        slots = self.rng.choice(self.num_held, size=len(rows) - num_fitting, replace=False)
        drawn = self.rows[slots], self.vectors[slots]
        self.rows[slots], self.vectors[slots] = rows[num_fitting:], vectors[num_fitting:]
        return drawn


def _bounds(num_rows: int, share: int, num_shares: int) -> tuple[int, int]:
    return share * num_rows // num_shares, (share + 1) * num_rows // num_shares


def take_share(blocks: Iterable[Block], num_rows: int, *, share: int, num_shares: int) -> Iterator[Block]:
    """Yield the part of a sequence of blocks, of num_rows rows altogether, that is one of equal shares of it."""
    first, last = _bounds(num_rows, share, num_shares)
    start = 0
    for group, rows in blocks:
        taken = rows[max(0, first - start) : max(0, last - start)]
        if len(taken):
            yield group, taken
        start += len(rows)


def cut(pieces: Iterable[Rows], batch_size: int, *, num_batches: int) -> Iterator[Rows]:
    """Yield batches of rows (B,) and embeddings (B, D); the last one holds whatever is left."""
    held_rows: list[NDArray[np.int64]] = []
    held: list[NDArray[np.float32]] = []
    num_held = num_cut = 0
    for rows, vectors in pieces:
        start = 0
        while num_cut < num_batches - 1 and num_held + len(rows) - start >= batch_size:
            stop = start + batch_size - num_held
            yield np.concatenate([*held_rows, rows[start:stop]]), np.concatenate([*held, vectors[start:stop]])
            held_rows, held, num_held, start, num_cut = [], [], 0, stop, num_cut + 1
        if start < len(rows):
            held_rows.append(rows[start:])
            held.append(vectors[start:])
            num_held += len(rows) - start
    if num_held:
        yield np.concatenate(held_rows), np.concatenate(held)


def read_ahead(items: Iterator[Item], *, depth: int) -> Iterator[Item]:
    """Yield items that a thread takes from their iterator, at most `depth` ahead; its errors are raised here."""
    waiting: queue.Queue[Item | BaseException | None] = queue.Queue(depth)
    unwanted = threading.Event()

    def put(item: Item | BaseException | None) -> bool:
        while not unwanted.is_set():
            try:
                waiting.put(item, timeout=WAIT_S)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(None)
        except BaseException as error:  # whatever it is, it belongs to who waits for the next item
            put(error)

    thread = threading.Thread(target=work, name="embeddings", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        unwanted.set()
        thread.join()
