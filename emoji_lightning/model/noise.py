"""What is random in a step of training, drawn apart from it: a pure step can be computed for many heads at once."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

UNITS_PER_WORD = 4
"""Units that 64 random bits decide on."""


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
    """Draw the chance of a step: that of the input, then that of each `nn.Dropout`.

    On a CPU a unit takes 16 random bits: `nn.Dropout` draws them one by one, which took a tenth of an epoch. So the
    share that is dropped is a multiple of 1 / 65,536; units that stay are multiplied by 1 / (1 - p) all the same.

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
            draw = _draw_kept if device.type == "cpu" else _draw_kept_on_accelerator
            kept.append(draw((num_utterances, width), module.p, device, generator).mul_(1 / (1 - module.p)))
    return Noise(tuple(kept), of_input)


def _draw_kept(shape: tuple[int, int], p: float, device: torch.device, generator: torch.Generator | None) -> Tensor:
    """Return 1 for each unit that stays, 0 for the others."""
    num_units = math.prod(shape)
    words = torch.empty(-(-num_units // UNITS_PER_WORD), dtype=torch.int64, device=device)
    words.random_(-(2**63), None, generator=generator)
    bits = words.view(torch.int16)[:num_units].view(shape)
    return bits.to(torch.float32).ge_(round(p * 2**16) - 2**15)


def _draw_kept_on_accelerator(
    shape: tuple[int, int], p: float, device: torch.device, generator: torch.Generator | None
) -> Tensor:
    return torch.empty(shape, device=device).bernoulli_(1 - p, generator=generator)


def pass_through(net: nn.Sequential, standardized: Tensor, dropout: Sequence[Tensor]) -> Tensor:
    """Return logits (B, K) where hidden units are multiplied by what was drawn, see `draw_noise`; a pure function."""
    hidden, drawn = standardized, iter(dropout)
    for module in net:
        if not isinstance(module, nn.Dropout):
            hidden = module(hidden)
        elif dropout:
            hidden = hidden * next(drawn).to(hidden.dtype)
    return hidden
