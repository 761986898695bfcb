"""A head as it stands in a file: read from any layout, ready to predict."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emoji_lightning.checkpoint.architecture import Architecture
from emoji_lightning.checkpoint.chain import Chain, is_of_loss, read_chain
from emoji_lightning.checkpoint.content import Content, Place, load_content, name_of, shorten
from emoji_lightning.checkpoint.facts import read_facts
from emoji_lightning.checkpoint.label_entries import LabelEntry, find_labels
from emoji_lightning.checkpoint.tensors import check_tensors, find_state
from emoji_lightning.checkpoint.transforms import (
    Standardization,
    find_standardization,
    find_temperature,
    is_transform,
)
from emoji_lightning.errors import CheckpointError
from emoji_lightning.labels import LabelSet

FORMAT_VERSION = 1
"""Version of the layout that `emoji-lightning export` writes."""


@dataclass(frozen=True)
class Source:
    """Where the parts of a head stand in its file.

    Attributes:
        content: The file and all that it holds.
        state: Place of the state dict.
        chain: The layers, with their names in the state dict.
        label_entries: Every place that names the labels.
        temperature: Place of the temperature, if there is one.
        origins: Part of the head -> where it came from, or what was assumed.
    """

    content: Content
    state: Place
    chain: Chain
    label_entries: tuple[LabelEntry, ...]
    temperature: Place | None
    origins: Mapping[str, str]


@dataclass(frozen=True)
class StoredHead:
    """A head with its labels: raw embeddings in, logits out.

    Attributes:
        architecture: The chain of layers.
        state_dict: float32 tensors by their name in `architecture.build()`: `0.weight`, ...
        label_set: Labels in the order of their ids.
        dropout: The dropout of training; without effect when labels are predicted.
        encoder: Name of the encoder that made the embeddings; None where the file does not say.
        weights_sha256: SHA-256 of that encoder's weights, where the file says.
        standardization: Taken before the first layer; None where there is none.
        temperature: What logits are divided by.
        summary: Content of `summary.json` beside the file; empty where it is absent.
        source: The file that it was read from; None for a head that was trained here.
    """

    architecture: Architecture
    state_dict: dict[str, Tensor]
    label_set: LabelSet
    dropout: float = 0.2
    encoder: str | None = None
    weights_sha256: str | None = None
    standardization: Standardization | None = None
    temperature: float = 1.0
    summary: dict[str, Any] = field(default_factory=dict)
    source: Source | None = None

    def build(self) -> nn.Module:
        """Return a module in evaluation mode: raw embeddings (B, D) float32 -> logits (B, K)."""
        return _Scorer(self).eval()


class _Scorer(nn.Module):
    """What a file describes, done as it says: standardise, pass the layers, divide by the temperature."""

    def __init__(self, head: StoredHead) -> None:
        super().__init__()
        self.layers = _build_empty(head.architecture, head.dropout)
        self.layers.load_state_dict(head.state_dict, strict=True)
        stored = head.standardization
        self.mean: Tensor | None
        self.scale: Tensor
        self.register_buffer("mean", stored.mean if stored else None, persistent=False)
        self.register_buffer("scale", stored.scale if stored else None, persistent=False)
        self.temperature = head.temperature

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return logits (B, K)."""
        if self.mean is not None:
            embeddings = (embeddings - self.mean) / self.scale
        logits: Tensor = self.layers(embeddings)
        return logits if self.temperature == 1.0 else logits / self.temperature


def _build_empty(architecture: Architecture, dropout: float) -> nn.Sequential:
    """Return the chain without first weights: to draw them would move the global random state."""
    with torch.device("meta"):
        module = architecture.build(dropout)
    return module.to_empty(device="cpu")


def read_head(path: str | Path) -> StoredHead:
    """Read the head in a checkpoint of any layout that is a chain of 2 to 5 Linear layers.

    Bare state dicts, dicts that hold one under any name, Lightning checkpoints, safetensors, and folders with one of
    them are read by structure: prefixes and numbering do not matter. Labels come from the file or from `label2id.json`
    or `config.json` beside it. Nothing in a file is executed.

    Args:
        path: The file, or its folder.

    Raises:
        CheckpointError: The file is missing, damaged, no such chain, or its parts contradict each other; says which
            part, what was found, and what to do.
        LabelError: Its labels are empty, or equal after normalisation.
    """
    content = load_content(Path(path))
    try:
        return _understand(content)
    except CheckpointError as error:
        message = str(error)
        raise CheckpointError(message if str(content.file) in message else f"{content.file}: {message}") from None


def _understand(content: Content) -> StoredHead:
    _check_version(content.data)
    state, tensors = find_state(content)
    in_layers = {name: tensor for name, tensor in tensors.items() if not is_transform(name)}
    check_tensors({name: tensor for name, tensor in in_layers.items() if not is_of_loss(name)}, content)
    chain = read_chain(in_layers, in_order=not content.is_safetensors)
    input_dim, num_labels = chain.architecture.input_dim, chain.architecture.num_labels
    layers: set[Place] = {(*state, name) for name in in_layers}
    standardization = find_standardization(content, layers, input_dim)
    temperature, temperature_place = find_temperature(content, state)
    label_set, entries, label_origin = find_labels(content, num_labels=num_labels)
    facts = read_facts(content, chain.architecture)
    architecture = Architecture(input_dim, chain.architecture.layers, facts.activation, facts.eps)
    if "format_version" in content.data and not architecture.is_plain:
        raise CheckpointError(
            f"its layers are {architecture.describe()}; expected the plain 3-layer MLP of its "
            "format_version; take format_version out if another program wrote it"
        )
    origins = {**facts.origins, "labels": label_origin, **_describe_order(chain)}
    origins |= _describe_transforms(standardization, temperature_place)
    return StoredHead(
        architecture=architecture,
        state_dict=_state_dict(tensors, chain),
        label_set=label_set,
        dropout=facts.dropout,
        encoder=facts.encoder,
        weights_sha256=facts.weights_sha256,
        standardization=standardization,
        temperature=temperature,
        summary=dict(content.beside.get("summary.json", {})),
        source=Source(content, state, chain, tuple(entries), temperature_place, origins),
    )


def _check_version(data: Mapping[Any, Any]) -> None:
    version = data.get("format_version")
    if type(version) is int and version > FORMAT_VERSION:
        raise CheckpointError(
            f"format_version is {shorten(version)}, this program reads up to {FORMAT_VERSION}; install a newer "
            "emoji_lightning"
        )


def _describe_order(chain: Chain) -> dict[str, str]:
    return {"order": "; ".join(chain.assumed)} if chain.assumed else {}


def _describe_transforms(standardization: Standardization | None, temperature: Place | None) -> dict[str, str]:
    places = [standardization.mean_place, standardization.scale_place] if standardization else []
    found = {"standardisation": ", ".join(map(name_of, places)), "temperature": name_of(temperature or ())}
    return {part: where for part, where in found.items() if where}


def _state_dict(tensors: Mapping[str, Tensor], chain: Chain) -> dict[str, Tensor]:
    """Return copies in float32; the file may be replaced while they are in use."""
    state = {}
    for name, expected in _build_empty(chain.architecture, 0.0).state_dict().items():
        if name in chain.keys:
            state[name] = tensors[chain.keys[name]].detach().to(expected.dtype, copy=True).contiguous()
        else:  # a BatchNorm without weights of its own
            state[name] = torch.full_like(expected, 1.0 if name.endswith("weight") else 0.0)
    return state
