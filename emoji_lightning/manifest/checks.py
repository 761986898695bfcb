"""What a manifest may hold: checks over whole columns."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from emoji_lightning.manifest.rows import AUDIO_ALIASES, TEXT_COLUMNS, TIME_COLUMNS
from emoji_lightning.manifest.split_names import SPLIT_NAMES, SPLITS

RowProblem = tuple[int, str]
"""Row, from 0 on, and what is wrong there."""


def canonicalize(table: pa.Table) -> pa.Table:
    """Give known columns their canonical name, type and form.

    An alias of `audio` is renamed where no `audio` exists. Known text columns have no nulls (empty text instead) and,
    but for `text`, no blanks around.
    """
    alias = next((name for name in AUDIO_ALIASES if name in table.column_names), None)
    if alias and "audio" not in table.column_names:
        table = table.rename_columns(["audio" if name == alias else name for name in table.column_names])
    for index, name in enumerate(table.column_names):
        if name in TEXT_COLUMNS:
            column = pc.fill_null(table[name].cast(pa.string()), "")
            # ASCII blanks only: U+00A0 is a byte of some emoji in a broken encoding.
            trimmed = column if name == "text" else pc.ascii_trim_whitespace(column)
            trimmed = _canonicalize_splits(trimmed) if name == "split" else trimmed
            table = table.set_column(index, name, trimmed)
        elif name in TIME_COLUMNS:
            table = table.set_column(index, name, table[name].cast(pa.float64()))
    return table


def _canonicalize_splits(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give the names that others use for splits ours: `validation` is `dev`."""
    distinct = pc.unique(column)
    ours = [SPLIT_NAMES.get(value.lower(), value) for value in distinct.to_pylist()]
    return pa.chunked_array(
        [pa.array(ours, pa.string()).take(pc.index_in(column, value_set=distinct).combine_chunks())]
    )


def find_problems(table: pa.Table, name_line: Callable[[int], str], ids: pa.ChunkedArray) -> list[RowProblem]:
    """Check every column that all verbs rely on.

    Args:
        table: Canonical table of N rows.
        name_line: Row -> how messages about another row call its place, e.g. `line 2`.
        ids: Id of each row, shape (N,).

    Returns:
        Empty `audio`, `label`, `id` or `split`, unknown splits, segments that end before they start, repeated ids.
    """
    problems: list[RowProblem] = []
    for name in ("audio", "label", "id", "split"):
        if name in table.column_names:
            problems += [(row, f"{name} is empty") for row in rows_where(pc.equal(table[name], ""))]
    return problems + _split_problems(table) + _time_problems(table) + _id_problems(table, name_line, ids)


def rows_where(mask: pa.ChunkedArray) -> list[int]:
    """Return the rows at which a mask is true; null counts as false."""
    found: list[int] = np.flatnonzero(np.asarray(pc.fill_null(mask, False))).tolist()
    return found


def _split_problems(table: pa.Table) -> list[RowProblem]:
    if "split" not in table.column_names:
        return []
    known = pc.is_in(table["split"], value_set=pa.array(["", *SPLITS]))
    problems = []
    for row in rows_where(pc.invert(known)):
        value = table["split"][row].as_py()
        problems.append((row, f"split {value!r} is not one of {list(SPLITS)}"))
    return problems


def _time_problems(table: pa.Table) -> list[RowProblem]:
    if not {"start", "end"} <= set(table.column_names):
        return []
    return [
        (row, f"start {table['start'][row]} s is not before end {table['end'][row]} s")
        for row in rows_where(pc.greater_equal(table["start"], table["end"]))
    ]


def _id_problems(table: pa.Table, name_line: Callable[[int], str], ids: pa.ChunkedArray) -> list[RowProblem]:
    if pc.count_distinct(ids).as_py() == len(ids):
        return []
    cure = "" if "id" in table.column_names else "; drop one row or add a column 'id'"
    first: dict[str, int] = {}
    problems = []
    for row, name in enumerate(ids.to_pylist()):
        if name and first.setdefault(name, row) != row:
            problems.append((row, f"id {name!r} stands in {name_line(first[name])} too{cure}"))
    return problems
