"""Parts that both pages have: per-label numbers, confusion, errors, facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from emoji_lightning.report.confusion import HeatMap, draw_confusion
from emoji_lightning.report.quantities import Quantity
from emoji_lightning.report.shown import Embedded, Shown, embed_audio
from emoji_lightning.report.signs import Sign
from emoji_lightning.report.strips import SHARES, draw_strip
from emoji_lightning.report.words import LABEL_METRICS, Words

Fact = str | int | float


@dataclass(frozen=True)
class Measured:
    """A number beside its drawing; `strip` is None where it is not drawn."""

    quantity: Quantity
    strip: Markup | None


@dataclass(frozen=True)
class LabelRow:
    """A label, how often it occurs and is predicted, and its recall, precision and F1."""

    sign: Sign
    support: int
    num_predicted: int
    measures: list[Measured]


@dataclass(frozen=True)
class Confusion:
    """A heat map, and the same counts for a table.

    Attributes:
        name: Whose it is; unique on the page.
        heat_map: The drawing.
        signs: K labels.
        rows: Label and K counts, as drawn.
        words: Of rows and columns.
    """

    name: str
    heat_map: HeatMap
    signs: list[Sign]
    rows: list[tuple[Sign, Sequence[int]]]
    words: Words


@dataclass(frozen=True)
class ErrorRow:
    """An utterance that was heard as another label, with its audio if asked for."""

    shown: Shown
    asked: Sign
    heard: Sign
    audio: Embedded | None


def list_labels(numbers: Mapping[str, Any]) -> list[LabelRow]:
    """Draw recall, precision and F1 of every label as bars with whiskers."""
    return [_describe_label(each) for each in numbers["per_label"]]


def _describe_label(each: Mapping[str, Any]) -> LabelRow:
    sign = Sign.of(each["label"])
    measures = []
    for key in LABEL_METRICS:
        quantity = Quantity.of(each, key)
        name = f"{key.replace('f1', 'F1')} of {sign.spoken}"
        measures.append(Measured(quantity, draw_strip(SHARES, quantity, name=name, bar=True)))
    return LabelRow(sign, each["support"], each["num_predicted"], measures)


def describe_confusion(numbers: Mapping[str, Any], words: Words, *, name: str, all_rows: bool) -> Confusion:
    """Draw the confusion matrix of an evaluation.

    Args:
        numbers: With `labels` and `confusion`.
        words: Of rows and columns.
        name: Whose it is.
        all_rows: Whether rows without any utterance are shown, too.
    """
    labels, counts = numbers["labels"], numbers["confusion"]
    drawing = draw_confusion(labels, counts, words=words, all_rows=all_rows)
    signs = [Sign.of(label) for label in labels]
    rows = [(sign, row) for sign, row in zip(signs, counts, strict=True) if all_rows or any(row)]
    return Confusion(name, drawing, signs, rows, words)


def list_confused(numbers: Mapping[str, Any], *, num: int = 8) -> list[tuple[Sign, Sign, int, float]]:
    """Return the most frequent confusions: label of the row, of the column, count, share of the row."""
    signs = [Sign.of(label) for label in numbers["labels"]]
    found = [
        (signs[row], signs[column], count, count / sum(counts))
        for row, counts in enumerate(numbers["confusion"])
        for column, count in enumerate(counts)
        if count and row != column
    ]
    return sorted(found, key=lambda each: each[2:], reverse=True)[:num]


def list_errors(errors: Sequence[Shown]) -> list[ErrorRow]:
    """Embed the audio of the errors, in the order they are given."""
    return [
        ErrorRow(each, Sign.of(each.asked), Sign.of(each.heard), embed_audio(each.audio) if each.audio else None)
        for each in errors
    ]


def list_facts(*mappings: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Write names and values as text; nested mappings are left out, None is "not recorded"."""
    pairs = [pair for mapping in mappings if mapping for pair in mapping.items()]
    return [(name, _write_fact(value)) for name, value in pairs if not isinstance(value, Mapping)]


def _write_fact(value: object) -> str:
    if value is None:
        return "not recorded"
    if isinstance(value, list | tuple):
        return "\u2002".join(Sign.of(str(each)).text for each in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def describe_intervals(numbers: Mapping[str, Any]) -> dict[str, Fact]:
    """Say how the intervals of an evaluation were made."""
    made = numbers.get("intervals") or {}
    names = {
        "level": "interval level",
        "method": "interval method",
        "num_resamples": "resamples",
        "over": "resampled unit",
        "num_groups": "units",
        "seed": "seed of the resampling",
    }
    return {name: made[key] for key, name in names.items() if made.get(key) is not None}
