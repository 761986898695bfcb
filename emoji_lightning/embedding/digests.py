"""Which vector belongs to which row: digests of audio files, remembered so that gigabytes are hashed once."""

import os
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from emoji_lightning.audio import audio_key, segment_key
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.errors import AudioError
from emoji_lightning.files import write_whole
from emoji_lightning.manifest import Manifest

FILES = "files.arrow"
"""Named so that `*.parquet` does not find it."""


class FileDigest(NamedTuple):
    """What was known of a file when it was hashed: size in bytes, time of change in ns, SHA-256."""

    size: int
    mtime_ns: int
    digest: str


COLUMNS = ("audio", "place", *FileDigest._fields)
"""Of `files.arrow`; `place` is a digest of the file's full path."""
CHUNK_ROWS = 200_000
"""Rows of a large manifest that are Python objects at one time."""


class DigestCache:
    """SHA-256 by audio path as the manifest has it, kept in the store's `files.arrow`.

    A file whose size and time of change are as they were is not read again. Where the audio is not on this machine
    (only the store was copied), the path in the manifest decides, if all files of this path had one content: two
    corpora in one store may both have an `audio/0001.wav`.

    Args:
        store: Where it is kept.
        among: Paths to know of, as the manifest has them; all if not given, a kilobyte of memory each.
    """

    def __init__(self, store: EmbeddingStore, *, among: pa.ChunkedArray | None = None) -> None:
        self._file = store.path / FILES
        self._known: dict[str, dict[str, FileDigest]] = {}
        for (audio, place), digest in _read(self._file, among).items():
            self._known.setdefault(audio, {})[place] = digest
        self._new: dict[tuple[str, str], FileDigest] = {}
        self._hashing: dict[str, Lock] = {}

    def digest(self, audio: str, path: Path, *, by_name: bool = False) -> str:
        """Return the SHA-256 of a file, hashed only if it is new or has changed.

        Args:
            audio: Its path as the manifest has it.
            path: Its path on this machine.
            by_name: Whether to answer for a file that is not here, and never was, by its path in the manifest.

        Raises:
            AudioError: It is neither here nor known, or it is not here and the store knows several of this path.
        """
        known = self.lookup(audio, path)
        if known is not None:
            return known
        try:
            status = path.stat()
        except (OSError, ValueError):  # ValueError: a NUL in the name
            if not by_name:
                raise AudioError(f"{path}: no such file") from None
            return self._digest_by_name(audio, path)
        with self._hashing.setdefault(_place(path), Lock()):
            known = self.lookup(audio, path)  # another thread may have hashed it for another segment meanwhile
            if known is None:
                known = audio_key(path)
                self.remember(audio, path, FileDigest(status.st_size, status.st_mtime_ns, known))
        return known

    def lookup(self, audio: str, path: Path) -> str | None:
        """Return what is known of a file without reading it; None where it is new or has changed."""
        known = self._known.get(audio, {}).get(_place(path))
        if known is None:
            return None
        try:
            status = path.stat()
        except (OSError, ValueError):
            return known.digest
        return known.digest if (known.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns) else None

    def remember(self, audio: str, path: Path, digest: FileDigest) -> None:
        """Note the digest of a file."""
        place = _place(path)
        self._known.setdefault(audio, {})[place] = self._new[audio, place] = digest

    def _digest_by_name(self, audio: str, path: Path) -> str:
        digests = {known.digest for known in self._known.get(audio, {}).values()}
        if len(digests) > 1:
            raise AudioError(f"{path}: no such file, and the store knows {len(digests)} others named {audio!r}")
        if not digests:
            raise AudioError(f"{path}: no such file")
        return digests.pop()

    def save(self) -> None:
        """Write what is new into the store; where that is forbidden or the disk is full, do without."""
        if not self._new:
            return
        merged = _read(self._file) | self._new
        rows = [(*name, *digest) for name, digest in merged.items()]
        table = pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))
        try:
            write_whole(self._file, lambda file: _write(file, table))
        except OSError:
            return
        self._new.clear()


def manifest_keys(manifest: Manifest, store: EmbeddingStore) -> list[str | None]:
    """Return each row's key in the store, N; None where the audio is neither here nor known.

    Args:
        manifest: Table with the column `audio`.
        store: Its digest cache is used and brought up to date.
    """
    cache = DigestCache(store)
    keys = [_key_or_none(cache, *row) for row in _rows(manifest)]
    cache.save()
    return keys


def manifest_key_column(manifest: Manifest, store: EmbeddingStore) -> pa.ChunkedArray:
    """Return what `manifest_keys` does, as Arrow text of N rows with nulls: some rows at a time are Python objects."""
    chunks = []
    for start in range(0, len(manifest), CHUNK_ROWS):
        chunk = manifest.slice(start, CHUNK_ROWS)
        cache = DigestCache(store, among=chunk.table["audio"])
        chunks.append(pa.array([_key_or_none(cache, *row) for row in _rows(chunk)], pa.string()))
        cache.save()
    return pa.chunked_array(chunks, pa.string())


def _rows(manifest: Manifest) -> Iterable[tuple[str, Path, float | None, float | None]]:
    starts, ends = (manifest.seconds(name) for name in ("start", "end"))
    return zip(manifest.column("audio"), manifest.audio_paths(), starts, ends, strict=True)


def _key_or_none(cache: DigestCache, audio: str, path: Path, start: float | None, end: float | None) -> str | None:
    try:
        return segment_key(cache.digest(audio, path, by_name=True), start, end)
    except AudioError:
        return None


def _place(path: Path) -> str:
    """Tell two folders apart without writing their names into a store that is passed on."""
    return sha256(os.fsencode(_resolve_folder(path.parent) / path.name)).hexdigest()[:16]


@cache
def _resolve_folder(folder: Path) -> Path:
    return folder.resolve()


def _read(file: Path, among: pa.ChunkedArray | None = None) -> dict[tuple[str, str], FileDigest]:
    try:
        with pa.memory_map(str(file)) as source, pa.ipc.open_file(source) as reader:
            table = reader.read_all()
            table.validate(full=True)
            if among is not None:
                table = table.filter(pc.is_in(table["audio"], value_set=among))
            columns = [table[name].to_pylist() for name in COLUMNS]
    except (OSError, pa.ArrowException, KeyError, ValueError):  # it is only a cache: a damaged one is made anew
        return {}
    return {(audio, place): FileDigest(*rest) for audio, place, *rest in zip(*columns, strict=True)}


def _write(file: Path, table: pa.Table) -> None:
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
