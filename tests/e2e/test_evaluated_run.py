"""`test` and `validate`: numbers with intervals, calibration, abstention, curves and report, from the predictions."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn import metrics as sklearn_metrics
from spoken_emoji import LABELS, write_sound
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from emoji_lightning.cli import main
from emoji_lightning.labels import ascii_alias

QUIET = ["--trainer.enable_progress_bar", "false"]
SIZES = {"train": 45, "dev": 30, "test": 36}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on utterances of which every fifth sounds like another label."""
    folder = tmp_path_factory.mktemp("evaluation")
    rows = [["audio", "label", "split", "speaker", "text"]]
    splits = [split for split, size in SIZES.items() for _ in range(size)]
    for number, split in enumerate(splits):
        path = folder / "audio" / f"{number:03d}.wav"
        write_sound(path, LABELS[(number + (number % 5 == 0)) % 3], seed=number)
        rows.append([f"audio/{path.name}", LABELS[number % 3], split, f"s{number % 7}", f"<b>text {number}</b>"])
    with (folder / "corpus.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    main(["embed", str(folder / "corpus.csv"), "--store", str(folder / "store"), "--encoder", "logmel"])
    data = [
        "--data.manifest",
        str(folder / "corpus.csv"),
        "--data.store",
        str(folder / "store"),
        "--data.batch_size",
        "8",
    ]
    recipe = ["--trainer.max_epochs", "6", "--model.lr", "1e-3", "--model.weight_decay", "0.1"]
    labels = ["--data.labels", json.dumps(LABELS, ensure_ascii=False)]
    main(["fit", *data, *labels, *recipe, *QUIET, "--trainer.default_root_dir", str(folder / "run")])
    return folder / "run"


@pytest.fixture
def evaluate(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, dict[str, Any]]]:
    """Run a verb; return what it printed and the split's numbers in metrics.json."""

    def run(verb: str, *words: str) -> tuple[str, dict[str, Any]]:
        capsys.readouterr()
        main([verb, "--trainer.default_root_dir", str(run_folder), *QUIET, *words])
        split = {"test": "test", "validate": "dev"}[verb]
        numbers: dict[str, Any] = json.loads((run_folder / "metrics.json").read_text(encoding="utf-8"))[split]
        return capsys.readouterr().out, numbers

    return run


def saved(run_folder: Path, split: str) -> tuple[list[str], list[str], np.ndarray[Any, Any]]:
    table = pq.read_table(run_folder / f"predictions.{split}.parquet").to_pydict()
    return table["label"], table["predicted"], np.array(table["probabilities"])


@pytest.mark.parametrize(("verb", "split"), [("test", "test"), ("validate", "dev")])
def test_every_number_is_that_of_scikit_learn_on_the_saved_predictions(
    verb: str, split: str, run_folder: Path, evaluate: Callable[..., tuple[str, dict[str, Any]]]
) -> None:
    printed, numbers = evaluate(verb)
    truth, predicted, probabilities = saved(run_folder, split)
    probabilities = probabilities.astype(np.float64)
    codes = np.array([LABELS.index(label) for label in truth])
    assert numbers["num_utterances"] == len(truth) == SIZES[split]
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(truth, predicted),
        "macro_f1": sklearn_metrics.f1_score(truth, predicted, labels=LABELS, average="macro", zero_division=0),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(truth, predicted),
        "top3_accuracy": 1.0,
        "nll": sklearn_metrics.log_loss(
            codes, probabilities / probabilities.sum(axis=1, keepdims=True), labels=range(3)
        ),
    }
    for name, value in expected.items():
        assert numbers[name] == pytest.approx(value, abs=1e-6), name
        assert f"{value:.3f}" in printed
    assert numbers["confusion"] == sklearn_metrics.confusion_matrix(truth, predicted, labels=LABELS).tolist()
    low, high = numbers["intervals"]["accuracy"]
    assert low < numbers["accuracy"] < high
    assert f"{low:.3f} - {high:.3f}" in printed
    assert "bootstrap over utterances" in printed
    assert numbers["baselines"]["chance"]["accuracy"] == pytest.approx(1 / 3)


def test_intervals_over_speakers_are_not_those_over_utterances(
    run_folder: Path, evaluate: Callable[..., tuple[str, dict[str, Any]]]
) -> None:
    _, single = evaluate("test")
    printed, grouped = evaluate("test", "--evaluation.group", "speaker")
    assert grouped["accuracy"] == single["accuracy"]
    assert grouped["intervals"]["over"] == "speaker"
    assert grouped["intervals"]["num_groups"] == 7
    assert grouped["intervals"]["accuracy"] != single["intervals"]["accuracy"]
    assert "bootstrap over 7 values of speaker" in printed
    assert "intervals over 7 groups are too narrow" in printed


def test_the_temperature_is_fitted_on_dev_and_kept_beside_the_checkpoint(
    run_folder: Path, evaluate: Callable[..., tuple[str, dict[str, Any]]]
) -> None:
    printed, on_test = evaluate("test")
    _, on_dev = evaluate("validate")
    assert on_test["calibration"]["temperature"] == pytest.approx(on_dev["calibration"]["temperature"], rel=1e-4)
    kept = json.loads((run_folder / "checkpoints" / "best.calibration.json").read_text())
    assert kept["temperature"] == on_dev["calibration"]["temperature"]
    assert kept["after"]["nll"] < kept["before"]["nll"]
    truth, _, probabilities = saved(run_folder, "test")
    logits = torch.tensor(probabilities).double().log() / on_test["calibration"]["temperature"]
    codes = torch.tensor([LABELS.index(label) for label in truth])
    assert on_test["calibration"]["before"]["nll"] == pytest.approx(on_test["nll"], abs=1e-6)
    after = float(torch.nn.functional.cross_entropy(logits, codes))
    assert on_test["calibration"]["after"]["nll"] == pytest.approx(after, abs=1e-5)
    assert f"temperature {on_test['calibration']['temperature']:.3f} (fitted on dev):" in printed


