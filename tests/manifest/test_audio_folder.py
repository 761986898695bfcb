"""Folders of audio: one per label, or as Hugging Face's AudioFolder has them."""

import os
import shutil
from pathlib import Path

import pytest
from manifest_files import FIXTURES, as_rows, read_csv, write

from emoji_lightning.errors import LabelError, ManifestError
from emoji_lightning.labels import LabelSet
from emoji_lightning.manifest import read_manifest


def test_a_folder_of_label_folders_works_in_its_place(tmp_path: Path) -> None:
    for name in ("joy/b.wav", "joy/deep/a.flac", "sad/c.WAV", "sad/notes.txt", ".trash/d.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    manifest = read_manifest(tmp_path, check_audio=True)
    assert as_rows(manifest) == [
        {"audio": "joy/b.wav", "label": "joy"},
        {"audio": "joy/deep/a.flac", "label": "joy"},
        {"audio": "sad/c.WAV", "label": "sad"},
    ]
    (tmp_path / "loose.wav").touch()
    with pytest.raises(ManifestError, match=r"'loose.wav' lies in no sub-folder; expected LABEL/loose.wav"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [("metadata.csv", "file_name,label\na.wav,joy\n"), ("metadata.jsonl", '{"file_name": "a.wav", "label": "joy"}\n')],
)
def test_an_audio_folder_works_in_its_place(tmp_path: Path, name: str, content: str) -> None:
    write(tmp_path, content, name)
    manifest = read_manifest(tmp_path)
    assert as_rows(manifest) == [{"audio": "a.wav", "label": "joy"}]
    assert manifest.source.name == name


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


AUDIOFOLDER_ROWS = [
    {"audio": "train/joy/a.wav", "label": "joy", "transcription": "so good", "split": "train"},
    {"audio": "train/anger/b.wav", "label": "anger", "transcription": 'no, "not" that', "split": "train"},
    {"audio": "validation/joy/c.wav", "label": "joy", "transcription": "ah", "split": "dev"},
    {"audio": "test/anger/d.wav", "label": "anger", "transcription": "go", "split": "test"},
]


@pytest.mark.parametrize("layout", ["root", "splits", "parquet", "root/metadata.csv"])
def test_a_split_s_folder_is_the_split(tmp_path: Path, layout: str) -> None:
    shutil.copytree(FIXTURES / "audiofolder", tmp_path / "x")
    for row in AUDIOFOLDER_ROWS:
        touch(tmp_path / "x" / layout.partition("/")[0], str(row["audio"]))
    manifest = read_manifest(tmp_path / "x" / layout, check_audio=True)
    assert sorted(as_rows(manifest), key=str) == sorted(AUDIOFOLDER_ROWS, key=str)


def test_rows_of_several_files_keep_their_own_places(tmp_path: Path) -> None:
    manifest = read_manifest(FIXTURES / "audiofolder" / "splits")
    places = [
        "test/metadata.jsonl:1",
        "train/metadata.jsonl:1",
        "train/metadata.jsonl:2",
        "validation/metadata.jsonl:1",
    ]
    assert [manifest.where(row) for row in range(4)] == places
    assert manifest.select([2, 0]).where(0) == places[2]
    manifest.write(tmp_path / "copy.csv")
    assert read_manifest(tmp_path / "copy.csv").audio_paths() == manifest.audio_paths()
    with pytest.raises(LabelError, match=r"^train/metadata\.jsonl:2: label .* \(also lines test/metadata\.jsonl:1\)"):
        manifest.select([2, 0, 1]).encode_labels(LabelSet(("joy", "sad")))


def test_problems_of_several_files_name_their_own(tmp_path: Path) -> None:
    write(tmp_path, "file_name,label\na.wav,joy\nb.wav\n", "train/metadata.csv")
    write(tmp_path, "file_name,label\nc.wav,\n../train/e.wav,joy\n../../d.wav,joy\n", "test/metadata.csv")
    with pytest.raises(ManifestError, match=r"fields where the header has 2") as caught:
        read_manifest(tmp_path)
    assert [line.partition(";")[0] for line in str(caught.value).splitlines()] == [
        "test/metadata.csv:2: label is empty",
        "test/metadata.csv:4: audio 'test/../../d.wav' lies outside the manifest's folder",
        "train/metadata.csv:3: 1 fields where the header has 2",
    ]


def test_ids_of_several_files_are_compared(tmp_path: Path) -> None:
    write(tmp_path, "file_name,id\na.wav,u1\n", "train/metadata.csv")
    write(tmp_path, "file_name,id\na.wav,u1\n", "val/metadata.csv")
    with pytest.raises(ManifestError, match=r"^val/metadata\.csv:2: id 'u1' stands in train/metadata\.csv:2 too$"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("train", "train"),
        ("training", "train"),
        ("train-clean", "train"),
        ("my_test", "test"),
        ("dev", "dev"),
        ("val", "dev"),
        ("valid", "dev"),
        ("validation", "dev"),
        ("test", "test"),
        ("testing", "test"),
        ("eval", "test"),
        ("evaluation_2", "test"),
        ("data/test", "test"),
    ],
)
def test_split_folders_are_called_as_hugging_face_calls_them(tmp_path: Path, folder: str, split: str) -> None:
    touch(tmp_path, f"{folder}/joy/a.wav", f"{folder}/sad/deep/b.wav")
    assert as_rows(read_manifest(tmp_path)) == [
        {"audio": f"{folder}/joy/a.wav", "label": "joy", "split": split},
        {"audio": f"{folder}/sad/deep/b.wav", "label": "sad", "split": split},
    ]


