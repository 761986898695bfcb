"""Rows as a reader meets them -> Arrow columns, a chunk at a time."""

import json
import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from emoji_lightning.errors import ManifestError

TIME_COLUMNS = ("start", "end")
TEXT_COLUMNS = ("audio", "label", "id", "split", "text", "source_id", "speaker", "system")
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
AUDIO_ALIASES = ("file_name", "audio_filepath", "path")

# Rows that are Python objects at one time: a million rows would otherwise take more than 1 GB.
CHUNK_ROWS = 10_000

Problem = tuple[int, str]
"""Line in the source and what is wrong there."""


@dataclass
class RawManifest:
    """What a reader found: rows under the source's own column names, and what could not be read.

    Known columns are text (`start`, `end` float64) already; other columns keep their type.
    """

    table: pa.Table = field(default_factory=lambda: pa.table({}))
    lines: "array[int]" = field(default_factory=lambda: array("q"))
    problems: list[Problem] = field(default_factory=list)


class TableBuilder:
    """Collects rows in chunks and turns each into Arrow at once."""

    def __init__(self) -> None:
        self.raw = RawManifest()
        self._chunks: list[pa.Table] = []

    def add(self, columns: Mapping[str, Sequence[object]], lines: Sequence[int]) -> None:
        """Append one chunk; `lines` has one entry per row."""
        arrays = {name: self._to_arrow(name, values, lines) for name, values in columns.items()}
        self._chunks.append(pa.table(arrays))
        self.raw.lines.extend(lines)

    def finish(self) -> RawManifest:
        """Join the chunks."""
        if self._chunks:
            self.raw.table = _concat(self._chunks)
        return self.raw

    def _to_arrow(self, name: str, values: Sequence[object], lines: Sequence[int]) -> pa.Array:
        if name in TIME_COLUMNS:
            return self._times(name, values, lines)
        known = name in TEXT_COLUMNS or name in AUDIO_ALIASES
        try:
            return pa.array(values, pa.string() if known else None)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError):
            return pa.array([self._text(name, *pair) for pair in zip(values, lines, strict=True)], pa.string())

    def _text(self, name: str, value: object, line: int) -> str | None:
        if isinstance(value, str) and not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            self.raw.problems.append((line, f"column {name!r} holds half a character ({value!a}); write it whole"))
            return ascii(value)
        if value is None or isinstance(value, str):
            return value
        known = name in TEXT_COLUMNS or name in AUDIO_ALIASES
        if known and isinstance(value, dict | list):
            self.raw.problems.append((line, f"column {name!r} holds a {type(value).__name__}; expected text"))
            return "?"
        return str(value) if known else json.dumps(value, ensure_ascii=False)

    def _times(self, name: str, values: Sequence[object], lines: Sequence[int]) -> pa.Array:
        seconds = _cast_seconds(values)
        if seconds is None:
            numbers = [None if value is None or value == "" else _seconds(value) for value in values]
            for value, number, line in zip(values, numbers, lines, strict=True):
                if number is not None and not (math.isfinite(number) and number >= 0):
                    self.raw.problems.append((line, f"{name} is {value!r}; expected seconds as a number from 0 on"))
            seconds = pa.array(numbers, pa.float64())
        return seconds


def _cast_seconds(values: Sequence[object]) -> pa.Array | None:
    """Return seconds (float64, null where empty), or None if a value has to be looked at: ten times faster so."""
    try:
        column = pa.array(values)
        if pa.types.is_string(column.type):
            column = pc.if_else(pc.equal(column, ""), None, column)
        if pa.types.is_boolean(column.type):
            return None
        seconds = column.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return None
    usable = pc.and_(pc.is_finite(seconds), pc.greater_equal(seconds, 0.0))
    return seconds if pc.all(usable, min_count=0).as_py() else None


def _seconds(value: object) -> float:
    try:
        return float(value) if isinstance(value, str | float | int) and not isinstance(value, bool) else math.nan
    except ValueError:
        return math.nan


def _concat(chunks: list[pa.Table]) -> pa.Table:
    try:
        return pa.concat_tables(chunks, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        # A free column that is a number here and text there is text everywhere.
        names = dict.fromkeys(name for chunk in chunks for name in chunk.column_names)
        mixed = [name for name in names if len({c[name].type for c in chunks if name in c.column_names}) > 1]
        return pa.concat_tables([_as_text(chunk, mixed) for chunk in chunks], promote_options="permissive")


def _as_text(table: pa.Table, names: Sequence[str]) -> pa.Table:
    for name in names:
        if name in table.column_names and not pa.types.is_string(table[name].type):
            values = (
                None if each is None else json.dumps(each, ensure_ascii=False) for each in table[name].to_pylist()
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
