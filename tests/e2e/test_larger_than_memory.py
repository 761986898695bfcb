"""Every verb works on embeddings that stay in the store, with the numbers of embeddings in memory."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from separated_labels import DIM, FINETUNE, NEW, OLD, listed, root, write_corpus

from emoji_lightning.cli import main

REPOSITORY = Path(__file__).parents[2]
Fails = Callable[..., str]
SMALL = ["--data.batch_size", "16", "--model.lr", "0.01", "--model.hidden_dim", "16", "--model.weight_decay", "0.1"]
SMALL += ["--trainer.max_epochs", "6", "--evaluation.num_resamples", "100"]
STREAMED = ["--data.memory_gib", str(60 * DIM * 4 * 4 / 2**30)]
"""A pool of 60 embeddings."""


def rewrite(folder: Path, change: Callable[[np.ndarray], None]) -> Path:
    """Change the vectors of a store's only part as another program might."""
    (part,) = (folder / "store").glob("part-*.parquet")
    table = pq.read_table(part)
    vectors = np.array(table["embedding"].combine_chunks().flatten()).reshape(-1, DIM)
    change(vectors)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIM)
    pq.write_table(table.set_column(table.column_names.index("embedding"), "embedding", column), part)
    return part


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [*write_corpus(tmp_path_factory.mktemp("data"), OLD, 60, seed=1), "--data.labels", listed(OLD)]


@pytest.fixture(scope="module")
def run(data: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained from the store."""
    folder = tmp_path_factory.mktemp("streamed")
    main(["fit", *data, *SMALL, *STREAMED, *root(folder)])
    return folder


def test_training_from_the_store_reaches_the_numbers_of_training_in_memory(
    data: list[str], run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["fit", *data, *SMALL, *root(tmp_path)])
    assert "--data.memory_gib" not in capsys.readouterr().out
    accuracies = []
    for folder in (run, tmp_path):
        main(["test", *root(folder)])
        accuracies.append(json.loads((folder / "metrics.json").read_text())["test"]["accuracy"])
    assert min(accuracies) > 0.95
    assert abs(accuracies[0] - accuracies[1]) < 0.03


def test_the_standardisation_is_that_of_embeddings_in_memory(data: list[str], run: Path, tmp_path: Path) -> None:
    main(["fit", *data, *SMALL, "--trainer.max_epochs", "1", *root(tmp_path)])
    ours, theirs = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for folder in (run, tmp_path)
    )
    for name in ("head.standardizer.mean", "head.standardizer.scale"):
        torch.testing.assert_close(ours[name], theirs[name], rtol=2e-7, atol=1e-9)


def test_evaluation_gives_the_same_answers_wherever_the_embeddings_are(run: Path, tmp_path: Path) -> None:
    for verb, file in (("test", "predictions.test"), ("predict", "predictions")):
        tables = []
        for memory_gib in ("1", str(8 * DIM * 4 / 2**30)):
            main([verb, *root(run), "--data.memory_gib", memory_gib])
            tables.append(pq.read_table(run / f"{file}.parquet"))
        inside, outside = tables
        assert inside.drop_columns(["probabilities"]).equals(outside.drop_columns(["probabilities"]))
        probabilities = [np.array(table["probabilities"].combine_chunks().flatten()) for table in tables]
        np.testing.assert_allclose(*probabilities, atol=1e-6)
    summaries = []
    for memory_gib in ("1", str(8 * DIM * 4 / 2**30)):
        main(["export", *root(run), "--data.memory_gib", memory_gib, "--output_dir", str(tmp_path)])
        summaries.append(json.loads((tmp_path / "summary.json").read_text())["metrics"])
    assert summaries[0]["test"]["accuracy"] == summaries[1]["test"]["accuracy"]
    assert summaries[0]["dev"]["macro_f1"] == summaries[1]["dev"]["macro_f1"]


def test_fine_tuning_from_the_store_learns_new_labels(run: Path, tmp_path: Path) -> None:
    words = ["--config", str(FINETUNE), "--model.init_from", str(run / "checkpoints" / "best.ckpt")]
    words += [*write_corpus(tmp_path, NEW, 20, seed=2), "--data.labels", listed(OLD + NEW), "--data.memory_gib", "1e-6"]
    main(
        [
            "fit",
            *words,
            *root(tmp_path / "run"),
            "--data.batch_size",
            "8",
            "--model.lr",
            "0.0005",
            "--trainer.max_epochs",
            "20",
        ]
    )
    main(["test", *root(tmp_path / "run")])
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]["accuracy"] > 0.5


@pytest.mark.parametrize("where", [[], STREAMED], ids=["in memory", "from the store"])
def test_embeddings_that_are_not_numbers_are_named_before_training(
    where: list[str], tmp_path: Path, fails: Fails
) -> None:
    def spoil(vectors: np.ndarray) -> None:
        vectors[3:10, 5] = np.nan
        vectors[70, 0] = np.inf

    words = [*write_corpus(tmp_path, OLD, 60, seed=1), "--data.labels", listed(OLD)]
    part = rewrite(tmp_path, spoil)
    error = fails("fit", *words, *SMALL, *where, *root(tmp_path / "run"))
    assert f"{part}: row 4, key u1-3: the embedding of 'u1-3' (labels.csv:5) holds NaN or infinity" in error
    assert "... and 3 more" in error
    assert "8 of 540 embeddings in" in error
    assert "run `embed` again" in error
    assert not list((tmp_path / "run").glob("checkpoints/*"))


def test_predictions_of_embeddings_that_are_not_numbers_are_refused(run: Path, tmp_path: Path, fails: Fails) -> None:
    words = [*write_corpus(tmp_path, OLD, 60, seed=1), "--data.labels", listed(OLD)]
    rewrite(tmp_path, lambda vectors: vectors[500:502].fill(np.nan))
    error = fails("predict", *words, *root(run), "--data.memory_gib", str(8 * DIM * 4 / 2**30))
    assert "row 501: the embedding holds NaN or infinity, as do 1 others" in error


@pytest.mark.parametrize("where", [[], STREAMED], ids=["in memory", "from the store"])
def test_embeddings_that_are_all_one_vector_are_refused(where: list[str], tmp_path: Path, fails: Fails) -> None:
    words = [*write_corpus(tmp_path, OLD, 60, seed=1), "--data.labels", listed(OLD)]
    rewrite(tmp_path, lambda vectors: vectors.fill(0.3))
    error = fails("fit", *words, *SMALL, *where, *root(tmp_path / "run"))
    assert "all 180 embeddings of train are one and the same vector; expected vectors that differ" in error


@pytest.mark.slow
def test_two_processes_train_on_disjoint_parts_of_a_store(data: list[str], tmp_path: Path) -> None:
    processes = ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.accelerator", "cpu"]
    words = ["fit", *data, *SMALL, *STREAMED, *processes, *root(tmp_path)]
    finished = subprocess.run(
        [sys.executable, str(REPOSITORY / "train.py"), *words], capture_output=True, text=True, timeout=120, check=False
    )
    assert finished.returncode == 0, finished.stderr
    # 180 utterances are 90 for each process: 6 batches of 16 at most, 6 epochs
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 36
    main(["test", *root(tmp_path), "--trainer.devices", "1", "--trainer.strategy", "auto"])
    assert json.loads((tmp_path / "metrics.json").read_text())["test"]["accuracy"] > 0.95
