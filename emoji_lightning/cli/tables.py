"""What the terminal shows."""

from collections.abc import Mapping
from pathlib import Path

import lightning.pytorch as pl
from rich.console import Console
from rich.table import Table

from emoji_lightning.bundle.export import EvaluatedCorpus, Exported, best_reachable
from emoji_lightning.cli.run_folder import DEFAULT
from emoji_lightning.data.synthetic import BEST_ACCURACY
from emoji_lightning.evaluation.metrics import Metrics
from emoji_lightning.model.classifier import EmojiClassifier

FEW_STEPS = 300
"""Fewer optimiser steps than this leave the default recipe undertrained (EmoDB: 40 steps in 20 epochs of 256)."""


def print_metrics(metrics: Mapping[str, Metrics], corpus: EvaluatedCorpus) -> None:
    """Print accuracy and macro-F1 of splits, beside the best that the corpus allows where that is known."""
    known = corpus.best_labels is not None
    table = Table(title=corpus.name, caption=_best_caption() if known else None)
    for column in (
        "split",
        "utterances",
        "accuracy",
        "macro-F1",
        *(("best accuracy", "best macro-F1") if known else ()),
    ):
        table.add_column(column, justify="left" if column == "split" else "right")
    num_labels = len(next(iter(corpus.counts().values())))
    for split, numbers in metrics.items():
        cells = [split, str(numbers.num_utterances), f"{numbers.accuracy:.3f}", f"{numbers.macro_f1:.3f}"]
        best = best_reachable(corpus, split, num_labels=num_labels)
        table.add_row(*cells, *((f"{best.accuracy:.3f}", f"{best.macro_f1:.3f}") if best else ()))
    Console().print(table)


def print_absent_labels(corpus: EvaluatedCorpus) -> None:
    """Warn of labels that no training utterance has: macro-F1 counts each of them as 0."""
    absent = [label for label, count in corpus.counts()["train"].items() if not count]
    if absent:
        print(
            f"warning: {len(absent)} labels have no utterance in train: {' '.join(absent)}. They count as 0 in "
            "macro-F1; if they are not meant, give the labels that are: --data.labels"
        )


def print_start(model: EmojiClassifier) -> None:
    """Print what a fine-tuning took from the file that it started from."""
    if model.finetuning is None:
        return
    start = model.finetuning.start
    print(f"started from {start.file} ({start.sha256[:12]}): {model.head.architecture.describe()}")
    print("copied: all layers below the last")
    for what, labels in (("copied rows", start.copied), ("new rows", start.new), ("dropped", start.dropped)):
        print(f"{what}: {len(labels)}  {' '.join(labels)}".rstrip())
    if start.dropped:
        print("the new head does not know the dropped labels; to keep them, name all labels: --data.labels FILE")
    if not start.copied:
        print("warning: no label of the file is one of these; if they only differ in name, give --data.label_map")


def print_export(exported: Exported, corpus: EvaluatedCorpus) -> None:
    """Print the exported head's numbers, where it is, and what became of the other entries of its model file."""
    print_metrics(exported.metrics, corpus)
    if exported.like is not None:
        for what, names in (("carried over", exported.like.carried), ("left out", exported.like.left_out)):
            print(f"{what}: {', '.join(names) or '-'}")
    print(f"exported: {exported.file}")


def _best_caption() -> str:
    return (
        f"synthetic: no rule can exceed an accuracy of {BEST_ACCURACY:.3f} in expectation; "
        "best = the Bayes rule on these very utterances"
    )


def _best_file(trainer: pl.Trainer) -> str:
    file = Path(str(getattr(trainer.checkpoint_callback, "best_model_path", "")))
    return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)


def print_fit(trainer: pl.Trainer, folder: Path) -> None:
    """Print the best dev macro-F1 and what to do next."""
    score = getattr(trainer.checkpoint_callback, "best_model_score", None)
    if score is not None:
        print(f"best dev/macro_f1 {float(score):.4f}, {trainer.global_step} steps: {_best_file(trainer)}")
    if trainer.global_step < FEW_STEPS:
        print(f"only {trainer.global_step} steps were made; a small corpus wants configs/experiment/small.yaml")
    option = "" if str(folder) == DEFAULT else f" --trainer.default_root_dir {folder}"
    print(f"next: emoji-lightning test{option}; emoji-lightning export{option}")
    print(f"curves: tensorboard --logdir {folder}/tensorboard")
