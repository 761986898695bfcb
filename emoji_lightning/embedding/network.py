"""emotion2vec's forward pass, for inference: waveforms in, one vector each out, whatever stands beside them.

Written from the papers (data2vec 2.0, arXiv:2212.07525; emotion2vec, arXiv:2312.15185) and held to funasr's output by
tests. Three things make it faster than a module built for training: activations stay (time, channels), so that a
convolution is one matrix product on a strided view and no LayerNorm needs a transpose; on a CPU products run in oneDNN
with weights packed once, GELU and residual fused; and the front end runs in short pieces that stay in the cache.
"""

import math
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from emoji_lightning.embedding.architecture import AUDIO, Architecture

# Front-end kernels become products, the scales of the biases slopes.
_ELSEWHERE = re.compile(r"\.conv_layers\.\d+\.0\.weight$|\.alibi_scale$")
_EPS = 1e-5
"""Of every LayerNorm whose epsilon no configuration sets."""
_PIECE = 25
"""Frames of the front end at a time, over all of a batch: 0.5 s of audio, whose widest activation is 3.3 MB in fp32. Of
longer pieces the memory is not reused, and up to a tenth of the time went into page faults."""
_PIECE_CUDA = 2048
_SCORES = 1 << 22
_SCORES_CUDA = 1 << 27
"""Attention scores computed at once: ten minutes of audio have 10**10 of them in each layer."""
_PIECES_KEPT = 8
"""So many times that many distance biases are kept from layer to layer: 128 MB in fp32 on a CPU."""


