"""Databases of audformat: which table is meant."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from emoji_lightning.errors import ManifestError

HEADER = "db.yaml"


def find_table(folder: Path) -> Path:
    """Return the one table of a database whose rows are files or segments.

    Args:
        folder: Holds `db.yaml`; its tables are `db.TABLE.csv` and `db.TABLE.parquet`, those whose first column is
            not `file` are audformat's misc tables and passed over.

    Raises:
        ManifestError: There is no such table, there are several, or there are pickles only.
    """
    tables = {path.stem: path for suffix in ("parquet", "csv") for path in sorted(folder.glob(f"db.*.{suffix}"))}
    found = [path for path in tables.values() if _first_column(path) == "file"]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(sorted(path.name for path in found))
        raise ManifestError(f"{folder.name}: a database of {len(found)} tables, {names}; give one of them, {found[0]}")
    pickles = sorted(folder.glob("db.*.pkl"))
    if pickles:
        refuse_pickle(pickles[0])
    raise ManifestError(f"{folder.name}: {HEADER} but no table; expected db.TABLE.csv or .parquet with a column 'file'")


def refuse_pickle(path: Path) -> None:
    """Refuse a pickled table.

    Raises:
        ManifestError: Always; says why, and how to save it as text.
    """
    raise ManifestError(
        f"{path.name}: a pickle runs code when it is read, so it is not; expected .csv or .parquet. "
        "Where you trust it: audformat.Database.load(FOLDER).save(FOLDER, storage_format='csv')"
    )


def _first_column(path: Path) -> str:
    if path.suffix == ".csv":
        with path.open("rb") as file:
            return file.readline().decode(errors="replace").lstrip("\ufeff").strip().partition(",")[0].strip('"')
    try:
        names: list[str] = pq.read_schema(path).names
    except (pa.ArrowException, OSError):
        return "file"  # whoever reads it says what is broken
    return names[0] if names else ""
