"""Balanced, group-safe, repeatable splits; pure functions on arrays."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.errors import SplitError, join_problems
from emoji_lightning.splits.group_search import assign_groups

SPLITS = ("train", "dev", "test")

Ints = NDArray[np.int64]


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
    groups: Sequence[str] | None = None,
    seed: int = 0,
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
        groups: What must stay together (speaker, source text, ...), N; None if each utterance stands alone.
        seed: Draws another split.

    Raises:
        SplitError: Sizes are negative, not whole or too large; ids repeat; a label has too few utterances or lies in
            one group only; there are fewer groups than splits. The message names the label or group and the cure.

    >>> split = split_balanced(np.arange(12) % 2, [f"u{i}" for i in range(12)], dev=4, test=2, label_names=["a", "b"])
    >>> split.counts["dev"], split.counts["train"], split.deviation
    ({'a': 2, 'b': 2}, {'a': 3, 'b': 3}, {'dev': 0, 'test': 0})
    """
    _check_ids(ids)
    totals = np.bincount(labels, minlength=len(label_names)).astype(np.int64)
    sizes = [_size(name, value, len(ids)) for name, value in (("dev", dev), ("test", test))]
    targets = _balance(totals, sizes, label_names=label_names, seed=seed)
    if groups is None:
        codes = _draw_rows(labels, _hash(ids, seed), targets)
    else:
        codes = _draw_groups(labels, groups, targets, label_names=label_names, seed=seed)
    return _describe(codes, labels, targets, label_names=label_names, seed=seed)


def _check_ids(ids: Sequence[str]) -> None:
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
    return int(value) if value >= 1 else round(value * num_rows)


def _balance(totals: Ints, sizes: Sequence[int], *, label_names: Sequence[str], seed: int) -> Ints:
    """Return how many utterances of each label dev and test are to get, shape (2, K)."""
    targets = np.zeros((2, len(totals)), dtype=np.int64)
    present: list[int] = np.flatnonzero(totals).tolist()
    if not present:
        raise SplitError("there is no utterance to split; expected at least one per label and split")
    tie = _hash(label_names, seed)
    for index, size in enumerate(sizes):
        each, rest = divmod(size, len(present))
        targets[index, present] = each
        # What does not divide goes where most is left, so that rare labels are not the ones that run out.
        left = totals - targets.sum(axis=0)
        order = sorted(present, key=lambda label: (-left[label], tie[label]))
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


def _draw_rows(labels: Ints, hashes: NDArray[np.uint64], targets: Ints) -> NDArray[np.int8]:
    """Return 0 train, 1 dev, 2 test per row, shape (N,)."""
    codes = np.zeros(len(labels), dtype=np.int8)
    order = np.argsort(hashes)
    for label in range(targets.shape[1]):
        rows = order[labels[order] == label]
        dev, test = targets[:, label]
        codes[rows[:dev]] = 1
        codes[rows[dev : dev + test]] = 2
    return codes


def _draw_groups(
    labels: Ints, groups: Sequence[str], targets: Ints, *, label_names: Sequence[str], seed: int
) -> NDArray[np.int8]:
    """Return 0 train, 1 dev, 2 test per row, shape (N,), the same within a group."""
    names, group_of_row = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    counts = np.zeros((len(names), targets.shape[1]), dtype=np.int64)
    np.add.at(counts, (group_of_row, labels), 1)
    order = np.argsort(_hash(names.tolist(), seed))  # what follows knows groups by their rank in this order only
    _check_groups(names.tolist(), counts, targets, label_names)
    codes = assign_groups(counts[order], targets, seed=seed)
    if codes is None:
        present: list[int] = np.flatnonzero(counts.sum(axis=0)).tolist()
        scarce = min(present, key=lambda label: int((counts[:, label] > 0).sum()))
        raise SplitError(
            f"no way found to give dev and test whole groups and leave every label in train; label "
            f"{label_names[scarce]!r} lies in {_name_some(names[counts[:, scarce] > 0])} only; "
            "add groups, lower --dev or --test, or group by another column"
        )
    by_name = np.empty(len(names), dtype=np.int8)
    by_name[order] = codes
    return by_name[group_of_row]


def _check_groups(names: Sequence[str], counts: Ints, targets: Ints, label_names: Sequence[str]) -> None:
    needed = 1 + int((targets.sum(axis=1) > 0).sum())
    if len(names) < needed:
        raise SplitError(
            f"{_name_some(names)} cannot fill {needed} splits; add groups, leave out dev or test, "
            "or group by another column"
        )
    problems = [
        f"label {label_names[label]!r} lies in {_name_some([names[found[0]]])} only, so dev and test cannot "
        f"have it; add {label_names[label]!r} of other groups, or group by another column"
        for label in np.flatnonzero(targets.sum(axis=0)).tolist()
        if len(found := np.flatnonzero(counts[:, label])) == 1
    ]
    if problems:
        raise SplitError(join_problems(problems))


def _name_some(names: Sequence[str] | NDArray[np.str_]) -> str:
    shown = ", ".join(repr(str(name)) for name in names[:5])
    return f"{len(names)} group{'s' * (len(names) != 1)} ({shown}{', ...' if len(names) > 5 else ''})"


def _hash(texts: Sequence[str], seed: int) -> NDArray[np.uint64]:
    """Return a number per text that looks random but depends on text and seed only."""
    start = hashlib.blake2b(f"{seed}\0".encode(), digest_size=8)
    digests = bytearray()
    for text in texts:
        each = start.copy()
        each.update(text.encode())
        digests += each.digest()
    return np.frombuffer(bytes(digests), dtype="<u8")


def _describe(codes: NDArray[np.int8], labels: Ints, targets: Ints, *, label_names: Sequence[str], seed: int) -> Split:
    counts = [np.bincount(labels[codes == code], minlength=len(label_names)) for code in range(3)]
    return Split(
        names=[SPLITS[code] for code in codes.tolist()],
        counts={name: _by_label(each, label_names) for name, each in zip(SPLITS, counts, strict=True)},
        targets={name: _by_label(each, label_names) for name, each in zip(SPLITS[1:], targets, strict=True)},
        deviation={SPLITS[code]: int(np.abs(counts[code] - targets[code - 1]).max()) for code in (1, 2)},
        seed=seed,
    )


def _by_label(counts: Ints, label_names: Sequence[str]) -> dict[str, int]:
    return dict(zip(label_names, counts.tolist(), strict=True))
