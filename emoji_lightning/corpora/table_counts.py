"""What the table of a manifest says without its audio: values per column, labels and how they were spelt."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

from emoji_lightning.errors import LabelError
from emoji_lightning.labels import NONE, LabelSet, normalize_label
from emoji_lightning.manifest import Manifest

LISTED_COLUMNS = ("split", "fold", "system", "speaker")
"""Columns whose values are named, where they are few; of the others only how many values there are."""

COUNTED_COLUMNS = (*LISTED_COLUMNS, "source_id", "text")
MAX_LISTED = 20
"""A column with more distinct values is described by their number and the utterances per value."""

_SKIN_TONE = re.compile("[\U0001f3fb-\U0001f3ff]")


@dataclass(frozen=True)
class ValueCount:
    """How often a value occurs, and the hours of audio that it has; None where the audio was not looked at."""

    num_utterances: int
    hours: float | None


@dataclass(frozen=True)
class ColumnCounts:
    """The distinct values of a column.

    Attributes:
        num_values: Distinct values, the empty one not counted.
        num_empty: Rows without a value.
        min_per_value: Utterances of the rarest value.
        median_per_value: Median of the utterances per value.
        max_per_value: Utterances of the commonest value.
        values: Count of each value, commonest first; empty where there are more than `MAX_LISTED`, and for texts.
    """

    num_values: int
    num_empty: int
    min_per_value: int
    median_per_value: float
    max_per_value: int
    values: dict[str, ValueCount]


@dataclass(frozen=True)
class Spelling:
    """A spelling that is not the label's normal form, what makes it another, and how often it stands in the table."""

    spelling: str
    label: str
    kind: str
    num_utterances: int


def resolve_labels(manifest: Manifest, label_set: LabelSet | None = None) -> list[str]:
    """Return the label of each row in normal form, N; no rows where the manifest has no column `label`.

    A broken encoding that lost a byte becomes the one label of the label set that it can be.

    Args:
        manifest: Table of N rows.
        label_set: By default the one that the manifest's labels suggest.
    """
    if not manifest.has("label"):
        return []
    if label_set is None:
        with suppress(LabelError):  # fewer than two labels: nothing to train on, but something to look at
            label_set = manifest.infer_labels()
    texts = manifest.column("label")
    labels = {text: _resolve(text, label_set) for text in dict.fromkeys(texts)}
    return [labels[text] for text in texts]


def _resolve(text: str, label_set: LabelSet | None) -> str:
    label = normalize_label(text)
    if label_set is None:
        return label
    try:
        return label_set.labels[label_set.index(text)]
    except LabelError:
        return label


def count_values(values: Sequence[str], durations_s: Sequence[float] | None) -> dict[str, ValueCount]:
    """Count distinct values, commonest first.

    Args:
        values: N values.
        durations_s: Seconds of audio of each row, N; 0 where the audio cannot be used, None where none was looked at.
    """
    seconds: defaultdict[str, float] = defaultdict(float)
    for value, duration_s in zip(values, durations_s or (), strict=durations_s is not None):
        seconds[value] += duration_s
    counts = sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0]))
    return {value: ValueCount(n, None if durations_s is None else seconds[value] / 3600) for value, n in counts}


def count_columns(manifest: Manifest, durations_s: Sequence[float] | None) -> dict[str, ColumnCounts]:
    """Describe each of `COUNTED_COLUMNS` that the manifest has; arguments and errors as `count_values`."""
    return {
        name: _count_column([_to_text(value) for value in manifest.column(name)], name, durations_s)
        for name in COUNTED_COLUMNS
        if manifest.has(name)
    }


def _count_column(values: Sequence[str], name: str, durations_s: Sequence[float] | None) -> ColumnCounts:
    counts = count_values(values, durations_s)
    empty = counts.pop("", None)
    numbers = [count.num_utterances for count in counts.values()] or [0]
    listed = name in LISTED_COLUMNS and len(counts) <= MAX_LISTED
    return ColumnCounts(
        num_values=len(counts),
        num_empty=empty.num_utterances if empty else 0,
        min_per_value=min(numbers),
        median_per_value=median(numbers),
        max_per_value=max(numbers),
        values=counts if listed else {},
    )


def _to_text(value: object) -> str:
    return "" if value is None else str(value).strip()


def find_spellings(manifest: Manifest, labels: Sequence[str]) -> list[Spelling]:
    """List the spellings that were normalised, commonest first.

    Args:
        manifest: Table of N rows.
        labels: What `resolve_labels` gave for it.
    """
    if not manifest.has("label"):
        return []
    pairs = Counter(zip(manifest.column("label"), labels, strict=True))
    changed = [(text, label, n) for (text, label), n in pairs.items() if text != label]
    return [
        Spelling(text, label, _describe_change(text, label), n)
        for text, label, n in sorted(changed, key=lambda each: (-each[2], each[0]))
    ]


def _describe_change(text: str, label: str) -> str:
    if re.fullmatch(r"(:[^:\s]+:)+", text):
        return "shortcode"
    if text.lower() == NONE:
        return "letter case"
    if unicodedata.normalize("NFC", text).strip() == label:
        return "blanks or composition"
    if text.replace("\ufe0f", "") == label:
        return "variation selector"
    return "skin tone" if _SKIN_TONE.search(text) else "broken encoding"
