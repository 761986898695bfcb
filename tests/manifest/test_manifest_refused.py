from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from manifest_files import read_csv, write

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest import read_manifest


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
        ("audio,split\na.wav,holdout\n", r"labels.csv:2: split 'holdout' is not one of \['train', 'dev', 'test'\]$"),
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
        ("{}\n{}\n", r"m.jsonl:1: found an empty object; expected e.g. .*\nm.jsonl:2: found an empty object"),
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
    with pytest.raises(
        ManifestError, match=r"no metadata.csv/.tsv/.jsonl/.parquet, no wav.scp, no db.yaml and no audio"
    ):
        read_manifest(tmp_path)
    with pytest.raises(ManifestError, match=r"nowhere: --audio-root is no folder"):
        read_csv(tmp_path, "audio\na.wav\n", audio_root=tmp_path / "nowhere")


def test_parquet_with_the_sound_inside_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"audio": [{"bytes": b"", "path": "a.wav"}]}), tmp_path / "m.parquet")
    with pytest.raises(ManifestError, match=r"m.parquet: column 'audio' holds struct<.*expected text \(for audio"):
        read_manifest(tmp_path / "m.parquet")


def test_missing_audio_is_found_when_asked(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    content = "audio\na.wav\nb.wav\nc.wav\n"
    assert len(read_csv(tmp_path, content)) == 3
    with pytest.raises(ManifestError, match=r"labels.csv:3: audio file 'b.wav' does not.*\n.*labels.csv:4: .*'c.wav'"):
        read_csv(tmp_path, content, check_audio=True)
