"""Tensors with names -> the Linear layers and norms that they are the parts of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from emoji_lightning.checkpoint.architecture import Norm
from emoji_lightning.errors import CheckpointError

LEAVES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True, eq=False)
class Module:
    """The tensors that share a prefix: a Linear layer or a norm."""

    prefix: str
    tensors: Mapping[str, Tensor]

    @property
    def is_linear(self) -> bool:
        """Whether it is a Linear layer."""
        return "weight" in self.tensors and self.tensors["weight"].ndim == 2

    @property
    def sizes(self) -> tuple[int, int]:
        """Inputs and outputs."""
        tensor = next(self.tensors[leaf] for leaf in ("weight", "running_mean") if leaf in self.tensors)
        return int(tensor.shape[-1]), int(tensor.shape[0])

    @property
    def norm(self) -> Norm:
        """Which norm it is."""
        return "batch_norm" if "running_mean" in self.tensors else "layer_norm"


def group_modules(tensors: Mapping[str, Tensor]) -> list[Module]:
    """Collect the tensors of each Linear layer or norm, in the order of the file.

    Raises:
        CheckpointError: A tensor is part of neither, or they do not fit each other.
    """
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        prefix, _, leaf = name.rpartition(".")
        if leaf not in LEAVES:
            raise CheckpointError(
                f"{name} {tuple(tensor.shape)} is no part of a Linear layer, LayerNorm or BatchNorm; expected a chain "
                "of these: another network cannot be used, anything else has to be removed from the state dict"
            )
        groups.setdefault(prefix, {})[leaf] = tensor
    modules = [Module(prefix, group) for prefix, group in groups.items()]
    for module in modules:
        _check_module(module)
    return modules


def _check_module(module: Module) -> None:
    shapes = {leaf: tuple(tensor.shape) for leaf, tensor in module.tensors.items()}
    found = f"{module.prefix or 'weight'} ({', '.join(f'{leaf} {shape}' for leaf, shape in shapes.items())})"
    weight, bias = shapes.get("weight", ()), shapes.get("bias")
    if module.is_linear and shapes.keys() <= {"weight", "bias"}:
        if bias is None or bias == weight[:1]:
            return
        if bias == weight[1:]:
            raise CheckpointError(f"{found} is transposed; expected (outputs, inputs) as torch keeps it, save weight.T")
    elif _is_norm(shapes):
        return
    raise CheckpointError(f"{found} is no Linear layer, LayerNorm or BatchNorm; expected a chain of these")


def _is_norm(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    affine, statistics = {"weight", "bias"}, {"running_mean", "running_var"}
    sizes = {shape for leaf, shape in shapes.items() if leaf in affine | statistics}
    if len(sizes) != 1 or len(next(iter(sizes))) != 1 or shapes.get("num_batches_tracked", ()) != ():
        return False
    return shapes.keys() - {"num_batches_tracked"} in (statistics, affine | statistics) or shapes.keys() == affine


def list_modules(modules: Sequence[Module]) -> str:
    """Return Linear layers in words."""
    return (
        ", ".join(f"{module.prefix or 'weight'} {module.sizes[0]} -> {module.sizes[1]}" for module in modules) or "none"
    )
