"""The table of utterances: look at, select, write."""

import difflib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from emoji_lightning.errors import LabelError, ManifestError, join_problems
from emoji_lightning.files import write_whole
from emoji_lightning.label_map import LabelMap
from emoji_lightning.labels import NONE, LabelSet, normalize_label
from emoji_lightning.manifest.audio_places import record_path
from emoji_lightning.manifest.rows import AUDIO_ALIASES, TEXT_COLUMNS, TIME_COLUMNS
from emoji_lightning.manifest.writers import check_suffix, write_table

Found = TypeVar("Found")


@dataclass(frozen=True, eq=False)
class Manifest:
    """One row per utterance, N rows; made by `read_manifest`.

    Args:
        source: The file or folder it was read from.
        table: Canonical columns `audio label id split text source_id speaker system` as text, `start` and `end` as
            float64 in s, then whatever else the source holds.
        lines: 1-based line of each row in the source; in Parquet files and folders the number of the row.
        root: Folder that `audio` is relative to and below.
        files: The file of each row, relative to the source, where the source is a folder with several; else empty.
    """

    source: Path
    table: pa.Table
    lines: Sequence[int] = field(repr=False)
    root: Path
    files: Sequence[str] = field(default=(), repr=False)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def has(self, name: str) -> bool:
        """Tell whether a column exists."""
        return name in self.table.column_names

    def column(self, name: str) -> list[Any]:
        """Return a column as Python values: text, for `start` and `end` float (s) or None, else what it holds.

        Raises:
            ManifestError: There is no such column; the message lists those found.
        """
        self.require(name)
        values: list[Any] = self.table[name].to_pylist()
        return values

    def seconds(self, name: str) -> list[float | None]:
        """Return `start` or `end` in s, None where it is not given or the column does not exist."""
        if not self.has(name):
            return [None] * len(self)
        values: list[float | None] = self.table[name].to_pylist()
        return values

    def where(self, row: int) -> str:
        """Return the place of a row for messages: `labels.csv:14`."""
        return f"{self.files[row] if self.files else self.source.name}:{self.lines[row]}"

    def name_line(self, row: int) -> str:
        """Return the place of a row for messages about another one: `line 14`, or `a.csv:14` of several files."""
        return self.where(row) if self.files else f"line {self.lines[row]}"

    def require(self, *names: str) -> None:
        """Refuse a manifest that lacks columns.

        Raises:
            ManifestError: Names the missing columns, those found, and the one that was probably meant.
        """
        missing = [name for name in names if not self.has(name)]
        if missing:
            raise ManifestError("\n".join(self._describe_missing(name) for name in missing))

    @property
    def ids(self) -> list[str]:
        """The id of each row: column `id`, or the audio path (with `#start-end` for a segment) where it is absent."""
        values: list[str] = row_ids(self.table).to_pylist()
        return values

    @property
    def id_texts(self) -> "ArrowTexts":
        """The same as a sequence that makes Python strings only of the rows that are asked for."""
        return ArrowTexts(row_ids(self.table))

    def audio_path(self, row: int) -> Path:
        """Return the audio file of one row.

        Raises:
            ManifestError: The manifest has no column `audio`.
        """
        self.require("audio")
        return self.root / str(self.table["audio"][row])

    def audio_paths(self) -> list[Path]:
        """Return the audio file of each row, N paths.

        Raises:
            ManifestError: The manifest has no column `audio`.
        """
        return [self.root / audio for audio in self.column("audio")]

    def encode_labels(self, label_set: LabelSet) -> NDArray[np.int64]:
        """Turn the column `label` into ids of a label set.

        Returns:
            Ids, shape (N,).

        Raises:
            ManifestError: The manifest has no column `label`.
            LabelError: Labels are unknown; each stands in the message with all its lines.
        """
        texts, codes = self._distinct_labels()
        cure = "for another label set give its label2id.json: --data.labels, --labels of `split`"
        ids = np.array(self._look_up(texts, codes, label_set.index, cure=cure), dtype=np.int64)
        encoded_ids: NDArray[np.int64] = ids[codes]
        return encoded_ids

    def _distinct_labels(self) -> tuple[list[str], NDArray[np.int32]]:
        """Return the D spellings of labels, and the one of each row, shape (N,)."""
        self.require("label")
        encoded = self.table["label"].combine_chunks().dictionary_encode()
        return encoded.dictionary.to_pylist(), np.asarray(encoded.indices)

    def _look_up(
        self, texts: Sequence[str], codes: NDArray[np.int32], find: Callable[[str], Found], *, cure: str = ""
    ) -> list[Found]:
        """Return what is found of each spelling; all that fail together, each with its lines."""
        found: list[Found] = []
        problems: list[str] = []
        for code, text in enumerate(texts):
            try:
                found.append(find(text))
            except LabelError as error:
                first, *others = np.flatnonzero(codes == code).tolist()
                problems.append(f"{self.where(first)}: {error}{self._list_lines(others)}")
        if problems:
            raise LabelError("\n".join([join_problems(problems), *([cure] if cure else [])]))
        return found

    def infer_labels(self) -> LabelSet:
        """Return the card's 11 labels if any emoji of them is here, else the sorted labels found here.

        Raises:
            ManifestError: The manifest has no column `label`.
            LabelError: It holds fewer than two labels.
        """
        self.require("label")
        card = LabelSet.card()
        labels = {normalize_label(text) for text in pc.unique(self.table["label"]).to_pylist()}
        for label in labels - {NONE}:  # which class names may stand beside, too
            try:
                card.index(label)
            except LabelError:
                continue
            return card
        try:
            return LabelSet(tuple(sorted(labels)))
        except LabelError as error:
            raise LabelError(f"{self.source.name}: {error}") from None

    def map_labels(self, label_map: LabelMap) -> "Manifest":
        """Return the manifest with the labels that a map gives; utterances that it leaves out are gone.

        Raises:
            ManifestError: There is no column `label`, or the map leaves out every utterance.
            LabelError: Labels are not in the map; each stands in the message with all its lines.
        """
        texts, codes = self._distinct_labels()
        mapped = self._look_up(texts, codes, label_map.find)
        kept = np.flatnonzero(np.array([label is not None for label in mapped])[codes])
        if not len(kept):
            raise ManifestError(
                f"{self.source.name}: {label_map.source} leaves out every utterance; map one to a label"
            )
        labelled = self.with_column("label", [mapped[code] or "" for code in codes.tolist()])
        return labelled if len(kept) == len(self) else labelled.select(kept)

    def select(self, rows: Sequence[int] | NDArray[np.int64]) -> "Manifest":
        """Return the manifest of some rows, in the order given."""
        indices = np.asarray(rows, dtype=np.int64)
        table = self.table.take(pa.array(indices))
        lines = [self.lines[row] for row in indices.tolist()]
        files = [self.files[row] for row in indices.tolist()] if self.files else ()
        return replace(self, table=table, lines=lines, files=files)

    def slice(self, start: int, num_rows: int) -> "Manifest":
        """Return the manifest of at most this many rows in a row, without a copy of them."""
        rows = slice(start, start + num_rows)
        return replace(self, table=self.table.slice(start, num_rows), lines=self.lines[rows], files=self.files[rows])

    def with_column(self, name: str, values: Sequence[object] | pa.ChunkedArray) -> "Manifest":
        """Return the manifest with one column added or replaced; N values."""
        kind = pa.string() if name in TEXT_COLUMNS else pa.float64() if name in TIME_COLUMNS else None
        column = values if isinstance(values, pa.ChunkedArray) else pa.array(values, kind)
        if self.has(name):
            return replace(self, table=self.table.set_column(self.table.column_names.index(name), name, column))
        return replace(self, table=self.table.append_column(name, column))

    def without_column(self, name: str) -> "Manifest":
        """Return the manifest without a column, if it has it."""
        return replace(self, table=self.table.drop_columns([name])) if self.has(name) else self

    def write(self, path: str | Path, *, record: Mapping[str, object] | None = None) -> None:
        """Write the manifest, whole or not at all, and its record `PATH.json` beside it.

        Audio paths become relative to the new file's folder, with `..` where the audio does not lie below it. The
        record names the audio root, so that `read_manifest` follows these `..` without `--audio-root`.

        Args:
            path: New file; the suffix (`.csv .tsv .jsonl .parquet`) is the format. Its folder is made.
            record: What else the record is to hold; JSON types.

        Raises:
            ManifestError: The suffix is unknown.
        """
        path = Path(path)
        check_suffix(path)
        prefix = Path(os.path.relpath(self.root.resolve(), path.parent.resolve())).as_posix()
        table = self.table
        if self.has("audio") and prefix != ".":
            audio = pc.binary_join_element_wise(pa.scalar(prefix), table["audio"], pa.scalar("/"))
            table = table.set_column(table.column_names.index("audio"), "audio", audio)
        content = json.dumps({"audio_root": prefix, **(record or {})}, ensure_ascii=False, indent=2)
        # The record first: a table with `..` in it must never stand without one.
        write_whole(record_path(path), lambda target: target.write_text(content + "\n", encoding="utf-8"))
        write_table(table, path)

    def _describe_missing(self, name: str) -> str:
        wanted = (name, *AUDIO_ALIASES) if name == "audio" else (name,)
        near = [each for want in wanted for each in difflib.get_close_matches(want, self.table.column_names, n=1)]
        cure = (
            f"rename {near[0]!r} to {name!r}, or give --column {name}={near[0]}"
            if near
            else f"add {name!r} or rename the column that holds it, or give --column {name}=ITS_NAME"
        )
        return f"{self.source.name}: no column {name!r}; found columns {self.table.column_names}; {cure}"

    def _list_lines(self, rows: Sequence[int]) -> str:
        shown = ", ".join(self.where(row) if self.files else str(self.lines[row]) for row in rows[:10])
        more = f" and {len(rows) - 10} more" if len(rows) > 10 else ""
        return f" (also lines {shown}{more})" if rows else ""


class ArrowTexts(Sequence[str]):
    """Texts held by Arrow: three million Python strings would take 300 MB.

    Args:
        texts: (N,) text.
    """

    def __init__(self, texts: pa.ChunkedArray) -> None:
        self._texts = texts.combine_chunks() if texts.num_chunks > 1 else texts

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        found: str | Sequence[str] = (
            self._texts[index].to_pylist() if isinstance(index, slice) else self._texts[index].as_py()
        )
        return found


def row_ids(table: pa.Table) -> pa.ChunkedArray:
    """Return the id of each row, shape (N,): column `id`, or the audio path with the segment's times."""
    if "id" in table.column_names:
        return table["id"]
    ids = table["audio"]
    if not {"start", "end"} & set(table.column_names):
        return ids
    nothing = pa.nulls(table.num_rows, pa.float64())
    columns = [table[name] if name in table.column_names else nothing for name in TIME_COLUMNS]
    start, end = (pc.fill_null(pc.cast(column, pa.string()), "") for column in columns)
    segment = pc.binary_join_element_wise(ids, pa.scalar("#"), start, pa.scalar("-"), end, pa.scalar(""))
    whole = pc.and_(pc.equal(start, ""), pc.equal(end, ""))
    return pc.if_else(whole, ids, segment)
