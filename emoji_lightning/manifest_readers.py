"""Files of any manifest format -> one Arrow table, with the line that each row came from."""

import codecs
import csv
import itertools
import json
import re
from _csv import Reader
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest_rows import (
    AUDIO_ALIASES,
    TEXT_COLUMNS,
    TIME_COLUMNS,
    Problem,
    RawManifest,
    TableBuilder,
)

# Also what cannot be decoded: such a file in a folder is reported, not passed over.
AUDIO_SUFFIXES = frozenset(
    [
        ".wav",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".aif",
        ".aiff",
        ".au",
        ".caf",
        ".w64",
        ".m4a",
        ".mp4",
        ".aac",
        ".wma",
    ]
)
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
READ_SUFFIXES = (*SUFFIXES, ".emo")
"""`.emo` is read, not written: it has no room for a split."""

# Rows that are Python objects at one time: a million rows would otherwise take more than 1 GB.
_CHUNK_ROWS = 10_000


def read_rows(path: Path) -> RawManifest:
    """Read a manifest in any format.

    Args:
        path: CSV, TSV, JSONL or Parquet file, emotion2vec's `.emo` (a line `id label` per utterance, no header), or a
            folder (`metadata.*` inside, or one sub-folder per label).

    Raises:
        ManifestError: The file does not exist, has an unknown suffix, or is not in its format or UTF-8.
    """
    if path.is_dir():
        return _read_label_folders(path)
    if not path.is_file():
        expected = f"a manifest ({', '.join(READ_SUFFIXES)}) or a folder"
        raise ManifestError(f"{path}: no such file or folder; expected {expected}")
    readers = (_read_csv, _read_csv, _read_jsonl, _read_parquet, _read_emo)
    reader = dict(zip(READ_SUFFIXES, readers, strict=True)).get(path.suffix.lower())
    if reader is None:
        raise ManifestError(f"{path.name}: unknown format {path.suffix!r}; expected one of {', '.join(READ_SUFFIXES)}")
    try:
        return reader(path)
    except UnicodeDecodeError:
        raise ManifestError(_describe_encoding(path)) from None


def find_metadata(folder: Path) -> Path | None:
    """Return the `metadata.*` file of an AudioFolder, if there is one."""
    return next((path for suffix in SUFFIXES if (path := folder / f"metadata{suffix}").is_file()), None)


def _read_csv(path: Path) -> RawManifest:
    # The csv module and not pyarrow.csv: only it knows the line of a row once fields hold line breaks, and it reads
    # a million rows in about two seconds.
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=_find_delimiter(file, path), strict=True)
        header = _read_header(reader, path)
        builder = TableBuilder()
        rows: list[list[str]] = []
        lines: list[int] = []
        for line, cells in _number_rows(reader, len(header), builder.raw.problems):
            rows.append(cells)
            lines.append(line)
            if len(rows) == _CHUNK_ROWS:
                builder.add(dict(zip(header, zip(*rows, strict=True), strict=True)), lines)
                rows, lines = [], []
        columns = zip(*rows, strict=True) if rows else [()] * len(header)
        builder.add(dict(zip(header, columns, strict=True)), lines)
    return builder.finish()


def _find_delimiter(file: IO[str], path: Path) -> str:
    """Return tab for `.tsv`; else what the header uses: `,`, or `;` and tab as spreadsheets write them."""
    header = file.readline()
    file.seek(0)
    if path.suffix.lower() == ".tsv":
        return "\t"
    return next((mark for mark in ",;\t" if mark in header), ",")


def _read_header(reader: Reader, path: Path) -> list[str]:
    try:
        header = next((cells for cells in reader if cells), [])
    except csv.Error as error:
        raise ManifestError(f"{path.name}:{reader.line_num}: {error}; expected a header such as audio,label") from None
    names = [name.strip() for name in header]
    if not names:
        raise ManifestError(f"{path.name}: the file is empty; expected a header such as audio,label")
    check_names(names, path)
    return names


def check_names(names: Sequence[str], path: Path) -> None:
    """Refuse a table in which a column name stands twice.

    Raises:
        ManifestError: Names the column and both places.
    """
    for position, name in enumerate(names):
        if name in names[:position]:
            first = names.index(name) + 1
            raise ManifestError(f"{path.name}: column {name!r} stands twice ({first} and {position + 1}); rename one")


