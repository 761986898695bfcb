"""Audio file -> waveform (T,) float32, 16 kHz, mono.

One decoder (libsndfile) and one resampler (soxr HQ) for every encoder, whatever else is installed: with another
resampler the embedding of the same 24 kHz file moves by 5 % of its length, more than any other choice in this package.
"""

import hashlib
import io
import os
import re
import stat
import struct
from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from emoji_lightning.errors import AudioError

SAMPLE_RATE = 16_000
"""Samples per second (Hz) of every waveform in this package."""

RESAMPLER = "soxr HQ"
"""Name of the resampler, as recorded in each embedding store."""

# A manifest with times rounded to 10 ms may point this far behind the last sample (seconds).
_END_TOLERANCE_S = 0.01
# Programs that stream a WAV cannot know its length and write one of these (OpenAI's TTS: 0xFFFFFFFF, sox: 0x7FFFFxxx).
_UNKNOWN_SIZE = 0x7FFF_0000
# Seeking in these is exact to the sample only from the beginning: the decoder carries state from frame to frame.
_SEQUENTIAL_FORMATS = frozenset({"MP3", "OGG"})
_MAX_OGG_PAGE = 27 + 255 + 255 * 255
# What libsndfile says of a FLAC that was streamed, its number of samples left at 0.
_UNKNOWN_FRAMES = 2**63 - 1
# Lengths in the log of libsndfile: AIFF `SSND`, W64 `riff`, AU `Data Size`, CAF `data`.
_LOGGED_LENGTH = re.compile(r"^ *(?:SSND|riff|Data Size|data) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
# A damaged header that says 1 Hz would have a minute resampled to gigabytes.
_MIN_RATE = 1_000
_Stream = io.BufferedReader | io.BytesIO
_Path = str | os.PathLike[str]
_LFS_POINTER = b"version https://git-lfs"


class Recording(NamedTuple):
    """Audio at its file's own rate (Hz): samples (T, channels) float32 and their mean, the waveform (T,) float32.

    Format and subtype are libsndfile's words for container and coding: "WAV", "PCM_16".
    """

    samples: NDArray[np.float32]
    waveform: NDArray[np.float32]
    sample_rate: int
    format: str
    subtype: str


def load_waveform(path: _Path, *, start: float | None = None, end: float | None = None) -> NDArray[np.float32]:
    """Read an audio file, or a segment of it, as 16 kHz mono.

    Args:
        path: WAV, FLAC, OGG or MP3 file of any sample rate and number of channels (their mean is taken).
        start: Start of the segment in seconds; the beginning of the file if not given.
        end: End of the segment in seconds; the end of the file if not given.

    Returns:
        Waveform (T,) float32. Full scale is 1; float files may exceed it and are kept as they are.

    Raises:
        AudioError: The file is missing, a folder, a pipe, empty, not audio, cut off, holds NaN or infinite samples, or
            does not contain the segment. The message names the file and the reason.
    """
    with _reading(path) as stream:
        return _decode(stream, str(path), start, end)


def decode(data: bytes, name: _Path, *, start: float | None = None, end: float | None = None) -> NDArray[np.float32]:
    """Do what `load_waveform` does with the bytes of a file that was read already.

    Args:
        data: All bytes of the file.
        name: What error messages call it.
        start: Start of the segment in seconds.
        end: End of the segment in seconds.
    """
    return _decode(io.BytesIO(data), str(name), start, end)


def decode_recording(data: bytes, name: _Path, *, start: float | None = None, end: float | None = None) -> Recording:
    """Do what `decode` does, with the same arguments and errors, but keep channels and sampling rate as they are."""
    return _decode_recording(io.BytesIO(data), str(name), start, end)


def read_bytes(path: _Path) -> bytes:
    """Read a whole file.

    Raises:
        AudioError: The file is missing, a folder, a pipe, or cannot be read.
    """
    with _reading(path) as stream:
        return stream.read()


def audio_key(path: _Path, start: float | None = None, end: float | None = None) -> str:
    """Name an utterance by its content: moving or relabelling a file does not change its key.

    Args:
        path: Audio file.
        start: Start of the segment in seconds.
        end: End of the segment in seconds.

    Returns:
        64 hexadecimal digits: the SHA-256 of the file's bytes, for a segment that of the file's digest and its times.

    Raises:
        AudioError: The file is missing, a folder, a pipe, or cannot be read.
    """
    with _reading(path) as stream:
        return segment_key(hashlib.file_digest(stream, "sha256").hexdigest(), start, end)


def segment_key(file_digest: str, start: float | None = None, end: float | None = None) -> str:
    """Make the key of a segment from the SHA-256 (hexadecimal) of the whole file.

    >>> segment_key("ab12") == segment_key("ab12", 0.0, None) == "ab12"
    True
    """
    if not start and end is None:
        return file_digest
    times = f"{float(start or 0.0)!r}:{'' if end is None else repr(float(end))}"
    return hashlib.sha256(f"{file_digest}:{times}".encode()).hexdigest()


@contextmanager
def _reading(path: _Path) -> Iterator[io.BufferedReader]:
    """Open a file; whatever the system says then, and while it is read, is an AudioError."""
    try:
        with _open(path) as stream:
            yield stream
    except FileNotFoundError:
        raise AudioError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise AudioError(f"{path}: is a folder, an audio file is needed") from None
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror or error})") from None


