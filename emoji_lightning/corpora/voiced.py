"""Texts and what TTS systems made of them -> a manifest of utterances, with a record of what was dropped."""

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

from emoji_lightning.corpora.choice import KEEP, Candidate, Choice, choose
from emoji_lightning.corpora.scan import AudioFacts, scan_audio
from emoji_lightning.corpora.systems import Recordings, System, find_recordings
from emoji_lightning.corpora.voiced_record import Dropped, describe_corpus, dropped_path, write_dropped
from emoji_lightning.errors import AudioError, ConfigError, ManifestError, join_problems
from emoji_lightning.manifest import Manifest
from emoji_lightning.manifest.audio_places import record_path
from emoji_lightning.manifest.writers import check_suffix, find_overwritten

_IN_THE_WAY = {
    "audio": "the audio comes from --audio (file_name, audio_filepath and path mean audio, too)",
    "system": "the system comes from --audio",
    "start": "it would cut the audio",
    "end": "it would cut the audio",
}


def voice_texts(
    texts: Manifest, systems: Sequence[System], *, output: str | Path, keep: str = "first", progress: bool = False
) -> dict[str, Any]:
    """Find the audio of each text, drop what is missing or cannot be decoded, and write what is left as a manifest.

    Writes OUTPUT (columns `id source_id audio system text label`, then the others of `texts`, in the order of the
    texts), its record `OUTPUT.json`, and beside it `.dropped.csv` with a reason for each text without a file and for
    each file that cannot be decoded. The same input gives the same bytes.

    Args:
        texts: Table with the columns `id` and `label`; others are kept.
        systems: Folders of TTS output, the preferred one first; see `parse_systems`.
        output: New manifest; `.csv .tsv .jsonl .parquet`.
        keep: "first" takes one utterance per text, with the text's id, from the first system whose file can be
            decoded, and decodes no more than that needs; "all" takes every one, with the id `TEXT@SYSTEM`.
        progress: Whether to show a progress bar on a terminal.

    Returns:
        The record, see `describe_corpus`; it holds no absolute path.

    Raises:
        ConfigError: `keep` is unknown, there is no system, or a file to be written is the table of texts, a folder,
            or would be read as a folder's metadata.
        ManifestError: Columns are missing or in the way, the suffix is unknown, a folder holds no audio, several
            files voice one text, two utterances get one id, or no text is voiced.
        AudioError: None of the files that voice a text can be decoded. Nothing is written after any of these.
    """
    output = Path(output)
    _check_options(texts, systems, output, keep)
    _check_columns(texts)
    ids = texts.ids
    recordings = _find_all(systems, ids)
    candidates = _list_candidates(ids, recordings)
    if not any(candidates):
        raise ManifestError(_describe_unvoiced(texts, recordings))
    if keep == "all":
        _check_ids(ids, candidates)

    def check(asked: Sequence[Candidate]) -> list[AudioFacts | AudioError]:
        return scan_audio([candidate.path for candidate in asked], progress=progress)

    choice = choose(candidates, keep, check)
    if not choice.kept:
        problems = join_problems([str(error) for _, error in choice.failed])
        raise AudioError(f"{problems}\nnone of the {len(choice.failed)} files that voice a text can be decoded")
    manifest = _build_manifest(texts, [candidate for candidate, _ in choice.kept], systems, keep)
    record = describe_corpus(texts, recordings, candidates, choice, keep)
    # The list first: a manifest must not stand beside the list of an earlier one.
    write_dropped(dropped_path(output), _list_dropped(texts, candidates, choice, record, output.parent.resolve()))
    manifest.write(output, record=record)
    return record


def _check_options(texts: Manifest, systems: Sequence[System], output: Path, keep: str) -> None:
    check_suffix(output)
    if keep not in KEEP:
        raise ConfigError(f"--keep is {keep!r}; expected {' or '.join(KEEP)}")
    if not systems:
        raise ConfigError("no folder of audio; expected at least one system")
    if output.is_dir():
        raise ConfigError(f"{output}: --output is a folder; expected a file, such as {output / 'manifest.csv'}")
    if replaced := find_overwritten((output, record_path(output), dropped_path(output)), [texts.source]):
        raise ConfigError(f"{output}: --output would replace {replaced.name}, the table of texts; give another file")
    if output.stem == "metadata" and output.parent.resolve() in [system.folder.resolve() for system in systems]:
        raise ConfigError(
            f"{output}: there {output.name} says which file voices which text; give --output another name or folder"
        )


