"""Kaldi data directories."""

import shutil
from pathlib import Path

import pytest
from manifest_files import FIXTURES, as_rows, write

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest import Manifest, read_manifest


def read_files(folder: Path, **files: str | bytes) -> Manifest:
    for name, content in files.items():
        write(folder, content, "wav.scp" if name == "wav" else name)
    return read_manifest(folder)


def problems_of(folder: Path, **files: str | bytes) -> list[str]:
    with pytest.raises(ManifestError, match=":") as caught:
        read_files(folder, **files)
    return [line.partition(";")[0] for line in str(caught.value).splitlines()]


@pytest.mark.parametrize("name", ["", "wav.scp"])
def test_the_folder_and_its_script_are_the_same_manifest(name: str) -> None:
    manifest = read_manifest(FIXTURES / "kaldi" / "whole" / name)
    assert as_rows(manifest) == [
        {
            "id": "ada-001",
            "audio": "wav/ada 001.wav",
            "label": "joy",
            "text": "so good to see you",
            "speaker": "ada",
        },
        {"id": "ada-002", "audio": "wav/ada-002.wav", "label": "anger", "text": "", "speaker": "ada"},
        {"id": "bo-001", "audio": "wav/bo-001.flac", "label": "joy", "text": '"not" that', "speaker": "bo"},
    ]
    assert manifest.where(2) == "wav.scp:3"
    assert manifest.root == FIXTURES / "kaldi" / "whole"


def test_segments_cut_recordings() -> None:
    manifest = read_manifest(FIXTURES / "kaldi" / "segments")
    assert manifest.column("audio") == ["wav/session1.wav", "wav/session1.wav", "wav/session2.wav"]
    assert (manifest.seconds("start"), manifest.seconds("end")) == ([1.1, 3.0, 0.0], [2.36, 4.5, None])
    assert manifest.column("label") == ["joy", "anger", "joy"]
    assert manifest.where(1) == "segments:2"


def test_blanks_tabs_and_order_do_not_matter(tmp_path: Path) -> None:
    wav = b"\xef\xbb\xbf  u1 \t a b.wav \r\nu2\tx\ty.wav\r\n\n"
    manifest = read_files(tmp_path, wav=wav, utt2label="u2 \U0001f602\nu1 very  happy\n")
    assert as_rows(manifest) == [
        {"id": "u1", "audio": "a b.wav", "label": "very  happy"},
        {"id": "u2", "audio": "x\ty.wav", "label": "\U0001f602"},
    ]


def test_a_tab_may_stand_between_and_blanks_behind_it(tmp_path: Path) -> None:
    assert as_rows(read_files(tmp_path, wav="u1\ta b.wav\n")) == [{"id": "u1", "audio": "a b.wav"}]


def test_labels_are_optional_and_the_first_file_of_them_counts(tmp_path: Path) -> None:
    assert as_rows(read_files(tmp_path, wav="u1 a.wav\n")) == [{"id": "u1", "audio": "a.wav"}]
    assert read_files(tmp_path, wav="u1 a.wav\n", utt2emotion="u1 sad\n").column("label") == ["sad"]
    assert read_files(tmp_path, wav="u1 a.wav\n", utt2label="u1 joy\n").column("label") == ["joy"]


def test_columns_are_mapped_here_too(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "kaldi" / "whole", tmp_path / "data")
    manifest = read_manifest(tmp_path / "data", columns={"source_id": "speaker"})
    assert manifest.column("source_id") == ["ada", "ada", "bo"]
    with pytest.raises(
        ManifestError, match=r"wav\.scp: no column 'emotion' .* \['id', 'audio', 'label', 'text', 'speaker'\]"
    ):
        read_manifest(tmp_path / "data", columns={"label": "emotion"})


