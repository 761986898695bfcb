"""`split` as it is typed, and the training that follows from it."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from emoji_lightning.cli import main

Run = Callable[..., str]
EMOTIONS = ("joy", "sad", "calm")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """45 tones of 0.2 s of three emotions, 9 speakers, a text each, in a table with foreign column names."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    rows = ["wav,emotion,speaker,text"]
    for number in range(45):
        tone = 0.3 * np.sin(2 * np.pi * (200 + 40 * number) * np.arange(3200) / 16_000)
        soundfile.write(folder / f"{number:02d}.wav", tone, 16_000)
        rows.append(f"{number:02d}.wav,{EMOTIONS[number % 3]},s{number // 5},text {number}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    (folder / "map.yaml").write_text("joy: 😊\nsad: 😭\ncalm: null\n", encoding="utf-8")
    return folder / "labels.csv"


def split(corpus: Path, *more: object) -> None:
    output = corpus.parent.parent / "split.csv"
    columns = ("--column", "audio=wav", "--column", "label=emotion")
    main([str(word) for word in ("split", corpus, "--output", output, *columns, *more)])


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_foreign_columns_and_labels_are_split_embedded_and_trained_on(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, output, run = tmp_path / "store", tmp_path / "split.csv", tmp_path / "run"
    main(["embed", str(corpus), "--column", "audio=wav", "--store", str(store), "--encoder", "logmel"])
    split(corpus, "--labels", corpus.parent / "map.yaml", "--dev", 4, "--test", 4, "--store", store)
    rows = read(output)
    assert [row["label"] for row in rows] == ["😊", "😭"] * 15
    assert [row["audio"] for row in rows[:2]] == ["corpus/00.wav", "corpus/01.wav"]
    assert "near_duplicate" in json.loads((tmp_path / "split.csv.json").read_text())["checked"]
    quick = ["--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false"]
    where = ["--data.store", str(store), "--trainer.default_root_dir", str(run)]
    labels = ["--data.labels", "[😊, 😭]"]
    main(["fit", "--data.manifest", str(output), *where, *labels, *quick])
    main(["test", "--trainer.default_root_dir", str(run), "--trainer.enable_progress_bar", "false"])
    assert pq.read_table(run / "predictions.test.parquet").num_rows == 4
    foreign = ["--data.columns", "{audio: wav, label: emotion}", "--data.label_map", str(corpus.parent / "map.yaml")]
    main(["fit", "--data.manifest", str(corpus), *where, *foreign, *quick])
    assert "last dev/macro_f1" in capsys.readouterr().out
    main(["test", "--trainer.default_root_dir", str(run), "--trainer.enable_progress_bar", "false"])
    assert set(pq.read_table(run / "predictions.test.parquet")["label"].to_pylist()) == {"😊", "😭"}


@pytest.mark.parametrize("fold", [0, 2])
def test_a_fold_is_trained_on_the_others(corpus: Path, tmp_path: Path, fold: int) -> None:
    store, run = tmp_path / "store", tmp_path / "run"
    split(corpus, "--folds", 3, "--group", "speaker")
    folds = {row["audio"]: int(row["fold"]) for row in read(tmp_path / "split.csv")}
    assert sorted(folds.values()) == [0] * 15 + [1] * 15 + [2] * 15
    main(["embed", str(tmp_path / "split.csv"), "--store", str(store), "--encoder", "logmel"])
    quick = ["--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false"]
    data = ["--data.manifest", str(tmp_path / "split.csv"), "--data.store", str(store), "--data.fold", str(fold)]
    main(["fit", *data, "--trainer.default_root_dir", str(run), *quick])
    main(["test", "--trainer.default_root_dir", str(run), "--trainer.enable_progress_bar", "false"])
    tested = pq.read_table(run / "predictions.test.parquet")["id"].to_pylist()
    assert sorted(f"corpus/{name}" for name in tested) == sorted(name for name, each in folds.items() if each == fold)


def test_a_fold_that_is_not_there_is_refused(corpus: Path, tmp_path: Path, fails: Run) -> None:
    store = tmp_path / "store"
    split(corpus, "--folds", 3)
    main(["embed", str(tmp_path / "split.csv"), "--store", str(store), "--encoder", "logmel"])
    data = ("--data.manifest", tmp_path / "split.csv", "--data.store", store)
    run = ("--trainer.default_root_dir", tmp_path / "run")
    error = fails("fit", *data, "--data.fold", 3, *run)
    assert "--data.fold is 3, the folds of split.csv are [0, 1, 2]; expected one of them" in error
    assert "split.csv has a column 'fold' and none 'split'; say which fold is test" in fails("fit", *data, *run)
    assert "no column 'fold'" in fails(
        "fit",
        *data,
        "--data.manifest",
        corpus,
        "--data.fold",
        0,
        *run,
        "--data.columns",
        "{audio: wav, label: emotion}",
    )


def test_an_update_takes_the_options_of_the_earlier_run(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split(corpus, "--update", "--dev", 6, "--test", 6, "--group", "speaker", "--seed", 5)
    assert f"no earlier split at {tmp_path / 'split.csv'}: split anew" in capsys.readouterr().out
    before = {row["audio"]: row["split"] for row in read(tmp_path / "split.csv")}
    for number in range(45, 60):
        soundfile.write(corpus.parent / f"{number}.wav", np.full(1600, number / 100), 16_000)
    more = [f"{number}.wav,{EMOTIONS[number % 3]},s{number // 5},text {number}" for number in range(45, 60)]
    corpus.write_text(corpus.read_text() + "\n".join(more) + "\n")
    split(corpus, "--update")
    after = {row["audio"]: row["split"] for row in read(tmp_path / "split.csv")}
    assert {audio: after[audio] for audio in before} == before
    assert "split.csv: 45 utterances kept, 15 new, 0 gone" in capsys.readouterr().out
    record = json.loads((tmp_path / "split.csv.json").read_text())
    columns = {"audio": "wav", "label": "emotion"}
    assert record["options"] == {"dev": 6, "test": 6, "group": ["speaker"], "seed": 5, "columns": columns}
    assert record["checked"]["speaker"] == 0
    split(corpus, "--update", "--dev", 12)
    assert json.loads((tmp_path / "split.csv.json").read_text())["options"]["dev"] == 12


def test_an_update_remembers_how_labels_were_read_and_what_was_allowed(corpus: Path, tmp_path: Path) -> None:
    for number in range(1, 45):
        (corpus.parent / f"{number:02d}.wav").write_bytes((corpus.parent / "00.wav").read_bytes())
    split(corpus, "--labels", corpus.parent / "map.yaml", "--dev", 4, "--test", 4, "--allow", "audio")
    split(corpus, "--update")
    assert {row["label"] for row in read(tmp_path / "split.csv")} == {"😊", "😭"}
    assert len(read(tmp_path / "split.csv")) == 30
    main(["split", "--check", str(tmp_path / "split.csv")])


def test_an_update_that_would_keep_nothing_is_refused(corpus: Path, tmp_path: Path, fails: Run) -> None:
    split(corpus, "--dev", 6, "--test", 6)
    before = (tmp_path / "split.csv").read_bytes()
    (tmp_path / "other.csv").write_text("wav,emotion\n" + "".join(f"x{row},{EMOTIONS[row % 2]}\n" for row in range(40)))
    error = fails("split", tmp_path / "other.csv", "--output", tmp_path / "split.csv", "--update")
    assert (
        "none of the 45 utterances of split.csv ('corpus/00.wav', ...) is in other.csv ('x0', ...); their ids differ"
        in error
    )
    assert (tmp_path / "split.csv").read_bytes() == before


def test_a_check_of_ones_own_split_is_quiet_and_of_a_leaking_one_fails(
    corpus: Path, tmp_path: Path, fails: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    split(corpus, "--dev", 6, "--test", 6)
    main(["split", "--check", str(tmp_path / "split.csv")])
    assert "warning: the same speaker is heard in several splits" in capsys.readouterr().out
    assert "speaker: the same speaker is in several splits: " in fails(
        "split", "--check", tmp_path / "split.csv", "--group", "speaker"
    )
    dev = next(row["audio"] for row in read(tmp_path / "split.csv") if row["split"] == "dev")
    train = next(row["audio"] for row in read(tmp_path / "split.csv") if row["split"] == "train")
    (tmp_path / dev).write_bytes((tmp_path / train).read_bytes())
    error = fails("split", "--check", tmp_path / "split.csv")
    assert error.startswith("error: audio: the same audio is in several splits: 1\n  audio in train (split.csv:")
    assert "keep it together with --group audio, or accept it with --allow audio" in error
    main(["split", "--check", str(tmp_path / "split.csv"), "--allow", "audio"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--output is missing; name the manifest to write, or give --check"),
        (("--check", "--output", "x.csv"), "--check writes nothing; leave out --output and --update"),
        (("--check", "--update"), "--check writes nothing; leave out --output and --update"),
        (("--output", "x.csv", "--folds", 3, "--dev", 2), "--folds takes the place of --dev and --test"),
        (("--output", "x.csv", "--column", "label"), "'label' is not OURS=THEIRS, as in label=emotion"),
        (("--output", "x.csv", "--column", "label=emo"), "no column 'emo' to take as 'label'"),
        (("--output", "x.csv", "--allow", "everything"), "--allow everything: expected a leak's name: id, text, audio"),
        (("--output", "x.csv", "--seed", -1), "--seed is -1; expected 0 or more"),
        (("--output", "x.csv", "--store", "nowhere"), "nowhere"),
    ],
)
def test_options_that_cannot_be_meant(
    corpus: Path, fails: Run, words: tuple[object, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus.parent)
    columns = () if "label=emo" in words else ("--column", "label=emotion")
    assert message in fails("split", corpus, "--column", "audio=wav", *columns, *words)
    assert not (corpus.parent / "x.csv").exists()
