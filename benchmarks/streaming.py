"""Train on stores that grow beyond memory: peak resident memory, rate, and how good the shuffling is.

Synthetic embeddings (768-d, 11 labels) are drawn part by part and stored as `embed` and `embed --from-npy` do, with the
labels in random order or, the worst case, sorted by label. `fit` runs in a process of its own for each figure:

* "over the model" is its peak resident memory (VmHWM) less that of a `fit` on a store of 3,000 utterances;
* the rate is that of the steps behind a warm-up, by the clock and by the processor time of all threads (which
  neighbours on the machine hardly change); the in-memory rate comes from the smallest store, before and after each
  streamed run, and ratios are against the mean of the two, medians of several rounds; the peak is
  the highest of them;
* the shuffling is told by the order of labels in the batches of a store sorted by label, beside a full shuffle's.

    python benchmarks/streaming.py [--sizes 300000 3000000] [--folder DIR] [--steps 1500] [--rounds 3] [--verbs]
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from lightning.pytorch.callbacks import Callback

from emoji_lightning.cli.lightning import EmojiCLI
from emoji_lightning.data.datamodule import EmojiDataModule
from emoji_lightning.data.streaming import StreamedBatches
from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.labels import CARD_LABELS

DIM, NUM_LABELS, PART_ROWS, NUM_HELD_OUT = 768, len(CARD_LABELS), 4096, 10_000
TINY = 3_000
ALL_STREAMED = "0.5"
"""GiB of memory, of which a store of 300,000 takes 0.86: it is streamed then, too, with a pool of 128 MiB."""
WARM_UP = 50


def make_store(folder: Path, num_rows: int, *, is_sorted: bool) -> None:
    """Write a store and its manifest, in bounded memory."""
    rng = np.random.default_rng(0)
    labels = np.arange(num_rows) * NUM_LABELS // num_rows if is_sorted else rng.integers(NUM_LABELS, size=num_rows)
    means = rng.standard_normal((NUM_LABELS, DIM)).astype(np.float32) * 0.1
    store = EmbeddingStore.open_or_create(folder / "store", EmbeddingSpec(encoder="synthetic", dim=DIM))
    for start in range(0, num_rows, PART_ROWS):
        chosen = labels[start : start + PART_ROWS]
        vectors = rng.standard_normal((len(chosen), DIM), dtype=np.float32) + means[chosen]
        names = [f"utterance-{row:08d}" for row in range(start, start + len(chosen))]
        store.append(
            [f"{row:064x}" for row in range(start, start + len(chosen))], vectors, [1.0] * len(chosen), ids=names
        )
    held_out = min(NUM_HELD_OUT, num_rows // 10)
    splits = np.full(num_rows, "train", dtype="<U5")
    chosen = rng.permutation(num_rows)
    splits[chosen[:held_out]], splits[chosen[held_out : 2 * held_out]] = "dev", "test"
    table = {
        "id": pa.array([f"utterance-{row:08d}" for row in range(num_rows)]),
        "label": pa.array(np.array(CARD_LABELS)[labels]),
        "split": pa.array(splits),
    }
    pq.write_table(pa.table(table), folder / "manifest.parquet")


class Clock(Callback):
    """Times the steps of an epoch behind a warm-up."""

    def __init__(self) -> None:
        self.start = self.stop = self.cpu_start = self.cpu_stop = 0.0
        self.num_utterances = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the utterances of a step."""
        self.stop, self.cpu_stop = time.perf_counter(), time.process_time()
        if batch_idx < WARM_UP:
            self.start, self.cpu_start = self.stop, self.cpu_stop
        else:
            self.num_utterances += len(batch.label)


class TimedCLI(EmojiCLI):
    """A verb that notes its rate."""

    def fit(self, **options: Any) -> None:
        """Add the clock, then train."""
        self.clock = Clock()
        self.trainer.callbacks.append(self.clock)  # type: ignore[attr-defined]
        super().fit(**options)


