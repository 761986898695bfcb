"""Fine-tuning: a head that starts from a stored one, output rows copied by the names of their labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from emoji_lightning.checkpoint.architecture import Architecture
from emoji_lightning.checkpoint.folding import fold_temperature
from emoji_lightning.checkpoint.stored_head import StoredHead
from emoji_lightning.embedding.hub import same_encoder
from emoji_lightning.errors import CheckpointError, ConfigError
from emoji_lightning.model.head import Head


@dataclass(frozen=True)
class Start:
    """Where a fine-tuning starts.

    Attributes:
        file: Name of the file, without folder.
        sha256: Digest of the file.
        copied: Labels that both sides know; their output rows were copied.
        rows: Their ids in the new head.
        new: Labels that only the data has.
        dropped: Labels that only the file has.
    """

    file: str
    sha256: str
    copied: tuple[str, ...]
    rows: tuple[int, ...]
    new: tuple[str, ...]
    dropped: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for checkpoints and `summary.json`."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Start":
        """Take what `to_dict` returned."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in content.items()
        }
        return cls(**values)


def check_start(stored: StoredHead, *, input_dim: int, encoder: str, weights_sha256: str | None) -> None:
    """Raise CheckpointError where a stored head takes other embeddings than the data has."""
    file = stored.source.content.file if stored.source else "the head"
    if stored.architecture.input_dim != input_dim:
        raise CheckpointError(
            f"{file}: takes {stored.architecture.input_dim}-d embeddings ({stored.encoder or 'no encoder is named'}), "
            f"the data has {input_dim}-d ones of {encoder}; give --data.store a store of the head's encoder"
        )
    theirs, ours = (stored.encoder, stored.weights_sha256), (encoder, weights_sha256)
    if all((theirs[1], ours[1])):
        is_same = theirs[1] == ours[1]
    else:
        is_same = stored.encoder is None or same_encoder(stored.encoder, encoder)
    if not is_same:
        raise CheckpointError(
            f"{file}: was trained on embeddings of {_name(*theirs)}, the data has those of {_name(*ours)}; give "
            "--data.store a store of the encoder that it was trained with"
        )


def _name(encoder: str | None, weights_sha256: str | None) -> str:
    return f"{encoder} (weights {weights_sha256[:12]})" if weights_sha256 else str(encoder)


def start_from(
    stored: StoredHead, labels: Sequence[str], *, hidden_dim: int | None, dropout: float
) -> tuple[Head, Start]:
    """Build a head for these labels that has the layers of a stored one.

    All layers below the last are copied as they are; of the last, the rows of labels that both know. Rows of new
    labels are drawn as in a new layer.

    Args:
        stored: The head to start from.
        labels: Labels of the new head in the order of their ids.
        hidden_dim: Width that the hidden layers must have; None takes those of the stored head.
        dropout: Probability that a hidden unit is dropped in training.

    Raises:
        ConfigError: `hidden_dim` is not the width of the stored head.
    """
    assert stored.source is not None
    file = stored.source.content.file
    if hidden_dim is not None and set(stored.architecture.hidden_dims) != {hidden_dim}:
        raise ConfigError(
            f"--model.hidden_dim is {hidden_dim}, {file} has {stored.architecture.describe()}; leave the option out"
        )
    architecture = stored.architecture.with_labels(len(labels))
    head = Head(architecture, dropout=dropout)
    own, known = head.net.state_dict(), fold_temperature(stored)
    ids = stored.label_set.label2id
    pairs = [(row, ids[label]) for row, label in enumerate(labels) if label in ids]
    if architecture.layers[-1].bias:
        torch.nn.init.zeros_(head.linears[-1].bias)
    for name, tensor in known.state_dict.items():
        own[name].copy_(_with_rows(own[name], tensor, pairs) if _is_of_last(name, architecture) else tensor)
    if stored.standardization is not None:
        head.standardizer.mean.copy_(stored.standardization.mean)
        head.standardizer.scale.copy_(stored.standardization.scale)
    start = Start(
        file=file.name,
        sha256=stored.source.content.sha256,
        copied=tuple(label for label in labels if label in ids),
        rows=tuple(row for row, _ in pairs),
        new=tuple(label for label in labels if label not in ids),
        dropped=tuple(label for label in stored.label_set if label not in set(labels)),
    )
    return head, start


def _is_of_last(name: str, architecture: Architecture) -> bool:
    """Tell whether a tensor belongs to the last Linear layer or to a norm of its output."""
    return int(name.partition(".")[0]) >= architecture.places()[len(architecture.layers) - 1, "linear"]


def _with_rows(own: Tensor, theirs: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
    if own.ndim == 0:
        return theirs
    rows = own.clone()
    for row, their_row in pairs:
        rows[row] = theirs[their_row]
    return rows
