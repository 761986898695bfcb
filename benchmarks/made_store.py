"""Embeddings that a benchmark made, as a store and a manifest that the program's verbs take."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.embedding.store import EmbeddingStore


def write_store(
    folder: Path, ids: Sequence[str], embeddings: NDArray[np.float32], columns: Mapping[str, Sequence[object]]
) -> list[str]:
    """Write `store` and `data.csv` into a folder; return the options that name them.

    Args:
        folder: It is made.
        ids: N ids.
        embeddings: (N, D).
        columns: Columns of the manifest beside `id`, N values each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    store = EmbeddingStore.open_or_create(folder / "store", EmbeddingSpec(encoder="made", dim=embeddings.shape[1]))
    store.append(ids, embeddings, [1.0] * len(ids), ids=ids)
    with (folder / "data.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *columns])
        writer.writerows(zip(ids, *columns.values(), strict=True))
    return ["--data.manifest", f"{folder}/data.csv", "--data.store", f"{folder}/store"]
