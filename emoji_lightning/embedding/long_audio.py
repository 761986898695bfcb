"""What happens to audio that is too long to be one utterance."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.audio import SAMPLE_RATE
from emoji_lightning.errors import AudioError, ConfigError

ERROR, TRUNCATE, CHUNK = POLICIES = ("error", "truncate", "chunk")
WHOLE = "whole"
"""What a store records where there was no limit."""


@dataclass(frozen=True)
class LongAudio:
    """A limit, and what is done above it.

    Attributes:
        policy: "error": the utterance fails; "truncate": its beginning is embedded; "chunk": equal pieces, as few as
            the limit allows, are embedded as utterances of their own, and the mean of their vectors is taken, weighted
            by duration.
        max_seconds: The limit in seconds.
    """

    policy: str = ERROR
    max_seconds: float = 120.0

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ConfigError(f"--long is {self.policy!r}; expected one of {', '.join(POLICIES)}")
        if not 1 <= self.max_seconds < math.inf:
            raise ConfigError(f"--max-seconds is {self.max_seconds:g}; expected a finite number, 1 or more (seconds)")

    def describe(self) -> str:
        """Return what a store records: under other limits or policies the same audio has other vectors."""
        return f"{self.policy} {self.max_seconds:.12g} s"

    def cut(self, waveform: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Return the pieces of a waveform (T,) to embed; one piece, itself, where it is within the limit.

        Raises:
            AudioError: It is longer than the policy allows.
        """
        limit = round(self.max_seconds * SAMPLE_RATE)
        if len(waveform) <= limit:
            return (waveform,)
        if self.policy == TRUNCATE:
            return (waveform[:limit].copy(),)  # a view would keep all of it in memory
        if self.policy == CHUNK:
            return tuple(np.array_split(waveform, math.ceil(len(waveform) / limit)))
        raise AudioError(
            f"is {len(waveform) / SAMPLE_RATE:.1f} s long, the limit is {self.max_seconds:g} s; cut it into "
            "utterances, or choose --long truncate or --long chunk, or a higher --max-seconds"
        )


def merge_records(mine: str, theirs: str) -> str | None:
    """Return what a store records that holds vectors made under both; None where they must not be mixed.

    They may be where no audio would be embedded whole under the one and in part or in pieces under the other.

    >>> merge_records("error 120 s", "chunk 120 s"), merge_records("error 120 s", "chunk 60 s")
    ('chunk 120 s', None)
    """
    if mine == theirs:
        return mine
    (policy, limit), (other_policy, other_limit) = _parse(mine), _parse(theirs)
    if policy == other_policy == ERROR:
        return mine if limit >= other_limit else theirs
    if policy == ERROR:
        return theirs if limit <= other_limit else None
    return mine if other_policy == ERROR and other_limit <= limit else None


def _parse(record: str) -> tuple[str, float]:
    policy, _, rest = record.partition(" ")
    try:
        return policy, float(rest.removesuffix(" s"))
    except ValueError:  # WHOLE, and whatever else a store may say that has no limit
        return ERROR, math.inf
