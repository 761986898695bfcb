import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoji_lightning.errors import LabelError, ManifestError
from emoji_lightning.labels import CARD_LABELS, LabelSet
from emoji_lightning.manifest import Manifest, read_manifest

EMODB = Path(__file__).resolve().parents[3] / "shared" / "data" / "emodb"
ROWS = [
    {"audio": "a.wav", "label": "😂", "text": 'He said "hi",\nthen left', "start": 0.5, "end": 1.25, "take": "1"},
    {"audio": "sub/b.wav", "label": "anger", "text": "", "start": 0.0, "end": 2.0, "take": "x"},
    {"audio": "sub/b.wav", "label": "<none>", "text": "Ärger", "start": 2.0, "end": 3.0, "take": ""},
]


def write(folder: Path, content: str | bytes, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read_csv(folder: Path, content: str | bytes, **options: object) -> Manifest:
    return read_manifest(write(folder, content), **options)  # type: ignore[arg-type]


def as_rows(manifest: Manifest) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = manifest.table.to_pylist()
    return rows


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_gives_back_what_was_written(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, "".join(json.dumps(row) + "\n" for row in ROWS), "source.jsonl")
    read_manifest(tmp_path / "source.jsonl").write(tmp_path / f"copy.{suffix}")
    copy = read_manifest(tmp_path / f"copy.{suffix}")
    assert as_rows(copy) == ROWS
    assert copy.ids == ["a.wav#0.5-1.25", "sub/b.wav#0-2", "sub/b.wav#2-3"]
    assert copy.audio_paths()[1] == tmp_path / "sub" / "b.wav"
    assert copy.seconds("start") == [0.5, 0.0, 2.0]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_byte_order_marks_line_ends_and_blank_rows_do_not_matter(tmp_path: Path, mark: bytes, end: bytes) -> None:
    lines = [b"audio , label", b"", "a.wav, 😂".encode(), b",", b"b.wav,joy"]
    manifest = read_csv(tmp_path, mark + end.join(lines) + end)
    assert as_rows(manifest) == [{"audio": "a.wav", "label": "😂"}, {"audio": "b.wav", "label": "joy"}]
    assert [manifest.where(row) for row in range(2)] == ["labels.csv:3", "labels.csv:5"]


def test_lines_are_right_after_fields_with_line_breaks(tmp_path: Path) -> None:
    manifest = read_csv(tmp_path, 'audio,text\na.wav,"one\n\ntwo"\n\nb.wav,three\n"c.wav","x\ny"\n')
    assert list(manifest.lines) == [2, 6, 7]
    assert manifest.column("text")[0] == "one\n\ntwo"


@pytest.mark.parametrize("content", ["audio;label\na.wav;x,y\n", "audio\tlabel\na.wav\tx,y\n"])
def test_spreadsheet_delimiters_are_taken_from_the_header(tmp_path: Path, content: str) -> None:
    assert as_rows(read_csv(tmp_path, content)) == [{"audio": "a.wav", "label": "x,y"}]


@pytest.mark.parametrize("alias", ["file_name", "audio_filepath", "path"])
def test_other_names_of_audio_are_accepted(tmp_path: Path, alias: str) -> None:
    manifest = read_csv(tmp_path, f"{alias},label\na.wav,joy\n")
    assert manifest.table.column_names == ["audio", "label"]


def test_audio_goes_before_its_other_names(tmp_path: Path) -> None:
    manifest = read_csv(tmp_path, "path,audio\nsomething else,a.wav\n")
    assert as_rows(manifest) == [{"path": "something else", "audio": "a.wav"}]


def test_imported_vectors_need_an_id_only(tmp_path: Path) -> None:
    manifest = read_csv(tmp_path, "id,label\nu1,joy\nu2,sad\n")
    assert manifest.ids == ["u1", "u2"]
    with pytest.raises(ManifestError, match=r"labels.csv: no column 'audio'; found columns \['id', 'label'\]; add"):
        manifest.audio_paths()


def test_jsonl_numbers_become_text_in_known_columns_and_stay_in_others(tmp_path: Path) -> None:
    content = (
        '{"audio": "a.wav", "speaker": 3, "take": 1, "tags": ["x"]}\n\n{"audio": "b.wav", "start": 1, "take": 2}\n'
    )
    manifest = read_manifest(write(tmp_path, content, "m.jsonl"))
    assert as_rows(manifest) == [
        {"audio": "a.wav", "speaker": "3", "take": 1, "tags": ["x"], "start": None},
        {"audio": "b.wav", "speaker": "", "take": 2, "tags": None, "start": 1.0},
    ]
    assert list(manifest.lines) == [1, 3]


def test_json_lines_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path, b'\xef\xbb\xbf{"audio": "a.wav"}\n', "m.jsonl"))
    assert manifest.column("audio") == ["a.wav"]


