"""Audio files -> named waveforms, read and decoded ahead of the encoder."""

import os
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from queue import Full, Queue
from threading import Event, Thread
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.audio import SAMPLE_RATE, decode, load_waveform, read_bytes, segment_key
from emoji_lightning.embedding.digests import DigestCache, FileDigest
from emoji_lightning.embedding.encoder import Encoder
from emoji_lightning.embedding.long_audio import LongAudio
from emoji_lightning.errors import AudioError
from emoji_lightning.manifest import Manifest

_Item = TypeVar("_Item")
_FILES_AHEAD, _BYTES_AHEAD = 64, 256 << 20
"""Files, and bytes of them, that are read before they are asked for. A waveform takes 3.8 MB a minute, about twice the
file's bytes, or ten times those of compressed speech."""


@dataclass(frozen=True)
class Utterance:
    """A row of the manifest: where its audio is, and which part of it (s)."""

    row: int
    id: str
    audio: str
    path: Path
    start: float | None
    end: float | None


@dataclass(frozen=True)
class Reading:
    """What reading an utterance gave.

    Attributes:
        utterance: The row.
        key: Digest of its content; empty where it could not be read.
        pieces: Waveforms (T,) float32 to embed; none where the vector is known or the reading failed.
        reason: Why it failed; empty where it did not.
    """

    utterance: Utterance
    key: str = ""
    pieces: tuple[NDArray[np.float32], ...] = ()
    reason: str = ""

    @property
    def duration_s(self) -> float:
        """Seconds of audio to embed."""
        return sum(map(len, self.pieces)) / SAMPLE_RATE


def list_utterances(manifest: Manifest) -> list[Utterance]:
    """Return the rows of a manifest with the column `audio`."""
    columns = (manifest.ids, manifest.column("audio"), manifest.audio_paths())
    times = (manifest.seconds("start"), manifest.seconds("end"))
    return [Utterance(row, *values) for row, values in enumerate(zip(*columns, *times, strict=True))]


class Reader:
    """Reads, names and decodes one utterance; safe to use from several threads.

    Args:
        cache: What is known of files; what is learnt goes in.
        known: Keys whose vectors need no audio.
        long_audio: What is done with audio above a limit.
    """

    def __init__(self, cache: DigestCache, known: Container[str], long_audio: LongAudio) -> None:
        self._cache = cache
        self._known = known
        self._long_audio = long_audio

    def read(self, utterance: Utterance) -> Reading:
        """Read an utterance, or find that it is known or cannot be read."""
        try:
            known = self._cache.lookup(utterance.audio, utterance.path)
            if known is not None and (key := segment_key(known, utterance.start, utterance.end)) in self._known:
                return Reading(utterance, key)
            is_segment = bool(utterance.start) or utterance.end is not None
            key, waveform = (self._read_segment if is_segment else self._read_file)(utterance)
            return Reading(utterance, key, () if waveform is None else self._cut(waveform, utterance.path))
        except AudioError as error:
            return Reading(utterance, reason=str(error))

    def _read_file(self, utterance: Utterance) -> tuple[str, NDArray[np.float32] | None]:
        status = _status(utterance.path)  # before reading: a change after it must be noticed next time
        # The bytes that are embedded are the bytes that are named, even if the file changes meanwhile.
        data = read_bytes(utterance.path)
        digest = sha256(data).hexdigest()
        self._cache.remember(utterance.audio, utterance.path, FileDigest(status.st_size, status.st_mtime_ns, digest))
        return digest, None if digest in self._known else decode(data, utterance.path)

    def _read_segment(self, utterance: Utterance) -> tuple[str, NDArray[np.float32] | None]:
        # A recording is hashed once for all its segments, and only the segment is decoded.
        digest = self._cache.digest(utterance.audio, utterance.path)
        key = segment_key(digest, utterance.start, utterance.end)
        if key in self._known:
            return key, None
        waveform = load_waveform(utterance.path, start=utterance.start, end=utterance.end)
        if self._cache.lookup(utterance.audio, utterance.path) != digest:
            raise AudioError(f"{utterance.path}: changed while it was read; run `embed` again")
        return key, waveform

    def _cut(self, waveform: NDArray[np.float32], path: Path) -> tuple[NDArray[np.float32], ...]:
        try:
            return self._long_audio.cut(waveform)
        except AudioError as error:
            raise AudioError(f"{path}: {error}") from None


def read_windows(utterances: Iterable[Utterance], reader: Reader, encoder: Encoder) -> Iterator[list[Reading]]:
    """Read utterances in threads of their own, and yield as many together as the encoder's limits say.

    Memory does not grow with the corpus: reading stops while a window waits.
    """
    return _run_ahead(_group(_map_ahead(reader.read, utterances), encoder))


def _group(readings: Iterable[Reading], encoder: Encoder) -> Iterator[list[Reading]]:
    window: list[Reading] = []
    frames = 0
    for reading in readings:
        window.append(reading)
        frames += sum(encoder.num_frames(len(piece)) for piece in reading.pieces)
        if frames >= encoder.limits.window_frames or len(window) >= encoder.limits.window_utterances:
            yield window
            window, frames = [], 0
    if window:
        yield window


def _map_ahead(function: Callable[[Utterance], Reading], items: Iterable[Utterance]) -> Iterator[Reading]:
    """Apply a function in threads, some items ahead; the results keep the order."""
    waiting: deque[tuple[Future[Reading], int]] = deque()
    ahead = 0
    with ThreadPoolExecutor(min(16, (os.cpu_count() or 1) + 1), thread_name_prefix="read") as pool:
        try:
            for item in items:
                waiting.append((pool.submit(function, item), _size(item)))
                ahead += waiting[-1][1]
                while len(waiting) >= _FILES_AHEAD or (ahead > _BYTES_AHEAD and len(waiting) > 1):
                    future, size = waiting.popleft()
                    ahead -= size
                    yield future.result()
            while waiting:
                yield waiting.popleft()[0].result()
        finally:
            for future, _ in waiting:
                future.cancel()


def _size(utterance: Utterance) -> int:
    """Return the bytes of an utterance's file; 0 where that is not known, and for a segment, which is a part of it."""
    try:
        return 0 if utterance.end is not None else utterance.path.stat().st_size
    except (OSError, ValueError):
        return 0


def _run_ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """Draw from an iterator in a thread of its own, an item ahead; its errors are raised here."""
    ready: Queue[tuple[_Item | None, BaseException | None]] = Queue(1)
    stopped = Event()

    def put(item: _Item | None, error: BaseException | None = None) -> None:
        while not stopped.is_set():
            try:
                ready.put((item, error), timeout=0.1)
            except Full:
                continue
            return

    def draw() -> None:
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:
            put(None, error)

    thread = Thread(target=draw, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        stopped.set()
        thread.join()


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the name
        raise AudioError(f"{path}: no such file") from None
