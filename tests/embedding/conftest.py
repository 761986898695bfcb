"""Shared by the embedding tests: tones, manifests, encoders that count, and a tiny emotion2vec model built here."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import emoji_lightning
from emoji_lightning.embedding.encoder import Encoder
from emoji_lightning.embedding.logmel import LogMelEncoder
from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.manifest import Manifest, read_manifest

Waveform = NDArray[np.float32]
PACKAGE_ROOT = Path(emoji_lightning.__file__).parents[1]


def make_tone(seconds: float = 0.3, frequency: float = 220.0) -> NDArray[np.float64]:
    time = np.arange(round(16_000 * seconds)) / 16_000
    return 0.3 * np.sin(2 * np.pi * frequency * time)


def make_speechlike(num_samples: int, seed: int = 0) -> Waveform:
    """Noise under a slow envelope with a gliding tone: no two frames alike."""
    rng = np.random.default_rng(seed)
    time = np.arange(num_samples) / 16_000
    glide = np.sin(2 * np.pi * (150 * time + 60 * time**2))
    noise = rng.standard_normal(num_samples)
    return ((0.6 + 0.4 * np.sin(7 * time)) * (0.2 * glide + 0.05 * noise)).astype(np.float32)


class CountingEncoder(Encoder):
    """The log-mel encoder, with a record of what it was given."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.stop_after: int | None = None

    @property
    def spec(self) -> EmbeddingSpec:
        return LogMelEncoder().spec

    @property
    def min_samples(self) -> int:
        return LogMelEncoder().min_samples

    def _embed(self, waveform: Waveform) -> Waveform:
        if self.stop_after is not None and len(self.lengths) >= self.stop_after:
            raise KeyboardInterrupt
        self.lengths.append(len(waveform))
        return LogMelEncoder().encode(waveform)


@pytest.fixture
def encoder() -> CountingEncoder:
    return CountingEncoder()


@pytest.fixture
def speechlike() -> Callable[..., Waveform]:
    return make_speechlike


@pytest.fixture
def write_tone() -> Callable[..., Path]:
    """Write a 16 kHz tone; another frequency or length is another content."""

    def write(path: Path, *, seconds: float = 0.3, frequency: float = 220.0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, make_tone(seconds, frequency), 16_000)
        return path

    return write


@pytest.fixture
def corpus(tmp_path: Path, write_tone: Callable[..., Path]) -> Path:
    """A manifest of twelve different tones in two labels, in a folder of its own."""
    folder = tmp_path / "corpus"
    for number in range(12):
        write_tone(folder / "audio" / f"{number:02d}.wav", frequency=200 + 20 * number)
    rows = [f"audio/{number:02d}.wav,{('joy', 'sad')[number % 2]}\n" for number in range(12)]
    (folder / "labels.csv").write_text("audio,label\n" + "".join(rows), encoding="utf-8")
    return folder / "labels.csv"


@pytest.fixture
def rewrite() -> Callable[..., Manifest]:
    """Write a manifest of these lines and read it."""

    def write(path: Path, *lines: str) -> Manifest:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return read_manifest(path)

    return write


@pytest.fixture
def child_environment() -> dict[str, str]:
    """What a child process needs to import the same package as this one."""
    return {**os.environ, "PYTHONPATH": str(PACKAGE_ROOT), "HF_HUB_OFFLINE": "1"}


@pytest.fixture
def model_copy(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may spoil."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


@pytest.fixture(scope="session")
def generate(build_model: object) -> Callable[[Path, Waveform], NDArray[np.float32]]:
    """funasr's own way from a model folder and a waveform to the utterance vector."""
    from quiet_funasr import undisturbed

    models: dict[Path, Any] = {}

    def run(folder: Path, waveform: Waveform) -> NDArray[np.float32]:
        with undisturbed():
            from funasr import AutoModel

            if folder not in models:
                models[folder] = AutoModel(model=str(folder), disable_update=True, disable_pbar=True, device="cpu")
            result = models[folder].generate(waveform, granularity="utterance", extract_embedding=True)
        return np.asarray(result[0]["feats"], dtype=np.float32)

    return run


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """A model this small is five times slower on two threads of a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
