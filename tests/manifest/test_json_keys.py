"""JSONL with the keys of NeMo and of EmoBox."""

import json
from pathlib import Path

import pytest
from manifest_files import FIXTURES, as_rows, write

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest import Manifest, read_manifest


def read_lines(folder: Path, *rows: dict[str, object], **options: object) -> Manifest:
    content = "".join(json.dumps(row) + "\n" for row in rows)
    return read_manifest(write(folder, content, "m.jsonl"), **options)  # type: ignore[arg-type]


def test_nemo_offsets_and_durations_are_segments() -> None:
    manifest = read_manifest(FIXTURES / "nemo" / "train_manifest.json")
    assert manifest.ids == [
        "wav/session1.wav#1.1-3.3",
        "wav/session1.wav#3.3-4.55",
        "wav/b c.wav",
        "wav/d.wav#0.5-",
    ]
    assert manifest.seconds("start") == [1.1, 3.3, None, 0.5]
    assert manifest.seconds("end") == [3.3, 4.55, None, None]
    assert manifest.column("duration") == [2.2, 1.25, 4.5, None]
    assert manifest.column("label") == ["joy", "anger", "joy", "anger"]
    assert manifest.column("text")[3] == "Ärger"
    assert not manifest.has("offset")
    assert manifest.where(3) == "train_manifest.json:4"


def test_a_nemo_duration_without_offsets_is_a_column_like_any_other() -> None:
    manifest = read_manifest(FIXTURES / "nemo" / "commands_manifest.json", columns={"label": "command"})
    assert as_rows(manifest) == [
        {"audio": "joy/a.wav", "duration": 0.98, "label": "joy"},
        {"audio": "anger/b.wav", "duration": 1.0, "label": "anger"},
    ]


def test_an_offset_is_nemo_s_beside_nemo_s_audio_only(tmp_path: Path) -> None:
    other = read_lines(tmp_path, {"audio": "a.wav", "offset": 3, "duration": 1})
    assert as_rows(other) == [{"audio": "a.wav", "offset": 3, "duration": 1}]
    mapped = read_lines(
        tmp_path, {"audio_filepath": "a.wav", "offset": 3, "duration": 1}, columns={"audio": "audio_filepath"}
    )
    assert mapped.ids == ["a.wav#3-4"]
    kept = read_lines(tmp_path, {"audio_filepath": "a.wav", "offset": 3, "start": 0.5})
    assert kept.column("offset") == [3]


def test_nemo_s_wrong_times_are_all_named(tmp_path: Path) -> None:
    rows = [
        {"audio_filepath": "a.wav", "offset": "abc", "duration": 1.0},
        {"audio_filepath": "b.wav", "offset": 0.5, "duration": -1.0},
        {"audio_filepath": "c.wav", "offset": -0.5, "duration": 2.0},
        {"audio_filepath": "d.wav", "offset": 0.5, "duration": [1]},
        {"audio_filepath": "e.wav", "offset": 2.0, "duration": 0.0},
        {"audio_filepath": "f.wav", "offset": None, "duration": -1.0},
    ]
    with pytest.raises(ManifestError, match=r"expected seconds as a number from 0 on") as caught:
        read_lines(tmp_path, *rows)
    assert [line.partition(";")[0] for line in str(caught.value).splitlines()] == [
        "m.jsonl:1: offset is 'abc'",
        "m.jsonl:2: duration is '-1.0'",
        "m.jsonl:3: offset is '-0.5'",
        "m.jsonl:4: duration is '[1]'",
        "m.jsonl:5: start 2.0 s is not before end 2.0 s",
    ]


def test_a_negative_duration_is_named_where_all_are_numbers(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"^m\.jsonl:2: duration is -1; expected seconds.*$"):
        read_lines(
            tmp_path,
            {"audio_filepath": "a.wav", "offset": 0, "duration": 1},
            {"audio_filepath": "b.wav", "offset": 0.5, "duration": -1},
        )


def test_emobox_keys_are_id_audio_and_label(tmp_path: Path) -> None:
    manifest = read_manifest(FIXTURES / "emobox" / "aesdd.jsonl", audio_root=tmp_path)
    assert manifest.ids == ["aesdd-a91-2b", "aesdd-d93-4"]
    assert manifest.column("label") == ["a", "d"]
    assert manifest.audio_path(0) == tmp_path / "downloads" / "aesdd" / "anger" / "a91 (2)b.wav"
    assert manifest.column("num_frame") == [99225.0, 154349.99999999997]
    assert manifest.column("dataset") == ["aesdd", "aesdd"]


def test_emobox_times_of_pavoque_are_a_segment() -> None:
    manifest = read_manifest(FIXTURES / "emobox" / "pavoque.jsonl")
    assert (manifest.seconds("start"), manifest.seconds("end")) == ([0.25], [2.75])


def test_what_is_asked_for_goes_before_emobox_s_keys() -> None:
    manifest = read_manifest(FIXTURES / "emobox" / "aesdd.jsonl", columns={"label": "dataset"})
    assert manifest.column("label") == ["aesdd", "aesdd"]
    assert manifest.column("emo") == ["a", "d"]
    with pytest.raises(ManifestError, match=r"no column 'emotion' .*found columns \['key', 'dataset', 'wav'.*=emo\?"):
        read_manifest(FIXTURES / "emobox" / "aesdd.jsonl", columns={"label": "emotion"})


def test_the_keys_are_emobox_s_only_where_wav_is_the_audio(tmp_path: Path) -> None:
    manifest = read_lines(tmp_path, {"audio": "a.wav", "wav": "x", "key": "k", "emo": "e"})
    assert as_rows(manifest) == [{"audio": "a.wav", "wav": "x", "key": "k", "emo": "e"}]
    own = read_lines(tmp_path, {"wav": "a.wav", "key": "k", "id": "mine", "emo": "e"})
    assert as_rows(own) == [{"audio": "a.wav", "key": "k", "id": "mine", "label": "e"}]


def test_emobox_s_indented_json_is_answered_with_its_json_lines() -> None:
    with pytest.raises(ManifestError, match=r"^aesdd\.json: one JSON document over many lines; .*of EmoBox take the"):
        read_manifest(FIXTURES / "emobox" / "aesdd.json")