@pytest.mark.parametrize(
    ("audio", "what"),
    [
        ("touch {marker} |", "a command, which is never run"),
        ("sph2pipe -f wav a.sph |", "a command, which is never run"),
        ("| touch {marker}", "a command, which is never run"),
        ("-", "a command, which is never run"),
        ("raw.ark:1234", "a place in an archive"),
        ("raw.ark:1234[0:51]", "a place in an archive"),
    ],
)
@pytest.mark.parametrize("segments", [False, True])
def test_commands_are_never_run(tmp_path: Path, audio: str, what: str, segments: bool) -> None:
    marker = tmp_path / "marker"
    audio = audio.format(marker=marker)
    files = {"wav": f"u1 a.wav\nu2 {audio}\n"} | ({"segments": "s1 u2 0 1\n"} if segments else {})
    with pytest.raises(ManifestError) as caught:
        read_files(tmp_path, **files)
    assert str(caught.value).startswith(f"wav.scp:2: audio of 'u2' is {audio!r}, {what}; write the audio out")
    assert "wav-copy scp:wav.scp scp:files.scp" in str(caught.value)
    assert not marker.exists()


def test_all_problems_come_with_their_own_file_and_line(tmp_path: Path) -> None:
    found = problems_of(
        tmp_path,
        wav="u1 a.wav\nu2\nu3 c.wav\nu1 d.wav\n",
        utt2label="u1 joy\nu9 sad\nu3\n",
        utt2spk="u1 ada\nu3 two words\n",
        text="u1 hello\nu3\n",
    )
    assert found == [
        "wav.scp:2: 1 fields, 'u2'",
        "wav.scp:3: utterance 'u3' has no line in utt2label",
        "wav.scp:3: utterance 'u3' has no line in utt2spk",
        "wav.scp:4: id 'u1' stands in line 1 too",
        "utt2label:2: utterance 'u9' has no line in wav.scp",
        "utt2label:3: 1 fields, 'u3'",
        "utt2spk:2: 3 fields, 'u3 two words'",
    ]


def test_all_problems_of_segments_come_at_once(tmp_path: Path) -> None:
    segments = "s1 r1 0 1\ns2 r1 x 2\ns3 r1 2 1\ns4 r7 0 1\ns5 r1 0\ns6 r1 0 1 1\ns7 r1 0 -2\n"
    assert problems_of(tmp_path, wav="r1 a.wav\nr2 unused.wav\n", segments=segments) == [
        "segments:2: start is 'x'",
        "segments:3: start 2.0 s is not before end 1.0 s",
        "segments:4: recording 'r7' of 's4' has no line in wav.scp",
        "segments:5: 3 fields",
        "segments:6: 5 fields",
        "segments:7: end is '-2'",
    ]


def test_keys_that_stand_twice_in_a_file_beside_the_rows_are_named(tmp_path: Path) -> None:
    files = {"wav": "r1 a.wav\nr1 b.wav\n", "segments": "s1 r1 0 1\n", "utt2label": "s1 joy\ns1 sad\n"}
    assert problems_of(tmp_path, **files) == [
        "wav.scp:2: 'r1' stands in line 1 too",
        "utt2label:2: 's1' stands in line 1 too",
    ]


def test_a_file_of_another_encoding_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"^utt2label:2: byte 0xC4 is not UTF-8; save it as UTF-8"):
        read_files(tmp_path, wav="u1 a.wav\nu2 b.wav\n", utt2label=b"u1 joy\nu2 \xc4rger\n")
    with pytest.raises(ManifestError, match=r"^wav\.scp: the file is UTF-16; save it as UTF-8"):
        read_files(tmp_path, wav="u1 a.wav\n".encode("utf-16"))


def test_kaldi_paths_are_found_below_the_audio_root(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    write(tmp_path / "data", f"u1 wav/a.wav\nu2 {tmp_path}/corpus/b.wav\n", "wav.scp")
    manifest = read_manifest(tmp_path / "data", audio_root=tmp_path / "corpus")
    assert manifest.audio_paths() == [tmp_path / "corpus" / "wav" / "a.wav", tmp_path / "corpus" / "b.wav"]
    with pytest.raises(ManifestError, match=r"^wav\.scp:2: audio '.*' lies outside"):
        read_manifest(tmp_path / "data")
