from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from emoji_lightning.embedding.logmel import LogMelEncoder, log_mel, mel_filters

Waveform = NDArray[np.float32]
LENGTHS = [400, 559, 560, 5_000, 16_000]
librosa_reason = "librosa is not installed (it comes with funasr, extra: dev)"


def log_mel_by_hand(waveform: Waveform) -> NDArray[np.float64]:
    """The definition in float64, frame by frame, with a Fourier transform by sum."""
    times = np.arange(400)
    hann = np.sin(np.pi * times / 400) ** 2
    waves = np.exp(-2j * np.pi * np.outer(np.arange(513), times) / 1024)
    starts = range(0, len(waveform) - 399, 160)
    spectra = [np.abs(waves @ (waveform[start : start + 400].astype(np.float64) * hann)) ** 2 for start in starts]
    return np.array([[np.log(max(row @ spectrum, 1e-10)) for row in mel_filters()] for spectrum in spectra])


def test_mel_filters_are_librosa_s() -> None:
    filters = pytest.importorskip("librosa", reason=librosa_reason).filters
    expected = filters.mel(sr=16_000, n_fft=1024, n_mels=128, dtype=np.float64)
    assert mel_filters().shape == (128, 513)
    assert np.abs(mel_filters() - expected).max() < 1e-12
    assert (mel_filters().sum(axis=1) > 0).all()


@pytest.mark.parametrize("length", LENGTHS)
def test_log_mel_is_librosa_s(speechlike: Callable[..., Waveform], length: int) -> None:
    librosa = pytest.importorskip("librosa", reason=librosa_reason)
    waveform = speechlike(length)
    # librosa puts the window of 400 in the middle of 1024 samples: with 312 zeros at both ends the frames coincide.
    padded = np.pad(waveform.astype(np.float64), 312)
    options = {"sr": 16_000, "n_fft": 1024, "hop_length": 160, "win_length": 400, "center": False, "n_mels": 128}
    power = librosa.feature.melspectrogram(y=padded, dtype=np.float64, **options)
    expected = np.log(np.maximum(power.T, 1e-10))
    assert log_mel(waveform).shape == expected.shape
    assert np.abs(log_mel(waveform) - expected).max() < 1e-6


def test_log_mel_is_its_definition(speechlike: Callable[..., Waveform]) -> None:
    waveform = speechlike(2_000)
    assert np.abs(log_mel(waveform) - log_mel_by_hand(waveform)).max() < 1e-9


@pytest.mark.parametrize("length", LENGTHS)
def test_the_vector_is_six_statistics_of_each_band(speechlike: Callable[..., Waveform], length: int) -> None:
    waveform = speechlike(length)
    embedding = LogMelEncoder().encode(waveform)
    assert embedding.dtype == np.float32
    expected: list[list[float]] = [[] for _ in range(6)]
    for band in log_mel_by_hand(waveform).T:
        mean = sum(band) / len(band)
        change = [after - before for before, after in pairwise(band)] or [0.0]
        mean_change = sum(change) / len(change)
        expected[0].append(mean)
        expected[1].append((sum((value - mean) ** 2 for value in band) / len(band)) ** 0.5)
        expected[2].append(min(band))
        expected[3].append(max(band))
        expected[4].append((sum((value - mean_change) ** 2 for value in change) / len(change)) ** 0.5)
        expected[5].append(sum(abs(value) for value in change) / len(change))
    assert np.abs(embedding - np.concatenate(expected)).max() < 1e-5


def test_a_higher_tone_lies_in_a_higher_band() -> None:
    times = np.arange(16_000) / 16_000
    tones = [np.sin(2 * np.pi * frequency * times).astype(np.float32) for frequency in (200, 500, 1_000, 2_500, 7_000)]
    peaks = [int(LogMelEncoder().encode(tone)[:128].argmax()) for tone in tones]
    assert peaks == sorted(set(peaks))


@pytest.mark.parametrize("value", [0.0, 0.25, -1.0, 1e-30])
def test_silence_and_a_constant_give_finite_vectors(value: float) -> None:
    embedding = LogMelEncoder().encode(np.full(16_000, value, np.float32))
    assert np.isfinite(embedding).all()
    assert embedding[128:256].max() < 1e-5  # every frame is alike
    assert embedding[:128].min() >= np.log(1e-10) - 1e-5


def test_the_vector_does_not_depend_on_what_was_encoded_before(speechlike: Callable[..., Waveform]) -> None:
    encoder = LogMelEncoder()
    first = encoder.encode(speechlike(9_000))
    encoder.encode(speechlike(20_000, seed=1))
    assert np.array_equal(first, encoder.encode(speechlike(9_000)))


def test_400_samples_are_enough(speechlike: Callable[..., Waveform]) -> None:
    assert LogMelEncoder().min_samples == 400
    embedding = LogMelEncoder().encode(speechlike(400))
    assert np.abs(embedding[:128] - log_mel_by_hand(speechlike(400))[0]).max() < 1e-5
    assert not embedding[[*range(128, 256), *range(512, 768)]].any()  # one frame has no spread
