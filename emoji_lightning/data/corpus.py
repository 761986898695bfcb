"""The corpus: every utterance's embedding, label and split, joined by key."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.data.moments import broken_embeddings, find_broken
from emoji_lightning.data.synthetic import EMBEDDING_DIM, make_demo_corpus
from emoji_lightning.embedding.joining import join_embeddings, locate_embeddings
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.embedding.stored import StoredEmbeddings
from emoji_lightning.errors import ConfigError, LabelError, SplitError, join_problems
from emoji_lightning.label_map import LabelMap, read_labels
from emoji_lightning.labels import LabelSet
from emoji_lightning.manifest import Manifest, read_manifest
from emoji_lightning.manifest.split_names import SPLITS as SPLITS  # the datamodule takes it from here
from emoji_lightning.splits.balance import split_balanced
from emoji_lightning.splits.evidence import NEAR, Evidence
from emoji_lightning.splits.options import SplitOptions

UNLABELLED = -1


@dataclass(frozen=True)
class Corpus:
    """Utterances ready to train on.

    Attributes:
        name: What reports call it: "synthetic demo corpus" or the manifest's file name.
        embeddings: (N, D) float32, in memory or in the store.
        labels: (N,) int64, positions in label_set; -1 where unlabelled.
        splits: (N,) str: train, dev, test, or empty where the manifest is not split.
        ids: N ids.
        label_set: The labels.
        encoder: Name of the encoder that made the embeddings.
        embedding_spec: What made the embeddings, as in the store's spec.json; empty for the demo corpus.
        best_labels: (N,) int64, the Bayes rule's answers where the distribution is known.
        num_replayed: How many of the last rows are of an old corpus, see `emoji_lightning.data.replay`.
        manifest: The table of the other rows, in their order; None for the demo corpus.
    """

    name: str
    embeddings: NDArray[np.float32] | StoredEmbeddings
    labels: NDArray[np.int64]
    splits: NDArray[np.str_]
    ids: Sequence[str]
    label_set: LabelSet
    encoder: str
    embedding_spec: Mapping[str, object]
    best_labels: NDArray[np.int64] | None = None
    num_replayed: int = 0
    manifest: Manifest | None = None

    def rows(self, split: str) -> NDArray[np.int64]:
        """Return the rows (M,) int64 of a split; "all" gives every row of the corpus itself."""
        if split == "all":
            return np.arange(len(self.labels) - self.num_replayed)
        return np.flatnonzero(self.splits == split)

    @property
    def is_streamed(self) -> bool:
        """Whether the embeddings stay in the store."""
        return isinstance(self.embeddings, StoredEmbeddings)

    def blocks(self, split: str) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield rows (B,) and embeddings (B, D) of a split: all at once, or a piece at a time from the store."""
        if isinstance(self.embeddings, StoredEmbeddings):
            yield from self.embeddings.blocks(self.rows(split))
        else:
            yield self.rows(split), self.embeddings[self.rows(split)]

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many utterances each split has of each label."""
        return {
            split: {
                label: int(count)
                for label, count in zip(
                    self.label_set,
                    np.bincount(self.labels[self.rows(split)], minlength=len(self.label_set)),
                    strict=True,
                )
            }
            for split in SPLITS
        }


def demo_corpus() -> Corpus:
    """Return the embedded synthetic corpus: 21,940 x 768, 11 labels, 19,940/1,000/1,000."""
    demo = make_demo_corpus()
    return Corpus(
        name="synthetic demo corpus",
        embeddings=demo.embeddings,
        labels=demo.labels,
        splits=demo.splits,
        ids=[f"demo-{row:05d}" for row in range(len(demo.labels))],
        label_set=LabelSet.card(),
        encoder="synthetic",
        embedding_spec={"encoder": "synthetic", "dim": EMBEDDING_DIM},
        best_labels=demo.best_labels,
    )


def read_corpus(
    manifest_path: str,
    store_path: str,
    *,
    audio_root: str | None = None,
    labels: str | Sequence[str] | None = None,
    label_map: str | None = None,
    columns: Mapping[str, str] | None = None,
    missing: Literal["error", "drop"] = "error",
    split: SplitOptions | None,
    fold: int | None = None,
    memory_bytes: int | None = None,
) -> Corpus:
    """Join a manifest's utterances to their stored embeddings by key.

    Args:
        manifest_path: Table of utterances.
        store_path: Folder that `embed` wrote.
        audio_root: Folder that audio paths are relative to, if not the manifest's.
        labels: Label set: names in order, or a label2id.json; by default the card's or the manifest's own.
        label_map: YAML or JSON that maps the manifest's labels to others.
        columns: Our column name -> the manifest's.
        missing: Whether utterances without an embedding are an error or dropped.
        split: How to split a manifest that has neither a `split` column nor a fold to test on; None leaves all
            utterances out of every split.
        fold: Fold of the column `fold` that is test; the next one is dev, the others are train.
        memory_bytes: Embeddings above this size stay in the store; all are read if it is not given.

    Raises:
        ManifestError: The manifest cannot be read or has no usable labels.
        LabelError: A label is not in the label set.
        StoreError: The store is damaged, lacks embeddings, or holds some that are not finite.
        SplitError: The manifest cannot be split in balance.
    """
    manifest = read_manifest(Path(manifest_path), audio_root=audio_root, columns=columns)
    if label_map is not None:
        manifest = manifest.map_labels(LabelMap.from_file(label_map))
    store = EmbeddingStore.open(Path(store_path))
    manifest, embeddings = _join(manifest, store, missing=missing, memory_bytes=memory_bytes)
    if isinstance(embeddings, StoredEmbeddings) and split and NEAR in split.columns and not manifest.has("split"):
        raise ConfigError(
            f"--data.group {NEAR} compares all embeddings, which are more than --data.memory_gib; write the splits "
            f"with `emoji-lightning split --group {NEAR}` before"
        )
    label_set = choose_labels(manifest, labels)
    codes = manifest.encode_labels(label_set) if manifest.has("label") else np.full(len(manifest), UNLABELLED)
    if split is None:
        splits = np.full(len(manifest), "", dtype="<U5")
    else:
        splits = _splits(manifest, codes, label_set, split, store) if fold is None else _splits_of_fold(manifest, fold)
    return Corpus(
        name=Path(manifest_path).name,
        embeddings=embeddings,
        labels=codes,
        splits=splits,
        ids=manifest.id_texts if isinstance(embeddings, StoredEmbeddings) else manifest.ids,
        label_set=label_set,
        encoder=store.spec.encoder,
        embedding_spec=store.spec.to_dict(),
        manifest=manifest,
    )


def _join(
    manifest: Manifest, store: EmbeddingStore, *, missing: Literal["error", "drop"], memory_bytes: int | None
) -> tuple[Manifest, NDArray[np.float32] | StoredEmbeddings]:
    if memory_bytes is not None and len(manifest) * store.spec.dim * 4 > memory_bytes:
        return locate_embeddings(manifest, store, missing=missing)
    manifest, embeddings = join_embeddings(manifest, store, missing=missing)
    broken = find_broken(embeddings)
    if broken:
        raise broken_embeddings(*locate_embeddings(manifest, store), broken)
    return manifest, embeddings


def choose_labels(manifest: Manifest | None, labels: str | Sequence[str] | None) -> LabelSet:
    """Return the label set that was asked for, else the manifest's own or the card's."""
    if labels is None:
        return manifest.infer_labels() if manifest is not None and manifest.has("label") else LabelSet.card()
    if not isinstance(labels, str):
        return LabelSet(tuple(labels))
    found = read_labels(labels)
    if isinstance(found, LabelMap):
        raise LabelError(
            f"{found.source}: maps labels to others; give it as --data.label_map, --data.labels takes a set"
        )
    return found


def _splits(
    manifest: Manifest, codes: NDArray[np.int64], label_set: LabelSet, options: SplitOptions, store: EmbeddingStore
) -> NDArray[np.str_]:
    if manifest.has("split"):
        values = manifest.table["split"].fill_null("").combine_chunks().dictionary_encode()
        names = np.array([value or "" for value in values.dictionary.to_pylist()], dtype="<U5")
        named: NDArray[np.str_] = names[np.asarray(values.indices)]
        return named
    if not manifest.has("label"):
        return np.full(len(manifest), "", dtype="<U5")
    if manifest.has("fold"):
        first = min((each for each in read_folds(manifest) if each is not None), default=0)
        raise SplitError(
            f"{manifest.source.name} has a column 'fold' and none 'split'; say which fold is test: --data.fold {first}"
        )
    split = split_balanced(
        codes,
        manifest.ids,
        dev=options.dev,
        test=options.test,
        groups=Evidence(manifest, store=store).groups(options.columns),
        seed=options.seed,
        label_names=list(label_set),
    )
    return np.array(split.names, dtype="<U5")


def _splits_of_fold(manifest: Manifest, fold: int) -> NDArray[np.str_]:
    folds = read_folds(manifest)
    known = sorted({each for each in folds if each is not None})
    if fold not in known or len(known) < 3:
        raise SplitError(
            f"--data.fold is {fold}, the folds of {manifest.source.name} are {known}; expected one of them, and 3 or "
            "more: one is test, the next one dev, the others train"
        )
    return splits_of_folds(folds, fold)


def splits_of_folds(folds: Sequence[int | None], fold: int) -> NDArray[np.str_]:
    """Return the split of each row (N,) when a fold is test: the next one is dev, the others train, None is in none."""
    known = sorted({each for each in folds if each is not None})
    following = known[(known.index(fold) + 1) % len(known)]
    meaning: dict[int | None, str] = {None: "", **dict.fromkeys(known, "train")}
    meaning |= {fold: "test", following: "dev"}
    return np.array([meaning[each] for each in folds], dtype="<U5")


def read_folds(manifest: Manifest) -> list[int | None]:
    """Return the fold of each row, None where it has none; `2.0`, as pandas writes numbers with gaps, is 2."""
    manifest.require("fold")
    folds: list[int | None] = []
    problems = []
    for row, value in enumerate(manifest.column("fold")):
        text = "" if value is None else str(value).strip()
        if re.fullmatch(r"(\d+(\.0*)?)?", text):
            folds.append(int(float(text)) if text else None)
        else:
            problems.append(f"{manifest.where(row)}: fold is {value!r}; expected a whole number, 0 or more")
    if problems:
        raise SplitError(join_problems(problems))
    return folds
