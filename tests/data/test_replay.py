"""Utterances of an old corpus beside new ones, and none of them on both sides of a split."""

from dataclasses import replace

import numpy as np
import pytest

from emoji_lightning.data.corpus import Corpus
from emoji_lightning.data.replay import add_replay
from emoji_lightning.errors import SplitError
from emoji_lightning.labels import LabelSet

SPLITS = np.array(["train", "train", "dev", "test"])


def corpus(name: str, seed: int) -> Corpus:
    return Corpus(
        name=name,
        embeddings=np.random.default_rng(seed).standard_normal((4, 3)).astype(np.float32),
        labels=np.array([0, 1, 0, 1]),
        splits=SPLITS,
        ids=[f"{name}-{row}" for row in range(4)],
        label_set=LabelSet(("a", "b")),
        encoder="made",
        embedding_spec={"encoder": "made"},
    )


def test_train_joins_train_dev_joins_dev_and_the_old_test_stays_away() -> None:
    new, old = corpus("new", 0), corpus("old", 1)
    joined = add_replay(new, old)
    assert joined.ids == [*new.ids, "old-0", "old-1", "old-2"]
    assert joined.splits.tolist() == [*SPLITS, "train", "train", "dev"]
    assert np.array_equal(joined.embeddings[4:], old.embeddings[:3])


@pytest.mark.parametrize(
    ("old_row", "new_row", "places"),
    [
        (0, 3, r"old-0 \(train there, test here, as new-3\)"),
        (1, 2, r"old-1 \(train there, dev here, as new-2\)"),
        (2, 3, r"old-2 \(dev there, test here, as new-3\)"),
        (2, 0, r"old-2 \(dev there, train here, as new-0\)"),
    ],
)
def test_an_utterance_of_another_split_of_the_new_corpus_is_refused_by_its_embedding(
    old_row: int, new_row: int, places: str
) -> None:
    new, old = corpus("new", 0), corpus("old", 1)
    old.embeddings[old_row] = new.embeddings[new_row]
    with pytest.raises(SplitError, match=rf"--data\.replay: 1 of the utterances of old .*: {places}; take "):
        add_replay(new, old)


def test_what_stands_in_the_same_split_or_is_not_replayed_may_stand_in_both() -> None:
    new, old = corpus("new", 0), corpus("old", 1)
    old.embeddings[:] = new.embeddings
    assert add_replay(new, old).num_replayed == 3
    old.embeddings[3] = new.embeddings[0]  # the old test is not replayed
    assert add_replay(new, old).num_replayed == 3


def test_an_equal_id_alone_is_no_reason() -> None:
    new, old = corpus("new", 0), corpus("old", 1)
    assert add_replay(new, replace(old, ids=list(reversed(new.ids)))).num_replayed == 3
