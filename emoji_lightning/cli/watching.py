"""What `fit` looks at behind every batch: whether the loss is still a number, and whether somebody wants it to stop."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint

from emoji_lightning.cli.signals import SignalFlag, StoppedBySignalError, signals_of, slurm_job
from emoji_lightning.errors import TrainingError
from emoji_lightning.model.processes import highest

STEPS_BETWEEN_LOOKS = 25
"""On an accelerator, where to look at a loss is to wait for it."""
NUM_NAMED = 10


class LossWatch(pl.Callback):
    """Stops a run whose loss or weights became NaN or infinite before that reaches a checkpoint.

    Args:
        name: Returns the id of the utterance in a row of the corpus.
        flag: What asks to stop; processes agree on both in one exchange a step.
    """

    def __init__(self, name: Callable[[int], str], flag: SignalFlag) -> None:
        self.name, self.flag = name, flag
        self.stop = 0
        self._unseen: list[tuple[int, int, torch.Tensor, torch.Tensor]] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the loss of the batch, on an accelerator at those of some batches together."""
        self._unseen.append((trainer.global_step, batch_idx, outputs["loss"], batch.row))
        if pl_module.device.type == "cpu" or len(self._unseen) >= STEPS_BETWEEN_LOOKS or trainer.world_size > 1:
            self.look(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look before the validation writes a checkpoint."""
        self.look(trainer)
        _demand_finite_weights(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look before the end of the epoch writes a checkpoint."""
        self.look(trainer)
        _demand_finite_weights(trainer, pl_module)

    def look(self, trainer: pl.Trainer) -> None:
        """Agree with the other processes on what was seen.

        Raises:
            TrainingError: A loss is NaN or infinite; the message names epoch, step and the batch's utterances.
        """
        unseen, self._unseen = self._unseen, []
        losses: list[float] = torch.stack([loss for _, _, loss, _ in unseen]).tolist() if unseen else []
        bad = next((place for place, loss in enumerate(losses) if not math.isfinite(loss)), None)
        device = trainer.strategy.root_device
        anywhere, self.stop = highest([int(bad is not None), self.flag.received], device)
        if bad is not None:
            step, batch_idx, _, rows = unseen[bad]
            raise TrainingError(self._describe(trainer, losses[bad], step, batch_idx, rows.tolist()))
        if anywhere:
            raise TrainingError(f"the loss of another process became NaN or infinite in epoch {trainer.current_epoch}")

    def _describe(self, trainer: pl.Trainer, loss: float, step: int, batch_idx: int, rows: Sequence[int]) -> str:
        named = ", ".join(self.name(row) for row in rows[:NUM_NAMED])
        more = f" and {len(rows) - NUM_NAMED} more" if len(rows) > NUM_NAMED else ""
        return (
            f"the loss became {loss} in epoch {trainer.current_epoch}, step {step - 1}, batch {batch_idx} of the epoch "
            f"(all counted from 0), at these utterances: {named}{more}\n{_cure(trainer)}"
        )


class SignalStop(Checkpoint):
    """Stops a run that got a signal behind the batch, with `last.ckpt` of that very step.

    Where the batch is the last one before a validation or the end of the epoch, that comes first. It is a Checkpoint so
    that it comes behind the one that keeps the best epoch.

    Args:
        watch: Knows of signals.
        file: The checkpoint to write.
    """

    def __init__(self, watch: LossWatch, file: Path) -> None:
        self.watch, self.file = watch, file

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen: Lightning has just set handlers that save, and talk to other processes, inside a step."""
        self.watch.flag.signals = signals_of(trainer)
        self.watch.flag.listen()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note the SLURM job, by which the same job knows its run when it runs again."""
        if slurm_job() is not None:
            checkpoint["slurm_job"] = slurm_job()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop if that was asked for and the epoch goes on."""
        loop: Any = trainer.fit_loop
        if trainer.world_size == 1:
            self.watch.stop = self.watch.flag.received
        if self.watch.stop and not (trainer.is_last_batch or loop._should_accumulate() or _validates(trainer)):
            self.watch.look(trainer)
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop if that was asked for and the run goes on."""
        if self.watch.stop and not is_last_epoch(trainer):
            self._stop(trainer)

    def _stop(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.file, False)  # with optimiser and loops
        raise StoppedBySignalError(self.watch.stop)


def is_last_epoch(trainer: pl.Trainer) -> bool:
    """Tell whether the run ends with this epoch."""
    by_epochs = trainer.max_epochs is not None and 0 <= trainer.max_epochs <= trainer.current_epoch + 1
    return trainer.should_stop or by_epochs or 0 <= trainer.max_steps <= trainer.global_step


def _validates(trainer: pl.Trainer) -> bool:
    """Tell whether a validation comes behind this batch."""
    loop, interval = trainer.fit_loop, trainer.val_check_batch
    if not isinstance(interval, int):
        return False
    done = 1 + (loop.total_batch_idx if trainer.check_val_every_n_epoch is None else loop.batch_idx)
    return done % interval == 0


def _demand_finite_weights(trainer: pl.Trainer, module: pl.LightningModule) -> None:
    """The last step of an epoch may break the weights although its loss was a number."""
    broken = [name for name, weights in module.named_parameters() if not bool(weights.isfinite().all())]
    if broken and not trainer.sanity_checking:
        raise TrainingError(
            f"the weights became NaN or infinite in epoch {trainer.current_epoch}, at the latest in step "
            f"{trainer.global_step - 1}: {', '.join(broken)}\n{_cure(trainer)}"
        )


def _cure(trainer: pl.Trainer) -> str:
    kept = sorted(str(file) for file in Path(trainer.default_root_dir).glob("checkpoints/*.ckpt"))
    holds = f"{' and '.join(kept)} {'are' if len(kept) > 1 else 'is'} of before" if kept else "no epoch had ended"
    return (
        f"nothing of it was written: {holds}. Lower --model.lr, or --trainer.gradient_clip_val 1; with "
        "--trainer.precision 16-mixed try bf16-mixed; look at the embeddings of these utterances"
    )
