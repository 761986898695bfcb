"""A bundle and audio in, labels out; needs no Lightning."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from emoji_lightning.audio import load_waveform
from emoji_lightning.bundle.bundle import Bundle, read_bundle
from emoji_lightning.embedding.encoder import Encoder, load_encoder
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
        bundle: The head and its labels.
        encoder: What makes its embeddings.

    Raises:
        CheckpointError: The encoder is not the one that the head was trained on.
    """

    def __init__(self, bundle: Bundle, encoder: Encoder) -> None:
        _check_encoder(bundle, encoder)
        self.bundle = bundle
        self.encoder = encoder
        self._mlp = bundle.build_mlp()

    @classmethod
    def load(cls, checkpoint: str | Path, *, encoder: str | None = None, device: str = "auto") -> "Predictor":
        """Load a bundle and its encoder.

        Args:
            checkpoint: A bundle's folder or its `best_classifier.pt`.
            encoder: Name or folder of the encoder; by default the name that the bundle records.
            device: "auto", "cpu", "cuda" or "cuda:N", for the encoder.
        """
        bundle = read_bundle(Path(checkpoint))
        if encoder is None and bundle.encoder == "synthetic":
            raise CheckpointError(
                f"{checkpoint}: trained on the synthetic demo corpus, which no encoder makes; it cannot hear audio. "
                "Train on your own manifest (embed, split, fit, export) and classify with that bundle"
            )
        return cls(bundle, load_encoder(encoder or bundle.encoder, device=device))

    def classify(self, audio: str | Path) -> Classification:
        """Label an audio file.

        Raises:
            AudioError: The file cannot be used.
        """
        waveform = load_waveform(Path(audio))
        try:
            embedding = self.encoder.encode(waveform)
        except AudioError as error:
            raise AudioError(f"{audio}: {error}") from None
        probabilities = self.label_probabilities(embedding[np.newaxis])[0]
        ranked = sorted(zip(self.bundle.label_set, probabilities.tolist(), strict=True), key=lambda pair: -pair[1])
        return Classification(str(audio), tuple(ranked))

    @torch.inference_mode()
    def label_probabilities(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities (N, K) float32 of embeddings (N, D) float32."""
        logits = self._mlp(torch.from_numpy(embeddings))
        return np.asarray(logits.softmax(dim=1).numpy(), dtype=np.float32)


def _check_encoder(bundle: Bundle, encoder: Encoder) -> None:
    if encoder.spec.dim != bundle.input_dim:
        raise CheckpointError(
            f"encoder {encoder.spec.encoder} makes {encoder.spec.dim}-d embeddings, the head takes "
            f"{bundle.input_dim}-d ones of {bundle.encoder}; give --encoder the one it was trained on"
        )
    embedding = bundle.summary.get("model", {}).get("embedding", {})
    trained_on = embedding.get("weights_sha256")
    if trained_on is None and encoder.spec.encoder != bundle.encoder:
        raise CheckpointError(
            f"the head was trained on embeddings of {bundle.encoder}, --encoder is {encoder.spec.encoder}; "
            "give --encoder the one it was trained on"
        )
    if trained_on is not None and trained_on != encoder.spec.weights_sha256:
        raise CheckpointError(
            f"encoder {encoder.spec.encoder} has weights {str(encoder.spec.weights_sha256)[:12]}, the head was trained "
            f"on embeddings of {bundle.encoder} with weights {str(trained_on)[:12]}; give --encoder that folder"
        )

    if embedding.get("config_sha256") not in (None, encoder.spec.config_sha256):
        raise CheckpointError(
            f"encoder {encoder.spec.encoder} has another config.yaml than the one that the head was trained on; "
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
