"""The corpus: every utterance's embedding, label and split, joined by key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.data.synthetic import EMBEDDING_DIM, make_demo_corpus
from emoji_lightning.embedding.digests import manifest_keys
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.errors import ConfigError, StoreError, join_problems
from emoji_lightning.labels import LabelSet
from emoji_lightning.manifest import Manifest, read_manifest
from emoji_lightning.splits.balance import split_balanced
from emoji_lightning.splits.split_manifest import read_groups

SPLITS = ("train", "dev", "test")
UNLABELLED = -1


@dataclass(frozen=True)
class Corpus:
    """Utterances ready to train on.

    Attributes:
        name: What reports call it: "synthetic demo corpus" or the manifest's file name.
        embeddings: (N, D) float32.
        labels: (N,) int64, positions in label_set; -1 where unlabelled.
        splits: (N,) str: train, dev, test, or empty where the manifest is not split.
        ids: N ids.
        label_set: The labels.
        encoder: Name of the encoder that made the embeddings.
        embedding_spec: What made the embeddings, as in the store's spec.json; empty for the demo corpus.
        best_labels: (N,) int64, the Bayes rule's answers where the distribution is known.
    """

    name: str
    embeddings: NDArray[np.float32]
    labels: NDArray[np.int64]
    splits: NDArray[np.str_]
    ids: Sequence[str]
    label_set: LabelSet
    encoder: str
    embedding_spec: Mapping[str, object]
    best_labels: NDArray[np.int64] | None = None

    def rows(self, split: str) -> NDArray[np.int64]:
        """Return the rows (M,) int64 of a split; "all" gives every row."""
        if split == "all":
            return np.arange(len(self.labels))
        return np.flatnonzero(self.splits == split)

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


@dataclass(frozen=True)
class SplitOptions:
    """How a manifest without a `split` column is split; see `split_balanced`."""

    dev: float = 0.1
    test: float = 0.1
    group: str | None = None
    seed: int = 0


def read_corpus(
    manifest_path: str,
    store_path: str,
    *,
    audio_root: str | None = None,
    labels: str | Sequence[str] | None = None,
    missing: Literal["error", "drop"] = "error",
    split: SplitOptions,
) -> Corpus:
    """Join a manifest's utterances to their stored embeddings by key.

    Args:
        manifest_path: Table of utterances.
        store_path: Folder that `embed` wrote.
        audio_root: Folder that audio paths are relative to, if not the manifest's.
        labels: Label set: names in order, or a label2id.json; by default the card's or the manifest's own.
        missing: Whether utterances without an embedding are an error or dropped.
        split: How to split a manifest that has no `split` column.

    Raises:
        ManifestError: The manifest cannot be read or has no usable labels.
        LabelError: A label is not in the label set.
        StoreError: The store is damaged or lacks embeddings.
        SplitError: The manifest cannot be split in balance.
    """
    manifest = read_manifest(Path(manifest_path), audio_root=Path(audio_root) if audio_root else None)
    store = EmbeddingStore.open(Path(store_path))
    manifest, embeddings = join_embeddings(manifest, store, missing=missing)
    label_set = choose_labels(manifest, labels)
    codes = manifest.encode_labels(label_set) if manifest.has("label") else np.full(len(manifest), UNLABELLED)
    return Corpus(
        name=Path(manifest_path).name,
        embeddings=embeddings,
        labels=codes,
        splits=_splits(manifest, codes, label_set, split),
        ids=manifest.ids,
        label_set=label_set,
        encoder=store.spec.encoder,
        embedding_spec=store.spec.to_dict(),
    )


def choose_labels(manifest: Manifest, labels: str | Sequence[str] | None) -> LabelSet:
    """Return the label set that was asked for, else the card's or the manifest's own."""
    if labels is None:
        return manifest.infer_labels() if manifest.has("label") else LabelSet.card()
    return LabelSet.from_file(Path(labels)) if isinstance(labels, str) else LabelSet(tuple(labels))


def join_embeddings(
    manifest: Manifest, store: EmbeddingStore, *, missing: Literal["error", "drop"] = "error"
) -> tuple[Manifest, NDArray[np.float32]]:
    """Return the utterances that have an embedding, and these embeddings (N, D) in the same order.

    Raises:
        StoreError: An utterance has none and `missing` is "error", or no utterance has one.
    """
    if missing not in ("error", "drop"):
        raise ConfigError(f"missing is {missing!r}; expected 'error' or 'drop'")
    ids = store.ids()  # only imported vectors have one: such a store needs no audio
    by_id = bool(ids) or not manifest.has("audio")
    keys = list(manifest.ids) if by_id else manifest_keys(manifest, store)
    stored = ids if by_id else store.keys()
    absent = [row for row, key in enumerate(keys) if key is None or key not in stored]
    if absent and (missing == "error" or len(absent) == len(keys)):
        raise StoreError(_absent_message(manifest, store, absent))
    kept = sorted(set(range(len(keys))) - set(absent))
    wanted = [key for row in kept if (key := keys[row]) is not None]
    read = store.read_ids if by_id else store.read
    return (manifest.select(kept) if absent else manifest), read(wanted)


def _absent_message(manifest: Manifest, store: EmbeddingStore, absent: list[int]) -> str:
    ids = manifest.ids
    problems = join_problems([f"{manifest.where(row)}: no embedding of {ids[row]!r}" for row in absent], limit=10)
    return (
        f"{problems}\n{len(absent)} of {len(manifest)} utterances have no embedding in {store.path}. Run "
        f"`emoji-lightning embed {manifest.source} --store {store.path} --encoder {store.spec.encoder}` "
        "(it does only what is missing), or leave them out with --data.missing drop"
    )


def _splits(
    manifest: Manifest, codes: NDArray[np.int64], label_set: LabelSet, options: SplitOptions
) -> NDArray[np.str_]:
    if manifest.has("split"):
        return np.array([value or "" for value in manifest.column("split")], dtype="<U5")
    if not manifest.has("label"):
        return np.full(len(manifest), "", dtype="<U5")
    if options.group is not None:
        manifest.require(options.group)
    split = split_balanced(
        codes,
        manifest.ids,
        dev=options.dev,
        test=options.test,
        groups=read_groups(manifest, options.group) if options.group else None,
        seed=options.seed,
        label_names=list(label_set),
    )
    return np.array(split.names, dtype="<U5")
