"""Training on labels of unequal size, as a user types it: what is drawn, and what it does for the rare label."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from emoji_lightning.checkpoint.stored_head import read_head
from emoji_lightning.cli import main
from emoji_lightning.data.balance import BalancedSampler, class_weights
from emoji_lightning.data.datamodule import EmojiDataModule
from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.embedding.store import EmbeddingStore

REPOSITORY = Path(__file__).parents[2]
DDP = REPOSITORY / "configs" / "trainer" / "cpu_ddp.yaml"
DIM = 8
SIZES = {"train": {"common": 2000, "rare": 100}, "dev": {"common": 200, "rare": 100}}
SIZES["test"] = SIZES["dev"]


class DrawRecorder(pl.Callback):
    """Writes the rows that a process trains on to `draws/EPOCH-RANK.json` of the run folder."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *step: Any) -> None:
        self.rows += step[1].row.tolist()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        folder = Path(trainer.default_root_dir) / "draws"
        folder.mkdir(exist_ok=True)
        (folder / f"{trainer.current_epoch}-{trainer.global_rank}.json").write_text(json.dumps(self.rows))
        self.rows = []


RECORD = ["--trainer.callbacks+", f"{__name__}.DrawRecorder", "--trainer.enable_progress_bar", "false"]


# A plain head: beside a discriminant, the labels of dev, 2 to 1, decide how often the rare label is to be found.
LONG_ENOUGH = ["--model.discriminant", "false", "--model.input_noise", "0"]
# Without balance the rare label is found at all only after some epochs: no early stop.
LONG_ENOUGH += ["--trainer.max_epochs", "10", "--early_stopping.patience", "10", "--data.batch_size", "50"]
LONG_ENOUGH += ["--model.hidden_dim", "64", "--model.lr", "0.003", "--model.weight_decay", "0.1"]


def drawn(run: Path, epoch: int, rank: int = 0) -> list[int]:
    rows: list[int] = json.loads((run / "draws" / f"{epoch}-{rank}.json").read_text())
    return rows


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that name a corpus of two overlapping labels, 20 to 1 in train; every other dimension is noise."""
    folder = tmp_path_factory.mktemp("imbalanced")
    rng = np.random.default_rng(0)
    rows = [(split, label) for split, sizes in SIZES.items() for label, num in sizes.items() for _ in range(num)]
    vectors = rng.standard_normal((len(rows), DIM)).astype(np.float32)
    vectors[:, 0] += [2.0 * (label == "rare") for _, label in rows]
    ids = [f"u{row}" for row in range(len(rows))]
    store = EmbeddingStore.open_or_create(folder / "store", EmbeddingSpec(encoder="made", dim=DIM))
    store.append(ids, vectors, [1.0] * len(ids), ids=ids)
    lines = [f"{name},{label},{split}\n" for name, (split, label) in zip(ids, rows, strict=True)]
    (folder / "labels.csv").write_text("id,label,split\n" + "".join(lines), encoding="utf-8")
    return ["--data.manifest", str(folder / "labels.csv"), "--data.store", str(folder / "store")]


@pytest.fixture(scope="module")
def run(corpus: list[str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Train with this balance, once, and return the run folder."""
    folder = tmp_path_factory.mktemp("runs")

    def train(balance: str) -> Path:
        target = folder / balance
        if not target.exists():
            words = ["--trainer.default_root_dir", str(target), "--data.balance", balance, *RECORD]
            main(["fit", *corpus, *words, *LONG_ENOUGH])
        return target

    return train


def recall_of_rare(folder: Path) -> float:
    main(["test", "--trainer.default_root_dir", str(folder)])
    table = pq.read_table(folder / "predictions.test.parquet").to_pylist()
    return float(np.mean([row["predicted"] == "rare" for row in table if row["label"] == "rare"]))


@pytest.mark.parametrize("balance", ["weights", "sampler"])
def test_the_rare_label_is_found_more_often(balance: str, run: Callable[[str], Path]) -> None:
    # The Bayes rule finds 0.31 of the rare label under 20 to 1, and 0.84 where both count alike.
    assert 0.1 < recall_of_rare(run("none")) < 0.5
    assert 0.7 < recall_of_rare(run(balance)) < 0.95


