"""A checkpoint file -> the plain data in it; nothing that a file asks for is executed, and its size is bounded."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from emoji_lightning.checkpoint.torch_file import (
    AGAIN,
    EXPECTED,
    describe_start,
    first_line,
    load_torch,
)
from emoji_lightning.errors import CheckpointError
from emoji_lightning.files import refuse_duplicate_keys

MAX_BYTES = 1 << 30
"""No head of this kind comes near it: 5 layers of 4096 units with AdamW's state are 0.7 GB."""
BUNDLE_NAME = "best_classifier.pt"
MAX_JSON_BYTES = 2 << 20
SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")
BESIDE = ("label2id.json", "config.json", "summary.json")
METADATA = "__metadata__"
MAX_DEPTH = 4
OF_TRAINING = re.compile(r"^init_from$|optim|sched|callback|loops|rng|grad_scaler", re.IGNORECASE)
Place = tuple[Any, ...]
"""Where a value stands in nested dicts: the keys that lead to it."""


@dataclass(frozen=True)
class Content:
    """What a checkpoint file holds.

    Attributes:
        file: The file itself, also where its folder was named.
        data: The outermost dict. Of a safetensors file: its tensors, and its text metadata (decoded where it is
            JSON) under "__metadata__".
        beside: `label2id.json`, `config.json` and `summary.json` of the same folder, as they exist.
        num_bytes: Size of the file.
        sha256: Digest of the file's bytes.
    """

    file: Path
    data: dict[Any, Any]
    beside: Mapping[str, dict[str, Any]]
    num_bytes: int
    sha256: str
    is_safetensors: bool = field(default=False)


def load_content(path: Path) -> Content:
    """Read a checkpoint file, or the one in a folder.

    Raises:
        CheckpointError: It is missing, damaged, too large, of another kind, or holds more than plain data; then the
            objects that it wants to build are named.
    """
    try:
        file = find_file(path)
        num_bytes = file.stat().st_size
        if num_bytes > MAX_BYTES:
            raise CheckpointError(
                f"{file}: {num_bytes:,} bytes; expected a head alone, at most {MAX_BYTES:,}; if it is the whole model, "
                "save the state_dict() of its head"
            )
        data, is_safetensors = _load(file)
        beside = {name: _read_json(file.with_name(name)) for name in BESIDE if file.with_name(name).is_file()}
        return Content(file, data, beside, num_bytes, _digest(file), is_safetensors)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({first_line(error)}); {EXPECTED}") from error


def _load(file: Path) -> tuple[dict[Any, Any], bool]:
    """Return the content, and whether it is that of a safetensors file."""
    with file.open("rb") as opened:
        start = opened.read(16)
    if start[:4] == b"PK\x03\x04":
        return load_torch(file), False
    if start[8:9] == b"{":
        return _load_safetensors(file), True
    raise CheckpointError(f"{file}: {describe_start(file, start)}")


def find_file(path: Path) -> Path:
    """Return the checkpoint file that a path means: itself, or the one in a folder.

    Raises:
        CheckpointError: There is none, or the folder holds several and none is called best_classifier.pt.
    """
    if not path.exists():
        raise CheckpointError(
            f"{path}: no such file; `emoji-lightning export` writes a checkpoint, give its path or its folder"
        )
    if not path.is_dir():
        if not path.is_file():
            raise CheckpointError(f"{path}: is no regular file; {EXPECTED}")
        return path
    if (path / BUNDLE_NAME).is_file():
        return path / BUNDLE_NAME
    found = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
    if len(found) != 1:
        named = ", ".join(file.name for file in found) or "none"
        raise CheckpointError(
            f"{path}: is a folder with {len(found)} checkpoints ({named}); expected {BUNDLE_NAME}, or just one file "
            f"with a name in {', '.join(SUFFIXES)}; name the file that is meant"
        )
    return found[0]


