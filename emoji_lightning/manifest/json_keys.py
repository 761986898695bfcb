"""The keys that NeMo and EmoBox write into JSONL."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from emoji_lightning.manifest.columns import ColumnNames
from emoji_lightning.manifest.rows import AUDIO_ALIASES, TIME_COLUMNS, RawManifest
from emoji_lightning.manifest.seconds import to_seconds

# Source: EmoBox/utils/preprocess_utils.py (write_jsonl) of github.com/emo-box/EmoBox; times for Pavoque only.
_EMOBOX = {"id": "key", "audio": "wav", "label": "emo", "start": "start_time", "end": "end_time"}


def name_keys(names: ColumnNames, keys: Sequence[str]) -> ColumnNames:
    """Add EmoBox's keys to the names of a source, if it has EmoBox's `wav` and no other audio.

    Args:
        names: What was asked for; goes before EmoBox's keys.
        keys: Keys of the source.
    """
    if "wav" not in keys or {"audio", *AUDIO_ALIASES} & set(keys):
        return names
    return names.with_known(_EMOBOX, keys)


def take_offsets(raw: RawManifest) -> RawManifest:
    """Turn NeMo's `offset` and `duration` into `start` and `end`, if a table has `audio_filepath` and `offset`.

    Where `offset` is null the row is the whole file, whatever its `duration`; where `duration` is null the segment goes
    to the end of the file. `duration` stays as a column, `offset` is `start` from then on.

    Args:
        raw: Rows; is changed. Offsets and durations that are no seconds from 0 on become problems.
    """
    columns = raw.table.column_names
    audio = raw.names.source_of("audio") if raw.names and "audio" in columns else "audio_filepath"
    if audio != "audio_filepath" or not {"audio", "audio_filepath"} & set(columns):
        return raw
    if "offset" not in columns or {*TIME_COLUMNS} & set(columns):
        return raw
    start = _read(raw, "offset", raw.table["offset"])
    raw.table = raw.table.set_column(columns.index("offset"), "start", start)
    if "duration" in columns:
        duration = pc.if_else(pc.is_valid(start), raw.table["duration"], None)
        end = pc.add(start, _read(raw, "duration", duration))
        # Microseconds: 1.1 + 2.2 is to end at 3.3, and no sample is shorter than 5.
        raw.table = raw.table.append_column("end", pc.round(end, 6))
    return raw


def _read(raw: RawManifest, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    seconds = to_seconds(name, column, raw.lines, raw.problems)
    return seconds if isinstance(seconds, pa.ChunkedArray) else pa.chunked_array([seconds])
