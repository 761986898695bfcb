"""The bundle: read and written in one layout, documented at `Bundle`."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emoji_lightning.errors import CheckpointError
from emoji_lightning.files import write_whole
from emoji_lightning.labels import LabelSet
from emoji_lightning.model.head import plain_mlp

FORMAT_VERSION = 1
CHECKPOINT, LABELS, SUMMARY = "best_classifier.pt", "label2id.json", "summary.json"
CONFIG_KEYS = ("input_dim", "hidden_dim", "num_labels", "dropout", "encoder")
PREFIX = "net."


@dataclass(frozen=True)
class Bundle:
    """A plain MLP head with its labels: raw embeddings in, logits out.

    `best_classifier.pt` is a dict that `torch.load(..., weights_only=True)` reads: `model_state_dict` (`net.0.*`,
    `net.3.*`, `net.6.*`, float32; ReLU between the layers), `label2id`, `id2label` (int keys), `config` (`input_dim`,
    `hidden_dim`, `num_labels`, `dropout`, `encoder`) and `format_version`.

    Attributes:
        state_dict: The weights `0.* 3.* 6.*` of the plain MLP.
        label_set: Labels in the order of their ids.
        input_dim: Dimension D of an embedding.
        hidden_dim: Width of both hidden layers.
        dropout: The dropout of training; without effect when labels are predicted.
        encoder: Name of the encoder that made the embeddings.
        summary: Content of `summary.json`; empty where the file is absent.
    """

    state_dict: dict[str, Tensor]
    label_set: LabelSet
    input_dim: int
    hidden_dim: int
    dropout: float
    encoder: str
    summary: dict[str, Any] = field(default_factory=dict)

    def build_mlp(self) -> nn.Sequential:
        """Return the plain MLP in evaluation mode: embeddings (B, D) -> logits (B, K)."""
        mlp = plain_mlp(
            input_dim=self.input_dim,
            hidden_dim=self.hidden_dim,
            num_labels=len(self.label_set),
            dropout=self.dropout,
        )
        mlp.load_state_dict(self.state_dict, strict=True)
        return mlp.eval()

    def checkpoint(self) -> dict[str, Any]:
        """Return what `best_classifier.pt` holds."""
        return {
            "model_state_dict": {PREFIX + name: tensor for name, tensor in self.state_dict.items()},
            "label2id": self.label_set.label2id,
            "id2label": self.label_set.id2label,
            "config": {
                "input_dim": self.input_dim,
                "hidden_dim": self.hidden_dim,
                "num_labels": len(self.label_set),
                "dropout": self.dropout,
                "encoder": self.encoder,
            },
            "format_version": FORMAT_VERSION,
        }


def write_bundle(bundle: Bundle, folder: Path) -> None:
    """Write the three files of a bundle into a folder, each whole or not at all."""
    write_whole(folder / CHECKPOINT, lambda path: torch.save(bundle.checkpoint(), path))
    _write_json(folder / LABELS, bundle.label_set.label2id)
    _write_json(folder / SUMMARY, bundle.summary)


def _write_json(path: Path, content: object) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_bundle(path: Path) -> Bundle:
    """Read a bundle from its folder or its `best_classifier.pt`; `summary.json` beside it is read if it is there.

    Raises:
        CheckpointError: The file is missing, is not such a checkpoint, or its parts contradict each other.
    """
    file = path / CHECKPOINT if path.is_dir() else path
    checkpoint = _load(file)
    lacking = [key for key in ("model_state_dict", "label2id", "config") if not isinstance(checkpoint.get(key), dict)]
    if lacking:
        raise CheckpointError(
            f"{file}: no {', '.join(lacking)} in it, found {sorted(map(str, checkpoint))}; "
            "expected a best_classifier.pt written by `emoji-lightning export`"
        )
    config = checkpoint["config"]
    _check_contents(file, checkpoint)
    bundle = Bundle(
        state_dict={name.removeprefix(PREFIX): tensor for name, tensor in checkpoint["model_state_dict"].items()},
        label_set=LabelSet.from_content(checkpoint["label2id"], source=str(file)),
        input_dim=config["input_dim"],
        hidden_dim=config["hidden_dim"],
        dropout=config["dropout"],
        encoder=config["encoder"],
        summary=_read_summary(file.with_name(SUMMARY)),
    )
    _check_shapes(bundle, file, num_labels=config["num_labels"])
    return bundle


def _check_contents(file: Path, checkpoint: dict[str, Any]) -> None:
    version, config, tensors = checkpoint.get("format_version"), checkpoint["config"], checkpoint["model_state_dict"]
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CheckpointError(
            f"{file}: format_version is {version}, this program reads {FORMAT_VERSION}; install a newer"
        )
    absent = [key for key in CONFIG_KEYS if key not in config]
    if absent:
        raise CheckpointError(f"{file}: config lacks {absent}; export it again with `emoji-lightning export`")
    sizes_right = all(type(config[key]) is int and config[key] > 0 for key in ("input_dim", "hidden_dim", "num_labels"))
    dropout_right = isinstance(config["dropout"], int | float) and 0 <= config["dropout"] < 1
    if not (sizes_right and dropout_right and isinstance(config["encoder"], str)):
        raise CheckpointError(f"{file}: config is {config}; expected sizes above 0, dropout below 1, encoder as text")
    wrong = [name for name, tensor in tensors.items() if not (isinstance(name, str) and isinstance(tensor, Tensor))]
    wrong = wrong or [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if wrong:
        raise CheckpointError(f"{file}: {wrong[0]} in model_state_dict is no tensor of finite numbers; export it again")


def _load(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise CheckpointError(
            f"{file}: no such file; `emoji-lightning export` writes one, --checkpoint takes its path or its folder"
        )
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # what the unpickler makes of foreign bytes can be any
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{file}: torch.load(weights_only=True) cannot read it ({reason}); "
            "expected a best_classifier.pt written by `emoji-lightning export`"
        ) from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f"{file}: holds a {type(checkpoint).__name__}; expected the dict of a best_classifier.pt")
    return checkpoint


def _read_summary(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        summary = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{file}: not JSON ({error}); export the bundle again") from error
    embedding = summary.get("model", {}) if isinstance(summary, dict) else None
    if not isinstance(embedding, dict) or not isinstance(embedding.get("embedding", {}), dict):
        raise CheckpointError(f"{file}: not the summary of a bundle; export the bundle again")
    return dict(summary)


def _check_shapes(bundle: Bundle, file: Path, *, num_labels: int) -> None:
    if num_labels != len(bundle.label_set):
        raise CheckpointError(f"{file}: config.num_labels is {num_labels}, label2id has {len(bundle.label_set)} labels")
    with torch.device("meta"):
        expected = plain_mlp(
            input_dim=bundle.input_dim, hidden_dim=bundle.hidden_dim, num_labels=num_labels, dropout=0.0
        ).state_dict()
    for name in sorted(expected.keys() | bundle.state_dict.keys()):
        found = tuple(bundle.state_dict[name].shape) if name in bundle.state_dict else "nothing"
        wanted = tuple(expected[name].shape) if name in expected else "nothing"
        if found != wanted:
            raise CheckpointError(f"{file}: {PREFIX}{name} holds {found}, its config and labels say {wanted}")
