"""Learning rates: which parameter learns how fast, and how that changes over the steps."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR


class Layered(Protocol):
    """A chain of layers: a head, or the MLP that becomes one."""

    @property
    def net(self) -> nn.Sequential: ...  # noqa: D102
    @property
    def linears(self) -> list[nn.Linear]: ...  # noqa: D102


def parameter_groups(
    head: Layered, *, lr: float, weight_decay: float, lr_decay: float = 1.0, of_width: int | None = None
) -> list[dict[str, Any]]:
    """Return the groups of an optimiser: weight decay on weight matrices only, lower layers slower.

    Args:
        head: Parameters that do not require a gradient are left out.
        lr: Learning rate of the last layer.
        weight_decay: Decoupled weight decay of matrices.
        lr_decay: Factor of the learning rate from each Linear layer to the one below it (Howard and Ruder, 2018).
        of_width: Width of a head that learns at `lr`; the layers of others learn at lr * of_width / width, see
            `layer_widths`. None lets all learn at `lr`.

    A norm learns as fast as the Linear layer that stands before it, or behind it at the input.
    """
    linears, widths = head.linears, layer_widths(head)
    groups: list[dict[str, Any]] = []
    number = 0
    for module in head.net:
        passed = isinstance(module, nn.Linear) and module is not linears[0]
        number += passed
        factor = 1.0 if of_width is None else of_width / widths[number]
        rate = lr * factor * lr_decay ** (len(linears) - 1 - number)
        learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
        # Decay is a share of a weight; unlike a step of Adam it means the same at every width.
        groups += _groups_of(learning, rate, weight_decay / factor)
    return _merged(groups)


def layer_widths(head: Layered) -> list[int]:
    """Return for each Linear layer the number of hidden units that it reads, or writes if it is the first of several.

    A step of Adam moves every weight by about the learning rate, so what a unit adds up moves with the number of units
    that it reads: a head of 64 units learns an eighth of what one of 512 does. Its rate must be 8 times as high (Yang
    et al., Tensor Programs V, 2021: with Adam the rate of hidden weights goes with 1 / fan-in).
    """
    inputs = [linear.in_features for linear in head.linears]
    return [*inputs[1:2], *inputs[1:]] if len(inputs) > 1 else inputs


def describe_rates(head: Layered, lr: float, of_width: int) -> str:
    """Return the learning rates of a head's layers in words: `learning rate 0.0008 = 0.0001 x 512 / 64`."""
    widths = dict.fromkeys(layer_widths(head))
    return ", ".join(f"learning rate {lr * of_width / width:.3g} = {lr:g} x {of_width} / {width}" for width in widths)


def _groups_of(parameters: Sequence[nn.Parameter], lr: float, weight_decay: float) -> list[dict[str, Any]]:
    return [{"params": [each], "lr": lr, "weight_decay": weight_decay if each.ndim > 1 else 0.0} for each in parameters]


def _merged(groups: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put parameters with the same options into one group, which a fused optimiser steps at once."""
    merged: dict[tuple[float, float], dict[str, Any]] = {}
    for group in groups:
        options = (group["lr"], group["weight_decay"])
        merged.setdefault(options, {**group, "params": []})["params"] += group["params"]
    return list(merged.values())


def warmup_and_half_cosine(optimizer: torch.optim.Optimizer, num_steps: int, warmup: float) -> LambdaLR:
    """Return a schedule that rises over the first steps and falls along a half cosine to zero at the last one.

    Args:
        optimizer: Whose rates it scales.
        num_steps: Number of all steps.
        warmup: Share of them in which the rate rises.

    Source: Loshchilov and Hutter, SGDR, 2017.
    """
    num_warmup = max(1, round(warmup * num_steps))

    def factor(step: int) -> float:
        if step < num_warmup:
            return (step + 1) / num_warmup
        return 0.5 * (1 + math.cos(math.pi * (step - num_warmup) / max(1, num_steps - num_warmup)))

    return LambdaLR(optimizer, factor)
