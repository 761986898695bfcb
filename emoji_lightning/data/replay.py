"""Replay: utterances of an old corpus beside the new ones, so that a fine-tuned head does not forget them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.data.corpus import UNLABELLED, Corpus
from emoji_lightning.errors import ConfigError, SplitError, StoreError

REPLAYED = ("train", "dev")
"""Splits of an old corpus that are replayed; its test stays unseen."""
NUM_SHOWN = 5


def check_replay(replay: str | None, store: str | None, per_label: int | None, manifest: str | None) -> None:
    """Raise ConfigError where the options of the replay do not go together."""
    if replay is None and (store is not None or per_label is not None):
        raise ConfigError("--data.replay_store and --data.replay_per_label need --data.replay, an old manifest")
    if replay is not None and manifest is None:
        raise ConfigError("--data.replay adds to a corpus of your own; give --data.manifest and --data.store")
    if per_label is not None and per_label < 1:
        raise ConfigError(f"--data.replay_per_label is {per_label}; expected at least 1 utterance")


def add_replay(corpus: Corpus, old: Corpus, *, per_label: int | None = None, seed: int = 0) -> Corpus:
    """Add train and dev of an old corpus to train and dev; test stays as it is.

    Args:
        corpus: The new corpus.
        old: The old one, with the same labels.
        per_label: Utterances of each label that are taken of the old train, drawn at random; None takes all.
        seed: Seed of this draw.

    Raises:
        StoreError: The embeddings of the two were made by different encoders.
        SplitError: An utterance would stand in two splits: it is in another one of the new corpus, as an equal
            embedding shows whatever its id is there.
    """
    _check_encoder(corpus, old)
    rows = np.flatnonzero(np.isin(old.splits, REPLAYED) & (old.labels != UNLABELLED))
    _check_splits(corpus, old, rows)
    if per_label is not None:
        rows = _draw(old, rows, per_label, np.random.default_rng(seed))
    return replace(
        corpus,
        embeddings=np.concatenate([corpus.embeddings, old.embeddings[rows]]),
        labels=np.concatenate([corpus.labels, old.labels[rows]]),
        splits=np.concatenate([corpus.splits, old.splits[rows]]),
        ids=[*corpus.ids, *(old.ids[int(row)] for row in rows)],
        num_replayed=len(rows),
    )


def _draw(old: Corpus, rows: NDArray[np.int64], per_label: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Keep at most `per_label` rows of each label in train, and all of dev."""
    kept = [rows[old.splits[rows] != "train"]]
    for label in range(len(old.label_set)):
        members = rows[(old.splits[rows] == "train") & (old.labels[rows] == label)]
        kept.append(rng.permutation(members)[:per_label])
    return np.sort(np.concatenate(kept))


def _check_splits(corpus: Corpus, old: Corpus, rows: NDArray[np.int64]) -> None:
    places: dict[bytes, list[int]] = {}
    for row in np.flatnonzero(corpus.splits != ""):
        places.setdefault(np.asarray(corpus.embeddings)[row].tobytes(), []).append(int(row))
    found = [
        f"{old.ids[row]} ({old.splits[row]} there, {corpus.splits[other]} here, as {corpus.ids[other]})"
        for row in rows.tolist()
        for other in places.get(old.embeddings[row].tobytes(), [])
        if corpus.splits[other] != old.splits[row]
    ]
    if found:
        more = f" and {len(found) - NUM_SHOWN} more" if len(found) > NUM_SHOWN else ""
        raise SplitError(
            f"--data.replay: {len(found)} of the utterances of {old.name} stand in another split of {corpus.name}, "
            f"which they would give away: {', '.join(found[:NUM_SHOWN])}{more}; take them out of one of the two "
            "manifests, or give both the same column 'split'"
        )


def _check_encoder(corpus: Corpus, old: Corpus) -> None:
    for part in ("encoder", "dim", "weights_sha256", "config_sha256", "precision"):
        ours, theirs = corpus.embedding_spec.get(part), old.embedding_spec.get(part)
        if ours != theirs:
            raise StoreError(
                f"--data.replay_store holds embeddings with {part} {theirs}, --data.store with {ours}; embed the old "
                "audio with the encoder of the new one"
            )
