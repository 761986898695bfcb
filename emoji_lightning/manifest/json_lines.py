"""JSONL -> rows."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from emoji_lightning.manifest.rows import CHUNK_ROWS, Problem, RawManifest, TableBuilder


def read_jsonl(path: Path) -> RawManifest:
    """Read one JSON object a line; blank lines are passed over.

    Raises:
        UnicodeDecodeError: It is not UTF-8.
    """
    builder = TableBuilder()
    with path.open(encoding="utf-8-sig") as file:
        numbered = ((line, text.strip()) for line, text in enumerate(file, start=1))
        filled = ((line, text) for line, text in numbered if text)
        while chunk := list(itertools.islice(filled, CHUNK_ROWS)):
            rows, lines = _parse_objects(chunk, builder.raw.problems)
            builder.add(_to_columns(rows), lines)
    return builder.finish()


def _parse_objects(
    chunk: Sequence[tuple[int, str]], problems: list[Problem]
) -> tuple[list[dict[str, object]], list[int]]:
    """Return the objects of many lines and their line numbers."""
    lines, texts = zip(*chunk, strict=True)
    if all(text[0] == "{" and text[-1] == "}" for text in texts):
        try:
            # One call for all is twice as fast as one per line; what is wrong is then looked for line by line.
            rows = json.loads(f"[{','.join(texts)}]")
            if len(rows) == len(texts):
                return rows, list(lines)
        except (ValueError, RecursionError):
            pass
    found = [(line, row) for line, text in chunk if (row := _parse_object(text, line, problems)) is not None]
    return [row for _, row in found], [line for line, _ in found]


def _parse_object(text: str, line: int, problems: list[Problem]) -> dict[str, object] | None:
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        problems.append((line, f"not JSON ({error.msg} at column {error.colno}); expected one object per line"))
        return None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets nested without end
        problems.append((line, f"not JSON that can be read ({error}); expected one object per line"))
        return None
    if isinstance(row, dict):
        return row
    problems.append((line, f'found a {type(row).__name__}; expected an object such as {{"audio": "a.wav"}}'))
    return None


def _to_columns(rows: Sequence[Mapping[str, object]]) -> dict[str, Sequence[object]]:
    shapes = dict.fromkeys(map(tuple, rows))
    names = list(dict.fromkeys(name for shape in shapes for name in shape))
    if len(shapes) == 1:
        return dict(zip(names, zip(*(row.values() for row in rows), strict=True), strict=True))
    return {name: [row.get(name) for row in rows] for name in names}
