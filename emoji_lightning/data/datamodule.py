"""The LightningDataModule: cached embeddings joined to labels, in balanced splits."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Literal

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from emoji_lightning.data.balance import check_balance, class_weights
from emoji_lightning.data.corpus import SPLITS, Corpus, choose_labels, demo_corpus, read_corpus
from emoji_lightning.data.dataset import Batch
from emoji_lightning.data.loaders import NUM_SAMPLED, LoaderOptions, Loaders, choose_batch_size
from emoji_lightning.data.moments import Moments, are_all_alike, measure_stored
from emoji_lightning.data.replay import add_replay, check_replay
from emoji_lightning.embedding.stored import StoredEmbeddings
from emoji_lightning.errors import ConfigError, ManifestError, SplitError, StoreError
from emoji_lightning.splits.options import SplitOptions


class EmojiDataModule(pl.LightningDataModule):
    """Embeddings from a store, joined to the manifest's labels by key; without a manifest the synthetic demo corpus.

    Args:
        manifest: Table of utterances (CSV, TSV, JSONL, Parquet or a folder). Without it: the synthetic demo corpus,
            21,940 embeddings of 768 dimensions in 11 classes, whose best reachable accuracy is 0.700.
        store: Folder of embeddings that `embed` wrote from this manifest's audio.
        audio_root: Folder that the manifest's audio paths are relative to; by default the manifest's folder.
        columns: The manifest's names of columns, `{label: emotion}` to take `emotion` as `label`.
        labels: Labels in the order of their ids, or the path of a label2id.json. By default the 11 of the model card,
            or the manifest's own, sorted, if it uses none of those.
        label_map: Path of a YAML or JSON map of the manifest's labels to these: `joy: 😊`, `calm: null` to leave out.
        dev: Utterances in dev where the manifest has no `split` column: a number, or a share below 1.
        test: The same for test.
        group: Column, or columns, whose values (speakers, source texts) may not appear in two of these splits.
        split_seed: Seed of these splits.
        fold: Fold of the manifest's column `fold` (`split --folds`) to test on; the next one is dev, the others train.
        batch_size: Utterances per step and process. By default a power of two from 16 to 256, so that an epoch of train
            has 256 steps or more where it can (of one process).
        missing: What to do with utterances that the store has no embedding of: "error" or "drop".
        predict_split: What `predict` labels: "all", "train", "dev" or "test".
        balance: Against labels of unequal size, in training only: "weights" multiplies an utterance's loss by the
            weight of its label, "sampler" draws as many utterances an epoch as train has, with replacement and in
            proportion to these weights; "none" leaves both as they are. The weight of a label with n utterances in
            train is 1 / n, scaled to a mean of 1 over utterances.
        balance_beta: Makes the weight (1 - beta) / (1 - beta^n), milder than 1 / n: from 0, all labels alike, to below
            1 (Cui et al., 2019, take 0.9 to 0.9999).
        replay: Manifest of an old corpus: its train joins train and its dev joins dev, test stays this manifest's.
        replay_store: Its embedding store, if it is not `store`.
        replay_per_label: How many utterances of each label are taken of its train, drawn by `split_seed`; all if it is
            not given.
        memory_gib: Embeddings that take more memory than this, in GiB, stay in the store and are read while training,
            with a quarter of it as the pool in which utterances are mixed.
        resident: Whether the embeddings of a split stay on a GPU, if they fit into half of its free memory; batches are
            then cut there.
    """

    divides = True
    """Whether a manifest that has no splits is given some; cross-validation makes its own."""

    def __init__(
        self,
        manifest: str | None = None,
        store: str | None = None,
        audio_root: str | None = None,
        columns: dict[str, str] | None = None,
        labels: list[str] | str | None = None,
        label_map: str | None = None,
        dev: float = 0.1,
        test: float = 0.1,
        group: str | list[str] | None = None,
        split_seed: int = 0,
        fold: int | None = None,
        batch_size: int | None = None,
        missing: Literal["error", "drop"] = "error",
        predict_split: Literal["all", "train", "dev", "test"] = "all",
        balance: Literal["none", "weights", "sampler"] = "none",
        balance_beta: float | None = None,
        replay: str | None = None,
        replay_store: str | None = None,
        replay_per_label: int | None = None,
        memory_gib: float = 2.0,
        resident: bool = True,
    ) -> None:
        super().__init__()
        if (manifest is None) != (store is None):
            given, lacking = ("manifest", "store") if store is None else ("store", "manifest")
            raise ConfigError(
                f"--data.{given} is given, --data.{lacking} is not: both are needed, or neither for the demo corpus"
            )
        if batch_size is not None and batch_size < 1:
            raise ConfigError(f"--data.batch_size is {batch_size}; expected at least 1 utterance")
        if not 0 < memory_gib < float("inf"):
            raise ConfigError(f"--data.memory_gib is {memory_gib}; expected gibibytes above 0, such as 2")
        check_balance(balance, balance_beta)
        check_replay(replay, replay_store, replay_per_label, manifest)
        self.manifest = manifest
        self.store = store
        self.audio_root = audio_root
        self.columns = columns
        self.labels = labels
        self.label_map = label_map
        self.split = SplitOptions(dev=dev, test=test, group=group, seed=split_seed)
        self.fold = fold
        self.given_batch_size = batch_size
        self.missing: Literal["error", "drop"] = missing
        self.predict_split = predict_split
        self.balance = balance
        self.balance_beta = balance_beta
        self.replay, self.replay_store, self.replay_per_label = replay, replay_store, replay_per_label
        self.memory_bytes, self.resident = int(memory_gib * 2**30), resident

    @cached_property
    def corpus(self) -> Corpus:
        """The whole corpus, read once."""
        if self.manifest is None or self.store is None:
            return self._demo_corpus()
        corpus = self._read(self.manifest, self.store, self.labels, audio_root=self.audio_root, fold=self.fold)
        if self.balance == "sampler" and corpus.is_streamed:
            raise self._needs_memory("--data.balance sampler", "take --data.balance weights")
        if self.replay is None:
            return corpus
        old = self._read(
            self.replay, self.replay_store or self.store, list(corpus.label_set), audio_root=None, fold=None
        )
        if corpus.is_streamed or old.is_streamed:
            raise self._needs_memory("--data.replay", "put both into one manifest and store")
        return add_replay(corpus, old, per_label=self.replay_per_label, seed=self.split.seed)

    def _needs_memory(self, option: str, cure: str) -> ConfigError:
        limit = self.memory_bytes / 2**30
        return ConfigError(
            f"{option} needs all embeddings in memory, and they take more than the {limit:g} GiB of --data.memory_gib; "
            f"raise it, or {cure}"
        )

    def _read(
        self, manifest: str, store: str, labels: list[str] | str | None, *, audio_root: str | None, fold: int | None
    ) -> Corpus:
        return read_corpus(
            manifest,
            store,
            audio_root=audio_root,
            columns=self.columns,
            labels=labels,
            label_map=self.label_map,
            missing=self.missing,
            split=self.split if self.divides else None,
            fold=fold,
            memory_bytes=self.memory_bytes,
        )

    def _demo_corpus(self) -> Corpus:
        corpus = demo_corpus()
        if self.labels is not None and choose_labels(None, self.labels) != corpus.label_set:
            raise ConfigError(
                f"--data.labels is {self.labels}; the demo corpus has {list(corpus.label_set)}; give --data.manifest "
                "and --data.store for other labels"
            )
        return corpus

    @cached_property
    def batch_size(self) -> int:
        """Utterances per step and process."""
        return self.given_batch_size or choose_batch_size(self.corpus.rows("train").size)

    @property
    def label_names(self) -> list[str]:
        """Labels in the order of their ids."""
        return list(self.corpus.label_set)

    @property
    def embedding_dim(self) -> int:
        """Dimension D of an embedding."""
        return int(self.corpus.embeddings.shape[1])

    @property
    def encoder(self) -> str:
        """Name of the encoder that made the embeddings."""
        return self.corpus.encoder

    @property
    def weights_sha256(self) -> str | None:
        """SHA-256 of the encoder's weights; None for an encoder without weights."""
        digest = self.corpus.embedding_spec.get("weights_sha256")
        return None if digest is None else str(digest)

    @property
    def class_weights(self) -> list[float] | None:
        """Weight of each label in the training loss, in the order of their ids; None unless `balance` is "weights".

        None, too, where train has no labelled utterance: all verbs build the model, and only `fit` needs train.
        """
        labels = self.corpus.labels[self.corpus.rows("train")]
        labelled = labels[labels >= 0]
        if self.balance != "weights" or not labelled.size:
            return None
        return class_weights(np.bincount(labelled, minlength=len(self.corpus.label_set)), self.balance_beta)

    def setup(self, stage: str) -> None:
        """Check that the splits that this stage needs are there and labelled.

        Raises:
            ManifestError: The manifest has no labels, which only `predict` can do without.
            SplitError: A split is empty.
        """
        verb = getattr(stage, "value", stage)  # Lightning hands over an enum
        labelled: Sequence[str] = {"fit": ("train", "dev"), "validate": ("dev",), "test": ("test",)}.get(verb, ())
        if labelled and (self.corpus.labels < 0).any():
            raise ManifestError(f"{self.manifest}: no column 'label'; `{verb}` needs one, `predict` does not")
        if verb == "fit" and isinstance(self.corpus.embeddings, np.ndarray):
            self._demand_variety(are_all_alike(self.corpus.embeddings, self.corpus.rows("train")))
        self.require_splits(labelled or (() if self.predict_split == "all" else (self.predict_split,)))

    def require_splits(self, needed: Sequence[str]) -> None:
        """Raise SplitError for the first of these splits that holds no utterance."""
        for split in needed:
            if not self.corpus.rows(split).size:
                sizes = ", ".join(f"{name} {self.corpus.rows(name).size}" for name in SPLITS)
                raise SplitError(
                    f"{self.manifest}: split '{split}' has no utterance ({sizes}); write the splits with "
                    "`emoji-lightning split`, or remove the column 'split' to have them made while loading"
                )

    @cached_property
    def moments(self) -> Moments | None:
        """Mean and deviation of train, read in one pass; None where the embeddings are in memory."""
        corpus = self.corpus
        if not isinstance(corpus.embeddings, StoredEmbeddings) or corpus.manifest is None:
            return None
        moments, alike = measure_stored(corpus.manifest, corpus.embeddings, corpus.splits == "train")
        self._demand_variety(alike)
        return moments

    def _demand_variety(self, alike: bool) -> None:
        num_rows = len(self.corpus.rows("train"))
        if alike and num_rows > 1:
            raise StoreError(
                f"{self.store}: all {num_rows} embeddings of train are one and the same vector; expected vectors that "
                "differ, for nothing can be learnt of these. Look at the audio with `emoji-lightning inspect`, and "
                "embed it again into another folder"
            )

    def sample(self, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embeddings (M, D) float32 and labels (M,) int64 of a split, of a large one those of a random part."""
        rows = self.corpus.rows(split)
        if self.corpus.is_streamed and len(rows) > NUM_SAMPLED:
            rows = np.sort(np.random.default_rng(0).choice(rows, NUM_SAMPLED, replace=False))
        return torch.from_numpy(self.corpus.embeddings[rows]), torch.from_numpy(self.corpus.labels[rows])

    def with_splits(self, splits: NDArray[np.str_]) -> "EmojiDataModule":
        """Return a datamodule of the same corpus, which is in memory once, in other splits (N,)."""
        other = copy.copy(self)
        for derived in ("batch_size", "moments"):
            vars(other).pop(derived, None)
        other.corpus = replace(self.corpus, splits=splits)
        return other

    def embeddings(self, split: str) -> torch.Tensor:
        """Return the embeddings (M, D) float32 of a split."""
        return torch.from_numpy(self.corpus.embeddings[self.corpus.rows(split)])

    def label_ids(self, split: str) -> torch.Tensor:
        """Return the ids of the labels (M,) int64 of a split."""
        return torch.from_numpy(self.corpus.labels[self.corpus.rows(split)])

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return batches of train, shuffled, or drawn anew each epoch where `balance` is "sampler"."""
        return self._loader("train", training=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return batches of dev."""
        return self._loader("dev")

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return batches of test."""
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return batches of `predict_split`."""
        return self._loader(self.predict_split)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch; Lightning's own way walks through any collection and costs a millisecond a step."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in batch))

    def _loader(self, split: str, *, training: bool = False) -> DataLoader[Batch]:
        options = LoaderOptions(
            self.batch_size,
            sampler_beta=self.balance_beta,
            draws=self.balance == "sampler",
            memory_bytes=self.memory_bytes,
            resident=self.resident,
        )
        return Loaders(self.corpus, options, self.trainer).make(split, training=training)
