"""Lightning's callbacks of a run and its profiler, less what they do against the options, the last epoch or the time.

Two have the names of Lightning's because a name is the key of a callback's state in a checkpoint.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch import callbacks
from lightning.pytorch.profilers import PassThroughProfiler

from emoji_lightning.cli.watching import is_last_epoch

BATCHES_PER_DRAWING = 20


class EarlyStopping(callbacks.EarlyStopping):
    """Stops a resumed run by the patience that is given; Lightning takes it from the checkpoint without a word."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best score and how long ago it was, and keep the patience."""
        super().load_state_dict({**state_dict, "patience": self.patience})


class ModelCheckpoint(callbacks.ModelCheckpoint):
    """Keeps the last epoch: as `last` beside a better one, and as `best` where nothing is monitored.

    Lightning writes `last` only when it writes `best`, so that a killed run would go on from where it was best; and
    without a monitor it keeps the last epoch that was validated. (To write `best` after every epoch in place of every
    validation takes three times as long as to fine-tune on 40 utterances.)
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the score of the last improvement, too, which Lightning leaves out."""
        super().load_state_dict(state_dict)
        self.current_score = state_dict.get("current_score")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what is to be kept of this epoch."""
        super().on_train_epoch_end(trainer, pl_module)
        is_to_be_kept = self.save_last is True and self.monitor is not None
        if is_to_be_kept and not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def _should_save_on_train_epoch_end(self, trainer: pl.Trainer) -> bool:
        return super()._should_save_on_train_epoch_end(trainer) or (self.monitor is None and is_last_epoch(trainer))


class CalmProgressBar(callbacks.RichProgressBar):
    """Rich's bar, drawn every 20 batches: after each, as Lightning does, it took a tenth of an epoch."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw the bar if it is time, and at the end of the epoch."""
        done = batch_idx + 1
        if done % BATCHES_PER_DRAWING == 0 or done == self.total_train_batches:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)


class NoProfiler(PassThroughProfiler):
    """Measures nothing, as Lightning's default, in less time: `fit` asks it some sixty times a step."""

    def profile(self, action_name: str) -> AbstractContextManager[str]:  # type: ignore[override]
        """Return a context that does nothing."""
        return nullcontext(action_name)
