import json
from pathlib import Path

import pytest

from emoji_lightning import __version__
from emoji_lightning.errors import LabelError, ManifestError, SplitError
from emoji_lightning.labels import LabelSet
from emoji_lightning.manifest import Manifest, read_manifest
from emoji_lightning.splits.leakage import audit, normalize_text
from emoji_lightning.splits.split_manifest import render_record, split_manifest

EMODB = Path(__file__).resolve().parents[3] / "shared" / "data" / "emodb"


def make_manifest(folder: Path, *, num_rows: int = 60, header: str = "audio,label,text,speaker") -> Manifest:
    rows = [f"{row}.wav,{('joy', 'sad')[row % 2]},text {row // 2},s{row % 6}" for row in range(num_rows)]
    path = folder / "labels.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return read_manifest(path)


def test_the_manifest_is_written_with_splits_and_a_record(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path)
    output = tmp_path / "runs" / "split.csv"
    record = split_manifest(manifest, None, output=output, dev=10, test=0.1, seed=3)
    written = read_manifest(output)
    assert written.table.column_names == ["audio", "label", "text", "speaker", "split"]
    assert written.ids == manifest.ids
    assert [written.column("split").count(name) for name in ("train", "dev", "test")] == [44, 10, 6]
    assert json.loads((tmp_path / "runs" / "split.csv.json").read_text()) == {"audio_root": "..", **record}
    assert record["counts"]["dev"] == {"joy": 5, "sad": 5}
    assert record["deviation"] == {"dev": 0, "test": 0}
    assert (record["version"], record["seed"]) == (__version__, 3)
    assert record["options"] == {"dev": 10, "test": 0.1, "group": None}
    assert str(tmp_path) not in json.dumps(record)


