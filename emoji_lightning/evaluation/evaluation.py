"""All reported numbers of one set of predictions, with intervals: what `test` and `score` print and write."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from emoji_lightning.evaluation.baselines import Baselines, compute_baselines
from emoji_lightning.evaluation.checks import check_predictions, number_groups
from emoji_lightning.evaluation.estimates import LabelNumbers, estimate_numbers
from emoji_lightning.evaluation.intervals import METHOD
from emoji_lightning.evaluation.reliability import Bin, measure_reliability
from emoji_lightning.evaluation.resampling import FEW_GROUPS, Ints, Number, Resampling, sort_groups
from emoji_lightning.evaluation.tallies import Measures, tally_groups


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The numbers of a set of utterances, each counted once.

    Attributes:
        names: K labels in the order of their ids.
        num_utterances: How many were evaluated.
        num_groups: How many groups they make; intervals are over groups.
        group_name: What a group is: `utterance`, or a column such as `speaker` or `text_id`.
        numbers: By name, as fractions of 1 except `nll`:
            `accuracy`: predicted label (the most probable; of equal ones the first) is the true one;
            `balanced_accuracy` (UAR): mean recall of the labels that occur as true labels; where some of them have
            fewer than about 5 utterances, its interval is too narrow (89 % instead of 95 % in simulations);
            `macro_f1`: mean F1 of all K labels, 0 for a label that neither side has (with `asked_only`: of the labels
            that occur as true labels);
            `top3_accuracy`: true label is among the three most probable;
            `nll`: mean negative natural logarithm of the true label's probability, which counts as 1e-12 at least;
            `ece`: expected calibration error, 15 bins of equal width;
            `mean_probability`: mean probability of the true label.
        per_label: Precision, recall and F1 of each label.
        confusion: (K, K) int64 counts; rows are true labels, columns predicted ones.
        baselines: The numbers of `chance` and `majority`, which did not listen.
        reliability: 15 bins of confidence with the accuracy in each.
        resampling: How the intervals were made.
    """

    names: tuple[str, ...]
    num_utterances: int
    num_groups: int
    group_name: str
    numbers: dict[str, Number]
    per_label: tuple[LabelNumbers, ...]
    confusion: Ints
    baselines: Baselines
    reliability: tuple[Bin, ...]
    resampling: Resampling

    @property
    def has_few_groups(self) -> bool:
        """Whether the groups are too few for intervals to hold what they say."""
        return self.num_groups < FEW_GROUPS

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON's types; an interval is `[low, high]`, or null where there is none."""
        return {
            "num_utterances": self.num_utterances,
            "labels": list(self.names),
            **{name: number.value for name, number in self.numbers.items()},
            "intervals": {
                "level": self.resampling.level,
                "method": METHOD,
                "num_resamples": self.resampling.num_resamples,
                "seed": self.resampling.seed,
                "over": self.group_name,
                "num_groups": self.num_groups,
                **{name: number.interval for name, number in self.numbers.items()},
            },
            "per_label": [_label_dict(each) for each in self.per_label],
            "confusion": self.confusion.tolist(),
            "reliability": [asdict(each) for each in self.reliability],
            "baselines": self.baselines,
        }


def evaluate(
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    names: Sequence[str],
    groups: Sequence[str] | None = None,
    group_name: str = "utterance",
    asked_only: bool = False,
    resampling: Resampling | None = None,
) -> Evaluation:
    """Compute all reported numbers with their intervals.

    Intervals: groups are drawn again with replacement, 10,000 times; BCa with t-expanded levels (see
    `emoji_lightning.evaluation.intervals`). Where every group is right, or every one wrong, resamples cannot vary, and
    accuracy, top-3 accuracy and the numbers of a label get the exact binomial interval over groups. One group, or a
    number that no group changes, has no interval. The order of utterances and the names of groups change nothing.

    Args:
        labels: (N,) int64 true labels, 0..K-1.
        probabilities: (N, K) float; rows add up to 1.
        names: K labels, all different.
        groups: N groups; utterances of one speaker, or of one text, are not independent. None: each its own.
        group_name: What a group is.
        asked_only: Take macro-F1 over the labels that occur in `labels` only; a system is not judged by emoji that
            nobody asked it for.
        resampling: Number of resamples, level and seed; None for 10,000, 0.95 and 0.

    Raises:
        EvaluationError: There is no utterance; shapes, labels, names or groups do not fit; or probabilities are NaN,
            infinite, negative, or do not add up to 1. Rows are named.

    >>> found = evaluate([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]], names=["joy", "anger"])
    >>> found.numbers["accuracy"].value, found.per_label[1].recall.value
    (0.75, 0.5)
    """
    resampling = resampling or Resampling()
    true, found = check_predictions(labels, probabilities, names)
    tallies = sort_groups(tally_groups(true, found, number_groups(groups, len(true), group_name)))
    measures = Measures.of(tallies, asked_only=asked_only)
    numbers, per_label = estimate_numbers(tallies, measures, list(names), resampling)
    predicted = found.argmax(axis=1)
    supports = np.array([each.support for each in per_label])
    return Evaluation(
        names=tuple(names),
        num_utterances=len(true),
        num_groups=len(tallies),
        group_name=group_name,
        numbers=numbers,
        per_label=per_label,
        confusion=count_confusion(true, predicted, len(names)),
        baselines=compute_baselines(supports, names, measures.counted),
        reliability=measure_reliability(found.max(axis=1), predicted == true),
        resampling=resampling,
    )


def count_confusion(labels: Ints, predicted: Ints, num_labels: int) -> Ints:
    """Return how often each true label (rows) is predicted as each label (columns), (K, K) int64."""
    cells = np.bincount(labels * num_labels + predicted, minlength=num_labels**2)
    return cells.reshape(num_labels, num_labels).astype(np.int64)


def _label_dict(found: LabelNumbers) -> dict[str, Any]:
    numbers = {"precision": found.precision, "recall": found.recall, "f1": found.f1}
    return {
        "label": found.label,
        "support": found.support,
        "num_predicted": found.num_predicted,
        **{name: number.value for name, number in numbers.items()},
        "intervals": {name: number.interval for name, number in numbers.items()},
    }
