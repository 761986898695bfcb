"""The reliability diagram: is the classifier right as often as it is sure?"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from emoji_lightning.report.quantities import write_count, write_number
from emoji_lightning.report.svg import Element, add, to_markup

# Places in the units of the view box; 1 unit is 1 px where there is room for it.
_LEFT, _TOP, _SIDE = 54.0, 12.0, 320.0
_BOTTOM = _TOP + _SIDE
_COUNTS_TOP, _COUNTS_HEIGHT = _BOTTOM + 46, 56.0
_WIDTH, _HEIGHT = _LEFT + _SIDE + 14, _COUNTS_TOP + _COUNTS_HEIGHT + 12


def draw_reliability(bins: Sequence[Mapping[str, Any]]) -> Markup:
    """Draw accuracy against confidence by bins of confidence, and below how many utterances each has.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", figure 1.

    Args:
        bins: `low`, `high`, `count`, `confidence`, `accuracy`; the last two are None in a bin without utterances.
    """
    said = "Reliability diagram: accuracy by confidence"
    root = add(None, "svg", class_="reliability", viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}", role="img", aria_label=said)
    _draw_frame(root)
    largest = max((each["count"] for each in bins), default=0)
    total = sum(each["count"] for each in bins)
    for each in bins:
        if each["count"]:
            _draw_bin(root, each, largest=largest, total=total)
    add(root, "line", class_="diagonal", x1=_LEFT, y1=_BOTTOM, x2=_LEFT + _SIDE, y2=_TOP)
    for each in bins:  # above bars and diagonal
        if each["count"]:
            _draw_dot(root, each, largest)
    return to_markup(root)


def _draw_frame(root: Element) -> None:
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = _across(tick), _up(tick)
        add(root, "line", class_="grid", x1=_LEFT, x2=_LEFT + _SIDE, y1=y, y2=y)
        add(root, "line", class_="grid", x1=x, x2=x, y1=_TOP, y2=_BOTTOM)
        add(root, "text", f"{tick:g}", class_="tick", x=_LEFT - 8, y=y + 4, text_anchor="end")
        add(root, "text", f"{tick:g}", class_="tick", x=x, y=_BOTTOM + 18, text_anchor="middle")
    middle = _TOP + _SIDE / 2
    turn = f"rotate(-90 14 {middle:g})"
    add(root, "text", "accuracy", class_="axis-word", x=14, y=middle, text_anchor="middle", transform=turn)
    add(root, "text", "confidence", class_="axis-word", x=_across(0.5), y=_BOTTOM + 36, text_anchor="middle")
    base = _COUNTS_TOP + _COUNTS_HEIGHT
    middle = _COUNTS_TOP + _COUNTS_HEIGHT / 2
    turn = f"rotate(-90 14 {middle:g})"
    add(root, "text", "count", class_="axis-word", x=14, y=middle, text_anchor="middle", transform=turn)
    add(root, "line", class_="zero", x1=_LEFT, x2=_LEFT + _SIDE, y1=base, y2=base)


def _draw_bin(root: Element, each: Mapping[str, Any], *, largest: int, total: int) -> None:
    left, width = _across(each["low"]) + 1, _across(each["high"]) - _across(each["low"]) - 2
    group = add(root, "g", class_="bin")
    share = write_number(each["count"] / total)
    add(group, "title", f"{_describe(each)}; {share} of all utterances")
    if each["accuracy"]:
        height = _BOTTOM - _up(each["accuracy"])
        add(group, "rect", class_="bar", x=left, y=_up(each["accuracy"]), width=width, height=height)
    tall = max(_COUNTS_HEIGHT * each["count"] / largest, 1.0)
    add(group, "rect", class_="count", x=left, y=_COUNTS_TOP + _COUNTS_HEIGHT - tall, width=width, height=tall)


def _draw_dot(root: Element, each: Mapping[str, Any], largest: int) -> None:
    """Draw confidence and accuracy, and how far they are apart; a bin of few utterances has a small dot."""
    if each["confidence"] is None or each["accuracy"] is None:
        return
    x, y = _across(each["confidence"]), _up(each["accuracy"])
    group = add(root, "g", class_="gap")
    add(group, "title", _describe(each))
    add(group, "line", class_="whisker", x1=x, x2=x, y1=_up(each["confidence"]), y2=y)
    add(group, "circle", class_="dot", cx=x, cy=y, r=2.5 + 3.5 * math.sqrt(each["count"] / largest))


def _describe(each: Mapping[str, Any]) -> str:
    place = f"confidence {write_number(each['low'], 2)} to {write_number(each['high'], 2)}"
    means = f"mean {write_number(each['confidence'])}, accuracy {write_number(each['accuracy'])}"
    return f"{place}: {write_count(each['count'])} utterances, {means}"


def _across(share: float) -> float:
    return _LEFT + _SIDE * share


def _up(share: float) -> float:
    return _BOTTOM - _SIDE * share
