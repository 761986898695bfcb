"""Heads to write in the layout of another file, and what a written file holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from emoji_lightning.bundle.like import LikeReport, write_like
from emoji_lightning.checkpoint.architecture import plain
from emoji_lightning.checkpoint.stored_head import StoredHead, read_head
from emoji_lightning.labels import LabelSet


def other_head(model: StoredHead, labels: tuple[str, ...]) -> StoredHead:
    """Other weights of the same shape, with these labels, as a training of ours would leave them."""
    architecture = model.architecture.with_labels(len(labels))
    torch.manual_seed(7)
    state = architecture.build(0.0).state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point():
            drawn = torch.randn_like(tensor) * (1 if tensor.ndim == 2 else 0.1)
            state[name] = 1 + drawn.abs() if name.endswith(("running_var", "norm.weight")) else drawn
    head = StoredHead(architecture, state, LabelSet(labels), encoder=model.encoder)
    bias = list(state)[-1]
    if bias.endswith(".bias"):  # so that every label is the answer to something
        state[bias] -= head.build()(2 * torch.randn(500, architecture.input_dim)).mean(dim=0).detach()
    return head


def contents(path: Path) -> tuple[Any, Any]:
    """What a file holds: its data, and the text metadata of safetensors."""
    if path.suffix != ".safetensors":
        return torch.load(path, weights_only=True), None
    with safe_open(path, framework="pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata()  # noqa: SIM118


def assert_same(one: Any, other: Any) -> None:
    """The same types, keys in the same order, dtypes and bits."""
    assert type(one) is type(other)
    if isinstance(one, Mapping):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            assert_same(mine, theirs)
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    else:
        assert one == other


def save(path: Path, **entries: Any) -> Path:
    """A file with a plain head, the labels a, b and c, and these entries; an entry that is None is left out."""
    torch.manual_seed(0)
    content = {"model_state_dict": plain(8, 5, 3).build(0.0).state_dict(), "labels": ["a", "b", "c"], **entries}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: value for name, value in content.items() if value is not None}, path)
    return path


def write(tmp_path: Path, head: StoredHead | None = None, *, epochs: int | None = None, **entries: Any) -> LikeReport:
    """Write other weights in the layout of a file with these entries."""
    model = read_head(save(tmp_path / "theirs.pt", **entries))
    return write_like(head or other_head(model, ("a", "b", "c")), model, tmp_path / "out", epochs=epochs)
