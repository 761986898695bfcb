"""How much of each part of a head counts: weights that make the labels of dev likeliest."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

NUM_STEPS = 50
NUM_HALVINGS = 20
RIDGE = 1e-3
"""Pull towards the weights that are taken without evidence: so weak that it decides only where dev cannot."""


def fit_blend(parts: Tensor, labels: Tensor, *, offset: Tensor, prior: Tensor) -> tuple[Tensor, float]:
    """Return weights (P,) float64 of 0 or above for P parts of the logits, and the loss that they reach.

    Minimised is the mean cross-entropy of softmax(offset + sum_p w_p parts_p) plus RIDGE / 2 |w - prior|^2, which is
    convex, by Newton's method.

    Args:
        parts: (P, M, K) float64 parts of the logits of dev.
        labels: (M,) int64.
        offset: (K,) float64, added to all logits.
        prior: (P,) float64 weights that are taken without evidence.

    Source: stacking, Wolpert, 1992; with weights of 0 or above, Breiman, 1996.
    """
    weights = prior.clone()
    loss = _loss(parts, labels, weights, offset=offset, prior=prior)
    for _ in range(NUM_STEPS):
        step = _newton_step(parts, labels, weights, offset=offset, prior=prior)
        for halvings in range(NUM_HALVINGS):
            moved = (weights - step / 2**halvings).clamp_min(0)
            reached = _loss(parts, labels, moved, offset=offset, prior=prior)
            if reached <= loss:
                break
        else:
            return weights, loss
        settled = float((moved - weights).abs().max()) < 1e-7
        weights, loss = moved, reached
        if settled:
            break
    return weights, loss


def _loss(parts: Tensor, labels: Tensor, weights: Tensor, *, offset: Tensor, prior: Tensor) -> float:
    logits = offset + torch.einsum("p,pmk->mk", weights, parts)
    return float(cross_entropy(logits, labels) + RIDGE / 2 * (weights - prior).square().sum())


def _newton_step(parts: Tensor, labels: Tensor, weights: Tensor, *, offset: Tensor, prior: Tensor) -> Tensor:
    """Return the step (P,), 0 for weights that stay at their bound."""
    probabilities = (offset + torch.einsum("p,pmk->mk", weights, parts)).softmax(dim=1)
    of_label = parts.gather(2, labels[None, :, None].expand(len(parts), -1, 1))[:, :, 0]
    expected = torch.einsum("pmk,mk->pm", parts, probabilities)
    gradient = (expected - of_label).mean(dim=1) + RIDGE * (weights - prior)
    second = torch.einsum("pmk,qmk,mk->pq", parts, parts, probabilities)
    hessian = (second - expected @ expected.T) / len(labels) + RIDGE * torch.eye(len(parts), dtype=parts.dtype)
    free = (weights > 0) | (gradient < 0)
    step = torch.zeros_like(weights)
    step[free] = torch.linalg.solve(hessian[free][:, free], gradient[free])
    return step
