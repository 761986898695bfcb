"""The folds of a cross-validation: the manifest's own, or made to be balanced and group-safe."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.data.corpus import read_folds, splits_of_folds
from emoji_lightning.data.datamodule import EmojiDataModule
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.errors import ConfigError, ManifestError
from emoji_lightning.splits.evidence import Evidence
from emoji_lightning.splits.folds import make_folds
from emoji_lightning.splits.grouping import Groups

NUM_FOLDS = 5


class UndividedDataModule(EmojiDataModule):
    """The same data, not divided while it is read: `corpus.splits` is empty unless the manifest says them."""

    divides = False


@dataclass(frozen=True, eq=False)
class Folding:
    """The fold of each utterance of a corpus.

    Attributes:
        folds: N folds; None for an utterance that the manifest has in none.
        groups: Group of each utterance, N, that no two folds share; None where each stands alone.
        group_name: What a group is: "utterance", or columns.
        source: Where the folds come from, in words.
    """

    folds: Sequence[int | None]
    groups: Sequence[str] | None
    group_name: str
    source: str

    @property
    def known(self) -> list[int]:
        """The folds, in order."""
        return sorted({fold for fold in self.folds if fold is not None})

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows (M,) of the utterances that are in a fold."""
        return np.array([row for row, fold in enumerate(self.folds) if fold is not None], dtype=np.int64)

    def splits(self, fold: int) -> NDArray[np.str_]:
        """Return the splits (N,) when a fold is test, the next one dev, the others train."""
        return splits_of_folds(self.folds, fold)


def find_folds(data: EmojiDataModule, num_folds: int | None) -> Folding:
    """Take the manifest's column `fold`, or make folds that no value of `--data.group` is torn by.

    Args:
        data: The corpus, and the group and seed of its splits.
        num_folds: How many; None for those of the column, or 5.

    Raises:
        ConfigError: There are fewer than 3, or another number of them in the manifest.
        ManifestError: An utterance has no label.
        SplitError: The utterances cannot be divided into as many.
    """
    corpus, manifest = data.corpus, data.corpus.manifest
    if (corpus.labels < 0).any():
        raise ManifestError(f"{data.manifest}: no column 'label'; cross-validation needs one")
    if num_folds is not None and num_folds < 3:
        raise ConfigError(
            f"--folds is {num_folds}; expected 3 or more: one is test, the next one dev, the others train"
        )
    groups = _groups(data)
    names = None if groups is None else [groups.names[group] for group in groups.of_row]
    group_name = " + ".join(data.split.columns) or "utterance"
    if manifest is not None and manifest.has("fold"):
        found = read_folds(manifest)
        folding = Folding(found, names, group_name, f"column 'fold' of {corpus.name}")
        _check_column(folding, num_folds)
        return folding
    made = make_folds(
        corpus.labels,
        list(corpus.ids),
        num_folds=num_folds or NUM_FOLDS,
        label_names=data.label_names,
        groups=groups,
        seed=data.split.seed,
    )
    return Folding(made.fold.tolist(), names, group_name, f"made with seed {data.split.seed}")


def _groups(data: EmojiDataModule) -> Groups | None:
    columns, manifest = data.split.columns, data.corpus.manifest
    if columns and manifest is None:
        raise ConfigError(f"--data.group is {columns}: the demo corpus has no columns; leave it out")
    if not columns or manifest is None or data.store is None:
        return None
    return Evidence(manifest, store=EmbeddingStore.open(Path(data.store))).groups(columns)


def _check_column(folding: Folding, num_folds: int | None) -> None:
    known = folding.known
    if len(known) < 3:
        raise ConfigError(
            f"{folding.source} has the folds {known}; expected 3 or more: one is test, the next one dev, the others "
            "train"
        )
    if num_folds not in (None, len(known)):
        raise ConfigError(
            f"--folds is {num_folds}, {folding.source} has {len(known)}: {known}; leave --folds out to take these, or "
            "remove the column to have others made"
        )
    if folding.groups is None:
        return
    homes: dict[str, int] = {}
    for fold, group in zip(folding.folds, folding.groups, strict=True):
        if fold is not None and homes.setdefault(group, fold) != fold:
            raise ConfigError(
                f"{folding.source} has {folding.group_name} {group!r} in folds {homes[group]} and {fold}; expected "
                "each in one; make the folds with `emoji-lightning split --folds K --group`, or leave out --data.group"
            )
