"""An Arrow table -> CSV, TSV, JSONL or Parquet; whole or not at all."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from emoji_lightning.errors import ManifestError
from emoji_lightning.files import write_whole
from emoji_lightning.manifest.rows import SUFFIXES

# Rows that are Python objects at one time.
_CHUNK_ROWS = 50_000


def check_suffix(path: Path) -> None:
    """Refuse a file name whose format is unknown.

    Raises:
        ManifestError: Names the suffix and those that can be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ManifestError(f"{path.name}: cannot write format {path.suffix!r}; expected one of {', '.join(SUFFIXES)}")


def find_overwritten(written: Iterable[Path], read: Sequence[Path]) -> Path | None:
    """Return the first file to be written that is, under whatever name, one of those that are read."""
    there = [path for path in read if path.exists()]
    return next((path for path in written if path.exists() and any(map(path.samefile, there))), None)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table; the suffix is the format.

    Args:
        table: Columns of any type; lists and structs become JSON in CSV and TSV.
        path: `.csv`, `.tsv`, `.jsonl` or `.parquet`.

    Raises:
        ManifestError: The suffix is unknown.
    """
    check_suffix(path)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        write_whole(path, lambda target: pq.write_table(table, target))
    elif suffix == ".jsonl":
        write_whole(path, lambda target: _write_jsonl(table, target))
    else:
        delimiter = "\t" if suffix == ".tsv" else ","
        write_whole(path, lambda target: _write_csv(table, target, delimiter))


def _write_csv(table: pa.Table, path: Path, delimiter: str) -> None:
    # Not pyarrow.csv: it quotes every text or none.
    with path.open("w", encoding="utf-8", newline="") as file:
        # The csv module leaves a lone carriage return unquoted, and readers then see a new row.
        writer = csv.writer(
            file,
            delimiter=delimiter,
            lineterminator="\n",
            quoting=csv.QUOTE_ALL if _holds_carriage_return(table) else csv.QUOTE_MINIMAL,
        )
        writer.writerow(table.column_names)
        for columns in _iterate_chunks(table):
            writer.writerows(
                zip(*(_to_cells(column, table[name].type) for name, column in columns.items()), strict=True)
            )


def _holds_carriage_return(table: pa.Table) -> bool:
    texts = (
        column for column in table.columns if pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    )
    return any(pc.any(pc.match_substring(column, "\r")).as_py() for column in texts)


def _write_jsonl(table: pa.Table, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for columns in _iterate_chunks(table):
            for values in zip(*columns.values(), strict=True):
                row = {name: value for name, value in zip(columns, values, strict=True) if value is not None}
                file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")


def _iterate_chunks(table: pa.Table) -> Iterator[dict[str, list[object]]]:
    for batch in table.to_batches(max_chunksize=_CHUNK_ROWS):
        yield batch.to_pydict()


def _to_cells(column: list[object], kind: pa.DataType) -> Iterable[object]:
    return column if pa.types.is_string(kind) or pa.types.is_integer(kind) else map(_to_cell, column)


def _to_cell(value: object) -> object:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, bool | list | dict) else value
