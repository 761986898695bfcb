"""What samples say of a recording: how loud, clipped, silent."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.audio import Recording

CLIPPED_RUN = 3
"""Samples at full scale in a row that make a clip; fewer are a peak that was normalised to full scale.

Source: Audacity's "Find Clipping", whose start threshold is 3 contiguous samples.
"""

FRAME_S = 0.02
"""Length of the frames in which silence is looked for (s)."""

SILENCE_DBFS = -60.0
"""Level below which a frame is silent: 33 of 32,768 steps of 16 bit, below the noise of a quiet room.

The level is the root mean square around the frame's own mean, so that a constant offset is silence, too; 0 dBFS is a
square wave at full scale.
"""

# The highest level that a coding has on both sides of 0; others come nearer to 1 than 0.999.
_FULL_SCALE = {"PCM_U8": 127 / 128, "PCM_S8": 127 / 128, "ULAW": 32_124 / 32_768, "ALAW": 32_256 / 32_768}
_NEAR_ONE = 0.999
# Frames that are float64 at one time: an hour of them would take a gigabyte.
_BLOCK_FRAMES = 1_000


class Silence(NamedTuple):
    """Share of silent frames, and seconds of silence before the first and after the last sound."""

    share: float
    leading_s: float
    trailing_s: float


def measure_clipping(recording: Recording) -> float:
    """Return the share of samples that are clipped, 0 to 1.

    A channel is clipped where at least `CLIPPED_RUN` samples in a row have its own highest or lowest value, and that
    value is full scale (0.999, less where the coding ends earlier). Of audio that was clipped and then attenuated,
    resampled or coded with loss nothing is found: its plateaus are gone.

    Args:
        recording: Samples (T, channels).
    """
    full_scale = _FULL_SCALE.get(recording.subtype, _NEAR_ONE)
    num_clipped = 0
    for channel in recording.samples.T:
        for rail in {channel.max(), channel.min()}:  # one, where the channel never moves
            if abs(rail) >= full_scale:
                num_clipped += _count_in_runs(channel == rail)
    return num_clipped / recording.samples.size


def _count_in_runs(at_rail: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(at_rail, prepend=False, append=False))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= CLIPPED_RUN].sum())


def measure_rms_dbfs(waveform: NDArray[np.float32]) -> float:
    """Return the root mean square of a waveform (T,) in dB below full scale; -inf for digital silence."""
    power = float(np.einsum("i,i->", waveform, waveform, dtype=np.float64)) / len(waveform)
    return 10 * math.log10(power) if power else -math.inf


def measure_silence(waveform: NDArray[np.float32], rate: int) -> Silence:
    """Find the silent frames of `FRAME_S` each, the last one as short as it is.

    Args:
        waveform: Shape (T,), T >= 1.
        rate: In Hz.

    Returns:
        Share and seconds; where all is silent, both ends are as long as the waveform.
    """
    size = round(rate * FRAME_S)
    silent = _frame_powers(waveform, size) < 10 ** (SILENCE_DBFS / 10)
    sounds = np.flatnonzero(~silent)
    first, last = (sounds[0], sounds[-1]) if len(sounds) else (len(silent), -1)
    leading = min(int(first) * size, len(waveform))
    trailing = max(len(waveform) - (int(last) + 1) * size, 0)
    return Silence(float(silent.mean()), leading / rate, trailing / rate)


def _frame_powers(waveform: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """Return the mean square of each frame around its mean, in float64: a large offset must not drown what is small."""
    whole = len(waveform) // size * size
    frames = waveform[:whole].reshape(-1, size)
    blocks = [frames[at : at + _BLOCK_FRAMES] for at in range(0, len(frames), _BLOCK_FRAMES)]
    if whole < len(waveform):
        blocks.append(waveform[None, whole:])
    return np.concatenate([block.var(axis=1, dtype=np.float64) for block in blocks])
