"""Whether a difference is more than chance: McNemar's test, Holm's correction, and how much more is needed to tell."""

import math
from collections.abc import Sequence

from emoji_lightning.evaluation.resampling import Reals


def mcnemar_p(first_only: int, second_only: int) -> float:
    """Return the two-sided p value of McNemar's exact test.

    Under the null hypothesis an utterance that only one system has right is as likely the first's as the second's. The
    test takes utterances for independent, which those of one text are not.

    Source: McNemar, "Note on the Sampling Error of the Difference Between Correlated Proportions", 1947; exact by the
    binomial distribution.

    Args:
        first_only: Utterances that only the first system has right.
        second_only: Those that only the second has right.

    >>> mcnemar_p(1, 9)
    0.021484375
    """
    from scipy.special import bdtr

    num = first_only + second_only
    return 1.0 if num == 0 else min(1.0, float(2 * bdtr(min(first_only, second_only), num, 0.5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number, so that all below alpha err together with probability alpha at most.

    Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def count_more_needed(differences: Reals, sizes: Reals, *, alpha: float, power: float) -> int | None:
    """Return how many more groups would decide a difference as large and as variable as the observed one.

    n = (z_{1 - alpha / 2} + z_power)^2 variance / mean^2, of which the present ones are taken away; and so many that
    the smallest p value that n groups can give, 2 / 2^n, is below alpha. It is a plan, not a promise: the observed
    difference is itself uncertain.

    Source: Chow, Shao and Wang, "Sample Size Calculations in Clinical Research", 2008, eq. 3.1.3 (one sample or pairs);
    Cochran, "Sampling Techniques", 1977, section 6.4 (variance of a ratio, for groups of unequal size).

    Args:
        differences: (G,) right answers of the first - those of the second system, in each group.
        sizes: (G,) utterances of each group.
        alpha: Level of the test, already divided by the number of comparisons.
        power: Wanted probability of finding the difference.

    Returns:
        None where the observed difference is 0 or there is one group.
    """
    from scipy.special import ndtri

    num, mean = len(differences), differences.sum() / sizes.sum()
    if num < 2 or mean == 0:
        return None
    influence = (differences - mean * sizes) / sizes.mean()
    variance = (influence**2).sum() / (num - 1)
    needed = float((ndtri(1 - alpha / 2) + ndtri(power)) ** 2 * variance / mean**2)
    fewest = math.floor(1 - math.log2(alpha)) + 1
    return max(1, math.ceil(max(needed, fewest)) - num)
