import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoji_lightning.errors import SplitError
from emoji_lightning.splits.balance import Split, split_balanced
from emoji_lightning.splits.group_problem import Codes, GroupProblem, Ints
from emoji_lightning.splits.group_search import _search, assign_groups
from emoji_lightning.splits.grouping import group_rows
from emoji_lightning.splits.search_state import SearchState

CODES = {"train": 0, "dev": 1, "test": 2}


def name_labels(num: int) -> list[str]:
    return [f"label{index}" for index in range(num)]


def split(labels: list[int], *, dev: float, test: float, groups: list[str], seed: int = 0) -> Split:
    ids = [f"u{row}" for row in range(len(labels))]
    names = name_labels(max(labels) + 1)
    grouped = group_rows({"group": groups})
    return split_balanced(np.array(labels), ids, dev=dev, test=test, groups=grouped, seed=seed, label_names=names)


def pose(counts: Ints, targets: Ints) -> GroupProblem:
    """Train, dev and test, as a split asks for them; targets of dev and test, shape (2, K)."""
    return GroupProblem(
        counts=counts,
        targets=np.vstack([np.zeros(counts.shape[1]), targets]),
        scored=np.array([False, True, True]),
        closed=np.zeros(3, dtype=np.bool_),
        given=np.zeros((3, counts.shape[1]), dtype=np.int64),
        num_fixed=np.zeros(3, dtype=np.int64),
        scale=np.ones(counts.shape[1]),
    )


def cost(counts: Ints, targets: Ints, codes: Codes) -> int:
    return sum(int(((counts[codes == code].sum(axis=0) - targets[code - 1]) ** 2).sum()) for code in (1, 2))


