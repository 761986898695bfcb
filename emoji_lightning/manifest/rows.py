"""Rows as a reader meets them -> Arrow columns, a chunk at a time."""

import json
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest.columns import ColumnNames
from emoji_lightning.manifest.problems import Problem
from emoji_lightning.manifest.seconds import cast_seconds, to_seconds

TIME_COLUMNS = ("start", "end")
TEXT_COLUMNS = ("audio", "label", "id", "split", "text", "source_id", "speaker", "system")
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
AUDIO_ALIASES = ("file_name", "audio_filepath", "path", "file")

# Rows that are Python objects at one time: a million rows would otherwise take more than 1 GB.
CHUNK_ROWS = 10_000


@dataclass
class RawManifest:
    """What a reader found: rows under our column names where they were mapped, and what could not be read.

    Known columns are text (`start`, `end` float64) already; other columns keep their type.
    """

    table: pa.Table = field(default_factory=lambda: pa.table({}))
    lines: "array[int]" = field(default_factory=lambda: array("q"))
    problems: list[Problem] = field(default_factory=list)
    """Of the file that the lines are those of; line 0 is the whole of it."""
    source: Path | None = None
    """The file that the rows stand in, where it is not the one that was asked for."""
    files: Sequence[str] = ()
    """The file of each row, relative to the source, where the source is a folder with several."""
    beside: dict[str, list[Problem]] = field(default_factory=dict)
    """Problems of other files of the source, by their names."""
    names: ColumnNames | None = None
    """What the source's columns were called, where the reader itself knew names of them."""


class TableBuilder:
    """Collects rows in chunks and turns each into Arrow at once.

    Args:
        names: What the source calls our columns; may be replaced before the first chunk.
    """

    def __init__(self, names: ColumnNames) -> None:
        self.names = names
        self.raw = RawManifest()
        self._chunks: list[pa.Table] = []

    def add(self, columns: Mapping[str, Sequence[object]], lines: Sequence[int]) -> None:
        """Append one chunk of the source's columns; `lines` has one entry per row."""
        renamed = dict(zip(self.names.rename(list(columns)), columns.values(), strict=True))
        arrays = {name: self._to_arrow(name, values, lines) for name, values in renamed.items()}
        self._append(pa.table(arrays), lines)

    def add_table(self, table: pa.Table, lines: Sequence[int]) -> bool:
        """Append one chunk that is Arrow already, if it is then what `add` makes of the same values.

        Returns:
            Whether it was appended; if not, a value has to be looked at.
        """
        names = self.names.rename(table.column_names)
        fitted = [_fit(name, column) for name, column in zip(names, table.columns, strict=True)]
        columns = [column for column in fitted if column is not None]
        if len(columns) < len(fitted):
            return False
        self._append(pa.table(columns, names), lines)
        return True

    def finish(self) -> RawManifest:
        """Join the chunks."""
        if self._chunks:
            self.raw.table = concat(self._chunks)
        self.raw.names = self.names
        return self.raw

    def _append(self, table: pa.Table, lines: Sequence[int]) -> None:
        self._chunks.append(table)
        self.raw.lines.extend(lines)

    def _to_arrow(self, name: str, values: Sequence[object], lines: Sequence[int]) -> pa.Array:
        if name in TIME_COLUMNS:
            return to_seconds(name, values, lines, self.raw.problems)
        try:
            return pa.array(values, pa.string() if is_text(name) else None)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError):
            return pa.array([self._text(name, *pair) for pair in zip(values, lines, strict=True)], pa.string())

    def _text(self, name: str, value: object, line: int) -> str | None:
        if isinstance(value, str) and not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            self.raw.problems.append((line, f"column {name!r} holds half a character ({value!a}); write it whole"))
            return ascii(value)
        if value is None or isinstance(value, str):
            return value
        if is_text(name) and isinstance(value, dict | list):
            self.raw.problems.append((line, f"column {name!r} holds a {type(value).__name__}; expected text"))
            return "?"
        return str(value) if is_text(name) else json.dumps(value, ensure_ascii=False)


def is_text(name: str) -> bool:
    """Tell whether a column of this name is always text."""
    return name in TEXT_COLUMNS or name in AUDIO_ALIASES


def _fit(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return a column as `TableBuilder.add` makes it, or None where that is not certain."""
    kind = column.type
    if name in TIME_COLUMNS:
        return cast_seconds(column)
    if pa.types.is_string(kind):
        return column
    if is_text(name):
        return column.cast(pa.string()) if pa.types.is_null(kind) or pa.types.is_int64(kind) else None
    return None if pa.types.is_nested(kind) else column


def concat(chunks: Sequence[pa.Table]) -> pa.Table:
    """Put tables one below the other; a free column that is a number here and text there is text everywhere."""
    try:
        return pa.concat_tables(chunks, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        names = dict.fromkeys(name for chunk in chunks for name in chunk.column_names)
        mixed = [name for name in names if len({c[name].type for c in chunks if name in c.column_names}) > 1]
        return pa.concat_tables([_as_text(chunk, mixed) for chunk in chunks], promote_options="permissive")


def _as_text(table: pa.Table, names: Sequence[str]) -> pa.Table:
    for name in names:
        if name in table.column_names and not pa.types.is_string(table[name].type):
            values = (
                None if each is None else json.dumps(each, ensure_ascii=False, default=str)
                for each in table[name].to_pylist()
            )
            table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.string()))
    return table


def check_names(names: Sequence[str], path: Path) -> None:
    """Refuse a table in which a column name stands twice.

    Raises:
        ManifestError: Names the column and both places.
    """
    for position, name in enumerate(names):
        if name in names[:position]:
            first = names.index(name) + 1
            raise ManifestError(f"{path.name}: column {name!r} stands twice ({first} and {position + 1}); rename one")
