"""Dicts with a state dict and more, as training programs write them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from layout_parts import DIMS, LABELS, Layout, Names, chain, dims_of, id2label, label2id, load, predict, written
from their_modules import FullyConnected, Named, Standardizing, randomize, sequential
from torch import Tensor, nn


def provenance() -> Layout:
    """`config state_dict provenance`; a LayerNorm of the input, GELU."""

    def build(config: Mapping[str, Any]) -> Named:
        dim, width = config["embedding_dim"], config["hidden_dim"]
        layers = [nn.LayerNorm(dim), nn.Linear(dim, width), nn.GELU(), nn.Dropout(config["dropout"])]
        return Named("net", nn.Sequential(*layers, nn.Linear(width, len(config["label_names"]))))

    def checkpoint() -> dict[str, Any]:
        config = {"embedding_dim": 8, "label_names": list(LABELS), "hidden_dim": 5, "dropout": 0.3}
        config |= {"activation": "gelu", "encoder": "emotion2vec_base"}
        return {"config": config, "state_dict": randomize(build(config), 2).state_dict(), "provenance": {"seed": 3}}

    def consume(path: Path, embeddings: Tensor) -> tuple[Tensor, Names]:
        stored = load(path)
        module = build(stored["config"])
        module.load_state_dict(stored["state_dict"], strict=True)
        return predict(module, embeddings, id2label(stored["config"]["label_names"]))

    origins = {"labels": "config.label_names in the file", "activation": "config.activation"}
    origins |= {"dropout": "config.dropout", "encoder": "config.encoder"}
    describe = "8 -> LayerNorm -> 5 -> GELU -> 3"
    return Layout("provenance", written(checkpoint), consume, describe, origins, "emotion2vec_base")


def calibrated(kind: str) -> Layout:
    """`state_dict labels feature_mean feature_scale temperature head_kind`, or variance, or scikit-learn's names."""
    names = {
        "scale": ("feature_mean", "feature_scale"),
        "variance": ("feat_mean", "feat_var"),
        "lists": ("mean_", "scale_"),
    }
    mean_name, scale_name = names[kind]

    def checkpoint() -> dict[str, Any]:
        mean, scale = torch.linspace(-1, 1, 8), torch.linspace(0.5, 3, 8)
        stored = {"variance": (mean, scale**2), "lists": (mean.tolist(), scale.tolist())}.get(kind, (mean, scale))
        state = randomize(sequential(DIMS), 3).state_dict()
        known = {"state_dict": state, "labels": list(LABELS), mean_name: stored[0], scale_name: stored[1]}
        return known | {"temperature": 1.7, "head_kind": "mlp", "upstream": "emotion2vec/emotion2vec_base"}

    def consume(path: Path, embeddings: Tensor) -> tuple[Tensor, Names]:
        stored = load(path)
        module = sequential(dims_of(stored["state_dict"]))
        module.load_state_dict(stored["state_dict"], strict=True)
        mean, scale = torch.as_tensor(stored[mean_name]), torch.as_tensor(stored[scale_name])
        features = (embeddings - mean) / (scale.sqrt() if kind == "variance" else scale)
        logits, predicted = predict(module, features, id2label(stored["labels"]))
        return logits / stored["temperature"], predicted

    origins = {"labels": "labels in the file", "encoder": "upstream"}
    encoder = "emotion2vec/emotion2vec_base"
    return Layout(f"calibrated, {kind}", written(checkpoint), consume, origins=origins, encoder=encoder)


def buffers() -> Layout:
    """Mean and std are buffers of the module."""

    def checkpoint() -> dict[str, Any]:
        return {"model": randomize(Standardizing(DIMS), 4).state_dict(), "classes": list(LABELS)}

    def consume(path: Path, embeddings: Tensor) -> tuple[Tensor, Names]:
        stored = load(path)
        module = Standardizing(dims_of(stored["model"]))
        module.load_state_dict(stored["model"], strict=True)
        return predict(module, embeddings, id2label(stored["classes"]))

    return Layout("buffers", written(checkpoint), consume)


