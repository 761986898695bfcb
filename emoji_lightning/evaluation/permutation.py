"""A paired permutation test: if two systems were equal, who said what within a group would be chance."""

from collections.abc import Iterator, Sequence

import numpy as np

from emoji_lightning.evaluation.resampling import Reals, Resampling
from emoji_lightning.evaluation.tallies import NUMBERS, Measures, name_sums

# Swaps at once, so that their matrix stays small.
_DRAWS = 1 << 19
# Differences that differ by less are equal: the order of a sum is no news.
_ROUNDING = 1e-12
# Apart from the stream of the resamples, which has the seed itself.
_STREAM = 1


def permutation_p(
    tallies: tuple[Reals, Reals], measures: tuple[Measures, Measures], numbers: Sequence[str], resampling: Resampling
) -> dict[str, float]:
    """Return two-sided p values of differences between two systems.

    In each permutation the answers of the two systems change places in some of the groups, all of a group's at once.
    All 2^D are done where that is no more than the number of resamples, D being the groups in which predictions differ,
    and p is the share of permutations whose difference is at least as large as the observed one; otherwise that many
    random ones, and p is (count + 1) / (number + 1). Counts are whole, so p comes in steps: where few groups differ,
    the test finds a difference between equal systems in less than alpha of cases.

    Source: Fisher, "The Design of Experiments", 1935, section 21; Phipson and Smyth, "Permutation P-values Should Never
    Be Zero", 2010, section 3.

    Args:
        tallies: Of the first and of the second system, (G, F) each, of the same utterances.
        measures: How tallies of each become numbers.
        numbers: Which of accuracy, balanced_accuracy and macro_f1 are tested.
        resampling: Number of random permutations and seed.
    """
    columns = [NUMBERS.index(name) for name in numbers]
    first, second = tallies
    swapped = (first - second)[_find_different(first, second)]
    whole = first.sum(axis=0), second.sum(axis=0)

    def differences(moved: Reals) -> Reals:
        """Return the differences (r, C) where the sums `moved` (r, F) went from the first system to the second."""
        ours, theirs = measures[0].compute(whole[0] - moved), measures[1].compute(whole[1] + moved)
        return np.abs(ours - theirs)[:, columns]

    observed = differences(np.zeros((1, first.shape[1]))) - _ROUNDING
    exact = 2 ** len(swapped) <= resampling.num_resamples
    draws = _all_swaps(len(swapped)) if exact else _random_swaps(len(swapped), resampling)
    reached, num = np.zeros(len(columns)), 0
    for swaps in draws:
        reached += (differences(swaps @ swapped) >= observed).sum(axis=0)
        num += len(swaps)
    shares = reached / num if exact else (reached + 1) / (num + 1)
    return dict(zip(numbers, shares.tolist(), strict=True))


def _find_different(first: Reals, second: Reals) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Tell which groups (G,) the two systems predict differently; swapping the others changes no count."""
    ours, theirs = name_sums(first), name_sums(second)
    return np.asarray(((ours.predicted != theirs.predicted) | (ours.hits != theirs.hits)).any(axis=1))


def _all_swaps(num_groups: int) -> Iterator[Reals]:
    """Yield (2^D, D) float64: 1 where a group's answers change places."""
    yield ((np.arange(2**num_groups)[:, None] >> np.arange(num_groups)) & 1).astype(np.float64)


def _random_swaps(num_groups: int, resampling: Resampling) -> Iterator[Reals]:
    """Yield (r, D) float64 until there are R rows."""
    rng = np.random.default_rng([resampling.seed, _STREAM])
    step = max(1, _DRAWS // num_groups)
    for start in range(0, resampling.num_resamples, step):
        num = min(step, resampling.num_resamples - start)
        yield rng.integers(0, 2, (num, num_groups), dtype=np.int8).astype(np.float64)
