"""Reads checkpoints in a process of its own, where a crash, memory and output can be seen."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Reading:
    """What became of a file.

    Attributes:
        path: The file.
        outcome: "head", or the name of the error's class.
        message: The error's text.
        seconds: How much time of the processor it took.
        grown_mb: By how much the most memory that the process ever had has grown (MiB).
    """

    path: str
    outcome: str
    message: str
    seconds: float
    grown_mb: float


def read_apart(paths: Sequence[Path], *, timeout_s: float = 120.0) -> list[Reading]:
    """Read files in one other process, in this order; it must end well and be silent on stderr."""
    program = [sys.executable, __file__, *map(str, paths)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=timeout_s, check=False)
    readings = [Reading(*json.loads(line)) for line in done.stdout.splitlines()]
    after = f" after {readings[-1].path}" if readings else ""
    assert done.returncode == 0, f"ended with {done.returncode}{after}: {done.stderr[-2000:]}"
    assert not done.stderr, f"printed{after}: {done.stderr[-2000:]}"
    return readings


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    import torch

    from emoji_lightning.checkpoint.stored_head import read_head

    torch.set_num_threads(1)
    for path in sys.argv[1:]:
        before, start, message = peak_mb(), time.process_time(), ""
        try:
            head = read_head(path)
            head.build()(torch.zeros(2, head.architecture.input_dim))
            outcome = "head"
        except Exception as error:  # which one it is, the test looks at
            outcome, message = type(error).__name__, str(error)
        print(json.dumps([path, outcome, message, time.process_time() - start, peak_mb() - before]), flush=True)


if __name__ == "__main__":
    main()
