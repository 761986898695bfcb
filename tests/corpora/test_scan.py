"""What a scan says of audio, held to what was written, and to numpy in float64, hashlib and libsndfile's own header."""

import hashlib
import math
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from emoji_lightning.audio import load_waveform
from emoji_lightning.corpora import scan
from emoji_lightning.corpora.scan import AudioFacts, Segment, scan_audio
from emoji_lightning.errors import AudioError

EMODB = Path(__file__).resolve().parents[3] / "shared" / "data" / "emodb"
RATE = 16_000

Samples = NDArray[np.float64]


def noise(seconds: float = 1.0, *, seed: int = 0, rate: int = RATE) -> Samples:
    """Loud noise below full scale whose samples 16 bit hold exactly."""
    steps = np.random.default_rng(seed).integers(-20_000, 20_000, round(seconds * rate))
    return steps / 32_768


def write(path: Path, samples: Samples, rate: int = RATE, subtype: str | None = None) -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def scan_one(path: Path, start: float | None = None, end: float | None = None) -> AudioFacts:
    (facts,) = scan_audio([Segment(path, start, end)])
    assert isinstance(facts, AudioFacts), facts
    return facts


# --- header and digests -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rate", "channels", "subtype"),
    [
        ("a.wav", 16_000, 1, "PCM_16"),
        ("a.wav", 44_100, 2, "PCM_24"),
        ("a.wav", 8_000, 1, "ULAW"),
        ("a.flac", 22_050, 3, "PCM_16"),
        ("a.ogg", 24_000, 1, "VORBIS"),
        ("a.ogg", 48_000, 2, "OPUS"),
        ("a.mp3", 24_000, 1, None),
    ],
)
def test_the_header_is_what_libsndfile_says(
    tmp_path: Path, name: str, rate: int, channels: int, subtype: str | None
) -> None:
    samples = np.stack([noise(0.5, seed=seed, rate=rate) for seed in range(channels)], axis=1)
    path = write(tmp_path / name, samples, rate, subtype)
    facts, header = scan_one(path), soundfile.info(path)
    assert (facts.sample_rate, facts.num_channels) == (header.samplerate, header.channels) == (rate, channels)
    assert (facts.format, facts.subtype) == (header.format, header.subtype)
    assert facts.duration_s == pytest.approx(header.frames / header.samplerate, abs=1e-12)
    assert facts.file_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_same_samples_have_one_audio_digest_in_every_lossless_container(tmp_path: Path) -> None:
    samples = noise()
    twins = [
        write(tmp_path / "a.wav", samples, subtype="PCM_16"),
        write(tmp_path / "a.flac", samples, subtype="PCM_16"),
        write(tmp_path / "24.wav", samples, subtype="PCM_24"),
        write(tmp_path / "24.flac", samples, subtype="PCM_24"),
        write(tmp_path / "32.wav", samples, subtype="PCM_32"),
        write(tmp_path / "float.wav", samples, subtype="FLOAT"),
        write(tmp_path / "double.wav", samples, subtype="DOUBLE"),
        write(tmp_path / "a.aiff", samples),
        write(tmp_path / "two equal channels.wav", np.stack([samples, samples], axis=1)),
        write(tmp_path / "minus zero.wav", np.where(samples == 0, -0.0, samples), subtype="FLOAT"),
    ]
    assert (samples == 0).any()
    assert len({scan_one(path).audio_digest for path in twins}) == 1
    assert len({scan_one(path).file_sha256 for path in twins}) == len(twins)


