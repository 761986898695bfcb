"""Vectors as other programs leave them, and the import of them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from import_reading import Array, Import

from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.embedding.vector_import import ImportReport, import_vectors, imported_spec
from emoji_lightning.manifest import Manifest, read_manifest


@pytest.fixture
def bring(tmp_path: Path) -> Import:
    """Import into the store `store` as the verb does."""

    def run(manifest: Manifest, source: Path, encoder: str = "theirs", **options: Any) -> ImportReport:
        def open_store(dim: int) -> EmbeddingStore:
            return EmbeddingStore.open_or_create(tmp_path / "store", imported_spec(encoder, dim))

        return import_vectors(manifest, source, open_store, **options)

    return run


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Manifest]:
    """A manifest with these ids, the first in line 2."""

    def write(*ids: str) -> Manifest:
        (tmp_path / "labels.csv").write_text("id,label\n" + "".join(f"{name},joy\n" for name in ids), encoding="utf-8")
        return read_manifest(tmp_path / "labels.csv")

    return write


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """A folder `theirs` with ID.npy for each of these arrays or bytes."""

    def write(arrays: Mapping[str, Array | bytes]) -> Path:
        for name, array in arrays.items():
            file = tmp_path / "theirs" / f"{name}.npy"
            file.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(array, bytes):
                file.write_bytes(array)
            else:
                np.save(file, array)
        return tmp_path / "theirs"

    return write


@pytest.fixture
def frame_file(tmp_path: Path) -> Callable[..., Path]:
    """`train.npy`, `train.lengths` and `train.emo` as emotion2vec's recipe leaves them."""

    def write(frames: Array, lengths: str, emo: str) -> Path:
        np.save(tmp_path / "train.npy", frames)
        (tmp_path / "train.lengths").write_text(lengths)
        (tmp_path / "train.emo").write_text(emo)
        return tmp_path / "train.npy"

    return write
