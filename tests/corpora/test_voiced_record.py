"""What the terminal says of a corpus, and what changed since the last run."""

import shutil
from pathlib import Path

import pytest
from tts_folders import voice, write_wav

from emoji_lightning.cli import main
from emoji_lightning.corpora.systems import parse_systems
from emoji_lightning.corpora.voiced import voice_texts
from emoji_lightning.corpora.voiced_record import describe_changes, read_last, render_record
from emoji_lightning.manifest import Manifest, read_manifest


def show(texts: Manifest, capsys: pytest.CaptureFixture[str], *folders: str, keep: str = "first") -> list[str]:
    record = voice_texts(texts, parse_systems(folders), output="corpus.csv", keep=keep)
    render_record(record, Path("corpus.csv"))
    return capsys.readouterr().out.splitlines()


def test_the_terminal_shows_counts_and_where_the_list_lies(
    here: Path, texts: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    voice(here / "flash", "abc")
    voice(here / "pro", "bdx", start=10)
    (here / "flash/c.wav").write_text("no audio")
    lines = show(texts, capsys, "flash", "pro")
    assert [line.split() for line in lines[:5]] == [
        ["label", "texts", "flash", "pro", "kept", "missing"],
        ["<none>", "2", "0", "0", "0", "2"],
        ["joy", "2", "1", "1", "2", "0"],
        ["sad", "2", "1", "0", "1", "1"],
        ["all", "6", "2", "1", "3", "3"],
    ]
    assert lines[5:] == [
        "3 of 6 texts are voiced: 3 utterances, 0.00 h; audio files: flash 3, pro 3",
        "2 texts have no audio, 1 files cannot be decoded, 1 voice no text",
        "pro: no text has the id of x.wav",
        "dropped, each with its reason: corpus.dropped.csv",
    ]


def test_missing_counts_texts_also_where_all_utterances_are_kept(
    here: Path, texts: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    voice(here / "flash", "abcde")
    voice(here / "pro", "abcd", start=10)
    lines = show(texts, capsys, "flash", "pro", keep="all")
    assert lines[4].split() == ["all", "6", "5", "4", "9", "1"]
    assert "keep them in one split with `split --group source_id`" in lines[-2]


def test_where_nothing_is_dropped_no_list_is_named(
    here: Path, texts: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    voice(here / "flash", "abcdef")
    assert show(texts, capsys, "flash")[-1].startswith("0 texts have no audio, 0 files")


def test_labels_of_the_card_come_first_in_its_order(here: Path) -> None:
    rows = [f"{name},{label}" for name, label in zip("abcde", ("b", "🙄", "a", "<none>", "😭"), strict=True)]
    (here / "texts.csv").write_text("\n".join(["id,label", *rows]), encoding="utf-8")
    voice(here / "tts", "abcde")
    record = voice_texts(read_manifest("texts.csv"), parse_systems(["tts"]), output="corpus.csv")
    assert list(record["counts"]["before"]["texts"]) == ["<none>", "😭", "🙄", "a", "b"]


def test_five_warnings_are_shown_and_the_others_counted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "texts.csv").write_text("id,label\n" + "".join(f"t{number:02d},joy\n" for number in range(14)))
    for number in range(14):
        write_wav(here / f"tts/t{number:02d}.wav", number // 2)
    lines = show(read_manifest("texts.csv"), capsys, "tts")
    warnings = [line for line in lines if line.startswith("warning: ")]
    assert warnings[0] == "warning: different texts have the same audio, byte for byte: t00, t01; listen to one of them"
    assert warnings[5:] == ["warning: ... and 2 more, all in corpus.csv.json"]


def test_changes_since_the_last_run_are_counted(here: Path, texts: Manifest) -> None:
    assert read_last(here / "corpus.csv") is None
    voice(here / "pro", "abc")
    voice_texts(texts, parse_systems(["pro"]), output="corpus.csv")
    before = read_last(here / "corpus.csv")
    voice(here / "flash", "bde", start=10)
    (here / "pro/c.wav").unlink()
    voice_texts(texts, parse_systems(["flash", "pro"]), output="corpus.csv")
    now = read_last(here / "corpus.csv")
    assert now
    assert describe_changes(before, now, "corpus.csv") == (
        "since the last corpus.csv: 2 utterances are new, 1 have another file, 1 are gone"
    )
    assert describe_changes(None, now, "corpus.csv") == ""


@pytest.mark.parametrize(
    "content", [b"", b"\x00\xff\xfe junk", b'id,label\n"a,joy\n', b"id,label\na,joy\n", b"PAR1PAR1"]
)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_damaged_output_stops_nothing(here: Path, texts: Manifest, content: bytes, suffix: str) -> None:
    output = here / f"corpus{suffix}"
    output.write_bytes(content)
    assert read_last(output) == {}
    voice(here / "tts", "ab")
    voice_texts(texts, parse_systems(["tts"]), output=output)
    now = read_last(output)
    assert now
    assert "which could not be read: 2 utterances are new" in describe_changes({}, now, output.name)


def test_the_verb_says_what_is_new_whatever_became_of_the_last_manifest(
    here: Path, texts: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    voice(here / "tts", "ab")
    words = ("corpus", "texts.csv", "--audio", "tts", "--output", "corpus.csv")
    main(words)
    assert "since the last" not in capsys.readouterr().out
    shutil.move("tts/b.wav", "tts/c.wav")
    main(words)
    assert "since the last corpus.csv: 1 utterances are new, 0 have another file, 1 are gone" in capsys.readouterr().out
    for damaged in ("corpus.csv", "corpus.csv.json"):
        (here / damaged).write_bytes(b"\xff[")
        main(words)
        assert "the last corpus.csv, which could not be read: 2 utterances are new" in capsys.readouterr().out
