"""Macro-F1 of the default recipe beside tuned classical models, on seven corpora, over seeds.

    python benchmarks/quality.py [--emodb FOLDER] [--seeds 5] [--corpora demo ...] [--peers all|best] [--output FILE]
    python benchmarks/quality.py --heads ablation [--seeds 2] ...

Each seed draws a corpus (of EmoDB: deals its speakers into five rounds) and seeds the training. The classical
models get standardised embeddings and train alone; of each the setting with the highest macro-F1 on dev is taken,
for labels of unequal size also whether they are weighted. Printed are mean macro-F1 on test and, for the best
classical model by dev, the difference of the default recipe to it with its 95 % interval over seeds (Student's t,
paired). Results are kept in FILE, line by line, and a later run goes on with what is missing. `--peers best` fits,
for all seeds but the first, only the model and setting that was best on dev of the first.
"""

import argparse
import contextlib
import io
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from made_store import write_store
from numpy.typing import NDArray
from quality_corpora import CORPORA, Corpus, Draws, Part, emodb
from scipy import stats
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from emoji_lightning.cli import main as emoji_lightning

HEADS: dict[str, list[str]] = {
    "default recipe": [],
    "no discriminant": ["--model.discriminant", "false"],
    "no input noise": ["--model.input_noise", "0"],
    "no MLP (0 epochs' worth)": ["--model.lr", "1e-12"],
    "best epoch by dev/macro_f1": ["--checkpoint.monitor", "dev/macro_f1"],
    "label smoothing 0.1": ["--model.label_smoothing", "0.1"],
    "input noise 0.5": ["--model.input_noise", "0.5"],
    "weight decay 10": ["--model.weight_decay", "10"],
    "batch 64 always": ["--data.batch_size", "64"],
    "batch 256 always": ["--data.batch_size", "256"],
    "60 epochs": ["--trainer.max_epochs", "60"],
    "recipe of 0.1": [
        *("--model.discriminant", "false", "--model.input_noise", "0", "--model.lr", "1e-4"),
        *("--model.weight_decay", "10", "--data.batch_size", "256"),
        *("--checkpoint.monitor", "dev/macro_f1", "--early_stopping.patience", "5"),
    ],
}


TUNED = ("C", "gamma", "class_weight", "shrinkage", "n_neighbors", "alpha", "learning_rate")


MODELS = ("logistic", "RBF SVM", "boosting", "LDA", "k-NN", "MLPClassifier")


class Setting(NamedTuple):
    """A classical model and its options."""

    model: str
    options: str
    make: Callable[[], Any]

    @classmethod
    def of(cls, model: str, kind: Callable[..., Any], **options: Any) -> "Setting":
        """Describe a model by what makes it; what is the same in all its settings is left out of the words."""
        told = {name: value for name, value in options.items() if name in TUNED}
        return cls(model, str(told), partial(kind, **options))


def classical(part: Part, seed: int) -> Iterator[Setting]:
    """Yield the models and settings that are tuned."""
    sizes = np.bincount(part.labels)
    for weight in (None, "balanced") if sizes.max() > 1.1 * sizes.min() else (None,):
        for c in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1):
            yield Setting.of("logistic", LogisticRegression, C=c, class_weight=weight, max_iter=300)
        for c in (1, 10):
            yield Setting.of("RBF SVM", SVC, C=c, gamma="scale", class_weight=weight)
        yield Setting.of(
            "boosting",
            HistGradientBoostingClassifier,
            learning_rate=0.1,
            max_iter=50,
            max_features=0.1,
            class_weight=weight,
        )
    for shrinkage in ("auto", 0.3, 0.6, 0.9, 1.0):
        priors = [1 / sizes.size] * sizes.size
        yield Setting.of("LDA", LinearDiscriminantAnalysis, solver="lsqr", shrinkage=shrinkage, priors=priors)
    for neighbours in (5, 20, 80):
        yield Setting.of("k-NN", KNeighborsClassifier, n_neighbors=neighbours)
    for alpha in (1e-2, 1.0, 10.0):
        options = {"hidden_layer_sizes": (512, 512), "early_stopping": True, "max_iter": 50, "random_state": seed}
        yield Setting.of("MLPClassifier", MLPClassifier, alpha=alpha, **options)


