"""Times as sources write them -> seconds."""

import math
import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from emoji_lightning.manifest.problems import Problem

# What pandas writes for a Timedelta, and audformat with it; nanoseconds at most, days alone where all are whole days.
_TIMEDELTA = (
    r"^(?:(?P<days>\d{1,5}) days?(?: |$))?(?:(?P<hours>\d{1,2}):(?P<minutes>\d{2}):(?P<seconds>\d{2})"
    r"(?:\.(?P<fraction>\d{1,9}))?)?$"
)
_NOTHING = ("", "NaT")
_EXPECTED = "expected seconds as a number from 0 on, or a duration such as 0 days 00:00:01.5"


def to_seconds(
    name: str, values: Sequence[object] | pa.ChunkedArray, lines: Sequence[int], problems: list[Problem]
) -> pa.Array | pa.ChunkedArray:
    """Turn times into seconds.

    Args:
        name: The column, for messages.
        values: N numbers (s), texts of numbers (s) or of pandas Timedeltas, durations, or nothing (None, empty, `NaT`).
        lines: Line of each value, N.
        problems: Receives what is neither, or not finite, or below 0.

    Returns:
        Seconds, float64, shape (N,), null where nothing is given or it is a problem.
    """
    seconds = cast_seconds(values)
    if seconds is not None:
        return seconds
    listed = _list(values) if isinstance(values, pa.ChunkedArray) else values
    numbers: list[float | None] = []
    for value, line in zip(listed, lines, strict=True):
        number = None if value is None or value in _NOTHING else _read_seconds(value)
        if number is not None and not (math.isfinite(number) and number >= 0):
            problems.append((line, f"{name} is {value!r}; {_EXPECTED}"))
            number = None
        numbers.append(number)
    return pa.array(numbers, pa.float64())


def cast_seconds(values: Sequence[object] | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray | None:
    """Return seconds as `to_seconds`, or None if a value has to be looked at: ten times faster so."""
    try:
        column = values if isinstance(values, pa.ChunkedArray) else pa.array(values)
        seconds = _cast(column)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, UnicodeEncodeError):
        return None
    usable = pc.and_(pc.is_finite(seconds), pc.greater_equal(seconds, 0.0))
    return seconds if pc.all(usable, min_count=0).as_py() else None


def _list(column: pa.ChunkedArray) -> list[object]:
    # Python has no durations of nanoseconds.
    values: list[object] = (_cast(column) if pa.types.is_duration(column.type) else column).to_pylist()
    return values


def _cast(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    if pa.types.is_duration(column.type):
        return _to_float(column.cast(pa.duration("ns")).cast(pa.int64()))
    if pa.types.is_boolean(column.type):
        raise pa.ArrowTypeError("true and false are no times")
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column.cast(pa.float64())
    column = pc.if_else(pc.is_in(column, value_set=pa.array(_NOTHING, column.type)), None, column)
    try:
        return column.cast(pa.float64())
    except pa.ArrowInvalid:
        return _cast_timedeltas(column)


def _cast_timedeltas(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    parts = pc.extract_regex(column, pattern=_TIMEDELTA)
    if parts.null_count > column.null_count:
        raise pa.ArrowInvalid("not all are Timedeltas")
    days, hours, minutes, seconds = (
        pc.utf8_lpad(pc.struct_field(parts, name), 2, "0").cast(pa.int64())
        for name in ("days", "hours", "minutes", "seconds")
    )
    whole = pc.add(pc.multiply(pc.add(pc.multiply(pc.add(pc.multiply(days, 24), hours), 60), minutes), 60), seconds)
    fraction = pc.utf8_rpad(pc.struct_field(parts, "fraction"), 9, "0").cast(pa.int64())
    return _to_float(pc.add(pc.multiply(whole, 1_000_000_000), fraction))


def _to_float(nanoseconds: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    # One division is rounded once: 1.1 s comes out as 1.1, which a sum of parts would not.
    return pc.divide(nanoseconds.cast(pa.float64()), 1e9)


def _read_seconds(value: object) -> float:
    if isinstance(value, str) and re.match(_TIMEDELTA, value, re.ASCII):
        seconds: float = _cast_timedeltas(pa.array([value]))[0].as_py()
        return seconds
    try:
        return float(value) if isinstance(value, str | float | int) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return math.nan
