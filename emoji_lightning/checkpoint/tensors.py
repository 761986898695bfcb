"""The state dict of a file: where it stands, and whether its tensors can be used."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from emoji_lightning.checkpoint.chain import LEAVES
from emoji_lightning.checkpoint.content import Content, Place, is_of_training, name_of, shorten, walk
from emoji_lightning.errors import CheckpointError

MAX_NUMBERS = 1 << 28
"""Of all layers together; tensors can share the bytes of a file, their copies do not."""


def find_state(content: Content) -> tuple[Place, dict[str, Tensor]]:
    """Return the place of the one state dict with Linear layers, and its tensors by name.

    Raises:
        CheckpointError: There is none, or several, or a weight in it is no tensor.
    """
    data = content.data
    if "Featurizer" in data and "Downstream" in data:
        raise CheckpointError(
            "a dump of s3prl, whose head takes a weighted sum of all layers and pools frames; expected a head on "
            "utterance embeddings; such a network cannot be used"
        )
    candidates = {
        place: value
        for place, value in [((), data), *walk(data)]
        if isinstance(value, dict) and not is_of_training(place) and _has_matrix(value)
    }
    if len(candidates) != 1:
        raise CheckpointError(_describe_candidates(list(candidates), data))
    place, state = next(iter(candidates.items()))
    wrong = [name for name, value in state.items() if _is_named_tensor(name) and not isinstance(value, Tensor)]
    if wrong:
        found = type(state[wrong[0]]).__name__
        raise CheckpointError(f"{wrong[0]} is a {found}; expected a tensor; save model.state_dict() as it is")
    return place, {name: value for name, value in state.items() if isinstance(value, Tensor) and isinstance(name, str)}


def _describe_candidates(candidates: list[Place], data: Mapping[Any, Any]) -> str:
    if candidates:
        found = ", ".join(name_of(place) or "the file itself" for place in candidates[:12])
        return f"several state dicts: {found}; expected one; save the one that is meant, with its labels"
    keys = ", ".join(sorted(name_of((key,)) for key in list(data)[:12])) or "nothing"
    return (
        f"no weights of Linear layers in it, found {keys}; expected a state dict, or a dict with one in it; save "
        "model.state_dict() with the labels"
    )


def _has_matrix(state: Mapping[Any, Any]) -> bool:
    return any(
        _is_named_tensor(name) and isinstance(value, Tensor) and value.ndim == 2 for name, value in state.items()
    )


def _is_named_tensor(name: Any) -> bool:
    return isinstance(name, str) and name.rpartition(".")[2] in LEAVES


def check_tensors(tensors: Mapping[str, Tensor], content: Content) -> None:
    """Raise CheckpointError for the first tensor that is not made of finite floating-point numbers in this file."""
    total = 0
    for name, tensor in tensors.items():
        found = _describe_problem(name, tensor, content.num_bytes)
        total += tensor.numel()
        if not found and total > MAX_NUMBERS:
            found = f"makes {total:,} numbers with those before it; expected at most {MAX_NUMBERS:,} in a head"
        if found:
            raise CheckpointError(f"{name[:200]} {shorten(tuple(tensor.shape))} {found}")


def is_dense(tensor: Tensor) -> bool:
    """Tell whether a tensor is a plain one in memory."""
    is_plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided
    return is_plain and tensor.device.type == "cpu" and not tensor.is_quantized


def _describe_problem(name: str, tensor: Tensor, num_bytes: int) -> str | None:
    if not is_dense(tensor):
        return (
            f"is a {type(tensor).__name__} ({tensor.layout}, {tensor.device}); expected a dense tensor; save it as one"
        )
    if tensor.numel() * tensor.element_size() > num_bytes:
        return f"claims more numbers than the file's {num_bytes:,} bytes hold; copy or export it again"
    if name.endswith("num_batches_tracked") and not tensor.is_complex():
        return None
    if not tensor.is_floating_point():
        return f"holds {tensor.dtype}; expected floating-point weights; dequantise a quantised head and save it again"
    if tensor.numel() == 0:
        return "is empty; expected weights; export it again"
    return _describe_numbers(name, tensor.detach().float())


def _describe_numbers(name: str, numbers: Tensor) -> str | None:
    if not numbers.isfinite().all():
        return (
            "holds NaN, infinity or numbers beyond float32; expected finite weights; the training that wrote it "
            "diverged, take an earlier checkpoint"
        )
    if name.endswith("running_var") and (numbers < 0).any():
        return "holds a variance below 0; expected 0 or more; export it again"
    return None
