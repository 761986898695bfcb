"""No file that somebody else wrote is replaced."""

import json
from pathlib import Path

import pytest
from split_tables import make_manifest

from emoji_lightning.cli import main
from emoji_lightning.errors import SplitError
from emoji_lightning.manifest import read_manifest
from emoji_lightning.splits.options import SplitOptions
from emoji_lightning.splits.split_manifest import split_manifest

TENTHS = SplitOptions(dev=10, test=10)


def make_audio_folder(folder: Path) -> None:
    for split, rows in (("train", range(40)), ("test", range(40, 60))):
        (folder / split).mkdir(parents=True)
        lines = [f"{row}.wav,{('joy', 'sad')[row % 2]}" for row in rows]
        (folder / split / "metadata.csv").write_text("\n".join(["file_name,label", *lines]) + "\n")


def test_a_manifest_is_not_replaced_by_the_record_of_its_split(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.json"
    path.write_text("".join(json.dumps({"audio": f"{row}.wav", "label": "ab"[row % 2]}) + "\n" for row in range(60)))
    with pytest.raises(SplitError, match=r"x.csv.json: --output is the manifest itself, which would be replaced"):
        split_manifest(read_manifest(path), None, TENTHS, output=tmp_path / "x.csv")


def test_a_manifest_is_no_earlier_split_of_itself(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path)
    with pytest.raises(SplitError, match=r"labels.csv: --output is the manifest itself, which would be replaced"):
        split_manifest(manifest, None, TENTHS, output=manifest.source, update=True)


def test_a_label_map_is_not_replaced_by_the_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_manifest(tmp_path)
    (tmp_path / "y.csv.json").write_text('{"joy": "a", "sad": "b"}')
    words = ["--labels", str(tmp_path / "y.csv.json"), "--output", str(tmp_path / "y.csv")]
    with pytest.raises(SystemExit, match="2"):
        main(["split", str(tmp_path / "labels.csv"), *words])
    assert "y.csv.json: --output is a file that is read, which would be replaced" in capsys.readouterr().err
    assert (tmp_path / "y.csv.json").read_text() == '{"joy": "a", "sad": "b"}'


def test_the_metadata_of_a_folder_is_not_replaced(tmp_path: Path) -> None:
    make_audio_folder(tmp_path / "af")
    manifest = read_manifest(tmp_path / "af")
    with pytest.raises(
        SplitError, match=r"train/metadata.csv: --output is a file that is read, which would be replaced"
    ):
        split_manifest(manifest, None, TENTHS, output=tmp_path / "af" / "train" / "metadata.csv")
    with pytest.raises(SplitError, match=r"af/metadata.csv: would become the metadata of the folder that is split"):
        split_manifest(manifest, None, TENTHS, output=tmp_path / "af" / "metadata.csv")


def test_a_file_that_no_split_wrote_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("mine")
    with pytest.raises(SplitError, match=r"notes.csv: is there, and `split` did not write it: it has no record"):
        split_manifest(make_manifest(tmp_path), None, TENTHS, output=tmp_path / "notes.csv")
    assert (tmp_path / "notes.csv").read_text() == "mine"


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(SplitError, match=r"out.csv: --output is a folder; expected a file"):
        split_manifest(make_manifest(tmp_path), None, TENTHS, output=tmp_path / "out.csv")
    assert not (tmp_path / "out.csv.json").exists()
