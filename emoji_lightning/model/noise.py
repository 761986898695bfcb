"""What is random in a step of training, drawn apart from it: a pure step can be computed for many heads at once."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Noise(NamedTuple):
    """What chance adds to a step.

    Attributes:
        dropout: For each dropout in turn (B, H) float32: 0 for a unit that is dropped, 1 / (1 - p) for one that stays.
            Empty where nothing is dropped.
        input: (B, D) float32 standard normal, for the standardised embeddings; empty where they stay as they are.
    """

    dropout: tuple[Tensor, ...]
    input: Tensor | tuple[()] = ()


def draw_noise(
    net: nn.Sequential,
    num_utterances: int,
    device: torch.device,
    generator: torch.Generator | None = None,
    *,
    input_dim: int = 0,
) -> Noise:
    """Draw the chance of a step: that of the input, then that of `nn.Dropout` as it would on a CPU, number for number.

    Args:
        net: A chain of layers, whose dropouts are drawn.
        num_utterances: Number B of utterances in the batch.
        device: Where the tensors are made.
        generator: What draws; by default the global one of the device.
        input_dim: Dimension D of the embeddings if they get noise, else 0.
    """
    of_input: Tensor | tuple[()] = ()
    if input_dim:
        of_input = torch.randn(num_utterances, input_dim, device=device, generator=generator)
    kept, width = [], 0
    for module in net:
        width = getattr(module, "out_features", width)
        if isinstance(module, nn.Dropout) and module.p > 0:
            mask = torch.empty(num_utterances, width, device=device)
            kept.append(mask.bernoulli_(1 - module.p, generator=generator).div_(1 - module.p))
    return Noise(tuple(kept), of_input)


def pass_through(net: nn.Sequential, standardized: Tensor, dropout: Sequence[Tensor]) -> Tensor:
    """Return logits (B, K) where hidden units are multiplied by what was drawn, see `draw_noise`; a pure function."""
    hidden, drawn = standardized, iter(dropout)
    for module in net:
        if not isinstance(module, nn.Dropout):
            hidden = module(hidden)
        elif dropout:
            hidden = hidden * next(drawn).to(hidden.dtype)
    return hidden