def _check_columns(texts: Manifest) -> None:
    found = [name for name in _IN_THE_WAY if texts.has(name)]
    problems = [
        f"{texts.source.name}: the texts have a column {name!r}, but {_IN_THE_WAY[name]}; remove or rename it"
        for name in found
    ]
    try:
        texts.require("id", "label")
    except ManifestError as error:
        problems.append(str(error))
    if problems:
        raise ManifestError(join_problems(problems))


def _find_all(systems: Sequence[System], ids: Sequence[str]) -> list[Recordings]:
    found: list[Recordings] = []
    problems: list[str] = []
    for system in systems:
        try:
            found.append(find_recordings(system, ids))
        except ManifestError as error:
            problems.append(str(error))
    if problems:
        raise ManifestError(join_problems(problems))
    return found


def _list_candidates(ids: Sequence[str], recordings: Sequence[Recordings]) -> list[list[Candidate]]:
    return [
        [Candidate(row, each.system.name, each.by_id[name]) for each in recordings if name in each.by_id]
        for row, name in enumerate(ids)
    ]


def _describe_unvoiced(texts: Manifest, recordings: Sequence[Recordings]) -> str:
    example, first = texts.ids[0], recordings[0].system.name
    found = ", ".join(f"{each.system.name}/{each.unmatched[0]}" for each in recordings if each.unmatched)
    return (
        f"{texts.source.name}: no text is voiced: for the id {example!r} a file such as {first}/{example}.wav was "
        f"expected, found were files such as {found}; name the files by the ids, or put a metadata.csv (columns "
        "id,audio) into each folder"
    )


def _check_ids(ids: Sequence[str], candidates: Sequence[Sequence[Candidate]]) -> None:
    """Refuse names that make two utterances of `--keep all` one: `a` of the system `b@c`, `a@b` of `c`."""
    taken: dict[str, Candidate] = {}
    problems = []
    for candidate in chain.from_iterable(candidates):
        name = _name_utterance(ids[candidate.row], candidate)
        other = taken.setdefault(name, candidate)
        if other is not candidate:
            problems.append(
                f"text {ids[other.row]!r} of {other.system!r} and text {ids[candidate.row]!r} of {candidate.system!r} "
                f"would both be {name!r}; name the systems without @: --audio NAME=DIR"
            )
    if problems:
        raise ManifestError(join_problems(problems))


def _name_utterance(text_id: str, candidate: Candidate) -> str:
    return f"{text_id}@{candidate.system}"


def _build_manifest(texts: Manifest, kept: Sequence[Candidate], systems: Sequence[System], keep: str) -> Manifest:
    chosen = texts.select([candidate.row for candidate in kept])
    ids = chosen.ids
    given = chosen.column("source_id") if chosen.has("source_id") else [""] * len(ids)
    folders = {each.path.rpartition("/")[0] for each in kept}
    root = os.path.commonpath([*(each.folder.parent for each in systems), *folders])
    columns = {
        "id": list(map(_name_utterance, ids, kept)) if keep == "all" else ids,
        "source_id": [source or name for source, name in zip(given, ids, strict=True)],
        "audio": [each.path.removeprefix(root).lstrip("/") for each in kept],
        "system": [each.system for each in kept],
    }
    for name, values in columns.items():
        chosen = chosen.with_column(name, values)
    front = [name for name in (*columns, "text", "label") if chosen.has(name)]
    others = [name for name in chosen.table.column_names if name not in front]
    return replace(chosen, table=chosen.table.select([*front, *others]), root=Path(root))


def _list_dropped(
    texts: Manifest,
    candidates: Sequence[Sequence[Candidate]],
    choice: Choice,
    record: dict[str, Any],
    home: Path,
) -> list[Dropped]:
    """List texts without a file, and files that cannot be decoded, in the order of the texts."""
    ids, labels = texts.ids, texts.column("label")
    nowhere = f"no audio in {', '.join(record['options']['systems'])}"
    dropped = [
        (row, Dropped(ids[row], labels[row], "", "", nowhere)) for row, found in enumerate(candidates) if not found
    ]
    rescuers = {candidate.row: candidate.system for candidate, _ in reversed(choice.kept)}
    for (row, system, path), error in choice.failed:
        rescue = f"; the text is kept from {rescuers[row]}" if row in rescuers else ""
        reason = str(error).removeprefix(f"{path}: ") + rescue
        dropped.append((row, Dropped(ids[row], labels[row], system, os.path.relpath(path, home), reason)))
    return [each for _, each in sorted(dropped, key=itemgetter(0))]
