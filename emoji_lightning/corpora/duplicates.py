"""Utterances that are the same audio: byte for byte, or sample for sample in another file or container.

The same audio under two labels spoils training, and in two splits it makes every reported figure too good.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from emoji_lightning.audio import segment_key
from emoji_lightning.corpora.scan import AudioFacts
from emoji_lightning.manifest import Manifest


@dataclass(frozen=True)
class DuplicateRow:
    """A row of a group: place (`labels.csv:14`), id, audio path, label and split (empty without one), format."""

    place: str
    id: str
    audio: str
    label: str
    split: str
    format: str


@dataclass(frozen=True)
class DuplicateGroup:
    """Rows with the same audio, and whether their labels or their splits are several."""

    rows: list[DuplicateRow]
    labels_disagree: bool
    splits_disagree: bool


@dataclass(frozen=True)
class Duplicates:
    """Groups of rows with the same audio; those that disagree come first.

    Attributes:
        num_repeated: Utterances whose audio an earlier row has already.
        num_label_conflicts: Different audio that stands under several labels.
        num_split_leaks: Different audio that stands in several splits.
        identical_files: Rows of byte-identical files (and equal times).
        same_audio: Rows whose samples and rate are the same in different bytes, files or times; byte-identical rows
            of such a group stand in it, too.
    """

    num_repeated: int
    num_label_conflicts: int
    num_split_leaks: int
    identical_files: list[DuplicateGroup]
    same_audio: list[DuplicateGroup]


def find_duplicates(manifest: Manifest, labels: Sequence[str], facts: Mapping[int, AudioFacts]) -> Duplicates:
    """Group the rows of a manifest by their audio.

    The same speech at another rate or after lossy coding has other samples and is not found.

    Args:
        manifest: Table of N rows with the column `audio`.
        labels: Label of each row in normal form, N; none where there is no column `label`.
        facts: Row -> what its audio holds; rows that cannot be used are left out.
    """
    starts, ends = manifest.seconds("start"), manifest.seconds("end")
    keys = {row: segment_key(each.file_sha256, starts[row], ends[row]) for row, each in facts.items()}
    describe = _Describer(manifest, labels, facts)
    by_bytes = [rows for rows in _group(facts, keys.__getitem__) if len(rows) > 1]
    by_audio = [rows for rows in _group(facts, lambda row: facts[row].audio_digest) if len(rows) > 1]
    all_groups = [describe.group(rows) for rows in by_audio]
    return Duplicates(
        num_repeated=sum(len(rows) - 1 for rows in by_audio),
        num_label_conflicts=sum(group.labels_disagree for group in all_groups),
        num_split_leaks=sum(group.splits_disagree for group in all_groups),
        identical_files=_order([describe.group(rows) for rows in by_bytes]),
        same_audio=_order(
            [group for group, rows in zip(all_groups, by_audio, strict=True) if len({keys[row] for row in rows}) > 1]
        ),
    )


def _group(rows: Mapping[int, AudioFacts], key: Callable[[int], str]) -> list[list[int]]:
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return list(groups.values())


def _order(groups: list[DuplicateGroup]) -> list[DuplicateGroup]:
    return sorted(groups, key=lambda group: not (group.labels_disagree or group.splits_disagree))


class _Describer:
    """Names rows; columns are turned into Python values once."""

    def __init__(self, manifest: Manifest, labels: Sequence[str], facts: Mapping[int, AudioFacts]) -> None:
        self._manifest = manifest
        self._labels = labels or [""] * len(manifest)
        self._splits = manifest.column("split") if manifest.has("split") else [""] * len(manifest)
        self._ids, self._audio = manifest.ids, manifest.column("audio")
        self._facts = facts

    def group(self, rows: Sequence[int]) -> DuplicateGroup:
        labels = {self._labels[row] for row in rows}
        splits = {self._splits[row] for row in rows} - {""}
        return DuplicateGroup([self._row(row) for row in rows], len(labels) > 1, len(splits) > 1)

    def _row(self, row: int) -> DuplicateRow:
        facts = self._facts[row]
        return DuplicateRow(
            place=self._manifest.where(row),
            id=self._ids[row],
            audio=self._audio[row],
            label=self._labels[row],
            split=self._splits[row],
            format=f"{facts.format} {facts.subtype}",
        )
