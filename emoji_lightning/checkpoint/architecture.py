"""The shape of a head: Linear layers in a chain, the norms between them, one activation."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from torch import nn

Norm = Literal["layer_norm", "batch_norm"]
NORMS: Mapping[str, type[nn.Module]] = {"layer_norm": nn.LayerNorm, "batch_norm": nn.BatchNorm1d}
ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "leakyrelu": nn.LeakyReLU,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "mish": nn.Mish,
}


@dataclass(frozen=True)
class Layer:
    """A Linear layer and the norms on its two sides.

    Attributes:
        out_dim: Number of outputs.
        bias: Whether it has a bias.
        norm_in: Norm of its input, behind the activation of the layer before it.
        norm_out: Norm of its output, before the activation.
    """

    out_dim: int
    bias: bool = True
    norm_in: Norm | None = None
    norm_out: Norm | None = None


@dataclass(frozen=True)
class Architecture:
    """A chain of Linear layers; behind each but the last stand the activation and dropout.

    Attributes:
        input_dim: Dimension D of an embedding.
        layers: Its Linear layers; the last one gives the logits.
        activation: A name in `ACTIVATIONS`.
        eps: What the norms add to a variance.

    >>> plain(768, 512, 11).describe()
    '768 -> 512 -> ReLU -> 512 -> ReLU -> 11'
    """

    input_dim: int
    layers: tuple[Layer, ...]
    activation: str = "relu"
    eps: float = 1e-5

    @property
    def num_labels(self) -> int:
        """Number K of logits."""
        return self.layers[-1].out_dim

    @property
    def hidden_dims(self) -> tuple[int, ...]:
        """Widths of the hidden layers."""
        return tuple(layer.out_dim for layer in self.layers[:-1])

    @property
    def is_plain(self) -> bool:
        """Whether it is the head that this program trains from scratch: two ReLU layers of one width, no norms."""
        return len(set(self.hidden_dims)) == 1 and self == plain(self.input_dim, self.hidden_dims[0], self.num_labels)

    def with_labels(self, num_labels: int) -> "Architecture":
        """Return the same chain with another number of logits."""
        last = Layer(**vars(self.layers[-1]) | {"out_dim": num_labels})
        return Architecture(self.input_dim, (*self.layers[:-1], last), self.activation, self.eps)

    def build(self, dropout: float) -> nn.Sequential:
        """Return the chain as a module: (B, D) -> logits (B, K)."""
        return nn.Sequential(*(make() for _, _, make in self._modules(dropout)))

    def places(self) -> dict[tuple[int, str], int]:
        """Return (number of the Linear layer, "norm_in" | "linear" | "norm_out") -> index in the built Sequential."""
        return {(number, role): index for index, (number, role, _) in enumerate(self._modules(0.0))}

    def _modules(self, dropout: float) -> Iterator[tuple[int, str, Callable[[], nn.Module]]]:
        dim = self.input_dim
        for number, layer in enumerate(self.layers):
            if layer.norm_in:
                yield number, "norm_in", partial(NORMS[layer.norm_in], dim, eps=self.eps)
            yield number, "linear", partial(nn.Linear, dim, layer.out_dim, bias=layer.bias)
            dim = layer.out_dim
            if layer.norm_out:
                yield number, "norm_out", partial(NORMS[layer.norm_out], dim, eps=self.eps)
            if number < len(self.layers) - 1:
                yield number, "activation", ACTIVATIONS[self.activation]
                yield number, "dropout", partial(nn.Dropout, dropout)

    def describe(self) -> str:
        """Return the chain in words."""
        words = [str(self.input_dim)]
        for number, layer in enumerate(self.layers):
            norms = [NORMS[norm].__name__ if norm else "" for norm in (layer.norm_in, layer.norm_out)]
            words += [norms[0], str(layer.out_dim), norms[1]]
            words.append(ACTIVATIONS[self.activation].__name__ if number < len(self.layers) - 1 else "")
        return " -> ".join(word for word in words if word)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, for checkpoints."""
        return asdict(self) | {"layers": [asdict(layer) for layer in self.layers]}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Architecture":
        """Take what `to_dict` returned."""
        return cls(**{**content, "layers": tuple(Layer(**layer) for layer in content["layers"])})


def plain(input_dim: int, hidden_dim: int, num_labels: int) -> Architecture:
    """Return the plain 3-layer MLP, whose Linear layers stand at 0, 3 and 6 of the built Sequential."""
    return Architecture(input_dim, (Layer(hidden_dim), Layer(hidden_dim), Layer(num_labels)))
