"""The LightningModule: steps, monitored metrics, optimiser."""

import math
import os
from collections.abc import Mapping
from typing import Any, Protocol

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from emoji_lightning.errors import CheckpointError, ConfigError
from emoji_lightning.model.head import Head


class LabelledBatch(Protocol):
    """What a step needs: embedding (B, D) float32, label (B,) int64, row (B,) int64."""

    @property
    def embedding(self) -> Tensor: ...  # noqa: D102
    @property
    def label(self) -> Tensor: ...  # noqa: D102
    @property
    def row(self) -> Tensor: ...  # noqa: D102


class MacroF1(MulticlassF1Score):
    """Mean F1 over all labels, absent ones as 0: torchmetrics' own macro average leaves those out."""

    def compute(self) -> Tensor:
        """Return a scalar."""
        return super().compute().mean()


class EmojiClassifier(pl.LightningModule):
    """Embedding in, logits out: standardisation fitted on train, then the MLP head.

    The learning rate rises over the warm-up steps and falls along a half cosine to zero at the last step (Loshchilov
    and Hutter, 2017). `dev/macro_f1` chooses the checkpoint.

    Args:
        labels: Labels in the order of their ids; taken from the data.
        input_dim: Dimension D of an embedding; taken from the data.
        encoder: Name of the encoder that made the embeddings; taken from the data.
        weights_sha256: SHA-256 of that encoder's weights; taken from the data.
        class_weights: Weight of each label in the training loss, in the order of their ids; taken from the data. The
            smoothed cross-entropy of an utterance is multiplied by the weight of its own label as a whole (PyTorch's
            `weight` would weight each smoothed share by the label it goes to).
        hidden_dim: Width of both hidden layers.
        dropout: Probability that a hidden unit is dropped in training.
        lr: Highest learning rate of AdamW.
        weight_decay: Decoupled weight decay of AdamW on weight matrices, times lr a step; biases are left alone. With
            standardised input the head overfits in a few epochs; 10 cost nothing and gained 2 points on the demo
            corpus over 0.1.
        label_smoothing: Share of the target spread evenly over all labels.
        warmup: Share of all steps in which the learning rate rises.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        labels: list[str],
        input_dim: int = 768,
        encoder: str = "emotion2vec_base",
        weights_sha256: str | None = None,
        class_weights: list[float] | None = None,
        hidden_dim: int = 512,
        dropout: float = 0.2,
        lr: float = 1e-4,
        weight_decay: float = 10.0,
        label_smoothing: float = 0.0,
        warmup: float = 0.05,
    ) -> None:
        super().__init__()
        _check_shares(dropout=dropout, label_smoothing=label_smoothing, warmup=warmup)
        _check_sizes(hidden_dim=hidden_dim, lr=lr, weight_decay=weight_decay)
        _check_class_weights(class_weights, labels)
        self.save_hyperparameters()
        self.labels = labels
        self.lr, self.weight_decay, self.warmup = lr, weight_decay, warmup
        self.head = Head(input_dim=input_dim, hidden_dim=hidden_dim, num_labels=len(labels), dropout=dropout)
        self.loss = nn.CrossEntropyLoss(
            label_smoothing=label_smoothing, reduction="mean" if class_weights is None else "none"
        )
        # Not in the state dict: the data gives them anew, and a checkpoint fits a model with or without them.
        weights = None if class_weights is None else torch.tensor(class_weights)
        self.register_buffer("class_weights", weights, persistent=False)
        metrics = MetricCollection(
            {
                "macro_f1": MacroF1(len(labels), average="none"),
                "accuracy": MulticlassAccuracy(len(labels), average="micro"),
            }
        )
        self._train_losses: list[Tensor] = []
        self.dev_metrics = metrics.clone(prefix="dev/")
        self.test_metrics = metrics.clone(prefix="test/")

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return logits (B, K) of raw embeddings (B, D)."""
        logits: Tensor = self.head(embeddings)
        return logits

    def setup(self, stage: str) -> None:
        """Fit the standardisation on train; a checkpoint that is resumed from brings its own afterwards."""
        if stage == "fit":
            datamodule: Any = self.trainer.datamodule  # type: ignore[attr-defined]
            self.head.standardizer.fit(datamodule.embeddings("train"))

    def training_step(self, batch: LabelledBatch, batch_idx: int) -> Tensor:
        """Return the mean cross-entropy of a batch, each utterance's times its label's weight, a scalar."""
        loss: Tensor = self.loss(self(batch.embedding), batch.label)
        if self.class_weights is not None:
            # Divided by the number of utterances, not by the batch's own sum of weights as PyTorch's weighted mean is:
            # with that, two processes would not make the step of one with twice the batch.
            loss = (self.class_weights[batch.label] * loss).mean()
        self._train_losses.append(loss.detach())
        return loss

    def on_train_epoch_end(self) -> None:
        """Log the mean loss of the epoch's batches; `self.log` in every step costs 5 % of an epoch at batch 256."""
        self.log("train/loss", torch.stack(self._train_losses).mean(), sync_dist=True)
        self._train_losses.clear()

    def validation_step(self, batch: LabelledBatch, batch_idx: int) -> dict[str, Tensor]:
        """Score a batch of dev."""
        return self._evaluate(batch, self.dev_metrics, "dev/loss")

    def test_step(self, batch: LabelledBatch, batch_idx: int) -> dict[str, Tensor]:
        """Score a batch of test."""
        return self._evaluate(batch, self.test_metrics, "test/loss")

    def predict_step(self, batch: LabelledBatch, batch_idx: int) -> dict[str, Tensor]:
        """Score a batch that may have no labels."""
        return _output(batch, self(batch.embedding))

    def _evaluate(self, batch: LabelledBatch, metrics: MetricCollection, loss_name: str) -> dict[str, Tensor]:
        logits = self(batch.embedding)
        loss = nn.functional.cross_entropy(logits, batch.label)
        size = len(batch.label)
        self.log(loss_name, loss, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        metrics(logits, batch.label)
        self.log_dict(metrics, on_step=False, on_epoch=True, batch_size=size, prog_bar=True)
        return _output(batch, logits)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return fused AdamW with a warm-up and a half cosine, stepped every batch."""
        optimizer = torch.optim.AdamW(self._parameter_groups(), lr=self.lr, fused=True)
        num_steps = max(1, int(self.trainer.estimated_stepping_batches))
        num_warmup = max(1, round(self.warmup * num_steps))

        def factor(step: int) -> float:
            if step < num_warmup:
                return (step + 1) / num_warmup
            return 0.5 * (1 + math.cos(math.pi * (step - num_warmup) / max(1, num_steps - num_warmup)))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _parameter_groups(self) -> list[dict[str, Any]]:
        matrices = [parameter for parameter in self.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in self.parameters() if parameter.ndim <= 1]
        return [{"params": matrices, "weight_decay": self.weight_decay}, {"params": others, "weight_decay": 0.0}]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note the seed of the run; Lightning keeps it in the environment only."""
        checkpoint["seed"] = int(os.environ.get("PL_GLOBAL_SEED", "-1"))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raise CheckpointError where the checkpoint's labels or shapes are not this model's."""
        labels = checkpoint.get("hyper_parameters", {}).get("labels", self.labels)
        if list(labels) != list(self.labels):
            raise CheckpointError(
                f"the checkpoint was trained on the labels {list(labels)}, the data has {list(self.labels)}; "
                "give --data.labels in the checkpoint's order"
            )
        self._check_encoder(checkpoint.get("hyper_parameters", {}))
        own = self.state_dict()
        stored = checkpoint["state_dict"]
        for name in sorted(own.keys() | stored.keys()):
            found = tuple(stored[name].shape) if name in stored else "nothing"
            expected = tuple(own[name].shape) if name in own else "nothing"
            if found != expected:
                raise CheckpointError(
                    f"the checkpoint holds {found} for {name}, the model has {expected}; "
                    "use embeddings of the encoder and the --model.* options that it was trained with"
                )

    def _check_encoder(self, trained: Mapping[str, Any]) -> None:
        """Compare weights where both sides know them, names otherwise."""
        own = self.hparams
        kind = "weights_sha256" if trained.get("weights_sha256") and own["weights_sha256"] else "encoder"
        if kind in trained and trained[kind] != own[kind]:
            raise CheckpointError(
                f"the checkpoint was trained on embeddings of {trained.get('encoder')} ({kind} {trained[kind]}), the "
                f"data has those of {own['encoder']} ({own[kind]}); give --data.store the store it was trained on"
            )


def _output(batch: LabelledBatch, logits: Tensor) -> dict[str, Tensor]:
    """What evaluation steps return: row (B,) int64 in the corpus, label (B,) int64, logits (B, K) float32."""
    return {"row": batch.row, "label": batch.label, "logits": logits}


def _check_sizes(*, hidden_dim: int, lr: float, weight_decay: float) -> None:
    if hidden_dim < 1:
        raise ConfigError(f"--model.hidden_dim is {hidden_dim}; expected at least 1 unit")
    if not 0 < lr < math.inf:
        raise ConfigError(f"--model.lr is {lr}; expected a learning rate above 0")
    if not 0 <= weight_decay < math.inf:
        raise ConfigError(f"--model.weight_decay is {weight_decay}; expected 0 or more")


def _check_class_weights(class_weights: list[float] | None, labels: list[str]) -> None:
    if class_weights is not None and len(class_weights) != len(labels):
        raise ConfigError(f"class_weights has {len(class_weights)} values; expected one for each of {labels}")


def _check_shares(**shares: float) -> None:
    for name, value in shares.items():
        if not 0 <= value < 1:
            raise ConfigError(f"--model.{name} is {value}; expected a share from 0 to below 1")