def _number_rows(reader: Reader, width: int, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the cells of each whole row; a row may span lines."""
    line = reader.line_num + 1
    try:
        for cells in reader:
            if len(cells) == width and any(cells):
                yield line, cells
            elif any(cells):
                cure = "quote fields that hold the delimiter" if len(cells) > width else "add the missing ones"
                problems.append((line, f"{len(cells)} fields where the header has {width}; {cure}"))
            line = reader.line_num + 1
    except csv.Error as error:
        problems.append((line, f'{error}; is a quote (") not closed or not doubled? Nothing is read below'))


def _read_jsonl(path: Path) -> RawManifest:
    builder = TableBuilder()
    with path.open(encoding="utf-8-sig") as file:
        numbered = ((line, text.strip()) for line, text in enumerate(file, start=1))
        filled = ((line, text) for line, text in numbered if text)
        while chunk := list(itertools.islice(filled, _CHUNK_ROWS)):
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


def _read_parquet(path: Path) -> RawManifest:
    try:
        table = pq.read_table(path).replace_schema_metadata(None)
    except (pa.ArrowInvalid, OSError) as error:
        raise ManifestError(f"{path.name}: not a Parquet file that can be read: {error}") from None
    check_names(table.column_names, path)
    for index, name in enumerate(table.column_names):
        wanted = pa.float64() if name in TIME_COLUMNS else pa.string()
        if name in (*TIME_COLUMNS, *TEXT_COLUMNS, *AUDIO_ALIASES) and table[name].type != wanted:
            table = table.set_column(index, name, _cast(table[name], wanted, f"{path.name}: column {name!r}"))
    return RawManifest(table=table, lines=array("q", range(1, table.num_rows + 1)))


def _cast(column: pa.ChunkedArray, wanted: pa.DataType, place: str) -> pa.ChunkedArray:
    try:
        return column.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        expected = "seconds as numbers" if wanted == pa.float64() else "text (for audio: paths, not the sound itself)"
        raise ManifestError(f"{place} holds {column.type}; expected {expected}") from None


def _read_emo(path: Path) -> RawManifest:
    # ASCII blanks only: U+00A0 is a byte of some emoji in a broken encoding. Blank lines count: frames are theirs too.
    text = path.read_text(encoding="utf-8-sig").rstrip(" \t\n")
    rows = [re.findall(r"\S+", line, re.ASCII) for line in text.split("\n")] if text else []
    builder = TableBuilder()
    builder.raw.problems += [
        (line, f"{len(cells)} fields; expected an id and a label, blanks or a tab between, none inside")
        for line, cells in enumerate(rows, start=1)
        if len(cells) != 2
    ]
    whole = {line: cells for line, cells in enumerate(rows, start=1) if len(cells) == 2}
    ids, labels = zip(*whole.values(), strict=True) if whole else ((), ())
    builder.add({"id": ids, "label": labels}, list(whole))
    return builder.finish()


def _read_label_folders(folder: Path) -> RawManifest:
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file())
    audio = [path.relative_to(folder).as_posix() for path in found]
    audio = [path for path in audio if not path.startswith(".") and "/." not in path]
    problems = [(0, f"{path!r} lies in no sub-folder; expected LABEL/{path}") for path in audio if "/" not in path]
    labels = [path.partition("/")[0] for path in audio]
    if not audio:
        raise ManifestError(f"{folder}: no metadata{'/'.join(SUFFIXES)} and no audio in sub-folders named by labels")
    if set(labels) <= {"train", "dev", "test", "val", "valid", "validation"}:
        raise ManifestError(
            f"{folder}: sub-folders {sorted(set(labels))} are splits; expected one per label. "
            "Write a manifest with the columns audio,label,split"
        )
    table = pa.table({"audio": pa.array(audio, pa.string()), "label": pa.array(labels, pa.string())})
    return RawManifest(table=table, lines=array("q", range(1, len(audio) + 1)), problems=problems)


def _describe_encoding(path: Path) -> str:
    cure = f"save it as UTF-8, e.g. iconv -f WINDOWS-1252 -t UTF-8 {path.name}"
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return f"{path.name}: the file is UTF-16; {cure.replace('WINDOWS-1252', 'UTF-16')}"
        file.seek(0)
        for line, content in enumerate(file, start=1):
            try:
                content.decode()
            except UnicodeDecodeError as error:
                return f"{path.name}:{line}: byte 0x{content[error.start]:02X} is not UTF-8; {cure}"
    return f"{path.name}: the file is not UTF-8; {cure}"
