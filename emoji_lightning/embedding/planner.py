"""Which utterances share a batch: similar lengths together, no batch larger than the memory."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """What an encoder takes at once.

    Attributes:
        window_frames: Frames that are read before batches are planned from them: the more, the closer the lengths in
            one batch, and the more memory the waveforms take (1.3 KB a frame).
        window_utterances: The same for utterances.
        padded_frames: Frames in one batch, where every utterance takes the room of the longest beside it; None for an
            encoder that computes each utterance alone, and that may be given all at once.
    """

    window_frames: int
    window_utterances: int
    padded_frames: int | None = None


def plan_batches(frames: Sequence[int], limits: BatchLimits) -> list[list[int]]:
    """Group utterances into batches, the longest first: what does not fit the memory is seen at once.

    Args:
        frames: Frames of N utterances.
        limits: What a batch may hold. An utterance that is too long for any batch gets one of its own.

    Returns:
        Batches of positions in `frames`; each position is in exactly one.

    >>> plan_batches([50, 200, 180, 60], BatchLimits(window_frames=500, window_utterances=9, padded_frames=400))
    [[1, 2], [3, 0]]
    """
    order = sorted(range(len(frames)), key=lambda position: -frames[position])
    if limits.padded_frames is None:
        return [order] if order else []
    batches: list[list[int]] = []
    for position in order:
        if not batches or (len(batches[-1]) + 1) * frames[batches[-1][0]] > limits.padded_frames:
            batches.append([])
        batches[-1].append(position)
    return batches
