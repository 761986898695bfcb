"""Files appear whole or not at all, and JSON is read whole or not at all."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import time
from typing import Any
from uuid import uuid4

_TEMPORARY = ".tmp"
_ABANDONED_S = 3600.0


def write_whole(path: Path, write: Callable[[Path], object], *, keep: bool = False) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place in one step.

    Args:
        path: The file to appear; its folder is made.
        write: Called with the temporary path. If it raises, `path` stays as it was.
        keep: Whether a file that is there stays, also if another run makes it at this moment.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}{_TEMPORARY}")
    try:
        write(temporary)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        if not keep:
            temporary.replace(path)
            return
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
        except OSError:  # a file system without hard links: here two runs that begin at once may not see each other
            if not path.exists():
                temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write readable JSON, whole or not at all."""
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def sweep(folder: Path) -> None:
    """Remove the temporary files of killed runs from a folder: those that nobody has written to for an hour."""
    for file in folder.glob(f".*{_TEMPORARY}"):
        with suppress(OSError):  # another run may sweep, too
            if time() - file.stat().st_mtime > _ABANDONED_S:
                file.unlink()


def refuse_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of a JSON object; to be the `object_pairs_hook` of `json.loads`, which would keep the last value.

    Args:
        pairs: Keys and values of the object as they stand.

    Raises:
        ValueError: A key stands twice; names it.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in found if keys.count(key) > 1)!r} stands twice; rename or drop one")
    return found
