"""Losses over many batches: of the epoch in training, and of an evaluation."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from emoji_lightning.model.processes import Share, gather, own


class EpochLoss:
    """The mean training loss of an epoch over its utterances; `self.log` in every step costs 5 % of an epoch."""

    def __init__(self) -> None:
        self._before: list[float] = []
        self._losses: list[Tensor] = []
        self._totals: list[int] = []

    def append(self, loss: Tensor, share: Share) -> None:
        """Add the loss of a step, a scalar as the step's optimiser sees it."""
        self._losses.append(loss.detach())
        self._totals.append(share.total)

    def mean(self) -> Tensor | None:
        """Return this process's part, whose mean over processes is the mean over utterances; None without a step."""
        if not self._totals:
            return None
        weights = torch.tensor(self._totals, dtype=torch.float64)
        losses = torch.tensor(self._to_list(), dtype=torch.float64)
        return (losses @ (weights / weights.sum())).float()

    def clear(self) -> None:
        """Begin an epoch."""
        for steps in (self._before, self._losses, self._totals):
            steps.clear()

    def state_dict(self) -> dict[str, Any]:
        """Return the steps of the epoch so far, of all processes: all of them must call this."""
        return {"losses": gather(self._to_list()), "totals": list(self._totals)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on inside the epoch, also with another number of processes: then with the mean of those before."""
        losses = own(state["losses"])
        if losses is None:
            losses = torch.tensor(state["losses"], dtype=torch.float64).mean(dim=0).tolist()
        self._before, self._losses, self._totals = list(losses), [], list(state["totals"])

    def _to_list(self) -> list[float]:
        new: list[float] = torch.stack(self._losses).tolist() if self._losses else []  # one transfer from the device
        return self._before + new


class MeanLoss(Metric):
    """Mean loss over utterances, to the last digit the same on any number of processes: added up in corpus order."""

    full_state_update = False
    higher_is_better = False
    losses: list[Tensor]
    rows: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("losses", default=[], dist_reduce_fx="cat")
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    def update(self, losses: Tensor, rows: Tensor) -> None:
        """Add a batch: losses (B,) and the rows (B,) of its utterances in the corpus, B may be 0."""
        self.losses.append(losses)
        self.rows.append(rows)

    def compute(self) -> Tensor:
        """Return a scalar."""
        losses, rows = (torch.cat(list(each)) if isinstance(each, list) else each for each in (self.losses, self.rows))
        return losses[rows.argsort()].cpu().double().mean().float()
