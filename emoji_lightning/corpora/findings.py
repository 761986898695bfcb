"""Utterances that are worth listening to: clipped, silent, too short or long, or not usable at all."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from emoji_lightning.corpora.scan import AudioFacts
from emoji_lightning.errors import AudioError
from emoji_lightning.manifest import Manifest

LONG_SILENCE_S = 0.5
"""Silence at an end that is longer than this is listed (s); TTS and cut recordings leave 0.1 to 0.3 s."""

SHORTEST_S, LONGEST_S = 0.025, 120.0
"""Below, the encoder has no frame (400 samples at 16 kHz); above, `embed` takes audio for too long unless told."""


@dataclass(frozen=True)
class Finding:
    """An utterance of some kind: place (`labels.csv:14`), id, audio path, and the number that makes it so."""

    place: str
    id: str
    audio: str
    value: float


@dataclass(frozen=True)
class Kind:
    """Utterances of one kind.

    Attributes:
        value_is: What the numbers are, with their unit.
        utterances: The worst first.
    """

    value_is: str
    utterances: list[Finding]


@dataclass(frozen=True)
class Failure:
    """An utterance whose audio cannot be used: place, id, audio path and the reason."""

    place: str
    id: str
    audio: str
    reason: str


class _Rule(NamedTuple):
    value_is: str
    applies: Callable[[AudioFacts], bool]
    value: Callable[[AudioFacts], float]


KINDS = {
    "clipped": _Rule("share of samples", lambda facts: facts.clipped > 0, lambda facts: facts.clipped),
    "over_full_scale": _Rule("peak", lambda facts: facts.peak > 1, lambda facts: facts.peak),
    "silent": _Rule("duration (s)", lambda facts: facts.is_silent, lambda facts: facts.duration_s),
    "long_leading_silence": _Rule(
        "silence (s)",
        lambda facts: facts.leading_silence_s > LONG_SILENCE_S and not facts.is_silent,
        lambda facts: facts.leading_silence_s,
    ),
    "long_trailing_silence": _Rule(
        "silence (s)",
        lambda facts: facts.trailing_silence_s > LONG_SILENCE_S and not facts.is_silent,
        lambda facts: facts.trailing_silence_s,
    ),
    "too_short": _Rule("duration (s)", lambda facts: facts.duration_s < SHORTEST_S, lambda facts: facts.duration_s),
    "too_long": _Rule("duration (s)", lambda facts: facts.duration_s > LONGEST_S, lambda facts: facts.duration_s),
}
"""What is looked for, in the order of the report; over full scale means: clipped if it is written as 16 bit."""


def find_kinds(manifest: Manifest, facts: Mapping[int, AudioFacts]) -> dict[str, Kind]:
    """List the utterances of each of `KINDS`.

    Args:
        manifest: Table with the column `audio`.
        facts: Row -> what its audio holds; rows that cannot be used are left out.
    """
    ids, audio = manifest.ids, manifest.column("audio")
    found = {}
    for name, rule in KINDS.items():
        values = {row: rule.value(each) for row, each in facts.items() if rule.applies(each)}
        rows = sorted(values, key=values.__getitem__, reverse=name != "too_short")
        findings = [Finding(manifest.where(row), ids[row], audio[row], values[row]) for row in rows]
        found[name] = Kind(rule.value_is, findings)
    return found


def list_failures(manifest: Manifest, results: Sequence[AudioFacts | AudioError]) -> list[Failure]:
    """List the utterances whose audio cannot be used, in the order of the manifest.

    Args:
        manifest: Table of N rows with the column `audio`.
        results: What `scan_audio` gave for each row, N.
    """
    return list(_iterate_failures(manifest, results))


def _iterate_failures(manifest: Manifest, results: Sequence[AudioFacts | AudioError]) -> Iterator[Failure]:
    ids, audio, paths = manifest.ids, manifest.column("audio"), manifest.audio_paths()
    for row, result in enumerate(results):
        if isinstance(result, AudioError):
            # The message begins with the path on this machine; the report names it as the manifest does.
            yield Failure(manifest.where(row), ids[row], audio[row], str(result).removeprefix(f"{paths[row]}: "))
