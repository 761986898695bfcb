"""CSV, TSV and emotion2vec's `.emo` -> rows."""

import csv
import re
from _csv import Reader
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest.columns import ColumnNames
from emoji_lightning.manifest.problems import Problem
from emoji_lightning.manifest.rows import (
    AUDIO_ALIASES,
    CHUNK_ROWS,
    TEXT_COLUMNS,
    RawManifest,
    TableBuilder,
    check_names,
)
from emoji_lightning.manifest.text_files import read_text_file


def read_csv(path: Path, names: ColumnNames) -> RawManifest:
    """Read CSV, or TSV by its suffix; the first line that is not blank is the header.

    Raises:
        ManifestError: There is no header, it uses another delimiter, or a name stands in it twice.
        UnicodeDecodeError: It is not UTF-8.
    """
    # The csv module and not pyarrow.csv: only it knows the line of a row once fields hold line breaks, and it reads
    # a million rows in about two seconds.
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=_find_delimiter(file, path), strict=True)
        header = _read_header(reader, path)
        builder = TableBuilder(names)
        rows: list[list[str]] = []
        lines: list[int] = []
        for line, cells in _number_rows(reader, len(header), builder.raw.problems):
            rows.append(cells)
            lines.append(line)
            if len(rows) == CHUNK_ROWS:
                builder.add(dict(zip(header, zip(*rows, strict=True), strict=True)), lines)
                rows, lines = [], []
        columns = zip(*rows, strict=True) if rows else [()] * len(header)
        builder.add(dict(zip(header, columns, strict=True)), lines)
    return builder.finish()


def _find_delimiter(file: IO[str], path: Path) -> str:
    """Return tab for `.tsv`; else what the header uses most: `,`, or `;` and tab as spreadsheets write them."""
    header = next((line for line in file if line.strip()), "")
    file.seek(0)
    if path.suffix.lower() == ".tsv":
        return "\t"
    return max(",;\t", key=header.count)


def _read_header(reader: Reader, path: Path) -> list[str]:
    try:
        header = next((cells for cells in reader if cells), [])
    except csv.Error as error:
        raise ManifestError(f"{path.name}:{reader.line_num}: {error}; expected a header such as audio,label") from None
    names = [name.strip() for name in header]
    if not names:
        raise ManifestError(f"{path.name}: the file is empty; expected a header such as audio,label")
    _check_delimiter(names, path)
    check_names(names, path)
    return names


def _check_delimiter(names: list[str], path: Path) -> None:
    """Refuse a header that is one field in which a name of ours stands beside others."""
    if "\0" in "".join(names):
        raise ManifestError(f"{path.name}: the header holds NUL bytes, as UTF-16 does; save it as UTF-8")
    parts = re.split(r"[|;,:\t ]+", names[0])
    telling = "|" in names[0] or {*TEXT_COLUMNS, *AUDIO_ALIASES} & set(parts)
    if len(names) > 1 or len(parts) == 1 or not telling:
        return
    mark = names[0][len(parts[0])]
    expected = "a tab" if path.suffix.lower() == ".tsv" else "',', ';' or a tab"
    cure = "rename the file to .csv" if mark in ",;" else "save it as CSV"
    found = f"{path.name}: the header is one field, {names[0]!r}"
    raise ManifestError(f"{found}; expected {expected} between the columns, not {mark!r}; {cure}")


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


def read_emo(path: Path, names: ColumnNames) -> RawManifest:
    """Read a line `id label` per utterance, as the recipe of emotion2vec writes them; there is no header."""
    # ASCII blanks only: U+00A0 is a byte of some emoji in a broken encoding. Blank lines count: frames are theirs too.
    text = read_text_file(path).rstrip(" \t\n")
    rows = [re.findall(r"\S+", line, re.ASCII) for line in text.split("\n")] if text else []
    builder = TableBuilder(names)
    builder.raw.problems += [
        (line, f"{len(cells)} fields; expected an id and a label, blanks or a tab between, none inside")
        for line, cells in enumerate(rows, start=1)
        if len(cells) != 2
    ]
    whole = {line: cells for line, cells in enumerate(rows, start=1) if len(cells) == 2}
    ids, labels = zip(*whole.values(), strict=True) if whole else ((), ())
    builder.add({"id": ids, "label": labels}, list(whole))
    return builder.finish()
