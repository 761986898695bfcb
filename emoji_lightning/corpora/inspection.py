"""A manifest -> what it holds: counts, hours, what is wrong with audio, duplicates, label spellings."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emoji_lightning.corpora.duplicates import Duplicates, find_duplicates
from emoji_lightning.corpora.findings import Failure, Kind, find_kinds, list_failures
from emoji_lightning.corpora.scan import AudioFacts, Segment, scan_audio
from emoji_lightning.corpora.table_counts import (
    ColumnCounts,
    Spelling,
    ValueCount,
    count_columns,
    count_values,
    find_spellings,
    resolve_labels,
)
from emoji_lightning.errors import AudioError
from emoji_lightning.labels import LabelSet
from emoji_lightning.manifest import Manifest

QUANTILES = {"min": 0.0, "5%": 0.05, "median": 0.5, "95%": 0.95, "max": 1.0}


@dataclass(frozen=True)
class AudioSummary:
    """What the audio of a manifest holds.

    Attributes:
        num_files: Different files.
        hours: Length of all utterances that can be used.
        duration_s: `min`, `5%`, `median`, `95%` and `max` of their lengths; empty where none can be used.
        sample_rates: Utterances by rate (Hz) of their file, as text.
        num_channels: Utterances by number of channels of their file, as text.
        formats: Utterances by libsndfile's words for container and coding: "WAV PCM_16".
        findings: What is odd, by kind: `clipped`, `silent`, `too_short` and others, see `findings.KINDS`.
        duplicates: Utterances that are the same audio.
        failed: Utterances whose audio cannot be used.
    """

    num_files: int
    hours: float
    duration_s: dict[str, float]
    sample_rates: dict[str, int]
    num_channels: dict[str, int]
    formats: dict[str, int]
    findings: dict[str, Kind]
    duplicates: Duplicates
    failed: list[Failure]


@dataclass(frozen=True)
class Inspection:
    """What a manifest holds.

    Attributes:
        manifest: Name of its file or folder.
        num_utterances: Rows.
        labels: Counts by label in normal form, commonest first; empty where there is no column `label`.
        unknown_labels: Those that are not in the label set that was asked for.
        spellings: Spellings of labels that were normalised.
        columns: Distinct values of `split`, `fold`, `system`, `speaker`, `source_id` and `text`, as they exist.
        audio: What the audio holds; None where it was not looked at.
        audio_skipped: Why it was not; empty where it was.
        num_failed: Utterances whose audio was to be looked at and cannot be used.
    """

    manifest: str
    num_utterances: int
    labels: dict[str, ValueCount]
    unknown_labels: list[str]
    spellings: list[Spelling]
    columns: dict[str, ColumnCounts]
    audio: AudioSummary | None
    audio_skipped: str
    num_failed: int

    def to_json(self) -> dict[str, Any]:
        """Return dictionaries, lists, text, finite numbers and None under the names of the attributes."""
        return asdict(self)


def inspect_manifest(
    manifest: Manifest,
    label_set: LabelSet | None = None,
    *,
    look_at_audio: bool = True,
    workers: int | None = None,
    progress: bool = False,
) -> Inspection:
    """Count what a manifest holds, and look at its audio.

    Where there is no column `audio`, or not one audio file is there, the table is counted all the same.

    Args:
        manifest: Table of utterances.
        label_set: What the labels should be; None takes them as they are.
        look_at_audio: Whether audio is read at all.
        workers: Threads that read it; by default one a core.
        progress: Whether to show a progress bar on a terminal.
    """
    labels = resolve_labels(manifest, label_set)
    skipped = _why_skipped(manifest, look_at_audio)
    results = [] if skipped else scan_audio(_segments(manifest), workers=workers, progress=progress)
    durations = None if skipped else [each.duration_s if isinstance(each, AudioFacts) else 0.0 for each in results]
    audio = None if skipped else _summarize(manifest, labels, results)
    all_missing = bool(skipped) and look_at_audio and manifest.has("audio")
    return Inspection(
        manifest=manifest.source.name,
        num_utterances=len(manifest),
        labels=count_values(labels, durations if labels else None),
        unknown_labels=sorted(set(labels) - set(label_set)) if label_set else [],
        spellings=find_spellings(manifest, labels),
        columns=count_columns(manifest, durations),
        audio=audio,
        audio_skipped=skipped,
        num_failed=len(audio.failed) if audio else len(manifest) * all_missing,
    )


def _why_skipped(manifest: Manifest, look_at_audio: bool) -> str:
    if not manifest.has("audio"):
        return "the manifest has no column 'audio'"
    if not look_at_audio:
        return "it was not asked for"
    if not any(map(_may_be_there, manifest.audio_paths())):
        return f"none of its files is there, the first is {manifest.column('audio')[0]!r}"
    return ""


def _may_be_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # something is there that may not be looked at: the scan says what
        return True


def _segments(manifest: Manifest) -> Iterable[Segment]:
    return map(Segment, manifest.audio_paths(), manifest.seconds("start"), manifest.seconds("end"))


def _summarize(manifest: Manifest, labels: Sequence[str], results: Sequence[AudioFacts | AudioError]) -> AudioSummary:
    facts = {row: each for row, each in enumerate(results) if isinstance(each, AudioFacts)}
    return AudioSummary(
        num_files=len(set(manifest.column("audio"))),
        hours=sum(each.duration_s for each in facts.values()) / 3600,
        duration_s=_quantiles([each.duration_s for each in facts.values()]),
        sample_rates=_count(str(each.sample_rate) for each in facts.values()),
        num_channels=_count(str(each.num_channels) for each in facts.values()),
        formats=_count(f"{each.format} {each.subtype}" for each in facts.values()),
        findings=find_kinds(manifest, facts),
        duplicates=find_duplicates(manifest, labels, facts),
        failed=list_failures(manifest, results),
    )


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    return {name: float(np.quantile(values, share)) for name, share in QUANTILES.items()} if values else {}


def _count(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())