def test_nested_values_are_objects_in_jsonl_and_json_in_csv(tmp_path: Path) -> None:
    content = '{"audio": "a.wav", "tags": ["😂", "x"]}\n{"audio": "b.wav"}\n'
    manifest = read_manifest(write(tmp_path, content, "m.jsonl"))
    manifest.write(tmp_path / "copy.jsonl")
    assert (tmp_path / "copy.jsonl").read_text() == content
    manifest.write(tmp_path / "copy.csv")
    assert read_manifest(tmp_path / "copy.csv").column("tags") == ['["😂", "x"]', ""]


def test_a_free_jsonl_column_of_mixed_types_becomes_text(tmp_path: Path) -> None:
    content = '{"audio": "a.wav", "take": 1}\n{"audio": "b.wav", "take": "two"}\n'
    assert read_manifest(write(tmp_path, content, "m.jsonl")).column("take") == ["1", "two"]


def test_a_free_jsonl_column_whose_type_changes_after_thousands_of_rows_becomes_text(tmp_path: Path) -> None:
    lines = [f'{{"audio": "{i}.wav", "take": {i}}}\n' for i in range(50_000)] + ['{"audio": "x.wav", "take": "two"}\n']
    column = read_manifest(write(tmp_path, "".join(lines), "m.jsonl")).column("take")
    assert (column[0], column[-1]) == ("0", "two")


def test_rows_and_lines_are_right_across_chunks(tmp_path: Path) -> None:
    manifest = read_csv(tmp_path, "audio\n" + "".join(f"{i}.wav\n" for i in range(100_001)))
    assert manifest.column("audio") == [f"{i}.wav" for i in range(100_001)]
    assert list(manifest.lines) == list(range(2, 100_003))


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


