"""How fast `fit` is: an epoch beside a tight PyTorch loop and the bare products, a whole run beside scikit-learn's MLP.

    python benchmarks/training.py epoch [--batch_size 256] [--epochs 15] [--accelerator cpu]
    python benchmarks/training.py whole [--runs 3] [--batch_size 256]

epoch: both train on the demo corpus in this process, an epoch of the loop and one of the products before every
epoch of `fit`; printed are medians, and medians of the paired ratios. The loop does what the recipe needs and
nothing else, with PyTorch's own means (`nn.Dropout` among them, which `fit` replaces by faster masks): index a
batch, standardise, noise, forward, loss, backward, fused AdamW, schedule. The products are those of the three
layers, forward and backward, without anything between them. `fit` runs as configs/base.yaml says: progress bar,
logging, curves; its dev evaluation and checkpoints are counted in the second ratio, the loop's dev evaluation
likewise.

whole: processes from a cached store to a file on the disk, alternating: `fit` of 20 epochs and `export`, both with
their evaluations, against a script that reads the same store and fits scikit-learn's MLPClassifier with hidden
layers of 512 and 512 units, batch_size=256 and max_iter=20, predicts dev and test and pickles it.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from made_store import write_store
from sklearn.metrics import f1_score
from torch import nn

from emoji_lightning.cli.lightning import EmojiCLI
from emoji_lightning.data.corpus import demo_corpus
from emoji_lightning.data.datamodule import EmojiDataModule
from emoji_lightning.model.classifier import EmojiClassifier
from emoji_lightning.model.learner import Learner
from emoji_lightning.model.schedule import parameter_groups, warmup_and_half_cosine

THEIR_SCRIPT = """
import csv, pickle, sys, time
import numpy as np, pyarrow.parquet as pq
from pathlib import Path
from sklearn.metrics import f1_score
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

folder = Path(sys.argv[1])
parts = [pq.read_table(part) for part in sorted((folder / "store").glob("part-*.parquet"))]
vectors = {}
for part in parts:
    flat = part["embedding"].combine_chunks().flatten().to_numpy().reshape(len(part), -1)
    vectors |= dict(zip(part["id"].to_pylist(), flat))
rows = list(csv.DictReader((folder / "data.csv").open(encoding="utf-8")))
of = {split: [row for row in rows if row["split"] == split] for split in ("train", "dev", "test")}
x = {split: np.stack([vectors[row["id"]] for row in found]) for split, found in of.items()}
y = {split: [row["label"] for row in found] for split, found in of.items()}
scaler = StandardScaler().fit(x["train"])
start = time.perf_counter()
model = MLPClassifier((512, 512), batch_size=256, max_iter=20).fit(scaler.transform(x["train"]), y["train"])
print("fitting", time.perf_counter() - start)
for split in ("dev", "test"):
    print(split, f1_score(y[split], model.predict(scaler.transform(x[split])), average="macro"))
(folder / "theirs.pkl").write_bytes(pickle.dumps((scaler, model)))
"""


class TightLoop:
    """The same MLP, noise, batches, optimiser and schedule without Lightning."""

    def __init__(self, model: EmojiClassifier, data: EmojiDataModule, *, num_steps: int) -> None:
        corpus, device = data.corpus, model.device
        vectors = torch.from_numpy(corpus.embeddings)
        self.embeddings = {split: vectors[corpus.rows(split)].to(device) for split in ("train", "dev")}
        labels = torch.from_numpy(corpus.labels)
        self.labels = {split: labels[corpus.rows(split)].to(device) for split in ("train", "dev")}
        self.batch_size, self.noise, self.device = data.batch_size, model.input_noise, device
        self.standardizer = model.head.standardizer
        self.learner = Learner(768, 512, 11, dropout=model.hparams["dropout"]).to(device)
        self.loss = nn.CrossEntropyLoss()
        groups = parameter_groups(self.learner, lr=model.lr, weight_decay=model.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=model.lr, fused=True)
        self.schedule = warmup_and_half_cosine(self.optimizer, num_steps, model.warmup)

    def train(self) -> None:
        """Train an epoch."""
        self.learner.train()
        embeddings, labels = self.embeddings["train"], self.labels["train"]
        for batch in torch.split(torch.randperm(len(labels), device=self.device), self.batch_size):
            inputs = self.standardizer(embeddings[batch])
            inputs = inputs + self.noise * torch.randn_like(inputs)
            loss = self.loss(self.learner(inputs), labels[batch])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.schedule.step()

    @torch.inference_mode()
    def evaluate(self) -> None:
        """Compute macro-F1 on dev."""
        self.learner.eval()
        predicted = self.learner(self.standardizer(self.embeddings["dev"])).argmax(dim=1)
        f1_score(self.labels["dev"].cpu().numpy(), predicted.cpu().numpy(), average="macro")

    @torch.inference_mode()
    def multiply(self) -> None:
        """Do the matrix products of an epoch: outputs, gradients of weights, and of inputs behind the first layer."""
        linears, size = self.learner.linears, self.batch_size
        inputs = [torch.randn(size, linear.in_features, device=self.device) for linear in linears]
        outputs = [torch.randn(size, linear.out_features, device=self.device) for linear in linears]
        gradients = [torch.empty_like(linear.weight) for linear in linears]
        for _ in range(-(-len(self.labels["train"]) // size)):
            for place, linear in enumerate(linears):
                torch.mm(inputs[place], linear.weight.T, out=outputs[place])
                torch.mm(outputs[place].T, inputs[place], out=gradients[place])
                if place:
                    torch.mm(outputs[place], linear.weight, out=inputs[place])


class PairedEpochs(Callback):
    """Runs and times an epoch of the loop and one of the products before each epoch of `fit`, and times that."""

    def __init__(self) -> None:
        self.loop: TightLoop | None = None
        self.rows: list[tuple[float, float, float, float, float]] = []
        self.others = (0.0, 0.0, 0.0)
        self.start = self.trained = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the epoch of `fit` before, run the loop, start the clock."""
        self.close_epoch(pl_module)
        if self.loop is None:
            assert isinstance(pl_module, EmojiClassifier)
            steps = int(trainer.estimated_stepping_batches)
            self.loop = TightLoop(pl_module, trainer.datamodule, num_steps=steps)  # type: ignore[attr-defined]
        works = (self.loop.train, self.loop.evaluate, self.loop.multiply)
        dev, train, products = (timed(work, pl_module.device) for work in (works[1], works[0], works[2]))
        self.others = (train, dev, products)
        self.start = time.perf_counter()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the training clock."""
        finish(pl_module.device)
        self.trained = time.perf_counter() - self.start

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the last epoch."""
        self.close_epoch(pl_module)

    def close_epoch(self, model: pl.LightningModule) -> None:
        """Note an epoch: loop's training and evaluation, products, fit's training and whole epoch, in seconds."""
        finish(model.device)
        if self.start:
            self.rows.append((*self.others, self.trained, time.perf_counter() - self.start))


