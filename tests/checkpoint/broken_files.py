"""Checkpoints with one thing wrong, for the tests of what is refused."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from layout_parts import DIMS, LABELS, label2id
from their_modules import FullyConnected, randomize, sequential
from torch import Tensor

NAME = "head.pt"
Write = Callable[[Path], Path]


def good() -> dict[str, Any]:
    """A checkpoint with nothing wrong."""
    state = randomize(sequential(DIMS), 2).state_dict()
    return {"state_dict": {f"net.{name}": tensor for name, tensor in state.items()}, "label2id": label2id()}


def saved(content: object, name: str = NAME) -> Write:
    def write(folder: Path) -> Path:
        torch.save(content, folder / name)
        return folder / name

    return write


def changed(change: Callable[[dict[str, Any]], object]) -> Write:
    """Write a good checkpoint with a change."""

    def write(folder: Path) -> Path:
        content = good()
        change(content)
        return saved(content)(folder)

    return write


def weights(change: Callable[[dict[str, Tensor]], object]) -> Write:
    """Write a good checkpoint with a change of its state dict."""
    return changed(lambda content: change(content["state_dict"]))


def having(**more: Any) -> Write:
    """Write a good checkpoint with more in it."""
    return changed(lambda content: content.update(more))


def state_dict(*names_and_shapes: tuple[str, tuple[int, ...]], **more: Any) -> Write:
    """Write a state dict of random tensors with these names."""
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.randn(shape, generator=generator) for name, shape in names_and_shapes}
    return saved({"state_dict": state, "labels": list(LABELS)} | more)


def beside(name: str, text: str, write: Write | None = None) -> Write:
    """Write a good checkpoint and a file beside it."""
    return beside_bytes(name, text.encode(), write)


def beside_bytes(name: str, content: bytes, write: Write | None = None) -> Write:
    def write_both(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return (write or saved(good()))(folder)

    return write_both


def raw(content: bytes, name: str = NAME) -> Write:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def archived(
    change: Callable[[bytes], bytes] = lambda pickle: pickle,
    *,
    content: object = None,
    more: Mapping[str, bytes] = MappingProxyType({}),
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    """Return a checkpoint's zip file with its pickle changed and entries added, checksums right."""
    buffer, again = io.BytesIO(), io.BytesIO()
    torch.save(good() if content is None else content, buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(again, "w", compression) as target:
        for entry in source.infolist():
            stored = source.read(entry)
            target.writestr(entry.filename, change(stored) if entry.filename.endswith("data.pkl") else stored)
        for name, added in more.items():
            target.writestr(name, added)
    return again.getvalue()


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def fc_state() -> dict[str, Tensor]:
    return randomize(FullyConnected(DIMS), 2).state_dict()
