"""Folders, safetensors files and Lightning checkpoints."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L  # noqa: N812 - everybody's name for it
import torch
from layout_parts import DIMS, LABELS, Layout, Names, chain, dims_of, id2label, load, predict, read_json, write_json
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from their_modules import FullyConnected, Named, randomize, sequential
from torch import Tensor, nn


def folder_with_config() -> Layout:
    """`config.json{embed_dim,head_dim,emotions[]}` + `emotion_head.pt`: the labels stand in the JSON alone."""

    def write(folder: Path) -> Path:
        write_json(folder / "config.json", {"embed_dim": 8, "head_dim": 5, "emotions": list(LABELS)})
        torch.save(randomize(Named("head", sequential(DIMS)), 16).state_dict(), folder / "emotion_head.pt")
        return folder

    def consume(path: Path, embeddings: Tensor) -> tuple[Tensor, Names]:
        config = read_json(path / "config.json")
        dims = (config["embed_dim"], config["head_dim"], config["head_dim"], len(config["emotions"]))
        module = Named("head", sequential(dims))
        module.load_state_dict(load(path / "emotion_head.pt"), strict=True)
        return predict(module, embeddings, id2label(config["emotions"]))

    return Layout("folder with config.json", write, consume, origins={"labels": "config.json"})


def safetensors_with_metadata() -> Layout:
    """Weights with the labels as JSON in the file's metadata."""

    def write(folder: Path) -> Path:
        state = randomize(FullyConnected(DIMS, "ln"), 14).state_dict()
        metadata = {"id2label": json.dumps(id2label(), ensure_ascii=False), "activation": "relu", "hidden_dim": "5"}
        save_file(state, folder / "head.safetensors", metadata | {"encoder": "emotion2vec_base"})
        return folder / "head.safetensors"

    def consume(path: Path, embeddings: Tensor) -> tuple[Tensor, Names]:
        state = load_file(path)
        with safe_open(path, framework="pt") as opened:
            names = {int(number): label for number, label in json.loads(opened.metadata()["id2label"]).items()}
        hidden, inputs = state["fc1.weight"].shape
        module = FullyConnected((inputs, hidden, hidden, len(names)), "ln")
        module.load_state_dict(state, strict=True)
        return predict(module, embeddings, names)

    origins = {"labels": "__metadata__.id2label in the file", "encoder": "__metadata__.encoder"}
    describe = chain(*DIMS, norm="LayerNorm")
    return Layout("safetensors", write, consume, describe, origins, "emotion2vec_base")


def transformers_folder() -> Layout:
    """`model.safetensors` and a `config.json` as transformers writes it; its hidden_size is the encoder's width."""

    def write(folder: Path) -> Path:
        save_file(
            randomize(Named("classifier", sequential(DIMS, "lad", nn.GELU)), 14).state_dict(),
            folder / "model.safetensors",
        )
        labels = {"id2label": {str(number): label for number, label in id2label().items()}, "num_labels": 3}
        labels |= {"label2id": {label: number for number, label in id2label().items()}}
        write_json(folder / "config.json", {"hidden_size": 8, "hidden_act": "gelu", "classifier_size": 5, **labels})
        return folder

    def consume(path: Path, embeddings: Tensor) -> tuple[Tensor, Names]:
        config = read_json(path / "config.json")
        width = config["classifier_size"]
        dims = (config["hidden_size"], width, width, len(config["id2label"]))
        module = Named("classifier", sequential(dims, "lad", nn.GELU))
        module.load_state_dict(load_file(path / "model.safetensors"), strict=True)
        return predict(module, embeddings, {int(number): label for number, label in config["id2label"].items()})

    origins = {"labels": "config.json", "activation": "config.json.hidden_act"}
    return Layout("transformers folder", write, consume, chain(*DIMS, activation="GELU"), origins)


class TheirClassifier(L.LightningModule):
    """A module as people write it: weights of the loss in the state dict, labels among the hyperparameters."""

    def __init__(self, labels: list[str], hidden_dim: int = 5, embed_dim: int = 8, dropout: float = 0.4) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.model = sequential((embed_dim, hidden_dim, hidden_dim, len(labels)))
        self.loss = nn.CrossEntropyLoss(weight=torch.linspace(1, 2, len(labels)))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        return logits

    def training_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        features, targets = batch
        loss: Tensor = self.loss(self(features), targets)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


def lightning() -> Layout:
    """A run of one epoch, saved by the Trainer."""

    def write(folder: Path) -> Path:
        torch.manual_seed(14)
        module = TheirClassifier(list(LABELS))
        data = torch.utils.data.TensorDataset(torch.randn(8, 8), torch.arange(8) % 3)
        quiet: Any = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        with warnings.catch_warnings(action="ignore"):
            trainer = L.Trainer(max_epochs=1, accelerator="cpu", default_root_dir=folder, **quiet)
            trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=4))
        randomize(module.model, 14)
        trainer.save_checkpoint(folder / "last.ckpt")
        return folder / "last.ckpt"

    def consume(path: Path, embeddings: Tensor) -> tuple[Tensor, Names]:
        stored = load(path)
        module = TheirClassifier(**stored["hyper_parameters"])
        module.load_state_dict(stored["state_dict"], strict=True)
        return predict(module, embeddings, id2label(stored["hyper_parameters"]["labels"]))

    origins = {"labels": "hyper_parameters.labels in the file", "dropout": "hyper_parameters.dropout"}
    return Layout("lightning", write, consume, origins=origins)


def compiled_lightning() -> Layout:
    """A state dict of a compiled module, whose user takes the prefixes off."""

    def write(folder: Path) -> Path:
        state = {f"model._orig_mod.{key}": value for key, value in randomize(sequential(DIMS), 15).state_dict().items()}
        known = {"hyper_parameters": {"class_names": list(LABELS)}, "pytorch-lightning_version": "2.6.6", "epoch": 3}
        torch.save(
            {"state_dict": state, "loops": {}, "callbacks": {}, "lr_schedulers": [], **known}, folder / "best.ckpt"
        )
        return folder

    def consume(path: Path, embeddings: Tensor) -> tuple[Tensor, Names]:
        stored = load(path / "best.ckpt")
        state = {key.removeprefix("model._orig_mod."): value for key, value in stored["state_dict"].items()}
        module = sequential(dims_of(state))
        module.load_state_dict(state, strict=True)
        return predict(module, embeddings, id2label(stored["hyper_parameters"]["class_names"]))

    return Layout("compiled", write, consume, origins={"labels": "hyper_parameters.class_names in the file"})


def container_layouts() -> Iterator[Layout]:
    yield from (
        folder_with_config(),
        safetensors_with_metadata(),
        transformers_folder(),
        lightning(),
        compiled_lightning(),
    )