def test_other_words_are_labels(tmp_path: Path) -> None:
    touch(tmp_path, "trained/a.wav", "contest/b.wav", "devil/c.wav")
    assert read_manifest(tmp_path).column("label") == ["contest", "devil", "trained"]


def test_a_split_column_goes_before_folders(tmp_path: Path) -> None:
    write(tmp_path, "file_name,split\ntrain/a.wav,test\n", "metadata.csv")
    assert read_manifest(tmp_path).column("split") == ["test"]
    write(tmp_path, "file_name\ntrain/a.wav\nb.wav\n", "metadata.csv")
    assert not read_manifest(tmp_path).has("split")
    assert not read_csv(tmp_path, "file_name\ntrain/a.wav\n").has("split")


def test_all_misplaced_audio_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "train/a.wav", "train/joy/b.wav", "joy/c.wav", "d.wav")
    with pytest.raises(ManifestError, match=r"lies in") as caught:
        read_manifest(tmp_path)
    assert [line.partition(": ")[2] for line in str(caught.value).splitlines()] == [
        "'d.wav' lies in no split's folder, as other audio does; expected e.g. train/LABEL/d.wav",
        "'joy/c.wav' lies in no split's folder, as other audio does; expected e.g. train/LABEL/c.wav",
        "'train/a.wav' lies in no sub-folder; expected train/LABEL/a.wav",
    ]


def test_a_file_name_that_is_no_text_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "joy/a.wav")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/joy/\xc4rger.wav")).touch()
    with pytest.raises(ManifestError, match=r": file name b'joy/\\xc4rger\.wav' is not UTF-8; rename it"):
        read_manifest(tmp_path)


def test_two_metadata_files_are_one_too_many(tmp_path: Path) -> None:
    write(tmp_path, "file_name\na.wav\n", "train/metadata.csv")
    write(tmp_path, '{"file_name": "a.wav"}\n', "train/metadata.jsonl")
    with pytest.raises(ManifestError, match=r"^train: metadata\.csv and metadata\.jsonl lie beside each other; exp"):
        read_manifest(tmp_path)
    (tmp_path / "train" / "metadata.jsonl").unlink()
    write(tmp_path, "file_name\na.wav\n", "metadata.csv")
    with pytest.raises(ManifestError, match=r": metadata\.csv and train/metadata\.csv; expected one file, or one in"):
        read_manifest(tmp_path)
    write(tmp_path, "file_name\ta\n", "metadata.tsv")
    with pytest.raises(ManifestError, match=r": metadata\.csv and metadata\.tsv lie beside each other; expected"):
        read_manifest(tmp_path)
