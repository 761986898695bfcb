"""JSONL -> rows, also with the keys of NeMo and EmoBox."""

import codecs
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from emoji_lightning.errors import ManifestError
from emoji_lightning.files import refuse_duplicate_keys
from emoji_lightning.manifest.columns import ColumnNames
from emoji_lightning.manifest.json_blocks import BlockParser
from emoji_lightning.manifest.json_keys import name_keys, take_offsets
from emoji_lightning.manifest.problems import Problem
from emoji_lightning.manifest.rows import CHUNK_ROWS, RawManifest, TableBuilder


def read_jsonl(path: Path, names: ColumnNames) -> RawManifest:
    """Read one JSON object a line; blank lines are passed over.

    EmoBox's `key`, `wav`, `emo` are `id`, `audio`, `label`; NeMo's `offset` and `duration` are `start` and `end`.

    Raises:
        ManifestError: The file is one JSON document over many lines.
        UnicodeDecodeError: It is not UTF-8.
    """
    builder = TableBuilder(names)
    parser = BlockParser()
    line = 1
    with path.open("rb") as file:
        for number, block in enumerate(_read_blocks(file)):
            text = block.decode().replace("\r\n", "\n").replace("\r", "\n")
            if number == 0:
                _check_lines(text, path)
            count = text.count("\n") + (not text.endswith("\n"))
            lines = range(line, line + count)
            table = parser.parse(text, count)
            if table is not None and not builder.raw.lines:
                builder.names = name_keys(names, table.column_names)
            if table is None or not builder.add_table(table, lines):
                _add_objects(text, line, builder)
            line += count
    return take_offsets(builder.finish())


def _read_blocks(file: IO[bytes]) -> Iterator[bytes]:
    if file.read(3) != codecs.BOM_UTF8:
        file.seek(0)
    while lines := list(itertools.islice(file, CHUNK_ROWS)):
        yield b"".join(lines)


def _check_lines(text: str, path: Path) -> None:
    """Refuse indented JSON, which is wrong in every line."""
    first = next((line for line in map(str.strip, text.split("\n")) if line), "")
    if first in ("[", "{"):
        cure = f"e.g. jq -c '.[]' {path.name} > {path.stem}.jsonl; of EmoBox take the .jsonl beside it"
        raise ManifestError(f"{path.name}: one JSON document over many lines; expected one object per line, {cure}")


def _add_objects(text: str, first_line: int, builder: TableBuilder) -> None:
    numbered = ((line, each.strip()) for line, each in enumerate(text.split("\n"), start=first_line))
    filled = [(line, each) for line, each in numbered if each]
    if not filled:
        return
    rows, lines = _parse_objects(filled, builder.raw.problems)
    columns = _to_columns(rows)
    if not columns:  # Arrow has no rows without columns
        builder.raw.problems += [(line, 'found an empty object; expected e.g. {"audio": "a.wav"}') for line in lines]
        return
    if not builder.raw.lines:
        builder.names = name_keys(builder.names, list(columns))
    builder.add(columns, lines)


def _parse_objects(
    chunk: Sequence[tuple[int, str]], problems: list[Problem]
) -> tuple[list[dict[str, object]], list[int]]:
    """Return the objects of many lines and their line numbers."""
    lines, texts = zip(*chunk, strict=True)
    if all(text[0] == "{" and text[-1] == "}" for text in texts):
        try:
            # One call for all is twice as fast as one per line; what is wrong is then looked for line by line.
            rows = json.loads(f"[{','.join(texts)}]", object_pairs_hook=refuse_duplicate_keys)
            if len(rows) == len(texts):
                return rows, list(lines)
        except (ValueError, RecursionError):
            pass
    found = [(line, row) for line, text in chunk if (row := _parse_object(text, line, problems)) is not None]
    return [row for _, row in found], [line for line, _ in found]


def _parse_object(text: str, line: int, problems: list[Problem]) -> dict[str, object] | None:
    try:
        row = json.loads(text, object_pairs_hook=refuse_duplicate_keys)
    except json.JSONDecodeError as error:
        problems.append((line, f"not JSON ({error.msg} at column {error.colno}); expected one object per line"))
        return None
    except (ValueError, RecursionError) as error:  # a key twice, a number of thousands of digits, endless brackets
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
