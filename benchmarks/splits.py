"""How long `split` takes for a large corpus, and how well its folds are balanced beside scikit-learn's.

    python benchmarks/splits.py                    # 1,000,000 utterances in 100,000 groups
    python benchmarks/splits.py --num_rows 100000 --num_groups 10000

Each command runs in a process of its own, from the start of the program to the written manifest; peak memory is that
process's. scikit-learn's StratifiedGroupKFold gets the labels and groups as arrays, nothing to read or write.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

NUM_LABELS = 11
REPEATS = 3
SPLIT = ("--dev", "0.05", "--test", "0.05", "--group", "speaker")
FOLDS = ("--folds", "5", "--group", "speaker")
# Prints the seconds and the peak memory in MB of a command of this program.
MEASURE = """
import resource, sys, time
from emoji_lightning.cli.main import main
start = time.perf_counter()
main(sys.argv[1:])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print("measured", time.perf_counter() - start, peak, file=sys.stderr)
"""


def draw_corpus(num_rows: int, num_groups: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return labels and groups (N,) of a synthetic corpus: groups of uneven size, each with its own taste in labels."""
    rng = np.random.default_rng(0)
    groups = rng.choice(num_groups, num_rows, p=rng.dirichlet(np.ones(num_groups)))
    tastes = rng.dirichlet(np.full(NUM_LABELS, 2.0), num_groups).cumsum(axis=1)
    labels = (rng.random(num_rows)[:, None] > tastes[groups]).sum(axis=1)
    return np.minimum(labels, NUM_LABELS - 1), groups


def write_manifest(path: Path, labels: NDArray[np.int64], groups: NDArray[np.int64]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("id,audio,label,speaker,text\n")
        for row, (label, group) in enumerate(zip(labels.tolist(), groups.tolist(), strict=True)):
            file.write(f"u{row:07d},audio/{row % 1000:03d}/u{row:07d}.wav,label{label},s{group},This is text {row}.\n")


def run(*words: str) -> tuple[float, float]:
    """Return the seconds and the peak memory (MB) of a command."""
    finished = subprocess.run([sys.executable, "-c", MEASURE, *words], capture_output=True, text=True, check=True)
    _, seconds, peak = finished.stderr.splitlines()[-1].split()
    return float(seconds), float(peak)


def report(name: str, *words: str, anew: bool = False) -> None:
    """Print the figures of a command; `anew` removes its output first: a split that is replaced is read, too."""
    runs = []
    for _ in range(REPEATS):
        for file in Path(words[words.index("--output") + 1]).parent.glob("*") if anew else ():
            file.unlink()
        runs.append(run(*words))
    seconds = [each for each, _ in runs]
    print(
        f"{name}: median {median(seconds):.1f} s ({min(seconds):.1f}-{max(seconds):.1f} of {REPEATS}), "
        f"peak {max(peak for _, peak in runs) / 1000:.2f} GB"
    )


def imbalance(labels: NDArray[np.int64], folds: NDArray[np.int64], num_folds: int) -> float:
    """Return Pearson's chi-square of labels against folds of equal shares."""
    counts = np.stack([np.bincount(labels[folds == fold], minlength=NUM_LABELS) for fold in range(num_folds)])
    wanted = counts.sum(axis=0) / num_folds
    return float(((counts - wanted) ** 2 / wanted).sum())


def compare_folds(labels: NDArray[np.int64], groups: NDArray[np.int64], num_folds: int = 5) -> None:
    from sklearn.model_selection import StratifiedGroupKFold

    from emoji_lightning.splits.folds import make_folds
    from emoji_lightning.splits.grouping import group_rows

    ids, names = [f"u{row}" for row in range(len(labels))], [f"label{label}" for label in range(NUM_LABELS)]
    start = time.perf_counter()
    grouped = group_rows({"speaker": [f"s{group}" for group in groups.tolist()]})
    ours = make_folds(labels, ids, num_folds=num_folds, label_names=names, groups=grouped).fold
    middle = time.perf_counter()
    theirs = np.empty(len(labels), dtype=np.int64)
    for fold, (_, rows) in enumerate(StratifiedGroupKFold(num_folds).split(labels, labels, groups)):
        theirs[rows] = fold
    end = time.perf_counter()
    print(
        f"{num_folds} folds in memory: ours {middle - start:.1f} s, StratifiedGroupKFold {end - middle:.1f} s; "
        f"chi-square {imbalance(labels, ours, num_folds):.3g}, {imbalance(labels, theirs, num_folds):.3g} (0: perfect)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_rows", type=int, default=1_000_000)
    parser.add_argument("--num_groups", type=int, default=100_000)
    options = parser.parse_args()
    labels, groups = draw_corpus(options.num_rows, options.num_groups)
    print(
        f"{len(labels):,} utterances, {len(np.unique(groups)):,} groups, {NUM_LABELS} labels, CSV; audio is not there"
    )
    with tempfile.TemporaryDirectory() as folder:
        manifest, output = str(Path(folder) / "m.csv"), str(Path(folder) / "out" / "s.csv")
        write_manifest(Path(manifest), labels, groups)
        report("split --dev 0.05 --test 0.05 --group speaker", "split", manifest, "--output", output, *SPLIT, anew=True)
        report("the same over the earlier output", "split", manifest, "--output", output, *SPLIT)
        report("the same with --update", "split", manifest, "--output", output, "--update")
        report("split --check", "split", "--check", output)
        report("split --folds 5 --group speaker", "split", manifest, "--output", output, *FOLDS, anew=True)
    compare_folds(labels, groups)


if __name__ == "__main__":
    main()
