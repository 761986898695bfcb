import hashlib
import io
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from emoji_lightning.audio import SAMPLE_RATE, audio_key, decode, load_waveform, read_bytes, segment_key
from emoji_lightning.errors import AudioError

RATES = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000, 192_000]
EDGE = 400
"""Samples at 16 kHz within which a resampler sees the end of the signal."""


def sine(rate: int, frequency: float, seconds: float = 1.0) -> NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def write(path: Path, samples: NDArray[np.floating], rate: int = SAMPLE_RATE, subtype: str | None = None) -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    return write(tmp_path / "tone.wav", sine(24_000, 440), 24_000)


# --- formats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "subtype", "tolerance"),
    [
        ("wav", "PCM_U8", 1 / 128),
        ("wav", "PCM_16", 1 / 32768),
        ("wav", "PCM_24", 1e-6),
        ("wav", "PCM_32", 1e-6),
        ("wav", "FLOAT", 1e-7),
        ("wav", "DOUBLE", 1e-7),
        ("flac", "PCM_16", 1 / 32768),
        ("flac", "PCM_24", 1e-6),
        ("ogg", "VORBIS", 0.04),
        ("ogg", "OPUS", 0.04),
        ("mp3", None, 0.04),
    ],
)
def test_every_format_gives_the_samples_that_were_written(
    tmp_path: Path, suffix: str, subtype: str | None, tolerance: float
) -> None:
    expected = sine(16_000, 440)
    waveform = load_waveform(write(tmp_path / f"a.{suffix}", expected, subtype=subtype))
    assert (waveform.dtype, waveform.shape, waveform.flags.c_contiguous) == (np.float32, (16_000,), True)
    whole = slice(EDGE, -EDGE) if tolerance > 0.01 else slice(None)  # lossy coders bend the ends
    assert np.abs(waveform - expected)[whole].max() <= tolerance


def test_float_files_beyond_full_scale_are_kept_as_they_are(tmp_path: Path) -> None:
    waveform = load_waveform(write(tmp_path / "loud.wav", 6 * sine(16_000, 100), subtype="FLOAT"))
    assert waveform.max() == pytest.approx(3.0, abs=1e-4)


@pytest.mark.parametrize("rate", RATES)
def test_a_resampled_sine_is_the_ideal_sine(tmp_path: Path, rate: int) -> None:
    waveform = load_waveform(write(tmp_path / "a.wav", sine(rate, 1_000), rate, "FLOAT"))
    assert waveform.shape == (16_000,)
    assert np.abs(waveform - sine(16_000, 1_000))[EDGE:-EDGE].max() < 2e-4


@pytest.mark.parametrize("rate", [24_000, 48_000])
def test_resampling_agrees_with_scipy(tmp_path: Path, rate: int) -> None:
    samples = sum(sine(rate, frequency) / 4 for frequency in (100, 433, 1_234, 3_210))
    waveform = load_waveform(write(tmp_path / "a.wav", np.asarray(samples), rate, "FLOAT"))
    expected = resample_poly(samples, 16_000, rate, window=("kaiser", 12.0))
    assert np.abs(waveform - expected)[EDGE:-EDGE].max() < 2e-3


def test_what_16_khz_cannot_hold_is_filtered_out_and_not_folded_back(tmp_path: Path) -> None:
    waveform = load_waveform(write(tmp_path / "a.wav", sine(48_000, 11_000), 48_000, "FLOAT"))
    assert np.abs(waveform[EDGE:-EDGE]).max() < 1e-3


@pytest.mark.parametrize("num_channels", [1, 2, 6])
def test_channels_are_averaged(tmp_path: Path, num_channels: int) -> None:
    channels = np.stack([sine(16_000, 100 * (number + 1)) for number in range(num_channels)], axis=1)
    waveform = load_waveform(write(tmp_path / "a.wav", channels, subtype="FLOAT"))
    assert np.abs(waveform - channels.mean(axis=1)).max() < 1e-6


@pytest.mark.parametrize("length", [1, 5])
def test_a_handful_of_samples_is_a_waveform(tmp_path: Path, length: int) -> None:
    expected = np.linspace(0.5, -0.5, length)
    assert load_waveform(write(tmp_path / "a.wav", expected, subtype="FLOAT")) == pytest.approx(expected)


