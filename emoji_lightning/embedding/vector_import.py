"""Other people's vectors -> embedding store: only what is missing, found by the id of the utterance."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

import numpy as np

from emoji_lightning.embedding.failures import FAILED, Failure, describe_failures, write_failures
from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.embedding.vector_sources import AbsentError, ImportedVector, VectorError, VectorSource, open_source
from emoji_lightning.errors import ManifestError, StoreError, join_problems
from emoji_lightning.manifest import Manifest

CHUNK_ROWS = 4096
"""Utterances of one part: what a killed run can lose; 12 MB of 768-d vectors in memory."""
# One odd file at the beginning must not decide the length of all vectors.
_PEEKED = 16


@dataclass
class ImportReport:
    """What an import did.

    Attributes:
        store: The store's folder.
        num_utterances: Rows of the manifest.
        num_new: Vectors that this run brought in.
        num_known: Rows whose id was in the store before.
        failures: Utterances without a vector that can be used.
    """

    store: Path
    num_utterances: int
    num_new: int = 0
    num_known: int = 0
    failures: list[Failure] = field(default_factory=list)

    def summary(self) -> str:
        """Return the run in a line."""
        listed = f" (listed in {self.store / FAILED})" if self.failures else ""
        return (
            f"{self.store}: {self.num_new} imported, {self.num_known} there before, {len(self.failures)} failed{listed}"
        )


def imported_spec(encoder: str, dim: int) -> EmbeddingSpec:
    """Return the spec of vectors that another program made: what is not known of them is called unknown.

    Args:
        encoder: Name that the user declares. Vectors that `embed` makes of the same encoder never mix with these.
        dim: Length D of the vectors.
    """
    return EmbeddingSpec(encoder=encoder, dim=dim, resampler="unknown", precision="unknown", device="unknown")


def imported_key(name: str) -> str:
    """Return the key (SHA-256, hexadecimal) of an imported vector, which has no audio to take it from.

    >>> imported_key("Ses01F_impro01_F000")[:12]
    '264783cebada'
    """
    return sha256(f"id:{name}".encode()).hexdigest()


def import_vectors(
    manifest: Manifest, source: Path, open_store: Callable[[int], EmbeddingStore], *, max_failed: int = 0
) -> ImportReport:
    """Bring the vectors of a manifest's utterances into a store, found by the id of the row.

    Frames are averaged in float64. The stored duration is the number of frames times 20 ms; it is 0.0, for unknown,
    where there is but one vector. Ids that the store holds are not read again, and what the manifest does not name is
    left out. No audio is needed.

    Args:
        manifest: Table of N utterances with unique ids.
        source: A folder with `ID.npy` for each row, (D,) or frames (T, D), an id with `/` lying in sub-folders; or the
            frames `X.npy` (all frames, D) of emotion2vec's recipe, beside them `X.lengths` (the number of frames of an
            utterance in each line) and `X.emo` (its id and label). Numbers are float16, float32 or float64.
        open_store: Called once with D, as soon as a vector could be read; returns the store for vectors of this length.
        max_failed: How many utterances may be without a usable vector.

    Raises:
        ManifestError: None of the manifest's ids is in the source, or lines of `X.emo` are wrong.
        StoreError: The source cannot be used; or more than `max_failed` utterances have no usable vector: everything
            else is stored by then, and they are listed in `failed.csv` in the store; or the store cannot be written.
    """
    vectors = open_source(source)
    ids = manifest.ids
    store = open_store(_find_dim(vectors, manifest))
    known = store.ids()
    rows = [row for row, name in enumerate(ids) if name not in known]
    report = ImportReport(store.path, len(ids), num_known=len(ids) - len(rows))
    try:
        for start in range(0, len(rows), CHUNK_ROWS):
            _import_chunk({row: ids[row] for row in rows[start : start + CHUNK_ROWS]}, vectors, store, report)
    finally:
        write_failures(store.path, report.failures, manifest)
    if len(report.failures) > max_failed:
        what = "no vector that can be used"
        raise StoreError(describe_failures(store.path, report.failures, manifest, what))
    return report


def _find_dim(source: VectorSource, manifest: Manifest) -> int:
    """Return the most common length among the first vectors that can be read."""
    dims: Counter[int] = Counter()
    failures: list[Failure] = []
    num_absent = 0
    for row, name in enumerate(manifest.ids):
        try:
            dims[len(source.read(name).values)] += 1
        except VectorError as error:
            failures.append(Failure(row, name, "", str(error)))
            num_absent += isinstance(error, AbsentError)
        if dims.total() == _PEEKED:
            break
    if dims:
        return dims.most_common(1)[0][0]
    if num_absent == len(manifest):
        _refuse_ids(source, manifest)
    raise StoreError(f"{_list(failures, manifest)}\nno utterance has a vector that can be used: nothing is imported")


def _import_chunk(ids: Mapping[int, str], source: VectorSource, store: EmbeddingStore, report: ImportReport) -> None:
    found: dict[str, ImportedVector] = {}
    for row, name in ids.items():
        try:
            vector = source.read(name)
            if len(vector.values) != store.spec.dim:
                raise VectorError(f"{vector.place}: is {len(vector.values)}-d, the store's are {store.spec.dim}-d")
            found[name] = vector
        except VectorError as error:
            report.failures.append(Failure(row, name, "", str(error)))
    if found:
        embeddings = np.stack([vector.values for vector in found.values()])
        durations = [vector.duration_s for vector in found.values()]
        store.append([imported_key(name) for name in found], embeddings, durations, ids=list(found))
    report.num_new += len(found)


def _refuse_ids(source: VectorSource, manifest: Manifest) -> NoReturn:
    theirs = source.first_ids(2)
    if not theirs:
        raise StoreError(f"{source.path}: holds no vectors; expected those of the utterances in {manifest.source.name}")
    cure = "make them agree" if manifest.has("id") else "add a column `id`: without one the audio path is the id"
    raise ManifestError(
        f"{manifest.source.name}: none of its {len(manifest)} ids is in {source.path}; its ids are like "
        f"{', '.join(map(repr, manifest.ids[:2]))}, those of the vectors like {', '.join(map(repr, theirs))}; {cure}"
    )


def _list(failures: Sequence[Failure], manifest: Manifest) -> str:
    return join_problems([f"{manifest.where(failure.row)}: {failure.reason}" for failure in failures])
