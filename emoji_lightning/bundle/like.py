"""A head written in the layout of a file that another program reads."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emoji_lightning.bundle.as_safetensors import save_safetensors
from emoji_lightning.bundle.bundle import SAFETENSORS
from emoji_lightning.bundle.containers import put, remove, save_like
from emoji_lightning.checkpoint.content import Place, is_of_training, leaf_of, name_of, walk
from emoji_lightning.checkpoint.facts import COUNT_NAMES, DROPOUT_NAMES, ENCODER_NAMES, OUTPUT_NAMES, is_of_encoder
from emoji_lightning.checkpoint.folding import fold
from emoji_lightning.checkpoint.label_entries import LABEL2ID, NAMES, LabelEntry, find_beside
from emoji_lightning.checkpoint.stored_head import Source, StoredHead, read_head
from emoji_lightning.checkpoint.transforms import CONFIG
from emoji_lightning.embedding.hub import same_encoder
from emoji_lightning.errors import CheckpointError
from emoji_lightning.labels import normalize_label

PROGRESS = {"epoch", "global_step", "step", "steps", "iteration"}
OF_RESULTS = re.compile(
    r"(^|[_/])(loss|acc|accuracy|f1|uar|wa|ua|metrics?|results?|history|scores?|best)([_/]|$)", re.I
)
"""Names of what a training reached; of other weights it would be untrue."""


@dataclass(frozen=True)
class LikeReport:
    """What became of the entries of the model file that are neither weights nor labels.

    Attributes:
        file: The file that was written.
        carried: Entries that stand there as they stood in the model file.
        left_out: Entries that belong to the weights of the model file and were left out.
    """

    file: Path
    carried: tuple[str, ...]
    left_out: tuple[str, ...]


def write_like(
    head: StoredHead, model: StoredHead, folder: Path, *, epochs: int | None = None, safetensors: bool = False
) -> LikeReport:
    """Write a head as another file is laid out: container, keys and their order, prefixes, dtypes, names of labels.

    Labels take the name, the direction and the kind of ids that they have there; labels that both know keep
    the spelling of that file. What was learnt around the layers goes where the file keeps it, or is folded in.
    Optimiser states and results of other weights are left out; everything else is carried over. Of a file onto itself
    nothing changes.

    Args:
        head: The weights and labels.
        model: The head of the file whose layout is taken, as `read_head` returned it.
        folder: Where the file goes, under the name of the model file. `label2id.json` goes beside it, and
            `config.json` where it stands beside the model file.
        epochs: How long the head was trained, for an entry `epoch`.
        safetensors: Whether `best_classifier.safetensors`, the same tensors with all else as metadata (JSON), is
            written, too; not where the model file is a safetensors file already.

    Raises:
        CheckpointError: The two heads differ in more than the number of labels, or a safetensors file cannot hold the
            head: it keeps no order of layers.
    """
    source = model.source
    if source is None:
        raise CheckpointError("the layout of a head that was not read from a file is not known")
    head = _fit_around(head, model)
    _check_architecture(head, model)
    itself = _is_same(head, model)
    data = source.content.data
    left_out = [] if itself else list(_outdated(source, data, epochs))
    for place in left_out:
        data = remove(data, place)
    written = _changes(head, model, epochs=None if itself else epochs)
    for place, value in written.items():
        data = put(data, place, value)
    file = folder / source.content.file.name
    save_like(source.content, data, file, _beside(head, model))
    if safetensors and not source.content.is_safetensors:
        save_safetensors(data, source, folder / SAFETENSORS, expected=read_head(file))
    return LikeReport(file, tuple(_carried(source, data, written)), tuple(map(name_of, left_out)))


def as_stored_like(head: StoredHead, model: StoredHead) -> StoredHead:
    """Return the head with its weights rounded to the precision that another file keeps them in."""
    assert model.source is not None
    data, state = model.source.content.data, dict(head.state_dict)
    for name, key in model.source.chain.keys.items():
        if name in state and state[name].is_floating_point():
            state[name] = state[name].to(_at(data, (*model.source.state, key)).dtype).float()
    return replace(head, state_dict=state)


def _fit_around(head: StoredHead, model: StoredHead) -> StoredHead:
    """Fold in what the model file has no place for."""
    assert model.source is not None
    lacks_place = head.standardization is not None and model.standardization is None
    if lacks_place or (head.temperature != 1.0 and model.source.temperature is None):
        head = fold(head)
    if head.standardization is not None and model.standardization is None:
        raise CheckpointError("the head standardises its input before a norm; that layout has no place for it")
    return head


def _check_architecture(head: StoredHead, model: StoredHead) -> None:
    assert model.source is not None
    if head.architecture != model.architecture.with_labels(head.architecture.num_labels):
        raise CheckpointError(
            f"{model.source.content.file}: holds {model.architecture.describe()}, the head to write is "
            f"{head.architecture.describe()}; only the number of labels may differ. Train with --model.init_from that "
            "file, and the head has its shape"
        )
    lacking = head.state_dict.keys() - model.source.chain.keys.keys()
    neutral = head.architecture.build(0.0).state_dict()
    for name in sorted(lacking):
        if not torch.equal(head.state_dict[name], neutral[name]):
            raise CheckpointError(f"{model.source.content.file}: has no place for {name} of the head to write")


def _is_same(head: StoredHead, model: StoredHead) -> bool:
    return head.label_set == model.label_set and all(
        torch.equal(tensor, model.state_dict[name]) for name, tensor in head.state_dict.items()
    )


def _changes(head: StoredHead, model: StoredHead, *, epochs: int | None) -> dict[Place, Any]:
    """Return the entries to write by their place."""
    source = model.source
    assert source is not None
    data = source.content.data
    changes: dict[Place, Any] = {
        (*source.state, key): _as_tensor_like(_at(data, (*source.state, key)), head.state_dict[name])
        for name, key in source.chain.keys.items()
    }
    changes |= _ignored(head, model)
    changes |= _standardization(head, model)
    if source.temperature is not None:
        changes[source.temperature] = _as_number_like(_at(data, source.temperature), head.temperature)
    if head.label_set != model.label_set:
        for entry in source.label_entries:
            container: Any = type(_at(data, entry.place))
            changes[entry.place] = container(_spell(entry, head))
    changes |= dict(_described(head, model, data))
    if epochs is not None:
        changes |= {(name,): epochs for name in ("epoch",) if name in data}
    return changes


def _ignored(head: StoredHead, model: StoredHead) -> dict[Place, Any]:
    """Return the tensors of training, for their users load them too; what they hold of each label follows the labels.

    A weight of a label's loss is 1 where the label is new.
    """
    source = model.source
    assert source is not None
    changes: dict[Place, Any] = {}
    for name in source.chain.ignored:
        old = _at(source.content.data, (*source.state, name))
        if old.shape == (len(model.label_set),) and head.label_set != model.label_set:
            ids = model.label_set.label2id
            rows = [old[ids[label]] if label in ids else torch.ones_like(old[0]) for label in head.label_set]
            changes[*source.state, name] = torch.stack(rows)
    return changes


def _at(data: Mapping[Any, Any], place: Place) -> Any:
    value: Any = data
    for key in place:
        value = value[key]
    return value


def _as_tensor_like(old: Tensor, new: Tensor) -> Tensor:
    tensor = new.detach().reshape(new.shape if old.shape[:1] != new.shape[:1] else old.shape).to(old.dtype).clone()
    return nn.Parameter(tensor, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else tensor


def _as_number_like(old: Any, new: float) -> Any:
    return torch.full_like(old, new) if isinstance(old, Tensor) else type(old)(new)


def _standardization(head: StoredHead, model: StoredHead) -> dict[Place, Any]:
    theirs, ours = model.standardization, head.standardization
    if theirs is None or model.source is None:
        return {}
    mean = torch.zeros_like(theirs.mean) if ours is None else ours.mean
    scale = torch.ones_like(theirs.scale) if ours is None else ours.scale
    if ours is theirs:  # a root that is squared again may end one bit beside
        return {}
    vectors = {theirs.mean_place: mean, theirs.scale_place: scale.square() if theirs.is_variance else scale}
    return {place: _as_vector_like(_at(model.source.content.data, place), vector) for place, vector in vectors.items()}


def _as_vector_like(old: Any, new: Tensor) -> Any:
    if isinstance(old, Tensor):
        return new.reshape(old.shape).to(old.dtype)
    return type(old)(new.tolist())


def _spell(entry: LabelEntry, head: StoredHead) -> Any:
    known = {normalize_label(label): label for label in entry.labels}
    return entry.spell([known.get(label, label) for label in head.label_set])


def _described(head: StoredHead, model: StoredHead, data: Mapping[Any, Any]) -> Iterator[tuple[Place, Any]]:
    """Yield the descriptions that another head makes untrue: number of labels, encoder, dropout."""
    facts: dict[str, Any] = {"weights_sha256": head.weights_sha256}
    facts |= dict.fromkeys(ENCODER_NAMES, head.encoder) | dict.fromkeys(DROPOUT_NAMES, head.dropout)
    for place, value in walk(data):
        if is_of_training(place) or is_of_encoder(place):
            continue
        fact = facts.get(leaf_of(place))
        if fact is not None and type(value) is type(fact) and not _is_same_encoder(value, fact):
            yield place, fact
        elif _counts_labels(place, value, model):
            yield place, len(head.label_set)
        elif isinstance(value, list | tuple) and _are_all_sizes(value, model):
            yield place, type(value)([*value[:-1], len(head.label_set)])


def _counts_labels(place: Place, value: Any, model: StoredHead) -> bool:
    is_count = leaf_of(place) in {*COUNT_NAMES, *OUTPUT_NAMES, *NAMES}
    return is_count and type(value) is int and value == len(model.label_set)


def _are_all_sizes(value: Sequence[Any], model: StoredHead) -> bool:
    """Tell whether a list holds the widths of all layers, from the input to the logits."""
    architecture = model.architecture
    sizes = [architecture.input_dim, *architecture.hidden_dims, architecture.num_labels]
    return all(type(size) is int for size in value) and list(value) == sizes


def _is_same_encoder(one: Any, other: Any) -> bool:
    """Tell whether these name the same encoder, as a hub's id and as a short name."""
    return isinstance(one, str) and isinstance(other, str) and same_encoder(one, other)


