"""Two processes evaluate every utterance once and give the numbers of one."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

REPOSITORY = Path(__file__).parents[2]
DDP = ["--config", str(REPOSITORY / "configs" / "trainer" / "cpu_ddp.yaml")]


def emoji_lightning(*words: str) -> str:
    finished = subprocess.run(
        [sys.executable, str(REPOSITORY / "train.py"), *words, "--trainer.enable_progress_bar", "false"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.slow
def test_two_processes_train_and_evaluate_like_one(tmp_path: Path) -> None:
    run = ["--trainer.default_root_dir", str(tmp_path / "run")]
    emoji_lightning("fit", *DDP, *run, "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "10")
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)["global_step"] == 10

    results = []
    for devices in ("2", "1"):
        # 1,000 utterances in batches of 96: the last round is uneven, where padding would repeat utterances
        emoji_lightning("test", *run, "--trainer.devices", devices, "--data.batch_size", "96")
        table = pq.read_table(tmp_path / "run" / "predictions.test.parquet")
        results.append((table, json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]))
    (two, two_numbers), (one, one_numbers) = results
    assert two["id"].to_pylist() == one["id"].to_pylist()
    assert len(set(two["id"].to_pylist())) == 1_000
    assert two["predicted"].to_pylist() == one["predicted"].to_pylist()
    assert two_numbers == one_numbers


@pytest.mark.slow
def test_torchrun_starts_the_program(tmp_path: Path) -> None:
    run = ["--trainer.default_root_dir", str(tmp_path / "run"), "--trainer.enable_progress_bar", "false"]
    small = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "10", "--trainer.limit_val_batches", "2"]
    overlay = ["--config", str(REPOSITORY / "configs" / "trainer" / "torchrun.yaml")]
    on_cpus = ["--trainer.accelerator", "cpu", "--trainer.devices", "2"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    finished = subprocess.run(
        [*torchrun, str(REPOSITORY / "train.py"), "fit", *overlay, *on_cpus, *run, *small],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("next: emoji-lightning test") == 1
    last = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 10
    (states,) = (state for key, state in last["callbacks"].items() if key.startswith("RandomStates"))
    assert len(states["of_processes"]) == 2
