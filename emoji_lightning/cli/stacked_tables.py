"""What the terminal shows of many heads."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from emoji_lightning.evaluation.resampling import FEW_GROUPS
from emoji_lightning.stacking.crossval import Crossval
from emoji_lightning.stacking.head_run import HeadRun
from emoji_lightning.stacking.result import CHOSEN, PREDICTIONS, RESULT, SUSPICIOUS, describe_seeds
from emoji_lightning.stacking.sweep import Asked

if TYPE_CHECKING:
    import optuna

NUM_SHOWN = 10


def print_head(run: HeadRun) -> None:
    """Print a line when a head has ended."""
    monitor, numbers = run.recipe.monitor, run.numbers
    found = f"dev/macro_f1 {numbers['dev/macro_f1']:.4f}"
    if monitor is not None:
        found = f"best {monitor} {numbers[monitor]:.4f} in epoch {run.best_epoch + 1}"
    where = f"setting {run.spec.setting}, " if run.spec.setting else ""
    print(f"{where}fold {run.spec.fold}, seed {run.spec.seed}: {len(run.history)} epochs, {found}")


def print_crossval(found: Crossval, folder: Path, num_suspicious: int) -> None:
    """Print each fold, one head over all folds, and the mean of the seeds' heads with its intervals."""
    num_seeds = len(found.probabilities)
    table = Table(title=f"{found.corpus.name}: {len(found.folding.known)} folds x {num_seeds} seeds")
    for column in ("fold", "utterances", "accuracy", "macro-F1", "epochs"):
        table.add_column(column, justify="left" if column == "fold" else "right")
    for fold in found.folding.known:
        heads = [head for head in found.heads if head.fold == fold]
        spread = (_spread([getattr(head.test, name) for head in heads]) for name in ("accuracy", "macro_f1"))
        epochs = np.mean([head.best_epoch + 1 for head in heads])
        table.add_row(str(fold), str(heads[0].test.num_utterances), *spread, f"{epochs:.1f}")
    table.add_section()
    seeds = describe_seeds(found)
    alone = (f"{each['mean']:.3f} ± {each['deviation']:.3f}" for each in seeds.values())
    table.add_row("one head", str(len(found.rows)), *alone, "")
    evaluation = found.evaluation
    numbers = [evaluation.numbers[name] for name in ("accuracy", "macro_f1")]
    ends = ("" if each.low is None else f"\n{each.low:.3f}–{each.high:.3f}" for each in numbers)
    cells = (f"{each.value:.3f}{end}" for each, end in zip(numbers, ends, strict=True))
    table.add_row(f"mean of {num_seeds}", str(len(found.rows)), *cells, "")
    Console().print(table)
    over = f"{evaluation.num_groups} values of {evaluation.group_name}" if found.folding.groups else "utterances"
    print(f"± is the standard deviation over seeds; intervals of 95 %: bootstrap over {over}")
    if evaluation.has_few_groups:
        print(f"warning: intervals over {evaluation.num_groups} groups are too narrow; {FEW_GROUPS} or more hold")
    print(f"folds: {found.folding.source}\nresult: {folder / RESULT}\npredictions: {folder / PREDICTIONS}")
    print(f"{num_suspicious} labels are suspicious: {folder / SUSPICIOUS}")
    print(f"to train one head like these: emoji-lightning fit --config {folder / CHOSEN}")


def print_sweep(study: "optuna.Study", asked: Asked, folder: Path) -> None:
    """Print the best settings of a study, and how to train one head with the first."""
    finished = sorted(
        (trial for trial in study.trials if trial.value is not None), key=lambda trial: trial.value or 0.0
    )
    best = finished[::-1] if asked.mode == "max" else finished
    table = Table(title=f"{len(finished)} settings, the best {min(NUM_SHOWN, len(best))}")
    for column in ("trial", asked.monitor, *(each.name for each in asked.space)):
        table.add_column(column, justify="right")
    for trial in best[:NUM_SHOWN]:
        values = (f"{trial.params[each.name]:.3g}" for each in asked.space)
        table.add_row(str(trial.number), f"{trial.value:.4f}", *values)
    Console().print(table)
    print("the score is the mean over the dev of all folds; it is chosen by, so judge the choice by crossval:")
    print(f"emoji-lightning crossval --config {folder / CHOSEN}")


def _spread(values: list[float]) -> str:
    deviation = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{deviation}"
