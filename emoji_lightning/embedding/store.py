"""The embedding store: a folder with what made the vectors, and the vectors in Parquet parts."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.errors import StoreError
from emoji_lightning.files import write_whole

SPEC = "spec.json"
PARTS = "part-*.parquet"
WRITTEN = {
    "row_group_size": 512,
    "use_dictionary": False,
    "compression": {"key": "snappy", "id": "snappy", "duration_s": "snappy", "embedding.list.element": "none"},
}
"""How parts are written. Floats do not compress, and are read three times as fast as with a dictionary and snappy; row
groups are what training reads in random order where embeddings do not fit into memory."""


@dataclass(frozen=True)
class EmbeddingStore:
    """A folder that holds `spec.json` and `part-*.parquet`.

    A part has the columns `key` (text: SHA-256 of the audio), `embedding` (fixed-size list of D float32), `duration_s`
    (float64, seconds) and, for imported vectors, `id` (text). Parts appear whole under names of their own, so a killed
    run leaves only whole parts and two runs do not meet. The folder also holds the programs' notes `failed.csv` and
    `files.arrow`; to read the vectors with another program, name the parts: `STORE/part-*.parquet`.

    Attributes:
        path: The folder.
        spec: What made the vectors.
    """

    path: Path
    spec: EmbeddingSpec

    @classmethod
    def open(cls, path: Path) -> "EmbeddingStore":
        """Open a store that is there.

        Raises:
            StoreError: There is none, or its `spec.json` is damaged.
        """
        file = path / SPEC
        if not file.is_file():
            raise StoreError(f"{path}: no embedding store ({SPEC} is missing); `emoji-lightning embed` makes one")
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise StoreError(f"holds a {type(values).__name__}, a mapping is needed")
            return cls(path, EmbeddingSpec.from_dict(values))
        except (ValueError, OSError, StoreError) as error:
            raise StoreError(f"{file}: is damaged: {error}; embed into another folder") from None

    @classmethod
    def open_or_create(cls, path: Path, spec: EmbeddingSpec) -> "EmbeddingStore":
        """Open a store for vectors of this spec, or make it.

        Raises:
            StoreError: The store's vectors were made by something else: they must not be mixed; or the folder cannot be
                written.
        """
        has_parts = path.is_dir() and any(path.glob(PARTS))  # before the spec, which comes before any part
        if not (path / SPEC).is_file():
            if has_parts or (path.exists() and not path.is_dir()):
                raise StoreError(f"{path}: is no store ({SPEC} is missing) and not empty; give --store another folder")
            _write_spec(path, spec, keep=True)
        store = cls.open(path)
        merged = store.spec.merge(spec)
        if merged is None:
            raise StoreError(
                f"{path}: holds embeddings of {store.spec.describe()}, these would be of {spec.describe()} "
                f"({store.spec.difference(spec)}); give --store another folder, or the options that made this store"
            )
        if merged != store.spec:
            _write_spec(path, merged)
        return cls(path, merged)

    def keys(self) -> set[str]:
        """Return the keys of all vectors."""
        return {key for part in self.parts() for key in _read_part(part, ["key"])["key"].to_pylist()}

    def ids(self) -> set[str]:
        """Return the ids of imported vectors."""
        parts = [_read_part(part, None) for part in self.parts()]
        return {name for part in parts if "id" in part.column_names for name in part["id"].to_pylist()}

    def read(self, keys: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors (N, D) float32 of these keys, in this order.

        Raises:
            StoreError: A key has no vector, or a part is damaged.
        """
        return self._read("key", keys)

    def read_ids(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """Return the imported vectors (N, D) float32 of these ids, in this order.

        Raises:
            StoreError: An id has no vector, or a part is damaged.
        """
        return self._read("id", ids)

    def append(
        self,
        keys: Sequence[str],
        embeddings: NDArray[np.float32],
        durations_s: Sequence[float],
        *,
        ids: Sequence[str] | None = None,
    ) -> None:
        """Write one whole part.

        Args:
            keys: N keys.
            embeddings: (N, D) float32, finite.
            durations_s: N durations in seconds.
            ids: N ids of imported vectors.

        Raises:
            StoreError: The vectors are not (N, D), not finite, or the disk is full.
        """
        if embeddings.shape != (len(keys), self.spec.dim) or not np.isfinite(embeddings).all():
            raise StoreError(
                f"{self.path}: vectors {embeddings.shape} are not {len(keys)} finite {self.spec.dim}-d ones"
            )
        flat = pa.array(np.ascontiguousarray(embeddings, dtype=np.float32).ravel())
        columns = {
            "key": pa.array(keys, pa.string()),
            "embedding": pa.FixedSizeListArray.from_arrays(flat, self.spec.dim),
            "duration_s": pa.array(durations_s, pa.float64()),
        }
        if ids is not None:
            columns["id"] = pa.array(ids, pa.string())
        part = self.path / f"part-{uuid4().hex}.parquet"
        try:
            write_whole(part, lambda file: pq.write_table(pa.table(columns), file, **WRITTEN))
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise StoreError(f"{part}: cannot be written ({reason}); what was finished before is kept") from error

    def parts(self) -> list[Path]:
        """Return the files that hold the vectors, in a fixed order."""
        return sorted(self.path.glob(PARTS))

    def _read(self, column: str, wanted: Sequence[str]) -> NDArray[np.float32]:
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(wanted):
            rows.setdefault(name, []).append(row)
        found = np.zeros(len(wanted), dtype=bool)
        vectors = np.empty((len(wanted), self.spec.dim), dtype=np.float32)
        for part in self.parts():
            table = _read_part(part, None)
            if column not in table.column_names:
                continue
            pairs = [(at, row) for at, name in enumerate(table[column].to_pylist()) for row in rows.get(name, ())]
            if not pairs:
                continue
            source, target = np.array(pairs).T
            vectors[target] = self.vectors_of(table, part)[source]
            found[target] = True
        if not found.all():
            lacking = int((~found).sum())
            raise StoreError(
                f"{self.path}: {lacking} of {len(wanted)} utterances have no embedding; run `embed` on them"
            )
        return vectors

    def vectors_of(self, table: pa.Table, part: Path) -> NDArray[np.float32]:
        """Return the vectors (R, D) float32 of R rows of a part.

        Raises:
            StoreError: The column `embedding` is not what the store's spec says.
        """
        kind = pa.list_(pa.float32(), self.spec.dim)
        if "embedding" not in table.column_names or table["embedding"].null_count:
            raise StoreError(f"{part}: is damaged (rows without `embedding`); delete this part and run `embed` again")
        column = table["embedding"].combine_chunks()
        if column.type != kind:
            raise StoreError(f"{part}: embeddings are {column.type}, {SPEC} says {kind}; embed into another folder")
        vectors: NDArray[np.float32] = column.flatten().to_numpy().reshape(-1, self.spec.dim)
        return vectors


def _write_spec(path: Path, spec: EmbeddingSpec, *, keep: bool = False) -> None:
    text = json.dumps(spec.to_dict(), indent=2) + "\n"
    try:
        write_whole(path / SPEC, lambda file: file.write_text(text, encoding="utf-8"), keep=keep)
    except OSError as error:
        raise StoreError(f"{path}: cannot be made ({error.strerror}); give --store another folder") from None


def _read_part(part: Path, columns: list[str] | None) -> pa.Table:
    try:
        return pq.read_table(part, columns=columns, partitioning=None)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise damaged_part(part, str(error).splitlines()[0]) from None


def damaged_part(part: Path, reason: str) -> StoreError:
    """Return the error for a part that cannot be read."""
    return StoreError(
        f"{part}: is damaged ({reason}); delete this part and run `embed` again: it does only what is missing"
    )
