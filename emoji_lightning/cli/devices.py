"""Whether the machine has the devices that a run asks for, and what to do where their memory is too small."""

import os
from typing import Any

import torch

from emoji_lightning.errors import ConfigError

GPU_NAMES = ("gpu", "cuda")
OF_CPU = "DefaultCPUAllocator: "
"""Begins the RuntimeError with which torch reports that the machine's memory is too small."""


def check_devices(accelerator: object, devices: object) -> None:
    """Hold `--trainer.accelerator` and `--trainer.devices` against the machine, before any data is read.

    Raises:
        ConfigError: A GPU is asked for and there is none, or there are fewer; or more CPU processes than cores are
            asked for without saying that CPUs are meant.
    """
    has_mps = accelerator == "gpu" and torch.backends.mps.is_available()
    if accelerator in GPU_NAMES and not has_mps:
        _check_gpus(str(accelerator), devices)
    elif accelerator == "auto" and torch.cuda.device_count():
        _check_gpus("gpu", devices)
    elif accelerator == "auto" and (num := _number(devices)) is not None and num > (os.cpu_count() or 1):
        raise ConfigError(
            f"--trainer.devices is {devices}; found no GPU and {os.cpu_count()} CPU cores; "
            "lower it, or give --trainer.accelerator cpu if so many CPU processes are meant"
        )


def _check_gpus(accelerator: str, devices: object) -> None:
    found = torch.cuda.device_count()
    if not found:
        raise ConfigError(
            f"--trainer.accelerator is {accelerator}, and torch {torch.__version__} sees no GPU ({_why_none()}); "
            f"found {os.cpu_count()} CPU cores. To train on these, leave the option out or give --trainer.accelerator "
            "cpu (and no overlay for GPUs); it is not done silently"
        )
    asked = _number(devices)
    if asked is not None and asked > found:
        names = ", ".join(torch.cuda.get_device_name(each) for each in range(found))
        raise ConfigError(
            f"--trainer.devices is {devices}; found {found} {'GPU' if found == 1 else 'GPUs'} ({names}); "
            f"give at most {found}, or -1 for all of them; over several machines --trainer.num_nodes"
        )


def _why_none() -> str:
    if torch.version.cuda is None and getattr(torch.version, "hip", None) is None:
        return "it is a build for CPUs: install one for CUDA, see https://pytorch.org/get-started"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hidden = "" if visible is None else f"CUDA_VISIBLE_DEVICES is '{visible}'; "
    return f"{hidden}built for CUDA {torch.version.cuda}: check with nvidia-smi that there is a GPU with its driver"


def _number(devices: object) -> int | None:
    """Return how many devices are asked for; None where that is left open."""
    if isinstance(devices, list | tuple):
        return len(devices)
    try:
        num = int(str(devices))
    except ValueError:  # "auto", or "0,1"
        return len(str(devices).split(",")) if "," in str(devices) else None
    return num if num > 0 else None


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory, of a device or of the machine, was too small."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in (OF_CPU, "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
    )


def out_of_memory(verb: str, error: BaseException, *, batch_size: int | None, precision: Any) -> ConfigError:
    """Return the error that says what to lower.

    Args:
        verb: What ran.
        error: What torch raised.
        batch_size: Utterances in a batch of one process; None where the corpus was still being read.
        precision: `--trainer.precision`.
    """
    reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    if batch_size is None:
        cure = "the corpus did not fit: take fewer utterances (--data.manifest), or a machine with more memory"
    else:
        cure = f"lower --data.batch_size, which is {batch_size}" + (" for each process" if batch_size > 1 else "")
        cure += f", for example to {max(1, batch_size // 2)}; or --model.hidden_dim" if batch_size > 1 else ""
        if precision is None or str(precision).startswith("32"):
            cure += "; --trainer.precision bf16-mixed takes less; see that no other program holds the device's memory"
    return ConfigError(f"{verb}: out of memory: {reason}\n{cure}. Checkpoints of ended epochs are kept")
