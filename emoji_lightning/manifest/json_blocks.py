"""Plain JSON objects, one a line -> an Arrow table, several times faster than with the json module."""

import json
from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.json as pj

# From here on a float64 does not hold every whole number.
_INEXACT = 2.0**53


class BlockParser:
    """Parses blocks of lines with pyarrow.json where it says the same as Python's json module.

    pyarrow takes text that looks like a date for one; such columns are kept in mind and are text from then on.
    """

    def __init__(self) -> None:
        self._dates: set[str] = set()

    def parse(self, text: str, count: int) -> pa.Table | None:
        r"""Parse one block.

        Args:
            text: Lines that end with `\n`, but for the last of a file.
            count: How many lines.

        Returns:
            `count` rows, columns in the order in which they first appear, each of the type that pyarrow found. None
            where a line is not one object, or it is not certain that it is read rightly: the json module then says
            what is there.
        """
        # `}` before and `{` behind each line break: no object spans lines, since `} {` stands in none. With as many
        # objects as lines there is one in each.
        body = text.removesuffix("\n")
        if body[:1] != "{" or body[-1:] != "}" or body.count("}\n{") != count - 1:
            return None
        data = body.encode()
        for _ in range(2):
            table = _read(data, self._dates)
            if table is None or table.num_rows != count:
                return None
            dates = {field.name for field in table.schema if pa.types.is_temporal(field.type)}
            if not dates:
                ordered = _order(table, data) if self._dates else table
                return ordered if ordered is not None and _is_certain(ordered) else None
            self._dates |= dates
        return None


def _read(data: bytes, texts: Collection[str]) -> pa.Table | None:
    # One block and one thread: the order of columns is then that of their first appearance.
    reading = pj.ReadOptions(use_threads=False, block_size=len(data) + 1)
    schema = pa.schema([(name, pa.string()) for name in sorted(texts)])
    parsing = pj.ParseOptions(explicit_schema=schema) if texts else pj.ParseOptions()
    try:
        table = pj.read_json(pa.BufferReader(data), reading, parsing)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    return table


def _is_certain(table: pa.Table) -> bool:
    """Tell whether whole numbers among fractions, which pyarrow reads as float64, are what Python makes of them."""
    for column in table.columns:
        if pa.types.is_float64(column.type):
            numbers = column.drop_null().to_numpy()
            if (np.abs(numbers) >= _INEXACT).any() or np.signbit(numbers[numbers == 0]).any():
                return False
    return bool(table.num_columns)


def _order(table: pa.Table, data: bytes) -> pa.Table | None:
    """Undo that columns whose type was given come first, and are there in every block."""
    try:
        names = list(json.loads(data.partition(b"\n")[0]))
    except (ValueError, RecursionError):
        return None
    if set(names) != set(table.column_names):
        plain = _read(data, ())
        if plain is None:
            return None
        names = plain.column_names
    return table.select(names)