def peak_bytes() -> int:
    """Return the peak resident memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def run_child(words: list[str], folder: str) -> None:
    """Run a verb in this process and print its figures in a line."""
    begun = time.perf_counter()
    clock = getattr(TimedCLI(words, Path(folder)), "clock", None) or Clock()
    figures = {
        "peak": peak_bytes(),
        "rate": clock.num_utterances / max(clock.stop - clock.start, 1e-9),
        "per_cpu_second": clock.num_utterances / max(clock.cpu_stop - clock.cpu_start, 1e-9),
        "seconds": time.perf_counter() - begun,
    }
    print("FIGURES " + json.dumps(figures))


def run(verb: str, corpus: Path, *words: str) -> dict[str, float]:
    """Run a verb on a corpus in a process of its own; return its figures."""
    run_folder = str(corpus / "run")
    given = [verb, "--trainer.default_root_dir", run_folder, *words]
    if verb == "fit":
        given += ["--data.manifest", str(corpus / "manifest.parquet"), "--data.store", str(corpus / "store")]
        given += ["--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false"]
    else:
        given += ["--config", str(corpus / "run" / "fit.yaml")]
    command = [sys.executable, __file__, "--child", json.dumps(given), run_folder]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    lines = [line for line in finished.stdout.splitlines() if line.startswith("FIGURES ")]
    if not lines:
        raise SystemExit(f"{given}: {finished.stdout[-2000:]}\n{finished.stderr[-4000:]}")
    figures: dict[str, float] = json.loads(lines[-1].removeprefix("FIGURES "))
    return figures


def describe_shuffle(corpus: Path, *, memory_gib: float) -> str:
    """Tell how an epoch's batches of a store sorted by label differ from those of a full shuffle."""
    data = EmojiDataModule(str(corpus / "manifest.parquet"), str(corpus / "store"), memory_gib=memory_gib)
    stream = data.train_dataloader().dataset
    assert isinstance(stream, StreamedBatches)
    places = np.empty(len(data.corpus.labels), dtype=np.int64)
    places[np.concatenate([rows for _, rows in stream.blocks])] = np.arange(stream.num_rows)
    rows = [batch.row.numpy() for batch in stream]
    order, blocks = np.concatenate(rows), [len(np.unique(places[each] // 512)) for each in rows[:-1]]
    shuffled = np.random.default_rng(0).permutation(order)
    figures = []
    for name, each in (("streamed", order), ("full shuffle", shuffled)):
        labels, place = data.corpus.labels[each], places[each]
        full = len(labels) // 256 * 256
        shares = np.stack([(labels[:full].reshape(-1, 256) == label).mean(axis=1) for label in range(NUM_LABELS)])
        neighbours = float(np.corrcoef(place[:-1], place[1:])[0, 1])
        figures.append(f"{name}: share of a label in a batch of 256 {shares.mean():.4f} +- {shares.std():.4f}, ")
        figures[-1] += f"correlation of the places of neighbours {neighbours:+.4f}"
    touched = f"a batch touches {np.mean(blocks):.0f} of {len(stream.blocks)} row groups"
    return "\n  ".join([*figures, touched])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[300_000, 3_000_000])
    parser.add_argument("--folder", help="where the stores are made, and kept; else in a temporary folder")
    parser.add_argument("--steps", type=int, default=1500, help="steps that are timed")
    parser.add_argument("--rounds", type=int, default=3, help="streamed runs of each size, one in memory around each")
    parser.add_argument("--verbs", action="store_true", help="also run test, predict and export on the largest store")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_child(json.loads(options.child[0]), options.child[1])
        return
    with tempfile.TemporaryDirectory() as temporary:
        measure(
            Path(options.folder or temporary),
            sorted(options.sizes),
            steps=options.steps,
            rounds=options.rounds,
            verbs=options.verbs,
        )


def prepare(root: Path, num_rows: int, *, is_sorted: bool = False) -> Path:
    """Return the folder of a corpus of this size, made if it is not there."""
    folder = root / f"{num_rows}{'-sorted' if is_sorted else ''}"
    if not (folder / "manifest.parquet").is_file():
        begun = time.perf_counter()
        folder.mkdir(parents=True, exist_ok=True)
        make_store(folder, num_rows, is_sorted=is_sorted)
        print(f"{num_rows} x {DIM} written in {time.perf_counter() - begun:.0f} s", flush=True)
    return folder


def compare(
    smallest: Path, corpus: Path, size: int, streamed: list[str], limit: list[str], tiny: float, rounds: int
) -> None:
    """Print how a streamed fit compares with those in memory before and after it: medians over rounds."""
    in_memory = [run("fit", smallest, *limit, "--data.memory_gib", "4")]
    found = []
    for _ in range(rounds):
        found.append(run("fit", corpus, *streamed))
        in_memory.append(run("fit", smallest, *limit, "--data.memory_gib", "4"))
    peak, seconds = max(each["peak"] for each in found), statistics.median(each["seconds"] for each in found)
    print(
        f"{size} streamed: peak {peak / 1e9:.2f} GB, {(peak - tiny) / 1e9:.2f} GB over the model; {seconds:.0f} s ",
        end="",
    )
    print(f"in all (in memory, {smallest.name}: peak {in_memory[0]['peak'] / 1e9:.2f} GB)")
    for name, unit in (("rate", "second"), ("per_cpu_second", "processor second")):
        beside = [(before[name] + after[name]) / 2 for before, after in itertools.pairwise(in_memory)]
        ratios = [each[name] / other for each, other in zip(found, beside, strict=True)]
        median = statistics.median(each[name] for each in found)
        print(f"  {median:.0f} utterances a {unit}, in memory {statistics.median(beside):.0f}: ratio ", end="")
        print(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f} in {rounds})", flush=True)


def measure(root: Path, sizes: list[int], *, steps: int, rounds: int, verbs: bool) -> None:
    """Run everything and print the figures."""
    limit = ["--trainer.limit_train_batches", str(steps + WARM_UP)]
    tiny = run("fit", prepare(root, TINY))["peak"]
    print(f"fit on {TINY} utterances: peak {tiny / 1e9:.2f} GB; {torch.get_num_threads()} threads", flush=True)
    smallest = prepare(root, sizes[0])
    for size in sizes:
        memory = ALL_STREAMED if size < 10**6 else "2"
        compare(smallest, prepare(root, size), size, [*limit, "--data.memory_gib", memory], limit, tiny, rounds)
    for verb in ("test", "predict", "export") if verbs else ():
        figures = run(verb, prepare(root, sizes[-1]))
        over = (figures["peak"] - tiny) / 1e9
        print(f"{sizes[-1]} {verb}: {over:.2f} GB over the model, {figures['seconds']:.0f} s", flush=True)
    print("  " + describe_shuffle(prepare(root, sizes[0], is_sorted=True), memory_gib=0.5), flush=True)


if __name__ == "__main__":
    main()
