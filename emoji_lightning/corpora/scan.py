"""Audio files -> what is in them: header, digests, level, clipping, silence."""

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from emoji_lightning.audio import Recording, decode_recording, read_bytes
from emoji_lightning.corpora.levels import measure_clipping, measure_rms_dbfs, measure_silence
from emoji_lightning.errors import AudioError

_Path = str | os.PathLike[str]
_WAITING_PER_WORKER = 16
"""Files that are handed out and not yet read: a million futures would take a gigabyte."""


class Segment(NamedTuple):
    """A file, or the part of it from `start` to `end` (s)."""

    path: _Path
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class AudioFacts:
    """What a file, or a segment of it, holds.

    Attributes:
        duration_s: Length.
        sample_rate: Of the file, in Hz.
        num_channels: Of the file.
        format: libsndfile's word for the container: "WAV".
        subtype: libsndfile's word for the coding: "PCM_16".
        file_sha256: Of all bytes of the file, hexadecimal.
        audio_digest: SHA-256, hexadecimal, of the sampling rate and of the mean of the channels in float32: the same
            for the same samples in WAV and FLAC, in 16 bit, 24 bit and float. Lossy coding and resampling change it.
        peak: Largest absolute value in any channel; full scale is 1, which float files and lossy coding may exceed.
        rms_dbfs: Root mean square of the mean of the channels in dB below full scale; -inf where all is 0.
        clipped: Share of the samples of all channels that are clipped, see `levels.measure_clipping`.
        silence: Share of the frames of 20 ms that are below -60 dBFS, see `levels.measure_silence`.
        leading_silence_s: Silence before the first sound, in steps of a frame.
        trailing_silence_s: Silence after the last sound, in steps of a frame.
    """

    duration_s: float
    sample_rate: int
    num_channels: int
    format: str
    subtype: str
    file_sha256: str
    audio_digest: str
    peak: float
    rms_dbfs: float
    clipped: float
    silence: float
    leading_silence_s: float
    trailing_silence_s: float

    @property
    def is_silent(self) -> bool:
        """Whether no frame holds sound."""
        return self.silence == 1.0


def scan_audio(
    utterances: Iterable[_Path | Segment], *, workers: int | None = None, progress: bool = False
) -> list[AudioFacts | AudioError]:
    """Read and measure audio files in threads; a file is read once, whatever number of its segments is asked for.

    A worker holds one file at a time: its bytes, and the samples of one segment as float32.

    Args:
        utterances: Paths, or segments of files.
        workers: Threads; by default one a core.
        progress: Whether to show a progress bar on a terminal.

    Returns:
        For each utterance, in order, what it holds or why it cannot be used: all that `audio.load_waveform` refuses.
    """
    segments = [each if isinstance(each, Segment) else Segment(each) for each in utterances]
    rows_of: dict[str, list[int]] = {}
    for row, segment in enumerate(segments):
        rows_of.setdefault(os.fspath(segment.path), []).append(row)
    found: dict[int, AudioFacts | AudioError] = {}
    files = [[segments[row] for row in rows] for rows in rows_of.values()]
    with _progress_bar(show=progress) as bar:
        task = bar.add_task("look at audio", total=len(segments))
        results = _scan_ahead(files, workers or min(16, os.cpu_count() or 1))
        for rows, facts in zip(rows_of.values(), results, strict=True):
            found.update(zip(rows, facts, strict=True))
            bar.advance(task, len(rows))
    return [found[row] for row in range(len(segments))]


def scan_file(segments: Sequence[Segment]) -> list[AudioFacts | AudioError]:
    """Read one file and measure segments of it, in this thread; one result for each, in order."""
    path = segments[0].path
    try:
        data = read_bytes(path)
    except AudioError as error:
        return [error] * len(segments)
    digest = sha256(data).hexdigest()
    return [_scan_segment(data, digest, segment) for segment in segments]


def _scan_ahead(files: Sequence[list[Segment]], workers: int) -> Iterator[list[AudioFacts | AudioError]]:
    waiting: deque[Future[list[AudioFacts | AudioError]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="scan") as pool:
        try:
            for file in files:
                waiting.append(pool.submit(scan_file, file))
                if len(waiting) >= workers * _WAITING_PER_WORKER:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # after Ctrl-C nobody wants the rest
            for future in waiting:
                future.cancel()


def _scan_segment(data: bytes, digest: str, segment: Segment) -> AudioFacts | AudioError:
    try:
        recording = decode_recording(data, segment.path, start=segment.start, end=segment.end)
    except AudioError as error:
        return error
    return _measure(recording, digest)


def _measure(recording: Recording, digest: str) -> AudioFacts:
    waveform, rate = recording.waveform, recording.sample_rate
    silence = measure_silence(waveform, rate)
    return AudioFacts(
        duration_s=len(waveform) / rate,
        sample_rate=rate,
        num_channels=recording.samples.shape[1],
        format=recording.format,
        subtype=recording.subtype,
        file_sha256=digest,
        audio_digest=_digest_audio(recording),
        peak=float(max(recording.samples.max(), -recording.samples.min())),
        rms_dbfs=measure_rms_dbfs(waveform),
        clipped=measure_clipping(recording),
        silence=silence.share,
        leading_silence_s=silence.leading_s,
        trailing_silence_s=silence.trailing_s,
    )


def _digest_audio(recording: Recording) -> str:
    # Little-endian on every machine, and -0.0, which a float file may hold, as 0.0.
    digest = sha256(f"{recording.sample_rate}:".encode())
    digest.update(np.ascontiguousarray(recording.waveform + np.float32(0), dtype="<f4").data)
    return digest.hexdigest()


def _progress_bar(*, show: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not (show and sys.stderr.isatty()),
    )
