"""Macro-F1 of the head beside scikit-learn's logistic regression on the same embeddings.

    python benchmarks/quality.py demo [--seeds 3]
    python benchmarks/quality.py emodb FOLDER [--seeds 2]

demo: the synthetic demo corpus, default recipe, test split; LogisticRegression(C=1e-4) and the Bayes rule beside it.
emodb: log-mel statistics of the manifest.csv in FOLDER, 5 speaker-independent folds (GroupKFold over the column
speaker), recipe configs/experiment/small.yaml. The head gives up two training speakers as dev in each fold; logistic
regression (standardised input) trains on all of them.
"""

import argparse
import contextlib
import io
import json
import statistics
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emoji_lightning.cli import main as emoji_lightning
from emoji_lightning.cli.configs import CONFIGS
from emoji_lightning.data.corpus import demo_corpus
from emoji_lightning.embedding.joining import join_embeddings
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.manifest import Manifest, read_manifest


def run(*words: object) -> None:
    """Run a verb as a user types it, without its output."""
    with contextlib.redirect_stdout(io.StringIO()):
        emoji_lightning([str(word) for word in words])


def macro_f1(labels: object, predicted: object) -> float:
    """Return macro-F1 as scikit-learn defines it."""
    return float(f1_score(labels, predicted, average="macro"))


def demo(seeds: int) -> None:
    corpus = demo_corpus()
    train, test = corpus.rows("train"), corpus.rows("test")
    logistic = LogisticRegression(C=1e-4, max_iter=500).fit(corpus.embeddings[train], corpus.labels[train])
    assert corpus.best_labels is not None
    scores = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            root = ("--trainer.default_root_dir", folder, "--trainer.enable_progress_bar", "false")
            run("fit", *root, "--seed_everything", seed)
            run("test", *root)
            scores.append(json.loads((Path(folder) / "metrics.json").read_text())["test"]["macro_f1"])
    print("synthetic demo corpus, macro-F1 on its 1,000 test utterances")
    print(f"Bayes rule (0.700 in expectation)   {macro_f1(corpus.labels[test], corpus.best_labels[test]):.4f}")
    predicted = logistic.predict(corpus.embeddings[test])
    print(f"LogisticRegression(C=1e-4)          {macro_f1(corpus.labels[test], predicted):.4f}")
    print(f"default recipe, median of {seeds} seeds    {statistics.median(scores):.4f}  {np.round(scores, 4).tolist()}")


def emodb(folder: Path, seeds: int) -> None:
    with tempfile.TemporaryDirectory() as work:
        store = Path(work) / "store"
        run("embed", folder / "manifest.csv", "--store", store, "--encoder", "logmel")
        manifest, embeddings = join_embeddings(read_manifest(folder / "manifest.csv"), EmbeddingStore.open(store))
        labels, speakers = np.array(manifest.column("label")), np.array(manifest.column("speaker"))
        folds = list(GroupKFold(5).split(embeddings, labels, speakers))
        print(
            f"EmoDB, {len(labels)} utterances, log-mel statistics, 5 speaker-independent folds, macro-F1 of all folds"
        )
        for inverse_penalty in (1.0, 0.1, 0.01):
            predicted = labels.copy()
            for train, test in folds:
                model = make_pipeline(StandardScaler(), LogisticRegression(C=inverse_penalty, max_iter=3000))
                predicted[test] = model.fit(embeddings[train], labels[train]).predict(embeddings[test])
            print(f"LogisticRegression(C={inverse_penalty:<4g})  {macro_f1(labels, predicted):.4f}")
        scores = [head_score(manifest, labels, speakers, folds, Path(work), seed=seed) for seed in range(seeds)]
    print(f"head, median of {seeds} seeds     {statistics.median(scores):.4f}  {np.round(scores, 4).tolist()}")


def head_score(
    manifest: Manifest,
    labels: NDArray[np.str_],
    speakers: NDArray[np.str_],
    folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
    work: Path,
    *,
    seed: int,
) -> float:
    """Train and predict each fold with the program's verbs; return macro-F1 over all utterances."""
    predicted = dict.fromkeys(manifest.ids, "")
    for number, (train, test) in enumerate(folds):
        splits = np.full(len(labels), "train", dtype="<U5")
        splits[test] = "test"
        splits[np.isin(speakers, np.unique(speakers[train])[:2])] = "dev"
        split_file, root = work / f"fold{number}.csv", work / f"run-{seed}-{number}"
        manifest.with_column("split", splits.tolist()).write(split_file)
        common = ("--trainer.default_root_dir", root, "--trainer.enable_progress_bar", "false")
        data = ("--data.manifest", split_file, "--data.store", work / "store")
        run("fit", "--config", CONFIGS / "experiment" / "small.yaml", *data, *common, "--seed_everything", seed)
        run("test", *common)
        table = pq.read_table(root / "predictions.test.parquet").to_pydict()
        predicted |= dict(zip(table["id"], table["predicted"], strict=True))
    return macro_f1(labels, [predicted[name] for name in manifest.ids])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    corpora = parser.add_subparsers(dest="corpus", required=True)
    corpora.add_parser("demo").add_argument("--seeds", type=int, default=3)
    emodb_parser = corpora.add_parser("emodb")
    emodb_parser.add_argument("folder", type=Path, metavar="FOLDER")
    emodb_parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    if options.corpus == "demo":
        demo(options.seeds)
    else:
        emodb(options.folder, options.seeds)


if __name__ == "__main__":
    main()
