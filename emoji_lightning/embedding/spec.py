"""What made an embedding: two vectors may stand side by side only if their specs agree."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from emoji_lightning.audio import RESAMPLER, SAMPLE_RATE
from emoji_lightning.embedding.long_audio import WHOLE, merge_records
from emoji_lightning.errors import StoreError

FORMAT_VERSION = 1
"""Version of the store's layout; raised when an older reader would misread a newer store."""


@dataclass(frozen=True, kw_only=True)
class EmbeddingSpec:
    """Everything that changes the numbers of an embedding.

    Attributes:
        encoder: Short name of the encoder, never a path with the user's folders in it.
        dim: Length D of the vectors.
        weights_sha256: SHA-256 (hexadecimal) of the weights file; None for an encoder without weights.
        config_sha256: SHA-256 of the model's configuration: the number of heads, say, changes vectors but no shape.
        granularity: What one vector stands for.
        sample_rate: Samples per second (Hz) of the waveform that the encoder was given.
        resampler: What brought it to that rate.
        precision: Number format of the forward pass.
        device: Kind of device, "cpu" or "cuda": the same product rounds differently on another kind.
        long_audio: What was done with audio above a limit: "error N s" (there is none), "truncate N s" or "chunk N s";
            "whole" where there was no limit.
        format_version: Layout of the store.
    """

    encoder: str
    dim: int
    weights_sha256: str | None = None
    config_sha256: str | None = None
    granularity: str = "utterance"
    sample_rate: int = SAMPLE_RATE
    resampler: str = RESAMPLER
    precision: str = "fp32"
    device: str = "cpu"
    long_audio: str = WHOLE
    format_version: int = FORMAT_VERSION

    @property
    def digest(self) -> str:
        """SHA-256 (hexadecimal) of all that `difference` compares: equal digests, interchangeable vectors."""
        return hashlib.sha256(json.dumps(self._compared(), sort_keys=True).encode()).hexdigest()

    def merge(self, other: "EmbeddingSpec") -> "EmbeddingSpec | None":
        """Return the spec of a store that holds vectors of both; None where they must not be mixed."""
        long_audio = merge_records(self.long_audio, other.long_audio)
        if long_audio is None:
            return None
        mine, theirs = (replace(spec, long_audio=long_audio) for spec in (self, other))
        return None if mine.difference(theirs) else mine

    def to_dict(self) -> dict[str, str | int | None]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote; fields other than `encoder` and `dim` may be left out.

        Raises:
            StoreError: A field is unknown, missing, of another type, or the layout is newer than this program.
        """
        problems = _find_problems(values)
        if problems:
            raise StoreError("; ".join(problems))
        return cls(**values)

    def difference(self, other: "EmbeddingSpec") -> str:
        """Say in words where `other` differs.

        Two names for the same weights, as with a renamed model folder, are no difference.

        Returns:
            Text like ``encoder 'logmel' and 'emotion2vec_base', dim 768 and 1024``; empty where vectors of both may be
            mixed.
        """
        mine, theirs = self._compared(), other._compared()
        names = [field.name for field in fields(self) if mine.get(field.name) != theirs.get(field.name)]
        return ", ".join(f"{name} {getattr(self, name)!r} and {getattr(other, name)!r}" for name in names)

    def describe(self) -> str:
        """Return the name and, shortened, the digest of the weights.

        >>> EmbeddingSpec(encoder="emotion2vec_base", dim=768, weights_sha256="8a3f" * 16).describe()
        'emotion2vec_base (weights 8a3f8a3f8a3f, 768-d, cpu, fp32)'
        """
        weights = f"weights {self.weights_sha256[:12]}, " if self.weights_sha256 else ""
        return f"{self.encoder} ({weights}{self.dim}-d, {self.device}, {self.precision})"

    def _compared(self) -> dict[str, str | int | None]:
        values = self.to_dict()
        if self.weights_sha256 is not None:
            del values["encoder"]
        return values


def _find_problems(values: Mapping[str, Any]) -> list[str]:
    known = {field.name: field.type for field in fields(EmbeddingSpec)}
    problems = [f"{name!r} is missing" for name in ("encoder", "dim") if name not in values]
    for name, value in values.items():
        if name not in known:
            problems.append(f"{name!r} is not one of {sorted(known)}")
        elif name.endswith("_sha256") and value is None:
            continue
        elif isinstance(value, bool) or not isinstance(value, int if known[name] is int else str):
            problems.append(f"{name!r} is {value!r}, {'a whole number' if known[name] is int else 'text'} is needed")
    version, dim = values.get("format_version", FORMAT_VERSION), values.get("dim", 1)
    if isinstance(version, int) and version > FORMAT_VERSION:
        cure = "install a newer emoji-lightning"
        problems = [f"format_version is {version}, this program reads {FORMAT_VERSION}; {cure}"]
    if isinstance(dim, int) and dim < 1:
        problems.append(f"'dim' is {dim}, at least 1 is needed")
    return problems
