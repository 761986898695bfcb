"""Random numbers of one head, apart from those of all others."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_GLOBAL = threading.RLock()


class Stream:
    """The random numbers that a run with a seed of its own would draw.

    Args:
        seed: As `--seed_everything`.
        device: Where a head's noise is drawn: on a CPU from the same stream as its weights and batches.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.seed = seed
        self._generator = torch.Generator().manual_seed(seed)
        on_cpu = device.type == "cpu"
        self.noise = self._generator if on_cpu else torch.Generator(device).manual_seed(seed)

    def rewind(self) -> None:
        """Begin again, as `fit` does between making a model and its first step."""
        self._generator.manual_seed(self.seed)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make PyTorch's global generator on the CPU, and the seed that Lightning notes, this head's for a while."""
        with _GLOBAL:
            outer, noted = torch.get_rng_state(), os.environ.get("PL_GLOBAL_SEED")
            torch.set_rng_state(self._generator.get_state())
            os.environ["PL_GLOBAL_SEED"] = str(self.seed)
            try:
                yield
            finally:
                self._generator.set_state(torch.get_rng_state())
                torch.set_rng_state(outer)
                del os.environ["PL_GLOBAL_SEED"]
                if noted is not None:
                    os.environ["PL_GLOBAL_SEED"] = noted
