"""One head in training among many: its model, its data, its random numbers, its best epoch."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emoji_lightning.data.datamodule import EmojiDataModule
from emoji_lightning.data.dataset import Batch
from emoji_lightning.model.classifier import EmojiClassifier
from emoji_lightning.model.noise import Noise
from emoji_lightning.stacking.dev_scores import score_dev
from emoji_lightning.stacking.recipe import Recipe
from emoji_lightning.stacking.stream import Stream


class Step(NamedTuple):
    """A batch, and what is random in the step on it."""

    batch: Batch
    noise: Noise


class HeadSpec(NamedTuple):
    """Which head it is.

    Attributes:
        fold: Number of the fold that is test.
        seed: Seed of its weights, batches and noise.
        options: Arguments of `EmojiClassifier`.
        setting: Number of the setting that the options are of.
    """

    fold: int
    seed: int
    options: Mapping[str, Any]
    setting: int = 0


@dataclass(eq=False)
class Stage:
    """As much of a trainer as a model asks for."""

    datamodule: EmojiDataModule
    estimated_stepping_batches: int
    global_step: int = 0


class HeadRun:
    """Trains one head exactly as `fit` would, step by step.

    Args:
        spec: Which head.
        data: Its corpus in its splits.
        recipe: How long it is trained.
        embeddings: (N, D) float32 of the whole corpus on the device, shared by all heads.
        like: A head of the same splits: what it fitted to train before its first step is taken over, not done again.
    """

    def __init__(
        self,
        spec: HeadSpec,
        data: EmojiDataModule,
        recipe: Recipe,
        embeddings: Tensor,
        *,
        like: EmojiClassifier | None = None,
    ) -> None:
        self.spec, self.recipe, self.embeddings = spec, recipe, embeddings
        self.stream = Stream(spec.seed, recipe.device)
        with self.stream.active():
            self.model = EmojiClassifier(**spec.options)
            self.loader, self.dev = data.train_dataloader(), data.val_dataloader()
            self.stage = Stage(data, len(self.loader) * recipe.max_epochs)
            self.model.trainer = self.stage  # type: ignore[assignment]
            self._prepare(like)
            self.model.to(recipe.device)
            configured: Any = self.model.configure_optimizers()
        self.stream.rewind()
        self.optimizer: torch.optim.Optimizer = configured["optimizer"]
        self.scheduler: torch.optim.lr_scheduler.LambdaLR = configured["lr_scheduler"]["scheduler"]
        if recipe.batches_are_rows:
            for loader in (self.loader, self.dev):
                loader.dataset.embeddings = loader.dataset.embeddings[:, :0]  # type: ignore[attr-defined]
        self.names = {id(each): f"model.{name}" for name, each in self.model.named_parameters()}
        self.watcher = recipe.watcher()
        self.best_score: Tensor | None = None
        self.best_epoch = -1
        self.numbers: dict[str, float] = {}
        self.history: list[dict[str, float]] = []
        self.is_interrupted = False
        self._best: dict[str, Tensor] = {}

    def _prepare(self, like: EmojiClassifier | None) -> None:
        fitted = {} if like is None else dict(like.named_buffers())
        own = dict(self.model.named_buffers())
        if fitted.keys() != own.keys():
            self.stage.datamodule.setup("fit")
            self.model.setup("fit")
            return
        for name, buffer in own.items():
            buffer.copy_(fitted[name])

    def train(self) -> None:
        """Train to the end, alone."""
        for step in self.steps():
            loss = self.model.loss_of(step.batch.embedding, step.batch.label, step.noise)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.scheduler.step()

    def steps(self) -> Iterator[Step]:
        """Yield each step, to be taken before the next one is asked for; evaluate dev at the end of each epoch."""
        for epoch in range(self.recipe.max_epochs):
            self.model.train()
            for batch in self._batches(epoch):
                if self.is_interrupted:
                    return
                yield Step(batch, self.model.draw(len(batch.label), self.stream.noise))
            if self._ends_at(epoch):
                return

    def predict(self, split: str) -> NDArray[np.float32]:
        """Return the logits (M, K) of a split by the best epoch."""
        self.model.load_state_dict(self._best)
        rows = torch.from_numpy(self.stage.datamodule.corpus.rows(split)).to(self.recipe.device)
        with torch.inference_mode():
            logits = self.model.eval()(self.embeddings[rows])
        return np.asarray(logits.float().cpu().numpy(), dtype=np.float32)

    def fetch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield batches as a model on the device takes them."""
        for batch in batches:
            if self.recipe.batches_are_rows:
                rows = batch.row.to(self.recipe.device)
                yield Batch(self.embeddings[rows], batch.label.to(self.recipe.device), rows)
            else:
                yield batch

    def _batches(self, epoch: int) -> Iterator[Batch]:
        set_epoch = getattr(self.loader.sampler, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(epoch)
        with self.stream.active():  # the order of an epoch is drawn with its first batch
            batches = iter(self.loader)
            first = next(batches)
        yield first
        yield from batches

    def _ends_at(self, epoch: int) -> bool:
        """Evaluate dev after an epoch, keep the weights if they are the best, tell whether training is over."""
        with self.stream.active():
            batches = iter(self.dev)
        numbers = score_dev(self.model, self.fetch(batches))
        self.history.append(numbers)
        score = self.recipe.score(numbers)
        if self.recipe.is_better(score, self.best_score):
            self.best_score, self.best_epoch, self.numbers = score, epoch, numbers
            self._best = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        if self.watcher is None:
            return False
        is_over, _ = self.watcher._evaluate_stopping_criteria(torch.tensor(numbers[self.watcher.monitor]))
        return bool(is_over)


def options_of(model: EmojiClassifier) -> dict[str, Any]:
    """Return the arguments that a model was made with; Lightning notes its own beside them."""
    names = inspect.signature(EmojiClassifier.__init__).parameters
    return {name: value for name, value in model.hparams.items() if name in names}
