"""What a manifest asks of each system, with all that is wrong in it at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.errors import ConfigError, LabelError, ManifestError, join_problems
from emoji_lightning.label_map import LabelMap
from emoji_lightning.labels import LabelSet, normalize_label
from emoji_lightning.manifest import Manifest, read_manifest
from emoji_lightning.scoring.texts import Item, Lacking, find_lacking, find_pair_problems, find_texts

ASKED_COLUMNS = ("intended", "emoji")
"""Taken as `label` where there is none."""
ONLY_SYSTEM = "all"
"""What reports call the system where the manifest names none."""
UTTERANCE = "utterance"
UNKNOWN = ERROR, DROP = ("error", "drop")
NOT_SCORED = -1


@dataclass(frozen=True, eq=False)
class Asked:
    """What N utterances were asked to express.

    Attributes:
        manifest: The table, N rows.
        asked: N labels in normal form, also those that the head does not know.
        labels: (N,) int64, positions in the head's labels; -1 where it does not know the label.
        systems: N names.
        texts: N; None where nothing tells texts apart.
        groups: N; what the bootstrap draws.
        group_name: The column of the groups; "utterance" where each stands for itself.
        unknown: Label that the head does not know -> how many utterances ask for it.
        lacking: Texts that systems lack.
        notes: What a reader should know.
    """

    manifest: Manifest
    asked: Sequence[str]
    labels: NDArray[np.int64]
    systems: Sequence[str]
    texts: Sequence[str] | None
    groups: Sequence[str]
    group_name: str
    unknown: Mapping[str, int]
    lacking: Sequence[Lacking]
    notes: Sequence[str]

    def item(self, row: int) -> Item | None:
        """Return text and label of a row; None where it is not scored or nothing tells texts apart."""
        if self.texts is None or self.labels[row] == NOT_SCORED:
            return None
        return Item(self.texts[row], int(self.labels[row]))


def read_asked(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    audio_root: str | Path | None = None,
    label_map: LabelMap | None = None,
) -> tuple[Manifest, list[str]]:
    """Read a manifest whose `label`, `intended` or `emoji` is what each utterance was asked to express.

    Returns:
        The manifest with the column `label`, mapped if there is a map, and notes.

    Raises:
        ManifestError: It cannot be read, is empty, or has none of these columns; says which columns it has.
        LabelError: Labels are not in the map.
    """
    manifest = read_manifest(path, columns=columns, audio_root=audio_root)
    notes = []
    found = next((name for name in ASKED_COLUMNS if manifest.has(name)), None)
    if not manifest.has("label") and found is not None:
        values = ["" if value is None else str(value).strip() for value in manifest.column(found)]
        manifest = manifest.with_column("label", values)
        notes.append(f"{manifest.source.name}: no column 'label'; the emoji asked for are taken from {found!r}")
    try:
        manifest.require("label")
    except ManifestError as error:
        raise ManifestError(f"{error}; it says which emoji was asked for ('intended' or 'emoji' will do)") from None
    manifest.require("audio")
    if label_map is None:
        return manifest, notes
    mapped = manifest.map_labels(label_map)
    if num_gone := len(manifest) - len(mapped):
        notes.append(f"{manifest.source.name}: {label_map.source} leaves out {num_gone} of {len(manifest)} utterances")
    return mapped, notes


def check_asked(
    manifest: Manifest,
    label_set: LabelSet,
    *,
    group: str | None = None,
    unknown: str = ERROR,
    compare: bool = False,
    notes: Sequence[str] = (),
) -> Asked:
    """Find out what is asked of whom.

    Args:
        manifest: Table with the column `label`.
        label_set: The head's labels.
        group: Column of the groups that the bootstrap draws; by default that of the texts, else each utterance.
        unknown: "error" or "drop": what becomes of utterances that ask for a label outside the head's.
        compare: Whether systems will be compared on the texts that they share.
        notes: Handed on.

    Raises:
        ConfigError: `unknown` is neither.
        ManifestError: Labels are unknown or empty, the group's column or a system's name is missing, or the systems
            cannot be compared; all of these at once, each with its line.
    """
    if unknown not in UNKNOWN:
        raise ConfigError(f"--unknown is {unknown!r}; expected {' or '.join(UNKNOWN)}")
    problems: list[str] = []
    asked = [normalize_label(text) for text in manifest.column("label")]
    labels, refused = _find_labels(manifest, label_set, unknown, problems)
    systems = _find_systems(manifest, compare, problems)
    found = find_texts(manifest)
    if found:
        _refuse_gaps(manifest, *found, problems)
    elif compare:
        problems.append(
            f"{manifest.source.name}: no column 'text_id' (or 'text', 'source_id'); --compare pairs systems by text"
        )
    group_name, groups = _find_groups(manifest, group, found, problems)
    texts = found[1] if found else None
    items = [_item(texts, row, label) for row, label in enumerate(labels.tolist())]
    if compare and not problems and not refused:
        problems += find_pair_problems(manifest, systems, items, groups, group_name=group_name, names=list(label_set))
    if problems or refused:
        cure = "leave utterances of unknown labels out, counted, with --unknown drop, or map labels with --labels FILE"
        raise ManifestError("\n".join([join_problems([*refused, *problems]), *([cure] if refused else [])]))
    counts = _count([asked[row] for row in np.flatnonzero(labels == NOT_SCORED).tolist()])
    dropped = {(systems[row], texts[row]) for row, item in enumerate(items) if item is None and texts is not None}
    lacking = [each for each in find_lacking(systems, items) if (each.system, each.item.text) not in dropped]
    return Asked(manifest, asked, labels, systems, texts, groups, group_name, counts, lacking, list(notes))


def _item(texts: Sequence[str] | None, row: int, label: int) -> Item | None:
    return None if texts is None or label == NOT_SCORED else Item(texts[row], label)


def _find_labels(
    manifest: Manifest, label_set: LabelSet, unknown: str, problems: list[str]
) -> tuple[NDArray[np.int64], list[str]]:
    """Return the label of each row, shape (N,), and what is wrong with unknown ones if they are an error."""
    rows: dict[str, list[int]] = {}
    for row, text in enumerate(manifest.column("label")):
        rows.setdefault(text, []).append(row)
    labels = np.full(len(manifest), NOT_SCORED, dtype=np.int64)
    refused = []
    for text, places in rows.items():
        try:
            labels[places] = label_set.index(text)
        except LabelError as error:
            if not text:
                problems.append(f"{manifest.where(places[0])}: the emoji asked for is empty{_list(manifest, places)}")
            else:
                refused.append(f"{manifest.where(places[0])}: {error}{_list(manifest, places)}")
    if (labels == NOT_SCORED).all() and not problems and unknown == DROP:
        problems.append(
            f"{manifest.source.name}: no utterance asks for a label of the checkpoint, which are {list(label_set)}; "
            f"found {', '.join(map(repr, list(rows)[:10]))}; map them with --labels FILE"
        )
    return labels, refused if unknown == ERROR else []


def _list(manifest: Manifest, rows: Sequence[int]) -> str:
    lines = ", ".join(str(manifest.lines[row]) for row in rows[:10])
    more = f" and {len(rows) - 10} more" if len(rows) > 10 else ""
    return f" ({len(rows)} utterances: lines {lines}{more})" if len(rows) > 1 else " (1 utterance)"


def _find_systems(manifest: Manifest, compare: bool, problems: list[str]) -> list[str]:
    if not manifest.has("system") or not any(manifest.column("system")):
        if compare:
            problems.append(
                f"{manifest.source.name}: no column 'system', so there is nothing to compare; found columns "
                f"{manifest.table.column_names}; add it, or give --column system=ITS_NAME, or leave --compare out"
            )
        return [ONLY_SYSTEM] * len(manifest)
    systems: list[str] = manifest.column("system")
    _refuse_gaps(manifest, "system", systems, problems)
    return systems


def _find_groups(
    manifest: Manifest, group: str | None, texts: tuple[str, list[str]] | None, problems: list[str]
) -> tuple[str, list[str]]:
    if group is None:
        return texts or (UTTERANCE, manifest.ids)
    if not manifest.has(group):
        problems.append(
            f"{manifest.source.name}: --group {group} is no column; found columns {manifest.table.column_names}"
        )
        return UTTERANCE, manifest.ids
    groups = ["" if value is None else str(value).strip() for value in manifest.column(group)]
    if texts is None or group != texts[0]:
        _refuse_gaps(manifest, group, groups, problems)
    return group, groups


def _refuse_gaps(manifest: Manifest, name: str, values: Sequence[str], problems: list[str]) -> None:
    problems += [
        f"{manifest.where(row)}: {name} is empty; give every row one, or drop the column"
        for row, value in enumerate(values)
        if not value
    ]


def _count(labels: Sequence[str]) -> dict[str, int]:
    return {label: labels.count(label) for label in dict.fromkeys(labels)}
