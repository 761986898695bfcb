"""What every layout of checkpoints consists of: how it is written, and how its users predict labels with it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

DIMS = (8, 5, 5, 3)
"""Two square layers in the longer chains: a swap of them changes the logits, no shape tells it."""
LABELS = ("<none>", "😭", "joy")
Names = list[str]
Consumer = Callable[[Path, Tensor], tuple[Tensor, Names]]


@dataclass(frozen=True)
class Layout:
    """A layout of checkpoints.

    Attributes:
        name: Its name in the output of tests.
        write: Folder -> the path that a user would name: the file, or its folder.
        consume: That path and embeddings (B, 8) -> logits (B, K) and the B predicted labels, as its users do it.
        describe: The chain in words.
        origins: Part -> where the file says it, as far as it does.
        encoder: The encoder that it names.
        labels: Its labels in the order of their ids.
    """

    name: str
    write: Callable[[Path], Path]
    consume: Consumer
    describe: str = "8 -> 5 -> ReLU -> 5 -> ReLU -> 3"
    origins: Mapping[str, str] = field(default_factory=dict)
    encoder: str | None = None
    labels: tuple[str, ...] = LABELS


def predict(module: nn.Module, embeddings: Tensor, id2label: Mapping[int, str]) -> tuple[Tensor, Names]:
    with torch.no_grad():
        logits: Tensor = module.eval()(embeddings)
    return logits, [id2label[number] for number in logits.argmax(dim=1).tolist()]


def load(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def label2id(labels: Sequence[str] = LABELS) -> dict[str, int]:
    return {label: number for number, label in enumerate(labels)}


def id2label(labels: Sequence[str] = LABELS) -> dict[int, str]:
    return dict(enumerate(labels))


def dims_of(state: Mapping[str, Tensor]) -> list[int]:
    """Widths, from weights in the order of the file."""
    weights = [tensor for tensor in state.values() if tensor.ndim == 2]
    return [weights[0].shape[1], *(weight.shape[0] for weight in weights)]


def dims_in(describe: str) -> list[int]:
    return [int(word) for word in describe.split(" -> ") if word.isdecimal()]


def chain(*dims: int, activation: str = "ReLU", norm: str = "") -> str:
    """Words for a chain with a norm, if any, before each activation."""
    hidden = [word for dim in dims[1:-1] for word in (str(dim), norm, activation) if word]
    return " -> ".join([str(dims[0]), *hidden, str(dims[-1])])


def written(checkpoint: Callable[[], dict[str, Any]], file: str = "best_classifier.pt") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        torch.save(checkpoint(), folder / file)
        return folder / file

    return write
