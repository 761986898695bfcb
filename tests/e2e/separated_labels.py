"""A corpus of well separated labels, old ones and new ones, and the options that name it."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emoji_lightning.cli.configs import CONFIGS
from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.embedding.store import EmbeddingStore

DIM = 16
OLD, NEW = ["<none>", "😭", "joy"], ["🔥", "👍"]
FINETUNE = CONFIGS / "experiment" / "finetune.yaml"
QUIET = ["--trainer.enable_progress_bar", "false"]


def write_corpus(folder: Path, labels: Sequence[str], num: int, *, seed: int, encoder: str = "made") -> list[str]:
    """Well separated labels, each around a mean of its own; return the options that name the corpus."""
    names = [*OLD, *NEW]
    means = 3 * np.random.default_rng(0).standard_normal((len(names), DIM))
    rng = np.random.default_rng(seed)
    rows = [(split, label) for split in ("train", "dev", "test") for label in labels for _ in range(num)]
    vectors = np.stack([means[names.index(label)] for _, label in rows]) + rng.standard_normal((len(rows), DIM))
    ids = [f"u{seed}-{row}" for row in range(len(rows))]
    store = EmbeddingStore.open_or_create(folder / "store", EmbeddingSpec(encoder=encoder, dim=DIM))
    store.append(ids, vectors.astype(np.float32), [1.0] * len(ids), ids=ids)
    lines = [f"{name},{label},{split}\n" for name, (split, label) in zip(ids, rows, strict=True)]
    (folder / "labels.csv").write_text("id,label,split\n" + "".join(lines), encoding="utf-8")
    return ["--data.manifest", str(folder / "labels.csv"), "--data.store", str(folder / "store")]


def listed(labels: Sequence[str]) -> str:
    """The labels as a user types them: ["<none>","joy"]."""
    return json.dumps(labels, ensure_ascii=False)


def root(folder: Path) -> list[str]:
    return ["--trainer.default_root_dir", str(folder), *QUIET]
