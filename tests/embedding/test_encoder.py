import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from emoji_lightning.embedding import hub
from emoji_lightning.embedding.encoder import Encoder, load_encoder
from emoji_lightning.embedding.logmel import LogMelEncoder
from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.errors import AudioError, EncoderError


class Fixed(Encoder):
    """An encoder that answers whatever it was told to."""

    def __init__(self, answer: NDArray[np.floating]) -> None:
        self.answer = answer

    @property
    def spec(self) -> EmbeddingSpec:
        return EmbeddingSpec(encoder="fixed", dim=3)

    @property
    def min_samples(self) -> int:
        return 400

    def _embed(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.answer  # type: ignore[return-value]


def test_an_encoder_needs_only_a_spec_a_minimum_and_one_vector() -> None:
    embedding = Fixed(np.array([1.0, 2.0, 3.0])).encode(np.zeros(400, np.float32))
    assert embedding.dtype == np.float32
    assert embedding.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    "answer", [[1.0, np.nan, 2.0], [np.inf, 0.0, 0.0], [1.0, 2.0], [[1.0, 2.0, 3.0]], [1e300, 0, 0]]
)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_what_is_no_finite_vector_of_the_promised_length_is_refused(answer: list[float]) -> None:
    with pytest.raises(AudioError, match=r"fixed gives no finite vector of 3 values for this audio"):
        Fixed(np.array(answer)).encode(np.zeros(400, np.float32))


@pytest.mark.parametrize(
    ("waveform", "problem"),
    [
        (np.zeros(399, np.float32), r"399 samples \(24\.9 ms\), at least 400 \(25 ms\) are needed"),
        (np.zeros(5, np.float32), r"5 samples \(0\.312 ms\), at least 400 \(25 ms\) are needed"),
        (np.zeros((2, 400), np.float32), r"waveform is float32 \(2, 400\), float32 \(T,\) at 16 kHz is needed"),
        (np.zeros(400), r"waveform is float64 \(400,\), float32"),
        (np.zeros(400, np.int16), r"waveform is int16 \(400,\), float32"),
        (np.full(400, np.nan, np.float32), r"the waveform holds NaN or infinite samples"),
        (np.array([np.inf] + [0] * 400, np.float32), r"the waveform holds NaN or infinite samples"),
    ],
)
def test_a_waveform_that_cannot_be_encoded_is_refused(waveform: NDArray[np.generic], problem: str) -> None:
    for encoder in (Fixed(np.zeros(3)), LogMelEncoder()):
        with pytest.raises(AudioError, match=problem):
            encoder.encode(waveform)  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_logmel_is_loaded_by_name(device: str) -> None:
    encoder = load_encoder("logmel", device=device)
    assert isinstance(encoder, LogMelEncoder)
    assert encoder.spec == EmbeddingSpec(encoder="logmel", dim=768)


def test_logmel_is_not_run_on_another_device_than_asked_for() -> None:
    with pytest.raises(EncoderError, match=r"logmel runs on the CPU only, but the device is 'cuda:0'; use auto or cpu"):
        load_encoder("logmel", device="cuda:0")


@pytest.mark.parametrize("device", ["gpu", "CPU", "", "cuda:", "cuda:x", "mps", "cpu "])
def test_an_unknown_device_is_refused(device: str) -> None:
    problem = rf"device {re.escape(repr(device))} is not one of auto, cpu, cuda, cuda:N"
    with pytest.raises(EncoderError, match=problem):
        load_encoder("logmel", device=device)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("emotion2vec_bse", "emotion2vec_base"),
        ("emotion2vec-base", "emotion2vec_base"),
        ("iic/emotion2vec_plus_lage", "emotion2vec_plus_large"),
        ("Emotion2Vec_Plus_Seed", "emotion2vec_plus_seed"),
        ("log_mel", "logmel"),
    ],
)
def test_an_unknown_name_gets_a_suggestion(name: str, meant: str) -> None:
    with pytest.raises(
        EncoderError, match=rf"^encoder '{name}' is not one of .* and not a folder; did you mean '{meant}'\?"
    ):
        load_encoder(name)


def test_a_name_like_no_other_gets_the_list_alone() -> None:
    with pytest.raises(
        EncoderError, match=r"encoder 'wavlm' is not one of \['emotion2vec_base', .*\] and not a folder$"
    ):
        load_encoder("wavlm")


@pytest.mark.parametrize("folder", ["./model", "~/model", "models/base", "/nowhere/emotion2vec_base"])
def test_a_folder_that_is_not_there_is_called_a_folder(folder: str) -> None:
    with pytest.raises(
        EncoderError, match=rf"^{folder}: no such folder; give a folder with config\.yaml and weights, or"
    ):
        load_encoder(folder)


@pytest.mark.parametrize("name", ["emotion2vec_base", "iic/emotion2vec_base", "emotion2vec/emotion2vec_base"])
def test_a_hub_name_and_its_folder_give_the_same_vectors(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, speechlike: Callable[..., NDArray[np.float32]], name: str
) -> None:
    asked: list[str] = []

    def fetch(short: str) -> Path:
        asked.append(short)
        return tiny_model

    monkeypatch.setattr(hub, "fetch_model", fetch)
    named, local = load_encoder(name, device="cpu"), load_encoder(str(tiny_model), device="cpu")
    assert asked == ["emotion2vec_base"]
    assert (named.spec.encoder, local.spec.encoder) == ("emotion2vec_base", "tiny")
    assert named.spec.difference(local.spec) == ""
    assert np.array_equal(named.encode(speechlike(8_000)), local.encode(speechlike(8_000)))


def test_the_spec_names_no_folder_of_the_user(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_model)
    spec = load_encoder(".", device="cpu").spec
    assert spec.encoder == "tiny"
    assert not any("/" in str(value) for value in spec.to_dict().values())


def test_logmel_and_error_texts_need_neither_torch_nor_funasr(child_environment: dict[str, str]) -> None:
    program = """
import sys
from emoji_lightning.embedding.encoder import load_encoder
from emoji_lightning.errors import EncoderError
load_encoder("logmel")
try:
    load_encoder("emotion2vec_bse")
except EncoderError:
    print(sorted({"torch", "funasr", "librosa"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=child_environment, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
