"""What a newcomer does: fit, test, export, on the demo corpus, as typed."""

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from sklearn.metrics import f1_score

from emoji_lightning.checkpoint.stored_head import read_head
from emoji_lightning.cli import main
from emoji_lightning.data.synthetic import make_demo_corpus
from emoji_lightning.labels import CARD_LABELS

QUICK = ["--trainer.max_epochs", "2", "--trainer.limit_train_batches", "30", "--trainer.enable_progress_bar", "false"]
QUICK += ["--model.lr", "1e-3"]


@pytest.fixture(scope="module")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "demo"
    main(["fit", "--trainer.default_root_dir", str(folder), *QUICK])
    return folder


def test_fit_leaves_checkpoints_configuration_and_curves(demo_run: Path) -> None:
    assert sorted(path.name for path in (demo_run / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    config = yaml.safe_load((demo_run / "fit.yaml").read_text(encoding="utf-8"))
    assert config["data"]["labels"] == list(CARD_LABELS)
    assert config["checkpoint"]["dirpath"] == f"{demo_run}/checkpoints"
    assert "ckpt_path" not in config
    assert list((demo_run / "tensorboard").glob("events.*"))


def test_the_checkpoint_loads_as_plain_data_and_holds_no_path(demo_run: Path) -> None:
    checkpoint = torch.load(demo_run / "checkpoints" / "best.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"]["labels"] == list(CARD_LABELS)
    assert checkpoint["hyper_parameters"]["encoder"] == "synthetic"


@pytest.mark.parametrize(("verb", "split"), [("test", "test"), ("validate", "dev")])
def test_evaluation_prints_and_writes_numbers_that_its_predictions_confirm(
    demo_run: Path, verb: str, split: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main([verb, "--trainer.default_root_dir", str(demo_run), "--trainer.enable_progress_bar", "false"])
    printed = capsys.readouterr().out
    numbers = json.loads((demo_run / "metrics.json").read_text())[split]
    table = pq.read_table(demo_run / f"predictions.{split}.parquet").to_pydict()
    assert numbers["macro_f1"] == pytest.approx(
        f1_score(table["label"], table["predicted"], labels=list(CARD_LABELS), average="macro", zero_division=0)
    )
    assert numbers["num_utterances"] == len(set(table["id"])) == 1_000
    corpus = make_demo_corpus()
    truth = [CARD_LABELS[label] for label in corpus.labels[corpus.splits == split]]
    assert table["label"] == truth
    assert numbers["accuracy"] > 0.3
    assert f"{numbers['macro_f1']:.3f}" in printed
    assert "synthetic" in printed


def test_export_writes_the_bundle_and_prints_both_splits_beside_the_best(
    demo_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["export", "--trainer.default_root_dir", str(demo_run), "--output_dir", str(tmp_path / "demo")])
    printed = capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == [
        "best_classifier.pt",
        "label2id.json",
        "summary.json",
    ]
    bundle = read_head(tmp_path / "demo")
    corpus = make_demo_corpus()
    test = torch.from_numpy(corpus.embeddings[corpus.splits == "test"])
    predicted = bundle.build()(test).argmax(dim=1).numpy()
    accuracy = (predicted == corpus.labels[corpus.splits == "test"]).mean()
    assert bundle.summary["metrics"]["test"]["accuracy"] == pytest.approx(accuracy)
    assert re.search(rf"test\W+1000\W+{accuracy:.3f}", printed)
    assert re.search(r"dev\W+1000", printed)
    assert "0.700" in printed


@pytest.mark.parametrize("ckpt_path", ["best", "last"])
def test_best_and_last_are_found_in_the_run_folder(
    demo_run: Path, ckpt_path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--ckpt_path", ckpt_path, "--trainer.enable_progress_bar", "false"]
    main(["test", "--trainer.default_root_dir", str(demo_run), *words])
    assert "macro-F1" in capsys.readouterr().out


def test_a_checkpoint_file_brings_its_own_runs_configuration(demo_run: Path, tmp_path: Path) -> None:
    checkpoint = str(demo_run / "checkpoints" / "last.ckpt")
    main(["export", "--ckpt_path", checkpoint, "--output_dir", str(tmp_path)])
    assert read_head(tmp_path).summary["training"]["epochs"] == 2


def test_predict_labels_what_it_is_told_to(demo_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data.predict_split", "dev", "--trainer.enable_progress_bar", "false"]
    main(["predict", "--trainer.default_root_dir", str(demo_run), *words])
    table = pq.read_table(demo_run / "predictions.parquet")
    assert table.column_names == ["id", "label", "predicted", "probabilities"]
    assert table.num_rows == 1_000
    probabilities = torch.tensor(table["probabilities"].to_pylist())
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(1_000))
    best = [CARD_LABELS[label] for label in probabilities.argmax(dim=1)]
    assert table["predicted"].to_pylist() == best


def test_fit_again_keeps_the_earlier_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = [*QUICK, "--trainer.limit_train_batches", "2", "--trainer.max_epochs", "1"]
    quick += ["--model.discriminant", "false"]
    for seed in ("1", "2"):
        main(["fit", "--trainer.default_root_dir", str(tmp_path), "--seed_everything", seed, *quick])
    assert "held an earlier run" in capsys.readouterr().out
    first, second = (
        torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]["head.net.0.weight"]
        for folder in (tmp_path / "previous" / "1", tmp_path)
    )
    assert not torch.equal(first, second)


def test_the_same_seed_trains_the_same_weights(tmp_path: Path) -> None:
    quick = [*QUICK, "--trainer.limit_train_batches", "5", "--trainer.max_epochs", "1"]
    states = []
    for name in ("a", "b"):
        main(["fit", "--trainer.default_root_dir", str(tmp_path / name), *quick])
        states.append(torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_resuming_takes_the_runs_configuration_and_goes_on_from_its_last_step(tmp_path: Path) -> None:
    root = ["--trainer.default_root_dir", str(tmp_path)]
    words = ["--trainer.limit_train_batches", "4", "--model.lr", "0.002", "--data.batch_size", "64"]
    main(["fit", *root, *QUICK, *words, "--model.discriminant", "false"])
    main(["fit", *root, "--ckpt_path", "last", "--trainer.max_epochs", "3"])
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 12
    assert last["hyper_parameters"]["lr"] == 0.002
    assert yaml.safe_load((tmp_path / "fit.yaml").read_text(encoding="utf-8"))["data"]["batch_size"] == 64
    assert not (tmp_path / "previous").exists()


def test_a_later_flag_wins_over_the_saved_configuration(
    demo_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.batch_size", "100", "--trainer.limit_test_batches", "3", "--trainer.enable_progress_bar", "false"]
    main(["test", "--trainer.default_root_dir", str(demo_run), *words])
    assert re.search(r"test\W+300", capsys.readouterr().out)
