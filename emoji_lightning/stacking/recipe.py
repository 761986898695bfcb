"""What the options of a trainer say about the training of many heads."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, ModelSummary, ProgressBar
from lightning.pytorch.cli import SaveConfigCallback

from emoji_lightning.errors import ConfigError

MONITORED = ("dev/loss", "dev/macro_f1", "dev/accuracy")
FIXED = {
    "accumulate_grad_batches": 1,
    "gradient_clip_val": None,
    "limit_train_batches": 1.0,
    "limit_val_batches": 1.0,
    "overfit_batches": 0.0,
    "check_val_every_n_epoch": 1,
    "val_check_interval": 1.0,
    "max_steps": -1,
    "fast_dev_run": False,
    "precision": "32-true",
    "num_devices": 1,
    "max_time": None,
}
"""Options of the trainer that act on a run of `fit`, and the one value that many heads at once are trained with."""


KNOWN_CALLBACKS = (EarlyStopping, ModelCheckpoint, ProgressBar, ModelSummary, SaveConfigCallback)
"""Callbacks that change nothing in a training, or that `Recipe` stands for."""


@dataclass(frozen=True)
class Recipe:
    """How long each head is trained, and which of its epochs is kept.

    Attributes:
        max_epochs: Epochs at most.
        monitor: Number of dev that says which epoch is best; None keeps the last one.
        mode: "max" or "min".
        early_stopping: What stops a head; None trains all epochs.
        device: Where the heads are trained.
    """

    max_epochs: int
    monitor: str | None
    mode: str
    early_stopping: EarlyStopping | None
    device: torch.device

    @classmethod
    def of(cls, trainer: pl.Trainer) -> "Recipe":
        """Take what a trainer was told.

        Raises:
            ConfigError: It was told something that holds for one head only; the option is named.
        """
        told: Any = trainer
        for name, expected in FIXED.items():
            found = getattr(told, name, expected)
            if found != expected:
                option = "devices" if name == "num_devices" else name
                raise ConfigError(
                    f"--trainer.{option} is {found}; many heads at once are trained with {expected} only; leave it out"
                )
        if told.min_epochs not in (None, 0, 1):
            raise ConfigError(f"--trainer.min_epochs is {told.min_epochs}; many heads at once know none; leave it out")
        strange = [type(each).__name__ for each in told.callbacks if not isinstance(each, KNOWN_CALLBACKS)]
        if strange:
            raise ConfigError(f"--trainer.callbacks has {strange[0]}; many heads at once call none; leave it out")
        if told.max_epochs is None or told.max_epochs < 1:
            raise ConfigError(f"--trainer.max_epochs is {told.max_epochs}; expected at least 1 epoch")
        checkpoint, early = told.checkpoint_callback, told.early_stopping_callback
        monitor = checkpoint.monitor if isinstance(checkpoint, ModelCheckpoint) else None
        mode = str(checkpoint.mode) if isinstance(checkpoint, ModelCheckpoint) else "max"
        for option, number in (("checkpoint", monitor), ("early_stopping", early and early.monitor)):
            if number is not None and number not in MONITORED:
                raise ConfigError(f"--{option}.monitor is {number}; many heads at once know {', '.join(MONITORED)}")
        return cls(told.max_epochs, monitor, mode, early, told.strategy.root_device)

    @property
    def batches_are_rows(self) -> bool:
        """Whether loaders name the rows only, because the embeddings are on another device than the loaders."""
        return self.device.type != "cpu"

    def score(self, numbers: Mapping[str, float]) -> torch.Tensor:
        """Return what an epoch is judged by, float32; NaN is the worst there is, as for `ModelCheckpoint`."""
        if self.monitor is None:
            return torch.zeros(())
        found = torch.tensor(numbers[self.monitor])
        return torch.tensor(-torch.inf if self.mode == "max" else torch.inf) if found.isnan() else found

    def is_better(self, score: torch.Tensor, best: torch.Tensor | None) -> bool:
        """Tell whether an epoch takes the place of the best one before, as `ModelCheckpoint` does."""
        if best is None or self.monitor is None:
            return True
        return bool(score > best if self.mode == "max" else score < best)

    def watcher(self) -> EarlyStopping | None:
        """Return an early stopping that has seen nothing yet."""
        return copy.deepcopy(self.early_stopping)