def test_a_wav_of_unknown_length_is_read_to_its_end(tone: Path) -> None:
    data = bytearray(tone.read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"  # as OpenAI's TTS streams it
    assert np.array_equal(decode(bytes(data), "streamed.wav"), load_waveform(tone))


def test_other_chunks_around_the_samples_do_not_matter(tone: Path) -> None:
    data = tone.read_bytes()
    odd = b"LIST" + struct.pack("<I", 5) + b"abcde\0"
    assert np.array_equal(decode(data[:36] + odd + data[36:] + odd, "a.wav"), load_waveform(tone))
    with pytest.raises(
        AudioError, match=r"a\.wav: is cut off: its header promises 48000 bytes of audio, 47998 are there"
    ):
        decode((data[:36] + odd + data[36:])[:-2], "a.wav")


def test_a_telephone_wav_that_cannot_be_sought_in_is_read(tmp_path: Path) -> None:
    file = write(tmp_path / "a.wav", sine(8_000, 440), 8_000, "GSM610")
    waveform = load_waveform(file)
    assert np.corrcoef(waveform[:16_000], sine(16_000, 440))[0, 1] > 0.98
    segment = load_waveform(file, start=0.25, end=0.75)
    assert segment.shape == (8_000,)
    assert np.abs(segment - waveform[4_000:12_000])[EDGE:-EDGE].max() < 1e-3


def test_bytes_and_file_give_the_same(tone: Path) -> None:
    data = read_bytes(tone)
    assert data == tone.read_bytes()
    assert np.array_equal(decode(data, "x", start=0.25, end=0.5), load_waveform(tone, start=0.25, end=0.5))


def test_the_name_of_a_file_does_not_decide_its_format(tmp_path: Path) -> None:
    file = write(tmp_path / "a.flac", sine(16_000, 440))
    expected = load_waveform(file)
    assert np.array_equal(load_waveform(file.rename(tmp_path / "a.wav")), expected)


# --- segments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize(("start", "end"), [(0.25, 0.75), (None, 0.5), (0.5, None), (0.9, 1.005), (0.0, None)])
def test_a_segment_is_that_slice_of_the_whole(
    tmp_path: Path, suffix: str, start: float | None, end: float | None
) -> None:
    glide = np.sin(2 * np.pi * (200 + 900 * np.arange(16_000) / 16_000) * np.arange(16_000) / 16_000) / 2
    file = write(tmp_path / f"a.{suffix}", glide)
    stop = None if end is None else min(round(end * 16_000), 16_000)
    expected = load_waveform(file)[round((start or 0) * 16_000) : stop]
    segment = load_waveform(file, start=start, end=end)
    assert segment.shape == expected.shape
    assert np.array_equal(segment, expected)


def test_a_resampled_segment_is_cut_by_time(tone: Path) -> None:
    segment = load_waveform(tone, start=0.25, end=0.75)
    assert segment.shape == (8_000,)
    assert np.abs(segment - sine(16_000, 440)[4_000:12_000])[EDGE:-EDGE].max() < 2e-4


@pytest.mark.parametrize(
    ("start", "end"), [(0.5, 0.5), (0.8, 0.2), (-0.1, 0.5), (1.0, None), (0.0, 1.02), (float("nan"), 0.5), (3.0, 4.0)]
)
def test_a_segment_outside_the_file_is_refused(tone: Path, start: float, end: float | None) -> None:
    with pytest.raises(AudioError, match=r"tone\.wav: segment .* does not lie in the file, which is 1\.000 s long"):
        load_waveform(tone, start=start, end=end)


# --- what cannot be used ---------------------------------------------------------------------------------------------


def make_dangling(path: Path) -> None:
    path.symlink_to(path.with_name("gone.wav"))


def make_rising(path: Path, cut: int, suffix: str = "wav", subtype: str | None = None) -> None:
    """Write audio whose every part differs, and keep the first `cut` bytes (from the end where negative)."""
    target = path.with_suffix(f".{suffix}")
    soundfile.write(target, np.linspace(-0.5, 0.5, 24_000) * sine(24_000, 500), 24_000, subtype=subtype)
    path.write_bytes(target.read_bytes()[:cut])


def make_bad_value(path: Path, value: float) -> None:
    samples = sine(16_000, 440)
    samples[8_000] = value
    write(path, samples, subtype="FLOAT")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, r"no such file"),
        (make_dangling, r"no such file"),
        (lambda path: path.mkdir(), r"is a folder, an audio file is needed"),
        (lambda path: path.touch(), r"is empty \(0 bytes\)"),
        (
            lambda path: path.write_text("Hello, this is no audio.\n" * 30),
            r"holds text \('Hello, this is no au'\.\.\.\)",
        ),
        (
            lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n"),
            r"is a git-LFS pointer, not the audio itself; run `git lfs pull`",
        ),
        (lambda path: path.write_bytes(bytes(range(128, 256)) * 9), r"is not audio that can be decoded \(.*WAV, FLAC"),
        (
            lambda path: make_rising(path, 20_044),
            r"is cut off: .* 48000 bytes of audio, 20000 are there; copy it",
        ),
        (lambda path: make_rising(path, -1), r"is cut off: .* 48000 bytes of audio, 47999 are there"),
        (lambda path: make_rising(path, 30), r"is not audio that can be decoded"),
        (lambda path: make_rising(path, 8), r"is not audio that can be decoded"),
        (lambda path: make_rising(path, 6_000, "flac"), r"is not audio that can be decoded"),
        (lambda path: make_rising(path, -500, "mp3"), r"is cut off: its header promises 24000 samples, \d+ are there"),
        (lambda path: make_rising(path, -2, "ogg"), r"is cut off in the middle of a page; copy it again"),
        (lambda path: make_rising(path, -2, "ogg", "OPUS"), r"is cut off in the middle of a page; copy it again"),
        (lambda path: make_rising(path, -1, "rf64"), r"is cut off: .* 48000 bytes of audio, 47999 are there"),
        (lambda path: make_rising(path, 20_000, "aiff"), r"is cut off: its header promises 48008 bytes, \d+ are there"),
        (
            lambda path: make_rising(path, 20_000, "w64"),
            r"is cut off: its header promises 48104 bytes, 20000 are there",
        ),
        (lambda path: make_rising(path, 20_024, "au"), r"is cut off: its header promises 48000 bytes, 20000 are there"),
        (lambda path: make_bad_value(path, np.nan), r"1 of 16000 samples are NaN or infinite, the first at 0\.500 s"),
        (lambda path: make_bad_value(path, -np.inf), r"1 of 16000 samples are NaN or infinite, the first at 0\.500 s"),
        (lambda path: write(path, np.zeros(0)), r"holds no samples"),
    ],
    ids=[
        *(
            "missing",
            "dangling link",
            "folder",
            "0 bytes",
            "text",
            "git-LFS",
            "random bytes",
            "cut wav",
            "cut by a byte",
        ),
        *("cut header", "8 bytes", "cut flac", "cut mp3", "cut vorbis", "cut opus"),
        *("cut RF64", "cut AIFF", "cut W64", "cut AU", "NaN", "Inf", "no samples"),
    ],
)
def test_bad_files_are_named_with_the_reason(tmp_path: Path, make: Callable[[Path], object], reason: str) -> None:
    path = tmp_path / "bad 7.wav"
    make(path)
    with pytest.raises(AudioError, match=rf"^{tmp_path}/bad 7\.wav: {reason}") as caught:
        load_waveform(path)
    assert "\n" not in str(caught.value)


