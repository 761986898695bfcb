"""funasr, imported and built without what it does to a process."""

import logging
import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO

import numpy as np
import torch


@contextmanager
def undisturbed() -> Iterator[None]:
    """Run code that reseeds generators, sets threads, configures logging and prints, and leave all of it as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    threads, environment = torch.get_num_threads(), dict(os.environ)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)  # also makes every logger forget what it remembered of the other level
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        torch.set_num_threads(threads)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