def standardise(corpus: Corpus) -> Corpus:
    """Return the corpus with the embeddings scaled as train asks."""
    train = corpus["train"].embeddings.astype(np.float64)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    scale = np.maximum(deviation, 1e-3 * np.median(deviation))
    return {
        split: Part(((part.embeddings - mean) / scale).astype(np.float32), part.labels)
        for split, part in corpus.items()
    }


def macro_f1(parts: Sequence[Part], predicted: Sequence[NDArray[np.int64]]) -> float:
    """Return macro-F1 of all rounds together."""
    labels = np.concatenate([part.labels for part in parts])
    return float(f1_score(labels, np.concatenate(predicted), average="macro", zero_division=0))


def judge(setting: Setting, rounds: Sequence[Corpus]) -> tuple[float, float]:
    """Return macro-F1 on dev and on test of a model."""
    answers: dict[str, list[NDArray[np.int64]]] = {"dev": [], "test": []}
    for corpus in rounds:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = setting.make().fit(*corpus["train"])
        for split, given in answers.items():
            given.append(model.predict(corpus[split].embeddings))
    dev, test = (macro_f1([corpus[split] for corpus in rounds], given) for split, given in answers.items())
    return dev, test


def train_head(corpus: Corpus, options: Sequence[str], folder: Path, seed: int) -> NDArray[np.int64]:
    """Train a head with the program's verbs and return its answers to test, in order."""
    splits = [split for split, part in corpus.items() for _ in part.labels]
    labels = [f"l{label:02}" for part in corpus.values() for label in part.labels]
    embeddings = np.concatenate([part.embeddings for part in corpus.values()])
    ids = [f"{row:06}" for row in range(len(labels))]
    data = write_store(folder, ids, embeddings, {"label": labels, "split": splits})
    root = ["--trainer.default_root_dir", f"{folder}/run", "--trainer.enable_progress_bar", "false"]
    with contextlib.redirect_stdout(io.StringIO()):
        emoji_lightning(["fit", *root, *data, "--trainer.logger", "false", "--seed_everything", str(seed), *options])
        emoji_lightning(["predict", *root, "--data.predict_split", "test"])
    table = pq.read_table(folder / "run" / "predictions.parquet").sort_by("id").to_pydict()
    return np.array([int(label[1:]) for label in table["predicted"]])


class Results:
    """Lines of a file: corpus, seed, model, setting, dev and test macro-F1, seconds."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in file.open()] if file.is_file() else []

    def has(self, **key: Any) -> bool:
        """Tell whether there is such a line."""
        return any(all(row[name] == value for name, value in key.items()) for row in self.rows)

    def add(self, **row: Any) -> None:
        """Append a line."""
        self.rows.append(row)
        with self.file.open("a") as opened:
            opened.write(json.dumps(row) + "\n")
        print(row, flush=True)

    def test(self, corpus: str, seed: int, model: str) -> float:
        """Return macro-F1 on test of a model's setting that was best on dev; NaN where there is none."""
        rows = [row for row in self.rows if (row["corpus"], row["seed"], row["model"]) == (corpus, seed, model)]
        return max(rows, key=lambda row: row["dev"])["test"] if rows else float("nan")

    def best_classical(self, corpus: str, seed: int) -> dict[str, Any] | None:
        """Return the line of the classical model that was best on dev."""
        rows = [row for row in self.rows if (row["corpus"], row["seed"]) == (corpus, seed) and row["setting"]]
        return max(rows, key=lambda row: row["dev"], default=None)


