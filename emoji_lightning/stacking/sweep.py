"""A sweep: settings proposed by Optuna, a few at a time, each judged by heads on several folds, all trained at once."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from emoji_lightning.data.datamodule import EmojiDataModule
from emoji_lightning.errors import ConfigError
from emoji_lightning.stacking.crossval import Crossval, crossvalidate, list_seeds
from emoji_lightning.stacking.folding import find_folds
from emoji_lightning.stacking.recipe import Recipe
from emoji_lightning.stacking.search_space import Range, read_space
from emoji_lightning.stacking.training import Report

if TYPE_CHECKING:
    import optuna

STUDY, STUDY_FILE = "sweep", "study.db"
HEADS_AT_ONCE = 25
"""Settings are proposed until about as many heads train at once: enough for a GPU, and few enough to learn from."""

Judge = Callable[[list[dict[str, Any]]], list[Crossval]]
JUDGED_BY = "dev/macro_f1"
"""Number of dev that settings are judged by where none chooses the epoch; then it is that of the last one."""


@dataclass(frozen=True)
class Asked:
    """What a sweep is asked for.

    Attributes:
        space: What is tried.
        options: Arguments of `EmojiClassifier` that hold unless they are in the space.
        num_trials: Settings in the whole study, those of earlier runs included.
        at_once: Settings that train at once.
        monitor: Number of dev that is judged by.
        mode: "max" or "min".
        seed: Seed of the proposals.
        facts: What else a study must agree in to be gone on with; JSON's types.
    """

    space: Sequence[Range]
    options: Mapping[str, Any]
    num_trials: int
    at_once: int
    monitor: str
    mode: str
    seed: int
    facts: Mapping[str, Any]


class Wanted(NamedTuple):
    """The options of `sweep`."""

    trials: int
    space: Sequence[str] | str | None
    folds: int | None
    seeds: int


def prepare_sweep(
    data: EmojiDataModule, options: Mapping[str, Any], recipe: Recipe, wanted: Wanted, *, report: Report
) -> tuple[Asked, Judge]:
    """Return what is asked for, and what judges settings.

    Raises:
        ConfigError: Optuna is not installed, there are fewer than 1 trials, or the space cannot be read.
    """
    import_optuna()
    if wanted.trials < 1:
        raise ConfigError(f"--trials is {wanted.trials}; expected at least 1 setting")
    seeds, space = list_seeds(wanted.seeds), read_space(wanted.space, options)
    folding = find_folds(data, wanted.folds)
    num_heads = len(seeds) * len(folding.known)
    facts = {
        "corpus": data.corpus.name,
        "num_utterances": len(folding.rows),
        "folds": folding.known,
        "seeds": seeds,
        "max_epochs": recipe.max_epochs,
        "batch_size": data.given_batch_size,
        "balance": data.balance,
    }
    asked = Asked(
        space,
        options,
        wanted.trials,
        max(1, HEADS_AT_ONCE // num_heads),
        recipe.monitor or JUDGED_BY,
        recipe.mode,
        seeds[0],
        facts,
    )

    def judge(settings: list[dict[str, Any]]) -> list[Crossval]:
        return crossvalidate(data, folding, recipe, settings, seeds=seeds, report=report)

    return asked, judge


def open_study(storage: str, asked: Asked) -> "optuna.Study":
    """Open the study of a storage, or begin it; trials that a killed run left are marked as failed.

    So would be those of a sweep that still runs: one process at a time goes on with a study.

    Raises:
        ConfigError: Optuna is not installed, the storage cannot be opened, or it holds a study of something else.
    """
    library = import_optuna()
    library.logging.set_verbosity(library.logging.ERROR)
    direction = "maximize" if asked.mode == "max" else "minimize"
    try:
        study: optuna.Study = library.create_study(
            storage=storage, study_name=STUDY, direction=direction, load_if_exists=True
        )
    except Exception as error:  # SQLAlchemy's, sqlite's and Optuna's own have no common base
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"--storage {storage}: {reason}; expected a database URL that SQLAlchemy opens, such as sqlite:///study.db"
        ) from error
    _check_same(study, asked, storage)
    begun = study.get_trials(states=(library.trial.TrialState.RUNNING,))
    for trial in begun:
        study.tell(trial.number, state=library.trial.TrialState.FAIL)
    return study


def run_sweep(study: "optuna.Study", asked: Asked, judge: Judge) -> None:
    """Ask for settings and judge them until the study has as many finished trials as are asked for.

    A setting's score is the mean over folds and seeds of its heads' best `monitor` on dev; no fold's test is looked at.

    Args:
        study: What `open_study` returned.
        asked: What is tried.
        judge: Trains and evaluates settings.
    """
    library = import_optuna()
    finished = (library.trial.TrialState.COMPLETE,)
    own = {each.name: asked.options[each.name] for each in asked.space if each.holds(asked.options[each.name])}
    waiting = (*finished, library.trial.TrialState.WAITING)
    if own and not study.get_trials(deepcopy=False, states=waiting):
        study.enqueue_trial(own)  # so that what is chosen is no worse than what was given
    failed_at_once = 0
    while (done := len(study.get_trials(deepcopy=False, states=finished))) < asked.num_trials:
        # A sampler's state is not stored: a seed that follows from the trials so far makes a resumed study go on alike.
        study.sampler = library.samplers.TPESampler(seed=asked.seed + len(study.trials))
        trials = [study.ask() for _ in range(min(asked.at_once, asked.num_trials - done))]
        settings = [{**asked.options, **{each.name: each.suggest(trial) for each in asked.space}} for trial in trials]
        outcomes = judge(settings)
        scores = [_score(outcome, asked.monitor) for outcome in outcomes]
        for trial, score in zip(trials, scores, strict=True):
            if math.isfinite(score):
                study.tell(trial, score)
            else:
                study.tell(trial, state=library.trial.TrialState.FAIL)
        failed_at_once = 0 if any(map(math.isfinite, scores)) else failed_at_once + 1
        if failed_at_once == 3:
            raise ConfigError("--space: no setting of three rounds gave a finite score; expected other ranges")


def best_options(study: "optuna.Study", asked: Asked) -> dict[str, Any]:
    """Return the arguments of `EmojiClassifier` of the best trial."""
    return {**asked.options, **study.best_params}


def default_storage(folder: Path) -> str:
    """Return the URL of the SQLite file in an output folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / STUDY_FILE}"


def _score(outcome: Crossval, monitor: str) -> float:
    return float(np.mean([head.dev[monitor] for head in outcome.heads]))


def _check_same(study: "optuna.Study", asked: Asked, storage: str) -> None:
    spaces = {each.name: str(each) for each in asked.space}
    rest = {
        name: value
        for name, value in asked.options.items()
        if name not in spaces and (value is None or isinstance(value, int | float | str | list))
    }
    own: dict[str, Any] = {"space": sorted(spaces.values()), "monitor": asked.monitor, "seed": asked.seed}
    own |= {"options": rest, **asked.facts}
    begun = study.user_attrs
    for name, value in own.items():
        if name in begun and begun[name] != value:
            raise ConfigError(
                f"--storage {storage}: its study was begun with {name} {begun[name]}, this sweep has {value}; give the "
                "same options to go on with it, or another --output_dir or --storage"
            )
    for name, value in own.items():
        study.set_user_attr(name, value)


def import_optuna() -> Any:
    """Return the module.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ConfigError("sweep needs Optuna; install it: pip install 'emoji-lightning[sweep]'") from error
    return optuna
