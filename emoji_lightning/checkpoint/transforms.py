"""What stands around the chain in a file: standardisation of the input, and a temperature of the logits."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from emoji_lightning.checkpoint.content import METADATA, Content, Place, is_of_training, leaf_of, name_of, shorten, walk
from emoji_lightning.checkpoint.tensors import is_dense
from emoji_lightning.errors import CheckpointError

OF_INPUT = re.compile(
    r"(feature|feat|input|embedding|embed|emb|scaler|standardizer|standardization|norm|normalizer|train|x)?s?_?"
    r"(?P<role>mean|mu|scale|std|stdev|sigma|var|variance)_?"
)
"""Names of a stored standardisation: mean, feature_mean, scaler_scale, mean_ of scikit-learn."""
ROLES = {"mu": "mean", "std": "scale", "stdev": "scale", "sigma": "scale", "var": "variance"}
TEMPERATURE = re.compile(r"(calibration_)?temperature")
MAX_TEMPERATURE = 1e6
OTHER_CALIBRATION = re.compile(r"(log|inverse)_temperature|logit_(scale|bias|adjustment|shift)")
FLAG = re.compile(
    r"(l2_?)?normali[sz]e_(embedding|feature|input)s?|l2_?norm(ali[sz]e)?|(?P<own>standardi[sz]e(_(embedding|feature|input)s?)?)"
)
CONFIG = "config.json"


@dataclass(frozen=True)
class Standardization:
    """(x - mean) / scale, taken before the first layer.

    Attributes:
        mean: (D,) float32.
        scale: (D,) float32, above 0.
        mean_place: Where the mean stands in the file.
        scale_place: Where the scale, or the variance, stands.
        is_variance: Whether the file keeps the variance.
    """

    mean: Tensor
    scale: Tensor
    mean_place: Place
    scale_place: Place
    is_variance: bool = False


def is_transform(name: str) -> bool:
    """Tell whether a tensor of this name in a state dict belongs to no layer, but to what stands around them."""
    leaf = name.rpartition(".")[2].lower()
    return bool(OF_INPUT.fullmatch(leaf) or TEMPERATURE.fullmatch(leaf))


def find_standardization(content: Content, layers: set[Place], input_dim: int) -> Standardization | None:
    """Find mean and scale of the input.

    Args:
        content: A file and what stands beside it.
        layers: Places of the tensors that belong to layers.
        input_dim: Dimension D of an embedding.

    Raises:
        CheckpointError: Something as long as an embedding is neither, one of the two is missing, or they cannot be
            applied. To leave them out would give other labels.
    """
    found: dict[str, tuple[Place, Tensor]] = {}
    for place, value in _entries(content):
        if place in layers or is_of_training(place):
            continue
        match = OF_INPUT.fullmatch(leaf_of(place).rpartition(".")[2])
        if match:
            _refuse_other_sizes(place, value, match, input_dim)
        if _length(value) < 2 or (match is None and _length(value) != input_dim):
            continue
        role = ROLES.get(match["role"], match["role"]) if match else None
        found[str(role)] = place, _vector(place, value, role, input_dim, taken=role in found)
    _refuse_flags(content, is_standardized=bool(found))
    return _complete(found) if found else None


def _entries(content: Content) -> Iterator[tuple[Place, Any]]:
    """Yield the entries of a file and of config.json beside it."""
    yield from walk(content.data)
    for place, value in walk(content.beside.get(CONFIG, {})):
        yield (CONFIG, *place), value


def _length(value: Any) -> int:
    """Return how many numbers a vector, a (1, N) matrix or a list of numbers holds; 0 for anything else."""
    if isinstance(value, list | tuple):
        return len(value) if all(type(number) in (int, float) for number in value) else 0
    if not isinstance(value, Tensor) or value.ndim > 2 or (value.ndim == 2 and value.shape[0] != 1):
        return 0
    return value.numel()


def _refuse_other_sizes(place: Place, value: Any, match: re.Match[str], input_dim: int) -> None:
    """Refuse a mean or scale that is neither one number for each input nor without effect."""
    neutral = 0.0 if match["role"] in ("mean", "mu") else 1.0
    is_of_input = bool(match[1])
    if isinstance(value, Tensor):
        refused = _length(value) < 2 and (is_of_input or value.numel() != 1)
    elif isinstance(value, list | tuple):
        refused = _length(value) == 0 and is_of_input
    else:
        refused = type(value) in (int, float) and value != neutral and is_of_input
    if refused:
        raise CheckpointError(
            f"{name_of(place)} is {shorten(value)}; expected {input_dim} numbers, one for each input; save as many"
        )


def _vector(place: Place, value: Any, role: str | None, input_dim: int, *, taken: bool) -> Tensor:
    """Return (D,) float32, checked."""
    name, length = name_of(place), _length(value)
    if place[0] == CONFIG:
        raise CheckpointError(f"{name} is as long as an embedding; expected it in the checkpoint itself, move it there")
    if length != input_dim:
        raise CheckpointError(f"{name} holds {length} numbers, the first layer takes {input_dim}; correct or remove it")
    if role is None or taken:
        reason = "a second one of that meaning" if taken else "and is neither mean nor scale nor variance by its name"
        raise CheckpointError(
            f"{name} is as long as an embedding ({input_dim}), {reason}; what it does to the input is not known: "
            "rename it (feature_mean, feature_scale), or remove it if predicting does not need it"
        )
    if isinstance(value, Tensor) and not (is_dense(value) and value.is_floating_point()):
        raise CheckpointError(f"{name} holds {value.dtype}; expected floating-point numbers; save it as float32")
    vector = _to_float32(value)
    bad = ~vector.isfinite() if role == "mean" else ~(vector.isfinite() & (vector > 0))
    if bad.any():
        position = int(bad.nonzero()[0])
        expected = "finite numbers" if role == "mean" else "numbers above 0"
        raise CheckpointError(f"{name} is {float(vector[position])} at {position}; expected {expected}; correct it")
    return vector


def _to_float32(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().reshape(-1).to(torch.float32, copy=True)
    return torch.tensor([_to_float(number) for number in value], dtype=torch.float64).float()


def _to_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _refuse_flags(content: Content, *, is_standardized: bool) -> None:
    """Refuse a file that says that embeddings were changed, and not how."""
    for place, value in _entries(content):
        match = FLAG.fullmatch(leaf_of(place))
        if (
            match
            and (value is True or value in ("l2", "zscore", "standard"))
            and not (match["own"] and is_standardized)
        ):
            raise CheckpointError(
                f"{name_of(place)} is {value!r}, and how it changes embeddings is not in the file; expected "
                "feature_mean and feature_scale; save these, or set it to False where embeddings are taken as they are"
            )


def _complete(found: Mapping[str, tuple[Place, Tensor]]) -> Standardization:
    spreads = found.keys() & {"scale", "variance"}
    if "mean" not in found or len(spreads) != 1:
        names = ", ".join(name_of(place) for place, _ in found.values())
        raise CheckpointError(
            f"of a standardisation there is {names}; expected a mean and a scale, or a mean and a variance; add or "
            "remove one"
        )
    (mean_place, mean), (scale_place, scale) = found["mean"], found[next(iter(spreads))]
    is_variance = "variance" in found
    return Standardization(mean, scale.sqrt() if is_variance else scale, mean_place, scale_place, is_variance)


def find_temperature(content: Content, state: Place) -> tuple[float, Place | None]:
    """Find the temperature that logits are divided by; 1 and no place where there is none.

    Args:
        content: A file and what stands beside it.
        state: Place of the state dict.

    Raises:
        CheckpointError: It is no number above 0, there are two that differ, or logits are changed in another way.
    """
    found: dict[Place, float] = {}
    for place, value in _entries(content):
        if value is None or is_of_training(place) or not _is_of_logits(place[:-1], state):
            continue
        leaf = leaf_of(place).rpartition(".")[2]
        if OTHER_CALIBRATION.fullmatch(leaf):
            raise CheckpointError(f"{name_of(place)} changes logits; expected a temperature alone; export without it")
        if TEMPERATURE.fullmatch(leaf):
            found[place] = _temperature(place, value)
    if len(set(found.values())) > 1:
        named = ", ".join(f"{name_of(place)} {value}" for place, value in found.items())
        raise CheckpointError(f"several temperatures: {named}; expected one; keep the right one")
    outside = [place for place, value in found.items() if place[0] == CONFIG and value != 1.0]
    if outside:
        raise CheckpointError(f"{name_of(outside[0])} is not 1; expected it in the checkpoint itself, move it there")
    return next(((value, place) for place, value in found.items() if place[0] != CONFIG), (1.0, None))


def _is_of_logits(around: Place, state: Place) -> bool:
    if around in ((), state, (METADATA,), (CONFIG,)):
        return True
    return bool(around) and "calibration" in leaf_of(around)


def _temperature(place: Place, value: Any) -> float:
    if isinstance(value, Tensor) and value.numel() == 1 and is_dense(value):
        value = value.detach().reshape(()).item()
    if type(value) not in (int, float) or not 0 < value < MAX_TEMPERATURE:
        raise CheckpointError(f"{name_of(place)} is {shorten(value)}; expected one number above 0; correct it")
    return float(value)
