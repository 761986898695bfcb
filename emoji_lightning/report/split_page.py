"""What the page of an evaluated split shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emoji_lightning.report.parts import (
    Fact,
    Measured,
    describe_confusion,
    describe_intervals,
    list_confused,
    list_errors,
    list_facts,
    list_labels,
)
from emoji_lightning.report.quantities import Quantity
from emoji_lightning.report.reliability import draw_reliability
from emoji_lightning.report.shown import Shown
from emoji_lightning.report.signs import Sign
from emoji_lightning.report.strips import SHARES, Reference, draw_strip
from emoji_lightning.report.words import TEST_METRICS, TEST_WORDS, Metric


@dataclass(frozen=True)
class SummaryRow:
    """A metric, and what guessing reaches; None where a guess has no such number."""

    metric: Metric
    measured: Measured
    chance: Quantity
    majority: Quantity
    best: Quantity


def describe_split(
    split: str, numbers: Mapping[str, Any], *, facts: Mapping[str, Fact], errors: Sequence[Shown]
) -> dict[str, Any]:
    """Collect what `test.html` names.

    Args:
        split: Name of the split.
        numbers: Its entry in `metrics.json`.
        facts: Of the run.
        errors: Utterances to show, most confident first.
    """
    majority = numbers["baselines"]["majority"]
    return {
        "split": split,
        "numbers": numbers,
        "level": _level(numbers),
        "made": describe_intervals(numbers),
        "summary": [_describe_metric(metric, numbers) for metric in TEST_METRICS if metric.key in numbers],
        "majority_label": Sign.of(majority["label"]),
        "words": TEST_WORDS,
        "confusion": describe_confusion(numbers, TEST_WORDS, name=split, all_rows=True),
        "confused": list_confused(numbers),
        "labels": list_labels(numbers),
        "reliability": draw_reliability(numbers["reliability"]),
        "calibration": numbers.get("calibration"),
        "abstain": numbers.get("abstain"),
        "errors": list_errors(errors),
        "facts": [("Run", list_facts(facts)), ("Intervals", list_facts(describe_intervals(numbers)))],
    }


def _describe_metric(metric: Metric, numbers: Mapping[str, Any]) -> SummaryRow:
    quantity = Quantity.of(numbers, metric.key)
    chance, majority = (Quantity.of(numbers["baselines"][name], metric.key) for name in ("chance", "majority"))
    lines = [Reference("chance", chance, "chance"), Reference("majority", majority, "majority")]
    strip = draw_strip(SHARES, quantity, name=metric.name, references=lines) if metric.is_share else None
    best = Quantity.of(numbers, f"best_{metric.key}")
    return SummaryRow(metric, Measured(quantity, strip), chance, majority, best)


def _level(numbers: Mapping[str, Any]) -> str:
    return f"{100 * ((numbers.get('intervals') or {}).get('level') or 0.95):g}"
