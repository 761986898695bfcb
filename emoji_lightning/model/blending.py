"""How much of each part of a head counts: weights that make the logits of dev likeliest."""

import torch
from torch import Tensor

NUM_STEPS = 50
RIDGE = 1e-3
"""Pull of the weights to what is taken without any evidence, per utterance; it decides where dev cannot."""


def fit_blend(parts: Tensor, labels: Tensor, *, prior: Tensor, num_bounded: int) -> Tensor:
    """Return weights (P,) float64 of P parts of the logits, by Newton's method on a convex loss.

    Minimised is the mean cross-entropy of softmax(sum_p w_p parts_p) plus RIDGE / 2 |w - prior|^2, with the first
    `num_bounded` weights kept at 0 or above.

    Args:
        parts: (P, M, K) float64 parts of the logits of dev.
        labels: (M,) int64.
        prior: (P,) float64.
        num_bounded: How many of the weights may not be negative.

    Source: stacking, Wolpert, 1992; with weights of 0 or above, Breiman, 1996.
    """
    weights = prior.clone()
    bounded = torch.arange(len(parts)) < num_bounded
    for _ in range(NUM_STEPS):
        gradient, hessian = _derivatives(parts, labels, weights)
        gradient = gradient + RIDGE * (weights - prior)
        hessian = hessian + RIDGE * torch.eye(len(parts), dtype=parts.dtype)
        free = ~(bounded & (weights <= 0) & (gradient > 0))
        step = torch.zeros_like(weights)
        step[free] = torch.linalg.solve(hessian[free][:, free], gradient[free])
        moved = _descend(parts, labels, weights, step, prior=prior, bounded=bounded)
        if (moved - weights).abs().max() < 1e-7:
            break
        weights = moved
    return weights


def _loss(parts: Tensor, labels: Tensor, weights: Tensor, prior: Tensor) -> float:
    logits = torch.einsum("p,pmk->mk", weights, parts)
    loss = torch.nn.functional.cross_entropy(logits, labels) + RIDGE / 2 * (weights - prior).square().sum()
    return float(loss)


def _descend(parts: Tensor, labels: Tensor, weights: Tensor, step: Tensor, *, prior: Tensor, bounded: Tensor) -> Tensor:
    """Return the weights after the longest of the steps 1, 1/2, 1/4 ... that lowers the loss."""
    before = _loss(parts, labels, weights, prior)
    for halvings in range(20):
        moved = weights - step / 2**halvings
        moved = torch.where(bounded, moved.clamp_min(0), moved)
        if _loss(parts, labels, moved, prior) <= before:
            return moved
    return weights


def _derivatives(parts: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return gradient (P,) and Hessian (P, P) of the mean cross-entropy."""
    probabilities = torch.einsum("p,pmk->mk", weights, parts).softmax(dim=1)
    of_label = parts.gather(2, labels[None, :, None].expand(len(parts), -1, 1))[:, :, 0]
    expected = torch.einsum("pmk,mk->pm", parts, probabilities)
    gradient = (expected - of_label).mean(dim=1)
    second = torch.einsum("pmk,qmk,mk->pq", parts, parts, probabilities)
    hessian = (second - expected @ expected.T) / len(labels)
    return gradient, hessian
