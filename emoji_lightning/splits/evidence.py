"""What ties the utterances of a manifest: columns, the bytes of the audio, near embeddings."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.embedding.joining import join_embeddings
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.errors import SplitError, join_problems
from emoji_lightning.manifest import Manifest
from emoji_lightning.splits.audio_identity import AudioIdentities, identify_audio
from emoji_lightning.splits.grouping import Groups, group_rows
from emoji_lightning.splits.leakage import Finding, Placement, find_shared, find_shared_audio, normalize_texts
from emoji_lightning.splits.near_duplicates import SIMILARITY, connect_pairs, find_pairs

NEAR = "near_duplicate"
_COLUMNS = ("id", "text", "source_id", "speaker")


class Evidence:
    """Groups and leaks of one manifest; what costs time is done once, and only if it is asked for.

    Args:
        manifest: N utterances.
        store: Their embeddings; None if near duplicates need not be known.
        similarity: Least cosine of near duplicates.
    """

    def __init__(
        self, manifest: Manifest, *, store: EmbeddingStore | None = None, similarity: float = SIMILARITY
    ) -> None:
        self.manifest = manifest
        self.store = store
        self.similarity = similarity

    def groups(self, columns: Sequence[str]) -> Groups | None:
        """Return the groups that columns make together; None without columns.

        Raises:
            ManifestError: There is no such column.
            SplitError: Cells are empty, several columns tie all utterances to each other, or `near_duplicate` is asked
                for without a store.
        """
        names = list(dict.fromkeys(columns))
        if not names:
            return None
        self.require(names)
        groups = group_rows({name: self._filled(name) for name in names})
        if len(groups) == 1 and len(names) > 1:
            raise SplitError(
                f"{' and '.join(names)} together tie all {len(self.manifest)} utterances into one group, each through "
                "others that share a value; group by one of them"
            )
        return groups

    def require(self, columns: Sequence[str]) -> None:
        """Refuse columns of groups that are not there.

        Raises:
            ManifestError: There is no such column; the message lists those found.
            SplitError: `near_duplicate` is asked for without a store.
        """
        self.manifest.require(*(name for name in columns if name not in ("id", NEAR)))
        if NEAR in columns and self.store is None and not self.manifest.has(NEAR):
            raise SplitError(f"--group {NEAR} needs embeddings; give --store DIR")

    def find(self, placement: Placement, *, groups: Sequence[str] = ()) -> tuple[list[Finding], dict[str, str]]:
        """Look for what is in several parts.

        Args:
            placement: Part of each of the N rows.
            groups: Columns whose values had to stay together.

        Returns:
            What was looked at with what was found, and what was not looked at with the reason.
        """
        wanted = [name for name in dict.fromkeys([*_COLUMNS, *groups]) if name not in ("audio", NEAR)]
        names = [name for name in wanted if self._has(name)]
        findings = [find_shared(name, self._values(name), placement) for name in names]
        not_checked = {name: f"no column {name!r}" for name in wanted if name not in names}
        self._find_audio(placement, findings, not_checked)
        self._find_near(placement, findings, not_checked)
        return findings, not_checked

    def _find_audio(self, placement: Placement, findings: list[Finding], not_checked: dict[str, str]) -> None:
        if not self.manifest.has("audio"):
            not_checked["audio"] = "no column 'audio'"
            return
        if self._audio.num_unread:
            not_checked["audio bytes"] = f"{self._audio.num_unread} files are not here; compared by their paths"
        values = self._audio.values
        if self.manifest.has("start") or self.manifest.has("end"):
            starts, ends = self.manifest.seconds("start"), self.manifest.seconds("end")
            findings += find_shared_audio(values, starts, ends, placement)
        else:
            findings.append(find_shared("audio", values, placement, what="audio"))

    def _find_near(self, placement: Placement, findings: list[Finding], not_checked: dict[str, str]) -> None:
        if self.store is None:
            not_checked[NEAR] = "no --store was given"
            return
        known, _ = self._embedded
        if len(known) < len(self.manifest):
            absent = len(self.manifest) - len(known)
            not_checked["embeddings"] = f"{absent} utterances have no embedding in the store"
        parts = placement.codes
        sizes = np.bincount(parts[parts >= 0], minlength=len(placement.names))
        # Every pair that counts has a member outside the biggest part.
        pairs = self._near_pairs(np.flatnonzero((parts[known] >= 0) & (parts[known] != sizes.argmax())))
        split = (parts[pairs[:, 0]] != parts[pairs[:, 1]]) & (parts[pairs] >= 0).all(axis=1)
        examples = [placement.describe("embeddings", pair) for pair in pairs[split][:3].tolist()]
        findings.append(Finding(NEAR, int(split.sum()), examples))

    def _near_pairs(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        known, embeddings = self._embedded
        return known[find_pairs(embeddings, rows=rows, similarity=self.similarity)]

    @cached_property
    def _embedded(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Rows that have an embedding (M,), and these (M, D)."""
        assert self.store is not None  # who calls has looked
        numbered = self.manifest.with_column("row", np.arange(len(self.manifest)))
        kept, embeddings = join_embeddings(numbered, self.store, missing="drop")
        return np.asarray(kept.column("row"), dtype=np.int64), embeddings

    @cached_property
    def _audio(self) -> AudioIdentities:
        return identify_audio(self.manifest, self.store)

    def _has(self, name: str) -> bool:
        return name == "id" or self.manifest.has(name)

    def _values(self, name: str) -> Sequence[str]:
        if name == "id":
            return self.manifest.ids
        if name == NEAR and not self.manifest.has(NEAR):
            num_known = len(self._embedded[0])
            return connect_pairs(self._near_pairs(np.arange(num_known)), self.manifest.ids)
        if name == "audio" and self.manifest.has("audio"):
            return self._audio.values
        values = ["" if value is None else str(value) for value in self.manifest.column(name)]
        return normalize_texts(values) if name == "text" else values

    def _filled(self, name: str) -> Sequence[str]:
        values = self._values(name)
        problems = [
            f"{self.manifest.where(row)}: {name} is empty; every utterance needs a group, or leave out --group {name}"
            for row, value in enumerate(values)
            if not value.strip()
        ]
        if problems:
            raise SplitError(join_problems(problems))
        return values
