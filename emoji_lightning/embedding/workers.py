"""A worker per core, each computing with one thread: two whole utterances side by side, not one cut in two."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Barrier
from typing import TypeVar

import torch

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Workers:
    """Threads that run torch code of different utterances at the same time.

    Inside them torch computes with one thread, so a vector does not depend on how many workers there are, and no core
    waits for another in the middle of a product. Outside, the number of torch's threads stays what it was.

    Args:
        count: How many; by default as many as torch would use threads.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or torch.get_num_threads()
        self._pool: ThreadPoolExecutor | None = None

    def map(self, function: Callable[[_Item], _Result], items: Sequence[_Item]) -> Iterator[tuple[int, _Result]]:
        """Apply a function to each item; yield position and result as they are done."""
        if self._pool is None:
            self._pool = _start(self.count)
        positions = {self._pool.submit(function, item): position for position, item in enumerate(items)}
        try:
            for future in as_completed(positions):
                yield positions[future], future.result()
        finally:
            for future in positions:  # after an error or Ctrl-C nobody wants the rest
                future.cancel()


def _start(count: int) -> ThreadPoolExecutor:
    """Start all threads at once: each sets torch's thread count, for itself and for threads that start later."""
    threads = torch.get_num_threads()
    all_set = Barrier(count + 1)

    def set_up() -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()  # a thread's first use of torch takes the global count: here while it is 1
        all_set.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix="embed", initializer=set_up)
    for _ in range(count):
        pool.submit(int)
    all_set.wait()
    torch.set_num_threads(threads)
    return pool