def _load_safetensors(file: Path) -> dict[Any, Any]:
    try:
        _check_header(file)
        with safe_open(file, framework="pt") as opened:
            data: dict[Any, Any] = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no dict
            metadata = opened.metadata() or {}
        return data | {METADATA: {name: decode_text(text) for name, text in metadata.items()}}
    except (SafetensorError, ValueError, RuntimeError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise CheckpointError(f"{file}: a damaged safetensors file ({first_line(error)}); {AGAIN}") from error


def _check_header(file: Path) -> None:
    """Raise ValueError for a header that is too long, or says one thing twice; of two values one would be lost."""
    with file.open("rb") as opened:
        header_bytes = int.from_bytes(opened.read(8), "little")
        if header_bytes > MAX_JSON_BYTES:
            raise ValueError(f"a header of {header_bytes:,} bytes, at most {MAX_JSON_BYTES:,} are read")
        header = json.loads(opened.read(header_bytes), object_pairs_hook=refuse_duplicate_keys)
    for name, text in (header.get(METADATA) or {}).items():
        if isinstance(text, str) and text[:1] == "{":
            _refuse_duplicates(name, text)


def _refuse_duplicates(name: str, text: str) -> None:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return  # no JSON: it stays text
    try:
        json.loads(text, object_pairs_hook=refuse_duplicate_keys)
    except ValueError as error:
        raise ValueError(f"{name} in its metadata: {error}") from None


def decode_text(text: str) -> object:
    """Return what a metadata text of safetensors says: JSON where it is a JSON dict, list or number."""
    try:
        decoded = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(decoded, str) else decoded


def _read_json(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > MAX_JSON_BYTES:
            raise ValueError(f"{file.stat().st_size:,} bytes, at most {MAX_JSON_BYTES:,} are read")
        content = json.loads(file.read_text(encoding="utf-8-sig"), object_pairs_hook=refuse_duplicate_keys)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: cannot be read as JSON in UTF-8 ({error}); write it anew") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file}: holds a {type(content).__name__}; expected a JSON object")
    return content


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def walk(data: Mapping[Any, Any]) -> Iterator[tuple[Place, Any]]:
    """Yield (place, value) of every entry of nested dicts, outer ones first, to a depth of 4.

    A dict is entered once: a file in which dicts hold each other cannot make this endless.
    """
    seen = {id(data)}
    level: list[tuple[Place, Mapping[Any, Any]]] = [((), data)]
    for _ in range(MAX_DEPTH):
        following: list[tuple[Place, Mapping[Any, Any]]] = []
        for place, mapping in level:
            for key, value in mapping.items():
                yield (*place, key), value
                if isinstance(value, dict) and id(value) not in seen:
                    seen.add(id(value))
                    following.append(((*place, key), value))
        level = following


def name_of(place: Place) -> str:
    """Return a place in words: its keys, with dots."""
    return ".".join(key[:200] if isinstance(key, str) else shorten(key) for key in place)


def leaf_of(place: Place) -> str:
    """Return the last key of a place in lower case; no text where it is none."""
    return place[-1].lower() if isinstance(place[-1], str) else ""


def shorten(value: object) -> str:
    """Return a value in words, cut short; values that hold themselves, or each other a million times, too."""
    text = _show(value, levels=3)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _show(value: object, *, levels: int) -> str:
    if isinstance(value, str | bytes | bytearray):
        return repr(value[:200])
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, int | float | complex | type(None)):
        return repr(value)
    if isinstance(value, dict | list | tuple | set) and levels:
        shown = [_show_entry(entry, value, levels - 1) for entry in islice(value, 20)] + ["..."] * (len(value) > 20)
        if isinstance(value, tuple):
            return f"({', '.join(shown)}{',' * (len(value) == 1)})"
        return f"[{', '.join(shown)}]" if isinstance(value, list) else f"{{{', '.join(shown)}}}"
    return f"tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"<{type(value).__name__}>"


def _show_entry(entry: object, container: Any, levels: int) -> str:
    shown = _show(entry, levels=levels)
    return f"{shown}: {_show(container[entry], levels=levels)}" if isinstance(container, dict) else shown


def is_of_training(place: Place) -> bool:
    """Tell whether an entry serves only to resume a training."""
    return any(isinstance(key, str) and OF_TRAINING.search(key) for key in place)
