import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest import read_manifest

ROWS = [
    {"wav": "a.wav", "emotion": "joy", "label": "x", "begin": 0.5},
    {"wav": "b.wav", "emotion": "sad", "label": "y", "begin": 2},
]
COLUMNS = {"audio": "wav", "label": "emotion", "start": "begin"}


def as_csv(path: Path) -> None:
    lines = [",".join(ROWS[0]), *(",".join(map(str, row.values())) for row in ROWS)]
    path.write_text("\n".join(lines))


def as_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))


def as_parquet(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), path)


@pytest.mark.parametrize(("name", "write"), [("m.csv", as_csv), ("m.jsonl", as_jsonl), ("m.parquet", as_parquet)])
def test_a_mapped_column_takes_its_place_and_the_displaced_one_stays(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path / name)
    manifest = read_manifest(tmp_path / name, columns=COLUMNS)
    assert manifest.column("audio") == ["a.wav", "b.wav"]
    assert manifest.column("label") == ["joy", "sad"]
    assert manifest.column("original_label") == ["x", "y"]
    assert manifest.seconds("start") == [0.5, 2.0]
    assert not manifest.has("emotion")


@pytest.mark.parametrize(("name", "write"), [("m.csv", as_csv), ("m.jsonl", as_jsonl), ("m.parquet", as_parquet)])
def test_a_mapped_column_that_is_not_there_is_named_with_the_nearest(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path / name)
    message = (
        rf"{name}: no column 'emotio' to take as 'label'; found columns \['wav', 'emotion', 'label', 'begin'\]; "
        r"did you mean --column label=emotion\?"
    )
    with pytest.raises(ManifestError, match=message):
        read_manifest(tmp_path / name, columns={"audio": "wav", "label": "emotio"})


@pytest.mark.parametrize("columns", [{"label": "x", "text": "x"}, {"label": ""}, {"": "x"}])
def test_a_mapping_is_one_to_one(tmp_path: Path, columns: dict[str, str]) -> None:
    as_csv(tmp_path / "m.csv")
    with pytest.raises(ManifestError, match=r"--column .*: expected OURS=THEIRS, each name once, e.g. label=emotion"):
        read_manifest(tmp_path / "m.csv", columns=columns)


def test_what_a_mapped_column_holds_is_checked_as_ever(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("wav,emotion,begin\na.wav,,-1\n")
    with pytest.raises(ManifestError, match=r"m.csv:2: label is empty\nm.csv:2: start is '-1'; expected seconds"):
        read_manifest(tmp_path / "m.csv", columns=COLUMNS)
