"""Arrays to import, and what a store says after an import."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.embedding.vector_import import ImportReport

DIM = 8
Array = NDArray[Any]
Import = Callable[..., ImportReport]


def draw(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def open_store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore.open(tmp_path / "store")


def read_parts(tmp_path: Path) -> list[dict[str, Any]]:
    return [row for part in (tmp_path / "store").glob("part-*.parquet") for row in pq.read_table(part).to_pylist()]


def read_failed(tmp_path: Path) -> list[dict[str, str]]:
    with (tmp_path / "store" / "failed.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
