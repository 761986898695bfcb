"""Folders of audio as Hugging Face's AudioFolder reads them -> rows."""

import itertools
import os
import posixpath
import re
from array import array
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest.columns import ColumnNames
from emoji_lightning.manifest.folders import list_audio
from emoji_lightning.manifest.problems import Problem
from emoji_lightning.manifest.rows import AUDIO_ALIASES, SUFFIXES, RawManifest, concat
from emoji_lightning.manifest.split_names import SPLIT_KEYWORDS

METADATA = "metadata"

# Source: NON_WORDS_CHARS in data_files.py of github.com/huggingface/datasets
_SPLIT_FOLDER = re.compile(rf"(?:.*[-._ 0-9])?({'|'.join(SPLIT_KEYWORDS)})(?:[-._ 0-9].*)?")

Reader = Callable[[Path, ColumnNames], RawManifest]


def find_metadata(folder: Path) -> Path | None:
    """Return the `metadata.*` file of an AudioFolder, if there is one.

    Raises:
        ManifestError: There are several.
    """
    found = [path for suffix in SUFFIXES if (path := folder / f"{METADATA}{suffix}").is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise ManifestError(f"{folder.name}: {names} lie beside each other; expected one of them")
    nested = _find_nested(folder) if found else []
    if nested:
        other = nested[0].relative_to(folder).as_posix()
        raise ManifestError(
            f"{folder.name}: {found[0].name} and {other}; expected one file, or one in each split's folder"
        )
    return found[0] if found else None


def read_audio_folder(folder: Path, names: ColumnNames, read: Reader) -> RawManifest:
    """Read a `metadata.*` in each split's folder, or else audio in folders named by labels, below splits' or not.

    Args:
        folder: The folder; paths are relative to it.
        names: What the source calls our columns.
        read: Reads one metadata file.

    Raises:
        ManifestError: There is no audio, or there are several metadata files in one folder.
    """
    files = _find_nested(folder)
    return _read_nested(folder, files, names, read) if files else _read_label_folders(folder, names)


def add_splits(raw: RawManifest) -> RawManifest:
    """Add the column `split` if there is none and every audio path begins with the folder of a split.

    Args:
        raw: Rows of a `metadata.*`; is changed.
    """
    name = _audio_column(raw.table)
    if name is None or "split" in raw.table.column_names:
        return raw
    splits = [_find_split(path or "")[0] for path in raw.table[name].to_pylist()]
    if all(splits):
        raw.table = raw.table.append_column("split", pa.array(splits, pa.string()))
    return raw


def _find_nested(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.glob(f"*/**/{METADATA}.*")) if path.suffix in SUFFIXES and path.is_file()]
    for first, second in itertools.pairwise(found):
        if first.parent == second.parent:
            place = first.parent.relative_to(folder).as_posix()
            raise ManifestError(f"{place}: {first.name} and {second.name} lie beside each other; expected one of them")
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _read_nested(folder: Path, files: list[Path], names: ColumnNames, read: Reader) -> RawManifest:
    """Put the tables of several folders one below the other; audio is relative to its own table's folder."""
    whole = RawManifest(names=names)
    tables, rows_of = [], []
    for file in files:
        part, name = read(file, names), file.relative_to(folder).as_posix()
        tables.append(_move(part.table, posixpath.dirname(name)))
        whole.lines.extend(part.lines)
        whole.beside[name] = part.problems
        rows_of += [name] * part.table.num_rows
    whole.table, whole.files = concat(tables), rows_of
    return whole


def _move(table: pa.Table, folder: str) -> pa.Table:
    """Prefix the audio paths of a table, and add the split that its folder is."""
    name = _audio_column(table)
    if name is not None:
        paths = pa.array([None if path is None else posixpath.join(folder, path) for path in table[name].to_pylist()])
        table = table.set_column(table.column_names.index(name), name, paths.cast(pa.string()))
    split = _find_split(f"{folder}/")[0]
    if split and "split" not in table.column_names:
        table = table.append_column("split", pa.array([split] * table.num_rows, pa.string()))
    return table


def _audio_column(table: pa.Table) -> str | None:
    found = next((name for name in ("audio", *AUDIO_ALIASES) if name in table.column_names), None)
    return found if found and pc.count(table[found]).as_py() else None


def _find_split(path: str) -> tuple[str, str]:
    """Return the split whose folder a path begins with, directly or below `data/`, and the path in that folder."""
    folder, _, rest = path.removeprefix("data/").partition("/")
    match = _SPLIT_FOLDER.fullmatch(folder) if rest or path.endswith("/") else None
    return (SPLIT_KEYWORDS[match[1]], rest) if match else ("", path)


def _read_label_folders(folder: Path, names: ColumnNames) -> RawManifest:
    audio, problems = _list_audio(folder)
    if not audio and not problems:
        wanted = (
            f"no {METADATA}{'/'.join(SUFFIXES)}, no wav.scp, no db.yaml and no audio in sub-folders named by labels"
        )
        raise ManifestError(f"{folder}: {wanted}")
    places = {path: _find_split(path) for path in audio}
    below_splits = any(split for split, _ in places.values())
    rows = []
    for path, (split, rest) in places.items():
        label = rest.partition("/")[0] if "/" in rest else ""
        if label and bool(split) == below_splits:
            rows.append({"audio": path, "label": label, **({"split": split} if split else {})})
        else:
            problems.append((0, _describe_place(path, split, below_splits=below_splits)))
    names_found = ["audio", "label", *(["split"] if below_splits else [])]
    arrays = [pa.array([row[name] for row in rows], pa.string()) for name in names_found]
    table = pa.table(arrays, names.rename(names_found))
    return RawManifest(table=table, lines=array("q", range(1, len(rows) + 1)), problems=problems)


def _describe_place(path: str, split: str, *, below_splits: bool) -> str:
    if below_splits and not split:
        return f"{path!r} lies in no split's folder, as other audio does; expected e.g. train/LABEL/{Path(path).name}"
    return f"{path!r} lies in no sub-folder; expected {Path(path).parent / 'LABEL' / Path(path).name}"


def _list_audio(folder: Path) -> tuple[list[str], list[Problem]]:
    """Return the audio files below a folder, none of them hidden, and those whose names are no text."""
    audio = list_audio(folder)
    broken = {path for path in audio if not path.isascii() and any("\udc80" <= char <= "\udcff" for char in path)}
    problems = [(0, f"file name {os.fsencode(path)!r} is not UTF-8; rename it, e.g. with convmv") for path in broken]
    return [path for path in audio if path not in broken], problems
