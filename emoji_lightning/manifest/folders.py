"""Which files lie below a folder, and which of them are audio."""

import os
from collections.abc import Iterator
from pathlib import Path

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


def list_audio(folder: Path) -> list[str]:
    """Return the audio files below a folder as paths relative to it, sorted; hidden ones are passed over.

    Links to folders are followed, but for those that lead to a folder above them.
    """
    return sorted(path for path in _walk(os.fspath(folder), "", (os.path.realpath(folder),)) if is_audio(path))


def is_audio(name: str) -> bool:
    """Tell by its suffix whether a file is audio."""
    return os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES  # noqa: PTH122 - a tenth of the time


def _walk(folder: str, below: str, above: tuple[str, ...]) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real not in above:
                    yield from _walk(entry.path, f"{below}{entry.name}/", (*above, real))
            elif entry.is_file():
                yield f"{below}{entry.name}"
