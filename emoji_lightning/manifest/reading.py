"""A file or folder -> a checked `Manifest`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest.audio_places import place_audio, read_recorded_root
from emoji_lightning.manifest.checks import RowProblem, canonicalize, find_problems
from emoji_lightning.manifest.columns import ColumnNames
from emoji_lightning.manifest.problems import Problem, describe_problems
from emoji_lightning.manifest.readers import read_rows
from emoji_lightning.manifest.rows import RawManifest
from emoji_lightning.manifest.table import Manifest, row_ids


def read_manifest(
    path: str | Path,
    *,
    audio_root: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    check_audio: bool = False,
) -> Manifest:
    """Read a table of utterances and check it.

    Args:
        path: A file: CSV, TSV, JSONL (also NeMo's and EmoBox's), Parquet, emotion2vec's `.emo`, Kaldi's `wav.scp`, a
            table of audformat. Or a folder: Kaldi's data directory, an AudioFolder (`metadata.*`), a database of
            audformat with one table, or one sub-folder per label. `read_rows` says more about each.
        audio_root: Folder that `audio` is relative to, where that is not the manifest's own.
        columns: Our column name -> the source's, `{"label": "emotion"}`.
        check_audio: Also look whether each audio file exists.

    Returns:
        At least one row; `audio` or `id` exists.

    Raises:
        ManifestError: The manifest cannot be read, or rows are wrong; all problems at once, each with its line.
    """
    if audio_root is not None and not Path(audio_root).is_dir():
        raise ManifestError(f"{audio_root}: --audio-root is no folder; expected the folder that holds the audio")
    raw = read_rows(Path(path), ColumnNames(columns))
    manifest = _to_manifest(raw, Path(path))
    unread = any((raw.problems, *raw.beside.values()))
    if len(manifest) == 0 and not unread:
        raise ManifestError(f"{manifest.source.name}: the manifest is empty; expected one row per utterance")
    found: list[RowProblem] = []
    if len(manifest):
        manifest, found = _check(manifest, None if audio_root is None else Path(audio_root), check_audio=check_audio)
    if unread or found:
        raise ManifestError(describe_problems(_sort_by_file(raw, manifest, found)))
    return manifest


def _to_manifest(raw: RawManifest, path: Path) -> Manifest:
    source = raw.source or path
    root = source if source.is_dir() else source.parent
    return Manifest(source, canonicalize(raw.table), raw.lines, root, raw.files)


def _check(manifest: Manifest, audio_root: Path | None, *, check_audio: bool) -> tuple[Manifest, list[RowProblem]]:
    """Place the audio and check rows."""
    problems: list[RowProblem] = []
    if not manifest.has("id"):
        manifest.require("audio")
    if manifest.has("audio"):
        manifest, problems = _place(manifest, audio_root)
    problems += find_problems(manifest.table, manifest.name_line, row_ids(manifest.table))
    if check_audio and manifest.has("audio"):
        problems += _find_missing_audio(manifest)
    return manifest, problems


def _sort_by_file(raw: RawManifest, manifest: Manifest, found: list[RowProblem]) -> dict[str, list[Problem]]:
    problems = {manifest.source.name: list(raw.problems)} | {name: list(each) for name, each in raw.beside.items()}
    for row, text in found:
        file = manifest.files[row] if manifest.files else manifest.source.name
        problems[file].append((manifest.lines[row], text))
    return problems


def _place(manifest: Manifest, audio_root: Path | None) -> tuple[Manifest, list[RowProblem]]:
    recorded = None if manifest.source.is_dir() else read_recorded_root(manifest.source)
    placed = place_audio(manifest.table["audio"], folder=manifest.root, audio_root=audio_root, recorded_root=recorded)
    given = f"--audio-root {audio_root} and " if audio_root else ""
    cure = "name a folder above it" if audio_root else "name the folder that holds the audio"
    strays = [
        (row, f"audio {text!r} lies outside {given}the manifest's folder; {cure} with --audio-root")
        for row in placed.outside
        if (text := manifest.table["audio"][row].as_py())
    ]
    return replace(manifest.with_column("audio", placed.audio), root=placed.root), strays


def _find_missing_audio(manifest: Manifest) -> list[RowProblem]:
    missing = [
        (row, audio)
        for row, audio in enumerate(manifest.column("audio"))
        if audio and not (manifest.root / audio).is_file()
    ]
    return [(row, _describe_missing(manifest.root, audio)) for row, audio in missing]


def _describe_missing(root: Path, audio: str) -> str:
    if (root / audio).is_dir():
        return f"audio {audio!r} is a folder; expected an audio file"
    return f"audio file {audio!r} does not exist below {root.name!r}"