def test_parquet_of_other_types_is_brought_into_form(tmp_path: Path) -> None:
    table = pa.table({"path": ["a.wav"], "speaker": pa.array([7]), "start": pa.array([1], pa.int32())})
    pq.write_table(table.set_column(0, "path", table["path"].dictionary_encode()), tmp_path / "m.parquet")
    assert as_rows(read_manifest(tmp_path / "m.parquet")) == [{"audio": "a.wav", "speaker": "7", "start": 1.0}]


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "labels.csv: the file is empty; expected a header such as audio,label"),
        ("audio,label\n", "labels.csv: the manifest is empty; expected one row per utterance"),
        ("audio,label\na.wav,joy,x\n", "labels.csv:2: 3 fields where the header has 2; quote fields that hold"),
        ("audio,label\na.wav\n", "labels.csv:2: 1 fields where the header has 2; add the missing ones"),
        ('audio,text\na.wav,x\nb.wav,"open\nc.wav,y\n', r"labels.csv:3: .*; is a quote \(\"\) not closed"),
        ("audio,label,label\na.wav,x,y\n", r"labels.csv: column 'label' stands twice \(2 and 3\); rename one"),
        ("audio,label\n,joy\n", "labels.csv:2: audio is empty"),
        ("audio,label\na.wav, \n", "labels.csv:2: label is empty"),
        ("id,label\n,joy\n", "labels.csv:2: id is empty"),
        ("audio,split\na.wav,validation\n", r"labels.csv:2: split 'validation' is not one of .*; did you mean 'dev'\?"),
        ("audio,split\na.wav,\n", "labels.csv:2: split is empty"),
        ("audio,id\na.wav,u\nb.wav,v\nc.wav,u\n", "labels.csv:4: id 'u' stands in line 2 too$"),
        ("audio\na.wav\na.wav\n", "labels.csv:3: id 'a.wav' stands in line 2 too; drop one row or add a column 'id'"),
        ("audio,start,end\na.wav,2,1.5\n", "labels.csv:2: start 2.0 s is not before end 1.5 s"),
        ("audio,start,end\na.wav,1,1\n", "labels.csv:2: start 1.0 s is not before end 1.0 s"),
        ("audio,start\na.wav,-1\n", "labels.csv:2: start is '-1'; expected seconds as a number from 0 on"),
        ('audio,start\na.wav,"1,5"\n', "labels.csv:2: start is '1,5'; expected seconds"),
        ("audio,end\na.wav,nan\n", "labels.csv:2: end is 'nan'; expected seconds"),
        ("label,text\njoy,x\n", r"labels.csv: no column 'audio'; found columns \['label', 'text'\]; add 'audio' or"),
        ("file_nam\na.wav\n", "no column 'audio'; .*; rename 'file_nam' to 'audio'"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_csv(tmp_path, content)


def test_all_problems_come_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    content = "audio,label,split,start,end\n../a.wav,,train,0,1\nb.wav,joy,tset,x,1\nc.wav,joy\nb.wav,joy,dev,2,1\n"
    with pytest.raises(ManifestError) as caught:
        read_csv(tmp_path, content)
    places = [line.split(" ")[0] for line in str(caught.value).splitlines()]
    assert places == ["labels.csv:2:"] * 2 + ["labels.csv:3:"] * 2 + ["labels.csv:4:"] + ["labels.csv:5:"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"audio,label\na.wav,\xc4rger\n", r"labels.csv:2: byte 0xC4 is not UTF-8; save it as UTF-8, e.g. iconv"),
        ("audio,label\na.wav,joy\n".encode("utf-16"), "labels.csv: the file is UTF-16; save it as UTF-8"),
    ],
)
def test_another_encoding_is_one_clear_error(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        read_csv(tmp_path, content)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"audio": "a.wav"}\n{"audio": \n', r"m.jsonl:2: not JSON \(.* at column \d+\); expected one object per line"),
        ('{"audio": "a.wav"}, {"audio": "b.wav"}\n', "m.jsonl:1: not JSON"),
        ('\n["a.wav"]\n', "m.jsonl:2: found a list; expected an object such as"),
        ('{"audio": "a.wav", "label": ["x"]}\n', "m.jsonl:1: column 'label' holds a list; expected text"),
        ('{"audio": "a.wav", "text": "\\ud83d"}\n', "m.jsonl:1: column 'text' holds half a character"),
        ('{"audio": "a.wav", "start": true}\n', "m.jsonl:1: start is True; expected seconds"),
        ('{"audio": "a.wav"}\n{"label": "x"}\n', "m.jsonl:2: audio is empty"),
        ("", "m.jsonl: the manifest is empty"),
    ],
)
def test_bad_json_lines_are_named(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_manifest(write(tmp_path, content, "m.jsonl"))


def test_what_cannot_be_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no.csv: no such file or folder; expected a manifest \(.csv, .tsv"):
        read_manifest(tmp_path / "no.csv")
    with pytest.raises(ManifestError, match=r"m.xlsx: unknown format '.xlsx'; expected one of .csv, .tsv"):
        read_manifest(write(tmp_path, "x", "m.xlsx"))
    with pytest.raises(ManifestError, match=r"m.parquet: not a Parquet file that can be read"):
        read_manifest(write(tmp_path, "x", "m.parquet"))
    with pytest.raises(ManifestError, match=r"no metadata.csv/.tsv/.jsonl/.parquet and no audio in sub-folders"):
        read_manifest(tmp_path)
    with pytest.raises(ManifestError, match=r"nowhere: --audio-root is no folder"):
        read_csv(tmp_path, "audio\na.wav\n", audio_root=tmp_path / "nowhere")


def test_parquet_with_the_sound_inside_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"audio": [{"bytes": b"", "path": "a.wav"}]}), tmp_path / "m.parquet")
    with pytest.raises(ManifestError, match=r"m.parquet: column 'audio' holds struct<.*expected text \(for audio"):
        read_manifest(tmp_path / "m.parquet")


