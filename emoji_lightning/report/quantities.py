"""Numbers of `metrics.json` and `score.json`, and how the page writes them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MINUS = "\u2212"
"""The minus sign that is as wide as a digit; a hyphen is not."""


@dataclass(frozen=True)
class Quantity:
    """A number with its interval, each of which may be unknown.

    Attributes:
        value: None where it is not defined (the precision of a label that was never predicted).
        low: Lower end of the interval; None where there is none (one utterance only).
        high: Upper end.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, numbers: Mapping[str, Any], name: str) -> "Quantity":
        """Take `numbers[name]` and its interval `numbers["intervals"][name]`, as far as they are there."""
        low, high = (numbers.get("intervals") or {}).get(name) or (None, None)
        return cls(_known(numbers.get(name)), _known(low), _known(high))

    @classmethod
    def of_difference(cls, difference: Mapping[str, Any]) -> "Quantity":
        """Take `{"value", "low", "high"}`."""
        return cls(*(_known(difference.get(key)) for key in ("value", "low", "high")))

    @property
    def has_interval(self) -> bool:
        """Whether both ends are known."""
        return self.low is not None and self.high is not None

    def __str__(self) -> str:
        if self.value is None:
            return "not available"
        interval = f" [{write_number(self.low)}, {write_number(self.high)}]" if self.has_interval else ""
        return write_number(self.value) + interval


def _known(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def write_number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """Write a number with a fixed number of digits after the point.

    Args:
        value: The number; None is "not available".
        digits: After the point.
        sign: Whether positive numbers get a plus, as differences do.

    >>> write_number(0.71251), write_number(-0.0004), write_number(0.02, sign=True), write_number(None)
    ('0.713', '0.000', '+0.020', 'not available')
    """
    if value is None:
        return "not available"
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    if not text.strip("+-0."):  # a rounded zero has no sign
        return text.lstrip("+-")
    return text.replace("-", MINUS)


def write_p(value: float | None) -> str:
    """Write a p value with four digits, which 10,000 permutations can tell apart.

    >>> write_p(0.03), write_p(0.00001)
    ('0.0300', '< 0.0001')
    """
    if value is None:
        return "not available"
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def write_count(value: int) -> str:
    """Write a count with commas.

    >>> write_count(21940)
    '21,940'
    """
    return f"{value:,}"
