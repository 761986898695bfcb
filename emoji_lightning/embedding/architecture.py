"""The shape of an emotion2vec model: read from its `config.yaml`, never executed."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

AUDIO = "modality_encoders.AUDIO."
# The released files hold Python text like [(512, 10, 5)] + [(512, 3, 2)] * 4: lists of (channels, kernel, stride).
_LISTS = re.compile(r"\[((?:\(\d{1,4},\d{1,3},\d{1,3}\),?)+)\](?:\*(\d{1,2}))?")
_LAYER = re.compile(r"\((\d+),(\d+),(\d+)\)")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Sizes and kinds of layers of a data2vec 2.0 audio encoder, as emotion2vec uses it (arXiv:2312.15185).

    Attributes:
        dim: Width D of the transformer and of the embedding.
        num_heads: Attention heads.
        hidden_dim: Width of the blocks' MLPs.
        prenet_depth: Blocks before those of `depth`; all are alike.
        depth: Blocks of the main part.
        convolutions: (channels, kernel, stride) of each layer of the front end.
        position_kernel: Kernel of the positional convolutions, in frames.
        position_depth: How many of them follow each other.
        position_groups: Groups of channels in each.
        position_norm: Whether a LayerNorm stands before them.
        num_extra_tokens: Tokens put before the frames, and dropped at the end.
        norm_first: Whether blocks normalise before their parts (pre-norm) or after.
        norm_eps: Epsilon of the blocks' LayerNorms.
        norm_affine: Whether these have weights.
        alibi_shape: (layers, heads) of the learnt scales of the distance biases; None without such biases.
        num_alibi_heads: How many heads, the first ones, have a distance bias.
        normalize: Whether the waveform is layer-normed over its own length.
    """

    dim: int
    num_heads: int
    hidden_dim: int
    prenet_depth: int
    depth: int
    convolutions: tuple[tuple[int, int, int], ...]
    position_kernel: int
    position_depth: int
    position_groups: int
    position_norm: bool
    num_extra_tokens: int
    norm_first: bool
    norm_eps: float
    norm_affine: bool
    alibi_shape: tuple[int, int] | None
    num_alibi_heads: int
    normalize: bool

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Architecture":
        """Read the part `model_conf` of a `config.yaml`.

        Raises:
            KeyError: An entry is missing.
            TypeError: An entry is of another kind.
            ValueError: An entry has a value that no released emotion2vec model has; the message names it.
        """
        audio = config["modalities"]["audio"]
        for name, entries, expected in (
            ("extractor_mode", audio, "layer_norm"),
            ("learned_alibi", audio, False),
        ):
            if entries[name] != expected:
                raise ValueError(f"{name} is {entries[name]!r}, only {expected!r} is known")
        prenet_depth, depth, alibi = int(audio["prenet_depth"]), int(config["depth"]), bool(audio["use_alibi_encoder"])
        alibi_heads = int(audio["num_alibi_heads"]) if alibi else 0
        scales = (
            prenet_depth + int(audio["model_depth"]) if audio["learned_alibi_scale_per_layer"] else 1,
            alibi_heads if audio["learned_alibi_scale_per_head"] else 1,
        )
        shape = cls(
            dim=int(config["embed_dim"]),
            num_heads=int(config["num_heads"]),
            hidden_dim=int(int(config["embed_dim"]) * float(config["mlp_ratio"])),
            prenet_depth=prenet_depth,
            depth=depth,
            convolutions=_parse_convolutions(str(audio["feature_encoder_spec"])),
            position_kernel=max(3, int(audio["conv_pos_width"]) // int(audio["conv_pos_depth"])),
            position_depth=int(audio["conv_pos_depth"]),
            position_groups=int(audio["conv_pos_groups"]),
            position_norm=bool(audio["conv_pos_pre_ln"]),
            num_extra_tokens=int(audio["num_extra_tokens"]),
            norm_first=bool(config["layer_norm_first"]),
            norm_eps=float(config["norm_eps"]),
            norm_affine=bool(config["norm_affine"]),
            alibi_shape=scales if alibi else None,
            num_alibi_heads=alibi_heads,
            normalize=bool(config.get("normalize", False)),
        )
        shape._check()
        return shape

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return math.prod(stride for _, _, stride in self.convolutions)

    @property
    def receptive_field(self) -> int:
        """Samples that one frame sees."""
        field = 1
        for _, kernel, stride in reversed(self.convolutions):
            field = (field - 1) * stride + kernel
        return field

    @property
    def blocks(self) -> tuple[str, ...]:
        """Prefixes of the blocks' weights, in the order of the forward pass."""
        prenet = [f"{AUDIO}context_encoder.blocks.{number}." for number in range(self.prenet_depth)]
        return (*prenet, *(f"blocks.{number}." for number in range(self.depth)))

    def num_frames(self, num_samples: int) -> int:
        """Return the frames of a waveform of so many samples; 0 where it is shorter than the receptive field."""
        return max(0, (num_samples - self.receptive_field) // self.hop + 1)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every weight that the forward pass uses, as the released files name them."""
        return dict(self._front_end()) | dict(self._positions()) | dict(self._transformer())

    def _front_end(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        width = 1
        for number, (channels, kernel, _) in enumerate(self.convolutions):
            name = f"{AUDIO}local_encoder.conv_layers.{number}"
            yield f"{name}.0.weight", (channels, width, kernel)
            yield from _norm(f"{name}.2.1", channels)
            width = channels
        yield from _norm(f"{AUDIO}project_features.1", width)
        yield from _linear(f"{AUDIO}project_features.2", width, self.dim)

    def _positions(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        for number in range(self.position_depth):
            yield (
                f"{self.position_name(number)}.weight",
                (
                    self.dim,
                    self.dim // self.position_groups,
                    self.position_kernel,
                ),
            )
            yield f"{self.position_name(number)}.bias", (self.dim,)
        if self.position_norm:
            yield from _norm(f"{AUDIO}relative_positional_encoder.0", self.dim)

    def position_name(self, number: int) -> str:
        """Return the name of a positional convolution, counted from 0."""
        return f"{AUDIO}relative_positional_encoder.{'1.' if self.position_norm else ''}{number + 1}.0"

    def _transformer(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        if self.num_extra_tokens:
            yield f"{AUDIO}extra_tokens", (1, self.num_extra_tokens, self.dim)
        if self.alibi_shape:
            yield f"{AUDIO}alibi_scale", (self.alibi_shape[0], 1, self.alibi_shape[1], 1, 1)
        if self.norm_affine:
            yield from _norm("norm" if self.norm_first else f"{AUDIO}context_encoder.norm", self.dim)
        for block in self.blocks:
            yield from _linear(f"{block}attn.qkv", self.dim, 3 * self.dim)
            yield from _linear(f"{block}attn.proj", self.dim, self.dim)
            yield from _linear(f"{block}mlp.fc1", self.dim, self.hidden_dim)
            yield from _linear(f"{block}mlp.fc2", self.hidden_dim, self.dim)
            if self.norm_affine:
                yield from _norm(f"{block}norm1", self.dim)
                yield from _norm(f"{block}norm2", self.dim)

    def _check(self) -> None:
        sizes = {name: getattr(self, name) for name in ("dim", "num_heads", "hidden_dim", "depth", "position_groups")}
        wrong = [f"{name} is {size}" for name, size in sizes.items() if size < 1]
        wrong += [
            f"{name} {getattr(self, name)} does not divide {self.dim}"
            for name in ("num_heads", "position_groups")
            if not wrong and self.dim % getattr(self, name)
        ]
        if self.num_alibi_heads > self.num_heads:
            wrong.append(f"num_alibi_heads is {self.num_alibi_heads}, there are {self.num_heads} heads")
        if self.alibi_shape and self.alibi_shape[0] not in (1, len(self.blocks)):
            wrong.append(f"model_depth gives {self.alibi_shape[0]} scales, there are {len(self.blocks)} blocks")
        if wrong:
            raise ValueError("; ".join(wrong))


def _norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _linear(name: str, width: int, out: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (out, width)
    yield f"{name}.bias", (out,)


def _parse_convolutions(text: str) -> tuple[tuple[int, int, int], ...]:
    lists = [_LISTS.fullmatch(part) for part in text.replace(" ", "").split("+")]
    layers: list[tuple[int, int, int]] = []
    for found in lists:
        if found is None:
            raise ValueError(
                f"feature_encoder_spec is {text[:80]!r}; only lists of (channels, kernel, stride) are taken"
            )
        group = [(int(a), int(b), int(c)) for a, b, c in _LAYER.findall(found[1])]
        layers += group * int(found[2] or 1)
    if not layers or min(map(min, layers)) < 1:
        raise ValueError(f"feature_encoder_spec is {text[:80]!r}; channels, kernels and strides are 1 at least")
    return tuple(layers)
