"""Imagined utterances of the labels that a head already knows, for fine-tuning without their data.

A head that learns new labels from their utterances alone soon answers nothing else. What is needed against that are
utterances of the old labels, to be answered as before (pseudo-rehearsal: Robins, 1995). Only the old head is at hand;
but it tells, of any embedding, how to change it to make an old label likelier. So from the place around which the old
data lay we climb towards a label, which gives a mean for it; and we add noise spread as the new utterances of one
label are, since speakers and recordings differ alike whatever is said.

A climb ends where the mean of the label should be: for two labels with means a distance d apart, in standard deviations
of the noise, the log-odds rise by d a standard deviation and are d^2 / 2 at the mean (linear discriminant analysis). So
where the log-odds reach half the square of their own slope.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emoji_lightning.model.head import Head

NUM_IMAGINED = 1024
"""Imagined utterances, drawn once."""
NUM_CLIMBS = 16
"""Climbs whose mean is the mean of a label."""
STEP, MAX_STEPS = 0.3, 100
"""Length of a step, in standard deviations of the noise along it, and the number after which a climb is given up."""
SHRINKAGE = 0.2
"""Share of the noise whose dimensions are independent: the covariance of some 100 utterances is far from full rank."""
RIDGE = 0.01


@dataclass(frozen=True)
class Imagined:
    """Imagined utterances of old labels.

    Attributes:
        inputs: (N, D) float32, standardised as the head standardises.
        targets: (N, K) float32: what the old head answers; 0 for new labels.
    """

    inputs: Tensor
    targets: Tensor

    def draw(self, num: int) -> "Imagined":
        """Return a random batch, with replacement."""
        rows = torch.randint(len(self.inputs), (num,), device=self.inputs.device)
        return Imagined(self.inputs[rows], self.targets[rows])

    def to(self, device: torch.device) -> "Imagined":
        """Return it on a device."""
        return Imagined(self.inputs.to(device), self.targets.to(device))


def imagine(head: Head, rows: list[int], inputs: Tensor, labels: Tensor, *, centre: Tensor | None = None) -> Imagined:
    """Imagine utterances of old labels.

    Args:
        head: The head as it starts, in evaluation mode.
        rows: Ids of the old labels in the head.
        inputs: (N, D) float32 standardised embeddings of the new utterances.
        labels: (N,) int64, their labels.
        centre: (D,) where the old data lay, standardised as `inputs`; estimated from the first layer if not given.
    """
    noise = _Noise(_residuals(inputs, labels))
    if centre is None:
        centre = _estimate_centre(head)
    places = torch.arange(len(rows)).repeat_interleave(NUM_CLIMBS)
    climbed = _climb(head.net, rows, centre + noise.draw(len(places)), places, noise)
    means = torch.stack([climbed[places == place].mean(dim=0) for place in range(len(rows))])
    imagined = means[torch.arange(NUM_IMAGINED) % len(rows)] + noise.draw(NUM_IMAGINED)
    with torch.no_grad():
        logits = head.net(imagined)
    targets = torch.zeros_like(logits)
    targets[:, rows] = logits[:, rows].softmax(dim=1)
    return Imagined(imagined, targets)


def _residuals(inputs: Tensor, labels: Tensor) -> Tensor:
    """Return (N, D) differences from the mean of their label, scaled to an unbiased variance."""
    residuals = inputs.clone()
    present = sorted(set(labels.tolist()))
    for label in present:
        members = labels == label
        residuals[members] -= inputs[members].mean(dim=0)
    return residuals * math.sqrt(len(inputs) / max(1, len(inputs) - len(present)))


class _Noise:
    """Noise with covariance (1 - r) S + r diag(S), S that of the residuals (M, D), never written down as (D, D)."""

    def __init__(self, residuals: Tensor) -> None:
        self.residuals, self.variance = residuals, residuals.square().mean(dim=0)

    def draw(self, num: int) -> Tensor:
        """Return (num, D) draws."""
        mixture = torch.randn(num, len(self.residuals)) / math.sqrt(len(self.residuals))
        independent = torch.randn(num, len(self.variance)) * self.variance.sqrt()
        drawn: Tensor = math.sqrt(1 - SHRINKAGE) * mixture @ self.residuals + math.sqrt(SHRINKAGE) * independent
        return drawn

    def times(self, vectors: Tensor) -> Tensor:
        """Return the covariance times each of (B, D) vectors."""
        full = (vectors @ self.residuals.T) @ self.residuals / len(self.residuals)
        covered: Tensor = (1 - SHRINKAGE) * full + SHRINKAGE * vectors * self.variance
        return covered


def _estimate_centre(head: Head) -> Tensor:
    """Return (D,) the point around which the first layer learnt: where its outputs are nearest to 0.

    The exported first layer is W ((x - m) / s) + b with a small b, so W x + b' is nearest to 0 at about x = m. Least
    squares, with a ridge towards the mean of the new data. A chain that begins with a norm says nothing of it: then the
    mean of the new data is taken.
    """
    first = head.linears[0]
    if head.architecture.layers[0].norm_in is not None or first.bias is None:
        return torch.zeros(first.in_features)
    weight, bias = first.weight.detach().double(), first.bias.detach().double()
    gram = weight @ weight.T
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    centre: Tensor = (-weight.T @ torch.linalg.solve(gram + ridge, bias)).float()
    return centre


def _climb(net: nn.Module, rows: list[int], starts: Tensor, places: Tensor, noise: _Noise) -> Tensor:
    """Move (M, D) inputs towards their label, rows[places], until they are where its mean should be."""
    inputs = starts.clone()
    own = nn.functional.one_hot(places, len(rows)).bool()
    for _ in range(MAX_STEPS):
        inputs.requires_grad_(True)
        logits = net(inputs)[:, rows]
        odds = logits[own] - logits.masked_fill(own, -math.inf).logsumexp(dim=1)
        (gradient,) = torch.autograd.grad(odds.sum(), inputs)
        inputs, direction = inputs.detach(), noise.times(gradient)
        squared_slope = (gradient * direction).sum(dim=1).clamp_min(1e-12)
        climbing = odds.detach() < squared_slope / 2
        if not climbing.any():
            break
        inputs = inputs + STEP * direction * (climbing / squared_slope.sqrt())[:, None]
    return inputs.detach()
