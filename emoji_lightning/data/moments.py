"""What is known of embeddings before training: mean and deviation of each dimension, and that all are numbers."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from emoji_lightning.embedding.stored import StoredEmbeddings
from emoji_lightning.errors import StoreError, join_problems
from emoji_lightning.manifest import Manifest

LISTED = 5
CHUNK_ROWS = 4096


class Moments(NamedTuple):
    """Mean (D,) and standard deviation (D,) of embeddings, float64."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


class MomentsInPasses:
    """Mean and deviation of rows that come a block at a time, in float64 (Chan et al., 1979).

    Args:
        dim: Dimension D.
    """

    def __init__(self, dim: int) -> None:
        self.num_rows = 0
        self.mean = np.zeros(dim)
        self.squares = np.zeros(dim)
        self.first: NDArray[np.float32] | None = None
        self.all_alike = True

    def add(self, block: NDArray[np.float32]) -> None:
        """Add the rows (B, D) of a block."""
        if not len(block):
            return
        if self.first is None:
            self.first = block[0].copy()
        self.all_alike = self.all_alike and bool((block == self.first).all())
        exact = block.astype(np.float64)
        mean = exact.mean(axis=0)
        total, shift = self.num_rows + len(block), mean - self.mean
        self.squares += np.square(exact - mean).sum(axis=0) + shift**2 * (self.num_rows * len(block) / total)
        self.mean += shift * (len(block) / total)
        self.num_rows = total

    def result(self) -> Moments:
        """Return the moments of all rows that were added, at least one."""
        return Moments(self.mean, np.sqrt(self.squares / self.num_rows))


def measure_stored(
    manifest: Manifest, embeddings: StoredEmbeddings, is_train: NDArray[np.bool_]
) -> tuple[Moments, bool]:
    """Read all embeddings of a corpus once.

    Args:
        manifest: N utterances.
        embeddings: (N, D), theirs.
        is_train: (N,), which of them are in train.

    Returns:
        The moments of train, and whether all of train are one and the same vector.

    Raises:
        StoreError: Embeddings are not finite.
    """
    moments = MomentsInPasses(embeddings.dim)
    broken: list[int] = []
    for group, rows in embeddings.split(np.arange(len(manifest))):
        vectors = embeddings.read_rows(group, rows, check=False)
        broken += rows[~np.isfinite(vectors).all(axis=1)].tolist()
        if not broken:
            moments.add(vectors[is_train[rows]])
    if broken:
        raise broken_embeddings(manifest, embeddings, sorted(broken))
    return moments.result(), moments.all_alike


def find_broken(embeddings: NDArray[np.float32]) -> list[int]:
    """Return the rows of (N, D) embeddings that hold NaN or infinity."""
    chunks = (slice(start, start + CHUNK_ROWS) for start in range(0, len(embeddings), CHUNK_ROWS))
    return [
        chunk.start + row
        for chunk in chunks
        for row in np.flatnonzero(~np.isfinite(embeddings[chunk]).all(axis=1)).tolist()
    ]


def are_all_alike(embeddings: NDArray[np.float32], rows: NDArray[np.int64]) -> bool:
    """Tell whether some rows (M,) of (N, D) embeddings hold one and the same vector."""
    chunks: Iterable[NDArray[np.int64]] = (rows[at : at + CHUNK_ROWS] for at in range(0, len(rows), CHUNK_ROWS))
    return all((embeddings[chunk] == embeddings[rows[0]]).all() for chunk in chunks)


def broken_embeddings(manifest: Manifest, embeddings: StoredEmbeddings, rows: list[int]) -> StoreError:
    """Return the error for utterances whose embeddings are not finite.

    Args:
        manifest: N utterances.
        embeddings: (N, D), theirs.
        rows: Those that are broken.
    """
    problems = [_describe(manifest, embeddings, row) for row in rows[:LISTED]]
    more = f"\n... and {len(rows) - LISTED} more" if len(rows) > LISTED else ""
    return StoreError(
        f"{join_problems(problems)}{more}\n{len(rows)} of {len(manifest)} embeddings in {embeddings.store.path} are "
        "not finite; expected numbers. Another program wrote or changed these parts: delete them and run `embed` "
        "again, which does only what is missing, or take these utterances out of the manifest"
    )


def _describe(manifest: Manifest, embeddings: StoredEmbeddings, row: int) -> str:
    part, place = embeddings.groups.describe(int(embeddings.places[row]))
    key = pq.read_table(part, columns=["key"], partitioning=None)["key"][place].as_py()
    name = manifest.id_texts[row]
    return (
        f"{part}: row {place + 1}, key {key}: the embedding of {name!r} ({manifest.where(row)}) holds NaN or infinity"
    )
