"""Which of the files that voice a text are kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from emoji_lightning.corpora.scan import AudioFacts
from emoji_lightning.errors import AudioError

KEEP = ("first", "all")
"""The utterance of the first system whose file can be decoded, or those of all."""


class Candidate(NamedTuple):
    """A file that voices a text: the text's row, the system's name, the file's absolute path."""

    row: int
    system: str
    path: str


@dataclass(frozen=True)
class Choice:
    """What was kept and what could not be decoded, each by row and then by preference."""

    kept: Sequence[tuple[Candidate, AudioFacts]]
    failed: Sequence[tuple[Candidate, AudioError]]


Check = Callable[[Sequence[Candidate]], Sequence[AudioFacts | AudioError]]
"""Candidates, N -> what decoding each gave, N."""


def choose(candidates: Sequence[Sequence[Candidate]], keep: str, check: Check) -> Choice:
    """Choose from each text's candidates those that can be decoded.

    Args:
        candidates: Of each text, in order of preference; N sequences, the row of a text is its position.
        keep: "first" or "all".
        check: Called with all first candidates, then with the second ones that are still needed, and so on.
    """
    kept: list[tuple[Candidate, AudioFacts]] = []
    failed: list[tuple[Candidate, AudioError]] = []
    voiced: set[int] = set()
    for depth in range(max(map(len, candidates), default=0)):
        asked = [each[depth] for each in candidates if len(each) > depth]
        if keep == "first":
            asked = [candidate for candidate in asked if candidate.row not in voiced]
        for candidate, found in zip(asked, check(asked), strict=True):
            if isinstance(found, AudioError):
                failed.append((candidate, found))
            else:
                kept.append((candidate, found))
                voiced.add(candidate.row)
    # Sorting is stable: of one text, the preferred candidate came first.
    return Choice(sorted(kept, key=_row_of), sorted(failed, key=_row_of))


def _row_of(pair: tuple[Candidate, object]) -> int:
    return pair[0].row
