"""Balanced, group-safe, repeatable splits; pure functions on arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.errors import SplitError, join_problems
from emoji_lightning.manifest.split_names import SPLITS
from emoji_lightning.splits.group_problem import Codes, GroupProblem, Ints
from emoji_lightning.splits.group_search import assign_groups
from emoji_lightning.splits.grouping import Groups
from emoji_lightning.splits.hashing import hash_texts

_NEW = -1
"""Code of a row that no earlier split has put anywhere."""


@dataclass(frozen=True)
class Split:
    """The split of each of N rows, and how well it came out.

    Args:
        names: `train`, `dev` or `test` per row, N.
        counts: Split -> label -> utterances.
        targets: `dev` and `test` -> label -> utterances asked for.
        deviation: `dev` and `test` -> largest |count - target| over the labels; 0 is exactly balanced.
        seed: What it was drawn with.
    """

    names: list[str] = field(repr=False)
    counts: dict[str, dict[str, int]]
    targets: dict[str, dict[str, int]]
    deviation: dict[str, int]
    seed: int


def split_balanced(
    labels: Ints,
    ids: Sequence[str],
    *,
    dev: float,
    test: float,
    label_names: Sequence[str],
    groups: Groups | None = None,
    seed: int = 0,
    kept: Sequence[str | None] | None = None,
) -> Split:
    """Divide utterances into train, dev and test, with dev and test balanced over the labels.

    The target of a label is the size of the split over the number of labels, rounded up for the labels with the most
    utterances until the sizes add up. Without groups the targets are met exactly. With groups, no group is in two
    splits, and the assignment with the least sum of squared deviations is looked for; up to 10 groups it is found
    for certain.

    Args:
        labels: Label of each utterance, shape (N,), 0..K-1.
        ids: Id of each utterance, N, all different. Ids and seed decide, not the order of the rows.
        dev: Utterances in dev if >= 1, else their share of N.
        test: The same for test.
        label_names: The K labels. Those without any utterance are left out of the balance.
        groups: What must stay together (speaker, source text, ...); None if each utterance stands alone.
        seed: Draws another split.
        kept: Split that each utterance has from before and keeps, N; None for one that is new. What is new joins the
            split of its group, or fills dev and test as far as their targets allow.

    Raises:
        SplitError: Sizes are negative, not whole or too large; ids repeat; a label has too few utterances or lies in
            one group only; there are fewer groups than splits; a group has members in two of the splits that are kept.
            The message names the label or group and the cure.

    >>> split = split_balanced(np.arange(12) % 2, [f"u{i}" for i in range(12)], dev=4, test=2, label_names=["a", "b"])
    >>> split.counts["dev"], split.counts["train"], split.deviation
    ({'a': 2, 'b': 2}, {'a': 3, 'b': 3}, {'dev': 0, 'test': 0})
    """
    check_ids(ids)
    codes = np.full(len(ids), _NEW, dtype=np.int8)
    if kept is not None:
        codes[:] = [_NEW if name is None else SPLITS.index(name) for name in kept]
    sizes = [_size(name, value, len(ids)) for name, value in (("dev", dev), ("test", test))]
    targets = _balance(_count(labels, codes, len(label_names)), sizes, label_names=label_names, seed=seed)
    if groups is None:
        codes = _draw_rows(labels, hash_texts(ids, seed), targets, codes)
    elif not (codes == _NEW).any():
        find_homes(groups, codes, SPLITS)
    else:
        codes = _draw_groups(labels, groups, targets, codes, label_names=label_names, seed=seed)
    _check_train(labels, codes, label_names)
    return _describe(codes, labels, targets, label_names=label_names, seed=seed)


def _check_train(labels: Ints, codes: Codes, label_names: Sequence[str]) -> None:
    """Refuse a label that only dev and test have, which an earlier split may leave."""
    counts = _count(labels, codes, len(label_names))
    untrained = np.flatnonzero((counts[1] == 0) & (counts.sum(axis=0) > 0)).tolist()
    if untrained:
        raise SplitError(
            join_problems(
                [
                    f"label {label_names[label]!r} has no utterance in train, since its {counts[:, label].sum()} keep "
                    f"their split; add utterances of {label_names[label]!r}, or split anew without --update"
                    for label in untrained
                ]
            )
        )


def check_ids(ids: Sequence[str]) -> None:
    """Raise SplitError where an id stands more than once."""
    if len(set(ids)) == len(ids):
        return
    seen: set[str] = set()
    twice = dict.fromkeys(name for name in ids if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    raise SplitError(
        join_problems([f"id {name!r} stands more than once; give each utterance its own" for name in twice])
    )


def _size(name: str, value: float, num_rows: int) -> int:
    """Return the number of utterances that a count or a share stands for."""
    if not value >= 0 or value == float("inf") or (value >= 1 and value != int(value)):
        raise SplitError(f"--{name} is {value}; expected a whole number of utterances or a share below 1")
    if value > num_rows > 0:
        raise SplitError(f"--{name} is {value:g}; the manifest has {num_rows} utterances")
    return int(value) if value >= 1 else max(int(value > 0), round(value * num_rows))


def _count(labels: Ints, codes: Codes, num_labels: int) -> Ints:
    """Return the utterances that are new, and in train, dev and test already, per label; shape (4, K)."""
    return np.stack([np.bincount(labels[codes == code], minlength=num_labels) for code in (_NEW, 0, 1, 2)])


def _balance(counts: Ints, sizes: Sequence[int], *, label_names: Sequence[str], seed: int) -> Ints:
    """Return how many utterances of each label dev and test are to get, shape (2, K)."""
    totals = counts.sum(axis=0)
    targets = np.zeros((2, len(totals)), dtype=np.int64)
    present: list[int] = np.flatnonzero(totals).tolist()
    if not present:
        raise SplitError("there is no utterance to split; expected at least one per label and split")
    tie = hash_texts(label_names, seed)
    for index, size in enumerate(sizes):
        each, rest = divmod(size, len(present))
        targets[index, present] = each
        # What does not divide goes where it is already, or else where most is left, so that rare labels are not the
        # ones that run out.
        left, kept = totals - targets.sum(axis=0), counts[index + 2]
        order = sorted(present, key=lambda label: (-kept[label], -left[label], tie[label]))
        targets[index, order[:rest]] += 1
    problems = [
        f"label {label_names[label]!r} has {totals[label]} utterances, but dev takes {targets[0, label]}, test "
        f"{targets[1, label]} and train needs 1; lower --dev or --test, or add utterances of {label_names[label]!r}"
        for label in present
        if totals[label] < targets[:, label].sum() + 1
    ]
    if problems:
        raise SplitError(join_problems(problems))
    return targets


def _draw_rows(labels: Ints, hashes: NDArray[np.uint64], targets: Ints, kept: Codes) -> Codes:
    """Return 0 train, 1 dev, 2 test per row, shape (N,)."""
    codes = np.where(kept == _NEW, 0, kept).astype(np.int8)
    counts = _count(labels, kept, targets.shape[1])
    order = np.argsort(hashes, kind="stable")
    order = order[kept[order] == _NEW]
    for label in range(targets.shape[1]):
        rows = order[labels[order] == label]
        dev, test = np.maximum(0, targets[:, label] - counts[2:, label]).tolist()
        free = max(0, len(rows) - int(counts[1, label] == 0))  # train keeps one
        if dev + test > free:  # only where an earlier split put too many elsewhere
            dev, test = _share(free, dev, test)
        codes[rows[:dev]] = 1
        codes[rows[dev : dev + test]] = 2
    return codes


def _share(free: int, dev: int, test: int) -> tuple[int, int]:
    """Return what dev and test get of too few new utterances."""
    for_dev = round(free * dev / (dev + test))
    return for_dev, free - for_dev


def _draw_groups(
    labels: Ints, groups: Groups, targets: Ints, kept: Codes, *, label_names: Sequence[str], seed: int
) -> Codes:
    """Return 0 train, 1 dev, 2 test per row, shape (N,), the same within a group."""
    counts = count_groups(labels, groups, targets.shape[1])
    codes = find_homes(groups, kept, SPLITS)
    _check_groups(groups.names, counts, targets, label_names)
    order = np.argsort(hash_texts(groups.names, seed), kind="stable")
    order = order[codes[order] == _NEW]  # what follows knows groups by their rank in this order only
    given = np.stack([counts[codes == code].sum(axis=0) for code in range(3)])
    closed = np.array([False, not targets[0].any(), not targets[1].any()])
    problem = GroupProblem(
        counts=counts[order],
        targets=np.vstack([np.zeros(targets.shape[1]), targets]),
        scored=~closed & [False, True, True],
        closed=closed,
        given=given,
        num_fixed=np.bincount(codes[codes != _NEW], minlength=3),
        scale=np.ones(targets.shape[1]),
    )
    assigned = assign_groups(problem, seed=seed)
    if assigned is None:
        raise SplitError(_describe_deadlock(groups.names, counts, label_names))
    codes[order] = assigned
    return codes[groups.of_row]


def count_groups(labels: Ints, groups: Groups, num_labels: int) -> Ints:
    """Return the utterances of each group and label, shape (G, K)."""
    cells = np.bincount(groups.of_row * num_labels + labels, minlength=len(groups) * num_labels)
    return cells.reshape(len(groups), num_labels)


def find_homes(groups: Groups, kept: NDArray[np.signedinteger], parts: Sequence[str]) -> Codes:
    """Return the part that each group has from its members, -1 where all are new; shape (G,).

    Args:
        groups: G groups of N rows.
        kept: Part of each row from before, -1 where it is new; shape (N,).
        parts: Names of the parts.

    Raises:
        SplitError: A group has members in several parts already; names them and the cure.
    """
    inside = np.zeros((len(groups), len(parts)), dtype=np.bool_)
    old = kept != _NEW
    inside[groups.of_row[old], kept[old]] = True
    torn = np.flatnonzero(inside.sum(axis=1) > 1).tolist()
    if torn:
        raise SplitError(join_problems([_describe_torn(groups.names[group], inside[group], parts) for group in torn]))
    return np.where(inside.any(axis=1), inside.argmax(axis=1), _NEW).astype(np.int8)


def _describe_torn(name: str, inside: NDArray[np.bool_], parts: Sequence[str]) -> str:
    homes = " and ".join(part for part, found in zip(parts, inside, strict=True) if found)
    return (
        f"group {name!r} has utterances in {homes} already; leave out the new utterances that tie them, group by other "
        "columns, or split anew without --update"
    )


def _check_groups(names: Sequence[str], counts: Ints, targets: Ints, label_names: Sequence[str]) -> None:
    needed = 1 + int((targets.sum(axis=1) > 0).sum())
    if len(names) < needed:
        raise SplitError(
            f"{name_groups(names)} cannot fill {needed} splits; add groups, leave out dev or test, "
            "or group by another column"
        )
    problems = [
        f"label {label_names[label]!r} lies in {name_groups([names[found[0]]])} only, so dev and test cannot "
        f"have it; add {label_names[label]!r} of other groups, or group by another column"
        for label in np.flatnonzero(targets.sum(axis=0)).tolist()
        if len(found := np.flatnonzero(counts[:, label])) == 1
    ]
    if problems:
        raise SplitError(join_problems(problems))


def _describe_deadlock(names: Sequence[str], counts: Ints, label_names: Sequence[str]) -> str:
    present: list[int] = np.flatnonzero(counts.sum(axis=0)).tolist()
    scarce = min(present, key=lambda label: int((counts[:, label] > 0).sum()))
    holders = sorted(names[group] for group in np.flatnonzero(counts[:, scarce]).tolist())
    return (
        f"no way found to give dev and test whole groups and leave every label in train; label "
        f"{label_names[scarce]!r} lies in {name_groups(holders)} only; "
        "add groups, lower --dev or --test, or group by another column"
    )


def name_groups(names: Sequence[str]) -> str:
    """Return how many groups they are, and five of them by name."""
    shown = ", ".join(repr(str(name)) for name in names[:5])
    return f"{len(names)} group{'s' * (len(names) != 1)} ({shown}{', ...' if len(names) > 5 else ''})"


def _describe(codes: Codes, labels: Ints, targets: Ints, *, label_names: Sequence[str], seed: int) -> Split:
    counts = [np.bincount(labels[codes == code], minlength=len(label_names)) for code in range(3)]
    return Split(
        names=[SPLITS[code] for code in codes.tolist()],
        counts={name: by_label(each, label_names) for name, each in zip(SPLITS, counts, strict=True)},
        targets={name: by_label(each, label_names) for name, each in zip(SPLITS[1:], targets, strict=True)},
        deviation={SPLITS[code]: int(np.abs(counts[code] - targets[code - 1]).max()) for code in (1, 2)},
        seed=seed,
    )


def by_label(counts: Ints, label_names: Sequence[str]) -> dict[str, int]:
    """Return label -> utterances of counts (K,)."""
    return dict(zip(label_names, counts.tolist(), strict=True))
