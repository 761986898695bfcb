"""The LightningModule: steps, monitored metrics, optimiser."""

import os
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torchmetrics import MetricCollection

from emoji_lightning.checkpoint.architecture import plain
from emoji_lightning.checkpoint.stored_head import StoredHead, read_head
from emoji_lightning.labels import LabelSet
from emoji_lightning.model.batch import LabelledBatch, output_of
from emoji_lightning.model.checks import FROM_HEAD, FROM_SCRATCH, check_class_weights, check_shares, check_sizes
from emoji_lightning.model.finetuning import FineTuning, FineTuningOptions
from emoji_lightning.model.head import Head
from emoji_lightning.model.learner import Learner, learns_beside_discriminant, put_back, take_out
from emoji_lightning.model.losses import EpochLoss, MeanLoss
from emoji_lightning.model.metrics import make_metrics
from emoji_lightning.model.noise import Noise, draw_noise, pass_through
from emoji_lightning.model.processes import Share
from emoji_lightning.model.resuming import RandomStates, check_resumed
from emoji_lightning.model.schedule import parameter_groups, warmup_and_half_cosine
from emoji_lightning.model.start import check_start, start_from

HIDDEN_DIM = 512


class EmojiClassifier(pl.LightningModule):
    """Embedding in, logits out: standardisation fitted on train, then the MLP head.

    The learning rate rises over the warm-up steps and falls along a half cosine to zero at the last step (Loshchilov
    and Hutter, 2017).

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
            By default 5e-4, with `init_from` 1e-4.
        weight_decay: Decoupled weight decay of AdamW on weight matrices, times lr a step; biases are left alone. By
            default 1, with `init_from` 10.
        label_smoothing: Share of the target spread evenly over all labels.
        warmup: Share of all steps in which the learning rate rises.
        input_noise: Standard deviation of the Gaussian noise that training adds to standardised embeddings (Bishop,
            1995: it acts as a penalty on steep logits). By default 1, with `init_from` 0.
        discriminant: Whether a linear discriminant, fitted to train in closed form, stands beside the MLP in 2 K of the
            hidden units, both weighted by the answers to dev. Not with `init_from`, and not where it would take more
            than half of the units.
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
        lr: float | None = None,
        weight_decay: float | None = None,
        label_smoothing: float = 0.0,
        warmup: float = 0.05,
        input_noise: float | None = None,
        discriminant: bool = True,
        init_from: str | None = None,
        freeze: Literal["none", "hidden"] = "none",
        layer_lr_decay: float = 1.0,
        l2_sp: float = 0.0,
        distill: float = 0.0,
        rehearse: float = 0.0,
    ) -> None:
        super().__init__()
        check_shares(dropout=dropout, label_smoothing=label_smoothing, warmup=warmup)
        check_class_weights(class_weights, labels)
        self.save_hyperparameters(ignore=["init_from"])
        defaults = FROM_SCRATCH if init_from is None else FROM_HEAD
        self.hparams.update({name: value for name, value in defaults.items() if self.hparams[name] is None})
        check_sizes(hidden_dim=hidden_dim, **{name: self.hparams[name] for name in defaults})
        self.labels, self.warmup, self.layer_lr_decay = labels, warmup, layer_lr_decay
        self.lr, self.weight_decay, self.input_noise = (self.hparams[name] for name in defaults)
        options = FineTuningOptions(freeze, layer_lr_decay, l2_sp, distill, rehearse)
        self.finetuning: FineTuning | None = None
        self.learner: Learner | None = None
        self._assembled_at = -1
        if init_from is None:
            options.demand_defaults()
            width = hidden_dim or HIDDEN_DIM
            self.head = Head(plain(input_dim, width, len(labels)), dropout=dropout)
            if discriminant and learns_beside_discriminant(width, len(labels)):
                self.learner = Learner(input_dim, width, len(labels), dropout=dropout)
                self.head.net.requires_grad_(False)
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
        self._epoch_loss = EpochLoss()
        self.dev_loss, self.test_loss = MeanLoss(), MeanLoss()
        self.dev_metrics, self.test_metrics = (make_metrics(len(labels), prefix) for prefix in ("dev/", "test/"))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return logits (B, K) of raw embeddings (B, D)."""
        logits: Tensor = self.head(embeddings)
        return logits

    def setup(self, stage: str) -> None:
        """Fit the standardisation on train; a checkpoint that is resumed from brings its own afterwards."""
        if stage != "fit":
            return
        datamodule: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        measured = datamodule.moments
        moments = None if measured is None else (torch.from_numpy(measured.mean), torch.from_numpy(measured.deviation))
        embeddings, labels = datamodule.sample("train")
        if self.finetuning is not None:
            self.finetuning.begin(self.head, embeddings, labels, moments=moments)
            return
        self.head.standardizer.fit(embeddings, moments)
        if self.learner is not None:
            frequencies = datamodule.balance == "none"
            self.learner.begin(self.head.standardizer, embeddings, labels, frequencies=frequencies)

    def draw(self, num_utterances: int, generator: torch.Generator | None = None) -> Noise:
        """Return what is random in a step on B utterances, on the model's device."""
        input_dim = self.head.architecture.input_dim if self.input_noise else 0
        return draw_noise(self.learning, num_utterances, self.device, generator, input_dim=input_dim)

    def loss_of(self, embeddings: Tensor, labels: Tensor, noise: Noise) -> Tensor:
        """Return the loss of a step from scratch, a scalar: a pure function, for many heads at once by `torch.func`.

        Args:
            embeddings: (B, D) float32.
            labels: (B,) int64.
            noise: What `draw` returned for B utterances.
        """
        return self._cross_entropy(self.logits_of(embeddings, noise), labels)

    def logits_of(self, embeddings: Tensor, noise: Noise) -> Tensor:
        """Return the logits (B, K) of a step from scratch: those of what is optimised, with noise."""
        standardized = self.head.standardizer(embeddings)
        if isinstance(noise.input, Tensor):
            standardized = torch.add(standardized, noise.input, alpha=self.input_noise)
        logits = pass_through(self.learning, standardized, noise.dropout)
        return logits if self.learner is None else logits + self.learner.log_frequencies

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
            logits = self.logits_of(batch.embedding, self.draw(len(batch.label)))
        else:
            logits = self(batch.embedding)
        loss = self._cross_entropy(logits, batch.label)
        share = Share.of(len(batch.label), logits.device)
        if self.finetuning is None:
            loss = share.scale(loss, logits)
        else:
            loss = self.finetuning.add_to_loss(loss, self.head, batch.embedding, logits, share)
        self._epoch_loss.append(loss, share)
        return loss

    @property
    def learning(self) -> nn.Sequential:
        """What is optimised: standardised embeddings (B, D) in, logits (B, K) out."""
        return self.head.net if self.learner is None else self.learner.net

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Pull a fine-tuned head back to its start."""
        if self.finetuning is not None:
            self.finetuning.pull_back(self.head, optimizer)

    def on_train_epoch_end(self) -> None:
        """Log the mean loss of the epoch's utterances."""
        loss = self._epoch_loss.mean()
        if loss is not None:  # none where a run goes on from the end of an epoch
            self.log("train/loss", loss, sync_dist=True)
        self._epoch_loss.clear()

    def on_validation_epoch_start(self) -> None:
        """Make the head of what was learnt so far."""
        if self.trainer.state.fn == "fit":
            self.assemble()

    def assemble(self) -> None:
        """Write the head of what was learnt so far, weighted by the answers to dev."""
        if self.learner is None:
            return
        datamodule: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        embeddings, labels = datamodule.sample("dev")
        standardized = self.head.standardizer(embeddings.to(self.device))
        self.learner.assemble(self.head, self.learner.blend(standardized, labels))
        self._assembled_at = self.trainer.global_step

    def validation_step(self, batch: LabelledBatch, batch_idx: int) -> dict[str, Tensor]:
        """Score a batch of dev."""
        return self._evaluate(batch, self.dev_metrics, self.dev_loss)

    def test_step(self, batch: LabelledBatch, batch_idx: int) -> dict[str, Tensor]:
        """Score a batch of test."""
        return self._evaluate(batch, self.test_metrics, self.test_loss)

    def predict_step(self, batch: LabelledBatch, batch_idx: int) -> dict[str, Tensor]:
        """Score a batch that may have no labels."""
        return output_of(batch, self(batch.embedding))

    def _evaluate(self, batch: LabelledBatch, metrics: MetricCollection, mean_loss: MeanLoss) -> dict[str, Tensor]:
        logits = self(batch.embedding)
        mean_loss.update(nn.functional.cross_entropy(logits, batch.label, reduction="none"), batch.row)
        if len(batch.label):  # a process may have no batch in the last round
            metrics.update(logits, batch.label)
        self.log(f"{metrics.prefix}loss", mean_loss, on_step=False, on_epoch=True, batch_size=len(batch.label))
        self.log_dict(metrics, on_step=False, on_epoch=True, batch_size=len(batch.label), prog_bar=True)
        return output_of(batch, logits)

    def configure_callbacks(self) -> list[pl.Callback]:
        """Return what makes a resumed run exact."""
        return [RandomStates()]

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return fused AdamW with a warm-up and a half cosine, stepped every batch."""
        weight_decay = 0.0 if self.finetuning is not None and self.finetuning.options.l2_sp else self.weight_decay
        of_width = None if self.finetuning is None else HIDDEN_DIM
        groups = parameter_groups(
            self.head if self.learner is None else self.learner,
            lr=self.lr,
            weight_decay=weight_decay,
            lr_decay=self.layer_lr_decay,
            of_width=of_width,
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
        if self.learner is not None:
            if self._assembled_at != self.trainer.global_step:
                self.assemble()
            take_out(checkpoint)
        checkpoint["epoch_loss"] = self._epoch_loss.state_dict()
        if self.finetuning is not None:
            checkpoint["init_from"] = self.finetuning.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raise CheckpointError where the checkpoint is not this model's."""
        if not put_back(checkpoint) and self.learner is not None:  # of an earlier version, or without discriminant
            self.learner = None
            self.head.net.requires_grad_(True)
        if "input_noise" not in checkpoint.get("hyper_parameters", {}):
            self.input_noise = 0.0
        check_resumed(self, checkpoint)
        if "epoch_loss" in checkpoint:
            self._epoch_loss.load_state_dict(checkpoint["epoch_loss"])
        if self.finetuning is not None and "init_from" in checkpoint:
            self.finetuning.load_state_dict(self.head, checkpoint["init_from"])
