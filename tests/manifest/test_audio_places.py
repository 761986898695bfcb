import json
import os
from pathlib import Path

import pytest
from manifest_files import read_csv, write

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest import read_manifest


@pytest.mark.parametrize("audio", ["../corpus/a.wav", "/etc/a.wav", "sub/../../corpus/a.wav", ".."])
def test_audio_outside_the_folder_asks_for_the_audio_root(tmp_path: Path, audio: str) -> None:
    message = r"labels.csv:2: audio '.*' lies outside the manifest's folder; name the folder .* with --audio-root"
    with pytest.raises(ManifestError, match=message):
        read_csv(tmp_path, f"audio\n{audio}\n")


def test_the_audio_root_allows_plain_climbing_and_absolute_paths(tmp_path: Path) -> None:
    corpus, tables = tmp_path / "corpus", tmp_path / "tables"
    for folder in (corpus, tables):
        folder.mkdir()
    content = f"audio\na.wav\n../corpus/b.wav\n{corpus}/deep/c.wav\n./d.wav\nx/../e.wav\n"
    manifest = read_csv(tables, content, audio_root=corpus)
    assert manifest.column("audio") == ["a.wav", "b.wav", "deep/c.wav", "d.wav", "e.wav"]
    assert manifest.audio_paths()[2] == corpus / "deep" / "c.wav"
    with pytest.raises(ManifestError, match=r"labels.csv:2: audio '../other/a.wav' lies outside --audio-root .* above"):
        read_csv(tables, "audio\n../other/a.wav\n", audio_root=corpus)


def test_absolute_paths_below_the_manifest_folder_are_fine(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    content = f"audio\n{tmp_path}/a.wav\nb.wav\n"
    assert read_csv(tmp_path, content).column("audio") == ["a.wav", "b.wav"]
    both = read_csv(tmp_path, content, audio_root=tmp_path / "corpus")
    assert both.audio_paths() == [tmp_path / "a.wav", tmp_path / "corpus" / "b.wav"]
    assert both.root == tmp_path


def test_an_audio_root_given_through_a_link_is_understood(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    (tmp_path / "tables").mkdir()
    manifest = read_csv(tmp_path / "tables", f"audio\n{tmp_path}/link/a.wav\n", audio_root=tmp_path / "link")
    assert manifest.audio_path(0) == tmp_path / "disk" / "a.wav"


@pytest.mark.parametrize("target", ["data/split.csv", "data/deep/split.csv", "runs/x/split.csv", "split.jsonl"])
def test_a_written_manifest_finds_its_audio_from_any_folder(tmp_path: Path, target: str) -> None:
    (tmp_path / "data").mkdir()
    source = read_csv(tmp_path / "data", "audio,label\nwav/a.wav,joy\nb.wav,sad\n")
    source.write(tmp_path / target)
    again = read_manifest(tmp_path / target)
    assert again.audio_paths() == source.audio_paths()
    assert again.ids == source.ids
    # Another program knows nothing of the record: the path is right from the file's folder.
    raw = (tmp_path / target).read_text()
    first = json.loads(raw.splitlines()[0])["audio"] if target.endswith("jsonl") else raw.splitlines()[1].split(",")[0]
    assert not first.startswith("/")
    assert os.path.normpath((tmp_path / target).parent / first) == str(tmp_path / "data" / "wav" / "a.wav")
    again.write(tmp_path / "third" / "copy.csv")
    assert read_manifest(tmp_path / "third" / "copy.csv").audio_paths() == source.audio_paths()


def test_climbing_paths_without_their_record_ask_for_the_audio_root(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    read_csv(tmp_path / "data", "audio\na.wav\n").write(tmp_path / "runs" / "split.csv")
    (tmp_path / "runs" / "split.csv.json").unlink()
    with pytest.raises(ManifestError, match=r"split.csv:2: audio '../data/a.wav' lies outside"):
        read_manifest(tmp_path / "runs" / "split.csv")
    manifest = read_manifest(tmp_path / "runs" / "split.csv", audio_root=tmp_path / "data")
    assert manifest.audio_path(0) == tmp_path / "data" / "a.wav"


def test_the_record_allows_its_root_only(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    read_csv(tmp_path / "data", "audio\na.wav\n").write(tmp_path / "runs" / "split.csv")
    with (tmp_path / "runs" / "split.csv").open("a") as file:
        file.write("own/b.wav\n../secret/c.wav\n../data/../secret/d.wav\n")
    with pytest.raises(ManifestError, match=r"split.csv:4: .*\n.*split.csv:5: ") as caught:
        read_manifest(tmp_path / "runs" / "split.csv")
    assert "split.csv:3" not in str(caught.value)


def test_a_row_added_by_hand_to_a_written_manifest_starts_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    read_csv(tmp_path / "data", "audio\na.wav\n").write(tmp_path / "runs" / "split.csv")
    with (tmp_path / "runs" / "split.csv").open("a") as file:
        file.write("own/b.wav\n")
    paths = read_manifest(tmp_path / "runs" / "split.csv").audio_paths()
    assert paths == [tmp_path / "data" / "a.wav", tmp_path / "runs" / "own" / "b.wav"]


def test_audio_that_moved_after_the_split_is_found_with_the_audio_root(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    read_csv(tmp_path / "data", "audio\nwav/a.wav\n").write(tmp_path / "runs" / "split.csv")
    (tmp_path / "data").rename(tmp_path / "scratch")
    manifest = read_manifest(tmp_path / "runs" / "split.csv", audio_root=tmp_path / "scratch")
    assert manifest.audio_path(0) == tmp_path / "scratch" / "wav" / "a.wav"


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ('{"audio_root": "/etc"}', "labels.csv.json: audio_root is '/etc'; expected a path relative to labels.csv"),
        ("{", r"labels.csv.json: not JSON \(.*\); delete it or write labels.csv again"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, record: str, message: str) -> None:
    write(tmp_path, record, "labels.csv.json")
    with pytest.raises(ManifestError, match=message):
        read_csv(tmp_path, "audio\na.wav\n")


def test_a_record_holds_no_absolute_path(tmp_path: Path) -> None:
    read_csv(tmp_path, f"audio\n{tmp_path}/a.wav\n").write(tmp_path / "runs" / "x.csv", record={"seed": 1})
    assert json.loads((tmp_path / "runs" / "x.csv.json").read_text()) == {"audio_root": "..", "seed": 1}
    assert (tmp_path / "runs" / "x.csv").read_text() == "audio\n../a.wav\n"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read_csv(tmp_path, "audio\na.wav\nb.wav\n")
    target = write(tmp_path, "audio\nold.wav\n", "out.csv")

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("emoji_lightning.manifest.writers._iterate_chunks", fail)
    with pytest.raises(OSError, match="disk full"):
        manifest.write(target)
    assert target.read_text() == "audio\nold.wav\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.csv", "out.csv", "out.csv.json"]


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    manifest = read_csv(tmp_path, "audio\na.wav\n")
    with pytest.raises(ManifestError, match=r"out.xlsx: cannot write format '.xlsx'; expected one of .csv"):
        manifest.write(tmp_path / "new" / "out.xlsx")
    assert not (tmp_path / "new").exists()
