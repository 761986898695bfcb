"""Which file of a TTS folder voices which text."""

import json
import os
import unicodedata
from pathlib import Path

import pytest
from tts_folders import read_dropped, voice, write_wav

from emoji_lightning.corpora.systems import find_recordings, parse_systems
from emoji_lightning.corpora.voiced import voice_texts
from emoji_lightning.errors import ConfigError, ManifestError
from emoji_lightning.manifest import Manifest, read_manifest


def test_a_file_is_found_by_its_path_or_else_by_its_stem(here: Path) -> None:
    ids = ["joy/t1", "t1", "t2", "t3.b", "ä", "joy/ö", "t4"]
    apart = [unicodedata.normalize("NFD", file) for file in ("ä.wav", "joy/ö.wav")]
    files = ["joy/t1.wav", "t1.WAV", "deep/er/t2.flac", "t3.b.mp3", *apart, "T4.wav"]
    for file in [*files, ".t4.wav", ".cache/t4.wav", "t4.txt", "t4"]:
        write_wav(here / "tts" / file, 0)
    found = find_recordings(parse_systems(["tts"])[0], ids)
    assert found.by_id == {name: str(here / "tts" / file) for name, file in zip(ids[:6], files, strict=False)}
    assert (found.unmatched, found.num_files) == (["T4.wav"], 7)


def test_a_full_path_outweighs_stems(here: Path) -> None:
    for file in ("a.wav", "x/a.wav", "y/a.wav"):
        write_wav(here / "tts" / file, 0)
    found = find_recordings(parse_systems(["tts"])[0], ["a"])
    assert (found.by_id, found.unmatched) == ({"a": str(here / "tts/a.wav")}, ["x/a.wav", "y/a.wav"])


def test_several_files_for_a_text_are_one_error_over_all_systems(here: Path, texts: Manifest) -> None:
    for file in ("one/a.wav", "one/a.flac", "one/x/b.wav", "one/y/b.wav", "one/c.wav", "two/d.ogg", "two/d.mp3"):
        write_wav(here / file, 0)
    with pytest.raises(ManifestError) as caught:
        voice_texts(texts, parse_systems(["one", "two"]), output="corpus.csv")
    cure = "expected one file: remove the others, or say which in {}/metadata.csv (columns id,audio)"
    assert str(caught.value).splitlines() == [
        f"--audio one: a.flac and a.wav all voice the text 'a'; {cure.format('one')}",
        f"--audio one: x/b.wav and y/b.wav all voice the text 'b'; {cure.format('one')}",
        f"--audio two: d.mp3 and d.ogg all voice the text 'd'; {cure.format('two')}",
    ]
    assert not (here / "corpus.csv").exists()


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.tsv", "metadata.jsonl"])
def test_metadata_with_id_and_audio_decides(here: Path, texts: Manifest, name: str) -> None:
    for number, file in enumerate(("0.wav", "x/1.wav", "a.wav", "c.wav")):
        write_wav(here / "tts" / file, number)
    pairs = [("a", "0.wav"), ("b", "./x/1.wav"), ("d", "gone.wav"), ("nobody", "a.wav")]
    if name == "metadata.jsonl":
        lines = [json.dumps({"id": text, "file_name": file}) for text, file in pairs]
    else:
        mark = "\t" if name == "metadata.tsv" else ","
        lines = [mark.join(pair) for pair in [("id", "file_name"), *pairs]]
    (here / "tts" / name).write_text("\n".join(lines) + "\n")
    record = voice_texts(texts, parse_systems(["tts"]), output="corpus.csv")
    assert read_manifest("corpus.csv").column("audio") == ["tts/0.wav", "tts/x/1.wav"]
    assert record["unmatched"] == {"tts": ["a.wav", "c.wav"]}
    reasons = {each["id"]: (each["audio"], each["reason"]) for each in read_dropped(here / "corpus.dropped.csv")}
    assert reasons["d"] == ("tts/gone.wav", "no such file")
    assert reasons["c"] == ("", "no audio in tts")


def test_metadata_without_ids_is_passed_over(here: Path, texts: Manifest) -> None:
    voice(here / "tts", "ab")
    for header in ("file_name,text", "voice,model"):
        (here / "tts/metadata.csv").write_text(f"{header}\nb.wav,hello\n")
        assert voice_texts(texts, parse_systems(["tts"]), output="corpus.csv")["num_voiced"] == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,audio\na,a.wav\na,b.wav\n", "--audio tts: metadata.csv:3: id 'a' stands in line 2 too"),
        ("id,audio\na,../a.wav\n", "--audio tts: metadata.csv:2: audio '../a.wav' lies outside"),
        ("id,audio,start,end\na,a.wav,0,1\n", "--audio tts: metadata.csv: has segments .*cut them out first"),
    ],
)
def test_wrong_metadata_is_an_error(here: Path, texts: Manifest, content: str, message: str) -> None:
    voice(here / "tts", "ab")
    (here / "tts/metadata.csv").write_text(content)
    with pytest.raises(ManifestError, match=message):
        voice_texts(texts, parse_systems(["tts"]), output="corpus.csv")


