"""What an earlier split said, so that its utterances can keep their place."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emoji_lightning.errors import ManifestError, SplitError, join_problems
from emoji_lightning.labels import normalize_label
from emoji_lightning.manifest import Manifest, read_manifest
from emoji_lightning.manifest.audio_places import record_path

_KINDS: dict[str, Any] = {
    "dev": float | int,
    "test": float | int,
    "folds": int,
    "seed": int,
    "group": list | str,
    "allow": list,
    "columns": dict,
    "labels": dict | list,
}


@dataclass(frozen=True)
class Earlier:
    """An earlier split.

    Args:
        name: Its file name.
        column: `split` or `fold`.
        manifest: The whole of it, N rows.
        ids: Id of each row as in the manifest that is to be split now, N.
        places: Id -> split or fold, of the rows that have one.
        options: Those that its record names.
    """

    name: str
    column: str
    manifest: Manifest = field(repr=False)
    ids: Sequence[str] = field(repr=False)
    places: Mapping[str, str] = field(repr=False)
    options: Mapping[str, Any]


def read_earlier(path: Path, manifest: Manifest) -> Earlier:
    """Read what `split_manifest` wrote.

    Args:
        path: The earlier output.
        manifest: What is to be split now; ids that are audio paths become relative to its root.

    Raises:
        ManifestError: It cannot be read, its record was damaged, or it has neither a column `split` nor `fold`.
    """
    options = read_options(path)
    try:
        old = read_manifest(path)
    except ManifestError:
        if record_path(path).exists():
            raise
        old = read_manifest(path, audio_root=manifest.root)  # without its record, nothing says where `..` may lead
    ids = _ids_below(old, manifest.root)
    column = "fold" if options.get("folds") else find_part_column(old)
    old.require(column)
    named = zip(ids, old.column(column), strict=True)
    return Earlier(
        name=path.name,
        column=column,
        manifest=old,
        ids=ids,
        places={name: str(place) for name, place in named if place not in ("", None)},
        options=options,
    )


def read_options(path: Path) -> dict[str, Any]:
    """Return the options that the record beside a split names, none where there is no record.

    Raises:
        ManifestError: Somebody made something else of it.
    """
    record = record_path(path)
    if not record.is_file():
        return {}
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ManifestError(f"{record.name}: not JSON ({error}); delete it or split anew") from None
    options = content.get("options", {}) if isinstance(content, dict) else content
    if not isinstance(options, dict):
        raise ManifestError(f"{record.name}: options are {options!r}; expected a mapping; delete it or split anew")
    for name, kind in _KINDS.items():
        value = options.get(name)
        right = isinstance(value, kind) and not isinstance(value, bool)
        right = right and all(isinstance(each, str) for each in value) if isinstance(value, list) else right
        if value is not None and not right:
            raise ManifestError(f"{record.name}: option {name!r} is {value!r}; delete it there and give --{name}")
    return options


def find_part_column(manifest: Manifest) -> str:
    """Return `split`, or else `fold`.

    Raises:
        ManifestError: There is neither.
    """
    for name in ("split", "fold"):
        if manifest.has(name):
            return name
    raise ManifestError(
        f"{manifest.source.name}: neither a column 'split' nor 'fold'; found columns {manifest.table.column_names}; "
        "make one with `emoji-lightning split`"
    )


def check_earlier(earlier: Earlier, manifest: Manifest, column: str) -> None:
    """Refuse an earlier split of another kind or of other utterances.

    Raises:
        SplitError: It has folds where a split is asked for, or the other way round; none of its utterances is there; or
            audio that it had has another id now, and would be drawn anew.
    """
    if earlier.column != column:
        raise SplitError(
            f"{earlier.name} has a column {earlier.column!r}, and a {column!r} is asked for; give the options that it "
            "was made with, or another --output"
        )
    ids = manifest.ids
    if not any(name in earlier.places for name in ids):
        theirs = f"{len(earlier.places)} utterances of {earlier.name} ({next(iter(earlier.places), '')!r}, ...)"
        raise SplitError(
            f"none of the {theirs} is in {manifest.source.name} ({ids[0]!r}, ...); their ids differ. Give both a "
            "column 'id', or leave out --update"
        )
    _check_ids(earlier, manifest, ids)


def _check_ids(earlier: Earlier, manifest: Manifest, ids: Sequence[str]) -> None:
    if not (manifest.has("audio") and earlier.manifest.has("audio")):
        return
    here, places = set(ids), earlier.places
    gone = [row for row, name in enumerate(earlier.ids) if name in places and name not in here]
    new = [row for row, name in enumerate(ids) if name not in places]
    old_ids = dict(zip(_name_audio(earlier.manifest, gone), (earlier.ids[row] for row in gone), strict=True))
    problems = [
        f"{manifest.where(row)}: {ids[row]!r} is new, but its audio was {old!r}, in {places[old]}, in {earlier.name}; "
        "give it its id again, or split anew without --update"
        for row, audio in zip(new, _name_audio(manifest, new), strict=True)
        if (old := old_ids.get(audio))
    ]
    if problems:
        raise SplitError(join_problems(problems, limit=5))


def describe_growth(earlier: Earlier, manifest: Manifest) -> dict[str, Any]:
    """Return what the record says of an earlier split: utterances kept, new, gone and with another label."""
    ids = manifest.ids
    kept = sum(name in earlier.places for name in ids)
    old = dict(zip(earlier.ids, earlier.manifest.column("label"), strict=True)) if earlier.manifest.has("label") else {}
    pairs = ((old[name], label) for name, label in zip(ids, manifest.column("label"), strict=True) if name in old)
    changed = sum(a != b and normalize_label(a) != normalize_label(b) for a, b in pairs)
    gone = len(earlier.places) - kept
    return {"manifest": earlier.name, "kept": kept, "new": len(ids) - kept, "gone": gone, "relabelled": changed}


def _ids_below(manifest: Manifest, root: Path) -> list[str]:
    """Return ids, audio paths among them as relative to another root."""
    inside = os.path.relpath(root.resolve(), manifest.root.resolve())
    if manifest.has("id") or inside == ".":
        return manifest.ids
    above = os.path.relpath(manifest.root.resolve(), root.resolve())
    audio = manifest.column("audio")
    if not inside.startswith(".."):
        cut = len(inside) + 1
        moved = [name[cut:] if name.startswith(f"{inside}/") else os.path.relpath(f"{above}/{name}") for name in audio]
    else:
        moved = [os.path.normpath(f"{above}/{name}") for name in audio]
    return manifest.with_column("audio", moved).ids


def _name_audio(manifest: Manifest, rows: Sequence[int]) -> list[str]:
    """Return where the audio of some rows lies on this machine, with its segment."""
    chosen, root = manifest.select(rows), manifest.root.resolve()
    times = zip(chosen.seconds("start"), chosen.seconds("end"), strict=True)
    return [f"{root}/{name}#{start}-{end}" for name, (start, end) in zip(chosen.column("audio"), times, strict=True)]
