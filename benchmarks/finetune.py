"""Fine-tuning beside training from scratch, the old head, and the naive way; all by the program's own verbs.

    python benchmarks/finetune.py labels [--corpus made|easy|hard|demo] [--utterances 50] [--seeds 10]
    python benchmarks/finetune.py domain [--seeds 10]
    python benchmarks/finetune.py labels --emodb FOLDER [--seeds 10]
    python benchmarks/finetune.py domain --emodb FOLDER [--seeds 10]

labels: two labels with some utterances each are added to a head trained on the others, whose data is not given.
domain: the labels stay, the voices change, and 200 utterances of the new ones are given.

Made corpora are synthetic: 11 labels in 768 dimensions, within-label variances that fall as k^-0.9 along random
directions (effective dimension 53), label means in the 60 leading ones, uneven scales and offsets of dimensions. Their
Bayes accuracy is about 0.87 (easy: 0.94, hard: 0.77); demo is the demo corpus's construction (0.70). In the new
domain the leading directions are rotated in pairs by 0.6 radians, scaled by exp(N(0, 0.25)), and shifted.
EmoDB is log-mel statistics of the manifest.csv in FOLDER: labels: two of its seven, test on one man and one woman;
domain: from the women to four men, of whom there are 157 to 178 utterances, test on the fifth man.

Macro-F1 of the old labels is that of their test utterances, with all labels allowed as answers. Intervals: 95 %, t over
seeds, paired for differences.
"""

import argparse
import contextlib
import io
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from made_store import write_store
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import f1_score, recall_score

from emoji_lightning.cli import main as emoji_lightning
from emoji_lightning.cli.configs import CONFIGS
from emoji_lightning.embedding.joining import join_embeddings
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.manifest import read_manifest

DIM, NUM_LABELS = 768, 11
SEPARATION = {"easy": 0.47, "made": 0.40, "hard": 0.33}
DEMO_NORM = 2.138118557887597
FINETUNE, SMALL = CONFIGS / "experiment" / "finetune.yaml", CONFIGS / "experiment" / "small.yaml"
Array = NDArray[np.float32]


@dataclass
class Part:
    """Embeddings (N, 768) and the N names of their labels."""

    embeddings: Array
    labels: Sequence[str]

    def of(self, chosen: Callable[[str], bool]) -> "Part":
        """Return the utterances whose labels are chosen."""
        rows = [row for row, label in enumerate(self.labels) if chosen(label)]
        return Part(self.embeddings[rows], [self.labels[row] for row in rows])

    def __add__(self, other: "Part") -> "Part":
        return Part(np.concatenate([self.embeddings, other.embeddings]), [*self.labels, *other.labels])


class Work:
    """A folder in which heads are trained by the program's verbs.

    Args:
        folder: An empty folder.
        seed: Seed of all trainings.
        recipe: Options of a training from scratch.
    """

    def __init__(self, folder: Path, seed: int, recipe: Sequence[object] = ()) -> None:
        self.folder, self.seed, self.recipe, self._num_runs = folder, seed, recipe, 0

    def train(self, labels: Sequence[str], train: Part, dev: Part, test: Part, *options: object) -> "Answers":
        """Train a head, by the recipe if no options are given, and return its answers to test."""
        self._num_runs += 1
        run = self.folder / str(self._num_runs)
        data = _write(run, {"train": train, "dev": dev, "test": test})
        root = ("--trainer.default_root_dir", run / "run", "--trainer.enable_progress_bar", "false")
        data += ["--data.labels", json.dumps(labels)]
        _run("fit", *(options or self.recipe), *data, *root, "--seed_everything", self.seed)
        _run("test", *root)
        _run("export", *root, "--output_dir", run / "bundle")
        table = pq.read_table(run / "run" / "predictions.test.parquet")
        return Answers(run, table["label"].to_pylist(), table["predicted"].to_pylist())


@dataclass
class Answers:
    """A head's answers to test; `run` holds run/ and bundle/."""

    run: Path
    truth: list[str]
    predicted: list[str]

    def macro_f1(self, labels: Sequence[str]) -> float:
        """Return macro-F1 over these labels, of utterances that have one of them."""
        pairs = [pair for pair in zip(self.truth, self.predicted, strict=True) if pair[0] in labels]
        truth, predicted = zip(*pairs, strict=True)
        return float(f1_score(truth, predicted, labels=list(labels), average="macro", zero_division=0))

    def recall(self, labels: Sequence[str]) -> float:
        """Return the mean recall of these labels."""
        return float(recall_score(self.truth, self.predicted, labels=list(labels), average="macro", zero_division=0))