def best_classifier() -> Layout:
    """`epoch model_state_dict optimizer_state_dict val_loss label_to_id`."""

    def checkpoint() -> dict[str, Any]:
        module = randomize(FullyConnected(DIMS, "ln"), 9)
        optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
        module(torch.randn(4, 8)).sum().backward()
        optimizer.step()
        states = {"model_state_dict": module.state_dict(), "optimizer_state_dict": optimizer.state_dict()}
        return {"epoch": 7, **states, "val_loss": 0.5, "label_to_id": label2id()}

    def consume(path: Path, embeddings: Tensor) -> tuple[Tensor, Names]:
        stored = load(path)
        module = FullyConnected(dims_of(stored["model_state_dict"]), "ln")
        module.load_state_dict(stored["model_state_dict"], strict=True)
        return predict(module, embeddings, {number: label for label, number in stored["label_to_id"].items()})

    origins = {"labels": "label_to_id in the file"}
    return Layout("best_classifier", written(checkpoint), consume, chain(*DIMS, norm="LayerNorm"), origins)


def class_names() -> Layout:
    """`classifier_state_dict classifier_config label_mapping class_names train_args`."""

    def checkpoint() -> dict[str, Any]:
        state = {f"classifier.{key}": value for key, value in randomize(sequential(DIMS), 6).state_dict().items()}
        config = {"input_dim": 8, "hidden_dim": 5, "num_classes": 3}
        labels = {
            "label_mapping": {str(number): label for number, label in id2label().items()},
            "class_names": list(LABELS),
        }
        args = {"lr": 1e-3, "dropout": 0.1, "model_name": "iic/emotion2vec_base", "seed": 0, "output_dir": "out"}
        return {"classifier_state_dict": state, "classifier_config": config, **labels, "train_args": args}

    def consume(path: Path, embeddings: Tensor) -> tuple[Tensor, Names]:
        stored = load(path)
        sizes = stored["classifier_config"]
        dims = (sizes["input_dim"], sizes["hidden_dim"], sizes["hidden_dim"], sizes["num_classes"])
        module = Named("classifier", sequential(dims))
        module.load_state_dict(stored["classifier_state_dict"], strict=True)
        logits, predicted = predict(module, embeddings, id2label(stored["class_names"]))
        mapping = stored["label_mapping"]
        assert predicted == [mapping[str(number)] for number in logits.argmax(dim=1).tolist()]
        return logits, predicted

    origins = {
        "labels": "label_mapping in the file",
        "encoder": "train_args.model_name",
        "dropout": "train_args.dropout",
    }
    return Layout("class_names", written(checkpoint), consume, origins=origins, encoder="iic/emotion2vec_base")


def emb_dim() -> Layout:
    """`classifier_state_dict emb_dim config`; labels in the config."""

    def checkpoint() -> dict[str, Any]:
        state = randomize(sequential(DIMS, "la", nn.Tanh), 7).state_dict()
        config = {"activation": "Tanh", "id2label": id2label(), "hidden_dim": [5, 5]}
        return {"classifier_state_dict": state, "emb_dim": 8, "config": config}

    def consume(path: Path, embeddings: Tensor) -> tuple[Tensor, Names]:
        stored = load(path)
        names = stored["config"]["id2label"]
        activation = getattr(nn, stored["config"]["activation"])
        module = sequential((stored["emb_dim"], *stored["config"]["hidden_dim"], len(names)), "la", activation)
        module.load_state_dict(stored["classifier_state_dict"], strict=True)
        return predict(module, embeddings, names)

    origins = {"labels": "config.id2label in the file", "activation": "config.activation"}
    return Layout("emb_dim", written(checkpoint), consume, chain(*DIMS, activation="Tanh"), origins)


