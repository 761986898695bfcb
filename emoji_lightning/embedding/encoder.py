"""The encoder contract: 16 kHz waveform in, one vector out, the same bits whatever was encoded before.

A new encoder derives from `Encoder`, says what it is in a spec and how short an utterance may be, and computes one
vector; one that is faster on many utterances also says how many it takes at once. Reading audio, checking it, planning
batches, storing vectors and resuming are done around it.
"""

import difflib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.audio import SAMPLE_RATE
from emoji_lightning.embedding import hub
from emoji_lightning.embedding.planner import BatchLimits
from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.errors import AudioError, EncoderError

LOGMEL = "logmel"
PRECISIONS = ("fp32", "bf16")
FRAME_SAMPLES = 320
"""Samples at 16 kHz of one frame, 20 ms."""


class Encoder(ABC):
    """Waveform (T,) float32, 16 kHz -> utterance embedding (D,) float32."""

    @property
    @abstractmethod
    def spec(self) -> EmbeddingSpec:
        """What a store must record about this encoder's vectors."""

    @property
    @abstractmethod
    def min_samples(self) -> int:
        """The shortest waveform that can be encoded, in samples at 16 kHz."""

    @property
    def limits(self) -> BatchLimits:
        """What `encode_batch` may be given at once; frames are those of `num_frames`."""
        return BatchLimits(window_frames=6_000, window_utterances=32)

    def num_frames(self, num_samples: int) -> int:
        """Return the frames (20 ms) of so many samples, the planner's measure of work and memory."""
        return num_samples // FRAME_SAMPLES + 1

    @abstractmethod
    def _embed(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the embedding (D,) of a waveform (T,) that is finite and long enough."""

    def _embed_batch(self, waveforms: Sequence[NDArray[np.float32]]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield position and embedding (D,) of B waveforms that are finite and long enough, in any order."""
        for position, waveform in enumerate(waveforms):
            yield position, self._embed(waveform)

    @final
    def encode(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed one utterance.

        Args:
            waveform: (T,) float32 at 16 kHz, mono.

        Returns:
            Embedding (D,) float32, every value finite.

        Raises:
            AudioError: The waveform is shorter than `min_samples`, or its embedding is not finite.
        """
        if reason := self._find_reason(waveform):
            raise AudioError(reason)
        embedding = self._check(self._embed(waveform))
        if isinstance(embedding, AudioError):
            raise embedding
        return embedding

    @final
    def encode_batch(
        self, waveforms: Sequence[NDArray[np.float32]]
    ) -> Iterator[tuple[int, NDArray[np.float32] | AudioError]]:
        """Embed utterances together; one that cannot be embedded harms no other.

        Args:
            waveforms: B waveforms (T_b,) float32 at 16 kHz, mono, within `limits`.

        Yields:
            Of each, as soon as it is done: its position, and the embedding (D,) float32 or what `encode` would raise.
        """
        good = []
        for position, waveform in enumerate(waveforms):
            if reason := self._find_reason(waveform):
                yield position, AudioError(reason)
            else:
                good.append(position)
        for place, embedding in self._embed_batch([waveforms[position] for position in good]):
            yield good[place], self._check(embedding)

    def _find_reason(self, waveform: NDArray[np.float32]) -> str:
        """Say why a waveform cannot be encoded; empty where it can."""
        if waveform.ndim != 1 or waveform.dtype != np.float32:
            return f"waveform is {waveform.dtype} {waveform.shape}, float32 (T,) at 16 kHz is needed"
        if len(waveform) < self.min_samples:
            return f"{_length(len(waveform))}, at least {_length(self.min_samples, '')} are needed"
        return "" if np.isfinite(waveform).all() else "the waveform holds NaN or infinite samples"

    def _check(self, embedding: NDArray[np.float32]) -> NDArray[np.float32] | AudioError:
        embedding = np.asarray(embedding, dtype=np.float32)
        if embedding.shape != (self.spec.dim,) or not np.isfinite(embedding).all():
            return AudioError(f"{self.spec.encoder} gives no finite vector of {self.spec.dim} values for this audio")
        return embedding


def load_encoder(
    name_or_folder: str, *, device: str = "auto", precision: str = "fp32", max_frames: int | None = None
) -> Encoder:
    """Load an encoder by name, hub id, or from a local folder.

    Args:
        name_or_folder: `emotion2vec_base`, `emotion2vec_plus_seed`, `emotion2vec_plus_base`, `emotion2vec_plus_large`
            (also with `iic/` or `emotion2vec/` before it), `logmel`, or a folder with `config.yaml` and weights.
        device: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`.
        precision: `fp32`, or `bf16`: twice as fast and more, but vectors move by 6-10 % of the spread between
            utterances, so they need a store of their own.
        max_frames: Frames of 20 ms in a batch; by default as many as the memory holds.

    Returns:
        The encoder, ready to encode.

    Raises:
        EncoderError: The name is unknown, the device or the precision is not there, the model cannot be fetched, or
            its files do not fit.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", device):
        raise EncoderError(f"device {device!r} is not one of auto, cpu, cuda, cuda:N")
    if precision not in PRECISIONS:
        raise EncoderError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    if name_or_folder == LOGMEL:
        return _load_logmel(device, precision)
    name = hub.short_name(name_or_folder)
    if name is None and not Path(name_or_folder).is_dir():
        raise EncoderError(_describe_unknown(name_or_folder))
    folder = Path(name_or_folder) if name is None else hub.fetch_model(name)
    # Here and not above: torch costs a second that `logmel` and error messages need not wait for.
    from emoji_lightning.embedding.emotion2vec import Emotion2vecEncoder

    name = name or folder.resolve().name
    return Emotion2vecEncoder(folder, name=name, device=device, precision=precision, max_frames=max_frames)


def _load_logmel(device: str, precision: str) -> Encoder:
    from emoji_lightning.embedding.logmel import LogMelEncoder

    if device.startswith("cuda"):
        raise EncoderError(f"logmel runs on the CPU only, but the device is {device!r}; use auto or cpu")
    if precision != "fp32":
        raise EncoderError(f"logmel is computed in fp32 only, but the precision is {precision!r}")
    return LogMelEncoder()


def _describe_unknown(name: str) -> str:
    known = [*hub.MODELS, LOGMEL]
    if any(mark in name for mark in "/\\~.") and name.split("/")[0] not in hub.OWNERS:
        return f"{name}: no such folder; give a folder with config.yaml and weights, or one of {known}"
    close = difflib.get_close_matches(name.split("/")[-1].lower(), known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"encoder {name!r} is not one of {known} and not a folder{hint}"


def _length(samples: int, word: str = " samples") -> str:
    return f"{samples}{word} ({samples / SAMPLE_RATE * 1000:.3g} ms)"
