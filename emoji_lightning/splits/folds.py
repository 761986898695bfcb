"""Grouped, stratified folds for cross-validation; pure functions on arrays."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.errors import SplitError, join_problems
from emoji_lightning.splits.balance import by_label, check_ids, count_groups, find_homes, name_groups
from emoji_lightning.splits.group_problem import GroupProblem, Ints
from emoji_lightning.splits.group_search import assign_groups
from emoji_lightning.splits.grouping import Groups
from emoji_lightning.splits.hashing import hash_texts

# Equal sizes decide between assignments that are equally good for the labels, no more.
_SIZE_WEIGHT = 1e-3


@dataclass(frozen=True)
class Folds:
    """The fold of each of N rows, and how well it came out.

    Args:
        fold: 0..F-1 per row, shape (N,).
        counts: Fold (as text) -> label -> utterances.
        deviation: Fold -> largest |count - utterances of the label / F| over the labels; below 1 is exactly balanced.
        seed: What it was drawn with.
    """

    fold: Ints = field(repr=False)
    counts: dict[str, dict[str, int]]
    deviation: dict[str, float]
    seed: int


def make_folds(
    labels: Ints,
    ids: Sequence[str],
    *,
    num_folds: int,
    label_names: Sequence[str],
    groups: Groups | None = None,
    seed: int = 0,
    kept: Sequence[str | None] | None = None,
) -> Folds:
    """Divide utterances into folds that each have the label distribution of all.

    Without groups every fold gets each label, and as many utterances, as the others to within one. With groups, no
    group is in two folds, and the assignment is looked for with the least sum over folds and labels of
    (count - n / F)^2 / (n / F), n utterances of the label: Pearson's chi-square, which weighs a rare label's missing
    utterance more than a frequent one's. Of equally good ones, the folds of most equal size are taken.

    Args:
        labels: Label of each utterance, shape (N,), 0..K-1.
        ids: Id of each utterance, N, all different. Ids and seed decide, not the order of the rows.
        num_folds: F, at least 2.
        label_names: The K labels.
        groups: What must stay together; None if each utterance stands alone.
        seed: Draws other folds.
        kept: Fold that each utterance has from before and keeps, N, as text; None for one that is new.

    Raises:
        SplitError: A fold that is kept is not one of 0..F-1 or tears a group; fewer than 2 folds; ids that repeat; a
            label with fewer utterances (groups) than 2, so that the fold that holds it leaves none to train on; fewer
            groups than folds; a fold that gets nothing.

    >>> make_folds(np.arange(12) % 2, [f"u{i}" for i in range(12)], num_folds=3, label_names=["a", "b"]).counts["0"]
    {'a': 2, 'b': 2}
    """
    check_ids(ids)
    num_units = len(ids) if groups is None else len(groups)
    if num_folds < 2 or num_folds > num_units:
        what = f"{len(ids)} utterances" if groups is None else name_groups(groups.names)
        raise SplitError(f"--folds is {num_folds}; expected 2 to {num_units}: there are {what}")
    unit_of_row = np.arange(len(ids)) if groups is None else groups.of_row
    _check_labels(labels, unit_of_row, label_names, by_group=groups is not None)
    before = _read_kept(kept, num_folds, len(ids))
    if groups is None:
        fold = _deal_rows(labels, hash_texts(ids, seed), before, num_folds)
    else:
        fold = _assign(labels, groups, before, num_folds, num_labels=len(label_names), seed=seed)
    empty = sorted(set(range(num_folds)) - set(np.unique(fold).tolist()))
    if empty:
        raise SplitError(
            f"fold {', '.join(map(str, empty))} of {num_folds} gets nothing, since what is there keeps its fold; lower "
            "--folds, add utterances, or split anew without --update"
        )
    return _describe(fold, labels, num_folds, label_names=label_names, seed=seed)


def _check_labels(labels: Ints, unit_of_row: Ints, label_names: Sequence[str], *, by_group: bool) -> None:
    problems = []
    for label, name in enumerate(label_names):
        units = np.unique(unit_of_row[labels == label])
        if len(units) == 1:
            what = "lies in 1 group only" if by_group else "has 1 utterance only"
            cure = "or group by another column" if by_group else "or leave it out"
            problems.append(
                f"label {name!r} {what}, so the fold that gets it leaves none to train on; add {name!r}, {cure}"
            )
    if problems:
        raise SplitError(join_problems(problems))


def _read_kept(kept: Sequence[str | None] | None, num_folds: int, num_rows: int) -> Ints:
    """Return the fold of each row from before, -1 where it is new; shape (N,)."""
    known = {str(fold): fold for fold in range(num_folds)}
    strange = sorted({fold for fold in kept or () if fold is not None and fold not in known})
    if strange:
        raise SplitError(f"the earlier split has {', '.join(strange)}; expected folds 0 to {num_folds - 1}")
    return np.array([-1 if fold is None else known[fold] for fold in kept or [None] * num_rows], dtype=np.int64)


def _deal_rows(labels: Ints, hashes: NDArray[np.uint64], before: Ints, num_folds: int) -> Ints:
    """Deal new utterances like cards: each to the fold with the fewest of its label, of these to the smallest one."""
    fold = before.copy()
    sizes = np.bincount(before[before >= 0], minlength=num_folds)
    order = np.argsort(hashes, kind="stable")
    order = order[before[order] < 0]
    for label in np.unique(labels):
        rows = order[labels[order] == label]
        held = np.bincount(before[(labels == label) & (before >= 0)], minlength=num_folds)
        dealt = _deal(len(rows), held, sizes)
        fold[rows] = dealt
        sizes += np.bincount(dealt, minlength=num_folds)
    return fold


def _deal(num: int, held: Ints, sizes: Ints) -> Ints:
    """Return folds (num,) that fill up what each holds of a label (F,); what does not divide goes to small folds."""
    levels = range(int(held.min()), int(held.max()) + num + 1)
    level = levels[bisect_right(levels, num, key=lambda each: int(np.maximum(0, each - held).sum())) - 1]
    take = np.maximum(0, level - held)
    lowest = np.lexsort((sizes + take, held + take))
    take[lowest[: num - int(take.sum())]] += 1
    return np.repeat(np.arange(len(held)), take)


def _assign(labels: Ints, groups: Groups, before: Ints, num_folds: int, *, num_labels: int, seed: int) -> Ints:
    counts = count_groups(labels, groups, num_labels)
    by_group = find_homes(groups, before, [f"fold {fold}" for fold in range(num_folds)])
    order = np.argsort(hash_texts(groups.names, seed), kind="stable")
    order = order[by_group[order] < 0]
    counts = np.column_stack([counts, counts.sum(axis=1)])  # the size of a fold is one more thing to balance
    wanted = counts.sum(axis=0) / num_folds
    scale = 1 / np.maximum(wanted, 1 / num_folds)
    scale[-1] *= _SIZE_WEIGHT
    problem = GroupProblem(
        counts=counts[order],
        targets=np.tile(wanted, (num_folds, 1)),
        scored=np.ones(num_folds, dtype=np.bool_),
        closed=np.zeros(num_folds, dtype=np.bool_),
        given=np.stack([counts[by_group == fold].sum(axis=0) for fold in range(num_folds)]),
        num_fixed=np.bincount(by_group[by_group >= 0], minlength=num_folds),
        scale=scale,
        reserve=False,
        alike=bool((by_group < 0).all()),
    )
    assigned = assign_groups(problem, seed=seed)
    if assigned is not None:  # None: too few groups are new to fill the folds that have none
        by_group[order] = assigned
    return by_group[groups.of_row].astype(np.int64)


def _describe(fold: Ints, labels: Ints, num_folds: int, *, label_names: Sequence[str], seed: int) -> Folds:
    counts = [np.bincount(labels[fold == each], minlength=len(label_names)) for each in range(num_folds)]
    wanted = np.bincount(labels, minlength=len(label_names)) / num_folds
    return Folds(
        fold=fold,
        counts={str(each): by_label(found, label_names) for each, found in enumerate(counts)},
        deviation={str(each): round(float(np.abs(found - wanted).max()), 2) for each, found in enumerate(counts)},
        seed=seed,
    )