def test_a_byte_copy_has_both_digests(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", noise())
    copy = Path(shutil.copy(path, tmp_path / "b.wav"))
    assert scan_one(path) == scan_one(copy)


def test_one_other_sample_or_another_rate_is_other_audio(tmp_path: Path) -> None:
    samples, near = noise(), noise()
    near[-1] += 1 / 32_768
    paths = [
        write(tmp_path / "a.wav", samples),
        write(tmp_path / "near.wav", near),
        write(tmp_path / "shorter.wav", samples[:-1]),
        write(tmp_path / "rate.wav", samples, 16_001),
    ]
    assert len({scan_one(path).audio_digest for path in paths}) == len(paths)


def test_the_audio_digest_is_the_sha256_of_rate_and_float32_samples(tmp_path: Path) -> None:
    samples = noise()
    expected = hashlib.sha256(b"16000:" + samples.astype("<f4").tobytes()).hexdigest()
    assert scan_one(write(tmp_path / "a.flac", samples)).audio_digest == expected


# --- level ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-4, 0.5, 3.0])
def test_peak_and_rms_are_those_of_numpy_in_float64(tmp_path: Path, scale: float) -> None:
    samples = noise(0.7) * scale
    facts = scan_one(write(tmp_path / "a.wav", samples, subtype="FLOAT"))
    assert facts.peak == pytest.approx(np.abs(samples).max(), rel=1e-6)
    assert facts.rms_dbfs == pytest.approx(20 * np.log10(np.sqrt(np.mean(samples**2))), abs=1e-4)


def test_the_peak_is_that_of_the_loudest_channel_and_the_level_that_of_their_mean(tmp_path: Path) -> None:
    loud = noise()
    facts = scan_one(write(tmp_path / "a.wav", np.stack([0 * loud, -loud], axis=1), subtype="FLOAT"))
    assert facts.peak == pytest.approx(np.abs(loud).max(), rel=1e-6)
    assert facts.rms_dbfs == pytest.approx(10 * np.log10(np.mean((loud / 2) ** 2)), abs=1e-4)


# --- clipping ---------------------------------------------------------------------------------------------------------


def with_runs(value: float, *lengths: int) -> Samples:
    samples = noise()
    for number, length in enumerate(lengths):
        samples[100 * (number + 1) :][:length] = value
    return samples


@pytest.mark.parametrize(
    ("samples", "subtype", "num_clipped"),
    [
        (with_runs(1.0, 3, 10), "PCM_16", 13),
        (with_runs(-1.0, 3, 10), "PCM_16", 13),
        (with_runs(1.0, 1, 2, 2), "PCM_16", 0),
        (with_runs(1.0, 2, 3, 4), "PCM_16", 7),
        (with_runs(1.0, 5), "PCM_24", 5),
        (with_runs(1.0, 5), "FLOAT", 5),
        (with_runs(1.5, 5), "FLOAT", 5),
        (with_runs(0.9, 50), "PCM_16", 0),
        (with_runs(1.0, 5), "PCM_U8", 5),
        (with_runs(1.0, 5), "ULAW", 5),
        (with_runs(1.0, 5), "ALAW", 5),
        (np.ones(400), "PCM_16", 400),
        (np.concatenate([noise(), np.ones(4)]), "PCM_16", 4),
        (np.concatenate([np.ones(4), noise()]), "PCM_16", 4),
    ],
)
def test_runs_of_three_samples_at_full_scale_are_clipped(
    tmp_path: Path, samples: Samples, subtype: str, num_clipped: int
) -> None:
    facts = scan_one(write(tmp_path / "a.wav", samples, subtype=subtype))
    assert facts.clipped == num_clipped / len(samples)


def test_both_rails_of_every_channel_are_counted_alone(tmp_path: Path) -> None:
    left, right = with_runs(1.0, 4), with_runs(-1.0, 2, 6)
    left[5_000:5_003] = -1.0
    facts = scan_one(write(tmp_path / "a.wav", np.stack([left, right, noise()], axis=1)))
    assert facts.clipped == (4 + 3 + 6) / (3 * RATE)


def test_a_full_scale_tone_that_is_not_clipped_is_not_called_so(tmp_path: Path) -> None:
    seconds = np.arange(RATE) / RATE
    for frequency in (60, 100, 220, 997):
        facts = scan_one(write(tmp_path / "a.wav", np.sin(2 * np.pi * frequency * seconds), subtype="PCM_24"))
        assert facts.peak > 0.999
        assert facts.clipped == 0


def test_a_tone_that_is_clipped_has_the_share_that_was_cut(tmp_path: Path) -> None:
    tone = 1.25 * np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE)
    facts = scan_one(write(tmp_path / "a.wav", tone))
    assert facts.clipped == np.mean((tone > 32_767 / 32_768) | (tone < -1)) > 0.3