def test_the_threshold_for_a_precision_is_found_on_dev_and_tried_on_test(
    run_folder: Path, evaluate: Callable[..., tuple[str, dict[str, Any]]]
) -> None:
    printed, numbers = evaluate("test", "--min-precision", "0.8")
    abstain = numbers["abstain"]
    assert abstain["min_precision"] == 0.8
    assert abstain["dev"]["precision"] >= 0.8
    truth, predicted, probabilities = saved(run_folder, "test")
    answered = probabilities.max(axis=1) >= abstain["threshold"]
    right = np.array(truth) == np.array(predicted)
    assert abstain["test"]["coverage"] == pytest.approx(answered.mean())
    assert abstain["test"]["precision"] == pytest.approx(right[answered].mean())
    assert f"answer from probability {abstain['threshold']:.3f} up" in printed


def test_the_report_shows_the_numbers_and_plays_the_errors_when_asked(
    run_folder: Path, evaluate: Callable[..., tuple[str, dict[str, Any]]]
) -> None:
    _, numbers = evaluate("test")
    silent = (run_folder / "report.html").read_text(encoding="utf-8")
    assert f"{numbers['macro_f1']:.3f}" in silent
    assert "<audio" not in silent
    assert "<b>text" not in silent
    evaluate("test", "--with-audio")
    heard = (run_folder / "report.html").read_text(encoding="utf-8")
    assert heard.count("<audio") == round((1 - numbers["accuracy"]) * numbers["num_utterances"])
    assert "data:audio/" in heard
    for page in (silent, heard):
        assert "&lt;b&gt;text" in page
        assert str(run_folder.parent) not in page
    evaluate("validate")
    assert (run_folder / "report.dev.html").is_file()


def test_tensorboard_gets_confusion_matrix_and_curves(
    run_folder: Path, evaluate: Callable[..., tuple[str, dict[str, Any]]]
) -> None:
    evaluate("test")
    events = EventAccumulator(str(run_folder / "tensorboard"), size_guidance={"tensors": 0, "images": 0}).Reload()
    assert {"test/confusion", "test/reliability"} <= set(events.Tags()["images"])
    curves = {tag.rpartition("/")[2] for tag in events.Tags()["tensors"] if tag.startswith("test/precision_recall/")}
    assert curves == {ascii_alias(label) for label in LABELS}
    assert len(events.Images("test/confusion")[-1].encoded_image_string) > 5_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--evaluation.group", "spaeker"],
            r"--evaluation\.group spaeker: corpus\.csv has no such column; found .*speaker",
        ),
        (["--min-precision", "1.2"], r"--min-precision is 1\.2; expected a precision above 0 and at most 1"),
        (["--evaluation.num_resamples", "10"], r"num_resamples is 10; expected at least 100"),
    ],
)
def test_what_cannot_be_judged_is_an_error(
    words: list[str], message: str, run_folder: Path, fails: Callable[..., str]
) -> None:
    error = fails("test", "--trainer.default_root_dir", run_folder, *QUIET, *words)
    assert re.search(message, error, re.DOTALL)


@pytest.mark.parametrize(("verb", "num"), [("test", 36), ("validate", 30), ("predict", 111)])
def test_a_checkpoint_whose_logits_are_nan_is_named_and_changes_no_file(
    verb: str, num: int, run_folder: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    main(["test", "--trainer.default_root_dir", str(run_folder), *QUIET])
    main(["predict", "--trainer.default_root_dir", str(run_folder), *QUIET])
    before = {path: path.read_bytes() for path in run_folder.iterdir() if path.is_file()}
    assert len(before) >= 5
    checkpoint = torch.load(run_folder / "checkpoints" / "best.ckpt", weights_only=True)
    checkpoint["state_dict"]["head.net.6.bias"][1] = float("nan")
    torch.save(checkpoint, tmp_path / "broken.ckpt")
    words = ["--ckpt_path", tmp_path / "broken.ckpt", *QUIET]
    error = fails(verb, "--trainer.default_root_dir", run_folder, *words)
    assert re.search(rf"broken\.ckpt: its logits are NaN or infinite for {num} of {num} utterances \(audio/", error)
    assert before == {path: path.read_bytes() for path in run_folder.iterdir() if path.is_file()}


def test_a_dev_that_tells_no_temperature_leaves_none_of_an_earlier_one(run_folder: Path, tmp_path: Path) -> None:
    kept = run_folder / "checkpoints" / "best.calibration.json"
    main(["test", "--trainer.default_root_dir", str(run_folder), *QUIET])
    assert kept.is_file()
    with (run_folder.parent / "corpus.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    one_label = [row for row in rows if row[2] != "dev" or row[1] == LABELS[0]]
    with (run_folder.parent / "one_label.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(one_label)
    words = ["--data.manifest", str(run_folder.parent / "one_label.csv"), *QUIET]
    main(["test", "--trainer.default_root_dir", str(run_folder), *words])
    assert not kept.exists()
