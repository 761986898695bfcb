"""Audio -> embedding store: one utterance at a time, only what is missing, nothing finished lost."""

import csv
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from emoji_lightning.audio import SAMPLE_RATE, decode, read_bytes, segment_key
from emoji_lightning.embedding.digests import DigestCache, FileDigest
from emoji_lightning.embedding.encoder import Encoder
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.errors import AudioError, StoreError, join_problems
from emoji_lightning.files import write_whole
from emoji_lightning.manifest import Manifest

FAILED = "failed.csv"
PART_SIZE, PART_SECONDS = 256, 30.0
"""A part is written after so many utterances or seconds of work: what a killed run can lose."""


@dataclass(frozen=True)
class Failure:
    """An utterance whose audio cannot be used: its row in the manifest, id, audio path and the reason."""

    row: int
    id: str
    audio: str
    reason: str


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


def embed_manifest(
    manifest: Manifest, encoder: Encoder, store: EmbeddingStore, *, max_failed: int = 0, progress: bool = True
) -> EmbedReport:
    """Bring the vector of every utterance into the store.

    Args:
        manifest: Table with the column `audio`.
        encoder: What makes the vectors; its spec is the store's.
        store: Where they go, a part at a time.
        max_failed: How many utterances may have unusable audio.
        progress: Whether to show a progress bar on a terminal.

    Raises:
        ManifestError: The manifest has no column `audio`.
        AudioError: More than `max_failed` utterances failed; everything else is stored by then, and the failures are
            listed in `failed.csv` in the store.
        StoreError: The store cannot be read or written.
    """
    manifest.require("audio")
    report = EmbedReport(store.path, len(manifest))
    start = monotonic()
    writer = _PartWriter(store)
    cache = DigestCache(store)
    known = store.keys()
    try:
        with _progress_bar(show=progress) as bar:
            task = bar.add_task("embed", total=len(manifest), hours=0.0, rate=0.0)
            for utterance in _utterances(manifest):
                _embed_one(utterance, encoder, known=known, cache=cache, writer=writer, report=report)
                elapsed = monotonic() - start
                bar.update(task, advance=1, hours=report.duration_s / 3600, rate=report.duration_s / max(elapsed, 1e-9))
    finally:
        writer.flush()
        cache.save()
        report.elapsed_s = monotonic() - start
        _write_failures(report, manifest)
    if len(report.failures) > max_failed:
        raise AudioError(_describe_failures(report, manifest))
    return report


@dataclass(frozen=True)
class _Utterance:
    row: int
    id: str
    audio: str
    path: Path
    start: float | None
    end: float | None


def _utterances(manifest: Manifest) -> Iterator[_Utterance]:
    columns = (manifest.ids, manifest.column("audio"), manifest.audio_paths())
    times = (manifest.seconds("start"), manifest.seconds("end"))
    for row, values in enumerate(zip(*columns, *times, strict=True)):
        yield _Utterance(row, *values)


def _embed_one(
    utterance: _Utterance,
    encoder: Encoder,
    *,
    known: set[str],
    cache: DigestCache,
    writer: "_PartWriter",
    report: EmbedReport,
) -> None:
    try:
        if segment_key(cache.digest(utterance.audio, utterance.path), utterance.start, utterance.end) in known:
            report.num_known += 1
            return
        status = _status(utterance.path)  # before reading: a change after it must be noticed next time
        # The bytes that are embedded are the bytes that are named, even if the file changes meanwhile.
        data = read_bytes(utterance.path)
        digest = sha256(data).hexdigest()
        waveform = decode(data, utterance.path, start=utterance.start, end=utterance.end)
        embedding = _encode(encoder, waveform, utterance.path)
    except AudioError as error:
        report.failures.append(Failure(utterance.row, utterance.id, utterance.audio, str(error)))
        return
    key = segment_key(digest, utterance.start, utterance.end)
    cache.remember(utterance.audio, utterance.path, FileDigest(status.st_size, status.st_mtime_ns, digest))
    if key not in known:
        known.add(key)
        duration_s = len(waveform) / SAMPLE_RATE
        writer.add(key, embedding, duration_s)
        report.num_new += 1
        report.duration_s += duration_s


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError:
        raise AudioError(f"{path}: no such file") from None


def _encode(encoder: Encoder, waveform: NDArray[np.float32], path: Path) -> NDArray[np.float32]:
    try:
        return encoder.encode(waveform)
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from None


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
            self._rows = []
            self._store.append(keys, np.stack(embeddings), durations)
        self._since = monotonic()


def _progress_bar(*, show: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[hours]:.2f} h of audio, {task.fields[rate]:.1f} times real time, left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not (show and sys.stderr.isatty()),
    )


def _write_failures(report: EmbedReport, manifest: Manifest) -> None:
    target = report.store / FAILED
    if not report.failures:
        target.unlink(missing_ok=True)
        return

    def write(file: Path) -> None:
        with file.open("w", encoding="utf-8", newline="") as stream:
            rows = csv.writer(stream)
            rows.writerow(["line", "id", "audio", "reason"])
            rows.writerows((manifest.lines[f.row], f.id, f.audio, f.reason) for f in report.failures)

    try:
        write_whole(target, write)
    except OSError as error:
        raise StoreError(
            f"{target}: cannot be written ({error.strerror}); what was embedded is in the store"
        ) from error


def _describe_failures(report: EmbedReport, manifest: Manifest) -> str:
    problems = join_problems([f"{manifest.where(failure.row)}: {failure.reason}" for failure in report.failures])
    return (
        f"{problems}\n{len(report.failures)} of {report.num_utterances} utterances have audio that cannot be used; "
        f"all others are in the store. The list is in {report.store / FAILED}; correct them and run `embed` again, or "
        "allow them with --max-failed N"
    )