def test_weights_reach_the_model_and_the_checkpoint_as_plain_numbers(run: Callable[[str], Path]) -> None:
    checkpoint = torch.load(run("weights") / "checkpoints" / "best.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"]["class_weights"] == class_weights([2000, 100]) == pytest.approx([0.525, 10.5])
    assert sorted(drawn(run("weights"), 0)) == list(range(2100))
    plain = torch.load(run("none") / "checkpoints" / "best.ckpt", weights_only=True)
    assert plain["hyper_parameters"]["class_weights"] is None
    assert plain["state_dict"].keys() == checkpoint["state_dict"].keys()


def test_a_run_with_weights_predicts_and_exports_also_where_nothing_is_to_train_on(
    run: Callable[[str], Path], corpus: list[str], tmp_path: Path
) -> None:
    root = ["--trainer.default_root_dir", str(run("weights"))]
    main(["export", *root, "--output_dir", str(tmp_path / "bundle")])
    assert list(read_head(tmp_path / "bundle").label_set) == ["common", "rare"]
    unlabelled = tmp_path / "unlabelled.csv"
    unlabelled.write_text("id\nu0\nu2050\n")
    main(["predict", *root, "--data.manifest", str(unlabelled)])
    assert pq.read_table(run("weights") / "predictions.parquet")["id"].to_pylist() == ["u0", "u2050"]
    only_test = tmp_path / "only_test.csv"
    lines = Path(corpus[1]).read_text().splitlines()
    only_test.write_text("\n".join([lines[0], *(line for line in lines if line.endswith(",test"))]) + "\n")
    main(["test", *root, "--data.manifest", str(only_test)])
    assert pq.read_table(run("weights") / "predictions.test.parquet").num_rows == 300


@pytest.mark.parametrize("balance", ["weights", "sampler"])
def test_a_resumed_run_keeps_its_balance_and_goes_on_with_the_epochs_own_draw(
    balance: str, run: Callable[[str], Path], corpus: list[str], tmp_path: Path
) -> None:
    words = ["--data.balance", balance, "--data.batch_size", "100", *RECORD]
    root = ["--trainer.default_root_dir", str(tmp_path)]
    main(["fit", *corpus, *root, *words, "--trainer.max_epochs", "2"])
    main(["fit", *root, "--ckpt_path", "last", "--trainer.max_epochs", "3"])
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 63
    assert (last["hyper_parameters"]["class_weights"] is not None) == (balance == "weights")
    if balance == "sampler":
        assert [drawn(tmp_path, epoch) for epoch in range(3)] == [drawn(run("sampler"), epoch) for epoch in range(3)]
        assert drawn(tmp_path, 0) != drawn(tmp_path, 1) != drawn(tmp_path, 2)


@pytest.mark.slow
def test_two_processes_draw_disjoint_halves_and_train_as_one_with_twice_the_batch(
    corpus: list[str], tmp_path: Path
) -> None:
    words = ["fit", *corpus, "--data.balance", "sampler", "--model.dropout", "0", "--trainer.max_epochs", "2"]
    words += ["--model.input_noise", "0", *RECORD]
    two, one = tmp_path / "two", tmp_path / "one"
    main([*words, "--trainer.default_root_dir", str(one), "--data.batch_size", "100"])
    words += ["--trainer.default_root_dir", str(two), "--data.batch_size", "50", "--config", str(DDP)]
    finished = subprocess.run(
        [sys.executable, str(REPOSITORY / "train.py"), *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert finished.returncode == 0, finished.stderr
    dataset: Any = EmojiDataModule(corpus[1], corpus[3]).train_dataloader().dataset
    for epoch in (0, 1):
        halves = [drawn(two, epoch, rank) for rank in (0, 1)]
        together = [row for step in zip(*halves, strict=True) for row in step]
        sampler = BalancedSampler(dataset)
        sampler.set_epoch(epoch)
        assert together == sampler.draw().tolist() == drawn(one, epoch)
        rare = sum(row >= 2000 for row in together)
        assert abs(rare - 1050) < 4 * np.sqrt(2100 / 4)
    states = [torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for run in (two, one)]
    for name, tensor in states[0].items():
        torch.testing.assert_close(tensor, states[1][name], atol=1e-5, rtol=0)


def test_weights_are_no_option_because_they_follow_from_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["fit", "--model.class_weights", "[1, 2]"])
    assert "fit has no option --model.class_weights; it follows from the data" in capsys.readouterr().err
    main(["fit", "--help"])
    assert "--data.balance none | weights | sampler (default: 'none')" in (text := capsys.readouterr().out)
    assert "--data.balance_beta float" in text
    assert "--model.class_weights" not in text
