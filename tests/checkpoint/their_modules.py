"""Heads as their users define them: nothing here knows of emoji_lightning."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor, nn


class FullyConnected(nn.Module):
    """fc1, fc2, ... with ReLU between, and ln1, ln2, ... or bn1, bn2, ... before it."""

    def __init__(
        self,
        dims: Sequence[int],
        norm: str | None = None,
        activate: Callable[[Tensor], Tensor] = F.relu,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.norm, self.activate, self.num_layers = norm, activate, len(dims) - 1
        for number, (inputs, outputs) in enumerate(pairwise(dims), start=1):
            setattr(self, f"fc{number}", nn.Linear(inputs, outputs, bias=bias))
            if norm and number < self.num_layers:
                module = nn.LayerNorm(outputs) if norm == "ln" else nn.BatchNorm1d(outputs)
                setattr(self, f"{norm}{number}", module)

    def forward(self, x: Tensor) -> Tensor:
        for number in range(1, self.num_layers):
            x = getattr(self, f"fc{number}")(x)
            if self.norm:
                x = getattr(self, f"{self.norm}{number}")(x)
            x = F.dropout(self.activate(x), 0.2, self.training)
        logits: Tensor = getattr(self, f"fc{self.num_layers}")(x)
        return logits


class Named(nn.Module):
    """A Sequential under a name: net.0.weight, ..."""

    def __init__(self, name: str, layers: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, layers)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.get_submodule(self.name)(x)
        return logits


class Numbered(nn.Module):
    """`linear.0`, `linear.1`, ..., `linear.{n+1}`: what lies between holds no weights."""

    def __init__(self, dims: Sequence[int], name: str = "linear", *, gap: bool = False) -> None:
        super().__init__()
        pairs = list(pairwise(dims))
        layers: list[nn.Module] = [nn.Linear(inputs, outputs) for inputs, outputs in pairs[:-1]]
        layers += [nn.Identity()] * gap + [nn.Linear(*pairs[-1])]
        self.name = name
        self.add_module(name, nn.ModuleList(layers))

    def forward(self, x: Tensor) -> Tensor:
        *hidden, last = [layer for layer in self.get_submodule(self.name).children() if isinstance(layer, nn.Linear)]
        for layer in hidden:
            x = F.relu(layer(x))
        logits: Tensor = last(x)
        return logits


class InBlocks(nn.Module):
    """block1.0 (Linear), block1.1 (BatchNorm), block2.0, block2.1, classifier."""

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        for number, (inputs, outputs) in enumerate(pairwise(dims[:-1]), start=1):
            block = nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(0.3))
            self.add_module(f"block{number}", block)
        self.classifier = nn.Linear(dims[-2], dims[-1])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.children():
            x = block(x)
        return x


class Standardizing(nn.Module):
    """A head that keeps mean and std as buffers."""

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(dims[0]))
        self.register_buffer("std", torch.ones(dims[0]))
        self.net = sequential(dims)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net((x - self.mean) / self.std)
        return logits


def sequential(dims: Sequence[int], block: str = "lad", activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """A Sequential of hidden blocks and a last Linear layer; a letter of `block` is a module of a hidden block.

    l Linear, n LayerNorm, b BatchNorm, a activation, d dropout; "lad" puts Linear layers at 0, 3, 6, "la" at 0, 2, 4.
    """
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(dims[:-1]):
        width = inputs
        for letter in block:
            make = {"l": nn.Linear(inputs, outputs), "n": nn.LayerNorm(width), "b": nn.BatchNorm1d(width)}
            modules.append(make[letter] if letter in make else nn.Dropout(0.2) if letter == "d" else activation())
            width = outputs if letter == "l" else width
    return nn.Sequential(*modules, *[nn.Dropout(0.2)] * block.startswith("d"), nn.Linear(dims[-2], dims[-1]))


def randomize(module: nn.Module, seed: int) -> nn.Module:
    """Give every tensor its own numbers, so that a layer in another's place is seen; norms and statistics, too."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            spread = 0.3 if name.endswith("bias") else 1.0  # so that each label is the predicted one somewhere
            numbers = spread * torch.randn(tensor.shape, generator=generator)
            positive = name.endswith(("running_var", "std"))
            tensor.copy_(numbers.abs() + 0.5 if positive else numbers)
    return module.eval()