def run(
    name: str, draws: Draws, seed: int, heads: Sequence[str], results: Results, peers: str, models: Sequence[str]
) -> None:
    """Add what is missing of a corpus and a seed."""
    rounds = draws(seed)
    for head in heads:
        if not results.has(corpus=name, seed=seed, model=head):
            start = time.perf_counter()
            with tempfile.TemporaryDirectory() as work:
                folders = [Path(work) / str(number) for number in range(len(rounds))]
                answers = [
                    train_head(each, HEADS[head], folder, seed) for each, folder in zip(rounds, folders, strict=True)
                ]
            test = macro_f1([each["test"] for each in rounds], answers)
            seconds = round(time.perf_counter() - start, 1)
            results.add(corpus=name, seed=seed, model=head, setting="", dev=0.0, test=test, seconds=seconds)
    if peers == "none":
        return
    scaled = [standardise(corpus) for corpus in rounds]
    first = results.best_classical(name, 0) if peers == "best" and seed else None
    for setting in classical(rounds[0]["train"], seed):
        if setting.model not in models:
            continue
        same = first is None or (setting.model, setting.options) == (first["model"], first["setting"])
        if same and not results.has(corpus=name, seed=seed, model=setting.model, setting=setting.options):
            start = time.perf_counter()
            dev, test = judge(setting, scaled)
            results.add(
                corpus=name,
                seed=seed,
                model=setting.model,
                setting=setting.options,
                dev=dev,
                test=test,
                seconds=round(time.perf_counter() - start, 1),
            )


def describe(values: Sequence[float]) -> str:
    """Return mean and 95 % interval over seeds."""
    kept = [value for value in values if not np.isnan(value)]
    if len(kept) < 2:
        return f"{kept[0]:.4f}" if kept else "-"
    half = stats.t.ppf(0.975, len(kept) - 1) * np.std(kept, ddof=1) / len(kept) ** 0.5
    return f"{np.mean(kept):.4f} +- {half:.4f}"


def print_table(results: Results, corpora: Sequence[str], heads: Sequence[str], seeds: int) -> None:
    """Print a line for each corpus and model."""
    models = [*heads, *dict.fromkeys(row["model"] for row in results.rows if row["setting"])]
    for corpus in corpora:
        print(f"\n{corpus}")
        own = [results.test(corpus, seed, heads[0]) for seed in range(seeds)]
        for model in models:
            scores = [results.test(corpus, seed, model) for seed in range(seeds)]
            differences = [mine - theirs for mine, theirs in zip(own, scores, strict=True)]
            print(f"  {model:<28}{describe(scores):<20}  {heads[0]} less this: {describe(differences)}")
        best = [results.best_classical(corpus, seed) for seed in range(seeds)]
        differences = [mine - row["test"] for mine, row in zip(own, best, strict=True) if row is not None]
        names = {row["model"] for row in best if row is not None}
        print(
            f"  {heads[0]} less the best classical model by dev ({', '.join(sorted(names))}): {describe(differences)}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", nargs="+", choices=[*CORPORA, "EmoDB"], default=list(CORPORA))
    parser.add_argument("--emodb", type=Path, metavar="FOLDER", help="folder with manifest.csv: adds EmoDB")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--heads", choices=("default", "ablation"), default="default")
    parser.add_argument("--peers", choices=("all", "best", "none"), default="all")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS, help="classical models to fit")
    parser.add_argument("--output", type=Path, default=Path("runs/quality.jsonl"), metavar="FILE")
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    results = Results(options.output)
    heads = list(HEADS) if options.heads == "ablation" else ["default recipe"]
    with tempfile.TemporaryDirectory() as work:
        draws = {name: CORPORA[name] for name in options.corpora if name in CORPORA}
        if options.emodb is not None:
            draws["EmoDB"] = emodb(options.emodb, Path(work))
        for seed in range(options.seeds):
            for name, each in draws.items():
                run(name, each, seed, heads, results, options.peers, options.models)
    print_table(results, list(draws), heads, options.seeds)


if __name__ == "__main__":
    main()
