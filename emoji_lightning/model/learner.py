"""What is optimised when a head is trained from scratch, and how it becomes that head."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from emoji_lightning.checkpoint.architecture import plain
from emoji_lightning.model.blending import fit_blend
from emoji_lightning.model.discriminant import Discriminant, fit_discriminant
from emoji_lightning.model.head import Head

UNITS_PER_LABEL = 2
"""A linear logit passes a ReLU as two units, max(z, 0) and max(-z, 0)."""
PRIOR = (0.0, 1.0)
"""Weights of discriminant and MLP where dev says nothing: the MLP alone."""
MOST_UTTERANCES = 65_536
"""Enough for 768 dimensions; in float64 they take 400 MB."""
KEY, PREFIX = "optimized", "learner."


class Blend(NamedTuple):
    """Weights of the parts of the logits.

    Attributes:
        discriminant: Weight of the discriminant.
        mlp: Weight of the MLP.
        frequencies: 1 where the labels of dev are as frequent as those of train, 0 where they are equally frequent.
    """

    discriminant: float
    mlp: float
    frequencies: float


def learns_beside_discriminant(hidden_dim: int, num_labels: int) -> bool:
    """Tell whether the units that pass a discriminant leave the MLP at least half of the width."""
    return 2 * UNITS_PER_LABEL * num_labels <= hidden_dim


class Learner(nn.Module):
    """A narrower MLP, trained by gradient, beside a linear discriminant that is fitted in closed form.

    Both together are a head of the full width: 2 K of its hidden units pass the discriminant through both ReLUs, the
    others are the MLP. `assemble` writes them there, with the weights that make the answers to dev likeliest: where
    the labels are linearly separable the discriminant counts, elsewhere the MLP.

    Args:
        input_dim: Dimension D of an embedding.
        hidden_dim: Width H of the head; the MLP has H - 2 K hidden units.
        num_labels: Number K of labels.
        dropout: Probability that a hidden unit of the MLP is dropped.
    """

    weight: Tensor
    bias: Tensor
    log_frequencies: Tensor

    def __init__(self, input_dim: int, hidden_dim: int, num_labels: int, *, dropout: float) -> None:
        super().__init__()
        self.num_passing = UNITS_PER_LABEL * num_labels
        self.net = plain(input_dim, hidden_dim - self.num_passing, num_labels).build(dropout)
        self.register_buffer("weight", torch.zeros(num_labels, input_dim))
        self.register_buffer("bias", torch.zeros(num_labels))
        self.register_buffer("log_frequencies", torch.zeros(num_labels))

    def forward(self, standardized: Tensor) -> Tensor:
        """Return the MLP's logits (B, K) of standardised embeddings (B, D)."""
        logits: Tensor = self.net(standardized)
        return logits

    @property
    def linears(self) -> list[nn.Linear]:
        """The Linear layers of the MLP, the first one first."""
        return [module for module in self.net if isinstance(module, nn.Linear)]

    def begin(self, standardizer: nn.Module, embeddings: Tensor, labels: Tensor, *, frequencies: bool) -> Discriminant:
        """Fit the discriminant, to a random part of train where that has more than `MOST_UTTERANCES`.

        Args:
            standardizer: Standardises embeddings.
            embeddings: (N, D) of train.
            labels: (N,) int64.
            frequencies: Whether labels may count as they come in train; else all alike.
        """
        num_labels = len(self.bias)
        part = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:MOST_UTTERANCES].sort().values
        found = fit_discriminant(standardizer(embeddings[part]), labels[part], num_labels)
        self.weight.copy_(found.weight)
        self.bias.copy_(found.bias)
        if frequencies:
            logs = torch.bincount(labels, minlength=num_labels).double().clamp_min(0.5).log()
            self.log_frequencies.copy_(logs - logs.mean())
        return found

    @torch.no_grad()
    def blend(self, standardized: Tensor, labels: Tensor) -> Blend:
        """Return the weights under which the labels (M,) of dev are likeliest.

        Discriminant and MLP answer as if all labels were equally frequent; that the labels of dev are as frequent as
        those of train is taken where it makes dev likelier, and then said by the biases.
        """
        was_training = self.training
        self.eval()
        linear = standardized @ self.weight.T + self.bias
        parts = torch.stack([linear, self(standardized)]).double().cpu()
        self.train(was_training)
        prior = torch.tensor(PRIOR, dtype=torch.float64)
        logs = self.log_frequencies.double().cpu()
        found = [fit_blend(parts, labels.cpu(), offset=share * logs, prior=prior) for share in (0.0, 1.0)]
        frequencies = float(found[1][1] < found[0][1])
        discriminant, mlp = found[int(frequencies)][0].tolist()
        return Blend(discriminant, mlp, frequencies)

    @torch.no_grad()
    def assemble(self, head: Head, blend: Blend) -> None:
        """Write MLP and discriminant into a plain head of width H.

        What passes the discriminant has weights as large as those of the MLP in the first layer, and the factor that
        they lack in the last: units of another magnitude would learn at another pace where the head is fine-tuned.
        """
        first, second, last = head.linears
        mlp_first, mlp_second, mlp_last = self.linears
        width = mlp_first.out_features
        scale = self._passing_scale()
        weight, bias = scale * self.weight, scale * self.bias
        first.weight.copy_(torch.cat([mlp_first.weight, weight, -weight]))
        first.bias.copy_(torch.cat([mlp_first.bias, bias, -bias]))
        second.weight.zero_()
        second.weight[:width, :width] = mlp_second.weight
        second.weight[width:, width:].fill_diagonal_(1.0)
        second.bias.zero_()
        second.bias[:width] = mlp_second.bias
        passed = blend.discriminant / scale * torch.eye(len(self.bias), device=self.bias.device)
        last.weight.copy_(torch.cat([blend.mlp * mlp_last.weight, passed, -passed], dim=1))
        last.bias.copy_(blend.mlp * mlp_last.bias + blend.frequencies * self.log_frequencies)

    def _passing_scale(self) -> Tensor:
        return self.linears[0].weight.square().mean().sqrt() / self.weight.square().mean().sqrt().clamp_min(1e-6)


def take_out(checkpoint: dict[str, Any]) -> None:
    """Move what is optimised out of a checkpoint's state dict: others then find one head in it, the assembled one."""
    state = checkpoint["state_dict"]
    checkpoint[KEY] = {name: state.pop(name) for name in list(state) if name.startswith(PREFIX)}


def put_back(checkpoint: dict[str, Any]) -> bool:
    """Undo `take_out`; return whether there was anything."""
    checkpoint["state_dict"] |= checkpoint.get(KEY, {})
    return any(name.startswith(PREFIX) for name in checkpoint["state_dict"])
