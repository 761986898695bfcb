"""Reading and spoiling a model folder."""

from pathlib import Path
from typing import Any

import torch

from emoji_lightning.embedding.encoder import load_encoder

WEIGHTS = "emotion2vec_base.pt"


def load(folder: Path) -> Any:
    return load_encoder(str(folder), device="cpu")


def read_weights(folder: Path) -> dict[str, Any]:
    weights: dict[str, Any] = torch.load(folder / WEIGHTS, weights_only=True)["model"]
    return weights


def write_weights(folder: Path, weights: dict[str, Any]) -> None:
    torch.save({"model": weights}, folder / WEIGHTS)


def edit_config(folder: Path, old: str, new: str) -> None:
    text = (folder / "config.yaml").read_text(encoding="utf-8")
    assert old in text
    (folder / "config.yaml").write_text(text.replace(old, new), encoding="utf-8")
