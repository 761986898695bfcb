"""The head: a plain 3-layer MLP behind a fixed standardisation of its input."""

import torch
from torch import Tensor, nn


def plain_mlp(*, input_dim: int, hidden_dim: int, num_labels: int, dropout: float) -> nn.Sequential:
    """Build the MLP that leaves the house: Linear layers at 0, 3 and 6, each but the last with ReLU and dropout.

    Args:
        input_dim: Dimension D of an embedding.
        hidden_dim: Width of both hidden layers.
        num_labels: Number K of labels.
        dropout: Probability that a hidden unit is dropped in training.
    """
    return nn.Sequential(
        nn.Linear(input_dim, hidden_dim),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden_dim, hidden_dim),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden_dim, num_labels),
    )


class Standardizer(nn.Module):
    """Subtract a mean and divide by a scale, both fixed before training and (D,) float32; the identity until `fit`.

    Embedding dimensions are uneven (|max| of emotion2vec about 9 standard deviations), log-mel statistics more so.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def fit(self, embeddings: Tensor) -> None:
        """Take mean and standard deviation from (N, D) training embeddings.

        A dimension whose deviation is under 1e-3 of the median one carries rounding noise, not speech: its scale is
        bounded there, so that folding it into the first layer stays exact.
        """
        exact = embeddings.double()
        deviation = exact.std(dim=0, correction=0)
        floor = 1e-3 * deviation.median()
        self.mean.copy_(exact.mean(dim=0))
        self.scale.copy_(deviation.clamp_min(floor) if floor > 0 else torch.ones_like(deviation))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return (B, D) standardised embeddings."""
        return (embeddings - self.mean) / self.scale


class Head(nn.Module):
    """Raw embeddings (B, D) in, logits (B, K) out.

    Args:
        input_dim: Dimension D of an embedding.
        hidden_dim: Width of both hidden layers.
        num_labels: Number K of labels.
        dropout: Probability that a hidden unit is dropped in training.
    """

    def __init__(self, *, input_dim: int, hidden_dim: int, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.standardizer = Standardizer(input_dim)
        self.net = plain_mlp(input_dim=input_dim, hidden_dim=hidden_dim, num_labels=num_labels, dropout=dropout)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return logits (B, K)."""
        logits: Tensor = self.net(self.standardizer(embeddings))
        return logits

    def folded_state_dict(self) -> dict[str, Tensor]:
        """Return the weights `0.* 3.* 6.*` of a plain MLP that gives the same logits from raw embeddings.

        W ((x - m) / s) + b = (W / s) x + (b - (W / s) m), computed in float64 and rounded once.
        """
        state = {name: tensor.detach().clone().cpu() for name, tensor in self.net.state_dict().items()}
        weight = state["0.weight"].double() / self.standardizer.scale.double().cpu()
        bias = state["0.bias"].double() - weight @ self.standardizer.mean.double().cpu()
        return state | {"0.weight": weight.float(), "0.bias": bias.float()}
