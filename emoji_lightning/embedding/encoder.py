"""The encoder contract: 16 kHz waveform in, one vector out, the same bits whatever was encoded before.

A new encoder derives from `Encoder`, says what it is in a spec and how short an utterance may be, and computes one
vector. Reading audio, checking it, storing vectors and resuming are done around it.
"""

import difflib
import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.audio import SAMPLE_RATE
from emoji_lightning.embedding import hub
from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.errors import AudioError, EncoderError

LOGMEL = "logmel"


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

    @abstractmethod
    def _embed(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the embedding (D,) of a waveform (T,) that is finite and long enough."""

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
        if waveform.ndim != 1 or waveform.dtype != np.float32:
            raise AudioError(f"waveform is {waveform.dtype} {waveform.shape}, float32 (T,) at 16 kHz is needed")
        if len(waveform) < self.min_samples:
            raise AudioError(f"{_length(len(waveform))}, at least {_length(self.min_samples, '')} are needed")
        if not np.isfinite(waveform).all():
            raise AudioError("the waveform holds NaN or infinite samples")
        embedding = np.asarray(self._embed(waveform), dtype=np.float32)
        if embedding.shape != (self.spec.dim,) or not np.isfinite(embedding).all():
            raise AudioError(f"{self.spec.encoder} gives no finite vector of {self.spec.dim} values for this audio")
        return embedding


def load_encoder(name_or_folder: str, *, device: str = "auto") -> Encoder:
    """Load an encoder by name, hub id, or from a local folder.

    Args:
        name_or_folder: `emotion2vec_base`, `emotion2vec_plus_seed`, `emotion2vec_plus_base`, `emotion2vec_plus_large`
            (also with `iic/` or `emotion2vec/` before it), `logmel`, or a folder with `config.yaml` and weights.
        device: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`.

    Returns:
        The encoder, ready to encode.

    Raises:
        EncoderError: The name is unknown, the device is not there, the model cannot be fetched, or its files do not
            fit.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", device):
        raise EncoderError(f"device {device!r} is not one of auto, cpu, cuda, cuda:N")
    if name_or_folder == LOGMEL:
        return _load_logmel(device)
    name = hub.short_name(name_or_folder)
    if name is None and not Path(name_or_folder).is_dir():
        raise EncoderError(_describe_unknown(name_or_folder))
    folder = Path(name_or_folder) if name is None else hub.fetch_model(name)
    # Here and not above: torch and funasr cost seconds that `logmel` and error messages need not wait for.
    from emoji_lightning.embedding.emotion2vec import Emotion2vecEncoder

    return Emotion2vecEncoder(folder, name=name or folder.resolve().name, device=device)


def _load_logmel(device: str) -> Encoder:
    from emoji_lightning.embedding.logmel import LogMelEncoder

    if device.startswith("cuda"):
        raise EncoderError(f"logmel runs on the CPU only, but the device is {device!r}; use auto or cpu")
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
