"""Training that ends well also where a signal or a broken loss ends it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.seed import reset_seed

from emoji_lightning.cli import tables
from emoji_lightning.cli.run_folder import CHECKPOINTS, LAST
from emoji_lightning.cli.signals import (
    SignalFlag,
    StoppedBySignalError,
    exit_code_beside_main,
    requeue_slurm_job,
    requeues_at,
)
from emoji_lightning.cli.trainer import EmojiTrainer
from emoji_lightning.cli.watching import LossWatch, SignalStop


def fit_until_a_signal(trainer: EmojiTrainer, folder: Path, name: Callable[[int], str], **options: Any) -> None:
    """Train, and where a signal stops it, say how to go on; a SLURM job is put back into the queue.

    Args:
        trainer: Trains.
        folder: The run folder.
        name: Returns the id of the utterance in a row of the corpus.
        options: Of `Trainer.fit`.

    Raises:
        StoppedBySignalError: A signal stopped it; its exit code is the shell's for the signal.
        TrainingError: The loss or the weights became NaN.
    """
    flag = SignalFlag()
    watch = LossWatch(name, flag)
    trainer.callbacks += [watch, SignalStop(watch, folder / CHECKPOINTS / LAST)]  # type: ignore[attr-defined]
    reset_seed()  # Lightning does so for several processes; one has drawn its first weights by now
    try:
        with flag.listening():
            trainer.fit(weights_only=True, **options)
    except StoppedBySignalError as stop:
        if not trainer.is_global_zero:
            sys.exit(exit_code_beside_main(trainer, stop))
        tables.print_stopped(stop.name, trainer, folder)
        if requeues_at(trainer) == stop.signum:
            requeue_slurm_job()
        raise
