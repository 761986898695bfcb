"""The LightningModule: steps, monitored metrics, optimiser."""

import math
import os
from collections.abc import Iterable
from typing import Any, Literal, Protocol

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from emoji_lightning.checkpoint.architecture import plain
from emoji_lightning.checkpoint.stored_head import StoredHead, read_head
from emoji_lightning.errors import ConfigError
from emoji_lightning.labels import LabelSet
from emoji_lightning.model.finetuning import FineTuning, FineTuningOptions
from emoji_lightning.model.head import Head
from emoji_lightning.model.macro_f1 import MacroF1
from emoji_lightning.model.noise import Noise, draw_noise
from emoji_lightning.model.resuming import RandomStates, check_resumed
from emoji_lightning.model.schedule import parameter_groups, warmup_and_half_cosine
from emoji_lightning.model.start import check_start, start_from

HIDDEN_DIM = 512


class LabelledBatch(Protocol):
    """What a step needs: embedding (B, D) float32, label (B,) int64, row (B,) int64."""

    @property
    def embedding(self) -> Tensor: ...  # noqa: D102
    @property
    def label(self) -> Tensor: ...  # noqa: D102
    @property
    def row(self) -> Tensor: ...  # noqa: D102


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
        hidden_dim: Width of the hidden layers; by default 512, or what the head of `init_from` has.
        dropout: Probability that a hidden unit is dropped in training.
        lr: Highest learning rate of AdamW. With `init_from` that of a head of width 512; a layer of another width takes
            it times 512 / width, for a narrow one moves less in a step (Yang et al., 2021).
        weight_decay: Decoupled weight decay of AdamW on weight matrices, times lr a step; biases are left alone. With
            standardised input the head overfits in a few epochs; 10 cost nothing and gained 2 points on the demo
            corpus over 0.1.
        label_smoothing: Share of the target spread evenly over all labels.
        warmup: Share of all steps in which the learning rate rises.
        init_from: Checkpoint of any readable layout to start from: hidden layers, and the output rows of labels that
            both sides know, by name. Its shape is taken, too.
        freeze: "hidden" trains the last layer only, "none" all layers. Only with `init_from`, as all options below.
        layer_lr_decay: Factor of the learning rate from each layer to the one below it, from above 0 to 1 (Howard and
            Ruder, 2018).
        l2_sp: Pull of what was copied back to its start, times lr a step, in place of weight decay (L2-SP, Li et al.,
            2018, decoupled as in AdamW).
        distill: Weight of a loss that keeps the answers of the head of `init_from` on the new utterances, among the
            labels that both know (Li and Hoiem, 2016).
        rehearse: Weight of a loss on imagined utterances of these labels, to be answered as before, for fine-tuning
            without their data: of an old label in proportion to a new one; without new labels, of all imagined
            utterances in proportion to all real ones.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        labels: list[str],
        input_dim: int = 768,
        encoder: str = "emotion2vec_base",
        weights_sha256: str | None = None,
        class_weights: list[float] | None = None,
        hidden_dim: int | None = None,
        dropout: float = 0.2,
        lr: float = 1e-4,
        weight_decay: float = 10.0,
        label_smoothing: float = 0.0,
        warmup: float = 0.05,
        init_from: str | None = None,
        freeze: Literal["none", "hidden"] = "none",
        layer_lr_decay: float = 1.0,
        l2_sp: float = 0.0,
        distill: float = 0.0,
        rehearse: float = 0.0,
    ) -> None:
        super().__init__()
        _check_shares(dropout=dropout, label_smoothing=label_smoothing, warmup=warmup)
        _check_sizes(hidden_dim=hidden_dim, lr=lr, weight_decay=weight_decay)
        _check_class_weights(class_weights, labels)
        self.save_hyperparameters(ignore=["init_from"])
        self.labels = labels
        self.lr, self.weight_decay, self.warmup, self.layer_lr_decay = lr, weight_decay, warmup, layer_lr_decay
        options = FineTuningOptions(freeze, layer_lr_decay, l2_sp, distill, rehearse)
        self.finetuning: FineTuning | None = None
        if init_from is None:
            options.demand_defaults()
            self.head = Head(plain(input_dim, hidden_dim or HIDDEN_DIM, len(labels)), dropout=dropout)
        else:
            stored = read_head(init_from)
            check_start(stored, input_dim=input_dim, encoder=encoder, weights_sha256=weights_sha256)
            self.head, start = start_from(stored, labels, hidden_dim=hidden_dim, dropout=dropout)
            self.finetuning = FineTuning(start, options)
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
        if stage != "fit":
            return
        datamodule: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        embeddings = datamodule.embeddings("train")
        if self.finetuning is None:
            self.head.standardizer.fit(embeddings)
        else:
            self.finetuning.begin(self.head, embeddings, datamodule.label_ids("train"))

    def draw(self, num_utterances: int, generator: torch.Generator | None = None) -> Noise:
        """Return what is random in a step on B utterances, on the model's device."""
        return draw_noise(self.head, num_utterances, self.device, generator)

    def loss_of(self, embeddings: Tensor, labels: Tensor, noise: Noise) -> Tensor:
        """Return the loss of a step from scratch, a scalar: a pure function, for many heads at once by `torch.func`.

        Args:
            embeddings: (B, D) float32.
            labels: (B,) int64.
            noise: What `draw` returned for B utterances.
        """
        return self._cross_entropy(self.head.forward_with(embeddings, noise.dropout), labels)

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        loss: Tensor = self.loss(logits, labels)
        if self.class_weights is None:
            return loss
        # Divided by the number of utterances, not by the batch's own sum of weights as PyTorch's weighted mean is:
        # with that, two processes would not make the step of one with twice the batch.
        return (self.class_weights[labels] * loss).mean()

    def training_step(self, batch: LabelledBatch, batch_idx: int) -> Tensor:
        """Return the mean cross-entropy of a batch, each utterance's times its label's weight, a scalar."""
        if self.finetuning is None:
            loss = self.loss_of(batch.embedding, batch.label, self.draw(len(batch.label)))
        else:
            logits = self(batch.embedding)
            loss = self._cross_entropy(logits, batch.label)
            loss = self.finetuning.add_to_loss(loss, self.head, batch.embedding, logits)
        self._train_losses.append(loss.detach())
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Pull a fine-tuned head back to its start."""
        if self.finetuning is not None:
            self.finetuning.pull_back(self.head, optimizer)

    def on_train_epoch_end(self) -> None:
        """Log the mean loss of the epoch's batches; `self.log` in every step costs 5 % of an epoch at batch 256."""
        if self._train_losses:  # none where a run goes on from the end of an epoch
            self.log("train/loss", torch.stack(self._train_losses).mean(), sync_dist=True)
        self._train_losses.clear()

    def validation_step(self, batch: LabelledBatch, batch_idx: int) -> dict[str, Tensor]:
        """Score a batch of dev."""
        return self._evaluate(batch, self.dev_metrics, "dev/loss")

    @torch.no_grad()
    def score_dev(self, batches: Iterable[LabelledBatch]) -> dict[str, float]:
        """Return what `fit` logs after an epoch, without a trainer: `dev/loss`, `dev/macro_f1`, `dev/accuracy`.

        Args:
            batches: All of dev.
        """
        self.eval()
        self.on_validation_epoch_start()
        losses, num = torch.zeros((), device=self.device), 0
        for batch in batches:
            logits = self(batch.embedding)
            losses += nn.functional.cross_entropy(logits, batch.label) * len(batch.label)
            num += len(batch.label)
            self.dev_metrics.update(logits, batch.label)
        numbers = {name: float(value) for name, value in self.dev_metrics.compute().items()}
        self.dev_metrics.reset()
        self.train()
        return {"dev/loss": float(losses / num), **numbers}

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

    def configure_callbacks(self) -> list[pl.Callback]:
        """Return what makes a resumed run exact."""
        return [RandomStates()]

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return fused AdamW with a warm-up and a half cosine, stepped every batch."""
        weight_decay = 0.0 if self.finetuning is not None and self.finetuning.options.l2_sp else self.weight_decay
        of_width = None if self.finetuning is None else HIDDEN_DIM
        groups = parameter_groups(
            self.head, lr=self.lr, weight_decay=weight_decay, lr_decay=self.layer_lr_decay, of_width=of_width
        )
        optimizer = torch.optim.AdamW(groups, lr=self.lr, fused=True)
        num_steps = max(1, int(self.trainer.estimated_stepping_batches))
        scheduler = warmup_and_half_cosine(optimizer, num_steps, self.warmup)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def to_stored(self) -> StoredHead:
        """Return the head as it is exported."""
        encoder, weights_sha256 = self.hparams["encoder"], self.hparams["weights_sha256"]
        return self.head.to_stored(LabelSet(tuple(self.labels)), encoder=encoder, weights_sha256=weights_sha256)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note the seed of the run, which Lightning keeps in the environment only, and what a fine-tuning needs."""
        checkpoint["seed"] = int(os.environ.get("PL_GLOBAL_SEED", "-1"))
        checkpoint["architecture"] = self.head.architecture.to_dict()
        if self.finetuning is not None:
            checkpoint["init_from"] = self.finetuning.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raise CheckpointError where the checkpoint is not this model's."""
        check_resumed(self, checkpoint)
        if self.finetuning is not None and "init_from" in checkpoint:
            self.finetuning.load_state_dict(self.head, checkpoint["init_from"])


def _output(batch: LabelledBatch, logits: Tensor) -> dict[str, Tensor]:
    """What evaluation steps return: row (B,) int64 in the corpus, label (B,) int64, logits (B, K) float32."""
    return {"row": batch.row, "label": batch.label, "logits": logits}


def _check_sizes(*, hidden_dim: int | None, lr: float, weight_decay: float) -> None:
    if hidden_dim is not None and hidden_dim < 1:
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