def _write(folder: Path, parts: dict[str, Part]) -> list[str]:
    splits = [split for split, part in parts.items() for _ in part.labels]
    labels = [label for part in parts.values() for label in part.labels]
    embeddings = np.concatenate([part.embeddings for part in parts.values()])
    return write_store(folder, [str(row) for row in range(len(labels))], embeddings, {"label": labels, "split": splits})


def _run(*words: object) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        emoji_lightning([str(word) for word in words])


LABELS = [f"label{number}" for number in range(NUM_LABELS)]


def made_corpus(name: str, seed: int) -> Callable[..., Part]:
    """Return a function that draws a part with so many utterances of each label, of the old or the new domain."""
    rng = np.random.default_rng(seed)
    if name == "demo":
        basis, _ = np.linalg.qr(rng.standard_normal((DIM, NUM_LABELS)))
        means, spread, turn = DEMO_NORM * basis.T, np.ones(DIM), np.eye(DIM)
        scale, offset = np.ones(DIM), np.zeros(DIM)
    else:
        spread = np.asarray(np.arange(1, DIM + 1) ** -0.45, dtype=np.float64)
        turn, _ = np.linalg.qr(rng.standard_normal((DIM, DIM)))
        means = np.zeros((NUM_LABELS, DIM))
        means[:, :60] = SEPARATION[name] * spread[:60] * rng.standard_normal((NUM_LABELS, 60))
        scale = np.exp(0.7 * rng.standard_normal(DIM))
        offset = scale * rng.standard_normal(DIM)
    moved_by, shift = _new_domain(spread, rng), spread * rng.standard_normal(DIM)

    def draw(counts: dict[str, int], *, new_domain: bool = False) -> Part:
        labels = [label for label, count in counts.items() for _ in range(count)]
        ids = np.array([LABELS.index(label) for label in labels])
        points = means[ids] + spread * rng.standard_normal((len(ids), DIM))
        if new_domain:
            points = np.asarray(points @ moved_by.T + shift, dtype=np.float64)
        return Part(((points @ turn.T) * scale * 8 + offset).astype(np.float32), labels)

    return draw


