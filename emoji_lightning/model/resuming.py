"""Going on with a run: whether a checkpoint fits the model, and random numbers as if it had never stopped."""

import random
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch

from emoji_lightning.errors import CheckpointError, ConfigError
from emoji_lightning.model.processes import gather, own

OF_OPTIMIZER = ("lr", "weight_decay", "layer_lr_decay", "freeze", "l2_sp")
"""Options that an optimiser's stored state would overrule without a word; so would random states the seed."""


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
    """Raise ConfigError where `fit` goes on from a checkpoint with options that the checkpoint would overrule.

    Args:
        own: Hyperparameters of the model, and `seed_everything`: a seed, or true or false.
        checkpoint: The checkpoint.
    """
    trained = checkpoint.get("hyper_parameters", {})
    begun = {f"model.{name}": trained[name] for name in OF_OPTIMIZER if name in trained}
    if checkpoint.get("seed", -1) >= 0 and not isinstance(own["seed_everything"], bool):
        begun["seed_everything"] = checkpoint["seed"]
    for name, value in begun.items():
        given = own[name.removeprefix("model.")]
        if value != given:
            raise ConfigError(
                f"--{name} is {given}, the run was begun with {value}, and --ckpt_path resumes it exactly; "
                "leave the option out, or start a new run from its weights with --model.init_from"
            )


class RandomStates(pl.Callback):
    """Keeps the states of the random generators in checkpoints, so that a resumed run goes on bit for bit.

    Dropout and the draws of the rehearsal come from them (the order of batches follows from seed and epoch). A
    checkpoint holds them as the next batch finds them.
    """

    def __init__(self) -> None:
        self._pending: Mapping[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the states as plain data and tensors, of all processes: all of them must call this."""
        return {"of_processes": gather(random_states())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Hold them ready: only `fit` puts them back."""
        states = state_dict.get("of_processes", [state_dict])  # before 0.2 one process wrote its own
        self._pending = own(states) or states[0]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put them back, for what the start of the program drew counts no more."""
        if self._pending is not None:
            set_random_states(self._pending)
            # Lightning loads the loader's place in the epoch when it makes the loader; which the schedule's number of
            # steps had made long before there was a state to load (lightning 2.6).
            loop: Any = trainer.fit_loop
            loop._load_combined_loader_states()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Let them run on."""
        self._pending = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put them back where no batch came since: the checkpoint was written between an epoch's last batch and its
        end, and Lightning makes another iterator for the next one.
        """
        if self._pending is not None:
            set_random_states(self._pending)


def random_states() -> dict[str, Any]:
    """Return the states of the generators of torch, numpy and Python as tensors, numbers and lists."""
    version, words, gauss = random.getstate()
    name, keys, *position = np.random.get_state(legacy=True)
    states = {"torch": torch.get_rng_state(), "python": [version, list(words), gauss]}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states | {"numpy": [name, np.asarray(keys).tolist(), *position]}


def set_random_states(states: Mapping[str, Any]) -> None:
    """Put back what `random_states` returned; a state of a device that is not here is left."""
    torch.set_rng_state(states["torch"])
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *position = states["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *position))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
