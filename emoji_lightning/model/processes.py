"""What processes that train together must agree on, so that they take the step of one."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Share:
    """A process's share of a step.

    DDP takes the mean of the gradients of all processes, which is that of the whole step only where all have equally
    many utterances. Each process therefore scales its means by R n / N.

    Attributes:
        rank: This process, from 0.
        num_processes: Number R of processes.
        num: Number n of utterances that this one has, may be 0.
        total: Number N of utterances that all have.
    """

    rank: int
    num_processes: int
    num: int
    total: int

    @classmethod
    def of(cls, num: int, device: torch.device) -> "Share":
        """Ask all processes how many utterances they have; every one of them must call this."""
        if not is_shared():
            return cls(0, 1, num, num)
        total = torch.tensor(num, device=device)
        distributed.all_reduce(total)
        return cls(distributed.get_rank(), distributed.get_world_size(), num, int(total))

    def scale(self, mean: Tensor, logits: Tensor) -> Tensor:
        """Return a mean over this process's utterances such that the mean over processes is that over all utterances.

        Args:
            mean: A scalar, NaN where there is no utterance.
            logits: (n, K), from which the gradient comes where there is none.
        """
        if self.num_processes == 1:
            return mean
        return mean * (self.num_processes * self.num / self.total) if self.num else 0 * logits.sum()

    def part(self, tensor: Tensor) -> Tensor:
        """Return this process's rows of a tensor that all processes have."""
        return tensor[self.rank :: self.num_processes]


def is_shared() -> bool:
    """Tell whether several processes train together."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def gather(value: Any) -> list[Any]:
    """Return the values of all processes in the order of their ranks; every one of them must call this."""
    if not is_shared():
        return [value]
    values: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


def own(values: list[Any]) -> Any:
    """Return what this process gave to `gather`, or None where the number of processes is another one now."""
    num, rank = (distributed.get_world_size(), distributed.get_rank()) if is_shared() else (1, 0)
    return values[rank] if len(values) == num else None


def highest(values: list[int], device: torch.device) -> list[int]:
    """Return the highest of each of these that any process has; every one of them must call this."""
    if not is_shared():
        return values
    shared = torch.tensor(values, device=device)
    distributed.all_reduce(shared, op=distributed.ReduceOp.MAX)
    found: list[int] = shared.tolist()
    return found
