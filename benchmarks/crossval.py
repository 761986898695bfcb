"""Time `crossval` (5 folds x 5 seeds of the demo corpus) against as many `fit`s, one after another.

Both are whole processes as a user starts them, in one run on one machine: a fit before, between and after the stacked
one, so that what else the machine does falls on both sides. By default 3 fits are timed and their mean is scaled to 25;
`--fits 25` times all. Fits train on the corpus with a column `fold`, written once to a temporary folder, as does
`crossval`; both print their epochs, and fold and seed of the fits are spread over those of `crossval`.

On a machine that others use, too, the threads of one product wait for each other and a fit is slower with two than
with one: `--fit_threads 1` is then the fairer peer.

    python benchmarks/crossval.py [--fits 3] [--epochs 20] [--fit_threads 1] [--batch_size 256]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from made_store import write_store

from emoji_lightning.data.corpus import demo_corpus
from emoji_lightning.splits.folds import make_folds

FOLDS, SEEDS = 5, 5
TRAIN = str(Path(__file__).parents[1] / "train.py")


def write_demo(folder: Path) -> list[str]:
    """Write the demo corpus as a manifest with a column `fold` and a store; return the options that name it."""
    corpus = demo_corpus()
    assert isinstance(corpus.embeddings, np.ndarray)
    names, ids = list(corpus.label_set), list(corpus.ids)
    folds = make_folds(corpus.labels, ids, num_folds=FOLDS, label_names=names).fold
    labels = [names[label] for label in corpus.labels]
    return write_store(folder, ids, corpus.embeddings, {"label": labels, "fold": folds.tolist()})


def time_process(words: list[str], num_threads: int | None = None) -> float:
    """Return the seconds that a process of the program takes; with None it decides on its threads."""
    threads = {} if num_threads is None else {"OMP_NUM_THREADS": str(num_threads)}
    start = time.perf_counter()
    finished = subprocess.run(
        [sys.executable, TRAIN, *words], capture_output=True, text=True, check=False, env={**os.environ, **threads}
    )
    if finished.returncode:
        sys.exit(f"{words[0]} failed:\n{finished.stderr[-3000:]}")
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", type=int, default=3, help="how many fits are timed, from 1 to 25")
    parser.add_argument("--epochs", type=int, default=20, help="epochs at most")
    parser.add_argument("--fit_threads", type=int, help="threads of a fit; by default as many as PyTorch takes")
    parser.add_argument("--batch_size", type=int, help="of all heads; by default that of `fit`, 64 there")
    parser.add_argument("--accelerator", default="cpu", help="cpu or gpu")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        common = write_demo(folder)
        common += ["--trainer.max_epochs", str(options.epochs), "--trainer.accelerator", options.accelerator]
        if options.batch_size is not None:
            common += ["--data.batch_size", str(options.batch_size)]
        pairs = [(place % FOLDS, place // FOLDS) for place in range(FOLDS * SEEDS)]
        chosen = [pairs[place] for place in np.linspace(0, len(pairs) - 1, options.fits).astype(int)]
        fits: list[float] = []
        stacked = 0.0
        for number, (fold, seed) in enumerate(chosen):
            words = ["--data.fold", str(fold), "--seed_everything", str(seed)]
            words += ["--trainer.default_root_dir", str(folder / f"fit-{fold}-{seed}")]
            fits.append(time_process(["fit", *common, *words], options.fit_threads))
            print(f"fit, fold {fold}, seed {seed}: {fits[-1]:.1f} s", flush=True)
            if number == len(chosen) // 2 or len(chosen) == 1:
                words = ["--seeds", str(SEEDS), "--output_dir", str(folder / "crossval")]
                stacked = time_process(["crossval", *common, *words])
                print(f"crossval, {len(pairs)} heads: {stacked:.1f} s", flush=True)
        alone = float(np.mean(fits)) * len(pairs)
        how = "timed" if options.fits == len(pairs) else f"{options.fits} timed and scaled"
        print(f"{len(pairs)} fits ({how}): {alone:.1f} s; ratio {stacked / alone:.3f}")


if __name__ == "__main__":
    main()