def test_whatever_else_the_system_says_is_passed_on(tmp_path: Path) -> None:
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    with pytest.raises(AudioError, match=r"loop\.wav: cannot be read \(Too many levels of symbolic links\)"):
        load_waveform(tmp_path / "loop.wav")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    writer = os.open(tmp_path / "pipe.wav", os.O_RDWR)  # so that a fault here fails the test and does not hang it
    try:
        with pytest.raises(AudioError, match=r"pipe\.wav: is a pipe or device, an audio file is needed"):
            load_waveform(tmp_path / "pipe.wav")
    finally:
        os.close(writer)


@pytest.mark.parametrize("read", [load_waveform, audio_key, read_bytes])
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/dev/null", r"is a pipe or device"),
        ("a\0b.wav", r"cannot be read \(embedded null byte\)"),
        ("half \ud83d.wav", r"cannot be read \('utf-8' codec can't encode"),
        # It opens, but reading it fails, as files on a damaged disk do.
        ("/proc/self/mem", r"cannot be read \((Input/output error|Invalid argument)\)"),
    ],
)
def test_what_cannot_be_opened_or_read_is_an_audio_error(read: Callable[[str], object], path: str, reason: str) -> None:
    if path.startswith("/") and not Path(path).exists():
        pytest.skip(f"this system has no {path}")
    with pytest.raises(AudioError, match=rf"^{path}: {reason}"):
        read(path)


