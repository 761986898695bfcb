"""From texts and TTS folders to splits, in two commands."""

import csv
import json
from pathlib import Path

import pytest
from tts_folders import read_dropped, voice, write_texts, write_wav

from emoji_lightning.cli import main
from emoji_lightning.labels import CARD_LABELS, NONE

FOLDERS = ("--audio", "flash", "--audio", "pro")


def read(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def fail(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        main(words)
    error = capsys.readouterr().err
    assert error.startswith("error: ") or "usage:" in error
    assert "Traceback" not in error
    return error


def test_texts_become_utterances_and_grow_as_audio_arrives(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_texts(here, "abcdefghijkl", header="id,text,label")
    voice(here / "flash", "abcdefgh")
    voice(here / "pro", "aj", start=20)
    (here / "flash/c.wav").write_bytes(b"RIFF")
    main(["corpus", "texts.csv", *FOLDERS, "--output", "corpus.csv"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "8 of 12 texts are voiced: 8 utterances" in shown
    assert "3 texts have no audio, 1 files cannot be decoded, 0 voice no text" in shown
    assert "dropped, each with its reason: corpus.dropped.csv" in shown
    assert [row["id"] for row in read("corpus.csv")] == list("abdefghj")
    assert [(row["id"], row["system"]) for row in read_dropped(here / "corpus.dropped.csv")] == [
        ("c", "flash"),
        ("i", ""),
        ("k", ""),
        ("l", ""),
    ]
    main(["split", "corpus.csv", "--output", "split.csv", "--dev", "2", "--test", "0"])
    before = {row["id"]: row["split"] for row in read("split.csv")}
    first = Path("corpus.csv").read_bytes()
    main(["corpus", "texts.csv", *FOLDERS, "--output", "corpus.csv"])
    assert Path("corpus.csv").read_bytes() == first
    write_wav(here / "flash/c.wav", 40)
    voice(here / "pro", "kl", start=30)
    capsys.readouterr()
    main(["corpus", "texts.csv", *FOLDERS, "--output", "corpus.csv"])
    assert "since the last corpus.csv: 3 utterances are new, 0 have another file, 0 are gone" in capsys.readouterr().out
    main(["split", "corpus.csv", "--output", "split.csv", "--update"])
    after = {row["id"]: row["split"] for row in read("split.csv")}
    assert {name: after[name] for name in before} == before
    assert sorted(after) == list("abcdefghjkl")


def test_all_systems_are_kept_apart_and_their_texts_together(here: Path) -> None:
    write_texts(here, [f"t{number:02d}" for number in range(30)])
    for number in range(30):
        write_wav(here / f"flash/t{number:02d}.wav", number)
        write_wav(here / f"pro/t{number:02d}.wav", 100 + number)
    main(["corpus", "texts.csv", *FOLDERS, "--output", "corpus.csv", "--keep", "all"])
    assert len(read("corpus.csv")) == 60
    main(["split", "corpus.csv", "--output", "split.csv", "--dev", "6", "--test", "6", "--group", "source_id"])
    homes = {(row["source_id"], row["split"]) for row in read("split.csv")}
    assert len(homes) == 30


def test_foreign_tables_of_texts_are_mapped(here: Path) -> None:
    Path("lines.csv").write_text("key,sentence,emotion\na,Hi,joy\nb,Ho,calm\nc,Ha,sad\n")
    Path("map.yaml").write_text("joy: 😊\nsad: 😭\ncalm: null\n", encoding="utf-8")
    voice(here / "flash", "abc")
    columns = ("--column", "id=key", "--column", "text=sentence", "--column", "label=emotion", "--labels", "map.yaml")
    main(["corpus", "lines.csv", "--audio", "flash", "--output", "corpus.csv", *columns])
    assert [(row["id"], row["text"], row["label"]) for row in read("corpus.csv")] == [
        ("a", "Hi", "😊"),
        ("c", "Ha", "😭"),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--audio", "nowhere", "--output", "c.csv"), "--audio nowhere: 'nowhere' does not exist; expected a folder"),
        (("--audio", "texts.csv", "--output", "c.csv"), "'texts.csv' is a file; expected a folder of audio"),
        (("--audio", "flash", "--audio", "flash", "--output", "c.csv"), "are the same folder; name it once"),
        (("--audio", "empty", "--output", "c.csv"), "--audio empty: the folder holds no audio"),
        (("--audio", "other", "--output", "c.csv"), "texts.csv: no text is voiced: for the id 'a' a file such as"),
        (("--audio", "flash", "--output", "texts.csv"), "--output would replace texts.csv, the table of texts"),
        (("--audio", "flash", "--output", "c.txt"), "c.txt: cannot write format '.txt'"),
        (("--audio", "flash", "--output", "c.csv", "--keep", "best"), "--keep is 'best'; expected first or all"),
        (("--audio", "flash"), "the following arguments are required: --output"),
        (("--output", "c.csv"), "the following arguments are required: --audio"),
    ],
)
def test_what_cannot_be_meant_is_one_error_and_writes_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    write_texts(here, "abc")
    voice(here / "flash", "ab")
    voice(here / "other", "xy")
    (here / "empty").mkdir()
    before = sorted(path.name for path in here.iterdir())
    assert message in " ".join(fail(capsys, "corpus", "texts.csv", *words).split())
    assert sorted(path.name for path in here.iterdir()) == before


@pytest.mark.slow
def test_the_arithmetic_of_the_original_corpus(here: Path) -> None:
    """22,000 texts, 2,000 of each label; 60 without audio leave 21,940 = 19,945 + 1,995, and 19,940/1,000/1,000."""
    with Path("texts.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "text", "label"])
        rows.writerows(
            [f"t{number:05d}", f"This is text {number}.", CARD_LABELS[number % 11]] for number in range(22_000)
        )
    emoji = [number for number in range(22_000) if CARD_LABELS[number % 11] != NONE]
    none = [number for number in range(22_000) if CARD_LABELS[number % 11] == NONE]
    missing = {*emoji[: 55 * 301 : 301], *none[: 5 * 301 : 301]}
    for number in sorted(set(range(22_000)) - missing):
        write_wav(Path("flash" if number % 3 else "pro") / f"t{number:05d}.wav", number, seconds=0.005)
    main(["corpus", "texts.csv", *FOLDERS, "--output", "corpus.csv"])
    main(["split", "corpus.csv", "--output", "split.csv", "--dev", "1000", "--test", "1000"])
    record = json.loads(Path("corpus.csv.json").read_text(encoding="utf-8"))
    kept = record["counts"]["after"]["labels"]
    assert (len(missing), record["num_utterances"], record["num_missing"]) == (60, 21_940, 60)
    assert (sum(kept.values()) - kept[NONE], kept[NONE]) == (19_945, 1_995)
    counts = json.loads(Path("split.csv.json").read_text(encoding="utf-8"))["counts"]
    assert [sum(counts[name].values()) for name in ("train", "dev", "test")] == [19_940, 1_000, 1_000]
    assert sorted(counts["dev"].values()) == sorted(counts["test"].values()) == [90] + [91] * 10
    assert len(read_dropped(Path("corpus.dropped.csv"))) == 60
