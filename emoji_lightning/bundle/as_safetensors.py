"""A head in the layout of a torch file, kept as safetensors: its tensors, and all else as JSON in the metadata."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from emoji_lightning.bundle.containers import remove
from emoji_lightning.checkpoint.content import is_of_training
from emoji_lightning.checkpoint.stored_head import Source, StoredHead, read_head
from emoji_lightning.checkpoint.tensors import MAX_NUMBERS
from emoji_lightning.errors import CheckpointError
from emoji_lightning.files import write_whole

MAX_PIECES = 1 << 17
"""Of JSON: numbers, texts, brackets and commas; with more of them the metadata would be longer than is read."""
NONE = torch.empty(0)


def save_safetensors(data: dict[Any, Any], source: Source, file: Path, *, expected: StoredHead) -> None:
    """Save the tensors of a state dict as safetensors, and what stands around it as JSON in the metadata.

    What serves only to resume a training, and what JSON cannot hold in 131,072 pieces, stays out.

    Args:
        data: Nested dicts, laid out as those of `source`.
        source: The file whose layout they have.
        file: The file to write.
        expected: The head in `data`.

    Raises:
        CheckpointError: The written file reads otherwise, for it keeps no order of tensors; names the part. Then
            `file` stays as it was.
    """
    state = data
    for key in source.state:
        state = state[key]
    # copies, because safetensors refuses tensors that share their bytes
    tensors = {
        name: tensor.detach().clone(memory_format=torch.contiguous_format)
        for name, tensor in state.items()
        if isinstance(name, str) and isinstance(tensor, Tensor) and tensor.numel() <= MAX_NUMBERS
    }
    outer = remove(data, source.state) if source.state else {key: data[key] for key in data if key not in tensors}
    texts = {str(key): _to_json(value) for key, value in outer.items() if not is_of_training((key,))}
    metadata = {"format": "pt"} | {key: text for key, text in texts.items() if text is not None}

    def save(path: Path) -> None:
        save_file(tensors, path, metadata=metadata)
        _check(path, source, expected)

    write_whole(file, save)


def _to_json(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    encoder = json.JSONEncoder(ensure_ascii=False, default=_to_list)
    try:  # in pieces: lists that hold one list a million times are small in the file that they come from
        pieces = list(islice(encoder.iterencode(value), MAX_PIECES + 1))
    except (TypeError, ValueError, RecursionError):
        return None
    return "".join(pieces) if len(pieces) <= MAX_PIECES else None


def _to_list(value: Any) -> Any:
    if not isinstance(value, Tensor) or value.numel() > MAX_PIECES:
        raise TypeError(type(value))
    return (value[0] if value.ndim == 2 and len(value) == 1 else value).tolist()  # (1, D) is a vector of scikit-learn


def _check(written: Path, source: Source, expected: StoredHead) -> None:
    try:
        problem = _difference(expected, read_head(written))
    except CheckpointError as error:
        problem = str(error).removeprefix(f"{written}: ")
    if problem:
        raise CheckpointError(
            f"{source.content.file}: its head cannot be kept as safetensors ({problem}); leave --format out"
        )


def _difference(expected: StoredHead, found: StoredHead) -> str:
    for part in ("architecture", "label_set", "encoder", "weights_sha256", "dropout", "temperature"):
        if getattr(found, part) != getattr(expected, part):
            return f"its {part} reads {getattr(found, part)!r} in place of {getattr(expected, part)!r}"
    ours, theirs = _tensors_of(expected), _tensors_of(found)
    changed = [name for name in ours.keys() | theirs if not torch.equal(ours.get(name, NONE), theirs.get(name, NONE))]
    return f"its {sorted(changed)[0]} reads otherwise" if changed else ""


def _tensors_of(head: StoredHead) -> dict[str, Tensor]:
    stored = head.standardization
    return head.state_dict | ({} if stored is None else {"mean": stored.mean, "scale": stored.scale})