def exported() -> Layout:
    """What this program's `export` writes, read by a program that knows only torch."""

    def checkpoint() -> dict[str, Any]:
        state = {f"net.{key}": value for key, value in randomize(sequential(DIMS), 8).state_dict().items()}
        config = {"input_dim": 8, "hidden_dim": 5, "num_labels": 3, "dropout": 0.2, "encoder": "logmel"}
        labels = {"label2id": label2id(), "id2label": id2label()}
        return {"model_state_dict": state, **labels, "config": config, "format_version": 1}

    def consume(path: Path, embeddings: Tensor) -> tuple[Tensor, Names]:
        stored = load(path)
        config = stored["config"]
        module = Named("net", sequential((config["input_dim"], *[config["hidden_dim"]] * 2, config["num_labels"])))
        module.load_state_dict(stored["model_state_dict"], strict=True)
        return predict(module, embeddings, stored["id2label"])

    origins = {"labels": "label2id in the file", "encoder": "config.encoder", "activation": "format_version"}
    return Layout("exported", written(checkpoint), consume, origins=origins, encoder="logmel")


def half(dtype: torch.dtype) -> Layout:
    """Weights in half precision; their user computes in float32."""

    def checkpoint() -> dict[str, Any]:
        return {"state_dict": randomize(FullyConnected(DIMS), 9).to(dtype).state_dict(), "labels": list(LABELS)}

    def consume(path: Path, embeddings: Tensor) -> tuple[Tensor, Names]:
        stored = load(path)
        module = FullyConnected(dims_of(stored["state_dict"])).to(dtype)
        module.load_state_dict(stored["state_dict"], strict=True)
        return predict(module.float(), embeddings, id2label(stored["labels"]))

    return Layout(f"half precision {dtype}", written(checkpoint), consume)


LABEL_LISTS = ("label_names", "labels", "label_list", "class_names", "classes", "emotions")
LABEL_TO_ID = (
    "label2id",
    "label_to_id",
    "label_to_idx",
    "label2idx",
    "class_to_idx",
    "label_mapping",
    "label_map",
    "labels",
)
ID_TO_LABEL = ("id2label", "id_to_label", "idx_to_label", "idx2label", "idx_to_class", "label_mapping", "classes")


def label_map(name: str, direction: str, ids: type) -> Layout:
    """Labels under one of many names, as a list, label -> id or id -> label; ids as numbers or text."""
    stored_map: Any = {
        "list": list(LABELS),
        "label -> id": {label: ids(number) for number, label in enumerate(LABELS)},
        "id -> label": {ids(number): label for number, label in enumerate(LABELS)},
    }[direction]

    def consume(path: Path, embeddings: Tensor) -> tuple[Tensor, Names]:
        stored = load(path)
        module = FullyConnected(dims_of(stored["state_dict"]))
        module.load_state_dict(stored["state_dict"], strict=True)
        names = stored[name]
        if direction == "list":
            return predict(module, embeddings, id2label(names))
        pairs = ((label, number) for number, label in names.items()) if direction == "id -> label" else names.items()
        return predict(module, embeddings, {int(number): label for label, number in pairs})

    def checkpoint() -> dict[str, Any]:
        return {"state_dict": randomize(FullyConnected(DIMS), 10).state_dict(), name: stored_map}

    title = f"{name}: {direction}" + (f", ids as {ids.__name__}" if direction != "list" else "")
    return Layout(title, written(checkpoint, "model.pth"), consume, origins={"labels": f"{name} in the file"})


def dict_layouts() -> Iterator[Layout]:
    yield provenance()
    yield from map(calibrated, ("scale", "variance", "lists"))
    yield from (buffers(), best_classifier(), class_names(), emb_dim(), exported())
    yield from map(half, (torch.float16, torch.bfloat16, torch.float64))
    yield from (label_map(name, "list", int) for name in LABEL_LISTS)
    for ids in (int, str):
        yield from (label_map(name, "label -> id", ids) for name in LABEL_TO_ID)
        yield from (label_map(name, "id -> label", ids) for name in ID_TO_LABEL)
