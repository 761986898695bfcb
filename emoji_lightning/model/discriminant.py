"""The best linear head in closed form: discriminant analysis whose two shrinkages come from train alone."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

SHRINKAGES = (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.97, 1.0)
SCALES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.5)
NUM_FOLDS = 5
LEAST_VARIANCE = 1e-3
"""Of standardised embeddings, whose variance is 1, within labels; without any a logit would have no bound."""
UNSEEN_LOGIT = -20.0
"""Logit of a label that train has no utterance of."""


class Discriminant(NamedTuple):
    """Logits that are linear in the embedding.

    Attributes:
        weight: (K, D) float32.
        bias: (K,) float32.
        shrinkage: Which share of the covariance is the identity.
        scale: What the logits were multiplied by, so that their softmax is right for utterances outside of train.
    """

    weight: Tensor
    bias: Tensor
    shrinkage: float
    scale: float


class Sums(NamedTuple):
    """What covariance and class means follow from; sums of parts add up to that of the whole.

    Attributes:
        sizes: (K,) float64 utterances of each label.
        total: (K, D) float64 sum of the embeddings of each label.
        products: (D, D) float64 sum of x x'.
    """

    sizes: Tensor
    total: Tensor
    products: Tensor

    @classmethod
    def of(cls, embeddings: Tensor, labels: Tensor, num_labels: int) -> "Sums":
        """Take them from (N, D) float64 embeddings and (N,) labels."""
        total = embeddings.new_zeros(num_labels, embeddings.shape[1]).index_add_(0, labels, embeddings)
        return cls(torch.bincount(labels, minlength=num_labels).double(), total, embeddings.T @ embeddings)


def fit_discriminant(embeddings: Tensor, labels: Tensor, num_labels: int) -> Discriminant:
    """Return the linear discriminant of standardised embeddings that 5 random folds of them ask for.

    Covariances are (1 - g) S + g tr(S) / D, with the g of `SHRINKAGES` that gives utterances of the left-out fold the
    smallest cross-entropy, each label weighing the same; so is the scale of the logits found. Class means are shrunk
    to the mean of all, see `_solve`. All labels have the same prior: macro-F1 counts them alike.

    Args:
        embeddings: (N, D) standardised.
        labels: (N,) int64 from 0 to K - 1.
        num_labels: K.

    Source: Friedman, "Regularized discriminant analysis", 1989; Efron and Morris, 1973, for the means.
    """
    exact = embeddings.double()
    fold = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0)) % NUM_FOLDS
    parts = [Sums.of(exact[fold == each], labels[fold == each], num_labels) for each in range(NUM_FOLDS)]
    whole = Sums(*(sum(tensors[1:], tensors[0]) for tensors in zip(*parts, strict=True)))
    logits = exact.new_zeros(len(SHRINKAGES), len(labels), num_labels)
    weights = 1 / whole.sizes[labels]
    for number, part in enumerate(parts):
        left_out = fold == number
        others = Sums(*(all_ - own for all_, own in zip(whole, part, strict=True)))
        weights[left_out] *= others.sizes[labels[left_out]] > 0  # a label of one fold only tells nothing
        for place, (weight, bias) in enumerate(_solve(others, SHRINKAGES)):
            logits[place, left_out] = exact[left_out] @ weight.T + bias
    shrinkage, scale = _choose(logits, labels, weights)
    weight, bias = next(_solve(whole, (shrinkage,)))
    bias = torch.where(whole.sizes > 0, bias * scale, UNSEEN_LOGIT)
    return Discriminant((weight * scale).float(), bias.float(), shrinkage, scale)


def _choose(logits: Tensor, labels: Tensor, weights: Tensor) -> tuple[float, float]:
    """Return the shrinkage and the scale with the smallest cross-entropy of (G, N, K) logits, weighted by (N,)."""
    losses = {
        ((cross_entropy(scale * each, labels, reduction="none") * weights).sum().item(), -place, scale)
        for place, each in enumerate(logits)
        for scale in SCALES
    }
    _, place, scale = min(losses)  # without evidence the largest shrinkage
    return SHRINKAGES[-place], scale


def _solve(sums: Sums, shrinkages: tuple[float, ...]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield weight (K, D) and bias (K,) float64 for each shrinkage of the covariance.

    The mean of a label with n utterances lies about tr(S P) / n away from the true one, with P the inverse covariance;
    what the labels' distances from the mean of all have beyond that on average is t. Empirical Bayes shrinks the mean
    to t / (t + tr(S P) / n) of its distance: much for a label with few utterances, whose inflated mean would otherwise
    draw in those of others.
    """
    present = sums.sizes > 0
    count = sums.sizes.clamp_min(1)[:, None]
    size = sums.sizes.sum().clamp_min(1)
    centre = sums.total.sum(dim=0) / size
    within = (sums.products - (sums.total / count).T @ sums.total) / size
    variances, axes = torch.linalg.eigh(within)
    variances = variances.clamp_min(0)
    average = variances.mean().clamp_min(LEAST_VARIANCE)
    distances = torch.where(present[:, None], (sums.total / count - centre) @ axes, 0)
    for shrinkage in shrinkages:
        shrunk = ((1 - shrinkage) * variances + shrinkage * average).clamp_min(1e-8 * average)
        noise = (variances / shrunk).sum() / count[:, 0]
        beyond = ((distances.square() / shrunk).sum(dim=1) - noise).clamp_min(0)
        signal = (beyond * sums.sizes).sum() / size
        means = distances * (signal / (signal + noise).clamp_min(1e-12))[:, None]
        weight = (means / shrunk) @ axes.T
        bias = -weight @ centre - 0.5 * (means.square() / shrunk).sum(dim=1)
        yield weight, torch.where(present, bias, UNSEEN_LOGIT)
