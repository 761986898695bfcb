"""Files of any manifest format -> one Arrow table, with the line that each row came from."""

from pathlib import Path

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest.audformat import HEADER, find_table, refuse_pickle
from emoji_lightning.manifest.audio_folder import METADATA, add_splits, find_metadata, read_audio_folder
from emoji_lightning.manifest.columns import ColumnNames
from emoji_lightning.manifest.delimited import read_csv, read_emo
from emoji_lightning.manifest.json_lines import read_jsonl
from emoji_lightning.manifest.kaldi import SCRIPT, read_kaldi
from emoji_lightning.manifest.parquet import read_parquet
from emoji_lightning.manifest.rows import RawManifest
from emoji_lightning.manifest.text_files import describe_encoding

# `.json` is what NeMo calls JSON Lines.
_READERS = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".jsonl": read_jsonl,
    ".parquet": read_parquet,
    ".emo": read_emo,
    ".json": read_jsonl,
    ".scp": read_kaldi,
}

READ_SUFFIXES = tuple(_READERS)
"""What is read; `.emo`, `.json` and `.scp` are not written."""


def read_rows(path: Path, names: ColumnNames | None = None) -> RawManifest:
    """Read a manifest in any format.

    Args:
        path: A file: CSV, TSV, JSONL (also NeMo's and EmoBox's, `.json` too), Parquet, emotion2vec's `.emo` (a line
            `id label` per utterance, no header), Kaldi's `wav.scp`, a table of audformat as CSV or Parquet.
            Or a folder: Kaldi's data directory, an AudioFolder (`metadata.csv|tsv|jsonl|parquet` in it, or one in the
            folder of each split), a database of audformat with one table (`db.yaml`), or one sub-folder of audio per
            label, in folders of splits or not. The first of these that is there counts.
        names: What the source calls our columns.

    Returns:
        Rows; `source` is the file they stand in.

    Raises:
        ManifestError: The file does not exist, has an unknown suffix, or is not in its format or UTF-8.
    """
    names = names or ColumnNames()
    source = _find_source(path)
    if source.is_dir():
        raw = read_audio_folder(source, names, _read_file)
    else:
        raw = _read_file(source, names)
        raw = add_splits(raw) if source.stem == METADATA else raw
    raw.source = raw.source or source
    if raw.table.num_columns:
        (raw.names or names).check_found(raw.table.column_names, raw.source)
    return raw


def _find_source(path: Path) -> Path:
    """Return the file that a folder's table stands in, or the folder if there is none."""
    if not path.is_dir():
        return path
    if metadata := find_metadata(path):
        return metadata
    if (path / SCRIPT).is_file():
        return path / SCRIPT
    return find_table(path) if (path / HEADER).is_file() else path


def _read_file(path: Path, names: ColumnNames) -> RawManifest:
    if not path.is_file():
        expected = f"a manifest ({', '.join(READ_SUFFIXES)}) or a folder"
        raise ManifestError(f"{path}: no such file or folder; expected {expected}")
    if path.suffix.lower() == ".pkl":
        refuse_pickle(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ManifestError(f"{path.name}: unknown format {path.suffix!r}; expected one of {', '.join(READ_SUFFIXES)}")
    try:
        return reader(path, names)
    except UnicodeDecodeError:
        raise ManifestError(describe_encoding(path)) from None
