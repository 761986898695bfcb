"""Folders of TTS output -> which of their files voices which text."""

import os
import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emoji_lightning.errors import ConfigError, ManifestError, join_problems
from emoji_lightning.manifest import read_manifest
from emoji_lightning.manifest.audio_folder import find_metadata
from emoji_lightning.manifest.checks import canonicalize
from emoji_lightning.manifest.folders import list_audio
from emoji_lightning.manifest.readers import read_rows

# A metadata file with such a column is meant to say which file voices which text.
_NAMES_TEXTS = re.compile(r"(.*[_ ])?(id|key)", re.IGNORECASE)


@dataclass(frozen=True)
class System:
    """A TTS system and the folder that holds what it voiced.

    Args:
        name: What the column `system` calls it.
        folder: Absolute path; made by `parse_systems`.
    """

    name: str
    folder: Path


@dataclass(frozen=True)
class Recordings:
    """What was found in the folder of one system.

    Attributes:
        system: Whose folder it is.
        by_id: Absolute path of the file that voices a text, by the text's id.
        unmatched: Files that voice no text, relative to the folder, sorted; fit to be printed.
        num_files: Audio files in the folder.
    """

    system: System
    by_id: Mapping[str, str]
    unmatched: Sequence[str]
    num_files: int


def parse_systems(words: Sequence[str]) -> list[System]:
    """Read what `--audio` names.

    Args:
        words: `DIR` or `NAME=DIR`, in order of preference; a folder whose own name holds `=` wins.

    Raises:
        ConfigError: There is none, a folder does not exist or is a file, two are the same or one lies in another, or
            two systems have one name; all problems at once.
    """
    if not words:
        raise ConfigError("no folder of audio; expected --audio DIR for each TTS system, the preferred one first")
    problems = [problem for word in words if (problem := _describe_unusable(word))]
    if problems:
        raise ConfigError(join_problems(problems))
    systems = [_parse(word) for word in words]
    problems = [_describe_clash(*pair) for pair in _pairs(systems)]
    if any(problems):
        raise ConfigError(join_problems([problem for problem in problems if problem]))
    return systems


def find_recordings(system: System, ids: Sequence[str]) -> Recordings:
    """Find the file of each text: what `metadata.*` with `id` and `audio` says, or else the file named by the id.

    A file voices the text whose id is its path below the folder without suffix (`joy/t001`), or else its stem
    (`t001`). Hidden files are passed over.

    Args:
        system: The folder.
        ids: Ids of all texts, each once.

    Raises:
        ManifestError: There is no audio, the metadata is wrong, or several files voice one text; all of these at once.
    """
    files = list_audio(system.folder)
    if not files:
        raise ManifestError(
            f"--audio {system.name}: the folder holds no audio; expected files named by the ids of the texts, such as "
            f"{system.name}/{ids[0]}.wav"
        )
    named = _read_metadata(system)
    # A name that is not UTF-8 cannot be written into a manifest.
    matched = _match_names(list(filter(_is_utf8, files)), ids, system) if named is None else named
    by_id = {name: matched[name] for name in ids if name in matched}
    used = set(by_id.values())
    return Recordings(
        system,
        {name: posixpath.normpath(system.folder / file) for name, file in by_id.items()},
        [file.encode(errors="backslashreplace").decode() for file in files if file not in used],
        len(files),
    )


def _describe_unusable(word: str) -> str:
    name, folder = _part(word)
    if not folder.strip():
        return f"--audio {word!r} names no folder; expected DIR or NAME=DIR"
    if not Path(folder).is_dir():
        found = "is a file" if Path(folder).exists() else "does not exist"
        return f"--audio {word}: {folder!r} {found}; expected a folder of audio, as DIR or NAME=DIR"
    if not _is_utf8(str(_parse(word).folder)) or not _is_utf8(name):
        return f"--audio {word!a}: the path is not UTF-8 and cannot stand in a manifest; rename the folder"
    return ""


def _describe_clash(first: System, second: System) -> str:
    names = f"--audio {first.name} and --audio {second.name}"
    here, there = first.folder.resolve(), second.folder.resolve()
    if here == there:
        return f"{names} are the same folder; name it once"
    if here in there.parents or there in here.parents:
        return f"{names}: one folder lies in the other, so its files would count twice; name folders beside each other"
    if first.name == second.name:
        return f"{names} are two systems of one name; tell them apart: --audio NAME={second.folder.name}"
    return ""


def _pairs(systems: Sequence[System]) -> Iterator[tuple[System, System]]:
    return ((first, second) for index, second in enumerate(systems) for first in systems[:index])


def _part(word: str) -> tuple[str, str]:
    """Return name and folder as they were typed; the name is empty where only a folder was."""
    name, equals, folder = word.partition("=")
    return (name.strip(), folder) if equals and not Path(word).is_dir() else ("", word)


def _parse(word: str) -> System:
    name, folder = _part(word)
    path = Path(folder)
    # A folder that is a link keeps its name and place: where it leads may be another disk.
    placed = path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name
    return System(name or placed.name, placed)


def _read_metadata(system: System) -> dict[str, str] | None:
    """Return the audio of each id, relative to the folder; None where no `metadata.*` says so."""
    path = find_metadata(system.folder)
    try:
        if path is None:
            return None
        found = canonicalize(read_rows(path).table).column_names
        if not {"id", "audio"} <= set(found):
            if not any(_NAMES_TEXTS.fullmatch(name) for name in found):
                return None  # it tells other things of the files
            raise ManifestError(
                f"{path.name}: found columns {found}; expected id and audio, to say which file voices which text; "
                "rename them, or remove the file to have audio found by its name"
            )
        manifest = read_manifest(path)
        if manifest.has("start") or manifest.has("end"):
            raise ManifestError(f"{path.name}: has segments (start, end); expected a file per text, cut them out first")
    except ManifestError as error:
        raise ManifestError(f"--audio {system.name}: {error}") from None
    root = os.path.relpath(manifest.root, system.folder.resolve())
    audio = (posixpath.normpath(posixpath.join(root, file)) for file in manifest.column("audio"))
    return dict(zip(manifest.ids, audio, strict=True))


def _match_names(files: Sequence[str], ids: Sequence[str], system: System) -> dict[str, str]:
    # macOS takes letters with accents apart in file names; a table has them whole.
    known = {_compose(name): name for name in ids} | {name: name for name in ids}
    by_path: defaultdict[str, list[str]] = defaultdict(list)
    by_stem: defaultdict[str, list[str]] = defaultdict(list)
    for file in files:
        path = posixpath.splitext(file)[0]
        stem = path.rpartition("/")[2]
        if found := known.get(path) or known.get(_compose(path)):
            by_path[found].append(file)
        elif found := known.get(stem) or known.get(_compose(stem)):
            by_stem[found].append(file)
    found_files = {**by_stem, **by_path}
    problems = [
        _describe_several(system, name, found_files[name]) for name in ids if len(found_files.get(name, ())) > 1
    ]
    if problems:
        raise ManifestError(join_problems(problems))
    return {name: found[0] for name, found in found_files.items()}


def _describe_several(system: System, name: str, files: Sequence[str]) -> str:
    return (
        f"--audio {system.name}: {' and '.join(files)} all voice the text {name!r}; expected one file: remove the "
        f"others, or say which in {system.name}/metadata.csv (columns id,audio)"
    )


def _compose(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
