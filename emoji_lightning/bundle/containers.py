"""Changed copies of nested dicts, saved in the container that they came from."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file

from emoji_lightning.bundle.bundle import save_torch
from emoji_lightning.checkpoint.content import METADATA, Content, Place, decode_text
from emoji_lightning.files import write_json, write_whole


def put(data: Mapping[Any, Any], place: Place, value: Any) -> dict[Any, Any]:
    """Return a copy in which a value stands at a place; the order of keys and the kinds of dicts stay."""
    changed: dict[Any, Any] = copy.copy(data)  # type: ignore[arg-type]
    key, rest = place[0], place[1:]
    changed[key] = put(data[key], rest, value) if rest else value
    return changed


def remove(data: Mapping[Any, Any], place: Place) -> dict[Any, Any]:
    """Return a copy without the entry at a place."""
    changed: dict[Any, Any] = copy.copy(data)  # type: ignore[arg-type]
    key, rest = place[0], place[1:]
    if rest:
        changed[key] = remove(data[key], rest)
    else:
        del changed[key]
    return changed


def save_like(content: Content, data: dict[Any, Any], file: Path, beside: Mapping[str, dict[str, Any]]) -> None:
    """Save changed data in the container of a file, and the JSON files beside it.

    Args:
        content: The file whose container is taken.
        data: What is saved, laid out as `content.data`.
        file: The file to write.
        beside: File name -> content of the JSON files.
    """
    if content.is_safetensors:
        tensors = {name: tensor.contiguous() for name, tensor in data.items() if name != METADATA}
        metadata = _encode(content, data[METADATA])
        write_whole(file, lambda path: save_file(tensors, path, metadata=metadata or None))
    else:
        save_torch(data, file)
    for name, values in beside.items():
        _write_json_like(content, file.with_name(name), values)


def _write_json_like(content: Content, file: Path, values: dict[str, Any]) -> None:
    """Write a JSON file; one that did not change keeps the text that it had."""
    if values == content.beside.get(file.name):
        text = content.file.with_name(file.name).read_bytes()
        write_whole(file, lambda path: path.write_bytes(text))
    else:
        write_json(file, values)


def _encode(content: Content, metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return metadata as text; what did not change keeps the text that it had."""
    with safe_open(content.file, framework="pt") as opened:
        texts: dict[str, str] = opened.metadata() or {}
    return {
        name: texts[name] if decode_text(texts[name]) == value else _to_text(value) for name, value in metadata.items()
    }


def _to_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
