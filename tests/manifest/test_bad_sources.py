"""Every reader and every kind of bad input: one clear error."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from manifest_files import FIXTURES, as_rows, write

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest import read_manifest

Content = str | bytes | None


def parquet(table: pa.Table) -> bytes:
    target = io.BytesIO()
    pq.write_table(table, target)
    return target.getvalue()


def doubled() -> bytes:
    return parquet(pa.table([["a.wav"], ["joy"], ["sad"]], names=["audio", "label", "label"]))


GOOD_PARQUET = parquet(pa.table({"audio": [f"{row}.wav" for row in range(1000)], "label": ["joy"] * 1000}))
UTF16 = "the file is UTF-16; save it as UTF-8, e.g. iconv -f UTF-16 -t UTF-8"
CP1252 = r"byte 0xC4 is not UTF-8; save it as UTF-8, e\.g\. iconv -f WINDOWS-1252"

# Kind of bad input -> file -> (content, what the one error says; the file's name comes before it).
CASES: dict[str, dict[str, tuple[Content, str]]] = {
    "wrong delimiter": {
        "m.csv": (
            "audio|label\na.wav|joy\n",
            r": the header is one field, 'audio\|label'; .* not '\|'; save it as CSV",
        ),
        "m.tsv": (
            "audio;label\na.wav;joy\n",
            r": the header is one field, .* expected a tab .* not ';'; rename the file to \.csv",
        ),
        "blank.csv": (
            "audio label\na.wav joy\n",
            r": the header is one field, 'audio label'; .* not ' '; save it as CSV",
        ),
        "m.emo": ("u1,joy\nu2,sad\n", r":1: 1 fields; expected an id and a label, blanks or a tab between.*\n.*:2: "),
        "m.jsonl": (
            '{"audio": "a.wav"}, {"audio": "b.wav"}\n',
            r":1: not JSON \(Extra data at column 19\); expected one object",
        ),
        "wav.scp": ("u1,a.wav\n", r":1: 1 fields, 'u1,a\.wav'; expected an utterance and its value"),
    },
    "cp1252": {
        "m.csv": (b"audio,label\na.wav,\xc4rger\n", rf":2: {CP1252}"),
        "m.tsv": (b"audio\tlabel\na.wav\t\xc4rger\n", rf":2: {CP1252}"),
        "m.jsonl": (b'{"audio": "a.wav"}\n{"audio": "\xc4.wav"}\n', rf":2: {CP1252}"),
        "nemo.json": (b'{"audio_filepath": "\xc4.wav"}\n', rf":1: {CP1252}"),
        "m.emo": (b"u1 joy\nu2 \xc4rger\n", rf":2: {CP1252}"),
        "wav.scp": (b"u1 \xc4.wav\n", rf":1: {CP1252}"),
        "metadata.csv": (b"file_name,label\na.wav,\xc4rger\n", rf":2: {CP1252}"),
        "db.t.csv": (b"file,label\na.wav,\xc4rger\n", rf":2: {CP1252}"),
    },
    "UTF-16": {
        name: (content.encode("utf-16"), rf": {UTF16}")
        for name, content in {
            "m.csv": "audio,label\na.wav,joy\n",
            "m.tsv": "audio\tlabel\na.wav\tjoy\n",
            "m.jsonl": '{"audio": "a.wav"}\n',
            "m.emo": "u1 joy\n",
            "wav.scp": "u1 a.wav\n",
            "db.t.csv": "file,label\na.wav,joy\n",
        }.items()
    },
    "open quotes": {
        "m.csv": (
            'audio,text\na.wav,x\nb.wav,"open\nc.wav,y\n',
            r':3: .*; is a quote \("\) not closed or not doubled\?',
        ),
        "m.tsv": ('audio\ttext\na.wav\t"in" side\n', r':2: .*; is a quote \("\) not closed or not doubled\?'),
        "head.csv": ('audio,"label\na.wav,joy\n', r":2: .*; expected a header such as audio,label"),
        "m.jsonl": ('{"audio": "a.wav\n"}\n', r":1: not JSON .*\n.*:2: not JSON "),
    },
    "missing columns": {
        "m.csv": (
            "sound,label\na.wav,joy\n",
            r": no column 'audio'; found columns \['sound', 'label'\]; add 'audio' or",
        ),
        "m.tsv": ("file_nam\tlabel\na.wav\tjoy\n", r": no column 'audio'; found .*; rename 'file_nam' to 'audio'"),
        "m.jsonl": ('{"label": "joy"}\n', r": no column 'audio'; found columns \['label'\]; add 'audio' or"),
        "m.parquet": (parquet(pa.table({"label": ["joy"]})), r": no column 'audio'; found columns \['label'\]; add"),
        "metadata.csv": ("files,label\na.wav,joy\n", r": no column 'audio'; found .*; rename 'files' to 'audio'"),
        "m.emo": ("u1\n", r":1: 1 fields; expected an id and a label"),
        "wav.scp": ("u1\n", r":1: 1 fields, 'u1'; expected an utterance and its value"),
    },
    "mixed types": {
        "m.csv": (
            "audio,start\na.wav,0.5\nb.wav,soon\n",
            r":3: start is 'soon'; expected seconds as a number from 0 on",
        ),
        "m.tsv": (
            "audio\tend\na.wav\t0.5\nb.wav\t\t\nc.wav\tx\n",
            r":3: 3 fields .*\n.*:4: end is 'x'; expected seconds",
        ),
        "m.jsonl": ('{"audio": "a.wav"}\n{"audio": ["b.wav"]}\n', r":2: column 'audio' holds a list; expected text"),
        "nemo.json": ('{"audio_filepath": "a.wav", "offset": "x"}\n', r":1: offset is 'x'; expected seconds"),
        "m.parquet": (parquet(pa.table({"audio": [{"bytes": b""}]})), r": column 'audio' holds struct<.*expected text"),
        "p.parquet": (
            parquet(pa.table({"file": ["a.wav"], "end": [b"1"]})),
            r": column 'end' holds binary; expected sec",
        ),
        "db.t.csv": (
            "file,start,end\na.wav,0 days 00:00:01,1:2\n",
            r":2: end is '1:2'; expected seconds .* 0 days 00:00:01\.5",
        ),
    },
    "no rows": {
        "m.csv": ("audio,label\n", r": the manifest is empty; expected one row per utterance"),
        "none.csv": ("", r": the file is empty; expected a header such as audio,label"),
        "blank.tsv": ("\n\n", r": the file is empty; expected a header such as audio,label"),
        "m.jsonl": ("\n", r": the manifest is empty; expected one row per utterance"),
        "m.emo": ("", r": the manifest is empty; expected one row per utterance"),
        "m.parquet": (
            parquet(pa.table({"audio": pa.array([], pa.string())})),
            r": the manifest is empty; expected one row",
        ),
        "none.parquet": (b"", r": not a Parquet file that can be read"),
        "wav.scp": ("\n", r": the manifest is empty; expected one row per utterance"),
        "metadata.csv": ("file_name\n", r": the manifest is empty; expected one row per utterance"),
    },
    "doubled names": {
        "m.csv": ("audio,label,label\na.wav,x,y\n", r": column 'label' stands twice \(2 and 3\); rename one"),
        "m.tsv": ("audio\taudio\na.wav\tb.wav\n", r": column 'audio' stands twice \(1 and 2\); rename one"),
        "m.jsonl": (
            '{"audio": "a.wav"}\n{"audio": "b", "audio": "c"}\n',
            r":2: not JSON .*key 'audio' stands twice; rename",
        ),
        "m.parquet": (doubled(), r": column 'label' stands twice \(2 and 3\); rename one"),
        "wav.scp": ("u1 a.wav\nu1 b.wav\n", r":2: id 'u1' stands in line 1 too"),
        "m.emo": ("u1 joy\nu1 sad\n", r":2: id 'u1' stands in line 1 too"),
    },
    "unequal rows": {
        "m.csv": (
            "audio,label\na.wav,joy,x\nb.wav\n",
            r":2: 3 fields where the header has 2; quote .*\n.*:3: 1 fields",
        ),
        "m.tsv": ("audio\tlabel\na.wav\n", r":2: 1 fields where the header has 2; add the missing ones"),
        "m.jsonl": ('{"audio": "a.wav", "label": "joy"}\n{"audio": "b.wav"}\n', r":2: label is empty"),
        "m.emo": ("u1 very happy\n", r":1: 3 fields; expected an id and a label"),
        "db.t.csv": ("file,start,end\na.wav,0\n", r":2: 2 fields where the header has 3; add the missing ones"),
    },
    "broken Parquet": {
        "m.parquet": (
            GOOD_PARQUET[:-10],
            r": not a Parquet file that can be read \(.*\); was it cut off while copied\?",
        ),
        "head.parquet": (b"PAR1" + GOOD_PARQUET[4:400], r": not a Parquet file that can be read"),
        "zero.parquet": (GOOD_PARQUET[:10] + bytes(60) + GOOD_PARQUET[70:], r": not a Parquet file that can be read"),
        "text.parquet": ("audio,label\n", r": not a Parquet file that can be read"),
    },
}
PATHS: dict[str, Callable[[str], Content]] = {
    "m.csv": lambda path: f"audio,label\n{path},joy\n",
    "m.tsv": lambda path: f"path\tlabel\n{path}\tjoy\n",
    "m.jsonl": lambda path: f'{{"audio": "{path}"}}\n',
    "nemo.json": lambda path: f'{{"audio_filepath": "{path}", "offset": 1, "duration": 1}}\n',
    "emobox.jsonl": lambda path: f'{{"key": "k", "wav": "{path}"}}\n',
    "m.parquet": lambda path: parquet(pa.table({"audio": [path]})),
    "wav.scp": lambda path: f"u1 {path}\n",
    "metadata.csv": lambda path: f"file_name\n{path}\n",
    "db.t.csv": lambda path: f"file,start,end\n{path},0 days 00:00:01,\n",
}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param(name, content, message, id=f"{kind}-{name}")
        for kind, files in CASES.items()
        for name, (content, message) in files.items()
    ],
)
def test_bad_input_is_one_clear_error(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(ManifestError, match=rf"^{re.escape(name)}{message}"):
        read_manifest(write(tmp_path, content, name))


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("path", ["/etc/a.wav", "../corpus/a.wav", "sub/../../a.wav"])
def test_audio_outside_is_refused_and_allowed_with_its_root(tmp_path: Path, name: str, path: str) -> None:
    content = PATHS[name](path)
    assert content is not None
    file = write(tmp_path / "tables", content, name)
    line = 2 if name.endswith(("csv", "tsv")) else 1
    with pytest.raises(
        ManifestError, match=rf"^{name}:{line}: audio '{path}' lies outside the manifest's folder; name the"
    ):
        read_manifest(file)
    if not path.startswith("/"):
        assert read_manifest(file, audio_root=tmp_path).audio_path(0).parent in (tmp_path, tmp_path / "corpus")


@pytest.mark.parametrize("name", PATHS)
def test_audio_that_is_a_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "sub.wav").mkdir()
    content = PATHS[name]("sub.wav")
    assert content is not None
    line = 2 if name.endswith(("csv", "tsv")) else 1
    with pytest.raises(ManifestError, match=rf"^{name}:{line}: audio 'sub\.wav' is a folder; expected an audio file$"):
        read_manifest(write(tmp_path, content, name), check_audio=True)


def test_a_folder_without_anything_to_read_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "nothing", "docs/readme.txt")
    with pytest.raises(
        ManifestError, match=r": no metadata\.csv/.*, no wav\.scp, no db\.yaml and no audio in sub-folders"
    ):
        read_manifest(tmp_path)


def test_a_folder_that_is_called_like_a_file_is_read_as_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "corpus.csv" / "joy", b"", "a.wav")
    assert as_rows(read_manifest(tmp_path / "corpus.csv")) == [{"audio": "joy/a.wav", "label": "joy"}]


def test_what_excel_saves_as_utf8_is_read_and_the_rest_refused() -> None:
    assert as_rows(read_manifest(FIXTURES / "excel" / "utf8.csv")) == [
        {"audio": "wav/a.wav", "label": "Ärger", "text": 'So, "gut";\nja'},
        {"audio": "wav/b.wav", "label": "😂", "text": ""},
    ]
    with pytest.raises(ManifestError, match=rf"^cp1252\.csv:2: {CP1252}"):
        read_manifest(FIXTURES / "excel" / "cp1252.csv")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_what_pandas_saves_is_read(suffix: str) -> None:
    assert as_rows(read_manifest(FIXTURES / "pandas" / f"labels.{suffix}")) == [
        {"audio": "a.wav", "label": "joy", "text": 'He said "hi",\nthen left', "start": 0.5, "end": 1.25},
        {"audio": "sub/b c.wav", "label": "😂", "text": "", "start": None, "end": None},
    ]


def test_what_emotion2vec_s_recipe_saves_is_read() -> None:
    manifest = read_manifest(FIXTURES / "emotion2vec" / "train.emo")
    assert as_rows(manifest) == [
        {"id": "Ses01F_impro01_F000", "label": "neu"},
        {"id": "Ses01F_impro01_F001", "label": "ang"},
    ]


def test_the_delimiter_is_what_the_header_uses_most(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path, "audio;label;heard, by\na.wav;joy;me\n", "m.csv"))
    assert manifest.table.column_names == ["audio", "label", "heard, by"]
    single = read_manifest(write(tmp_path, "audio\nb c,d.wav\n", "one.tsv"))
    assert single.column("audio") == ["b c,d.wav"]


def test_a_blank_line_before_the_header_hides_no_delimiter(tmp_path: Path) -> None:
    write(tmp_path, "\naudio;label\na.wav;joy\n")
    assert as_rows(read_manifest(tmp_path / "labels.csv")) == [{"audio": "a.wav", "label": "joy"}]


@pytest.mark.parametrize("name", ["train.emo", "wav.scp"])
def test_nul_bytes_are_told_as_what_they_are(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes("a joy\nb sad\n".encode("utf-16-le"))
    with pytest.raises(ManifestError, match=rf"^{name}: holds NUL bytes, as UTF-16 does; save it as UTF-8"):
        read_manifest(tmp_path / name)
