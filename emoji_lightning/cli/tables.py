"""What the terminal shows."""

import sys
from collections.abc import Mapping
from pathlib import Path

import lightning.pytorch as pl
from rich.console import Console
from rich.table import Table

from emoji_lightning.bundle.export import EvaluatedCorpus, Exported, best_reachable
from emoji_lightning.cli.evaluated_run import Abstention, EvaluatedSplit
from emoji_lightning.cli.run_folder import DEFAULT
from emoji_lightning.data.corpus import Corpus
from emoji_lightning.data.synthetic import BEST_ACCURACY
from emoji_lightning.embedding.stored import StoredEmbeddings
from emoji_lightning.evaluation.calibration import Calibration
from emoji_lightning.evaluation.evaluation import Evaluation
from emoji_lightning.evaluation.resampling import FEW_GROUPS, Number
from emoji_lightning.model.classifier import EmojiClassifier


def print_metrics(metrics: Mapping[str, Evaluation], corpus: EvaluatedCorpus) -> None:
    """Print accuracy and macro-F1 of splits, their intervals below, beside the best that the corpus allows if known."""
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
    for split, evaluation in metrics.items():
        numbers = (evaluation.numbers[name] for name in ("accuracy", "macro_f1"))
        cells = [f"{number.value:.3f}\n{_interval(number).replace(' - ', '–')}".rstrip() for number in numbers]
        best = best_reachable(corpus, split, num_labels=len(evaluation.names))
        reachable = (f"{best.accuracy:.3f}", f"{best.macro_f1:.3f}") if best else ()
        table.add_row(split, str(evaluation.num_utterances), *cells, *reachable)
    Console().print(table)


SHOWN_NUMBERS = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy (UAR)",
    "top3_accuracy": "top-3 accuracy",
    "nll": "neg. log-likelihood",
    "ece": "calibration error (ECE)",
}


def print_evaluation(evaluated: EvaluatedSplit, corpus: EvaluatedCorpus) -> None:
    """Print the numbers of a split with their intervals beside chance, majority and the best that is reachable."""
    evaluation, split = evaluated.evaluation, evaluated.split
    best = best_reachable(corpus, split, num_labels=len(evaluation.names))
    beside = dict(evaluation.baselines) | ({"best": best.to_dict()} if best else {})
    table = Table(
        title=f"{corpus.name}, {split}: {evaluation.num_utterances} utterances",
        caption=_best_caption() if best else None,
    )
    for column in ("", split, f"{evaluation.resampling.level:.0%} interval", *beside):
        table.add_column(column, justify="right" if column else "left")
    for name, title in SHOWN_NUMBERS.items():
        number = evaluation.numbers[name]
        others = (f"{row[name]:.3f}" if name in row else "" for row in beside.values())
        table.add_row(title, f"{number.value:.3f}", _interval(number), *others)
    Console().print(table)
    grouped = evaluation.group_name != "utterance"
    over = f"{evaluation.num_groups} values of {evaluation.group_name}" if grouped else "utterances"
    print(f"intervals: bootstrap over {over}")
    if evaluation.has_few_groups:
        print(f"warning: intervals over {evaluation.num_groups} groups are too narrow; {FEW_GROUPS} or more hold")
    if evaluated.calibration is not None:
        _print_calibration(evaluated.calibration, split)
    if evaluated.abstention is not None:
        _print_abstention(evaluated.abstention, split)


def _interval(number: Number) -> str:
    return "" if number.low is None or number.high is None else f"{number.low:.3f} - {number.high:.3f}"


def _print_calibration(calibration: Calibration, split: str) -> None:
    before, after = calibration.before, calibration.after
    itself = ", on the utterances that it was fitted on" if split == calibration.fitted_on else ""
    print(f"temperature {calibration.temperature:.3f} (fitted on {calibration.fitted_on}){itself}:")
    print(f"  calibration error {before['ece']:.3f} -> {after['ece']:.3f}")
    print(f"  negative log-likelihood {before['nll']:.3f} -> {after['nll']:.3f}")


def _print_abstention(abstention: Abstention, split: str) -> None:
    wanted = f"precision {abstention.min_precision:g}"
    if abstention.dev is None or abstention.here is None:
        print(f"{wanted}: reached at no confidence on dev")
        return
    shown = {"dev": abstention.dev, split: abstention.here}
    figures = (
        f"{each.coverage:.1%} of {name} with precision {each.precision:.3f}" if each.coverage else f"nothing of {name}"
        for name, each in shown.items()
    )
    print(f"{wanted}: answer from probability {abstention.dev.threshold:.3f} up (found on dev):")
    print(*(f"  {each}" for each in figures), sep="\n")


def print_absent_labels(corpus: EvaluatedCorpus, model: EmojiClassifier) -> None:
    """Warn of labels that no training utterance has and that the head does not bring: macro-F1 counts each as 0."""
    brought = () if model.finetuning is None else model.finetuning.start.copied
    absent = [label for label, count in corpus.counts()["train"].items() if not count and label not in brought]
    if absent:
        print(
            f"warning: {len(absent)} labels have no utterance in train: {' '.join(absent)}. They count as 0 in "
            "macro-F1; if they are not meant, give the labels that are: --data.labels"
        )


def print_streaming(corpus: Corpus) -> None:
    """Say that embeddings are read from the store while training, if they are."""
    if isinstance(corpus.embeddings, StoredEmbeddings):
        size = corpus.embeddings.num_bytes / 2**30
        print(f"{corpus.embeddings.shape[0]} embeddings ({size:.1f} GiB) are more than --data.memory_gib: they stay in")
        print(f"{corpus.embeddings.store.path} and are read in random order while training")


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
    """Print dev macro-F1 of the epoch that is kept, and what to do next."""
    kept = getattr(trainer.checkpoint_callback, "best_model_score", None)
    score = trainer.callback_metrics.get("dev/macro_f1") if kept is None else kept
    if score is not None:
        which = "last" if kept is None else "best"
        print(f"{which} dev/macro_f1 {float(score):.4f}, {trainer.global_step} steps: {_best_file(trainer)}")
    option = "" if str(folder) == DEFAULT else f" --trainer.default_root_dir {folder}"
    print(f"next: emoji-lightning test{option}; emoji-lightning export{option}")
    print(f"curves: tensorboard --logdir {folder}/tensorboard")


def print_stopped(signal_name: str, trainer: pl.Trainer, folder: Path) -> None:
    """Print to the error output where a signal stopped a run, what was written, and how to go on."""
    done, total = trainer.fit_loop.batch_idx + 1, trainer.num_training_batches
    place = f"behind batch {done} of {total} of epoch {trainer.current_epoch}, step {trainer.global_step}"
    print(f"\nstopped by {signal_name} {place}; {folder}/checkpoints/last.ckpt holds this very step", file=sys.stderr)
    option = "" if str(folder) == DEFAULT else f" --trainer.default_root_dir {folder}"
    print(f"go on with: emoji-lightning fit{option} --ckpt_path last", file=sys.stderr)