def finish(device: torch.device) -> None:
    """Wait for what a GPU still has to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(work: Callable[[], None], device: torch.device) -> float:
    """Return the duration of some work, in seconds."""
    finish(device)
    start = time.perf_counter()
    work()
    finish(device)
    return time.perf_counter() - start


class PairedCLI(EmojiCLI):
    """`fit` with the paired timer."""

    def fit(self, **options: Any) -> None:
        """Add the timer behind the other callbacks, then train."""
        self.paired = PairedEpochs()
        self.trainer.callbacks.append(self.paired)  # type: ignore[attr-defined]
        super().fit(**options)


def time_epochs(batch_size: int, epochs: int, accelerator: str) -> None:
    """Print medians of epochs and of their paired ratios."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["fit", "--trainer.default_root_dir", folder, "--trainer.max_epochs", str(epochs)]
        words += ["--data.batch_size", str(batch_size), "--trainer.accelerator", accelerator, "--trainer.devices", "1"]
        rows = PairedCLI(words, Path(folder)).paired.rows[1:]
    loop, loop_dev, products, fit, fit_whole = (statistics.median(column) for column in zip(*rows, strict=True))
    ratios = {
        "fit / loop": [row[3] / row[0] for row in rows],
        "fit / loop, with dev evaluation, fit's checkpoints too": [row[4] / (row[0] + row[1]) for row in rows],
        "fit / products": [row[3] / row[2] for row in rows],
    }
    print(f"\n{len(rows)} paired epochs, batch {batch_size}, {torch.get_num_threads()} threads, {accelerator}; medians")
    print(f"tight loop   training {loop:.3f} s, with dev evaluation {loop + loop_dev:.3f} s")
    print(f"products     {products:.3f} s")
    print(f"fit          training {fit:.3f} s, with dev evaluation and checkpoints {fit_whole:.3f} s")
    for name, values in ratios.items():
        print(f"{name}: {statistics.median(values):.3f}")


def write_demo(folder: Path) -> list[str]:
    """Write the demo corpus as a store and a manifest; return the options that name them."""
    corpus = demo_corpus()
    assert isinstance(corpus.embeddings, np.ndarray)
    names = list(corpus.label_set)
    columns = {"label": [names[label] for label in corpus.labels], "split": corpus.splits.tolist()}
    return write_store(folder, corpus.ids, corpus.embeddings, columns)


def time_whole(runs: int, batch_size: int | None) -> None:
    """Print the seconds of whole processes and their ratio."""
    ours, theirs, fitting = [], [], []
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        data = write_demo(folder)
        root = ["--trainer.default_root_dir", f"{work}/run"]
        batches = [] if batch_size is None else ["--data.batch_size", str(batch_size)]
        program = [str(Path(sys.executable).with_name("emoji-lightning"))]
        for _ in range(runs):
            start = time.perf_counter()
            quiet([*program, "fit", *root, *data, *batches])
            quiet([*program, "export", *root, "--output_dir", f"{work}/bundle"])
            ours.append(time.perf_counter() - start)
            start = time.perf_counter()
            answer = quiet([sys.executable, "-c", THEIR_SCRIPT, work])
            theirs.append(time.perf_counter() - start)
            fitting.append(float(answer.split()[1]))
            print(
                f"fit and export {ours[-1]:.1f} s; MLPClassifier {theirs[-1]:.1f} s, {fitting[-1]:.1f} s of it in fit"
            )
    ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    print(f"fit and export / script with MLPClassifier, median of {runs}: {ratio:.2f}")


def quiet(words: Sequence[str]) -> str:
    """Run a process; return what it printed."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    epoch = parts.add_parser("epoch")
    epoch.add_argument("--batch_size", type=int, default=256)
    epoch.add_argument("--epochs", type=int, default=15, help="the first is a warm-up and not counted")
    epoch.add_argument("--accelerator", choices=("cpu", "gpu"), default="cpu")
    whole = parts.add_parser("whole")
    whole.add_argument("--runs", type=int, default=3)
    whole.add_argument("--batch_size", type=int, help="of `fit`; by default its own, 64 there")
    options = parser.parse_args()
    if options.part == "epoch":
        time_epochs(options.batch_size, options.epochs, options.accelerator)
    else:
        time_whole(options.runs, options.batch_size)


if __name__ == "__main__":
    main()
