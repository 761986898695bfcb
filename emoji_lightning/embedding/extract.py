"""Audio -> embedding store: only what is missing, written as it comes, nothing finished lost."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from emoji_lightning.embedding.digests import DigestCache
from emoji_lightning.embedding.encoder import Encoder
from emoji_lightning.embedding.failures import FAILED, Failure, describe_failures, write_failures
from emoji_lightning.embedding.long_audio import LongAudio
from emoji_lightning.embedding.planner import plan_batches
from emoji_lightning.embedding.reading import Reader, Reading, Utterance, list_utterances, read_windows
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.errors import AudioError, StoreError
from emoji_lightning.files import sweep
from emoji_lightning.manifest import Manifest

PART_SIZE, PART_SECONDS = 256, 30.0
"""A part is written after so many utterances or seconds of work: what a killed run can lose."""


@dataclass
class EmbedReport:
    """What an `embed` run did.

    Attributes:
        store: The store's folder.
        num_utterances: Rows of the manifest.
        num_new: Vectors that this run made.
        num_known: Rows whose vector was there before, or is shared with a byte-identical file.
        duration_s: Duration in seconds of the audio that was embedded now.
        elapsed_s: Seconds that it took.
        failures: Utterances whose audio cannot be used.
    """

    store: Path
    num_utterances: int
    num_new: int = 0
    num_known: int = 0
    duration_s: float = 0.0
    elapsed_s: float = 0.0
    failures: list[Failure] = field(default_factory=list)

    def summary(self) -> str:
        """Return the run in a line."""
        rate = f", {self.duration_s / self.elapsed_s:.1f} times real time" if self.num_new and self.elapsed_s else ""
        listed = f" (listed in {self.store / FAILED})" if self.failures else ""
        return (
            f"{self.store}: {self.num_new} embedded ({self.duration_s / 3600:.2f} h{rate}), "
            f"{self.num_known} there before, {len(self.failures)} failed{listed}"
        )

    def finish(self, manifest: Manifest, max_failed: int) -> None:
        """List the failures in the store.

        Raises:
            AudioError: There are more than `max_failed`.
            StoreError: The list cannot be written.
        """
        self.failures.sort(key=lambda failure: failure.row)
        write_failures(self.store, self.failures, manifest)
        if len(self.failures) > max_failed:
            raise AudioError(describe_failures(self.store, self.failures, manifest, "audio that cannot be used"))


@dataclass(frozen=True)
class Embedded:
    """What became of an utterance: a vector (D,), nothing new (`known`), or a reason why not."""

    reading: Reading
    vector: NDArray[np.float32] | None = None
    reason: str = ""


def embed_manifest(
    manifest: Manifest,
    encoder: Encoder,
    store: EmbeddingStore,
    *,
    max_failed: int = 0,
    long_audio: LongAudio | None = None,
    progress: bool = True,
) -> EmbedReport:
    """Bring the vector of every utterance into the store, in this process.

    Args:
        manifest: Table with the column `audio`.
        encoder: What makes the vectors; its spec is the store's.
        store: Where they go, a part at a time.
        max_failed: How many utterances may have unusable audio.
        long_audio: What is done with long audio; by default more than 120 s is a failure.
        progress: Whether to show a progress bar on a terminal.

    Raises:
        ManifestError: The manifest has no column `audio`.
        AudioError: More than `max_failed` utterances failed; everything else is stored by then, and the failures are
            listed in `failed.csv` in the store.
        StoreError: The store cannot be read or written.
    """
    manifest.require("audio")
    utterances = list_utterances(manifest)
    report = EmbedReport(store.path, len(utterances))
    try:
        with (
            Extraction(utterances, encoder, store, report, long_audio or LongAudio()) as extraction,
            progress_bar(show=progress) as bar,
        ):
            task = bar.add_task("embed", total=len(utterances), hours=0.0, rate=0.0)
            for window in extraction.windows():
                for embedded in extraction.embed(window):
                    extraction.keep(embedded)
                    hours, rate = extraction.progress()
                    bar.update(task, advance=1, hours=hours, rate=rate)
    except BaseException:
        # The error that ends the run is the one to show, and an earlier list is better than an empty one.
        if report.failures:
            with suppress(StoreError, OSError):
                report.finish(manifest, max_failed=len(utterances))
        raise
    report.finish(manifest, max_failed)
    return report


class Extraction:
    """One run over some utterances of a manifest, in steps that a plain loop or Lightning may call.

    As a context it writes what is finished at the end, whatever ended it.

    Args:
        utterances: What to embed.
        encoder: What makes the vectors.
        store: Where they go.
        report: Kept up to date.
        long_audio: What is done with long audio.
    """

    def __init__(
        self,
        utterances: Iterable[Utterance],
        encoder: Encoder,
        store: EmbeddingStore,
        report: EmbedReport,
        long_audio: LongAudio,
    ) -> None:
        self._utterances = utterances
        self._encoder = encoder
        self._report = report
        self._long_audio = long_audio
        sweep(store.path)
        self._cache = DigestCache(store)
        self._known = store.keys()
        self._writer = _PartWriter(store)
        self._start = monotonic()

    def __enter__(self) -> "Extraction":
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._writer.flush()
        finally:
            self._cache.save()
            self._report.elapsed_s = self.elapsed_s

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return monotonic() - self._start

    def progress(self) -> tuple[float, float]:
        """Return the hours of audio so far, and how many times real time it was embedded."""
        seconds = self._report.duration_s
        return seconds / 3600, seconds / max(self.elapsed_s, 1e-9)

    def windows(self) -> Iterator[list[Reading]]:
        """Yield the utterances, read and decoded, some at a time."""
        return read_windows(
            self._utterances, Reader(self._cache, frozenset(self._known), self._long_audio), self._encoder
        )

    def embed(self, window: Sequence[Reading]) -> Iterator[Embedded]:
        """Yield what became of each utterance, as soon as it is known; bytes that were seen before are not embedded."""
        fresh: list[Reading] = []
        copies: dict[str, list[Reading]] = {}
        for reading in window:
            if reading.reason or not reading.pieces or reading.key in self._known:
                yield Embedded(reading, reason=reading.reason)
            elif reading.key in copies:
                copies[reading.key].append(reading)
            else:
                fresh.append(reading)
                copies[reading.key] = []
        units = [(at, piece) for at, reading in enumerate(fresh) for piece in reading.pieces]
        vectors: list[list[tuple[int, NDArray[np.float32] | AudioError]]] = [[] for _ in fresh]
        for batch in plan_batches([self._encoder.num_frames(len(piece)) for _, piece in units], self._encoder.limits):
            for place, vector in self._encoder.encode_batch([units[unit][1] for unit in batch]):
                at = units[batch[place]][0]
                vectors[at].append((batch[place], vector))
                if len(vectors[at]) == len(fresh[at].pieces):
                    yield self._join(fresh[at], vectors[at])
                    for copy in copies[fresh[at].key]:
                        known = copy.key in self._known
                        yield Embedded(copy) if known else self._join(copy, vectors[at])

    def keep(self, embedded: Embedded) -> None:
        """Count an utterance and write its vector, a part at a time.

        Raises:
            StoreError: The disk is full.
        """
        utterance = embedded.reading.utterance
        if embedded.reason:
            self._report.failures.append(Failure(utterance.row, utterance.id, utterance.audio, embedded.reason))
        elif embedded.vector is None:
            self._report.num_known += 1
        else:
            self._report.num_new += 1
            self._report.duration_s += embedded.reading.duration_s
            self._writer.add(embedded.reading.key, embedded.vector, embedded.reading.duration_s)

    def _join(self, reading: Reading, pieces: list[tuple[int, NDArray[np.float32] | AudioError]]) -> Embedded:
        """Take the mean over the pieces of an utterance, weighted by their durations."""
        vectors = []
        for _, vector in sorted(pieces, key=lambda pair: pair[0]):
            if isinstance(vector, AudioError):
                return Embedded(reading, reason=f"{reading.utterance.path}: {vector}")
            vectors.append(vector)
        self._known.add(reading.key)
        if len(vectors) == 1:
            return Embedded(reading, vectors[0])
        lengths = [len(piece) for piece in reading.pieces]
        mean = np.average(np.asarray(vectors, dtype=np.float64), axis=0, weights=lengths)
        return Embedded(reading, mean.astype(np.float32))


class _PartWriter:
    """Collects vectors and writes them a part at a time."""

    def __init__(self, store: EmbeddingStore) -> None:
        self._store = store
        self._rows: list[tuple[str, NDArray[np.float32], float]] = []
        self._since = monotonic()

    def add(self, key: str, embedding: NDArray[np.float32], duration_s: float) -> None:
        """Take a vector (D,); write a part if it is time."""
        self._rows.append((key, embedding, duration_s))
        if len(self._rows) >= PART_SIZE or monotonic() - self._since >= PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was collected."""
        if self._rows:
            keys, embeddings, durations = zip(*self._rows, strict=True)
            self._store.append(keys, np.stack(embeddings), durations)
            self._rows = []  # not before: Ctrl-C may come while a part is written, and the end of the run tries again
        self._since = monotonic()


def progress_bar(*, show: bool) -> Progress:
    """Return a bar with utterances, hours of audio (`hours`), real-time factor (`rate`) and time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[hours]:.2f} h of audio, {task.fields[rate]:.1f} times real time, left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not (show and sys.stderr.isatty()),
    )
