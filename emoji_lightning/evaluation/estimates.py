"""From tallies of groups to numbers with intervals."""

from dataclasses import dataclass

import numpy as np

from emoji_lightning.evaluation.intervals import bca_intervals, calibration_error_interval, exact_interval
from emoji_lightning.evaluation.resampling import Ints, Number, Reals, Resampling, leave_one_out, resample_sums
from emoji_lightning.evaluation.tallies import LABEL_NUMBERS, NUMBERS, Measures, compute_label_numbers, name_sums

_NUM_TOP = 3


@dataclass(frozen=True)
class LabelNumbers:
    """How well one label is told from the others.

    Attributes:
        label: Its name.
        support: Utterances whose true label it is.
        num_predicted: Utterances predicted as it.
        precision: Share of `num_predicted` that is right; 0 where nothing is predicted as it.
        recall: Share of `support` that is predicted right; 0 where there is none.
        f1: 2 * right / (support + num_predicted); 0 where both are 0.
    """

    label: str
    support: int
    num_predicted: int
    precision: Number
    recall: Number
    f1: Number


def estimate_numbers(
    tallies: Reals, measures: Measures, names: list[str], resampling: Resampling
) -> tuple[dict[str, Number], tuple[LabelNumbers, ...]]:
    """Return all numbers and those of each label, with their intervals.

    Args:
        tallies: (G, F) of the groups, in the order in which they are drawn.
        measures: How tallies become numbers.
        names: K labels.
        resampling: How often groups are drawn, the level and the seed.
    """
    totals = tallies.sum(axis=0)
    values = _compute_all(totals, measures)
    num_groups = _count_groups(tallies)
    ends = np.full((len(values), 2), np.nan)
    if len(tallies) > 1:
        sums = resample_sums(tallies, resampling)
        ends = bca_intervals(
            values,
            _compute_all(sums, measures),
            _compute_all(leave_one_out(tallies), measures),
            num_groups=num_groups,
            level=resampling.level,
        )
        ends[NUMBERS.index("ece")] = _calibration_error_ends(totals, sums, len(tallies), resampling.level)
    _put_exact(ends, values, num_groups, len(names), resampling.level)
    found = [Number.of(value, low, high) for value, (low, high) in zip(values, ends, strict=True)]
    return dict(zip(NUMBERS, found, strict=False)), _label_numbers(found[len(NUMBERS) :], totals, names)


def _compute_all(tallies: Reals, measures: Measures) -> Reals:
    """Return the numbers and then precision, recall and F1 of every label, (..., 7 + 3 K)."""
    per_label = compute_label_numbers(tallies)
    return np.concatenate([measures.compute(tallies), per_label.reshape(*per_label.shape[:-2], -1)], axis=-1)


def _count_groups(tallies: Reals) -> Ints:
    """Return how many groups say something about each number, (7 + 3 K,)."""
    sums = name_sums(tallies)
    concerned = [sums.predicted > 0, sums.true > 0, sums.true + sums.predicted > 0]
    per_label = [each.sum(axis=0) for each in concerned]
    return np.concatenate([np.full(len(NUMBERS), len(tallies)), *per_label]).astype(np.int64)


def _calibration_error_ends(totals: Reals, sums: Reals, num_groups: int, level: float) -> Reals:
    whole, resampled = name_sums(totals), name_sums(sums)
    num = np.concatenate([[whole.num], resampled.num])
    return calibration_error_interval(whole.gaps, resampled.gaps, num, num_groups=num_groups, level=level)


def _put_exact(ends: Reals, values: Reals, num_groups: Ints, num_labels: int, level: float) -> None:
    """Put exact intervals where a share is 0 or 1: resamples cannot vary there, but other utterances could."""
    shares = np.zeros(len(values), dtype=bool)
    shares[len(NUMBERS) :] = True
    shares[NUMBERS.index("accuracy")] = num_labels > 1
    shares[NUMBERS.index("top3_accuracy")] = num_labels > _NUM_TOP  # of three labels it is always 1
    for place in np.flatnonzero(shares & ((values == 0) | (values == 1))):
        low, high = exact_interval(int(num_groups[place]), all_right=values[place] == 1, level=level)
        if place >= len(values) - num_labels:  # F1 of the share j right of those true or predicted is 2 j / (1 + j)
            low, high = 2 * low / (1 + low), 2 * high / (1 + high)
        ends[place] = low, high


def _label_numbers(found: list[Number], totals: Reals, names: list[str]) -> tuple[LabelNumbers, ...]:
    sums, num = name_sums(totals), len(names)
    columns = [found[start : start + num] for start in range(0, len(LABEL_NUMBERS) * num, num)]
    return tuple(
        LabelNumbers(name, int(support), int(predicted), *numbers)
        for name, support, predicted, *numbers in zip(names, sums.true, sums.predicted, *columns, strict=True)
    )