def test_a_system_is_named_by_its_folder_or_by_hand(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("flash", "pro", "v=2", "deep/er"):
        (here / name).mkdir(parents=True)
    systems = parse_systems(["flash/", "best=pro", "v=2", "x=deep/er"])
    assert [(each.name, each.folder) for each in systems] == [
        ("flash", here / "flash"),
        ("best", here / "pro"),
        ("v=2", here / "v=2"),
        ("x", here / "deep/er"),
    ]
    monkeypatch.chdir(here / "flash")
    assert [each.name for each in parse_systems([".", "../pro"])] == ["flash", "pro"]
    assert [each.name for each in parse_systems(["../deep/er/.."])] == ["deep"]


def test_wrong_systems_are_one_error(here: Path) -> None:
    (here / "a/tts/inner").mkdir(parents=True)
    (here / "b/tts").mkdir(parents=True)
    (here / "file.wav").write_text("")
    (here / "link").symlink_to("a")
    with pytest.raises(ConfigError) as caught:
        parse_systems(["a", "no", "x=gone", "file.wav", "", "y="])
    assert str(caught.value).splitlines() == [
        "--audio no: 'no' does not exist; expected a folder of audio, as DIR or NAME=DIR",
        "--audio x=gone: 'gone' does not exist; expected a folder of audio, as DIR or NAME=DIR",
        "--audio file.wav: 'file.wav' is a file; expected a folder of audio, as DIR or NAME=DIR",
        "--audio '' names no folder; expected DIR or NAME=DIR",
        "--audio 'y=' names no folder; expected DIR or NAME=DIR",
    ]
    with pytest.raises(ConfigError) as caught:
        parse_systems(["a/tts", "b/tts", "a/tts/", "in=a/tts/inner"])
    assert str(caught.value).splitlines() == [
        "--audio tts and --audio tts are two systems of one name; tell them apart: --audio NAME=tts",
        "--audio tts and --audio tts are the same folder; name it once",
        "--audio tts and --audio tts are two systems of one name; tell them apart: --audio NAME=tts",
        "--audio tts and --audio in: one folder lies in the other, so its files would count twice; "
        "name folders beside each other",
        "--audio tts and --audio in: one folder lies in the other, so its files would count twice; "
        "name folders beside each other",
    ]
    with pytest.raises(ConfigError, match="--audio a and --audio link are the same folder"):
        parse_systems(["a", "link"])
    with pytest.raises(ConfigError, match="no folder of audio; expected --audio DIR"):
        parse_systems([])


def test_a_folder_that_is_a_link_keeps_its_place(here: Path, texts: Manifest) -> None:
    voice(here / "disk/flash", "ab")
    (here / "data").mkdir()
    (here / "data/flash").symlink_to(here / "disk/flash")
    voice_texts(texts, parse_systems(["data/flash"]), output="data/corpus.csv")
    assert "flash/a.wav" in (here / "data/corpus.csv").read_text().splitlines()[1].split(",")
    assert read_manifest("data/corpus.csv", check_audio=True).column("audio") == ["flash/a.wav", "flash/b.wav"]


def test_folders_without_audio_are_an_error(here: Path, texts: Manifest) -> None:
    voice(here / "tts", "ab")
    for name in ("empty", "hidden"):
        (here / name).mkdir()
    write_wav(here / "hidden/.a.wav", 0)
    (here / "empty/a.txt").write_text("")
    with pytest.raises(ManifestError) as caught:
        voice_texts(texts, parse_systems(["tts", "empty", "hidden"]), output="corpus.csv")
    assert str(caught.value).splitlines() == [
        f"--audio {name}: the folder holds no audio; expected files named by the ids of the texts, such as {name}/a.wav"
        for name in ("empty", "hidden")
    ]


def test_names_that_are_not_utf8_are_counted_and_never_written(here: Path, texts: Manifest) -> None:
    voice(here / "tts", "a")
    for name in (b"\xff.wav", b"\xff/b.wav"):
        file = Path(os.fsdecode(os.fsencode(here / "tts") + b"/" + name))
        write_wav(file, 1)
    record = voice_texts(texts, parse_systems(["tts"]), output="corpus.csv")
    assert (record["num_voiced"], record["unmatched"]) == (1, {"tts": ["\\udcff.wav", "\\udcff/b.wav"]})
    with pytest.raises(ConfigError, match=r"the path is not UTF-8 .* rename the folder"):
        parse_systems([os.fsdecode(b"tts/\xff")])


@pytest.mark.parametrize("header", ["id,wav", "ID,Audio", "text_id,file_name"])
def test_metadata_that_names_texts_otherwise_is_refused(here: Path, texts: Manifest, header: str) -> None:
    voice(here / "tts", "ab")
    (here / "tts/metadata.csv").write_text(f"{header}\na,b.wav\nb,a.wav\n")
    with pytest.raises(ManifestError, match=r"--audio tts: metadata.csv: found columns .*; expected id and audio"):
        find_recordings(parse_systems(["tts"])[0], texts.ids)


def test_links_to_folders_are_followed_but_for_those_that_lead_back(here: Path, texts: Manifest) -> None:
    voice(here / "disk", "ab")
    (here / "tts").mkdir()
    (here / "tts/joy").symlink_to(here / "disk")
    (here / "tts/round").symlink_to(here / "tts")
    found = find_recordings(parse_systems(["tts"])[0], texts.ids)
    assert {name: Path(path).relative_to(here).as_posix() for name, path in found.by_id.items()} == {
        "a": "tts/joy/a.wav",
        "b": "tts/joy/b.wav",
    }
