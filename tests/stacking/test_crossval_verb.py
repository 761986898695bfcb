"""`crossval` from the command line to its files."""

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score, f1_score
from stacked_corpus import LABELS, data_options, write_folds

from emoji_lightning.cli import main

FEW = ["--data.batch_size", "32", "--model.hidden_dim", "24", "--model.lr", "0.003", "--trainer.max_epochs", "6"]
SIZES = (40, 31, 37)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folds(tmp_path_factory.mktemp("corpus"), SIZES, noise=2.0)


@pytest.fixture(scope="module")
def result(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("out") / "crossval"
    main(["crossval", *data_options(folder), *FEW, "--seeds", "2", "--output_dir", str(output)])
    return output


def test_every_utterance_is_predicted_once_by_heads_that_did_not_see_it(folder: Path, result: Path) -> None:
    table = pq.read_table(result / "oof.parquet").to_pydict()
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert table["id"] == [row["id"] for row in rows]
    assert table["label"] == [row["label"] for row in rows]
    assert table["fold"] == [int(row["fold"]) for row in rows]
    probabilities = np.array(table["probabilities"])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert [LABELS[best] for best in probabilities.argmax(axis=1)] == table["predicted"]


def test_the_numbers_are_those_of_scikit_learn(result: Path) -> None:
    table = pq.read_table(result / "oof.parquet").to_pydict()
    found = json.loads((result / "crossval.json").read_text(encoding="utf-8"))
    mean = found["mean_of_seeds"]
    assert mean["accuracy"] == pytest.approx(accuracy_score(table["label"], table["predicted"]))
    assert mean["macro_f1"] == pytest.approx(f1_score(table["label"], table["predicted"], average="macro"))
    low, high = mean["intervals"]["accuracy"]
    assert low < mean["accuracy"] < high
    assert mean["accuracy"] > 0.5, "the labels can be told apart"
    assert Counter(head["fold"] for head in found["heads"]) == {0: 2, 1: 2, 2: 2}
    sizes = {head["fold"]: head["test"]["num_utterances"] for head in found["heads"]}
    assert sizes == dict(enumerate(SIZES))
    weights = np.array([head["test"]["num_utterances"] for head in found["heads"]])
    accuracies = np.array([head["test"]["accuracy"] for head in found["heads"]])
    assert found["one_head"]["accuracy"]["mean"] == pytest.approx(np.average(accuracies, weights=weights))


def test_fit_takes_the_chosen_setting(folder: Path, result: Path, tmp_path: Path) -> None:
    words = ["--config", str(result / "chosen.yaml"), "--data.fold", "0", "--trainer.enable_progress_bar", "false"]
    main(["fit", *data_options(folder), *words, "--trainer.default_root_dir", str(tmp_path), "--trainer.max_epochs=1"])
    text = (tmp_path / "fit.yaml").read_text(encoding="utf-8")
    assert "hidden_dim: 24" in text
    assert "batch_size: 32" in text


def test_an_earlier_result_is_kept(folder: Path, result: Path, fails: Callable[..., str]) -> None:
    before = (result / "crossval.json").read_bytes()
    error = fails("crossval", *data_options(folder), *FEW, "--output_dir", result)
    assert "holds an earlier result: crossval.json" in error
    assert (result / "crossval.json").read_bytes() == before


def test_planted_wrong_labels_are_listed(tmp_path: Path) -> None:
    write_folds(tmp_path, (60, 60, 60), noise=1.0)
    table = tmp_path / "labels.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    planted = [7, 50, 95, 120, 160]
    for row in planted:
        name, label, *rest = lines[row].split(",")
        lines[row] = ",".join([name, LABELS[(LABELS.index(label) + 1) % 3], *rest])
    table.write_text("\n".join(lines), encoding="utf-8")
    words = ["--seeds", "1", "--output_dir", str(tmp_path / "out"), "--trainer.max_epochs", "20"]
    main(["crossval", *data_options(tmp_path), *FEW, *words])
    with (tmp_path / "out" / "suspicious.csv").open(encoding="utf-8") as file:
        suspected = [row["id"] for row in csv.DictReader(file)]
    assert len({f"u{row - 1:03d}" for row in planted} & set(suspected[:8])) >= 4


def test_made_folds_tear_no_group(tmp_path: Path) -> None:
    write_folds(tmp_path, column=False)
    words = ["--folds", "3", "--seeds", "1", "--data.group", "speaker", "--output_dir", str(tmp_path / "out")]
    main(["crossval", *data_options(tmp_path), *FEW, *words])
    table = pq.read_table(tmp_path / "out" / "oof.parquet").to_pydict()
    assert sorted(table["id"]) == [f"u{row:03d}" for row in range(sum(SIZES))]
    homes = {(int(name[1:]) % 12, fold) for name, fold in zip(table["id"], table["fold"], strict=True)}
    assert len(homes) == 12
    found = json.loads((tmp_path / "out" / "crossval.json").read_text(encoding="utf-8"))
    assert found["mean_of_seeds"]["intervals"]["over"] == "speaker"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--folds", "4"], r"--folds is 4, column 'fold' of labels.csv has 3"),
        (["--folds", "2"], "--folds is 2; expected 3 or more"),
        (["--seeds", "0"], "--seeds is 0; expected at least 1"),
        (["--data.fold", "1"], "--data.fold is 1; many heads at once"),
        (["--data.group", "speaker"], "speaker 's4' in folds 0 and 1"),
        (["--trainer.accumulate_grad_batches", "2"], "--trainer.accumulate_grad_batches is 2"),
        (["--trainer.gradient_clip_val", "1"], "--trainer.gradient_clip_val is 1"),
        (["--trainer.min_epochs", "3"], "--trainer.min_epochs is 3"),
        (["--trainer.callbacks", "DeviceStatsMonitor"], "--trainer.callbacks has DeviceStatsMonitor"),
        (["--checkpoint.monitor", "train/loss"], "--checkpoint.monitor is train/loss"),
        (["--sedes", "2"], "crossval has no option --sedes; did you mean --seeds"),
    ],
)
def test_a_wrong_option_is_named(
    words: list[str], message: str, folder: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    error = fails("crossval", *data_options(folder), *FEW, "--output_dir", tmp_path / "out", *words)
    assert message in error
    assert not (tmp_path / "out").exists()