class Network:
    """The encoder with its weights, on one device in one precision.

    Args:
        architecture: Its shape.
        weights: Every tensor of `architecture.shapes()`, float32.
        device: Where it runs.
        dtype: torch.float32 or torch.bfloat16: weights and activations; normalisation, softmax and the mean over frames
            are accumulated in float32 in either case.
    """

    def __init__(
        self, architecture: Architecture, weights: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype
    ) -> None:
        self._shape = architecture
        self._device, self._dtype = device, dtype
        kept = [name for name, value in weights.items() if value.ndim != 2 and not _ELSEWHERE.search(name)]
        self._weights = {name: weights[name].to(device, dtype, copy=True) for name in kept}
        packed = device.type == "cpu" and _can_pack(dtype)
        names = [name.removesuffix(".weight") for name, value in weights.items() if value.ndim == 2]
        self._products = {
            name: _Product(
                weights[f"{name}.weight"].to(device, dtype, copy=not packed), self._weights[f"{name}.bias"], packed
            )
            for name in names
        }
        kernels = [
            weights[f"{AUDIO}local_encoder.conv_layers.{n}.0.weight"] for n in range(len(architecture.convolutions))
        ]
        self._convolutions = [
            _Product(kernel.transpose(1, 2).flatten(1).to(device, dtype), None, packed) for kernel in kernels
        ]
        self._slopes = _slopes(architecture, weights).to(device)

    @torch.inference_mode()
    def __call__(self, waveforms: Sequence[Tensor]) -> Tensor:
        """Embed utterances.

        Args:
            waveforms: B tensors (T_b,) float32 at 16 kHz, each at least one receptive field long.

        Returns:
            (B, D) float32 on the network's device: of each utterance the mean over its frames.
        """
        if self._shape.normalize:
            waveforms = [functional.layer_norm(waveform, waveform.shape) for waveform in waveforms]
        counts = [self._shape.num_frames(len(waveform)) for waveform in waveforms]
        padded = torch.nn.utils.rnn.pad_sequence(list(waveforms), batch_first=True).to(self._dtype)
        mask = None
        if min(counts) < max(counts):
            mask = torch.arange(max(counts), device=self._device) < torch.tensor(counts, device=self._device)[:, None]
        x = self._frames(padded, max(counts))
        x = x + self._positions(x, mask)
        x = self._transform(x, mask)[:, self._shape.num_extra_tokens :].float()
        if mask is not None:
            x = x * mask[:, :, None]
        return x.sum(dim=1) / torch.tensor(counts, device=self._device)[:, None]

    def _frames(self, waveforms: Tensor, num_frames: int) -> Tensor:
        """(B, samples) -> local features (B, N, D)."""
        hop, field = self._shape.hop, self._shape.receptive_field
        piece = max(1, (_PIECE if self._device.type == "cpu" else _PIECE_CUDA) // len(waveforms))
        pieces = []
        for first in range(0, num_frames, piece):
            last = min(first + piece, num_frames)
            x = waveforms[:, first * hop : (last - 1) * hop + field].unsqueeze(-1)
            for number, product in enumerate(self._convolutions):
                _, kernel, stride = self._shape.convolutions[number]
                width = x.shape[2]
                count = (x.shape[1] - kernel) // stride + 1
                windows = x.as_strided((len(x), count, kernel * width), (x.stride(0), stride * width, 1))
                x = functional.gelu(self._norm(product(windows), f"{AUDIO}local_encoder.conv_layers.{number}.2.1"))
            pieces.append(self._products[f"{AUDIO}project_features.2"](self._norm(x, f"{AUDIO}project_features.1")))
        return torch.cat(pieces, dim=1)

    def _positions(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, N, D) -> what the positional convolutions add to it."""
        kernel = self._shape.position_kernel
        if self._shape.position_norm:
            x = self._norm(x, f"{AUDIO}relative_positional_encoder.0")
        num_frames = x.shape[1]
        for number in range(self._shape.position_depth):
            if mask is not None:  # before each: the one before has written into the padding
                x = x * mask[:, :, None]
            name = self._shape.position_name(number)
            x = functional.conv1d(
                x.transpose(1, 2),
                self._weights[f"{name}.weight"],
                self._weights[f"{name}.bias"],
                padding=kernel // 2,
                groups=self._shape.position_groups,
            )
            x = functional.gelu(functional.layer_norm(x.transpose(1, 2)[:, :num_frames], x.shape[1:2]))
        return x

    def _transform(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, N, D) -> (B, extra + N, D)."""
        extra = self._shape.num_extra_tokens
        if extra:
            tokens = self._weights[f"{AUDIO}extra_tokens"].expand(len(x), -1, -1)
            x = torch.cat([tokens, x], dim=1)
            mask = mask if mask is None else functional.pad(mask, (extra, 0), value=True)
        if not self._shape.norm_first:
            x = self._norm(x, f"{AUDIO}context_encoder.norm", self._shape.norm_eps)
        biases = _Biases(self._slopes, x.shape[1], extra, mask, x.dtype)
        for number, block in enumerate(self._shape.blocks):
            x = self._block(x, number, block, biases)
        return self._norm(x, "norm", self._shape.norm_eps) if self._shape.norm_first else x

    def _block(self, x: Tensor, number: int, name: str, biases: "_Biases") -> Tensor:
        eps, product = self._shape.norm_eps, self._products
        if self._shape.norm_first:
            mixed = self._attention(self._norm(x, f"{name}norm1", eps), number, name, biases)
            x = product[f"{name}attn.proj"](mixed, add=x)
            hidden = product[f"{name}mlp.fc1"](self._norm(x, f"{name}norm2", eps), gelu=True)
            return 2 * product[f"{name}mlp.fc2"](hidden)  # as published: the residual here is the MLP's own output
        mixed = self._attention(x, number, name, biases)
        x = self._norm(product[f"{name}attn.proj"](mixed, add=x), f"{name}norm1", eps)
        hidden = product[f"{name}mlp.fc1"](x, gelu=True)
        return self._norm(product[f"{name}mlp.fc2"](hidden, add=x), f"{name}norm2", eps)

    def _attention(self, x: Tensor, number: int, name: str, biases: "_Biases") -> Tensor:
        qkv = self._products[f"{name}attn.qkv"](x)
        q, k, v = qkv.view(*x.shape[:2], 3, self._shape.num_heads, -1).permute(2, 0, 3, 1, 4)
        limit = _SCORES if self._device.type == "cpu" else _SCORES_CUDA
        rows = max(1, limit // (len(x) * self._shape.num_heads * x.shape[1]))
        mixed = [
            functional.scaled_dot_product_attention(
                q[:, :, first : first + rows], k, v, attn_mask=biases(number, first, rows).expand(len(x), -1, -1, -1)
            )
            for first in range(0, x.shape[1], rows)
        ]
        return torch.cat(mixed, dim=2).transpose(1, 2).flatten(2)

    def _norm(self, x: Tensor, name: str, eps: float = _EPS) -> Tensor:
        weight, bias = (self._weights.get(f"{name}.{part}") for part in ("weight", "bias"))
        return functional.layer_norm(x, x.shape[-1:], weight, bias, eps)


class _Biases:
    """What is added to the scores of one batch: minus slope times distance, and minus infinity for padding.

    Where all layers share the slopes, and the rows are few, it is made once for all layers.
    """

    def __init__(self, slopes: Tensor, length: int, extra: int, mask: Tensor | None, dtype: torch.dtype) -> None:
        self._slopes, self._mask, self._dtype = slopes, mask, dtype
        self._position = torch.arange(length, device=slopes.device)
        self._extra = extra
        self._made: dict[tuple[int, int], Tensor] = {}

    def __call__(self, layer: int, first: int, rows: int) -> Tensor:
        """Return those of some rows, (B or 1, H, rows, N)."""
        if len(self._slopes) > 1:
            return self._make(layer, first, rows)
        key = (first, rows)
        if key not in self._made:
            if len(self._made) == _PIECES_KEPT:  # an utterance this long is rare, and would fill the memory
                return self._make(0, first, rows)
            self._made[key] = self._make(0, first, rows)
        return self._made[key]

    def _make(self, layer: int, first: int, rows: int) -> Tensor:
        row = self._position[first : first + rows, None]
        distance = (self._position - row).abs().to(torch.float32)
        distance.masked_fill_((self._position < self._extra) | (row < self._extra), 0.0)
        bias = (self._slopes[layer, :, None, None] * distance).unsqueeze(0)
        if self._mask is not None:
            bias = bias.masked_fill(~self._mask[:, None, None, :], -math.inf)
        return bias.to(self._dtype)


class _Product:
    """x @ weight.T + bias; on a CPU through oneDNN, with the weight in the order that its kernel wants."""

    def __init__(self, weight: Tensor, bias: Tensor | None, packed: bool) -> None:
        self._packed = packed
        self._bias = bias
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, None) if packed else weight

    def __call__(self, x: Tensor, *, gelu: bool = False, add: Tensor | None = None) -> Tensor:
        """Map (..., in) to (..., out), then apply GELU or add `add`."""
        if not self._packed:
            y = functional.linear(x, self._weight, self._bias)
            return functional.gelu(y) if gelu else y if add is None else y + add
        run = torch.ops.mkldnn._linear_pointwise
        if add is not None:
            out: Tensor = run.binary(x, add, self._weight, self._bias, "add")
        elif gelu:
            out = run(x, self._weight, self._bias, "gelu", [], "none")
        else:
            out = run(x, self._weight, self._bias, "none", [], "")
        return out


def _can_pack(dtype: torch.dtype) -> bool:
    """Tell whether oneDNN computes products of this type on this CPU: bf16 needs AVX-512 or better."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _slopes(architecture: Architecture, weights: Mapping[str, Tensor]) -> Tensor:
    """Return by how much a head's score falls with each frame of distance: (layers or 1, H) float32, not above 0.

    Source: ALiBi (arXiv:2108.12409), symmetric, with learnt scales that are cut off at 0.
    """
    slopes = torch.zeros(1, architecture.num_heads)
    if architecture.alibi_shape is not None:
        layers, _ = architecture.alibi_shape
        scales = weights[f"{AUDIO}alibi_scale"].reshape(layers, -1).clamp_min(0)
        slopes = slopes.repeat(layers, 1)
        slopes[:, : architecture.num_alibi_heads] = -scales * torch.tensor(_geometric(architecture.num_alibi_heads))
    return slopes


def _geometric(heads: int) -> list[float]:
    """Return ALiBi's slopes: powers of 2**(-8 / heads), and for other counts every second one of twice as many."""
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (head + 1) / power) for head in range(power)]
    return slopes if power == heads else slopes + _geometric(2 * power)[0::2][: heads - power]
