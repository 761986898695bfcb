"""Two systems on the same texts: the paired difference, whether it is more than chance, and how much more it needs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from emoji_lightning.errors import EvaluationError
from emoji_lightning.evaluation.paired import DIFFERENCES, Paired, Sample, estimate_differences, read_sample
from emoji_lightning.evaluation.permutation import permutation_p
from emoji_lightning.evaluation.resampling import Number, Resampling
from emoji_lightning.evaluation.significance import count_more_needed, holm, mcnemar_p
from emoji_lightning.evaluation.tallies import name_sums

__all__ = ["Comparison", "LabelDifference", "Paired", "compare"]

TESTED = ("accuracy", "macro_f1")
PERMUTATIONS_PER_PAIR = 20
"""Times pairs / alpha: the least number of random permutations, so that the smallest corrected p is alpha / 20."""


@dataclass(frozen=True)
class LabelDifference:
    """The difference in recall of one label.

    Attributes:
        label: Its name.
        num: Shared utterances that were asked for it.
        difference: Recall of the first system - that of the second.
    """

    label: str
    num: int
    difference: Number

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON's types."""
        return {"label": self.label, "num": self.num, "difference": self.difference.to_dict()}


@dataclass(frozen=True)
class Comparison:
    """How two systems differ.

    Attributes:
        first: Name of the first system.
        second: Name of the second.
        num_shared: Utterances that both have.
        num_groups: Groups that these make.
        differences: First - second: accuracy, balanced_accuracy, macro_f1, mean_probability; each with the interval of
            a bootstrap that draws the same groups of both.
        first_only: Utterances that only the first has right.
        second_only: Utterances that only the second has right.
        mcnemar_p: McNemar's exact test of these two; takes utterances for independent, whatever their groups.
        mcnemar_p_holm: The same, corrected for the number of comparisons.
        permutation_p: Of accuracy and macro_f1; answers change places within whole groups.
        permutation_p_holm: The same, corrected for the number of comparisons.
        decided: Whether the corrected permutation test of accuracy is below alpha.
        more_needed: Additional groups (texts) that would decide a difference of the observed size; None where it is
            decided, or where nothing can be said: no difference, or one group.
        per_label: Difference in recall of every label that was asked for.
    """

    first: str
    second: str
    num_shared: int
    num_groups: int
    differences: dict[str, Number]
    first_only: int
    second_only: int
    mcnemar_p: float
    mcnemar_p_holm: float
    permutation_p: dict[str, float]
    permutation_p_holm: dict[str, float]
    decided: bool
    more_needed: int | None
    per_label: tuple[LabelDifference, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON's types."""
        return {
            **vars(self),
            "differences": {name: number.to_dict() for name, number in self.differences.items()},
            "per_label": [each.to_dict() for each in self.per_label],
        }


def compare(
    pairs: Mapping[tuple[str, str], Paired],
    *,
    names: Sequence[str],
    asked_only: bool = True,
    resampling: Resampling | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
) -> list[Comparison]:
    """Compare systems two by two.

    p values are corrected over all pairs (Holm), those of each test and number by themselves.

    Args:
        pairs: (first, second) -> what the two made of the texts that they share.
        names: K labels.
        asked_only: Take macro-F1 over the labels that were asked for only, as `score` does for single systems.
        resampling: Number of resamples and of random permutations, level and seed; None for 10,000, 0.95 and 0. Of
            permutations there are more where many pairs could otherwise never be decided.
        alpha: Level at which a difference is decided.
        power: Probability with which `more_needed` is to decide it.

    Returns:
        One comparison per pair, in their order.

    Raises:
        EvaluationError: Predictions cannot be evaluated (see `evaluate`); the message begins with the two systems.
    """
    resampling, found = resampling or Resampling(), []
    # The smallest p of R random permutations is 1 / (R + 1), and Holm multiplies it by the number of pairs.
    fewest = math.ceil(PERMUTATIONS_PER_PAIR * len(pairs) / alpha)
    permuting = replace(resampling, num_resamples=max(resampling.num_resamples, fewest))
    for (first, second), paired in pairs.items():
        try:
            sample = read_sample(paired, names, asked_only=asked_only)
        except EvaluationError as error:
            raise EvaluationError(f"{first} and {second}: {error}") from error
        more = _count_more(sample, alpha=alpha / len(pairs), power=power)
        found.append(_compare_pair((first, second), sample, names, resampling, permuting, more_needed=more))
    return _correct(found, alpha)


def _count_more(sample: Sample, *, alpha: float, power: float) -> int | None:
    ours, theirs = name_sums(sample.first), name_sums(sample.second)
    differences = ours.hits.sum(axis=1) - theirs.hits.sum(axis=1)
    return count_more_needed(differences, ours.num, alpha=alpha, power=power)


def _compare_pair(
    systems: tuple[str, str],
    sample: Sample,
    names: Sequence[str],
    resampling: Resampling,
    permuting: Resampling,
    *,
    more_needed: int | None,
) -> Comparison:
    """Compare two systems, as if they were the only ones."""
    sums, numbers = name_sums(sample.first), estimate_differences(sample, resampling)
    mcnemar = mcnemar_p(sample.first_only, sample.second_only)
    permutation = permutation_p((sample.first, sample.second), sample.measures, TESTED, permuting)
    return Comparison(
        first=systems[0],
        second=systems[1],
        num_shared=int(sums.num.sum()),
        num_groups=len(sums.num),
        differences=dict(zip(DIFFERENCES, numbers, strict=False)),
        first_only=sample.first_only,
        second_only=sample.second_only,
        mcnemar_p=mcnemar,
        mcnemar_p_holm=mcnemar,
        permutation_p=permutation,
        permutation_p_holm=permutation,
        decided=False,
        more_needed=more_needed,
        per_label=tuple(
            LabelDifference(name, int(support), number)
            for name, support, number in zip(names, sums.true.sum(axis=0), numbers[len(DIFFERENCES) :], strict=True)
            if support
        ),
    )


def _correct(found: Sequence[Comparison], alpha: float) -> list[Comparison]:
    """Correct the p values of all comparisons for their number, and say which differences are decided."""
    mcnemar = holm([each.mcnemar_p for each in found])
    permutation = {name: holm([each.permutation_p[name] for each in found]) for name in TESTED}
    corrected = []
    for place, each in enumerate(found):
        p_values = {name: values[place] for name, values in permutation.items()}
        decided = p_values["accuracy"] < alpha
        corrected.append(
            replace(
                each,
                mcnemar_p_holm=mcnemar[place],
                permutation_p_holm=p_values,
                decided=decided,
                more_needed=None if decided else each.more_needed,
            )
        )
    return corrected
