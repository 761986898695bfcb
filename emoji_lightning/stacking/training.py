"""Many heads trained at once: on a CPU a thread for each core, on a GPU all in one stack."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial

import torch

from emoji_lightning.stacking.head_run import HeadRun
from emoji_lightning.stacking.stack import STACKED_OPTIONS, Stack

Report = Callable[[HeadRun], None]


def train_all(runs: Sequence[HeadRun], report: Report) -> None:
    """Train heads to their ends.

    Args:
        runs: The heads, all on one device.
        report: Told of each head that has ended.
    """
    if runs[0].recipe.device.type == "cpu":
        train_in_threads(runs, report)
        return
    for alike in group_alike(runs):
        train_in_stack(alike, report)


def train_in_threads(runs: Sequence[HeadRun], report: Report, num_threads: int | None = None) -> None:
    """Train each head in one thread: its weights and moments stay in the cache of a core, and no step waits for all.

    With one thread a stack of two heads of 2.7 MB takes 1.3 times as long as the two one after another.
    """
    num = num_threads or min(len(runs), torch.get_num_threads())
    pool = ThreadPoolExecutor(num, initializer=partial(torch.set_num_threads, 1))
    try:
        started = {pool.submit(run.train): run for run in runs}
        for future in as_completed(started):
            future.result()
            report(started[future])
    except BaseException:
        for run in runs:
            run.is_interrupted = True
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def train_in_stack(runs: Sequence[HeadRun], report: Report) -> None:
    """Train heads in lock-step, the steps of all computed at once; a head that has ended leaves the stack."""
    active = [(run, run.steps()) for run in runs]
    stack = Stack(runs)
    while active:
        drawn = [next(steps, None) for _, steps in active]
        staying = [place for place, step in enumerate(drawn) if step is not None]
        if len(staying) < len(active):
            for place in set(range(len(active))) - set(staying):
                report(active[place][0])
            active = [active[place] for place in staying]
            stack.keep(staying)
        if active:
            stack.step([step for step in drawn if step is not None])


def group_alike(runs: Sequence[HeadRun]) -> list[list[HeadRun]]:
    """Put heads together that differ in nothing but what a stack can hold for each head."""
    groups: dict[str, list[HeadRun]] = {}
    for run in runs:
        alike = {name: value for name, value in run.spec.options.items() if name not in STACKED_OPTIONS}
        key = repr(sorted(alike.items())) + str(bool(run.spec.options["dropout"]))
        groups.setdefault(key, []).append(run)
    return list(groups.values())
