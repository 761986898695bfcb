"""Embeddings that stay in the store: which row of which part is whose, and reading them piece by piece."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from emoji_lightning.embedding.store import EmbeddingStore, damaged_part
from emoji_lightning.errors import StoreError

MAX_GROUP_BYTES = 128 * 2**20
"""Embeddings of a row group, which Parquet decodes as a whole: 43,690 of 768 dimensions."""


@dataclass(frozen=True)
class RowGroups:
    """The row groups of a store's parts, G of them, in the order of the parts.

    Attributes:
        parts: The files.
        part: (G,) int64, which file a group is in.
        number: (G,) int64, which of the file's groups it is.
        starts: (G + 1,) int64, place of a group's first row among all rows of the store; the last is their number.
    """

    parts: tuple[Path, ...]
    part: NDArray[np.int64]
    number: NDArray[np.int64]
    starts: NDArray[np.int64]

    def describe(self, place: int) -> tuple[Path, int]:
        """Return the part and the row in it, from 0, of a place."""
        group = int(np.searchsorted(self.starts, place, side="right")) - 1
        first = int(np.searchsorted(self.part, self.part[group]))
        return self.parts[self.part[group]], int(place - self.starts[first])


@dataclass(frozen=True)
class StoredEmbeddings:
    """Embeddings (N, D) float32 of N utterances, read when they are asked for.

    A row group is read and decoded with ordinary reads (mapped pages would count as resident), one at a time.

    Args:
        store: Where they are.
        groups: The store's row groups.
        places: (N,) int64, place of each utterance's embedding among all rows of the store.

    Raises:
        StoreError: A row group is too large to be read as a whole.
    """

    store: EmbeddingStore
    groups: RowGroups
    places: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Check the sizes of row groups."""
        sizes = np.diff(self.groups.starts)
        large = np.flatnonzero(sizes * self.dim * 4 > MAX_GROUP_BYTES)
        if large.size:
            group, most = int(large[0]), MAX_GROUP_BYTES // (4 * self.dim)
            part = self.groups.parts[self.groups.part[group]]
            raise StoreError(
                f"{part}: row group {self.groups.number[group]} has {sizes[group]} rows; reading in random order needs "
                f"row groups of at most {most}, better 512. Write the part again in smaller ones, batch by batch: "
                "`for batch in pq.ParquetFile(OLD).iter_batches(512, columns=...): writer.write_batch(batch)` with "
                "pyarrow, or raise --data.memory_gib if all embeddings fit into memory"
            )

    @property
    def dim(self) -> int:
        """Dimension D."""
        return self.store.spec.dim

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        return len(self.places), self.dim

    @property
    def num_bytes(self) -> int:
        """Size of all N embeddings in memory, in bytes."""
        return len(self.places) * self.dim * 4

    def read_group(self, group: int) -> NDArray[np.float32]:
        """Return all embeddings (R, D) of a row group.

        Raises:
            StoreError: The part is damaged.
        """
        part = self.groups.parts[self.groups.part[group]]
        try:
            with pq.ParquetFile(part, pre_buffer=False) as file:
                number = int(self.groups.number[group])
                table = file.read_row_group(number, columns=["embedding"], use_threads=False)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise damaged_part(part, str(error).splitlines()[0]) from None
        vectors = self.store.vectors_of(table, part)
        if len(vectors) != self.groups.starts[group + 1] - self.groups.starts[group]:
            raise damaged_part(part, "it has changed while it was read")
        return vectors

    def blocks(self, rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield some utterances' rows (B,) and embeddings (B, D), a row group at a time, in the order of the store.

        Args:
            rows: (M,) int64, each at most once.
        """
        for group, members in self.split(rows):
            yield members, self.read_rows(group, members)

    def read_rows(self, group: int, rows: NDArray[np.int64], *, check: bool = True) -> NDArray[np.float32]:
        """Return the embeddings (B, D) of rows (B,) that a row group holds.

        Args:
            group: The row group.
            rows: The rows.
            check: Whether embeddings that are not finite are an error.

        Raises:
            StoreError: The part is damaged, or embeddings are not finite.
        """
        vectors: NDArray[np.float32] = self.read_group(group)[self.places[rows] - self.groups.starts[group]]
        if check and not np.isfinite(vectors).all():
            bad = rows[~np.isfinite(vectors).all(axis=1)]
            part, place = self.groups.describe(int(self.places[bad[0]]))
            raise StoreError(
                f"{part}: row {place + 1}: the embedding holds NaN or infinity, as do {len(bad) - 1} others near it; "
                "delete this part and run `embed` again: it does only what is missing"
            )
        return vectors

    def split(self, rows: NDArray[np.int64]) -> list[tuple[int, NDArray[np.int64]]]:
        """Return the row groups that hold these rows (M,), each with its rows in the order of the store."""
        places = self.places[rows]
        order = np.argsort(places, kind="stable")
        groups = np.searchsorted(self.groups.starts, places[order], side="right") - 1
        used, first = np.unique(groups, return_index=True)
        return list(zip(used.tolist(), np.split(rows[order], first[1:]), strict=True))

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the embeddings (M, D) of rows (M,), each at most once, in this order: all of them in memory."""
        read = np.empty((len(rows), self.dim), dtype=np.float32)
        target = np.empty(int(rows.max(initial=-1)) + 1, dtype=np.int64)
        target[rows] = np.arange(len(rows))
        for members, vectors in self.blocks(rows):
            read[target[members]] = vectors
        return read


def read_names(store: EmbeddingStore, column: str) -> tuple[pa.ChunkedArray, RowGroups]:
    """Return a text column of all parts, null where a part has none, and the row groups of the parts.

    Args:
        store: The store.
        column: `key` or `id`.

    Raises:
        StoreError: A part is damaged.
    """
    names: list[pa.Array] = []
    part_of: list[int] = []
    numbers: list[int] = []
    sizes: list[int] = []
    for index, part in enumerate(store.parts()):
        try:
            with pq.ParquetFile(part, pre_buffer=False) as file:
                sizes += [file.metadata.row_group(each).num_rows for each in range(file.num_row_groups)]
                numbers += range(file.num_row_groups)
                part_of += [index] * file.num_row_groups
                held = column in file.schema_arrow.names
                read = file.read([column], use_threads=False)[column].cast(pa.string()) if held else None
                names.append(pa.nulls(file.metadata.num_rows, pa.string()) if read is None else read.combine_chunks())
        except (pa.ArrowException, OSError, KeyError) as error:
            raise damaged_part(part, str(error).splitlines()[0]) from None
    starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
    groups = RowGroups(tuple(store.parts()), np.array(part_of, np.int64), np.array(numbers, np.int64), starts)
    return pa.chunked_array(names, pa.string()), groups
