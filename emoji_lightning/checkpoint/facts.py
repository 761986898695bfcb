"""What a checkpoint says about its head beside weights and labels: activation, dropout, encoder, sizes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emoji_lightning.checkpoint.architecture import ACTIVATIONS, Architecture
from emoji_lightning.checkpoint.content import Content, Place, is_of_training, leaf_of, name_of, shorten, walk
from emoji_lightning.errors import CheckpointError

ENCODER_NAMES = ("encoder", "encoder_name", "upstream", "upstream_model", "feature_extractor", "embedding_model")
MODEL_NAMES = ("model_name", "model_id", "model_name_or_path", "base_model")
"""Names that mean the encoder only where they name an emotion2vec."""
ACTIVATION_NAMES = ("activation", "activation_fn", "act", "act_fn", "nonlinearity")
ENCODERS_ACTIVATION = ("hidden_act",)
"""What transformers calls it; taken where nothing else says."""
DROPOUT_NAMES = ("dropout", "dropout_rate", "dropout_prob", "p_dropout", "drop")
INPUT_NAMES = ("input_dim", "embedding_dim", "embed_dim", "emb_dim", "input_size")
HIDDEN_NAMES = ("hidden_dim", "head_dim", "hidden_size", "hidden_dims", "hidden_sizes")
EPS_NAMES = ("layer_norm_eps", "norm_eps", "ln_eps", "bn_eps", "batch_norm_eps")
COUNT_NAMES = (
    "num_labels", "num_classes", "num_class", "num_emotions", "num_emojis", "num_outputs", "numlabels", "numclasses",
    "n_labels", "n_classes", "n_class", "n_emotions", "n_outputs", "nlabels", "nclasses", "nclass", "nb_classes",
    "number_of_classes", "class_num", "label_num",
)  # fmt: skip
OUTPUT_NAMES = ("output_dim", "out_dim", "output_size", "out_features")
"""Names of the number of labels that others give to the width of a hidden layer, or of the encoder."""
STANDARD_DROPOUT, STANDARD_EPS = 0.2, 1e-5


@dataclass(frozen=True)
class Facts:
    """What a checkpoint says, with `origins`: fact -> where it stands, or what was assumed."""

    activation: str
    dropout: float
    encoder: str | None
    weights_sha256: str | None
    origins: Mapping[str, str]
    eps: float = STANDARD_EPS


def read_facts(content: Content, architecture: Architecture) -> Facts:
    """Read the facts, and hold the sizes against the layers.

    Raises:
        CheckpointError: A fact contradicts the layers or is none that this program knows.
    """
    entries = [(place, value) for place, value in walk(content.data) if not is_of_training(place)]
    if "config.json" in content.beside:
        beside = walk(content.beside["config.json"])
        entries += [(("config.json", *place), value) for place, value in beside]
    _check_sizes(entries, architecture)
    activation, activation_origin = _activation(content, entries)
    dropout, dropout_origin = _dropout(entries)
    encoder, encoder_origin = _encoder(content, entries)
    origins = {"activation": activation_origin, "dropout": dropout_origin, "encoder": encoder_origin}
    return Facts(activation, dropout, encoder, _weights_sha256(content, entries), origins, _eps(entries))


Entries = Sequence[tuple[Place, Any]]


def _named(entries: Entries, names: Sequence[str]) -> Iterator[tuple[Place, Any]]:
    """Yield entries with one of these names, the first name first; empty ones are left out."""
    for name in names:
        yield from ((place, value) for place, value in entries if leaf_of(place) == name and value is not None)


def _check_sizes(entries: Entries, architecture: Architecture) -> None:
    described = [entry for entry in entries if len(entry[0]) == 1 or _is_description(entry[0][-2])]
    # transformers calls the width of the encoder hidden_size
    hidden, num_labels = {*architecture.hidden_dims, architecture.input_dim}, {architecture.num_labels}
    expected = {INPUT_NAMES: {architecture.input_dim}, COUNT_NAMES: num_labels, HIDDEN_NAMES: hidden}
    for names, sizes in (expected | {OUTPUT_NAMES: hidden | num_labels}).items():
        for place, value in _named(described, names):
            if names is OUTPUT_NAMES and (type(value) is not int or is_of_encoder(place)):
                continue
            is_list = names is HIDDEN_NAMES and isinstance(value, list | tuple)
            fits = tuple(value) == architecture.hidden_dims if is_list else type(value) is int and value in sizes
            if not fits:
                raise CheckpointError(
                    f"{name_of(place)} is {shorten(value)}, its layers are {architecture.describe()}; expected their "
                    "sizes; correct it, or take the file that belongs to it"
                )


def is_of_encoder(place: Place) -> bool:
    """Tell whether an entry describes the encoder: it stands in a dict that is called so."""
    return any("encoder" in str(key).lower() for key in place[:-1])


def _is_description(key: Any) -> bool:
    return any(word in leaf_of((key,)) for word in ("config", "hparams", "hyper_parameters", "__metadata__"))


def _activation(content: Content, entries: Entries) -> tuple[str, str]:
    named = list(_named(entries, ACTIVATION_NAMES)) or list(_named(entries, ENCODERS_ACTIVATION))
    found = {name_of(place): _activation_name(place, value) for place, value in named}
    if len({ACTIVATIONS[name] for name in found.values()}) > 1:
        said = ", ".join(f"{where} is {name!r}" for where, name in found.items())
        raise CheckpointError(f"{said}; expected one activation; keep the right one")
    if found:
        return next(iter(found.values())), next(iter(found))
    return "relu", "format_version" if "format_version" in content.data else "assumed, the file does not say"


def _activation_name(place: Place, value: Any) -> str:
    """Return the name in `ACTIVATIONS` of "ReLU", "torch.nn.GELU()" and the like."""
    match = re.fullmatch(r"([\w.]*\.)?(?P<name>\w+)(\((inplace=\w+)?\))?", value) if isinstance(value, str) else None
    name = match["name"].lower() if match else ""
    if name not in ACTIVATIONS:
        raise CheckpointError(
            f"{name_of(place)} is {shorten(value)}; expected one of {', '.join(ACTIVATIONS)}; correct it"
        )
    return name


def _dropout(entries: Entries) -> tuple[float, str]:
    for place, value in _named(entries, DROPOUT_NAMES):
        if type(value) not in (int, float) or not 0 <= value < 1:
            raise CheckpointError(f"{name_of(place)} is {shorten(value)}; expected 0 or more, below 1; correct it")
        return float(value), name_of(place)
    return STANDARD_DROPOUT, "assumed, the file does not say (predicting needs none)"


def _eps(entries: Entries) -> float:
    for place, value in _named(entries, EPS_NAMES):
        if type(value) not in (int, float) or not 0 < value < 1:
            raise CheckpointError(f"{name_of(place)} is {shorten(value)}; expected a small number above 0; correct it")
        return float(value)
    return STANDARD_EPS


def _encoder(content: Content, entries: Entries) -> tuple[str | None, str]:
    named = list(_named(entries, ENCODER_NAMES))
    named += [
        (place, value)
        for place, value in _named(entries, MODEL_NAMES)
        if isinstance(value, str) and "emotion2vec" in value
    ]
    for place, value in named:
        if isinstance(value, str) and value:
            return value, name_of(place)
        if isinstance(value, int | float | str):
            raise CheckpointError(f"{name_of(place)} is {shorten(value)}; expected an encoder's name; correct it")
    model = content.beside.get("summary.json", {}).get("model")
    if isinstance(model, dict) and isinstance(model.get("encoder"), str):
        return model["encoder"], "summary.json"
    return None, "not named"


def _weights_sha256(content: Content, entries: Entries) -> str | None:
    summary: Any = content.beside.get("summary.json", {})
    for key in ("model", "embedding"):
        summary = summary.get(key, {}) if isinstance(summary, dict) else {}
    named = [value for _, value in _named(entries, ["weights_sha256"])]
    named += [summary.get("weights_sha256")] if isinstance(summary, dict) else []
    return next((value for value in named if isinstance(value, str)), None)
