"""Which vector belongs to which row: digests of audio files, remembered so that gigabytes are hashed once."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

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


class DigestCache:
    """SHA-256 by audio path as the manifest has it, kept in the store's `files.arrow`.

    A file whose size and time of change are as they were is not read again. Where the audio is not on this machine
    (only the store was copied), the path alone decides.
    """

    def __init__(self, store: EmbeddingStore) -> None:
        self._file = store.path / FILES
        self._known = _read(self._file)
        self._new: dict[str, FileDigest] = {}

    def digest(self, audio: str, path: Path) -> str:
        """Return the SHA-256 of a file, hashed only if it is new or has changed.

        Args:
            audio: Its path as the manifest has it.
            path: Its path on this machine.

        Raises:
            AudioError: It is neither here nor known.
        """
        known = self._known.get(audio)
        try:
            status = path.stat()
        except OSError:
            if known is not None:
                return known.digest
            raise AudioError(f"{path}: no such file") from None
        if known is not None and (known.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns):
            return known.digest
        digest = audio_key(path)
        self.remember(audio, FileDigest(status.st_size, status.st_mtime_ns, digest))
        return digest

    def remember(self, audio: str, digest: FileDigest) -> None:
        """Note the digest of a file."""
        self._known[audio] = self._new[audio] = digest

    def save(self) -> None:
        """Write what is new into the store; where that is forbidden or the disk is full, do without."""
        if not self._new:
            return
        merged = _read(self._file) | self._new
        columns = dict(zip(FileDigest._fields, map(list, zip(*merged.values(), strict=True)), strict=True))
        table = pa.table({"audio": list(merged), **columns})
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


def _rows(manifest: Manifest) -> Iterable[tuple[str, Path, float | None, float | None]]:
    starts, ends = (manifest.seconds(name) for name in ("start", "end"))
    return zip(manifest.column("audio"), manifest.audio_paths(), starts, ends, strict=True)


def _key_or_none(cache: DigestCache, audio: str, path: Path, start: float | None, end: float | None) -> str | None:
    try:
        return segment_key(cache.digest(audio, path), start, end)
    except AudioError:
        return None


def _read(file: Path) -> dict[str, FileDigest]:
    try:
        with pa.memory_map(str(file)) as source, pa.ipc.open_file(source) as reader:
            table = reader.read_all()
            table.validate(full=True)
            columns = [table[name].to_pylist() for name in ("audio", *FileDigest._fields)]
    except (OSError, pa.ArrowException, KeyError, ValueError):  # it is only a cache: a damaged one is made anew
        return {}
    return {audio: FileDigest(*rest) for audio, *rest in zip(*columns, strict=True)}


def _write(file: Path, table: pa.Table) -> None:
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
