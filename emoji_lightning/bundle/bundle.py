"""The bundle: three files in one layout, documented at `write_bundle`."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from emoji_lightning.checkpoint.content import BUNDLE_NAME
from emoji_lightning.checkpoint.folding import fold
from emoji_lightning.checkpoint.stored_head import FORMAT_VERSION, StoredHead
from emoji_lightning.errors import CheckpointError
from emoji_lightning.files import write_json, write_whole

LABELS, SUMMARY, SAFETENSORS = "label2id.json", "summary.json", "best_classifier.safetensors"
WEIGHTS, PREFIX = "model_state_dict", "net."


def write_bundle(head: StoredHead, folder: Path, *, safetensors: bool = False) -> None:
    """Write `best_classifier.pt`, `label2id.json` and `summary.json` into a folder, each whole or not at all.

    `best_classifier.pt` is a dict that `torch.load(..., weights_only=True)` reads: `model_state_dict` (`net.0.*`,
    `net.3.*`, `net.6.*`, float32; ReLU between the layers), `label2id`, `id2label` (int keys), `config` (`input_dim`,
    `hidden_dim`, `num_labels`, `dropout`, `encoder`) and `format_version`.

    Args:
        head: A plain 3-layer MLP; its standardisation and temperature are folded into the layers.
        folder: Where the files go.
        safetensors: Whether `best_classifier.safetensors`, the same weights with all else as metadata (JSON), is
            written beside.

    Raises:
        CheckpointError: The head has another shape, which this layout cannot hold.
    """
    content = checkpoint_of(head)
    save_torch(content, folder / BUNDLE_NAME)
    if safetensors:
        write_safetensors(head, folder)
    write_json(folder / LABELS, head.label_set.label2id)
    write_summary(head, folder)


def write_summary(head: StoredHead, folder: Path) -> None:
    """Write `summary.json`."""
    write_json(folder / SUMMARY, head.summary)


def write_safetensors(head: StoredHead, folder: Path) -> None:
    """Write `best_classifier.safetensors`: the tensors of `best_classifier.pt`, all else as JSON in its metadata."""
    content = checkpoint_of(head)
    metadata = {key: json.dumps(value, ensure_ascii=False) for key, value in content.items() if key != WEIGHTS}
    metadata |= {"format": "pt", "activation": head.architecture.activation}
    write_whole(folder / SAFETENSORS, lambda path: save_file(content[WEIGHTS], path, metadata=metadata))


def checkpoint_of(head: StoredHead) -> dict[str, Any]:
    """Return what `best_classifier.pt` holds."""
    head = fold(head)
    if not head.architecture.is_plain:
        raise CheckpointError(
            f"the head is {head.architecture.describe()}; best_classifier.pt holds a plain MLP of three ReLU layers. "
            "Give --like FILE, the checkpoint whose shape this head has"
        )
    return {
        WEIGHTS: {PREFIX + name: tensor for name, tensor in head.state_dict.items()},
        "label2id": head.label_set.label2id,
        "id2label": head.label_set.id2label,
        "config": {
            "input_dim": head.architecture.input_dim,
            "hidden_dim": head.architecture.hidden_dims[0],
            "num_labels": len(head.label_set),
            "dropout": head.dropout,
            "encoder": head.encoder,
        },
        "format_version": FORMAT_VERSION,
    }


def save_torch(content: dict[Any, Any], file: Path) -> None:
    """Save by `torch.save`, whole or not at all, and to the same bytes every time: it writes a file's name into it."""

    def save(path: Path) -> None:
        with path.open("wb") as opened:
            torch.save(content, opened)

    write_whole(file, save)