def _open(path: _Path) -> io.BufferedReader:
    try:
        mode = Path(path).stat().st_mode
    except ValueError as error:  # a NUL or half a character in the name
        raise AudioError(f"{path}: cannot be read ({error})") from None
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a pipe would wait for its writer, for ever
        raise AudioError(f"{path}: is a pipe or device, an audio file is needed")
    return Path(path).open("rb")


def _decode(stream: _Stream, name: str, start: float | None, end: float | None) -> NDArray[np.float32]:
    recording = _decode_recording(stream, name, start, end)
    waveform = recording.waveform
    if recording.sample_rate != SAMPLE_RATE:
        waveform = np.asarray(soxr.resample(waveform, recording.sample_rate, SAMPLE_RATE, quality="HQ"), np.float32)
    if not len(waveform):
        raise AudioError(f"{name}: holds no samples")
    return np.ascontiguousarray(waveform)


def _decode_recording(stream: _Stream, name: str, start: float | None, end: float | None) -> Recording:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if size == 0:
        raise AudioError(f"{name}: is empty (0 bytes)")
    _check_wav_is_whole(stream, size, name)
    _check_ogg_is_whole(stream, size, name)
    recording = _read_samples(stream, name, start, end)
    if not len(recording.samples):
        raise AudioError(f"{name}: holds no samples")
    _check_finite(recording.waveform, recording.sample_rate, name)
    return recording


def _read_samples(stream: _Stream, name: str, start: float | None, end: float | None) -> Recording:
    try:
        with soundfile.SoundFile(stream) as sound:
            _check_header(sound, name)
            first, last = _segment_frames(sound.frames, sound.samplerate, name, start, end)
            # In GSM 6.10, as in a telephone's WAV, libsndfile cannot seek at all.
            origin = 0 if sound.format in _SEQUENTIAL_FORMATS or not sound.seekable() else first
            if origin:
                sound.seek(origin)
            samples = sound.read(last - origin, dtype="float32", always_2d=True)
    # MemoryError: a damaged MP3 header promises terabytes.
    except (soundfile.SoundFileError, TypeError, ValueError, RuntimeError, MemoryError) as error:
        raise AudioError(f"{name}: {_describe_unreadable(stream, error)}") from None
    if len(samples) < last - origin:
        raise AudioError(
            f"{name}: is cut off: its header promises {last} samples, {origin + len(samples)} are there; copy it again"
        )
    samples = samples[first - origin :]
    waveform = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
    return Recording(samples, waveform, int(sound.samplerate), sound.format, sound.subtype)