# --- silence ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100])
def test_silence_is_found_to_the_frame(tmp_path: Path, rate: int) -> None:
    silent, sound = np.zeros(rate), noise(0.5, rate=rate)
    samples = np.concatenate([silent[: rate // 5], sound, silent, sound, silent[: rate // 2]])
    facts = scan_one(write(tmp_path / "a.wav", samples, rate))
    assert facts.leading_silence_s == pytest.approx(0.2, abs=1e-9 + 0.02 * (rate % 50 != 0))
    assert facts.trailing_silence_s == pytest.approx(0.5, abs=0.021)
    assert facts.silence == pytest.approx(1.7 / 2.7, abs=0.03)
    assert not facts.is_silent


def test_the_share_of_silence_is_exact_on_whole_frames(tmp_path: Path) -> None:
    frames = np.concatenate([np.zeros(320 * 3), noise(0.02 * 5), np.zeros(320 * 2)])
    facts = scan_one(write(tmp_path / "a.wav", frames))
    assert (facts.silence, facts.leading_silence_s, facts.trailing_silence_s) == (0.5, 0.06, 0.04)


def test_frames_are_cut_at_the_end_and_in_blocks_alike(tmp_path: Path) -> None:
    """Longer than a block of frames, with a last frame of 7 samples that alone holds sound."""
    samples = np.concatenate([np.zeros(320 * 2_500), noise()[:7]])
    facts = scan_one(write(tmp_path / "a.wav", samples))
    assert facts.silence == 2_500 / 2_501
    assert (facts.leading_silence_s, facts.trailing_silence_s) == (50.0, 0.0)


@pytest.mark.parametrize(
    ("samples", "is_silent"),
    [
        (np.zeros(RATE), True),
        (np.zeros(7), True),
        (np.full(RATE, 0.25), True),  # a constant is no sound, whatever its level
        (0.0009 * np.sign(noise()), True),
        (0.0011 * np.sign(noise()), False),
        (0.25 + 0.0011 * np.sign(noise()), False),
        (np.concatenate([np.zeros(RATE), noise(0.02)]), False),
    ],
)
def test_silent_is_what_has_no_frame_above_minus_60_dbfs(tmp_path: Path, samples: Samples, is_silent: bool) -> None:
    facts = scan_one(write(tmp_path / "a.wav", samples, subtype="FLOAT"))
    assert facts.is_silent is is_silent
    if is_silent:
        assert facts.leading_silence_s == facts.trailing_silence_s == facts.duration_s == len(samples) / RATE


def test_digital_silence_has_no_level(tmp_path: Path) -> None:
    assert scan_one(write(tmp_path / "a.wav", np.zeros(RATE))).rms_dbfs == -math.inf


# --- segments, order, failures ----------------------------------------------------------------------------------------


def test_a_segment_is_measured_as_the_file_that_holds_only_it(tmp_path: Path) -> None:
    samples = np.concatenate([np.zeros(RATE), noise(), np.ones(RATE)])
    whole, part = write(tmp_path / "a.wav", samples), write(tmp_path / "part.flac", samples[RATE // 2 : RATE * 3 // 2])
    segment, alone = scan_one(whole, 0.5, 1.5), scan_one(part)
    assert segment.audio_digest == alone.audio_digest
    assert segment.file_sha256 == scan_one(whole).file_sha256
    assert (segment.peak, segment.rms_dbfs, segment.silence) == (alone.peak, alone.rms_dbfs, alone.silence)
    assert (segment.duration_s, segment.leading_silence_s, segment.clipped) == (1.0, 0.5, 0.0)


def test_a_file_is_read_once_for_all_its_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write(tmp_path / f"{number}.wav", noise(seed=number)) for number in range(3)]
    read: list[str] = []

    def count_reads(path: str | os.PathLike[str]) -> bytes:
        read.append(Path(path).name)
        return Path(path).read_bytes()

    monkeypatch.setattr(scan, "read_bytes", count_reads)
    segments = [Segment(path, start / 10, (start + 1) / 10) for start in range(10) for path in paths]
    found = scan_audio(segments, workers=2)
    assert sorted(read) == ["0.wav", "1.wav", "2.wav"]
    assert found == [scan_one(*segment) for segment in segments]
    assert len({facts.audio_digest for facts in found if isinstance(facts, AudioFacts)}) == 30


@pytest.mark.parametrize("workers", [None, 1, 2, 5])
def test_results_keep_the_order_whatever_is_among_them(tmp_path: Path, workers: int | None) -> None:
    paths: list[str | Path] = []
    for number in range(120):
        if number % 7 == 3:
            paths.append(tmp_path / f"gone {number}.wav")
        else:
            path = write(tmp_path / f"{number}.wav", noise()[: 400 + number])
            paths.append(str(path) if number % 2 else path)
    found = scan_audio(paths, workers=workers)
    for number, result in enumerate(found):
        if number % 7 == 3:
            assert isinstance(result, AudioError)
            assert str(result) == f"{tmp_path}/gone {number}.wav: no such file"
        else:
            assert isinstance(result, AudioFacts)
            assert result.duration_s == (400 + number) / RATE


def test_nothing_gives_nothing() -> None:
    assert scan_audio([]) == []


def cut(path: Path) -> None:
    path.write_bytes(write(path, noise()).read_bytes()[:-1])


BAD: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("Good evening"),
    "cut": cut,
    "NaN": lambda path: write(path, np.where(np.arange(RATE) == 3, np.nan, noise()), subtype="FLOAT"),
    "no samples": lambda path: write(path, np.zeros(0)),
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/null"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_loaded_is_refused_with_the_same_words(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bad.wav"
    BAD[kind](path)
    with pytest.raises(AudioError, match=r"bad\.wav: ") as caught:
        load_waveform(path)
    (result,) = scan_audio([path])
    assert isinstance(result, AudioError)
    assert str(result) == str(caught.value)


def test_a_segment_outside_of_the_file_fails_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", noise())
    inside, outside = scan_audio([Segment(path, 0.5, 1.0), Segment(path, 0.5, 9.0)])
    assert isinstance(inside, AudioFacts)
    assert isinstance(outside, AudioError)
    assert "segment 0.5-9 s does not lie in the file, which is 1.000 s long" in str(outside)


class WatchedPool(ThreadPoolExecutor):
    """Knows how many files were handed out and not yet read, at most."""

    most_waiting = 0

    def submit(self, *args: Any, **options: Any) -> "Future[Any]":
        WatchedPool.most_waiting = max(self.most_waiting, self._work_queue.qsize())
        return super().submit(*args, **options)


def test_few_files_are_held_and_few_wait_at_one_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write(tmp_path / f"{number}.wav", noise(0.1, seed=number)) for number in range(80)]
    lock, held, most = threading.Lock(), 0, 0
    whole = scan.scan_file

    def watch(segments: list[Segment]) -> list[AudioFacts | AudioError]:
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        time.sleep(0.002)
        try:
            return whole(segments)
        finally:
            with lock:
                held -= 1

    monkeypatch.setattr(scan, "scan_file", watch)
    monkeypatch.setattr(scan, "ThreadPoolExecutor", WatchedPool)
    assert len(scan_audio(paths, workers=2)) == 80
    assert most <= 2
    assert 0 < WatchedPool.most_waiting <= 2 * 16


def test_ctrl_c_leaves_the_rest_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.wav", noise(0.1))
    begun: list[int] = []

    def interrupt(segments: list[Segment]) -> list[AudioFacts | AudioError]:
        begun.append(len(begun))
        if len(begun) == 3:
            raise KeyboardInterrupt("while the third file is read")
        if len(begun) > 3:
            time.sleep(0.1)
        return [AudioError("not read")]

    monkeypatch.setattr(scan, "scan_file", interrupt)
    with pytest.raises(KeyboardInterrupt, match="while the third file is read"):
        scan_audio([path.with_name(f"{number}.wav") for number in range(1_000)], workers=1)
    assert len(begun) < 12


# --- real speech ------------------------------------------------------------------------------------------------------


def test_real_speech_has_the_facts_that_its_readme_states() -> None:
    if not EMODB.is_dir():
        pytest.skip(f"real speech is not on this machine ({EMODB.name}); generated audio covers the same code")
    paths = sorted((EMODB / "audio").iterdir())
    found = [facts for facts in scan_audio(paths) if isinstance(facts, AudioFacts)]
    assert len(found) == len(paths) == 535
    assert {(facts.sample_rate, facts.num_channels, facts.format) for facts in found} == {(22_050, 1, "FLAC")}
    assert {facts.duration_s for facts in found} == {2.0}
    for facts, path in list(zip(found, paths, strict=True))[::50]:
        samples, _ = soundfile.read(path, dtype="float64")
        assert facts.peak == pytest.approx(np.abs(samples).max(), abs=1e-6)
        assert facts.rms_dbfs == pytest.approx(10 * np.log10(np.mean(samples**2)), abs=1e-3)
