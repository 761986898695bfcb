"""Tables and databases of audformat."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifest_files import FIXTURES, read_csv, write

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest import read_manifest
from emoji_lightning.manifest.seconds import cast_seconds, to_seconds

AUDFORMAT = FIXTURES / "audformat"
TABLES = ["one_table", "one_table/db.segments.csv", "parquet", "parquet/db.segments.parquet"]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_segments_is_read_from_text_and_parquet(name: str) -> None:
    manifest = read_manifest(AUDFORMAT / name, columns={"label": "emotion"})
    assert manifest.column("label") == ["joy", "anger", "joy"]
    assert manifest.seconds("start") == [0.0, 1.5, 0.25]
    assert manifest.seconds("end") == [1.5, 2.75, None]
    assert manifest.ids == ["audio/a.wav#0-1.5", "audio/a.wav#1.5-2.75", "audio/b.wav#0.25-"]
    assert manifest.column("speaker") == ["s1", "s1", "s2"]
    assert manifest.audio_path(2).parent.name == "audio"


def test_one_of_several_tables_has_to_be_named() -> None:
    message = r"^two_tables: a database of 2 tables, db\.files\.csv, db\.segments\.csv; give one of them, .*db"
    with pytest.raises(ManifestError, match=message):
        read_manifest(AUDFORMAT / "two_tables")
    assert read_manifest(AUDFORMAT / "two_tables" / "db.files.csv").ids == ["audio/a.wav", "audio/b.wav"]


def test_pickles_are_refused_unread(tmp_path: Path) -> None:
    write(tmp_path, b"cos\nsystem\n(S'touch marker'\ntR.", "db.segments.pkl")
    message = r"^db\.segments\.pkl: a pickle runs code when it is read, so it is not; .*storage_format='csv'\)$"
    with pytest.raises(ManifestError, match=message):
        read_manifest(tmp_path / "db.segments.pkl")
    write(tmp_path, "name: emotions\n", "db.yaml")
    with pytest.raises(ManifestError, match=message):
        read_manifest(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["db.segments.pkl", "db.yaml"]


def test_the_pickled_copy_beside_a_table_is_passed_over(tmp_path: Path) -> None:
    shutil.copytree(AUDFORMAT / "one_table", tmp_path / "db")
    write(tmp_path / "db", b"", "db.segments.pkl")
    assert len(read_manifest(tmp_path / "db")) == 3


def test_a_database_without_tables_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "name: emotions\n", "db.yaml")
    with pytest.raises(ManifestError, match=r": db\.yaml but no table; expected db\.TABLE\.csv or \.parquet with"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0 days 00:00:01.500000", 1.5),
        ("0 days 00:00:01", 1.0),
        ("0 days 00:00:00.123456789", 0.123456789),
        ("1 days 02:03:04.1", 93784.1),
        ("1 day 00:00:00", 86400.0),
        ("00:01:01.1", 61.1),
        ("", None),
        ("NaT", None),
    ],
)
def test_timedeltas_are_seconds(tmp_path: Path, text: str, seconds: float | None) -> None:
    assert read_csv(tmp_path, f"file,start\na.wav,{text}\n").seconds("start") == [seconds]
    mixed = read_csv(tmp_path, f"file,start\na.wav,{text}\nb.wav,2.5\n")
    assert mixed.seconds("start") == [seconds, 2.5]


@given(st.lists(st.one_of(st.none(), st.integers(0, 10**15)), min_size=1, max_size=5))
def test_timedeltas_of_any_size_are_seconds_to_the_last_bit(nanoseconds: list[int | None]) -> None:
    texts = [None if each is None else write_timedelta(each) for each in nanoseconds]
    expected = [None if each is None else each / 1e9 for each in nanoseconds]
    assert cast_seconds(texts).to_pylist() == expected
    assert cast_seconds(pa.chunked_array([pa.array(nanoseconds, pa.duration("ns"))])).to_pylist() == expected
    mixed = to_seconds("start", [*texts, "1.5"], range(len(texts) + 1), [])
    assert mixed.to_pylist() == [*expected, 1.5]


def write_timedelta(nanoseconds: int) -> str:
    seconds, fraction = divmod(nanoseconds, 10**9)
    days, seconds = divmod(seconds, 86400)
    return f"{days} days {seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction:09}"


def test_whole_days_are_written_without_a_time(tmp_path: Path) -> None:
    # As pandas does where no time of the column has one: all segments begin at 0.
    manifest = read_csv(tmp_path, "file,start,end\na.wav,0 days,0 days 00:00:00.5\nb.wav,0 days,1 days\n")
    assert manifest.seconds("start") == [0.0, 0.0]
    assert manifest.seconds("end") == [0.5, 86_400.0]


@pytest.mark.parametrize("text", ["-1 days +23:59:59", "0 day 1", "days", "1.5 s", "0 days 00:00:01,5", "1:2"])
def test_what_is_no_duration_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ManifestError, match=r"^labels\.csv:2: end is '.*'; expected seconds as a number from 0 on, or"):
        read_csv(tmp_path, f'file,end\na.wav,"{text}"\n')


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([1.5, -1.0]), r"^m\.parquet:2: start is -1\.0; expected seconds"),
        (pa.array([1, -(10**9)], pa.duration("ns")), r"^m\.parquet:2: start is .*; expected seconds"),
        (pa.array(["0 days 00:00:01", "soon"]), r"^m\.parquet:2: start is 'soon'; expected seconds"),
        (
            pa.array([0, 1], pa.timestamp("s")),
            r"^m\.parquet: column 'start' holds timestamp\[ms\]; expected seconds",
        ),
        (
            pa.array([[1.0], [2.0]]),
            r"^m\.parquet: column 'start' holds list<.*; expected seconds as numbers or dur",
        ),
        (pa.array([True, False]), r"^m\.parquet: column 'start' holds bool; expected seconds"),
    ],
)
def test_wrong_times_in_parquet_are_named(tmp_path: Path, column: pa.Array, message: str) -> None:
    pq.write_table(pa.table({"file": ["a.wav", "b.wav"], "start": column}), tmp_path / "m.parquet")
    with pytest.raises(ManifestError, match=message):
        read_manifest(tmp_path / "m.parquet")
