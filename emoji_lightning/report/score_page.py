"""What the page of scored systems shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emoji_lightning.report.compared import describe_comparisons
from emoji_lightning.report.parts import (
    Fact,
    Measured,
    describe_confusion,
    describe_intervals,
    list_errors,
    list_facts,
)
from emoji_lightning.report.quantities import Quantity
from emoji_lightning.report.reliability import draw_reliability
from emoji_lightning.report.shown import Shown
from emoji_lightning.report.signs import Sign
from emoji_lightning.report.strips import SHARES, Reference, draw_strip
from emoji_lightning.report.words import SCORE_METRICS, SCORE_WORDS, Metric

MAX_ABSENT = 200
"""Absent utterances of each kind and system that the page lists."""


@dataclass(frozen=True)
class SystemRow:
    """A system or real speech, how many of its utterances were heard, and its numbers in the order of the metrics."""

    name: str
    numbers: Mapping[str, Any]
    quantities: list[Quantity]

    @property
    def has_absent(self) -> bool:
        """Whether audio is missing or failed."""
        return bool(self.numbers["missing"] or self.numbers["failed"])


@dataclass(frozen=True)
class Panel:
    """One metric of all systems on one axis."""

    metric: Metric
    references: list[Reference]
    rows: list[tuple[str, Measured]]


@dataclass(frozen=True)
class RecallRow:
    """The recall of a label by system; None where the system was not asked for it."""

    sign: Sign
    cells: list[tuple[int, Measured | None]]


def describe_score(score: Mapping[str, Any], *, facts: Mapping[str, Fact], errors: Sequence[Shown]) -> dict[str, Any]:
    """Collect what `score.html` names.

    Args:
        score: Content of `score.json`.
        facts: Of the run.
        errors: Utterances to show, most confident first.
    """
    systems, real = _list_systems(score)
    everybody = systems + real
    first, recalls = systems[0].numbers, _list_recalls(everybody)
    return {
        "score": score,
        "level": f"{100 * (score['settings'].get('level') or 0.95):g}",
        "made": describe_intervals(first),
        "metrics": SCORE_METRICS,
        "systems": systems,
        "real_speech": real,
        "own_test": score["checkpoint"].get("test"),
        "own_test_quantities": [
            Quantity.of(score["checkpoint"].get("test") or {}, metric.key) for metric in SCORE_METRICS
        ],
        "max_absent": MAX_ABSENT,
        "reliabilities": [
            (each.name, draw_reliability(each.numbers["reliability"]), each.numbers["ece"]) for each in everybody
        ],
        "chance": [_find_chance(systems, metric.key) for metric in SCORE_METRICS],
        "panels": [_describe_panel(metric, score, systems, real) for metric in SCORE_METRICS],
        "unknown": [(Sign.of(label), count) for label, count in (score.get("unknown") or {}).items()],
        "comparisons": describe_comparisons(score.get("comparisons") or [], score["settings"].get("group") or ""),
        "words": SCORE_WORDS,
        "names": [each.name for each in everybody],
        "recalls": recalls,
        "same_support": all(len({support for support, _ in row.cells}) == 1 for row in recalls),
        "confusions": [
            describe_confusion(each.numbers, SCORE_WORDS, name=each.name, all_rows=False) for each in everybody
        ],
        "errors": list_errors(errors),
        "facts": _group_facts(score, facts, first),
    }


def _list_systems(score: Mapping[str, Any]) -> tuple[list[SystemRow], list[SystemRow]]:
    reference = score.get("reference")
    systems = [_describe_system(name, numbers) for name, numbers in score["systems"].items()]
    return systems, [_describe_system(reference.get("name") or "real speech", reference)] if reference else []


def _describe_system(name: str, numbers: Mapping[str, Any]) -> SystemRow:
    return SystemRow(name, numbers, [Quantity.of(numbers, metric.key) for metric in SCORE_METRICS])


def _describe_panel(
    metric: Metric, score: Mapping[str, Any], systems: Sequence[SystemRow], real: Sequence[SystemRow]
) -> Panel:
    own_test = Quantity.of(score["checkpoint"].get("test") or {}, metric.key)
    lines = [
        Reference("chance", _find_chance(systems, metric.key), "chance"),
        Reference("the classifier’s own held-out test", own_test, "own_test"),
        *(Reference(each.name, Quantity.of(each.numbers, metric.key), "real_speech") for each in real),
    ]
    lines = [line for line in lines if line.quantity.value is not None]
    rows = []
    for each in [*systems, *real]:
        quantity = Quantity.of(each.numbers, metric.key)
        strip = draw_strip(SHARES, quantity, name=f"{metric.name} of {each.name}", references=lines)
        rows.append((each.name, Measured(quantity, strip)))
    return Panel(metric, lines, rows)


def _find_chance(systems: Sequence[SystemRow], key: str) -> Quantity:
    """Return what a uniform guess reaches; where that depends on the system, the most, which is the bar to clear."""
    found = [Quantity.of(each.numbers["baselines"]["chance"], key).value for each in systems]
    return Quantity(max((value for value in found if value is not None), default=None))


def _list_recalls(systems: Sequence[SystemRow]) -> list[RecallRow]:
    by_system = [{each["label"]: each for each in system.numbers["per_label"]} for system in systems]
    labels = dict.fromkeys(label for each in by_system for label, numbers in each.items() if numbers["support"])
    rows = []
    for label in labels:
        sign = Sign.of(label)
        cells = [
            _describe_recall(each.get(label), f"recall of {sign.spoken} by {system.name}")
            for each, system in zip(by_system, systems, strict=True)
        ]
        rows.append(RecallRow(sign, cells))
    return rows


def _describe_recall(numbers: Mapping[str, Any] | None, name: str) -> tuple[int, Measured | None]:
    if not numbers or not numbers["support"]:
        return 0, None
    quantity = Quantity.of(numbers, "recall")
    return numbers["support"], Measured(quantity, draw_strip(SHARES, quantity, name=name, bar=True))


def _group_facts(
    score: Mapping[str, Any], facts: Mapping[str, Fact], first: Mapping[str, Any]
) -> list[tuple[str, list[tuple[str, str]]]]:
    reference = score.get("reference") or {}
    files = {"manifest": score["manifest"].get("file"), "rows": score["manifest"].get("num_rows")}
    if reference.get("file"):
        files["manifest of real speech"] = reference["file"]
    asked = {"grouped by": score["settings"].get("group"), "unknown labels": score["settings"].get("unknown")}
    return [
        ("Run", list_facts(facts)),
        ("Classifier", list_facts(score["checkpoint"])),
        ("Utterances", list_facts(files, asked)),
        ("Intervals", list_facts(describe_intervals(first))),
        ("Versions", list_facts(score.get("versions"))),
    ]
