"""A training that cannot be, or that comes to nothing, ends with exit code 2 and says where, why and what to do."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from separated_labels import OLD, listed, root, write_corpus

from emoji_lightning.cli import devices, main
from emoji_lightning.cli.devices import check_devices
from emoji_lightning.data.dataset import Batch
from emoji_lightning.errors import ConfigError
from emoji_lightning.model.classifier import EmojiClassifier

Fails = Callable[..., str]
EPOCHS = ["--trainer.max_epochs", "3", "--data.batch_size", "16", "--model.hidden_dim", "8"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """30 utterances of each of three labels: six steps an epoch."""
    words = [*write_corpus(tmp_path_factory.mktemp("data"), OLD, 30, seed=1), "--data.labels", listed(OLD)]
    return [*words, *EPOCHS]


def break_loss(monkeypatch: pytest.MonkeyPatch, at_step: int, seen: list[list[int]]) -> None:
    step = EmojiClassifier.training_step

    def broken(model: EmojiClassifier, batch: Batch, batch_idx: int) -> torch.Tensor:
        loss = step(model, batch, batch_idx)
        if model.trainer.global_step != at_step:
            return loss
        seen.append(batch.row.tolist())
        return loss * torch.nan

    monkeypatch.setattr(EmojiClassifier, "training_step", broken)


def test_a_loss_that_becomes_nan_names_epoch_step_and_utterances_and_keeps_the_last_good_checkpoint(
    data: list[str], tmp_path: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []
    break_loss(monkeypatch, 8, seen)
    error = fails("fit", *data, *root(tmp_path))
    assert "the loss became nan in epoch 1, step 8, batch 2 of the epoch (all counted from 0)" in error
    named = re.search(r"at these utterances: (.*) and 6 more\n", error)
    assert named is not None
    assert named[1].split(", ") == [f"u1-{row}" for row in seen[0][:10]]
    assert f"{tmp_path}/checkpoints/best.ckpt and {tmp_path}/checkpoints/last.ckpt are of before" in error
    assert "Lower --model.lr" in error
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert (last["epoch"], last["global_step"]) == (0, 6)
    assert all(bool(weights.isfinite().all()) for weights in last["state_dict"].values())
    monkeypatch.undo()
    main(["fit", "--ckpt_path", "last", *root(tmp_path)])
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 18


def test_weights_that_the_last_step_of_an_epoch_breaks_reach_no_checkpoint(
    data: list[str], tmp_path: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = EmojiClassifier.optimizer_step

    def broken(model: EmojiClassifier, *words: Any, **options: Any) -> None:
        step(model, *words, **options)
        if model.trainer.global_step == 11:  # counted before the step is done
            with torch.no_grad():
                model.head.linears[0].weight[0, 0] = torch.inf

    monkeypatch.setattr(EmojiClassifier, "optimizer_step", broken)
    error = fails("fit", *data, *root(tmp_path))
    assert "the weights became NaN or infinite in epoch 1, at the latest in step 11: head.net.0.weight" in error
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 0


def test_a_loss_that_is_nan_from_the_start_says_that_nothing_is_kept_and_puts_the_earlier_run_back(
    data: list[str], tmp_path: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["fit", *data, *root(tmp_path), "--trainer.max_epochs", "1"])
    before = (tmp_path / "checkpoints" / "best.ckpt").read_bytes()
    break_loss(monkeypatch, 0, [])
    error = fails("fit", *data, *root(tmp_path))
    assert "in epoch 0, step 0" in error
    assert "no epoch had ended" in error
    assert (tmp_path / "checkpoints" / "best.ckpt").read_bytes() == before
    assert not (tmp_path / "previous").exists() or not list((tmp_path / "previous").iterdir())


@pytest.mark.parametrize(
    "raised",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: 9 B"),
        MemoryError(),
    ],
    ids=["gpu", "cpu", "python"],
)
def test_too_little_memory_names_the_batch_size_and_what_to_lower(
    raised: BaseException, data: list[str], tmp_path: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise raised

    monkeypatch.setattr(EmojiClassifier, "training_step", full)
    error = fails("fit", *data, *root(tmp_path))
    assert f"fit: out of memory: {str(raised) or 'MemoryError'}" in error
    assert "lower --data.batch_size, which is 16 for each process, for example to 8; or --model.hidden_dim" in error
    assert "--trainer.precision bf16-mixed" in error


def test_other_runtime_errors_are_not_taken_for_too_little_memory(
    data: list[str], tmp_path: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(EmojiClassifier, "training_step", fail)
    error = fails("fit", *data, *root(tmp_path))
    assert "fit stopped: shapes cannot be multiplied" in error
    assert "memory" not in error


def test_a_batch_larger_than_the_data_and_fewer_utterances_than_labels_train(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = write_corpus(tmp_path, OLD[:2], 1, seed=3)
    main(["fit", *few, *EPOCHS, "--data.labels", listed(OLD), "--data.batch_size", "4096", *root(tmp_path / "run")])
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 3
    assert "warning: 1 labels have no utterance in train: joy" in capsys.readouterr().out
    main(["test", *root(tmp_path / "run")])


@pytest.mark.parametrize("option", [["--trainer.max_epochs", "0"], ["--trainer.max_steps", "0"]])
def test_no_epoch_at_all_is_an_error(option: list[str], data: list[str], tmp_path: Path, fails: Fails) -> None:
    error = fails("fit", *data, *option, *root(tmp_path))
    assert f"nothing was trained in {tmp_path}: no epoch ended; check --trainer.max_epochs" in error


def pretend_gpus(monkeypatch: pytest.MonkeyPatch, num: int, cuda: str | None = "12.8") -> None:
    monkeypatch.setattr(devices.torch.cuda, "device_count", lambda: num)
    monkeypatch.setattr(devices.torch.cuda, "get_device_name", lambda number: f"Card {number}")
    monkeypatch.setattr(devices.torch.version, "cuda", cuda)
    monkeypatch.setattr(devices.os, "cpu_count", lambda: 4)


@pytest.mark.parametrize(
    ("found", "accelerator", "asked", "message"),
    [
        (
            0,
            "gpu",
            "auto",
            r"--trainer\.accelerator is gpu, and torch .* sees no GPU .*found 4 CPU cores.*--trainer\.acc",
        ),
        (0, "cuda", 1, r"--trainer\.accelerator is cuda, and torch .* sees no GPU"),
        (2, "gpu", 8, r"--trainer\.devices is 8; found 2 GPUs \(Card 0, Card 1\); give at most 2, or -1 for all"),
        (1, "gpu", "0,1", r"--trainer\.devices is 0,1; found 1 GPU \(Card 0\)"),
        (1, "auto", "2", r"--trainer\.devices is 2; found 1 GPU \(Card 0\)"),
        (
            0,
            "auto",
            8,
            r"--trainer\.devices is 8; found no GPU and 4 CPU cores; lower it, or give --trainer\.accelerator",
        ),
    ],
)
def test_devices_that_are_not_there_are_an_error_that_says_what_is(
    found: int, accelerator: str, asked: object, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_gpus(monkeypatch, found)
    with pytest.raises(ConfigError, match=message):
        check_devices(accelerator, asked)


@pytest.mark.parametrize(
    ("found", "accelerator", "asked"),
    [(0, "auto", "auto"), (0, "auto", 4), (0, "cpu", 8), (2, "gpu", -1), (2, "gpu", [0, 1]), (2, "auto", "auto")],
)
def test_devices_that_are_there_are_taken(
    found: int, accelerator: str, asked: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_gpus(monkeypatch, found)
    check_devices(accelerator, asked)


@pytest.mark.parametrize("cuda", [None, "12.8"])
def test_a_gpu_that_is_not_there_ends_the_program_before_any_data_is_read(
    cuda: str | None, tmp_path: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_gpus(monkeypatch, 0, cuda)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    error = fails(
        "fit", "--data.manifest", "no.csv", "--data.store", "no", "--trainer.accelerator", "gpu", *root(tmp_path)
    )
    assert ("it is a build for CPUs" if cuda is None else "CUDA_VISIBLE_DEVICES is ''; built for CUDA 12.8") in error
    assert "no.csv" not in error
