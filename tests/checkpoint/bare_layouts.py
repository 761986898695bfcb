"""State dicts without anything around them; their labels stand beside them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from layout_parts import (
    DIMS,
    LABELS,
    Layout,
    Names,
    chain,
    dims_in,
    dims_of,
    load,
    predict,
    read_json,
    write_json,
)
from their_modules import FullyConnected, InBlocks, Numbered, randomize, sequential
from torch import Tensor, nn


def bare(
    name: str,
    build: Callable[[Sequence[int]], nn.Module],
    describe: str,
    *,
    prefix: str = "",
    spell: Callable[[int, str], tuple[Any, Any]] = lambda number, label: (label, number),
    pick: Callable[[str, Any], tuple[int, str]] = lambda label, number: (number, label),
) -> Layout:
    """A state dict alone, with label2id.json beside it; `spell` and `pick` write and read an entry of that."""

    def write(folder: Path) -> Path:
        state = {prefix + key: tensor for key, tensor in randomize(build(dims_in(describe)), 1).state_dict().items()}
        torch.save(state, folder / "head.pt")
        write_json(folder / "label2id.json", dict(spell(*pair) for pair in enumerate(LABELS)))
        return folder / "head.pt"

    def consume(path: Path, embeddings: Tensor) -> tuple[Tensor, Names]:
        state = {key.removeprefix(prefix): tensor for key, tensor in load(path).items()}
        module = build(dims_of(state))
        module.load_state_dict(state, strict=True)
        entries = read_json(path.with_name("label2id.json"))
        return predict(module, embeddings, dict(pick(*entry) for entry in entries.items()))

    return Layout(name, write, consume, describe, {"labels": "label2id.json"})


def bare_layouts() -> Iterator[Layout]:
    for norm, described in ((None, ""), ("ln", "LayerNorm"), ("bn", "BatchNorm1d")):
        build = lambda dims, norm=norm: FullyConnected(dims, norm)  # noqa: E731 - a line each
        yield bare(f"fc with {norm}", build, chain(*DIMS, norm=described))
    yield bare("no biases", lambda dims: FullyConnected(dims, bias=False), chain(*DIMS))
    for dims in ((8, 5, 3), (8, 5, 5, 5, 3), (8, 5, 5, 5, 5, 3)):
        yield bare(f"{len(dims) - 1} layers", FullyConnected, chain(*dims))
    for block, places in (("lad", "0 3 6"), ("la", "0 2 4"), ("dla", "1 4 7")):
        yield bare(f"Sequential {places}", lambda dims, block=block: sequential(dims, block), chain(*DIMS))
    for letter, norm in (("n", "LayerNorm"), ("b", "BatchNorm1d")):
        described = chain(*DIMS, norm=norm)
        yield bare(f"0 4 8 {norm}", lambda dims, each=letter: sequential(dims, f"l{each}ad"), described)
        behind = f"8 -> 5 -> ReLU -> {norm} -> 5 -> ReLU -> {norm} -> 3"
        yield bare(f"{norm} behind ReLU", lambda dims, each=letter: sequential(dims, f"la{each}d"), behind)
    yield bare("layers", lambda dims: Numbered(dims, "layers"), chain(*DIMS))
    yield bare("linear with a gap", lambda dims: Numbered(dims, gap=True), chain(*DIMS))
    yield bare("blocks", InBlocks, chain(*DIMS, norm="BatchNorm1d"))
    for prefix in ("model.", "net.", "module.", "_orig_mod.", "module.model.net.", "model._orig_mod."):
        yield bare(f"prefix {prefix}", sequential, chain(*DIMS), prefix=prefix)
    yield bare(
        "label2id.json: ids as text",
        sequential,
        chain(*DIMS),
        spell=lambda number, label: (label, str(number)),
        pick=lambda label, number: ({"0": 0, "1": 1, "2": 2, "3": 3, "4": 4}[number], label),
    )
    yield bare(
        "label2id.json: id -> label",
        sequential,
        chain(*DIMS),
        spell=lambda number, label: (str(number), label),
        pick=lambda number, label: (int(number), label),
    )