def least_cost(counts: Ints, targets: Ints) -> int | None:
    """The optimum over every assignment, by the plainest means."""
    totals = counts.sum(axis=0)
    best = None
    for assignment in itertools.product(range(3), repeat=len(counts)):
        codes = np.array(assignment, dtype=np.int8)
        if {1, 2} <= set(assignment) and all(counts[codes == 0].sum(axis=0)[totals > 0] > 0):
            found = cost(counts, targets, codes)
            best = found if best is None else min(best, found)
    return best


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 25)), min_size=40, max_size=120),
    seed=st.integers(0, 3),
)
def test_no_group_is_in_two_splits(rows: list[tuple[int, int]], seed: int) -> None:
    labels, groups = [label for label, _ in rows], [f"g{group}" for _, group in rows]
    try:
        found = split(labels, dev=6, test=6, groups=groups, seed=seed)
    except SplitError:
        return
    homes: dict[str, set[str]] = {}
    for group, name in zip(groups, found.names, strict=True):
        homes.setdefault(group, set()).add(name)
    assert all(len(names) == 1 for names in homes.values())
    assert set(found.names) == set(CODES)
    assert all(found.counts["train"][f"label{label}"] >= 1 for label in set(labels))
    for name in ("dev", "test"):
        counts, targets = found.counts[name], found.targets[name]
        assert found.deviation[name] == max(abs(counts[label] - targets[label]) for label in counts)


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 6), st.integers(1, 3), st.data())
def test_few_groups_are_assigned_as_well_as_possible(num_groups: int, num_labels: int, data: st.DataObject) -> None:
    shape = (num_groups, num_labels)
    flat = data.draw(st.lists(st.integers(0, 6), min_size=num_groups * num_labels, max_size=num_groups * num_labels))
    counts = np.array(flat, dtype=np.int64).reshape(shape)
    targets = np.maximum(1, np.tile(counts.sum(axis=0) // 5, (2, 1)))
    codes = assign_groups(pose(counts, targets), seed=0)
    best = least_cost(counts, targets)
    assert (codes is None) == (best is None)
    if codes is not None:
        assert cost(counts, targets, codes) == best


def test_the_search_for_many_groups_is_near_the_optimum_where_that_is_known() -> None:
    # The search that serves more than 10 groups, on cases small enough to try every assignment.
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(60):
        counts = rng.integers(0, 9, (rng.integers(4, 10), rng.integers(2, 6)))
        targets = np.full((2, counts.shape[1]), max(1, counts.sum() // (8 * counts.shape[1])))
        best, found = assign_groups(pose(counts, targets), seed=0), _search(pose(counts, targets), seed=0)
        assert best is not None
        assert found is not None
        ratios.append((1 + cost(counts, targets, found)) / (1 + cost(counts, targets, best)))
    assert max(ratios) <= 1.5
    assert np.mean(np.array(ratios) == 1) >= 0.9


def draw_sparse_case(seed: int, num_groups: int) -> tuple[Ints, Ints]:
    """Counts in which most labels are in few groups."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 6, (num_groups, 4)) * (rng.random((num_groups, 4)) < 0.3)
    return counts, np.tile(np.maximum(1, counts.sum(axis=0) // 4), (2, 1))


@pytest.mark.parametrize("seed", range(30))
def test_every_label_stays_in_train_with_many_groups(seed: int) -> None:
    counts, targets = draw_sparse_case(seed, 12)
    codes = assign_groups(pose(counts, targets), seed=0)
    assert codes is not None
    assert (counts[codes == 0].sum(axis=0) > 0).tolist() == (counts.sum(axis=0) > 0).tolist()
    assert {1, 2} <= set(codes.tolist())


def test_a_group_that_train_needs_is_not_taken_greedily() -> None:
    counts = np.array([[1, 5], [1, 5], *([[0, 5]] * 10)])
    codes = assign_groups(pose(counts, np.array([[1, 5], [1, 5]])), seed=0)
    assert codes is not None
    assert counts[codes == 0][:, 0].sum() == 1


@pytest.mark.parametrize("seed", range(20))
def test_the_search_ends_where_no_move_and_no_swap_helps(seed: int) -> None:
    counts, targets = draw_sparse_case(seed, 9)
    start = np.zeros(9, dtype=np.int8)
    start[:2] = (1, 2)
    if not all(counts[2:].sum(axis=0)[counts.sum(axis=0) > 0] > 0):
        return
    state = SearchState.of(pose(counts, targets), start)
    while state.improve():
        pass
    end = state.to_codes()
    totals = counts.sum(axis=0)
    assert cost(counts, targets, end) == state.cost <= cost(counts, targets, start)
    for first, second in itertools.product(range(9), repeat=2):
        neighbours = [end.copy() for _ in range(4)]
        neighbours[0][[first, second]] = end[[second, first]]
        for code in range(3):
            neighbours[1 + code][first] = code
        for codes in neighbours:
            if {1, 2} <= set(codes.tolist()) and all(counts[codes == 0].sum(axis=0)[totals > 0] > 0):
                assert cost(counts, targets, codes) >= state.cost


@pytest.mark.parametrize("per_group", [1, 3])
def test_source_texts_are_balanced_exactly(per_group: int) -> None:
    # Some texts are voiced by one system, some by several: the singles make every number reachable.
    labels, groups = [], []
    for text in range(2200):
        for _ in range(1 + text % per_group):
            labels.append(text // per_group % 11)
            groups.append(f"text{text}")
    found = split(labels, dev=200, test=200, groups=groups)
    assert found.deviation == {"dev": 0, "test": 0}
    assert found.names.count("dev") == found.names.count("test") == 200


def test_systems_of_equal_size_are_off_by_less_than_one_group() -> None:
    found = split(
        [text % 5 for text in range(500) for _ in range(2)], dev=55, test=55, groups=[str(i // 2) for i in range(1000)]
    )
    assert found.deviation == {"dev": 1, "test": 1}


def test_groups_of_the_same_kind_are_drawn_not_taken_in_turn() -> None:
    groups = [f"g{row:04d}" for row in range(1000)]
    found = split([row % 2 for row in range(1000)], dev=100, test=100, groups=groups)
    places = np.array([row for row, name in enumerate(found.names) if name == "dev"])
    assert 400 < places.mean() < 600
    assert places.std() > 200


def test_a_hundred_thousand_groups_take_seconds() -> None:
    start = time.process_time()
    labels = np.arange(100_000) % 11
    ids = [f"u{row}" for row in range(100_000)]
    found = split_balanced(
        labels, ids, dev=1000, test=1000, groups=group_rows({"id": ids}), label_names=name_labels(11)
    )
    assert found.deviation == {"dev": 0, "test": 0}
    assert time.process_time() - start < 10


def test_fewer_groups_than_splits_are_refused() -> None:
    message = r"2 groups \('g0', 'g1'\) cannot fill 3 splits; add groups, leave out dev or test, or group by another"
    with pytest.raises(SplitError, match=message):
        split([0, 1] * 10, dev=2, test=2, groups=["g0"] * 10 + ["g1"] * 10)
    assert split([0, 1] * 10, dev=2, test=0, groups=["g0"] * 10 + ["g1"] * 10).deviation["dev"] == 4


def test_a_label_of_one_group_is_refused() -> None:
    groups = [f"g{row % 5}" for row in range(50)] + ["g0"] * 20
    with pytest.raises(
        SplitError, match=r"label 'label1' lies in 1 group \('g0'\) only, so dev and test cannot have it"
    ):
        split([0] * 50 + [1] * 20, dev=4, test=4, groups=groups)


@pytest.mark.parametrize("num_groups", [3, 12])
def test_groups_that_train_cannot_do_without_are_refused(num_groups: int) -> None:
    # Label k is in groups k and k + 1 only, in a ring: whichever two adjacent groups leave train, a label goes too;
    # with three groups every two are adjacent. With twelve, each group also holds a label of its own.
    rows = [(k, f"g{(k + i) % num_groups}") for k in range(num_groups) for i in (0, 1) for _ in range(9)]
    labels, groups = [label for label, _ in rows], [group for _, group in rows]
    if num_groups == 3:
        with pytest.raises(SplitError, match=r"no way found .*; label 'label0' lies in 2 groups \('g0', 'g1'\) only"):
            split(labels, dev=3, test=3, groups=groups)
    else:
        found = split(labels, dev=12, test=12, groups=groups)
        assert min(found.counts["train"].values()) >= 1


@pytest.mark.parametrize("num_groups", [4, 14])
def test_a_split_whose_groups_are_all_too_big_gets_one(num_groups: int) -> None:
    groups = [f"g{row % num_groups}" for row in range(num_groups * 40)]
    found = split([row // num_groups % 2 for row in range(num_groups * 40)], dev=2, test=2, groups=groups)
    assert [found.names.count(name) for name in ("dev", "test")] == [40, 40]
    assert found.deviation == {"dev": 19, "test": 19}
