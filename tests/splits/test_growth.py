"""What an earlier split leaves where it was."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoji_lightning.errors import SplitError
from emoji_lightning.splits.balance import Split, split_balanced
from emoji_lightning.splits.grouping import group_rows


def split(
    labels: list[int], *, size: float, groups: list[str] | None = None, kept: list[str | None] | None = None
) -> Split:
    return split_balanced(
        np.array(labels),
        [f"u{row}" for row in range(len(labels))],
        dev=size,
        test=size,
        label_names=["a", "b", "c"],
        groups=group_rows({"group": groups}) if groups else None,
        kept=kept,
    )


@settings(max_examples=60, deadline=None)
@given(
    old=st.lists(st.integers(0, 2), min_size=0, max_size=40),
    new=st.lists(st.integers(0, 2), min_size=1, max_size=60),
    size=st.sampled_from([0.1, 4.0, 5.0]),
    grouped=st.booleans(),
)
def test_an_utterance_keeps_its_split_when_the_corpus_grows(
    old: list[int], new: list[int], size: float, grouped: bool
) -> None:
    old = [0, 1, 2] * 6 + old
    groups = [f"g{row % 23}" for row in range(len(old) + len(new))] if grouped else None
    first = split(old, size=size, groups=groups[: len(old)] if groups else None)
    second = split([*old, *new], size=size, groups=groups, kept=[*first.names, *[None] * len(new)])
    assert second.names[: len(old)] == first.names
    if not grouped:
        assert max(second.deviation.values()) <= 1  # the share of a label is rounded anew
    if not grouped and size >= 1:
        assert second.counts["dev"] == first.counts["dev"]


def test_shares_grow_with_the_corpus_and_stay_balanced() -> None:
    first = split([0, 1, 2] * 100, size=0.1)
    second = split([0, 1, 2] * 200, size=0.1, kept=[*first.names, *[None] * 300])
    assert second.counts["dev"] == {"a": 20, "b": 20, "c": 20}
    assert second.deviation == {"dev": 0, "test": 0}


def test_a_new_utterance_joins_the_split_of_its_group() -> None:
    groups = [f"g{row}" for row in range(30)]
    first = split([0, 1, 2] * 10, size=3, groups=groups)
    home = first.names.index("test")
    second = split([0, 1, 2] * 11, size=3, groups=[*groups, *[f"g{home}"] * 3], kept=[*first.names, *[None] * 3])
    assert second.names[30:] == ["test"] * 3
    assert second.deviation["test"] == 1


def test_new_utterances_that_tie_two_splits_are_refused_with_the_cure() -> None:
    first = split([0, 1, 2] * 10, size=3)
    torn = [f"g{row}" for row in range(30)]
    dev, train = first.names.index("dev"), first.names.index("train")
    torn[dev] = torn[train] = "both"
    with pytest.raises(SplitError, match=r"group 'both' has utterances in train and dev already; leave out the new"):
        split([0, 1, 2] * 10, size=3, groups=torn, kept=list(first.names))


def test_labels_that_an_earlier_split_put_elsewhere_get_what_is_left() -> None:
    kept: list[str | None] = ["train"] * 8 + [None] * 2 + [None] * 20
    found = split([0] * 10 + [1] * 10 + [2] * 10, size=6, kept=kept)
    assert found.counts["dev"] == {"a": 1, "b": 2, "c": 2}
    assert found.deviation == {"dev": 1, "test": 1}


def test_train_keeps_an_utterance_of_a_label_that_was_only_in_dev() -> None:
    kept: list[str | None] = ["dev"] * 2 + [None] * 8
    found = split_balanced(
        np.array([0] * 4 + [1] * 6), [f"u{row}" for row in range(10)], dev=2, test=4, label_names=["a", "b"], kept=kept
    )
    assert found.counts["train"]["a"] >= 1
    assert found.counts["dev"]["a"] == 2


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_what_is_new_is_assigned_as_well_as_the_kept_groups_allow(data: st.DataObject) -> None:
    shapes = data.draw(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=7, max_size=7))
    labels = np.concatenate([np.repeat([0, 1], shape) for shape in shapes])
    of_row = np.repeat(np.arange(7), [sum(shape) for shape in shapes])
    homes = [*data.draw(st.permutations(["train", "dev", "test"])), None, None, None, None]
    found = split_balanced(
        labels,
        [f"u{row}" for row in range(len(labels))],
        dev=6,
        test=6,
        label_names=["a", "b"],
        groups=group_rows({"g": [f"g{group}" for group in of_row]}),
        kept=[homes[group] for group in of_row],
    )

    def off(names: list[str]) -> int:
        by_row = np.array(names)[of_row]
        counts = [np.bincount(labels[by_row == name], minlength=2) for name in ("dev", "test")]
        return int(sum(((each - 3) ** 2).sum() for each in counts))

    best = min(off([*homes[:3], *rest]) for rest in itertools.product(["train", "dev", "test"], repeat=4))
    ours = [found.names[int(np.flatnonzero(of_row == group)[0])] for group in range(7)]
    assert ours[:3] == homes[:3]
    assert off(ours) == best