def _outdated(source: Source, data: Mapping[Any, Any], epochs: int | None) -> Iterator[Place]:
    """Yield the entries that belong to the weights that stood in the file."""
    for key, value in data.items():
        if (key,) == source.state or not isinstance(key, str) or isinstance(value, Tensor):
            continue
        progress = key in PROGRESS and not (key == "epoch" and epochs is not None)
        if is_of_training((key,)) or OF_RESULTS.search(key) or progress:
            yield (key,)


def _carried(source: Source, data: Mapping[Any, Any], written: Mapping[Place, Any]) -> Iterator[str]:
    """Yield the names of outer entries in which nothing was written."""
    touched = {place[0] for place in written} | {entry.place[0] for entry in source.label_entries} | {*source.state[:1]}
    yield from (str(key) for key in data if key not in touched)


def _beside(head: StoredHead, model: StoredHead) -> dict[str, dict[str, Any]]:
    """Return `label2id.json` for the written file, and `config.json`, as they stand beside the model file."""
    assert model.source is not None
    content = model.source.content
    files: dict[str, dict[str, Any]] = {LABEL2ID: head.label_set.label2id}
    for name, entries in find_beside(content).items():
        files[name] = content.beside[name]
        for entry in entries if head.label_set != model.label_set else ():
            spelt = _spell(entry, head)
            files[name] = spelt if name == LABEL2ID else put(files[name], entry.place, spelt)
    if CONFIG in files:
        for place, fact in _described(head, model, files[CONFIG]):
            files[CONFIG] = put(files[CONFIG], place, fact)
    return files
