"""What is random in a step of training, drawn apart from it: a pure step can be computed for many heads at once."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from emoji_lightning.model.head import Head


class Noise(NamedTuple):
    """What chance adds to a step.

    Attributes:
        dropout: For each dropout of the head in turn (B, H) float32: 0 for a unit that is dropped, 1 / (1 - p) for one
            that stays. Empty where nothing is dropped.
    """

    dropout: tuple[Tensor, ...]


def draw_noise(
    head: Head, num_utterances: int, device: torch.device, generator: torch.Generator | None = None
) -> Noise:
    """Draw the chance of a step as the head's own `nn.Dropout` modules would on a CPU, number for number.

    Args:
        head: Whose dropouts are drawn.
        num_utterances: Number B of utterances in the batch.
        device: Where the tensors are made.
        generator: What draws; by default the global one of the device.
    """
    kept, width = [], head.architecture.input_dim
    for module in head.net:
        width = getattr(module, "out_features", width)
        if isinstance(module, nn.Dropout) and module.p > 0:
            mask = torch.empty(num_utterances, width, device=device)
            kept.append(mask.bernoulli_(1 - module.p, generator=generator).div_(1 - module.p))
    return Noise(tuple(kept))
