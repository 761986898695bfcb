"""Folders of audio -> rows."""

from array import array
from pathlib import Path

import pyarrow as pa

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest.rows import SUFFIXES, RawManifest

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


def find_metadata(folder: Path) -> Path | None:
    """Return the `metadata.*` file of an AudioFolder, if there is one."""
    return next((path for suffix in SUFFIXES if (path := folder / f"metadata{suffix}").is_file()), None)


def read_label_folders(folder: Path) -> RawManifest:
    """Read a folder with one sub-folder of audio per label.

    Raises:
        ManifestError: There is no audio, or the sub-folders are splits.
    """
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
