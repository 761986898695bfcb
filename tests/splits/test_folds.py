import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from emoji_lightning.errors import SplitError
from emoji_lightning.splits.folds import Folds, make_folds
from emoji_lightning.splits.grouping import group_rows

Ints = NDArray[np.int64]


def fold(
    labels: Ints, *, num_folds: int, groups: list[str] | None = None, kept: list[str | None] | None = None
) -> Folds:
    return make_folds(
        labels,
        [f"u{row}" for row in range(len(labels))],
        num_folds=num_folds,
        label_names=[f"label{label}" for label in range(int(labels.max()) + 1)],
        groups=group_rows({"group": groups}) if groups else None,
        kept=kept,
    )


def imbalance(labels: Ints, folds: Ints, num_folds: int) -> float:
    """Pearson's chi-square of labels against folds, each fold wanted to hold the same share of each label."""
    counts = np.stack([np.bincount(labels[folds == each], minlength=labels.max() + 1) for each in range(num_folds)])
    wanted = counts.sum(axis=0) / num_folds
    return float((((counts - wanted) ** 2)[:, wanted > 0] / wanted[wanted > 0]).sum())


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(2, 40), min_size=2, max_size=6), num_folds=st.integers(2, 10))
def test_every_fold_has_as_many_of_each_label_and_in_all_to_within_one(sizes: list[int], num_folds: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    if num_folds > len(labels):
        return
    found = fold(labels, num_folds=num_folds)
    counts = np.array([list(each.values()) for each in found.counts.values()])
    assert counts.sum(axis=0).tolist() == sizes
    assert np.ptp(counts, axis=0).max() <= 1
    assert np.ptp(counts.sum(axis=1)) <= 1


def draw_case(seed: int) -> tuple[Ints, list[str], int]:
    """Groups of uneven size, each with its own taste in labels."""
    rng = np.random.default_rng(seed)
    num_groups, num_folds, num_labels = int(rng.integers(10, 200)), int(rng.integers(2, 9)), int(rng.integers(2, 11))
    prior = rng.dirichlet(np.full(num_labels, rng.choice([0.3, 1.0, 10.0])))
    sizes = np.maximum(1, rng.pareto(1.5, num_groups) * 8).astype(int) if seed % 2 else rng.integers(1, 20, num_groups)
    tastes = [rng.dirichlet(prior * 5 + 1e-3) for _ in range(num_groups)]
    labels = np.concatenate([rng.choice(num_labels, size, p=taste) for size, taste in zip(sizes, tastes, strict=True)])
    of_row = np.repeat(np.arange(num_groups), sizes)
    for label in range(num_labels):  # a label needs as many utterances as there are folds, and two groups
        if (labels == label).sum() < num_folds or len(np.unique(of_row[labels == label])) < 2:
            labels[labels == label] = np.bincount(labels).argmax()
    return labels, [f"g{group}" for group in of_row], num_folds


@pytest.mark.parametrize("seed", range(40))
def test_folds_are_never_worse_balanced_than_those_of_scikit_learn(seed: int) -> None:
    labels, groups, num_folds = draw_case(seed)
    theirs = np.empty(len(labels), dtype=np.int64)
    peer = StratifiedGroupKFold(num_folds, shuffle=bool(seed % 2), random_state=0 if seed % 2 else None)
    for number, (_, rows) in enumerate(peer.split(labels, labels, groups)):
        theirs[rows] = number
    ours = fold(labels, num_folds=num_folds, groups=groups).fold
    homes = {(group, each) for group, each in zip(groups, ours.tolist(), strict=True)}
    assert len(homes) == len(set(groups))
    assert imbalance(labels, ours, num_folds) <= imbalance(labels, theirs, num_folds) + 1e-9


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 3), st.integers(4, 7), st.data())
def test_few_groups_are_dealt_as_well_as_possible(num_folds: int, num_groups: int, data: st.DataObject) -> None:
    sizes = data.draw(
        st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=num_groups, max_size=num_groups)
    )
    labels = np.concatenate([np.repeat([0, 1], size) for size in sizes])
    groups = [f"g{group}" for group, size in enumerate(sizes) for _ in range(sum(size))]
    fixed: list[int | None] = [data.draw(st.integers(0, num_folds - 1)), *[None] * (num_groups - 1)]
    fixed = fixed if data.draw(st.booleans()) else [None] * num_groups
    spread = [sum(size) for size in sizes]
    best = min(
        imbalance(labels, np.repeat(assignment, spread), num_folds)
        for assignment in itertools.product(range(num_folds), repeat=num_groups)
        if len(set(assignment)) == num_folds and fixed[0] in (None, assignment[0])
    )
    kept = [None if fixed[int(group[1:])] is None else str(fixed[int(group[1:])]) for group in groups]
    found = fold(labels, num_folds=num_folds, groups=groups, kept=kept)
    assert imbalance(labels, found.fold, num_folds) == pytest.approx(best, abs=0.01)  # equal sizes weigh a thousandth