def test_folders_of_splits_are_not_taken_for_labels(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.wav").touch()
    with pytest.raises(ManifestError, match=r"sub-folders \['train'\] are splits; expected one per label"):
        read_manifest(tmp_path)


def test_missing_audio_is_found_when_asked(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    content = "audio\na.wav\nb.wav\nc.wav\n"
    assert len(read_csv(tmp_path, content)) == 3
    with pytest.raises(ManifestError, match=r"labels.csv:3: audio file 'b.wav' does not.*\n.*labels.csv:4: .*'c.wav'"):
        read_csv(tmp_path, content, check_audio=True)


# --- where audio may lie ---------------------------------------------------------------------------------------------


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


# --- using a manifest ------------------------------------------------------------------------------------------------


def test_labels_are_encoded_in_any_spelling(tmp_path: Path) -> None:
    manifest = read_csv(tmp_path, "audio,label\na.wav,:joy:\nb.wav,πŸ˜‚\nc.wav,πŸ˜\xa0\nd.wav,<NONE>\n")
    ids = manifest.encode_labels(LabelSet(("😠", "😂", "<none>")))
    assert ids.dtype == np.int64
    assert ids.tolist() == [1, 1, 0, 2]


def test_unknown_labels_come_together_with_their_lines(tmp_path: Path) -> None:
    manifest = read_csv(tmp_path, "audio,label\na.wav,hapy\nb.wav,joy\nc.wav,xyz\nd.wav,hapy\n")
    with pytest.raises(LabelError) as caught:
        manifest.encode_labels(LabelSet(("anger", "joy", "sad")))
    assert str(caught.value).splitlines() == [
        "labels.csv:2: label 'hapy' is not one of ['anger', 'joy', 'sad']; did you mean 'joy'? (also lines 5)",
        "labels.csv:4: label 'xyz' is not one of ['anger', 'joy', 'sad']",
        "for another label set give its label2id.json: --data.labels, --labels of `split`",
    ]


def test_labels_are_the_card_s_or_the_manifest_s_own(tmp_path: Path) -> None:
    assert read_csv(tmp_path, "audio,label\na.wav,:joy:\nb.wav,🎉\n").infer_labels().labels == CARD_LABELS
    assert read_csv(tmp_path, "audio,label\na.wav,πŸ™\n").infer_labels().labels == CARD_LABELS
    own = read_csv(tmp_path, "audio,label\na.wav,sad\nb.wav,anger\nc.wav,sad\n").infer_labels()
    assert own.labels == ("anger", "sad")
    with pytest.raises(LabelError, match=r"labels.csv: labels \['sad'\] are 1; a classifier needs at least 2"):
        read_csv(tmp_path, "audio,label\na.wav,sad\n").infer_labels()


def test_missing_columns_are_named_with_what_was_found(tmp_path: Path) -> None:
    manifest = read_csv(tmp_path, "audio,labels\na.wav,joy\n")
    message = r"labels.csv: no column 'label'; found columns \['audio', 'labels'\]; rename 'labels' to 'label'"
    with pytest.raises(ManifestError, match=message):
        manifest.require("audio", "label")
    with pytest.raises(ManifestError, match=r"no column 'sentence'; .*; add 'sentence' or rename"):
        manifest.column("sentence")


def test_rows_are_selected_with_their_lines(tmp_path: Path) -> None:
    manifest = read_csv(tmp_path, "audio,label\na.wav,x\nb.wav,y\nc.wav,z\n").select([2, 0])
    assert manifest.column("label") == ["z", "x"]
    assert [manifest.where(row) for row in range(len(manifest))] == ["labels.csv:4", "labels.csv:2"]


def test_a_column_is_added_or_replaced(tmp_path: Path) -> None:
    manifest = read_csv(tmp_path, "audio,split\na.wav,train\nb.wav,dev\n")
    assert manifest.with_column("split", ["test", "test"]).column("split") == ["test", "test"]
    assert manifest.with_column("p", [0.25, 1]).column("p") == [0.25, 1.0]
    assert manifest.column("split") == ["train", "dev"]


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6), suffix=st.sampled_from(["csv", "tsv", "jsonl"]))
def test_any_text_survives_writing_and_reading(
    rows: list[tuple[str, str]], suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    table = pa.table(
        {"audio": [f"{i}.wav" for i in range(len(rows))], "text": [a for a, _ in rows], "free": [b for _, b in rows]}
    )
    Manifest(folder / "x.csv", table, range(len(rows)), folder).write(folder / f"m.{suffix}")
    assert as_rows(read_manifest(folder / f"m.{suffix}")) == table.to_pylist()


@pytest.mark.skipif(not EMODB.is_dir(), reason="the EmoDB recordings are not beside this repository")
def test_emodb_is_read_with_all_its_audio(tmp_path: Path) -> None:
    manifest = read_manifest(EMODB / "manifest.csv", check_audio=True)
    assert len(manifest) == 535
    assert len(manifest.infer_labels()) == 7
    assert np.bincount(manifest.encode_labels(manifest.infer_labels())).tolist() == [127, 81, 46, 69, 71, 79, 62]
    shutil.copy(EMODB / "manifest.csv", tmp_path)
    elsewhere = read_manifest(tmp_path / "manifest.csv", audio_root=EMODB, check_audio=True)
    assert elsewhere.audio_paths() == manifest.audio_paths()
