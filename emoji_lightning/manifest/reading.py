"""A file or folder -> a checked `Manifest`."""

from dataclasses import replace
from pathlib import Path

from emoji_lightning.errors import ManifestError, join_problems
from emoji_lightning.manifest.audio_places import place_audio, read_recorded_root
from emoji_lightning.manifest.checks import canonicalize, find_problems
from emoji_lightning.manifest.folders import find_metadata
from emoji_lightning.manifest.readers import read_rows
from emoji_lightning.manifest.rows import Problem
from emoji_lightning.manifest.table import Manifest, row_ids


def read_manifest(path: str | Path, *, audio_root: str | Path | None = None, check_audio: bool = False) -> Manifest:
    """Read a table of utterances and check it.

    Args:
        path: CSV, TSV, JSONL or Parquet file, a folder with one sub-folder per label, or an AudioFolder.
        audio_root: Folder that `audio` is relative to, where that is not the manifest's own.
        check_audio: Also look whether each audio file exists.

    Returns:
        At least one row; `audio` or `id` exists.

    Raises:
        ManifestError: The manifest cannot be read, or rows are wrong; all problems at once, each with its line.
    """
    source = Path(path)
    if source.is_dir():
        source = find_metadata(source) or source
    if audio_root is not None and not Path(audio_root).is_dir():
        raise ManifestError(f"{audio_root}: --audio-root is no folder; expected the folder that holds the audio")
    raw = read_rows(source)
    problems = list(raw.problems)
    manifest = Manifest(source, canonicalize(raw.table), raw.lines, (source if source.is_dir() else source.parent))
    if len(manifest) == 0 and not problems:
        raise ManifestError(f"{source.name}: the manifest is empty; expected one row per utterance")
    if len(manifest) and not manifest.has("id"):
        manifest.require("audio")
    if len(manifest) and manifest.has("audio"):
        manifest, strays = _place(manifest, None if audio_root is None else Path(audio_root))
        problems += strays
    if len(manifest):
        problems += find_problems(manifest.table, manifest.lines, row_ids(manifest.table))
    if check_audio and len(manifest) and manifest.has("audio"):
        problems += _find_missing_audio(manifest)
    if problems:
        raise ManifestError(join_problems([f"{source.name}:{line}: {text}" for line, text in sorted(set(problems))]))
    return manifest


def _place(manifest: Manifest, audio_root: Path | None) -> tuple[Manifest, list[Problem]]:
    recorded = None if manifest.source.is_dir() else read_recorded_root(manifest.source)
    placed = place_audio(manifest.table["audio"], folder=manifest.root, audio_root=audio_root, recorded_root=recorded)
    given = f"--audio-root {audio_root} and " if audio_root else ""
    cure = "name a folder above it" if audio_root else "name the folder that holds the audio"
    strays = [
        (manifest.lines[row], f"audio {text!r} lies outside {given}the manifest's folder; {cure} with --audio-root")
        for row in placed.outside
        if (text := manifest.table["audio"][row].as_py())
    ]
    return replace(manifest.with_column("audio", placed.audio), root=placed.root), strays


def _find_missing_audio(manifest: Manifest) -> list[Problem]:
    return [
        (manifest.lines[row], f"audio file {audio!r} does not exist below {manifest.root.name!r}")
        for row, audio in enumerate(manifest.column("audio"))
        if audio and not (manifest.root / audio).is_file()
    ]