def _check_header(sound: soundfile.SoundFile, name: str) -> None:
    if sound.frames == _UNKNOWN_FRAMES:
        raise AudioError(f"{name}: its header does not say how long it is; write it again: ffmpeg -i OLD.flac NEW.flac")
    if sound.samplerate < _MIN_RATE:
        raise AudioError(f"{name}: its header says {sound.samplerate} Hz, at least {_MIN_RATE} Hz are needed")
    # Cut files of other formats libsndfile shortens, too, but its log tells.
    for promised, found in _LOGGED_LENGTH.findall(sound.extra_info):
        if int(found) < int(promised) < _UNKNOWN_SIZE:
            raise AudioError(
                f"{name}: is cut off: its header promises {promised} bytes, {found} are there; copy it again"
            )


def _segment_frames(frames: int, rate: int, name: str, start: float | None, end: float | None) -> tuple[int, int]:
    duration = frames / rate
    begin, stop = 0.0 if start is None else start, duration if end is None else end
    # Written so that NaN is outside, too.
    inside = 0.0 <= begin < stop <= duration + _END_TOLERANCE_S or (start is None and end is None)
    if not inside:
        raise AudioError(
            f"{name}: segment {begin:g}-{stop:g} s does not lie in the file, which is {duration:.3f} s long; "
            "correct start and end (0 <= start < end, in seconds)"
        )
    return min(round(begin * rate), frames), min(round(stop * rate), frames)


def _check_finite(waveform: NDArray[np.float32], rate: int, name: str) -> None:
    bad = np.flatnonzero(~np.isfinite(waveform))
    if len(bad):
        raise AudioError(
            f"{name}: {len(bad)} of {len(waveform)} samples are NaN or infinite, the first at {bad[0] / rate:.3f} s; "
            "write the file again"
        )


def _check_wav_is_whole(stream: _Stream, size: int, name: str) -> None:
    """Compare the length of the data chunk with the file: libsndfile shortens a cut WAV without a word."""
    head = stream.read(12)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE":
        order = ">" if head[:4] == b"RIFX" else "<"
        position, length64 = 12, None
        while position + 8 <= size:
            stream.seek(position)
            chunk, length = struct.unpack(f"{order}4sI", stream.read(8))
            position += 8
            if chunk == b"ds64":  # an RF64 has the length of its data here
                (length64,) = struct.unpack("<8xQ", stream.read(16).ljust(16, b"\0"))
            if chunk == b"data":
                length, unknown = (length, _UNKNOWN_SIZE) if length64 is None else (length64, 2**63)
                if size - position < length < unknown:
                    raise AudioError(
                        f"{name}: is cut off: its header promises {length} bytes of audio, "
                        f"{size - position} are there; copy it again"
                    )
                break
            position += length + length % 2
    stream.seek(0)


def _check_ogg_is_whole(stream: _Stream, size: int, name: str) -> None:
    """Compare the length of the last page with the file: libsndfile drops the page of a cut OGG without a word."""
    if stream.read(4) == b"OggS":
        stream.seek(max(0, size - _MAX_OGG_PAGE))
        tail = stream.read()
        page = tail[tail.rfind(b"OggS\0") :]
        if len(page) < 27 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]]):
            raise AudioError(f"{name}: is cut off in the middle of a page; copy it again")
    stream.seek(0)


def _describe_unreadable(stream: _Stream, error: Exception) -> str:
    try:
        stream.seek(0)
        head = stream.read(64)
    except (OSError, ValueError):
        return f"cannot be decoded ({error})"
    if head.startswith(_LFS_POINTER):
        return "is a git-LFS pointer, not the audio itself; run `git lfs pull`"
    reason = getattr(error, "error_string", None) or str(error)
    if _is_text(head):
        return f"holds text ({head[:20].decode(errors='replace')!r}...), not audio"
    return f"is not audio that can be decoded ({reason.rstrip('.')}); WAV, FLAC, OGG and MP3 are read"


def _is_text(head: bytes) -> bool:
    try:
        text = getincrementaldecoder("utf-8")().decode(head)  # incremental: the last character may be cut
    except UnicodeDecodeError:
        return False
    return bool(text) and all(char >= " " or char in "\t\r\n" for char in text)
