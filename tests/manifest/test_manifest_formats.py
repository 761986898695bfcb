import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from manifest_files import as_rows, read_csv, write

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest import read_manifest

ROWS = [
    {"audio": "a.wav", "label": "😂", "text": 'He said "hi",\nthen left', "start": 0.5, "end": 1.25, "take": "1"},
    {"audio": "sub/b.wav", "label": "anger", "text": "", "start": 0.0, "end": 2.0, "take": "x"},
    {"audio": "sub/b.wav", "label": "<none>", "text": "Ärger", "start": 2.0, "end": 3.0, "take": ""},
]


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


def test_parquet_of_other_types_is_brought_into_form(tmp_path: Path) -> None:
    table = pa.table({"path": ["a.wav"], "speaker": pa.array([7]), "start": pa.array([1], pa.int32())})
    pq.write_table(table.set_column(0, "path", table["path"].dictionary_encode()), tmp_path / "m.parquet")
    assert as_rows(read_manifest(tmp_path / "m.parquet")) == [{"audio": "a.wav", "speaker": "7", "start": 1.0}]
