"""What is asked of a split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from emoji_lightning.errors import SplitError
from emoji_lightning.label_map import LabelMap
from emoji_lightning.labels import LabelSet
from emoji_lightning.splits.near_duplicates import SIMILARITY


@dataclass(frozen=True)
class SplitOptions:
    """How a manifest is divided; see `split_balanced` and `make_folds`.

    Args:
        dev: Utterances in dev if >= 1, else their share.
        test: The same for test.
        folds: Number of folds for cross-validation in place of train, dev and test.
        group: Column or columns whose values may not be in two splits (folds): of the manifest, or `audio` (the same
            bytes) or `near_duplicate` (nearly the same embedding).
        seed: Draws another split.
    """

    dev: float = 0.1
    test: float = 0.1
    folds: int | None = None
    group: Sequence[str] | str | None = ()
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what needs no data."""
        if self.seed < 0:
            raise SplitError(f"--seed is {self.seed}; expected 0 or more")

    @classmethod
    def of(cls, *given: Mapping[str, Any]) -> "SplitOptions":
        """Take each option from the first mapping that has it and does not say None, or else the default."""
        names = [each.name for each in fields(cls)]
        return cls(**{name: each[name] for each in reversed(given) for name in names if each.get(name) is not None})

    def describe(self) -> dict[str, Any]:
        """Return the options as the record holds them."""
        sizes = {"folds": self.folds} if self.folds else {"dev": _whole(self.dev), "test": _whole(self.test)}
        return {**sizes, "group": self.columns, "seed": self.seed}

    @property
    def columns(self) -> list[str]:
        """The columns of `group`."""
        return [self.group] if isinstance(self.group, str) else list(self.group or ())


@dataclass(frozen=True)
class AuditOptions:
    """What the leakage audit looks at, and what it lets pass.

    Args:
        store: Folder of embeddings, to look for near duplicates; None does without.
        similarity: Least cosine of standardised embeddings of near duplicates.
        allow: Names of leaks that are accepted.
    """

    store: str | None = None
    similarity: float = SIMILARITY
    allow: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check what needs no data."""
        if not 0 < self.similarity <= 1:
            raise SplitError(f"--similarity is {self.similarity}; expected a cosine above 0, at most 1")


@dataclass(frozen=True)
class Reading:
    """How the table that is split was read.

    Args:
        columns: Our column name -> the table's.
        labels: The label set or the map that its labels were read by.
        files: Files that were read beside it.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    labels: LabelSet | LabelMap | None = None
    files: Sequence[Path] = ()

    def describe(self) -> dict[str, Any]:
        """Return `columns` and `labels` as the record keeps them for --update."""
        kept = dict(self.labels.labels) if isinstance(self.labels, LabelMap) else list(self.labels or ())
        return ({"columns": dict(self.columns)} if self.columns else {}) | ({"labels": kept} if kept else {})


def _whole(size: float) -> float:
    return int(size) if size >= 1 else size
