"""Time one `fit` epoch of the demo corpus against a tight PyTorch loop of the same model, batch and optimiser.

Both train in this process, an epoch of the loop before every epoch of `fit`; printed are the medians and the median
of the paired ratios. The loop does what training needs and nothing else: index a batch, forward, loss, backward, fused
AdamW, schedule. `fit` runs as configs/base.yaml says: progress bar, logging, curves; its dev evaluation and checkpoints
are counted in the second ratio, the loop's dev evaluation (no checkpoint) likewise.

    python benchmarks/training.py [--batch_size 256] [--epochs 15]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from sklearn.metrics import f1_score
from torch import nn

from emoji_lightning.checkpoint.architecture import plain
from emoji_lightning.cli.lightning import EmojiCLI
from emoji_lightning.data.datamodule import EmojiDataModule
from emoji_lightning.model.classifier import EmojiClassifier
from emoji_lightning.model.head import Head


class TightLoop:
    """The same head, batches, optimiser and schedule without Lightning."""

    def __init__(self, model: EmojiClassifier, data: EmojiDataModule, *, num_steps: int) -> None:
        corpus = data.corpus
        self.embeddings = {split: torch.from_numpy(corpus.embeddings[corpus.rows(split)]) for split in ("train", "dev")}
        self.labels = {split: torch.from_numpy(corpus.labels[corpus.rows(split)]) for split in ("train", "dev")}
        self.batch_size = data.batch_size
        self.head = Head(plain(768, 512, 11), dropout=model.hparams["dropout"])
        self.head.standardizer.fit(self.embeddings["train"])
        self.loss = nn.CrossEntropyLoss(label_smoothing=model.hparams["label_smoothing"])
        matrices = [parameter for parameter in self.head.parameters() if parameter.ndim > 1]
        biases = [parameter for parameter in self.head.parameters() if parameter.ndim == 1]
        groups = [{"params": matrices, "weight_decay": model.weight_decay}, {"params": biases, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=model.lr, fused=True)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, num_steps)

    def train(self) -> float:
        """Train an epoch; return its duration in seconds."""
        start = time.perf_counter()
        self.head.train()
        embeddings, labels = self.embeddings["train"], self.labels["train"]
        for batch in torch.split(torch.randperm(len(labels)), self.batch_size):
            loss = self.loss(self.head(embeddings[batch]), labels[batch])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.schedule.step()
        return time.perf_counter() - start

    @torch.inference_mode()
    def evaluate(self) -> float:
        """Compute macro-F1 on dev; return the duration in seconds."""
        start = time.perf_counter()
        self.head.eval()
        predicted = self.head(self.embeddings["dev"]).argmax(dim=1)
        f1_score(self.labels["dev"].numpy(), predicted.numpy(), average="macro")
        return time.perf_counter() - start


class PairedEpochs(Callback):
    """Runs and times an epoch of the loop before each epoch of `fit`, and times that."""

    def __init__(self) -> None:
        self.loop: TightLoop | None = None
        self.rows: list[tuple[float, float, float, float]] = []
        self.loop_times = (0.0, 0.0)
        self.start = self.trained = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the epoch of `fit` before, run the loop, start the clock."""
        self.close_epoch()
        if self.loop is None:
            assert isinstance(pl_module, EmojiClassifier)
            steps = int(trainer.estimated_stepping_batches)
            self.loop = TightLoop(pl_module, trainer.datamodule, num_steps=steps)  # type: ignore[attr-defined]
        self.loop_times = (self.loop.train(), self.loop.evaluate())
        self.start = time.perf_counter()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the training clock."""
        self.trained = time.perf_counter() - self.start

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the last epoch."""
        self.close_epoch()

    def close_epoch(self) -> None:
        """Note an epoch: loop's training and evaluation, fit's training and whole epoch, in seconds."""
        if self.start:
            self.rows.append((*self.loop_times, self.trained, time.perf_counter() - self.start))


class PairedCLI(EmojiCLI):
    """`fit` with the paired timer."""

    def fit(self, **options: Any) -> None:
        """Add the timer behind the other callbacks, then train."""
        self.paired = PairedEpochs()
        self.trainer.callbacks.append(self.paired)  # type: ignore[attr-defined]
        super().fit(**options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=15, help="the first is a warm-up and not counted")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        words = ["fit", "--trainer.default_root_dir", folder, "--trainer.max_epochs", str(options.epochs)]
        words += ["--data.batch_size", str(options.batch_size), "--early_stopping.patience", "1000"]
        rows = PairedCLI(words, Path(folder)).paired.rows[1:]
    loop, loop_dev, fit, fit_whole = (statistics.median(column) for column in zip(*rows, strict=True))
    train_ratio = statistics.median(row[2] / row[0] for row in rows)
    whole_ratio = statistics.median(row[3] / (row[0] + row[1]) for row in rows)
    print(f"\n{len(rows)} paired epochs, batch {options.batch_size}, {torch.get_num_threads()} threads; medians")
    print(f"tight loop   training {loop:.3f} s, with dev evaluation {loop + loop_dev:.3f} s")
    print(f"fit          training {fit:.3f} s, with dev evaluation and checkpoints {fit_whole:.3f} s")
    print(f"fit / loop   training {train_ratio:.3f}, whole epoch {whole_ratio:.3f}")


if __name__ == "__main__":
    main()
