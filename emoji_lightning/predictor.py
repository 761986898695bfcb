"""A stored head and audio in, labels out; needs no Lightning."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from emoji_lightning.audio import load_waveform
from emoji_lightning.checkpoint.stored_head import StoredHead, read_head
from emoji_lightning.embedding.encoder import Encoder, load_encoder
from emoji_lightning.embedding.hub import same_encoder
from emoji_lightning.errors import AudioError, CheckpointError
from emoji_lightning.manifest.folders import AUDIO_SUFFIXES, list_audio


@dataclass(frozen=True)
class Classification:
    """The answer for one utterance.

    Attributes:
        audio: The file as it was named.
        probabilities: Labels with their probabilities, the likeliest first.
    """

    audio: str
    probabilities: tuple[tuple[str, float], ...]

    @property
    def label(self) -> str:
        """The likeliest label."""
        return self.probabilities[0][0]


class Predictor:
    """Turns audio into labels.

    >>> Predictor.load("checkpoints/ours").classify("speech.wav").label  # doctest: +SKIP
    '😂'

    Args:
        head: The head and its labels.
        encoder: What makes its embeddings.

    Raises:
        CheckpointError: The encoder is not the one that the head was trained on.
    """

    def __init__(self, head: StoredHead, encoder: Encoder) -> None:
        _check_encoder(head, encoder)
        self.head = head
        self.encoder = encoder
        self._scorer = head.build()

    @classmethod
    def load(cls, checkpoint: str | Path, *, encoder: str | None = None, device: str = "auto") -> "Predictor":
        """Load a head and its encoder.

        Args:
            checkpoint: A checkpoint of any readable layout, or its folder.
            encoder: Name or folder of the encoder; by default the name that the checkpoint records.
            device: "auto", "cpu", "cuda" or "cuda:N", for the encoder.
        """
        head = read_head(checkpoint)
        return cls(head, load_encoder(encoder or find_encoder(head, checkpoint), device=device))

    def classify(self, audio: str | Path) -> Classification:
        """Label an audio file.

        Raises:
            AudioError: The file cannot be used.
        """
        waveform = load_waveform(Path(audio))
        return self.classify_waveform(waveform, name=str(audio))

    def classify_waveform(self, waveform: NDArray[np.float32], *, name: str = "waveform") -> Classification:
        """Label audio that is in memory.

        Args:
            waveform: (T,) float32 at 16 kHz, mono, full scale 1.
            name: What errors and the answer call it.

        Raises:
            AudioError: It is too short or not finite.
        """
        try:
            embedding = self.encoder.encode(waveform)
        except AudioError as error:
            raise AudioError(f"{name}: {error}") from None
        probabilities = self.label_probabilities(embedding[np.newaxis])[0]
        ranked = sorted(zip(self.head.label_set, probabilities.tolist(), strict=True), key=lambda pair: -pair[1])
        return Classification(name, tuple(ranked))

    @torch.inference_mode()
    def label_probabilities(self, embeddings: NDArray[np.float32], *, temperature: float = 1.0) -> NDArray[np.float32]:
        """Return probabilities (N, K) float32 of embeddings (N, D) float32.

        Args:
            embeddings: As the encoder makes them.
            temperature: What logits are divided by, besides what the head itself does.
        """
        logits = self._scorer(torch.from_numpy(embeddings))
        return np.asarray((logits / temperature).softmax(dim=1).numpy(), dtype=np.float32)


def find_encoder(head: StoredHead, checkpoint: str | Path) -> str:
    """Return the name of the encoder that a head says it was trained on.

    Args:
        head: The head.
        checkpoint: What errors call it.

    Raises:
        CheckpointError: It does not say, or it was trained on the synthetic demo corpus.
    """
    if head.encoder == "synthetic":
        raise CheckpointError(
            f"{checkpoint}: trained on the synthetic demo corpus, which no encoder makes; it cannot hear audio. "
            "Train on your own manifest (embed, split, fit, export) and give that bundle"
        )
    if head.encoder is None:
        raise CheckpointError(
            f"{checkpoint}: does not say which encoder made its {head.architecture.input_dim}-d embeddings; give "
            "--encoder (emotion2vec_base for 768-d ones of the published classifier)"
        )
    return head.encoder


def _check_encoder(head: StoredHead, encoder: Encoder) -> None:
    spec = encoder.spec
    if spec.dim != head.architecture.input_dim:
        raise CheckpointError(
            f"encoder {spec.encoder} makes {spec.dim}-d embeddings, the head takes {head.architecture.input_dim}-d ones"
            f"{f' of {head.encoder}' if head.encoder else ''}; give --encoder the one it was trained on"
        )
    embedding = head.summary.get("model", {}).get("embedding", {})
    trained_on = head.weights_sha256
    if trained_on is None and head.encoder is not None and not same_encoder(spec.encoder, head.encoder):
        raise CheckpointError(
            f"the head was trained on embeddings of {head.encoder}, --encoder is {spec.encoder}; "
            "give --encoder the one it was trained on"
        )
    if trained_on is not None and trained_on != spec.weights_sha256:
        raise CheckpointError(
            f"encoder {spec.encoder} has weights {str(spec.weights_sha256)[:12]}, the head was trained "
            f"on embeddings of {head.encoder} with weights {trained_on[:12]}; give --encoder that folder"
        )
    if embedding.get("config_sha256") not in (None, spec.config_sha256):
        raise CheckpointError(
            f"encoder {spec.encoder} has another config.yaml than the one that the head was trained on; "
            "give --encoder the folder as it was downloaded"
        )


def find_audio(paths: Sequence[str | Path]) -> Iterator[Path]:
    """Yield the named files, and the audio files in named folders as `list_audio` finds them.

    Raises:
        AudioError: A path does not exist or a folder holds no audio file.
    """
    for path in map(Path, paths):
        if not path.is_dir():
            yield path
            continue
        found = list_audio(path)
        if not found:
            raise AudioError(f"{path}: no audio file in this folder; expected one of {sorted(AUDIO_SUFFIXES)}")
        yield from (path / name for name in found)
