"""Parquet -> rows."""

from array import array
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest.columns import ColumnNames
from emoji_lightning.manifest.rows import TIME_COLUMNS, RawManifest, check_names, is_text
from emoji_lightning.manifest.seconds import to_seconds


def read_parquet(path: Path, names: ColumnNames) -> RawManifest:
    """Read a Parquet file; its lines are the numbers of its rows. Durations in `start` and `end` become seconds.

    Raises:
        ManifestError: It cannot be read, or a known column holds another type.
    """
    try:
        check_names(pq.read_schema(path).names, path)
        table = pq.read_table(path).replace_schema_metadata(None)
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(
            f"{path.name}: not a Parquet file that can be read ({error}); was it cut off while copied?"
        ) from None
    table = table.rename_columns(names.rename(table.column_names))
    raw = RawManifest(table, array("q", range(1, table.num_rows + 1)))
    for index, name in enumerate(table.column_names):
        column = _fit(raw, name, f"{path.name}: column {name!r}")
        raw.table = raw.table.set_column(index, name, column)
    return raw


def _fit(raw: RawManifest, name: str, place: str) -> pa.Array | pa.ChunkedArray:
    column = raw.table[name]
    try:
        if name in TIME_COLUMNS:
            _check_times(column.type)
            return to_seconds(name, column, raw.lines, raw.problems)
        return column.cast(pa.string()) if is_text(name) else column
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        expected = (
            "seconds as numbers or durations" if name in TIME_COLUMNS else "text (for audio: paths, not the sound)"
        )
        raise ManifestError(f"{place} holds {column.type}; expected {expected}") from None


def _check_times(kind: pa.DataType) -> None:
    nothing_like_it = pa.types.is_nested(kind) or pa.types.is_boolean(kind) or pa.types.is_binary(kind)
    if nothing_like_it or (pa.types.is_temporal(kind) and not pa.types.is_duration(kind)):
        raise pa.ArrowInvalid("no time in a file")
