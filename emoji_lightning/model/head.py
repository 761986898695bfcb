"""The head: a chain of Linear layers behind a fixed standardisation of its input."""

import torch
from torch import Tensor, nn

from emoji_lightning.checkpoint.architecture import Architecture
from emoji_lightning.checkpoint.folding import fold
from emoji_lightning.checkpoint.stored_head import StoredHead
from emoji_lightning.checkpoint.transforms import Standardization
from emoji_lightning.labels import LabelSet

CONSTANT = 1e-6
"""A dimension that deviates by less than this share of its mean is constant: float32 resolves 6e-8 of it."""


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

    def fit(self, embeddings: Tensor, moments: tuple[Tensor, Tensor] | None = None) -> None:
        """Take mean and standard deviation (D,) float64 from (N, D) training embeddings, or as they are given.

        A dimension whose deviation is under 1e-3 of the median one carries rounding noise, not speech: its scale is
        bounded there, so that folding it into the first layer stays exact. One that is constant, up to float32's
        rounding, takes the larger of its magnitude and the median deviation as its scale: a small one would cancel in
        the folded bias, and would blow up what other speech has there (log-mel bands that are silent in a corpus).
        """
        exact = embeddings.double()
        mean, deviation = moments or (exact.mean(dim=0), exact.std(dim=0, correction=0))
        median = deviation.median()
        constant = deviation <= CONSTANT * mean.abs()
        scale = torch.where(constant, mean.abs().clamp_min(median), deviation.clamp_min(1e-3 * median))
        self.mean.copy_(mean)
        self.scale.copy_(scale if median > 0 else torch.ones_like(deviation))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return (B, D) standardised embeddings."""
        return (embeddings - self.mean) / self.scale


class Head(nn.Module):
    """Raw embeddings (B, D) in, logits (B, K) out.

    Args:
        architecture: The chain of layers.
        dropout: Probability that a hidden unit is dropped in training.
    """

    def __init__(self, architecture: Architecture, *, dropout: float) -> None:
        super().__init__()
        self.architecture, self.dropout = architecture, dropout
        self.standardizer = Standardizer(architecture.input_dim)
        self.net = architecture.build(dropout)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return logits (B, K)."""
        logits: Tensor = self.net(self.standardizer(embeddings))
        return logits

    @property
    def linears(self) -> list[nn.Linear]:
        """The Linear layers, the first one first."""
        return [module for module in self.net if isinstance(module, nn.Linear)]

    def restandardize(self, embeddings: Tensor, *, moments: tuple[Tensor, Tensor] | None = None) -> None:
        """Fit the standardisation on (N, D) embeddings and change the first layer so that all logits stay the same.

        With u = (x - m) / s before and v = (x - n) / t after: W u + b = (W t / s) v + (b + W ((n - m) / s)). A chain
        that begins with a norm, or whose first layer has no bias to take the shift, is left as it is.

        Args:
            embeddings: The N embeddings.
            moments: Mean and standard deviation (D,) float64 to take in place of theirs.
        """
        first = self.linears[0]
        if self.architecture.layers[0].norm_in is not None or first.bias is None:
            return
        before = {name: buffer.double() for name, buffer in self.standardizer.named_buffers()}
        self.standardizer.fit(embeddings, moments)
        mean, scale = self.standardizer.mean.double(), self.standardizer.scale.double()
        weight = first.weight.detach().double()
        with torch.no_grad():
            first.bias.add_((weight @ ((mean - before["mean"]) / before["scale"])).float())
            first.weight.copy_(weight * scale / before["scale"])

    def to_stored(self, label_set: LabelSet, *, encoder: str, weights_sha256: str | None) -> StoredHead:
        """Return a copy of its weights as they are exported: the standardisation is folded into the first layer."""
        state = {name: tensor.detach().clone().cpu() for name, tensor in self.net.state_dict().items()}
        mean, scale = (buffer.detach().clone().cpu() for buffer in (self.standardizer.mean, self.standardizer.scale))
        is_identity = bool((mean == 0).all() and (scale == 1).all())
        return fold(
            StoredHead(
                architecture=self.architecture,
                state_dict=state,
                label_set=label_set,
                dropout=self.dropout,
                encoder=encoder,
                weights_sha256=weights_sha256,
                standardization=None if is_identity else Standardization(mean, scale, (), ()),
            )
        )
