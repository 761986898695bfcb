"""Utterances whose embeddings are so near that one is probably a copy of the other."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.splits.grouping import connect_nodes

SIMILARITY = 0.98
"""Cosine of standardised embeddings from which two utterances count as near duplicates."""

_BLOCK = 2048
_LEAST_SPREAD = 1e-6


def find_pairs(
    embeddings: NDArray[np.float32], *, rows: NDArray[np.int64], similarity: float = SIMILARITY
) -> NDArray[np.int64]:
    """Find the near duplicates of some utterances among all.

    Embeddings are standardised, each dimension over all utterances, and compared by cosine: raw embeddings share most
    of their length, and every pair would look alike. All pairs are compared, in blocks: N * len(rows) products.

    Args:
        embeddings: (N, D) float32.
        rows: Utterances to find partners of, shape (M,).
        similarity: Least cosine.

    Returns:
        Pairs (P, 2) of rows, the smaller first, each pair once.
    """
    directions = _standardize(embeddings)
    found = list(_compare(directions, rows, similarity))
    pairs = np.concatenate(found) if found else np.zeros((0, 2), dtype=np.int64)
    unique: NDArray[np.int64] = np.unique(np.sort(pairs, axis=1), axis=0)
    return unique


def connect_pairs(pairs: NDArray[np.int64], ids: Sequence[str]) -> list[str]:
    """Name the component of each of N rows that pairs (P, 2) tie: the smallest id in it, its own where it is alone."""
    groups = connect_nodes(ids, pairs)
    return [groups.names[each] for each in groups.of_row.tolist()]


def _standardize(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = embeddings - embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = centred.std(axis=0, dtype=np.float64).astype(np.float32)
    # A dimension that never varies says nothing; divided by its rounding error it would say everything.
    centred *= np.where(spread > _LEAST_SPREAD, 1 / np.maximum(spread, _LEAST_SPREAD), 0.0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    directions: NDArray[np.float32] = centred / np.maximum(lengths, np.float32(_LEAST_SPREAD))
    return directions


def _compare(
    directions: NDArray[np.float32], rows: NDArray[np.int64], similarity: float
) -> Iterator[NDArray[np.int64]]:
    for first in range(0, len(rows), _BLOCK):
        block = rows[first : first + _BLOCK]
        for begin in range(0, len(directions), 8 * _BLOCK):
            near = directions[block] @ directions[begin : begin + 8 * _BLOCK].T >= similarity
            mine, others = np.nonzero(near)
            pairs = np.column_stack([block[mine], others + begin])
            yield pairs[pairs[:, 0] != pairs[:, 1]]
