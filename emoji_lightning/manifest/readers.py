"""Files of any manifest format -> one Arrow table, with the line that each row came from."""

import codecs
from pathlib import Path

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest.delimited import read_csv, read_emo
from emoji_lightning.manifest.folders import read_label_folders
from emoji_lightning.manifest.json_lines import read_jsonl
from emoji_lightning.manifest.parquet import read_parquet
from emoji_lightning.manifest.rows import SUFFIXES, RawManifest

READ_SUFFIXES = (*SUFFIXES, ".emo")
"""`.emo` is read, not written: it has no room for a split."""


def read_rows(path: Path) -> RawManifest:
    """Read a manifest in any format.

    Args:
        path: CSV, TSV, JSONL or Parquet file, emotion2vec's `.emo` (a line `id label` per utterance, no header), or a
            folder (`metadata.*` inside, or one sub-folder per label).

    Raises:
        ManifestError: The file does not exist, has an unknown suffix, or is not in its format or UTF-8.
    """
    if path.is_dir():
        return read_label_folders(path)
    if not path.is_file():
        expected = f"a manifest ({', '.join(READ_SUFFIXES)}) or a folder"
        raise ManifestError(f"{path}: no such file or folder; expected {expected}")
    readers = (read_csv, read_csv, read_jsonl, read_parquet, read_emo)
    reader = dict(zip(READ_SUFFIXES, readers, strict=True)).get(path.suffix.lower())
    if reader is None:
        raise ManifestError(f"{path.name}: unknown format {path.suffix!r}; expected one of {', '.join(READ_SUFFIXES)}")
    try:
        return reader(path)
    except UnicodeDecodeError:
        raise ManifestError(_describe_encoding(path)) from None


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
