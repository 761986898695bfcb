"""Runs the program in several processes that are forked from this one: nothing is imported again."""

import os
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from emoji_lightning.cli import main

TIMEOUT_S = 120
DDP = ["--trainer.accelerator", "cpu", "--trainer.strategy", "ddp"]


class RecordSteps(pl.Callback):
    """Writes rows and loss of each step to `steps-RANK.pt` of the run folder, and what dev gave to `dev-RANK.pt`."""

    def __init__(self) -> None:
        self.steps: list[tuple[list[int], float]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *step: Any) -> None:
        self.steps.append((step[1].row.tolist(), float(step[0]["loss"])))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        torch.save(self.steps, Path(trainer.default_root_dir) / f"steps-{trainer.global_rank}.pt")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        numbers = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("dev/")}
        torch.save(numbers, Path(trainer.default_root_dir) / f"dev-{trainer.global_rank}.pt")


RECORD_STEPS = ["--trainer.callbacks+", f"{__name__}.RecordSteps"]


def run_in_processes(num: int, *commands: Sequence[str]) -> list[int]:
    """Run these commands, one after the other, in as many processes; return the exit codes."""
    fork = get_context("fork")
    port = free_port()
    processes = [fork.Process(target=_run, args=(rank, num, port, commands)) for rank in range(num)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(TIMEOUT_S)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    return [-1 if code is None else code for code in codes]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(rank: int, num: int, port: int, commands: Sequence[Sequence[str]]) -> None:
    torch.set_num_threads(1)  # the pool of threads of the process that was forked is not here
    for signum in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(signum, signal.SIG_DFL)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(num), "LOCAL_WORLD_SIZE": str(num)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GROUP_RANK": "0", "OMP_NUM_THREADS": "1"}
    os.environ |= {"TORCHELASTIC_RUN_ID": "test", "TORCHELASTIC_USE_AGENT_STORE": "False"}
    code = 0
    for words in commands:
        try:
            main([*words, *DDP, "--trainer.devices", str(num)])
        except SystemExit as stop:
            code = int(stop.code or 0)
        except BaseException:
            traceback.print_exc()
            code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
