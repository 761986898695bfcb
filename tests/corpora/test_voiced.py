"""One utterance per text, the preferred one, and a reason for each that was dropped."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from tts_folders import read_dropped, voice, write_texts, write_wav

from emoji_lightning import __version__
from emoji_lightning.corpora import voiced as voiced_module
from emoji_lightning.corpora.scan import AudioFacts, scan_audio
from emoji_lightning.corpora.systems import parse_systems
from emoji_lightning.corpora.voiced import voice_texts
from emoji_lightning.errors import AudioError, ConfigError, ManifestError
from emoji_lightning.manifest import Manifest, read_manifest


def test_each_text_gets_its_utterance_from_the_first_system_that_has_one(here: Path, texts: Manifest) -> None:
    voice(here / "flash", "adb")
    voice(here / "pro", "bcd", start=10)
    record = voice_texts(texts, parse_systems(["flash", "pro"]), output="out/corpus.csv")
    corpus = read_manifest("out/corpus.csv", check_audio=True)
    assert corpus.table.column_names == ["id", "source_id", "audio", "system", "text", "label", "speaker"]
    assert list(zip(corpus.ids, corpus.column("audio"), corpus.column("system"), strict=True)) == [
        ("a", "flash/a.wav", "flash"),
        ("b", "flash/b.wav", "flash"),
        ("c", "pro/c.wav", "pro"),
        ("d", "flash/d.wav", "flash"),
    ]
    assert corpus.column("source_id") == ["a", "b", "c", "d"]
    assert corpus.column("text") == ["text 0", "text 1", "text 2", "text 3"]
    assert corpus.column("label") == ["joy", "sad", "<none>", "joy"]
    assert corpus.column("speaker") == ["s0", "s1", "s0", "s1"]
    assert read_dropped(here / "out/corpus.dropped.csv") == [
        {"id": "e", "label": "sad", "system": "", "audio": "", "reason": "no audio in flash, pro"},
        {"id": "f", "label": "<none>", "system": "", "audio": "", "reason": "no audio in flash, pro"},
    ]
    assert json.loads((here / "out/corpus.csv.json").read_text(encoding="utf-8")) == {"audio_root": "..", **record}


def test_the_record_counts_before_and_after(here: Path, texts: Manifest) -> None:
    voice(here / "flash", "abz")
    voice(here / "pro", "bcd", start=10)
    (here / "flash/b.wav").write_text("no audio")
    (here / "pro/d.wav").write_bytes(b"")
    record = voice_texts(texts, parse_systems(["flash", "2=pro"]), output="corpus.csv")
    assert record == {
        "version": __version__,
        "texts": "texts.csv",
        "options": {"keep": "first", "systems": {"flash": "flash", "2": "pro"}},
        "counts": {
            "before": {"texts": {"<none>": 2, "joy": 2, "sad": 2}, "files": {"flash": 3, "2": 3}},
            "after": {
                "texts": {"<none>": 1, "joy": 1, "sad": 1},
                "labels": {"<none>": 1, "joy": 1, "sad": 1},
                "systems": {"flash": 1, "2": 2},
                "labels_by_system": {
                    "<none>": {"flash": 0, "2": 1},
                    "joy": {"flash": 1, "2": 0},
                    "sad": {"flash": 0, "2": 1},
                },
            },
        },
        "num_texts": 6,
        "num_voiced": 3,
        "num_utterances": 3,
        "num_missing": 2,
        "num_unreadable": 2,
        "num_unmatched": 1,
        "unmatched": {"flash": ["z.wav"], "2": []},
        "hours": 0.0,
        "same_audio": [],
        "warnings": [],
    }
    assert str(here) not in (here / "corpus.csv.json").read_text() + (here / "corpus.dropped.csv").read_text()


def test_the_hours_are_those_of_what_is_kept(here: Path, texts: Manifest) -> None:
    write_wav(here / "flash/a.wav", 1, seconds=9)
    write_wav(here / "flash/b.wav", 2, seconds=27)
    write_wav(here / "flash/z.wav", 3, seconds=90)
    assert voice_texts(texts, parse_systems(["flash"]), output="corpus.csv")["hours"] == 0.01


def test_what_cannot_be_decoded_is_replaced_by_the_next_system_and_listed(here: Path, texts: Manifest) -> None:
    voice(here / "flash", "abc")
    voice(here / "pro", "bc", start=10)
    (here / "flash/b.wav").write_bytes((here / "flash/b.wav").read_bytes()[:-20])
    (here / "flash/c.wav").write_text("Too many requests")
    (here / "pro/c.wav").write_bytes(b"")
    voice_texts(texts, parse_systems(["flash", "pro"]), output="out/corpus.csv")
    assert read_manifest("out/corpus.csv").column("audio") == ["flash/a.wav", "pro/b.wav"]
    assert [tuple(each.values()) for each in read_dropped(here / "out/corpus.dropped.csv")][:3] == [
        (
            "b",
            "sad",
            "flash",
            "../flash/b.wav",
            "is cut off: its header promises 320 bytes of audio, 300 are there; copy it again"
            "; the text is kept from pro",
        ),
        ("c", "<none>", "flash", "../flash/c.wav", "holds text ('Too many requests'...), not audio"),
        ("c", "<none>", "pro", "../pro/c.wav", "is empty (0 bytes)"),
    ]


def test_all_usable_utterances_are_kept_on_request(here: Path, texts: Manifest) -> None:
    voice(here / "flash", "abd")
    voice(here / "pro", "abc", start=10)
    (here / "flash/d.wav").write_bytes(b"")
    (here / "pro/a.wav").write_bytes(b"")
    record = voice_texts(texts, parse_systems(["pro", "flash"]), output="corpus.csv", keep="all")
    corpus = read_manifest("corpus.csv")
    assert corpus.ids == ["a@flash", "b@pro", "b@flash", "c@pro"]
    assert corpus.column("source_id") == ["a", "b", "b", "c"]
    assert corpus.column("audio") == ["flash/a.wav", "pro/b.wav", "flash/b.wav", "pro/c.wav"]
    assert corpus.column("text") == ["text 0", "text 1", "text 1", "text 2"]
    assert (record["num_voiced"], record["num_utterances"], record["num_missing"]) == (3, 4, 2)
    assert record["counts"]["after"]["labels"] == {"<none>": 1, "joy": 1, "sad": 2}
    assert record["counts"]["after"]["texts"] == {"<none>": 1, "joy": 1, "sad": 1}
    reasons = [(each["id"], each["reason"]) for each in read_dropped(here / "corpus.dropped.csv")]
    assert reasons[:2] == [("a", "is empty (0 bytes); the text is kept from flash"), ("d", "is empty (0 bytes)")]


def test_the_list_names_the_preferred_of_the_systems_that_are_kept(here: Path, texts: Manifest) -> None:
    for number, system in enumerate(("first", "second", "third")):
        voice(here / system, "a", start=number)
    (here / "first/a.wav").write_bytes(b"")
    voice_texts(texts, parse_systems(["first", "second", "third"]), output="corpus.csv", keep="all")
    assert read_dropped(here / "corpus.dropped.csv")[0]["reason"] == "is empty (0 bytes); the text is kept from second"


def test_utterances_of_two_systems_that_would_get_one_id_are_refused(here: Path) -> None:
    texts = write_texts(here, ["a", "a@b"])
    voice(here / "b@c", "a")
    voice(here / "c", ["a@b"], start=5)
    with pytest.raises(ManifestError, match="text 'a' of 'b@c' and text 'a@b' of 'c' would both be 'a@b@c'; name the"):
        voice_texts(texts, parse_systems(["b@c", "c"]), output="corpus.csv", keep="all")
    voice_texts(texts, parse_systems(["b@c", "c"]), output="corpus.csv")


def test_a_given_source_id_is_kept(here: Path) -> None:
    (here / "texts.csv").write_text("id,label,source_id\na,joy,poem\nb,sad,\n")
    voice(here / "tts", "ab")
    voice_texts(read_manifest("texts.csv"), parse_systems(["tts"]), output="corpus.csv")
    assert read_manifest("corpus.csv").column("source_id") == ["poem", "b"]


def test_labels_stay_as_they_are_and_are_counted_in_normal_form(here: Path) -> None:
    (here / "texts.csv").write_text("id,label\na,:joy:\nb,😂\nc,<NONE>\n", encoding="utf-8")
    voice(here / "tts", "abc")
    record = voice_texts(read_manifest("texts.csv"), parse_systems(["tts"]), output="corpus.csv")
    assert read_manifest("corpus.csv").column("label") == [":joy:", "😂", "<NONE>"]
    assert record["counts"]["before"]["texts"] == {"<none>": 1, "😂": 2}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_is_written_and_the_same_input_gives_the_same_bytes(
    here: Path, texts: Manifest, suffix: str
) -> None:
    voice(here / "flash", "abc")
    outputs = [here / "out" / name for name in (f"m{suffix}", f"m{suffix}.json", "m.dropped.csv")]
    contents = []
    for _ in range(2):
        voice_texts(texts, parse_systems(["flash"]), output=outputs[0])
        contents.append([output.read_bytes() for output in outputs])
    assert contents[0] == contents[1]
    assert read_manifest(outputs[0]).column("audio") == ["flash/a.wav", "flash/b.wav", "flash/c.wav"]


def test_where_nothing_is_dropped_the_list_is_a_header(here: Path, texts: Manifest) -> None:
    voice(here / "flash", "abcdef")
    voice_texts(texts, parse_systems(["flash"]), output="corpus.csv")
    assert (here / "corpus.dropped.csv").read_text() == "id,label,system,audio,reason\n"


def test_only_what_is_needed_is_decoded(here: Path, texts: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    voice(here / "flash", "abc")
    voice(here / "pro", "bcd", start=10)
    (here / "flash/c.wav").write_bytes(b"")
    asked: list[list[str]] = []

    def scan(paths: Sequence[str], *, progress: bool) -> list[AudioFacts | AudioError]:
        asked.append([os.path.relpath(path, here) for path in paths])
        return scan_audio(paths)

    monkeypatch.setattr(voiced_module, "scan_audio", scan)
    voice_texts(texts, parse_systems(["flash", "pro"]), output="corpus.csv")
    assert asked == [["flash/a.wav", "flash/b.wav", "flash/c.wav", "pro/d.wav"], ["pro/c.wav"]]


def test_different_texts_with_the_same_audio_are_a_warning(here: Path) -> None:
    (here / "texts.csv").write_text(
        "id,text,label\n" + "".join(f"{name},{text},joy\n" for name, text in zip("abcdefgh", "12345677", strict=True))
    )
    voice(here / "tts", "abcdefgh")
    for name in "cdefg":
        shutil.copy(here / "tts/b.wav", here / f"tts/{name}.wav")
    record = voice_texts(read_manifest("texts.csv"), parse_systems(["tts"]), output="corpus.csv")
    assert record["same_audio"] == [["b", "c", "d", "e", "f", "g"]]
    assert record["warnings"] == [
        "different texts have the same audio, byte for byte: b, c, d, e, f and 1 more; listen to one of them"
    ]
    shutil.copy(here / "tts/h.wav", here / "tts/g.wav")  # one text, voiced twice alike
    record = voice_texts(read_manifest("texts.csv"), parse_systems(["tts"]), output="corpus.csv")
    assert record["same_audio"] == [["b", "c", "d", "e", "f"]]


def test_texts_without_a_voice_name_an_example(here: Path, texts: Manifest) -> None:
    voice(here / "tts", ["A_001", "B_002"])
    with pytest.raises(
        ManifestError, match=r"'a' a file such as tts/a\.wav was expected, found .* tts/A_001\.wav; name"
    ):
        voice_texts(texts, parse_systems(["tts"]), output="corpus.csv")
    assert not list(here.glob("corpus*"))


def test_audio_of_which_nothing_can_be_decoded_is_an_error(here: Path, texts: Manifest) -> None:
    voice(here / "tts", "ab")
    for name in "ab":
        (here / f"tts/{name}.wav").write_bytes(b"")
    with pytest.raises(AudioError, match=r"(?s)b\.wav: is empty.*none of the 2 files that voice a text can be decoded"):
        voice_texts(texts, parse_systems(["tts"]), output="corpus.csv")
    assert not list(here.glob("corpus*"))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("id,text,label,audio", r"texts\.csv: the texts have a column 'audio', but the audio comes from --audio \("),
        ("id,text,label,path", r"texts\.csv: the texts have a column 'audio', but .*path mean audio"),
        ("id,text,label,system", "column 'system', but the system comes from --audio; remove or rename it"),
        ("id,text,emotion", r"texts\.csv: no column 'label'"),
    ],
)
def test_columns_that_are_missing_or_in_the_way_are_refused(here: Path, header: str, message: str) -> None:
    voice(here / "tts", "ab")
    with pytest.raises(ManifestError, match=message):
        voice_texts(write_texts(here, "ab", header=header), parse_systems(["tts"]), output="corpus.csv")


def test_times_of_the_texts_are_refused(here: Path) -> None:
    (here / "texts.csv").write_text("id,label,start,end\na,joy,0,1\n")
    voice(here / "tts", "a")
    with pytest.raises(ManifestError, match=r"(?s)'start', but it would cut the audio; .*'end', but it would cut"):
        voice_texts(read_manifest("texts.csv"), parse_systems(["tts"]), output="corpus.csv")


def test_what_must_not_be_replaced_is_not(here: Path, texts: Manifest) -> None:
    voice(here / "tts", "ab")
    systems = parse_systems(["tts"])
    shutil.copy("texts.csv", "corpus.dropped.csv")
    for source, output in (("texts.csv", "texts.csv"), ("corpus.dropped.csv", "corpus.csv")):
        before = Path(source).read_bytes()
        with pytest.raises(ConfigError, match=f"--output would replace {source}, the table of texts"):
            voice_texts(read_manifest(source), systems, output=output)
        assert Path(source).read_bytes() == before
    with pytest.raises(ConfigError, match=r"there metadata\.csv says which file voices which text"):
        voice_texts(texts, systems, output="tts/metadata.csv")
    (here / "folder.csv").mkdir()
    with pytest.raises(ConfigError, match=r"folder\.csv: --output is a folder; expected a file"):
        voice_texts(texts, systems, output="folder.csv")


def test_unknown_options_are_refused(here: Path, texts: Manifest) -> None:
    voice(here / "tts", "ab")
    with pytest.raises(ConfigError, match="--keep is 'best'; expected first or all"):
        voice_texts(texts, parse_systems(["tts"]), output="corpus.csv", keep="best")
    with pytest.raises(ManifestError, match=r"corpus\.xlsx: cannot write format '\.xlsx'"):
        voice_texts(texts, parse_systems(["tts"]), output="corpus.xlsx")
    with pytest.raises(ConfigError, match="no folder of audio; expected at least one system"):
        voice_texts(texts, [], output="corpus.csv")
