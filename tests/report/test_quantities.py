"""Numbers as the pages write them."""

import math

import pytest

from emoji_lightning.report.quantities import Quantity, write_number, write_p
from emoji_lightning.report.signs import Sign
from emoji_lightning.report.strips import Axis, axis_of_differences


@pytest.mark.parametrize(
    ("value", "sign", "text"),
    [
        (0.71251, False, "0.713"),
        (-0.0721, True, "−0.072"),
        (0.0721, True, "+0.072"),
        (-0.0004, True, "0.000"),
        (0.0004, True, "0.000"),
        (12.0, False, "12.000"),
        (None, False, "not available"),
    ],
)
def test_numbers_have_three_digits_and_zero_no_sign(value: float | None, sign: bool, text: str) -> None:
    assert write_number(value, sign=sign) == text


def test_a_p_value_is_never_zero() -> None:
    assert [write_p(p) for p in (0.0, 0.00009, 0.0001, 0.05, 1.0)] == ["< 0.0001"] * 2 + ["0.0001", "0.0500", "1.0000"]


def test_what_is_not_finite_or_not_there_is_unknown() -> None:
    numbers = {"a": math.nan, "b": 1, "intervals": {"a": None, "b": [None, math.inf]}}
    assert [Quantity.of(numbers, name) for name in "abc"] == [Quantity(None), Quantity(1.0), Quantity(None)]
    assert Quantity.of({"b": 0.5, "intervals": None}, "b") == Quantity(0.5)


def test_an_axis_of_differences_is_centred_and_has_room() -> None:
    assert axis_of_differences([]) == Axis(-0.05, 0.05, (-0.05, -0.025, 0.0, 0.025, 0.05))
    axis = axis_of_differences([Quantity(0.1, -0.31, 0.2), Quantity(None)])
    assert (axis.low, axis.high, axis.place(0.0)) == (-0.4, 0.4, 50.0)
    assert (axis.place(-2.0), axis.place(2.0)) == (0.0, 100.0)


def test_emoji_that_lost_their_selector_are_drawn_in_colour() -> None:
    assert [Sign.of(label).text for label in ("❤", "☺", "👩‍❤‍👨", "😭", "<none>")] == ["❤️", "☺️", "👩‍❤️‍👨", "😭", "<none>"]
    assert [Sign.of(label).is_emoji for label in ("❤", "x😭", "")] == [True, False, False]


def test_long_names_are_cut_in_drawings_only() -> None:
    sign = Sign.of("a class name that is long")
    assert (sign.text, sign.drawn) == ("a class name that is long", "a class name that…")