def test_a_streamed_flac_that_leaves_its_length_open_is_refused_with_the_cure(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "a.flac", sine(16_000, 440)).read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    with pytest.raises(AudioError, match=r"^a: its header does not say how long it is; write it again: ffmpeg"):
        decode(bytes(data), "a")


def test_a_sampling_rate_that_would_fill_the_memory_is_refused(tone: Path) -> None:
    data = bytearray(tone.read_bytes())
    data[24:28] = struct.pack("<I", 1)
    with pytest.raises(AudioError, match=r"^a: its header says 1 Hz, at least 1000 Hz are needed"):
        decode(bytes(data), "a")


def test_an_mp3_header_that_promises_terabytes_is_an_audio_error() -> None:
    file = io.BytesIO()
    soundfile.write(file, sine(24_000, 440), 24_000, format="MP3")
    data = bytearray(file.getvalue())
    place = data.index(b"Xing") if b"Xing" in data else data.index(b"Info")
    data[place + 8 : place + 12] = b"\x7f\xff\xff\xff"
    with pytest.raises(AudioError, match=r"^a\.mp3: is (not audio that can be decoded|cut off)"):
        decode(bytes(data), "a.mp3")


def test_damaged_headers_give_audio_errors_and_nothing_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    refused = 0
    for suffix in ("wav", "flac", "ogg"):
        whole = write(tmp_path / f"a.{suffix}", sine(16_000, 440, 0.2)).read_bytes()
        for _ in range(60):
            damaged = bytearray(whole)
            for position in rng.integers(0, 60, size=4):
                damaged[position] = rng.integers(0, 256)
            try:
                assert np.isfinite(decode(bytes(damaged), "damaged")).all()
            except AudioError:
                refused += 1
    assert refused > 60


# --- keys ------------------------------------------------------------------------------------------------------------


def test_a_key_is_the_sha256_of_the_bytes_wherever_the_file_lies(tone: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(tone, tmp_path / "other name.bin"))
    assert audio_key(tone) == audio_key(copy) == hashlib.sha256(tone.read_bytes()).hexdigest()


def test_other_bytes_have_another_key(tone: Path) -> None:
    before = audio_key(tone)
    tone.write_bytes(tone.read_bytes()[:-1] + b"\x01")
    assert audio_key(tone) != before


def test_a_segment_key_is_the_sha256_of_digest_and_times(tone: Path) -> None:
    digest = hashlib.sha256(tone.read_bytes()).hexdigest()
    for start, end, times in [(0.5, 1.25, "0.5:1.25"), (None, 2, "0.0:2.0"), (0.5, None, "0.5:")]:
        expected = hashlib.sha256(f"{digest}:{times}".encode()).hexdigest()
        assert audio_key(tone, start, end) == segment_key(digest, start, end) == expected


def test_segments_have_keys_of_their_own(tone: Path) -> None:
    times = [(None, None), (0.1, None), (None, 0.1), (0.1, 0.2), (0.1, 0.2000001), (0.2, 0.3)]
    assert len({audio_key(tone, *pair) for pair in times}) == len(times)


def test_a_segment_from_0_without_end_is_the_whole_file(tone: Path) -> None:
    assert audio_key(tone, 0.0, None) == audio_key(tone, 0) == audio_key(tone)
    assert audio_key(tone, 0, 1) == audio_key(tone, 0.0, 1.0) == audio_key(tone, None, 1.0)


def test_the_key_of_a_missing_file_is_an_audio_error(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"gone\.wav: no such file"):
        audio_key(tmp_path / "gone.wav")
    with pytest.raises(AudioError, match=r"gone\.wav: no such file"):
        read_bytes(tmp_path / "gone.wav")
