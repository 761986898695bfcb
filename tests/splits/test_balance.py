import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoji_lightning.errors import SplitError
from emoji_lightning.splits.balance import Split, split_balanced
from emoji_lightning.splits.grouping import group_rows

CODES = {"train": 0, "dev": 1, "test": 2}


def name_labels(num: int) -> list[str]:
    return [f"label{index}" for index in range(num)]


def split(labels: list[int], *, dev: float, test: float, groups: list[str] | None = None, seed: int = 0) -> Split:
    ids = [f"u{row}" for row in range(len(labels))]
    names = name_labels(max(labels) + 1)
    codes = np.array(labels, dtype=np.int64)
    return split_balanced(
        codes,
        ids,
        dev=dev,
        test=test,
        groups=group_rows({"group": groups}) if groups else None,
        seed=seed,
        label_names=names,
    )


# --- without groups --------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(9, 40), min_size=2, max_size=8),
    dev=st.integers(0, 16),
    test=st.integers(0, 16),
    seed=st.integers(0, 5),
)
def test_every_split_is_complete_and_balanced_to_within_one(sizes: list[int], dev: int, test: int, seed: int) -> None:
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    dev, test = min(dev, 4 * len(sizes)), min(test, 4 * len(sizes))
    found = split(labels, dev=dev, test=test, seed=seed)
    assert [found.names.count(name) for name in ("dev", "test")] == [dev, test]
    for name, size in (("dev", dev), ("test", test)):
        each = list(found.counts[name].values())
        assert sum(each) == size
        assert max(each) - min(each) <= 1
    assert found.deviation == {"dev": 0, "test": 0}
    assert min(found.counts["train"].values()) >= 1
    for label, size in enumerate(sizes):
        assert sum(found.counts[name][f"label{label}"] for name in CODES) == size


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_split_depends_on_ids_and_seed_not_on_the_order_of_rows(data: st.DataObject) -> None:
    num_rows = data.draw(st.integers(20, 60))
    labels = np.arange(num_rows) % 3
    ids = [f"u{row}" for row in range(num_rows)]
    groups = [f"g{row // 2}" for row in range(num_rows)] if data.draw(st.booleans()) else None
    order = np.array(data.draw(st.permutations(range(num_rows))))
    options = {"dev": 4, "test": 3, "seed": 7, "label_names": name_labels(3)}
    plain = split_balanced(labels, ids, groups=group_rows({"g": groups}) if groups else None, **options)  # type: ignore[arg-type]
    shuffled = split_balanced(
        labels[order],
        [ids[row] for row in order],
        groups=group_rows({"g": [groups[row] for row in order]}) if groups else None,
        **options,  # type: ignore[arg-type]
    )
    assert [plain.names[row] for row in order] == shuffled.names


def test_the_corpus_of_the_card_gets_90_or_91_per_label() -> None:
    found = split([row % 11 for row in range(21_940)], dev=1000, test=1000)
    assert sorted(found.counts["dev"].values()) == [90] + [91] * 10
    assert sorted(found.counts["test"].values()) == [90] + [91] * 10
    assert found.names.count("train") == 19_940


def test_another_seed_gives_another_split() -> None:
    labels = [row % 3 for row in range(90)]
    first, again, other = (split(labels, dev=9, test=9, seed=seed) for seed in (0, 0, 1))
    assert first.names == again.names
    assert first.names != other.names


def test_more_rows_move_few_of_the_old_ones() -> None:
    labels = [row % 2 for row in range(1000)]
    before = split(labels, dev=100, test=100).names
    after = split([*labels, 0, 1], dev=100, test=100).names
    assert sum(a != b for a, b in zip(before, after, strict=False)) <= 8


def test_a_share_is_of_all_utterances() -> None:
    found = split([0, 1] * 50, dev=0.1, test=0.25)
    assert (found.names.count("dev"), found.names.count("test")) == (10, 25)


def test_a_share_that_is_asked_for_is_never_nothing() -> None:
    found = split([0, 1] * 30, dev=0.005, test=0)
    assert (found.names.count("dev"), found.names.count("test")) == (1, 0)


def test_labels_without_utterances_are_left_out_of_the_balance() -> None:
    labels = np.array([0, 2] * 10)
    found = split_balanced(labels, [str(i) for i in range(20)], dev=4, test=0, label_names=["a", "b", "c"])
    assert found.counts["dev"] == {"a": 2, "b": 0, "c": 2}
    assert found.targets["dev"] == {"a": 2, "b": 0, "c": 2}


def test_rare_labels_are_spared_where_numbers_do_not_divide() -> None:
    found = split([0] * 3 + [1] * 20, dev=3, test=1)
    assert found.counts["dev"] == {"label0": 1, "label1": 2}
    assert found.counts["test"] == {"label0": 0, "label1": 1}


def test_a_label_with_too_few_utterances_is_named_with_the_cure() -> None:
    message = (
        r"label 'label1' has 4 utterances, but dev takes 2, test 2 and train needs 1; lower --dev or --test, or add"
    )
    with pytest.raises(SplitError, match=message):
        split([0] * 20 + [1] * 4, dev=4, test=4)
    assert split([0] * 20 + [1] * 5, dev=4, test=4).counts["train"]["label1"] == 1


@pytest.mark.parametrize("size", [-1, 2.5, float("nan"), float("inf")])
def test_a_size_that_is_no_number_of_utterances_is_refused(size: float) -> None:
    with pytest.raises(SplitError, match=r"--test is .*; expected a whole number of utterances or a share below 1"):
        split([0, 1] * 10, dev=2, test=size)


def test_ids_that_repeat_are_named() -> None:
    with pytest.raises(SplitError, match=r"^id 'a' stands more than once; give each utterance its own$"):
        split_balanced(np.zeros(3, dtype=np.int64), ["a", "b", "a"], dev=1, test=0, label_names=["x"])


def test_nothing_to_split_is_said() -> None:
    with pytest.raises(SplitError, match="there is no utterance to split"):
        split_balanced(np.zeros(0, dtype=np.int64), [], dev=1, test=1, label_names=["x"])
