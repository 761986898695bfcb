"""Names that a source gives to the columns of this package."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from emoji_lightning.errors import ManifestError

DISPLACED = "original_"
"""Put before the name of a column whose place another one takes."""


class ColumnNames:
    """A source's column names -> ours.

    Args:
        columns: Our name -> the source's: `{"label": "emotion"}`. A column of the source that has our name already is
            kept as `original_label`.

    Raises:
        ManifestError: A name is empty, or one column of the source is to be two of ours.

    >>> ColumnNames({"label": "emotion"}).rename(["file", "label", "emotion"])
    ['file', 'original_label', 'label']
    """

    def __init__(self, columns: Mapping[str, str] | None = None) -> None:
        self._columns = dict(columns or {})
        self._ours = {theirs: ours for ours, theirs in self._columns.items()}
        if len(self._ours) < len(self._columns) or not all((*self._columns, *self._ours)):
            pairs = ", ".join(f"{ours}={theirs}" for ours, theirs in self._columns.items())
            raise ManifestError(f"--column {pairs}: expected OURS=THEIRS, each name once, e.g. label=emotion")

    def source_of(self, ours: str) -> str:
        """Return what the source calls a column of ours."""
        return self._columns.get(ours, ours)

    def with_known(self, known: Mapping[str, str], names: Sequence[str]) -> "ColumnNames":
        """Add names that a format is known to use; what was asked for goes before them.

        Args:
            known: Our name -> the format's.
            names: Columns of the source; only known names among them are added, and none whose place is taken.
        """
        added = {
            ours: theirs
            for ours, theirs in known.items()
            if theirs in names and theirs not in self._ours and ours not in self._columns and ours not in names
        }
        return ColumnNames({**self._columns, **added})

    def rename(self, names: Sequence[str]) -> list[str]:
        """Return our names of a source's columns, in the same order; what is not mapped keeps its name."""
        return [self._ours.get(name) or (f"{DISPLACED}{name}" if name in self._columns else name) for name in names]

    def check_found(self, names: Sequence[str], path: Path) -> None:
        """Refuse a source that lacks a column that was mapped.

        Args:
            names: Columns of the source under our names.
            path: The source.

        Raises:
            ManifestError: Names the column, those found and the one that was probably meant.
        """
        for ours, theirs in self._columns.items():
            if ours not in names:
                found = [self._columns.get(name, name).removeprefix(DISPLACED) for name in names]
                near = difflib.get_close_matches(theirs, found, n=1)
                hint = f"; did you mean --column {ours}={near[0]}?" if near else ""
                raise ManifestError(
                    f"{path.name}: no column {theirs!r} to take as {ours!r}; found columns {found}{hint}"
                )
