"""Whether a checkpoint of a run fits the model that is to go on with it."""

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl

from emoji_lightning.errors import CheckpointError, ConfigError

OF_OPTIMIZER = ("lr", "weight_decay", "layer_lr_decay", "freeze", "l2_sp")
"""Options that an optimiser's stored state would overrule without a word."""


def check_resumed(model: pl.LightningModule, checkpoint: Mapping[str, Any]) -> None:
    """Hold a checkpoint against the model that takes it.

    Raises:
        CheckpointError: Its labels, encoder or shapes are others.
    """
    trained = checkpoint.get("hyper_parameters", {})
    labels, own_labels = list(trained.get("labels", model.hparams["labels"])), list(model.hparams["labels"])
    if labels != own_labels:
        raise CheckpointError(
            f"the checkpoint was trained on the labels {labels}, the data has {own_labels}; "
            "give --data.labels in the checkpoint's order, or start from its weights with --model.init_from"
        )
    _check_encoder(trained, model.hparams)
    _check_shapes(checkpoint["state_dict"], model.state_dict())


def _check_encoder(trained: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Compare weights where both sides know them, names otherwise."""
    kind = "weights_sha256" if trained.get("weights_sha256") and own["weights_sha256"] else "encoder"
    if kind in trained and trained[kind] != own[kind]:
        raise CheckpointError(
            f"the checkpoint was trained on embeddings of {trained.get('encoder')} ({kind} {trained[kind]}), the "
            f"data has those of {own['encoder']} ({own[kind]}); give --data.store the store it was trained on"
        )


def _check_shapes(stored: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    for name in sorted(own.keys() | stored.keys()):
        found = tuple(stored[name].shape) if name in stored else "nothing"
        expected = tuple(own[name].shape) if name in own else "nothing"
        if found != expected:
            raise CheckpointError(
                f"the checkpoint holds {found} for {name}, the model has {expected}; "
                "use embeddings of the encoder and the --model.* options that it was trained with"
            )


def check_options(own: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> None:
    """Raise ConfigError where `fit` goes on from a checkpoint with other options of the optimiser than it holds."""
    trained = checkpoint.get("hyper_parameters", {})
    for name in OF_OPTIMIZER:
        if name in trained and trained[name] != own[name]:
            raise ConfigError(
                f"--model.{name} is {own[name]}, the run was begun with {trained[name]}, and --ckpt_path resumes it "
                "exactly; leave the option out, or start a new run from its weights with --model.init_from"
            )
