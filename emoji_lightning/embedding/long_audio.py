"""What happens to audio that is too long to be one utterance."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.audio import SAMPLE_RATE
from emoji_lightning.embedding.spec import NO_LONG_AUDIO
from emoji_lightning.errors import AudioError, ConfigError

POLICIES = (NO_LONG_AUDIO, "truncate", "chunk")


@dataclass(frozen=True)
class LongAudio:
    """A limit, and what is done above it.

    Attributes:
        policy: "error": the utterance fails; "truncate": its beginning is embedded; "chunk": equal pieces, as few as
            the limit allows, are embedded as utterances of their own, and the mean of their vectors is taken, weighted
            by duration.
        max_seconds: The limit in seconds.
    """

    policy: str = NO_LONG_AUDIO
    max_seconds: float = 120.0

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ConfigError(f"--long is {self.policy!r}; expected one of {', '.join(POLICIES)}")
        if not 1 <= self.max_seconds < math.inf:
            raise ConfigError(f"--max-seconds is {self.max_seconds:g}; expected 1 second or more")

    def describe(self) -> str:
        """Return what a store records: two stores of different policies hold different vectors of long audio."""
        return self.policy if self.policy == NO_LONG_AUDIO else f"{self.policy} {self.max_seconds:g} s"

    def cut(self, waveform: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Return the pieces of a waveform (T,) to embed; one piece, itself, where it is within the limit.

        Raises:
            AudioError: It is longer than the policy allows.
        """
        limit = round(self.max_seconds * SAMPLE_RATE)
        if len(waveform) <= limit:
            return (waveform,)
        if self.policy == "truncate":
            return (waveform[:limit],)
        if self.policy == "chunk":
            return tuple(np.array_split(waveform, math.ceil(len(waveform) / limit)))
        raise AudioError(
            f"is {len(waveform) / SAMPLE_RATE:.1f} s long, the limit is {self.max_seconds:g} s; cut it into "
            "utterances, or choose --long truncate or --long chunk, or a higher --max-seconds"
        )
