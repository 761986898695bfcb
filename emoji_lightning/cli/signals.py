"""Signals that ask a `fit` to stop: it stops behind a batch, with a checkpoint from which it goes on bit for bit."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from emoji_lightning.cli.trainer import read_checkpoint

SIGNALS = tuple(each for name in ("SIGTERM", "SIGUSR1", "SIGINT") if (each := getattr(signal, name, None)) is not None)
"""What a scheduler or a user sends; SIGUSR1 is what SLURM is asked to send before the time is up."""


class StoppedBySignalError(SystemExit):
    """A run stopped as it was asked to; the exit code is the shell's for the signal.

    Args:
        signum: The signal that this process got, or that of another process.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signum = signum

    @property
    def name(self) -> str:
        """Name of the signal."""
        return signal.Signals(self.signum).name


class SignalFlag:
    """Remembers a signal until somebody looks: what a handler does itself could fall into the middle of a step."""

    def __init__(self, signals: tuple[int, ...] = SIGNALS) -> None:
        self.signals = signals
        self.received = 0

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Handle a signal; a second Ctrl-C interrupts at once."""
        self.received = signum
        if signum == signal.SIGINT:
            signal.signal(signum, signal.default_int_handler)

    def listen(self) -> None:
        """Take the signals; once more where Lightning has put handlers of its own in front."""
        if threading.current_thread() is threading.main_thread():
            for signum in self.signals:
                signal.signal(signum, self)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals, and give them back at the end."""
        before = {signum: signal.getsignal(signum) for signum in self.signals}
        self.listen()
        try:
            yield
        finally:
            if threading.current_thread() is threading.main_thread():
                for signum, handler in before.items():
                    signal.signal(signum, handler)


def requeues_at(trainer: Any) -> int | None:
    """Return the signal at which a trainer is to put its SLURM job back into the queue; None outside SLURM."""
    environment = trainer._accelerator_connector.cluster_environment
    if not isinstance(environment, SLURMEnvironment) or not environment.auto_requeue:
        return None
    return int(environment.requeue_signal or signal.SIGUSR1)


def signals_of(trainer: Any) -> tuple[int, ...]:
    """Return the signals that ask this trainer to stop: SLURM may have been told to send another one."""
    requeue = requeues_at(trainer)
    return SIGNALS if requeue is None else tuple(dict.fromkeys((*SIGNALS, requeue)))


def exit_code_beside_main(trainer: Any, stop: StoppedBySignalError) -> int:
    """Return the exit code of a process other than the first.

    Where Lightning started it, it watches it, and kills the first process as soon as another one fails.
    """
    started_by_lightning = isinstance(trainer._accelerator_connector.cluster_environment, LightningEnvironment)
    return 0 if started_by_lightning else int(str(stop.code))


def slurm_job() -> str | None:
    """Return SLURM's id of this job, ARRAY_TASK for one of an array; None outside SLURM."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array is not None:
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID")


def slurm_job_runs_again(checkpoints: Path) -> bool:
    """Tell whether this SLURM job was put back into the queue, and left `last.ckpt` in this folder before."""
    last = checkpoints / "last.ckpt"
    if os.environ.get("SLURM_RESTART_COUNT", "0") == "0" or not last.is_file():
        return False
    return bool(read_checkpoint(str(last)).get("slurm_job") == slurm_job())


def requeue_slurm_job() -> None:
    """Ask SLURM to run this job again. Lightning does so from the handler itself, and so inside a step."""
    command = ["scontrol", "requeue", str(slurm_job())]
    try:
        code = subprocess.run(command, check=False).returncode
    except OSError:  # no scontrol on this machine
        code = 127
    done = "is in SLURM's queue again" if code == 0 else f"is not in SLURM's queue: `{' '.join(command)}` gave {code}"
    print(f"job {slurm_job()} {done}", file=sys.stderr)
