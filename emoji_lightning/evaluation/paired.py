"""The answers of two systems to the same texts, and the difference of their numbers with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from emoji_lightning.evaluation.checks import check_predictions, number_groups
from emoji_lightning.evaluation.intervals import bca_intervals
from emoji_lightning.evaluation.resampling import Ints, Number, Reals, Resampling, leave_one_out, resample_sums
from emoji_lightning.evaluation.tallies import NUMBERS, Measures, compute_label_numbers, name_sums, tally_groups

DIFFERENCES = ("accuracy", "balanced_accuracy", "macro_f1", "mean_probability")
_COLUMNS = [NUMBERS.index(name) for name in DIFFERENCES]
_RECALL = 1


@dataclass(frozen=True, eq=False)
class Paired:
    """What two systems made of the same texts, in the same order.

    Attributes:
        labels: (N,) int64 labels that both were asked for.
        first: (N, K) probabilities heard of the first system.
        second: (N, K) of the second.
        groups: N groups, such as the text; utterances of one group are not independent.
    """

    labels: ArrayLike
    first: ArrayLike
    second: ArrayLike
    groups: Sequence[str]


@dataclass(frozen=True, eq=False)
class Sample:
    """The tallies of two systems.

    Attributes:
        first: (G, F) tallies of the first system, in the order in which groups are drawn.
        second: (G, F) of the second.
        measures: How the tallies of each become numbers.
        first_only: Utterances that only the first has right.
        second_only: Those that only the second has right.
    """

    first: Reals
    second: Reals
    measures: tuple[Measures, Measures]
    first_only: int
    second_only: int

    def compute(self, sums: Reals) -> Reals:
        """Return the DIFFERENCES and the difference in recall of all labels, (..., 4 + K), of sums (..., 2 F)."""
        halves = np.split(sums, 2, axis=-1)
        ours, theirs = (each.compute(half)[..., _COLUMNS] for each, half in zip(self.measures, halves, strict=True))
        recalls = [compute_label_numbers(half)[..., _RECALL, :] for half in halves]
        return np.concatenate([ours - theirs, recalls[0] - recalls[1]], axis=-1)


def read_sample(paired: Paired, names: Sequence[str], *, asked_only: bool) -> Sample:
    """Check what two systems made of the same texts, and tally it.

    Raises:
        EvaluationError: Either cannot be evaluated, see `evaluate`.
    """
    labels, first = check_predictions(paired.labels, paired.first, names)
    _, second = check_predictions(labels, paired.second, names)
    group_of = number_groups(paired.groups, len(labels), "group")
    ours, theirs = (tally_groups(labels, each, group_of) for each in (first, second))
    order = _order_groups(ours, theirs)
    right, also = (each.argmax(axis=1) == labels for each in (first, second))
    return Sample(
        ours[order],
        theirs[order],
        (Measures.of(ours, asked_only=asked_only), Measures.of(theirs, asked_only=asked_only)),
        int((right & ~also).sum()),
        int((also & ~right).sum()),
    )


def _order_groups(first: Reals, second: Reals) -> Ints:
    """Return an order of the groups that depends on nothing but the tallies, nor on which system comes first."""
    keys = np.concatenate([first + second, first * second], axis=1)
    return np.asarray(np.lexsort(keys.T[::-1]), dtype=np.int64)


def estimate_differences(sample: Sample, resampling: Resampling) -> list[Number]:
    """Return the DIFFERENCES, then the difference in recall of each label, with intervals.

    Each resample draws the same groups of both systems. A label that was not asked for has the difference 0.
    """
    both = np.concatenate([sample.first, sample.second], axis=1)
    values = sample.compute(both.sum(axis=0))
    ends = np.full((len(values), 2), np.nan)
    if len(both) > 1:
        asked = (name_sums(sample.first).true > 0).sum(axis=0)
        ends = bca_intervals(
            values,
            sample.compute(resample_sums(both, resampling)),
            sample.compute(leave_one_out(both)),
            num_groups=np.concatenate([np.full(len(DIFFERENCES), len(both)), asked]),
            level=resampling.level,
        )
    return [Number.of(value, low, high) for value, (low, high) in zip(values, ends, strict=True)]