def test_of_equally_good_folds_those_of_equal_size_are_taken() -> None:
    labels = np.repeat(np.arange(12) % 3, 5)
    found = fold(labels, num_folds=3, groups=[f"s{group}" for group in np.repeat(np.arange(12), 5)])
    assert [sum(each.values()) for each in found.counts.values()] == [20, 20, 20]


@pytest.mark.parametrize("grouped", [False, True])
def test_folds_do_not_depend_on_the_order_of_rows(grouped: bool) -> None:
    labels = np.arange(60) % 3
    groups = [f"g{row // 4}" for row in range(60)]
    order = np.random.default_rng(1).permutation(60)
    ids = [f"u{row}" for row in range(60)]
    plain, shuffled = (
        make_folds(
            labels[rows],
            [ids[row] for row in rows],
            num_folds=4,
            label_names=["a", "b", "c"],
            groups=group_rows({"g": [groups[row] for row in rows]}) if grouped else None,
        )
        for rows in (np.arange(60), order)
    )
    assert plain.fold[order].tolist() == shuffled.fold.tolist()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=20, max_size=60), st.integers(10, 19), st.booleans())
def test_an_utterance_keeps_its_fold_when_the_corpus_grows(drawn: list[int], before: int, grouped: bool) -> None:
    labels = np.array([0, 0, 1, 1, 2, 2, *drawn])
    groups = [f"g{row % 9}" for row in range(len(labels))] if grouped else None
    first = fold(labels[:before], num_folds=3, groups=groups[:before] if groups else None)
    kept = [str(each) for each in first.fold.tolist()] + [None] * (len(labels) - before)
    second = fold(labels, num_folds=3, groups=groups, kept=kept)
    assert second.fold[:before].tolist() == first.fold.tolist()
    if not grouped:
        assert max(second.deviation.values()) < 1
        assert np.ptp([sum(each.values()) for each in second.counts.values()]) <= 2


def test_what_cannot_be_folded_is_refused_with_the_cure() -> None:
    labels = np.array([0] * 8 + [1])
    with pytest.raises(SplitError, match=r"--folds is 1; expected 2 to 9: there are 9 utterances"):
        fold(labels, num_folds=1)
    with pytest.raises(SplitError, match=r"--folds is 4; expected 2 to 3: there are 3 groups \('g0', 'g1', 'g2'\)"):
        fold(labels, num_folds=4, groups=[f"g{row % 3}" for row in range(9)])
    with pytest.raises(SplitError, match=r"label 'label1' has 1 utterance only, so the fold that gets it leaves none"):
        fold(labels, num_folds=3)
    with pytest.raises(SplitError, match=r"label 'label0' lies in 1 group only.*or group by another column"):
        fold(np.array([0, 0, 1, 1]), num_folds=2, groups=["a", "a", "b", "b"])
    with pytest.raises(SplitError, match=r"the earlier split has 7; expected folds 0 to 1"):
        fold(np.array([0, 0, 1, 1]), num_folds=2, kept=["0", "7", None, None])
    with pytest.raises(SplitError, match=r"group 'a' has utterances in fold 0 and fold 1 already"):
        fold(np.array([0, 1, 0, 1]), num_folds=2, groups=["a", "a", "b", "c"], kept=["0", "1", None, None])