def _new_domain(spread: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the matrix (768, 768) of the change of domain: rotation in pairs, then a scale per direction."""
    order, (cosine, sine) = rng.permutation(60), (math.cos(0.6), math.sin(0.6))
    rotation = np.eye(DIM)
    for one, other in zip(order[::2], order[1::2], strict=True):
        rotation[[one, one, other, other], [one, other, one, other]] = cosine, -sine, sine, cosine
    scales = np.exp(0.25 * rng.standard_normal(DIM))
    return np.asarray(scales[:, None] * (spread[:, None] * rotation / spread[None]))


@dataclass
class Speech:
    """EmoDB as log-mel statistics."""

    part: Part
    speakers: list[str]

    def by(self, speakers: Sequence[str]) -> Part:
        """Return the utterances of these speakers."""
        rows = [row for row, speaker in enumerate(self.speakers) if speaker in speakers]
        return Part(self.part.embeddings[rows], [self.part.labels[row] for row in rows])


def read_emodb(folder: Path, work: Path) -> Speech:
    """Embed EmoDB."""
    _run("embed", folder / "manifest.csv", "--store", work / "logmel", "--encoder", "logmel")
    manifest, embeddings = join_embeddings(read_manifest(folder / "manifest.csv"), EmbeddingStore.open(work / "logmel"))
    return Speech(Part(embeddings, manifest.column("label")), list(manifest.column("speaker")))


WOMEN, MEN = ("08", "09", "13", "14", "16"), ("03", "10", "11", "12", "15")


@dataclass
class LabelsTask:
    """Old labels, new ones, and the parts."""

    old: list[str]
    new: list[str]
    old_train: Part
    old_dev: Part
    new_train: Part
    new_dev: Part
    test: Part


def made_labels(name: str, seed: int, num_new: int) -> LabelsTask:
    """Draw 1,000 utterances of each of nine labels, and a few of each of the two new ones."""
    draw = made_corpus(name, seed)
    old, new = LABELS[:9], LABELS[9:]
    return LabelsTask(
        old,
        new,
        old_train=draw(dict.fromkeys(old, 1000)),
        old_dev=draw(dict.fromkeys(old, 50)),
        new_train=draw(dict.fromkeys(new, num_new)),
        new_dev=draw(dict.fromkeys(new, 10)),
        test=draw(dict.fromkeys(LABELS, 100)),
    )


def emodb_labels(speech: Speech, seed: int, num_new: int) -> LabelsTask:
    """Choose two new labels; test on one man and one woman, dev on another pair."""
    rng = np.random.default_rng(seed)
    test, dev = (speech.by((WOMEN[place % 5], MEN[place % 5])) for place in (seed, seed + 1))
    held_out = {WOMEN[place % 5] for place in (seed, seed + 1)} | {MEN[place % 5] for place in (seed, seed + 1)}
    train = speech.by(sorted(set(speech.speakers) - held_out))
    labels = sorted(set(speech.part.labels))
    while True:
        new = sorted(rng.choice(labels, 2, replace=False).tolist())
        if all(test.labels.count(label) >= 4 and dev.labels.count(label) for label in new):
            break
    old = [label for label in labels if label not in new]
    chosen = [_first(train.of(lambda label, name=name: label == name), num_new, rng) for name in new]  # type: ignore[misc]
    new_train, new_dev = chosen[0] + chosen[1], dev.of(lambda label: label in new)
    return LabelsTask(
        old, new, train.of(lambda label: label in old), dev.of(lambda label: label in old), new_train, new_dev, test
    )


def _first(part: Part, num: int, rng: np.random.Generator) -> Part:
    rows = rng.permutation(len(part.labels))[:num]
    return Part(part.embeddings[rows], [part.labels[row] for row in rows])


def add_labels(task: LabelsTask, work: Work, rehearse: Sequence[float]) -> dict[str, tuple[float, float, float]]:
    """Return (macro-F1 of old labels, recall of new ones, macro-F1 of all labels on all of test) of each way."""
    labels = [*task.old, *task.new]
    before = work.train(task.old, task.old_train, task.old_dev, task.test.of(lambda label: label in task.old))
    everything, all_dev = task.old_train + task.new_train, task.old_dev + task.new_dev
    renamed = _renamed(before.run / "bundle" / "best_classifier.pt", before.run / "renamed.pt")
    found = {
        "everything, from scratch": work.train(labels, everything, all_dev, task.test),
        "everything, from scratch, --data.balance weights": work.train(
            labels, everything, all_dev, task.test, *work.recipe, "--data.balance", "weights"
        ),
    }
    new = (labels, task.new_train, task.new_dev, task.test)
    free = ("--config", FINETUNE, "--model.l2_sp", "0", "--model.rehearse", "0", "--model.weight_decay", "10")
    found["naive: new last layer, all weights free"] = work.train(*new, *free, "--model.init_from", renamed)
    for weight in rehearse:
        for name, file in (("the exported head", "bundle"), ("best.ckpt", "run/checkpoints/best.ckpt")):
            options = ("--config", FINETUNE, "--model.init_from", before.run / file, "--model.rehearse", weight)
            found[f"finetune.yaml from {name}, rehearse {weight:g}"] = work.train(*new, *options)
    scores = {"old head (its own labels only)": (before.macro_f1(task.old), 0.0, 0.0)}
    return scores | {
        way: (each.macro_f1(task.old), each.recall(task.new), each.macro_f1(labels)) for way, each in found.items()
    }


def _renamed(file: Path, target: Path) -> Path:
    """Write a head under labels that nobody has: nothing of its last layer is copied then."""
    checkpoint = torch.load(file, weights_only=True)
    labels = [f"gone {label}" for label in checkpoint["label2id"]]
    torch.save({"model_state_dict": checkpoint["model_state_dict"], "labels": labels}, target)
    return target


@dataclass
class DomainTask:
    """The parts of a change of domain."""

    labels: list[str]
    old_train: Part
    old_dev: Part
    train: Part
    dev: Part
    test: Part


def made_domain(name: str, seed: int) -> DomainTask:
    """Draw 1,000 utterances of each label of the old domain, 200 of the new one."""
    draw = made_corpus(name, 100 + seed)
    counts = {label: 18 + (place < 2) for place, label in enumerate(LABELS)}
    return DomainTask(
        LABELS,
        old_train=draw(dict.fromkeys(LABELS, 1000)),
        old_dev=draw(dict.fromkeys(LABELS, 50)),
        train=draw(counts, new_domain=True),
        dev=draw(dict.fromkeys(LABELS, 3), new_domain=True),
        test=draw(dict.fromkeys(LABELS, 100), new_domain=True),
    )


def emodb_domain(speech: Speech, seed: int) -> DomainTask:
    """Train on four women, dev on the fifth; 157 to 178 utterances of four men, test on the fifth man."""
    rng = np.random.default_rng(seed)
    dev_woman, test_man = WOMEN[seed % 5], MEN[seed % 5]
    men = _first(speech.by([man for man in MEN if man != test_man]), 220, rng)  # four of them have 177 or more
    train, dev = (Part(men.embeddings[rows], men.labels[rows]) for rows in (slice(-20), slice(-20, None)))
    women = [woman for woman in WOMEN if woman != dev_woman]
    labels = sorted(set(speech.part.labels))
    return DomainTask(labels, speech.by(women), speech.by([dev_woman]), train, dev, speech.by([test_man]))


def change_domain(task: DomainTask, work: Work, rehearse: Sequence[float]) -> dict[str, tuple[float, ...]]:
    """Return (macro-F1,) on test of the new domain of each way."""
    labels = task.labels
    old = work.train(labels, task.old_train, task.old_dev, task.test)
    scratch = ("--config", SMALL)
    found = {
        "old head": old,
        "200, from scratch (small.yaml)": work.train(labels, task.train, task.dev, task.test, *scratch),
    }
    for weight in rehearse:
        for name, file in (("the exported head", "bundle"), ("best.ckpt", "run/checkpoints/best.ckpt")):
            options = ("--config", FINETUNE, "--model.init_from", old.run / file, "--model.rehearse", weight)
            way = f"finetune.yaml from {name}, rehearse {weight:g}"
            found[way] = work.train(labels, task.train, task.dev, task.test, *options)
    present = [label for label in labels if label in set(task.test.labels)]
    return {way: (answers.macro_f1(present),) for way, answers in found.items()}


def interval(values: Sequence[float]) -> str:
    """Return mean and half-width of the 95 % interval over seeds, in points."""
    points = 100 * np.asarray(values)
    half = stats.t.ppf(0.975, len(points) - 1) * points.std(ddof=1) / math.sqrt(len(points)) if len(points) > 1 else 0
    return f"{points.mean():6.1f} +- {half:4.1f}"


def report_labels(scores: dict[str, list[tuple[float, ...]]]) -> None:
    before = [row[0] for row in next(iter(scores.values()))]
    reference = [row[1] for row in scores["everything, from scratch, --data.balance weights"]]
    print(f"{'':52} old macro-F1    change          new recall      - 0.9 x balanced  macro-F1 of all")
    for way, rows in scores.items():
        old, new, everything = zip(*rows, strict=True)
        change = [after - first for after, first in zip(old, before, strict=True)]
        over = [each - 0.9 * first for each, first in zip(new, reference, strict=True)]
        cells = [old] if way.startswith("old head") else [old, change, new, over, everything]
        print(f"{way:52}", "  ".join(map(interval, cells)))


def report_domain(scores: dict[str, list[tuple[float, ...]]]) -> None:
    columns = {way: [row[0] for row in rows] for way, rows in scores.items()}
    old, scratch = list(columns)[:2]
    print(f"{'':52} macro-F1        - old head      - from scratch")
    for way, values in columns.items():
        paired = [[a - b for a, b in zip(values, columns[other], strict=True)] for other in (old, scratch)]
        print(f"{way:52}", "  ".join(map(interval, [values, *paired])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["labels", "domain"])
    parser.add_argument("--corpus", choices=[*SEPARATION, "demo"], default="made")
    parser.add_argument("--emodb", type=Path, metavar="FOLDER")
    parser.add_argument("--utterances", type=int, default=50, help="of each new label")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--rehearse", type=float, nargs="+", default=[1.0])
    options = parser.parse_args()
    scores: dict[str, list[tuple[float, ...]]] = {}
    with tempfile.TemporaryDirectory() as root:
        speech = None if options.emodb is None else read_emodb(options.emodb, Path(root))
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            work = Work(Path(root) / str(seed), seed, () if speech is None else ("--config", SMALL))
            found: dict[str, tuple[float, ...]]
            if options.task == "labels":
                chosen = (seed, options.utterances)
                labels_task = made_labels(options.corpus, *chosen) if speech is None else emodb_labels(speech, *chosen)
                found = dict(add_labels(labels_task, work, options.rehearse))
            else:
                domain_task = made_domain(options.corpus, seed) if speech is None else emodb_domain(speech, seed)
                found = change_domain(domain_task, work, options.rehearse)
            for way, row in found.items():
                scores.setdefault(way, []).append(row)
            shutil.rmtree(work.folder)
    corpus = f"{options.corpus} corpus (synthetic)" if speech is None else "EmoDB, log-mel statistics"
    print(f"{options.task}: {corpus}, {options.seeds} seeds, points of macro-F1 and recall")
    (report_labels if options.task == "labels" else report_domain)(scores)


if __name__ == "__main__":
    main()
