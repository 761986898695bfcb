"""Fine-tuning with little data: what keeps a head close to where it started."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from emoji_lightning.errors import ConfigError
from emoji_lightning.model.head import Head
from emoji_lightning.model.processes import Share
from emoji_lightning.model.rehearsal import Imagined, imagine
from emoji_lightning.model.start import Start

IMAGINED_PER_UTTERANCE = 2
DISTILL_TEMPERATURE = 2.0
"""Of both sides of the distillation, as Li and Hoiem (2016) take it."""


@dataclass(frozen=True)
class FineTuningOptions:
    """The options of `EmojiClassifier` that need a start; see there."""

    freeze: str = "none"
    layer_lr_decay: float = 1.0
    l2_sp: float = 0.0
    distill: float = 0.0
    rehearse: float = 0.0

    def __post_init__(self) -> None:
        """Check."""
        if not 0 < self.layer_lr_decay <= 1:
            raise ConfigError(f"--model.layer_lr_decay is {self.layer_lr_decay}; expected above 0 and at most 1")
        for name in ("l2_sp", "distill", "rehearse"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"--model.{name} is {getattr(self, name)}; expected 0 or more")

    def demand_defaults(self) -> None:
        """Raise ConfigError for an option that would be without effect, for there is no start."""
        for field in fields(self):
            if getattr(self, field.name) != field.default:
                raise ConfigError(
                    f"--model.{field.name} is {getattr(self, field.name)}; it needs --model.init_from FILE, the "
                    "checkpoint to start from"
                )


class FineTuning:
    """A start, and what of it is held on to.

    Args:
        start: Where the head came from.
        options: What is held on to, and how firmly.
    """

    def __init__(self, start: Start, options: FineTuningOptions) -> None:
        self.start, self.options = start, options
        self._reference: Head | None = None
        self._imagined: Imagined | None = None

    def begin(
        self, head: Head, embeddings: Tensor, labels: Tensor, *, moments: tuple[Tensor, Tensor] | None = None
    ) -> None:
        """Standardise on the new data without changing a logit, and remember the head as it is then.

        Args:
            head: The head to train.
            embeddings: (N, D) float32 of train.
            labels: (N,) int64.
            moments: Mean and standard deviation (D,) float64 of all of train, where the N are a part of it.
        """
        old_mean = head.standardizer.mean.clone()
        head.restandardize(embeddings, moments=moments)
        keep_statistics(head)
        if self.options.freeze == "hidden":
            freeze_hidden(head)
        self._reference = copy.deepcopy(head).eval().requires_grad_(False)
        if self.options.rehearse and len(self.start.rows) > 1:
            centre = head.standardizer(old_mean) if old_mean.any() else None
            rows, inputs = list(self.start.rows), head.standardizer(embeddings)
            self._imagined = imagine(self._reference, rows, inputs, labels, centre=centre)

    def add_to_loss(self, loss: Tensor, head: Head, embeddings: Tensor, logits: Tensor, share: Share) -> Tensor:
        """Add distillation and rehearsal to the loss of a batch.

        Args:
            loss: Mean cross-entropy of the batch, a scalar.
            head: The head in training.
            embeddings: (B, D) of the batch.
            logits: (B, K) of the batch.
            share: What of the step is this process's; the returned loss is scaled by it.
        """
        rows = list(self.start.rows)
        if self.options.distill and len(rows) > 1:
            with torch.no_grad():
                expected = self.reference_on(embeddings.device)(embeddings)
            loss = loss + self.options.distill * distillation(logits[:, rows], expected[:, rows])
        loss = share.scale(loss, logits)
        if self._imagined is None:
            return loss
        weight = self.options.rehearse * (len(rows) / len(self.start.new) if self.start.new else 1.0)
        return (loss + weight * self._rehearse(head, share)) / (1 + weight)

    def _rehearse(self, head: Head, share: Share) -> Tensor:
        """Return the loss on imagined utterances, drawn for all processes alike, of which each answers its part."""
        assert self._imagined is not None
        self._imagined = self._imagined.to(head.linears[0].weight.device)
        total = IMAGINED_PER_UTTERANCE * share.total
        drawn = self._imagined.draw(total)
        logits, targets = head.net(share.part(drawn.inputs)), share.part(drawn.targets)
        of_drawn = Share(share.rank, share.num_processes, len(targets), total)
        return of_drawn.scale(nn.functional.cross_entropy(logits, targets), logits)

    def pull_back(self, head: Head, optimizer: torch.optim.Optimizer) -> None:
        """Move what was copied towards its start, by lr * l2_sp of the way, as AdamW moves weights towards zero."""
        if not self.options.l2_sp:
            return
        rates = {id(each): group["lr"] for group in optimizer.param_groups for each in group["params"]}
        last = {id(each) for each in head.linears[-1].parameters()}
        rows = list(self.start.rows)
        with torch.no_grad():
            reference = self.reference_on(head.linears[0].weight.device)
            for own, start in zip(head.net.parameters(), reference.net.parameters(), strict=True):
                share = rates.get(id(own), 0.0) * self.options.l2_sp
                if id(own) in last:
                    own[rows] = own[rows].lerp(start[rows], share)
                elif share:
                    own.lerp_(start, share)

    def reference_on(self, device: torch.device) -> Head:
        """Return the head as it was at the start, on a device."""
        assert self._reference is not None, "begin or load_state_dict comes first"
        self._reference = self._reference.to(device)
        return self._reference

    def describe_idle(self) -> str | None:
        """Return in words which options have nothing to act on; None if none has."""
        idle = [name for name in ("distill", "rehearse") if getattr(self.options, name)]
        if len(self.start.copied) > 1 or not idle:
            return None
        given = " and ".join(f"--model.{name} {getattr(self.options, name):g}" for name in idle)
        labels = ", ".join(self.start.copied) or "none"
        return (
            f"without effect: {given}, which keeps apart what the head knew: the labels that it has in common with the "
            f"data are too few ({labels}; expected 2 or more); if they only differ in name, give --data.label_map"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the facts for `summary.json`."""
        return self.start.to_dict() | vars(self.options)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs of the start."""
        weights = {} if self._reference is None else self._reference.state_dict()
        imagined = {} if self._imagined is None else vars(self._imagined)
        return {"start": self.start.to_dict(), "weights": weights, "imagined": dict(imagined)}

    def load_state_dict(self, head: Head, state: Mapping[str, Any]) -> None:
        """Take what `state_dict` returned, for a head of the same architecture."""
        self.start = Start.from_dict(state["start"])
        if state["weights"]:
            self._reference = copy.deepcopy(head).eval().requires_grad_(False)
            self._reference.load_state_dict(state["weights"])
        if state["imagined"]:
            self._imagined = Imagined(**state["imagined"])


def freeze_hidden(head: Head) -> None:
    """Keep all layers below the last as they are."""
    for module in head.net:
        if module is head.linears[-1]:
            return
        module.requires_grad_(False)


def keep_statistics(head: Head) -> None:
    """Keep the statistics of batch norms: those of a few utterances of new labels would change every old answer.

    With them a batch of one utterance has nothing to compare with, and PyTorch refuses it.
    """
    for module in head.net:
        if isinstance(module, nn.BatchNorm1d):
            module.eval()


def distillation(logits: Tensor, expected: Tensor) -> Tensor:
    """Return T^2 KL(softmax(expected / T) || softmax(logits / T)), the mean over (B, K) logits; T = 2.

    Source: Hinton et al., 2015; Li and Hoiem, 2016.
    """
    log_probabilities = (logits / DISTILL_TEMPERATURE).log_softmax(dim=1)
    targets = (expected / DISTILL_TEMPERATURE).softmax(dim=1)
    return DISTILL_TEMPERATURE**2 * nn.functional.kl_div(log_probabilities, targets, reduction="batchmean")
