"""Sends a signal to its own process behind a chosen batch, as a scheduler would at any moment."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint


class SendSignal(pl.Callback):
    """Args: signum at_step rank."""

    def __init__(self, signum: int, at_step: int, rank: int = 0) -> None:
        self.signum, self.at_step, self.rank = signum, at_step, rank

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *step: Any) -> None:
        if trainer.global_step == self.at_step and trainer.global_rank == self.rank:
            os.kill(os.getpid(), self.signum)


class Record(Checkpoint):
    """Writes what is logged at the end of each epoch, exactly, to `logged.jsonl` of the run folder.

    A Checkpoint, because those come last at the end of an epoch.
    """

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            numbers = {name: float(value).hex() for name, value in sorted(trainer.callback_metrics.items())}
            with (Path(trainer.default_root_dir) / "logged.jsonl").open("a") as file:
                file.write(json.dumps({"epoch": trainer.current_epoch} | numbers) + "\n")


def send(signum: signal.Signals, at_step: int, rank: int = 0) -> list[str]:
    """Options of a fit that gets this signal in the step with this number."""
    init = {"signum": int(signum), "at_step": at_step, "rank": rank}
    return ["--trainer.callbacks+", json.dumps({"class_path": f"{__name__}.SendSignal", "init_args": init})]


RECORD = ["--trainer.callbacks+", f"{__name__}.Record"]
