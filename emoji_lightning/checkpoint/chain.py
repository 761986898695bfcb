"""Tensors with names -> a chain of Linear layers, told by structure; prefixes and numbering do not matter."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, permutations

from torch import Tensor

from emoji_lightning.checkpoint.architecture import Architecture, Layer
from emoji_lightning.checkpoint.module_groups import LEAVES, Module, group_modules, list_modules
from emoji_lightning.checkpoint.norms import MAX_DIGITS, Place, by_place, chain_fits, place_norms
from emoji_lightning.errors import CheckpointError

__all__ = ["LEAVES", "Chain", "is_of_loss", "natural_key", "read_chain"]

MIN_LAYERS, MAX_LAYERS = 2, 5
OF_TRAINING = re.compile(r"(^|[._])(loss\w*|criterion|metrics?|\w+_metrics|class_weights?)([._]|$)")
"""Names of what a training keeps in a state dict and predicting does not need."""
OTHER_NETWORKS = {
    ("pre_net", "post_net"): "emotion2vec's frame head, which takes a mean over frames behind its first layer",
    ("projector", "post_net"): "a head of s3prl, which pools frames between its layers",
    ("projector", "classifier"): "a head of transformers, which pools frames between its layers, without activation",
    ("gate", "proj"): "a gated layer, in which two Linear layers are multiplied",
}
SIDE_PATHS = re.compile(
    r"(^|[._])(gate|gates|gating|attn|attention|self_attn|query|residual|shortcut|skip|expert|experts)([._\d]|$)"
)


@dataclass(frozen=True)
class Chain:
    """A state dict understood.

    Attributes:
        architecture: Its shape; a state dict does not hold the activation, "relu" stands for it.
        keys: Name in the built `Sequential` (`0.weight`) -> name in the file.
        ignored: Names in the file that training needed and predicting does not.
        assumed: What was assumed to make sense of the names.
    """

    architecture: Architecture
    keys: dict[str, str]
    ignored: tuple[str, ...]
    assumed: tuple[str, ...]


def is_of_loss(name: str) -> bool:
    """Tell whether a tensor of this name belongs to a loss or a metric, not to a layer."""
    return bool(OF_TRAINING.search(name))


def read_chain(tensors: Mapping[str, Tensor], *, in_order: bool = True) -> Chain:
    """Find the chain of Linear layers in a state dict.

    Args:
        tensors: The tensors of one head, by name, in the order of the file.
        in_order: Whether that order says something; a safetensors file is sorted by name.

    Raises:
        CheckpointError: It is no chain of 2 to 5 Linear layers; names the tensor or the place where it breaks.
    """
    ignored = tuple(name for name in tensors if is_of_loss(name))
    kept = {name: tensor for name, tensor in tensors.items() if name not in ignored}
    _refuse_other_networks(kept)
    modules = group_modules(kept)
    linears = [module for module in modules if module.is_linear]
    if not MIN_LAYERS <= len(linears) <= MAX_LAYERS:
        left_out = f", {len(ignored)} tensors of a loss or metric left out" if ignored else ""
        raise CheckpointError(
            f"{len(linears)} Linear layers ({list_modules(linears[:12])}{left_out}); expected {MIN_LAYERS} to "
            f"{MAX_LAYERS}; of a larger model save the state_dict() of its head"
        )
    ordered, assumed = _sort(linears, in_order=in_order)
    norms, more_assumed = place_norms(ordered, modules, in_order=in_order)
    placed = by_place(ordered, norms)
    layers = tuple(_layer(placed, number) for number in range(len(ordered)))
    architecture = Architecture(ordered[0].sizes[0], layers)
    return Chain(architecture, dict(_keys(architecture, placed)), ignored, (*assumed, *more_assumed))


def _refuse_other_networks(names: Mapping[str, object]) -> None:
    words = {part for name in names for part in name.split(".")}
    for parts, what in OTHER_NETWORKS.items():
        if words.issuperset(parts):
            raise CheckpointError(
                f"{' and '.join(parts)} are {what}; expected Linear layers that follow each other, on utterance "
                "embeddings; such a network cannot be used"
            )
    side = next((name for name in names if SIDE_PATHS.search(name)), None)
    if side:
        raise CheckpointError(
            f"{side} is by its name no layer of a chain; expected Linear layers that follow each other; if they do, "
            "rename it"
        )


def _sort(linears: Sequence[Module], *, in_order: bool) -> tuple[list[Module], list[str]]:
    """Order Linear layers by their sizes; where these leave a choice, by number, then as they stand in the file."""
    fitting = [list(order) for order in permutations(linears) if chain_fits(order)]
    natural = sorted(linears, key=lambda module: natural_key(module.prefix))
    if len(fitting) == 1:
        is_known = fitting[0] in (natural, list(linears))
        return fitting[0], [] if is_known else ["the layers follow each other in the one way that their sizes allow"]
    numbered = [order for order in fitting if _is_numbered(order, fitting)]
    if len(numbered) == 1:
        return numbered[0], []
    if in_order and list(linears) in fitting:
        return list(linears), ["the layers follow each other as they stand in the file"]
    turned = [] if fitting else _find_transposed(natural)
    if turned:
        shapes = {module.prefix or "weight": tuple(module.tensors["weight"].shape) for module in turned}
        found = " and ".join(f"{name} (weight {shape})" for name, shape in shapes.items())
        raise CheckpointError(
            f"{found} {'is' if len(turned) == 1 else 'are'} transposed; expected (outputs, inputs) as torch keeps it, "
            "each layer taking what the one before it gives; save weight.T"
        )
    reason = "several orders of them fit, and no number tells which" if fitting else "no order of them fits"
    raise CheckpointError(
        f"its Linear layers are no chain: {list_modules(natural)}; {reason}; expected each to take what the one before "
        "it gives; where they do, number their names"
    )


def _find_transposed(linears: Sequence[Module]) -> list[Module]:
    """Return the fewest layers without bias that make a chain once they are turned round, of layers in their order."""
    free = [module for module in linears if "bias" not in module.tensors]
    for number in range(1, len(free) + 1):
        for turned in combinations(free, number):
            sizes = [module.sizes[::-1] if module in turned else module.sizes for module in linears]
            if all(before[1] == after[0] for before, after in pairwise(sizes)):
                return list(turned)
    return []


def _is_numbered(order: Sequence[Module], fitting: Sequence[Sequence[Module]]) -> bool:
    """Tell whether the layers that can change places are called the same but for a number, and stand in its order."""
    free = [module for number, module in enumerate(order) if any(other[number] is not module for other in fitting)]
    names = {re.sub(r"\d+", "", module.prefix) for module in free}
    keys = [natural_key(module.prefix) for module in free]
    return len(names) == 1 and keys == sorted(keys)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts `net.10` behind `net.9`."""
    parts = re.findall(r"\d+|[^\d.]+", name)
    return [(0, int(part), "") if part.isdecimal() and len(part) <= MAX_DIGITS else (1, 0, part) for part in parts]


def _layer(placed: Mapping[Place, Module], number: int) -> Layer:
    linear = placed[number, "linear"]
    norm_in, norm_out = (placed.get((number, role)) for role in ("norm_in", "norm_out"))
    return Layer(
        linear.sizes[1],
        bias="bias" in linear.tensors,
        norm_in=norm_in.norm if norm_in else None,
        norm_out=norm_out.norm if norm_out else None,
    )


def _keys(architecture: Architecture, placed: Mapping[Place, Module]) -> Iterator[tuple[str, str]]:
    for place, index in architecture.places().items():
        module = placed.get(place)
        if module is not None:
            prefix = f"{module.prefix}." if module.prefix else ""
            yield from ((f"{index}.{leaf}", f"{prefix}{leaf}") for leaf in module.tensors)
