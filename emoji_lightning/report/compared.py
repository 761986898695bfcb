"""Two systems on the same texts: their differences, and whether the texts decide between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emoji_lightning.report.parts import Measured
from emoji_lightning.report.quantities import Quantity, write_count
from emoji_lightning.report.signs import Sign
from emoji_lightning.report.strips import Axis, axis_of_differences, draw_strip
from emoji_lightning.report.words import SCORE_METRICS, name_units


@dataclass(frozen=True)
class Difference:
    """A metric of the first system minus that of the second, with its permutation test where there is one."""

    name: str
    measured: Measured
    p: float | None
    p_holm: float | None


@dataclass(frozen=True)
class Compared:
    """A pair of systems.

    Attributes:
        numbers: Its entry in `score.json`.
        overview: Difference of the emoji accuracy on an axis that all pairs share.
        axis: That axis.
        differences: Of all metrics.
        differences_axis: On which they are drawn.
        labels: Label, shared utterances, difference of the recall.
        labels_axis: On which these are drawn.
        verdict: In words.
    """

    numbers: Mapping[str, Any]
    overview: Measured
    axis: Axis
    differences: list[Difference]
    differences_axis: Axis
    labels: list[tuple[Sign, int, Measured]]
    labels_axis: Axis
    verdict: str

    @property
    def name(self) -> str:
        """Both systems."""
        return f"{self.numbers['first']} \u2212 {self.numbers['second']}"


def describe_comparisons(comparisons: Sequence[Mapping[str, Any]], group: str) -> list[Compared]:
    """Draw the pairs of `score.json`, their accuracies on one axis.

    Args:
        comparisons: Of `score.json`.
        group: What the bootstrap draws.
    """
    axis = axis_of_differences(Quantity.of_difference(each["differences"]["accuracy"]) for each in comparisons)
    return [_describe_comparison(each, axis, name_units(group)) for each in comparisons]


def _describe_comparison(each: Mapping[str, Any], axis: Axis, units: str) -> Compared:
    differences = {key: Quantity.of_difference(numbers) for key, numbers in each["differences"].items()}
    own_axis = axis_of_differences(differences.values())
    recalls = [
        (Sign.of(row["label"]), row["num"], Quantity.of_difference(row["difference"])) for row in each["per_label"]
    ]
    labels_axis = axis_of_differences(recall for _, _, recall in recalls)
    return Compared(
        numbers=each,
        overview=_measure(axis, differences["accuracy"], "difference in emoji accuracy"),
        axis=axis,
        differences=[_describe_difference(each, key, quantity, own_axis) for key, quantity in differences.items()],
        differences_axis=own_axis,
        labels=[
            (sign, num, _measure(labels_axis, recall, f"difference in recall of {sign.spoken}"))
            for sign, num, recall in recalls
        ],
        labels_axis=labels_axis,
        verdict=_decide(each, differences["accuracy"], units),
    )


def _describe_difference(each: Mapping[str, Any], key: str, quantity: Quantity, axis: Axis) -> Difference:
    name = next((metric.name for metric in SCORE_METRICS if metric.key == key), key)
    return Difference(
        name=name,
        measured=_measure(axis, quantity, f"difference in {name}"),
        p=each["permutation_p"].get(key),
        p_holm=each["permutation_p_holm"].get(key),
    )


def _measure(axis: Axis, quantity: Quantity, name: str) -> Measured:
    return Measured(quantity, draw_strip(axis, quantity, name=name))


def _decide(each: Mapping[str, Any], accuracy: Quantity, units: str) -> str:
    if each["decided"]:
        better = each["first"] if (accuracy.value or 0.0) > 0 else each["second"]
        return f"{better} is better"
    if each["more_needed"] is None:
        return "not decided; no difference was observed" if accuracy.value == 0 else "not decided"
    return f"not decided; about {write_count(each['more_needed'])} more {units} are needed"
