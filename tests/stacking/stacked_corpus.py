"""Small corpora for many heads, and the options that name them."""

from pathlib import Path

import numpy as np

from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.embedding.store import EmbeddingStore

LABELS = ["anger", "calm", "joy"]
DIM = 16


def write_folds(
    folder: Path, sizes: tuple[int, ...] = (40, 31, 37), *, noise: float = 3.0, column: bool = True
) -> Path:
    """Write `labels.csv` and `store` of labels that overlap; fold k has sizes[k] utterances."""
    rng = np.random.default_rng(0)
    folds = np.repeat(np.arange(len(sizes)), sizes)
    labels = np.concatenate([np.arange(size) % len(LABELS) for size in sizes])
    means = 2 * rng.standard_normal((len(LABELS), DIM))
    vectors = (means[labels] + noise * rng.standard_normal((len(labels), DIM))).astype(np.float32)
    ids = [f"u{row:03d}" for row in range(len(labels))]
    store = EmbeddingStore.open_or_create(folder / "store", EmbeddingSpec(encoder="made", dim=DIM))
    store.append(ids, vectors, [1.0] * len(ids), ids=ids)
    header = "id,label,speaker" + (",fold" if column else "")
    lines = [
        f"{name},{LABELS[label]},s{row % 12}" + (f",{fold}" if column else "")
        for row, (name, label, fold) in enumerate(zip(ids, labels, folds, strict=True))
    ]
    (folder / "labels.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return folder


def data_options(folder: Path) -> list[str]:
    return ["--data.manifest", str(folder / "labels.csv"), "--data.store", str(folder / "store")]