def test_a_split_of_the_split_is_the_same_split(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "split.csv", tmp_path / "b" / "deep" / "split.jsonl"
    split_manifest(make_manifest(tmp_path), None, output=first, dev=10, test=10)
    split_manifest(read_manifest(first), None, output=second, dev=10, test=10)
    assert read_manifest(first).column("split") == read_manifest(second).column("split")


def test_the_record_says_what_was_checked_and_what_not(tmp_path: Path) -> None:
    record = split_manifest(make_manifest(tmp_path), None, output=tmp_path / "s.csv", dev=10, test=10)
    assert record["checked"]["id"] == record["checked"]["audio"] == 0
    assert record["checked"]["text"] > 0
    assert record["checked"]["speaker"] == 6
    assert record["not_checked"] == {
        "source_id": "no column 'source_id'",
        "digest": "the bytes of the audio files were not compared",
    }
    assert record["warnings"][0].startswith(f"the same text is spoken in several splits: {record['checked']['text']}")


def test_texts_as_groups_are_compared_in_normal_form(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "audio,label,text\n"
        + "".join(f"{r}.wav,{'ab'[r % 2]},{('Hi %d!', ' hi  %d')[r % 2] % (r // 2)}\n" for r in range(80))
    )
    manifest = read_manifest(tmp_path / "labels.csv")
    record = split_manifest(manifest, None, output=tmp_path / "s.csv", dev=8, test=8, group="text")
    assert record["checked"]["text"] == 0
    assert record["num_groups"] == 40
    assert record["warnings"] == []
    assert record["deviation"] == {"dev": 0, "test": 0}


def test_any_column_can_be_the_group(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path, header="audio,label,text,take")
    split_manifest(manifest, None, output=tmp_path / "s.parquet", dev=10, test=10, group="take")
    written = read_manifest(tmp_path / "s.parquet")
    pairs = set(zip(written.column("take"), written.column("split"), strict=True))
    assert len(pairs) == 6


def test_what_cannot_be_split_leaves_nothing_behind(tmp_path: Path) -> None:
    manifest, output = make_manifest(tmp_path), tmp_path / "out" / "s.csv"
    with pytest.raises(ManifestError, match=r"no column 'speakr'; found columns \['audio', .*; rename 'speaker'"):
        split_manifest(manifest, None, output=output, dev=1, test=1, group="speakr")
    with pytest.raises(SplitError, match="label 'joy' has 30 utterances, but dev takes 20, test 20"):
        split_manifest(manifest, None, output=output, dev=40, test=40)
    with pytest.raises(LabelError, match=r"labels.csv:2: label 'joy' is not one of .* \(also lines 4, 6"):
        split_manifest(manifest, LabelSet(("sad", "anger")), output=output, dev=4, test=4)
    with pytest.raises(ManifestError, match=r"s.txt: cannot write format '.txt'"):
        split_manifest(manifest, None, output=tmp_path / "out" / "s.txt", dev=40, test=40)
    assert not (tmp_path / "out").exists()


def test_rows_without_a_group_are_named(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("audio,label,speaker\na.wav,x,s1\nb.wav,y,\nc.wav,y, \n")
    message = r"labels.csv:3: speaker is empty; every utterance needs a group.*\nlabels.csv:4: speaker is empty"
    with pytest.raises(SplitError, match=message):
        split_manifest(
            read_manifest(tmp_path / "labels.csv"), None, output=tmp_path / "s.csv", dev=1, test=1, group="speaker"
        )


def test_a_leak_of_ids_or_groups_is_an_error() -> None:
    with pytest.raises(SplitError, match="id 'u1' is in train and test; expected one split"):
        audit(["test", "train"], {"id": ["u1", "u1"]})
    with pytest.raises(SplitError, match="speaker 's1' is in train and dev; expected one split"):
        audit(["train", "dev"], {"id": ["u1", "u2"], "speaker": ["s1", "s1"]}, group="speaker")


def test_shared_texts_and_identical_audio_are_warned_of() -> None:
    found = audit(
        ["train", "dev", "dev"],
        {"id": ["a", "b", "c"], "text": ["So happy!", "so HAPPY", ""], "digest": ["d1", "d2", "d1"]},
    )
    assert found["checked"] == {"id": 0, "text": 1, "digest": 1}
    assert found["warnings"] == [
        "the same text is spoken in several splits: 1 shared, e.g. 'so happy'",
        "byte-identical audio is in several splits: 1 shared, e.g. 'd1'",
    ]


def test_empty_values_are_no_leak() -> None:
    assert audit(["train", "dev"], {"text": ["", " "]})["checked"] == {"text": 0}


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("It's  me", "its me", False),
        ("it's me!", "It’S ME", True),
        ("😂", "😭", False),
        ("!!", "!!", True),
        ("！", "!", True),
    ],
)
def test_texts_are_the_same_but_for_case_punctuation_and_blanks(first: str, second: str, same: bool) -> None:
    assert (normalize_text(first) == normalize_text(second)) is same


def test_the_record_is_printed_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = split_manifest(make_manifest(tmp_path), None, output=tmp_path / "s.csv", dev=10, test=6)
    render_record(record)
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["joy", "22", "5", "3"] in shown
    assert ["all", "44", "10", "6"] in shown
    assert "dev: at most 0 from the balanced number per label" in [" ".join(words) for words in shown]


@pytest.mark.skipif(not EMODB.is_dir(), reason="the EmoDB recordings are not beside this repository")
def test_emodb_is_split_by_speaker_and_read_back_without_options(tmp_path: Path) -> None:
    manifest = read_manifest(EMODB / "manifest.csv")
    record = split_manifest(manifest, None, output=tmp_path / "split.csv", dev=70, test=70, group="speaker")
    written = read_manifest(tmp_path / "split.csv", check_audio=True)
    assert written.ids == manifest.ids
    speakers = set(zip(written.column("speaker"), written.column("split"), strict=True))
    assert len(speakers) == 10
    assert record["targets"]["dev"] == dict.fromkeys(manifest.infer_labels(), 10)
    assert record["deviation"] == {"dev": 6, "test": 5}
    assert min(min(each.values()) for each in record["counts"].values()) >= 1
