"""Parquet -> rows."""

from array import array
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest.rows import AUDIO_ALIASES, TEXT_COLUMNS, TIME_COLUMNS, RawManifest, check_names


def read_parquet(path: Path) -> RawManifest:
    """Read a Parquet file; its lines are the numbers of its rows.

    Raises:
        ManifestError: It cannot be read, or a known column holds another type.
    """
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
