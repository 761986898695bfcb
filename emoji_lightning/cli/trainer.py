"""Lightning's Trainer with the verbs `export`, `crossval` and `sweep`."""

from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
from lightning.pytorch.loops.loop import _Loop

from emoji_lightning.bundle.export import Exported, export_bundle
from emoji_lightning.checkpoint.content import load_content
from emoji_lightning.checkpoint.stored_head import read_head
from emoji_lightning.cli import stacked_tables
from emoji_lightning.data.datamodule import EmojiDataModule
from emoji_lightning.errors import CheckpointError
from emoji_lightning.model.classifier import EmojiClassifier
from emoji_lightning.stacking.crossval import check_stackable, crossvalidate, list_seeds
from emoji_lightning.stacking.folding import find_folds
from emoji_lightning.stacking.recipe import Recipe
from emoji_lightning.stacking.result import CHOSEN, demand_room, to_overlay, write_crossval, write_overlay
from emoji_lightning.stacking.sweep import Wanted, best_options, default_storage, open_study, prepare_sweep, run_sweep

EXPECTED = (
    "expected a .ckpt that `emoji-lightning fit` wrote (an exported head cannot be resumed; start from it by "
    "--model.init_from)"
)


class EmojiTrainer(pl.Trainer):
    """A Trainer that can also export what it trained, and train many heads at once."""

    exported: Exported

    def _run_stage(self) -> Any:
        """Run, and begin an epoch where a checkpoint was written at the end of one.

        With `max_steps` Lightning 2.6 takes every checkpoint for one of inside an epoch, and ends that once more.
        """
        loop: Any = self.fit_loop
        done = loop.epoch_progress.current
        if loop.is_resuming and done.ready == done.started == done.processed:
            _Loop.restarting.fset(loop, False)  # type: ignore[attr-defined]
        return super()._run_stage()

    def export(
        self,
        model: EmojiClassifier,
        datamodule: EmojiDataModule,
        ckpt_path: str | None = None,
        output_dir: str | None = None,
        like: str | None = None,
        format: Literal["pt", "safetensors"] = "pt",
    ) -> None:
        """Write `best_classifier.pt`, `label2id.json` and `summary.json` of a run's checkpoint.

        Args:
            model: Takes the checkpoint's weights.
            datamodule: Gives dev, for the parity check, and test.
            ckpt_path: "best" or "last" of the run folder, or a FILE; best if it is not given.
            output_dir: Folder for the three files; checkpoints/NAME for a run folder runs/NAME if it is not given.
            like: Checkpoint in whose layout the head is written, under its name, in place of best_classifier.pt: the
                same container, keys and their order, prefixes, dtypes, and name and direction of the label map.
            format: "safetensors" writes best_classifier.safetensors, too: the same weights, all else as metadata.

        Raises:
            CheckpointError: The written head does not give the model's logits on dev; nothing is written then.
        """
        if not self.is_global_zero:
            return
        checkpoint = read_checkpoint(str(ckpt_path))
        model.on_load_checkpoint(checkpoint)
        model.load_state_dict(checkpoint["state_dict"])
        datamodule.require_splits(("dev", "test"))
        folder = Path(output_dir or Path("checkpoints") / Path(self.default_root_dir).resolve().name)
        facts = _training_facts(model, checkpoint) | {
            name: getattr(datamodule, name) for name in ("batch_size", "balance", "balance_beta")
        }
        self.exported = export_bundle(
            model,
            datamodule.corpus,
            folder,
            training=facts,
            like=None if like is None else read_head(like),
            safetensors=format == "safetensors",
        )

    def crossval(
        self,
        model: EmojiClassifier,
        datamodule: EmojiDataModule,
        folds: int | None = None,
        seeds: int = 5,
        output_dir: str = "runs/crossval",
    ) -> None:
        """Train a head for each fold and seed, all at once, and judge each on the fold that it has not seen.

        Args:
            model: Has the options of every head.
            datamodule: Gives the corpus.
            folds: Number of folds, which no value of --data.group is torn by: each is test once, the next one dev, the
                others train. 5, or those of the manifest's column `fold`.
            seeds: Heads for each fold; their seeds count up from --seed_everything.
            output_dir: Folder for crossval.json, oof.parquet, suspicious.csv and chosen.yaml.

        Raises:
            ConfigError: The folder holds an earlier result, or an option is given that only `fit` knows.
        """
        demand_room(Path(output_dir))
        options, recipe = check_stackable(model, datamodule), Recipe.of(self)
        folding = find_folds(datamodule, folds)
        found = crossvalidate(
            datamodule, folding, recipe, [options], seeds=list_seeds(seeds), report=stacked_tables.print_head
        )[0]
        overlay = to_overlay(options, datamodule, max_epochs=recipe.max_epochs)
        suspicions = write_crossval(found, Path(output_dir), overlay)
        stacked_tables.print_crossval(found, Path(output_dir), len(suspicions))

    def sweep(
        self,
        model: EmojiClassifier,
        datamodule: EmojiDataModule,
        trials: int = 20,
        space: list[str] | str | None = None,
        folds: int | None = None,
        seeds: int = 1,
        storage: str | None = None,
        output_dir: str = "runs/sweep",
    ) -> None:
        """Look for the options of the model that do best on dev, over folds, several settings trained at once.

        Args:
            model: Has the options that are not looked for.
            datamodule: Gives the corpus.
            trials: Settings in the whole study; one that was killed goes on with those that are missing.
            space: What is tried, model.NAME=LOW:HIGH or model.NAME=LOW:HIGH:log, several with commas between them. By
                default model.lr=3e-5:3e-3:log,model.weight_decay=0.1:30:log,model.dropout=0:0.6.
            folds: Folds as in crossval; a setting's score is the mean over their dev, and no test is looked at.
            seeds: Heads for each setting and fold; their seeds count up from --seed_everything.
            storage: Database URL of the Optuna study; sqlite in output_dir if it is not given.
            output_dir: Folder for chosen.yaml, and for study.db.

        Raises:
            ConfigError: Optuna is not installed, the study there is another, or an option is given that only `fit`
                knows.
        """
        options, recipe = check_stackable(model, datamodule), Recipe.of(self)
        asked, judge = prepare_sweep(
            datamodule, options, recipe, Wanted(trials, space, folds, seeds), report=stacked_tables.print_head
        )
        folder = Path(output_dir)
        study = open_study(storage or default_storage(folder), asked)
        run_sweep(study, asked, judge)
        overlay = to_overlay(best_options(study, asked), datamodule, max_epochs=recipe.max_epochs)
        folder.mkdir(parents=True, exist_ok=True)
        write_overlay(folder / CHOSEN, overlay)
        stacked_tables.print_sweep(study, asked, folder)


def read_checkpoint(file: str) -> dict[str, Any]:
    """Read a checkpoint that `fit` wrote.

    Raises:
        CheckpointError: It is damaged or something else; what it wants to build beside plain data is named.
    """
    try:
        checkpoint = load_content(Path(file)).data
    except CheckpointError as error:
        raise CheckpointError(f"{error}; {EXPECTED}") from error
    keys = ("state_dict", "hyper_parameters", "pytorch-lightning_version", "epoch", "global_step")
    lacking = [key for key in keys if key not in checkpoint]
    if lacking or not isinstance(checkpoint["state_dict"], dict):
        raise CheckpointError(f"{file}: has no {', '.join(lacking) or 'weights'} in it; {EXPECTED}")
    content: dict[str, Any] = checkpoint
    return content


def _training_facts(model: EmojiClassifier, checkpoint: dict[str, Any]) -> dict[str, Any]:
    hparams = ("lr", "weight_decay", "label_smoothing", "warmup", "dropout")
    started = {} if model.finetuning is None else {"init_from": model.finetuning.to_dict()}
    return (
        {
            "optimizer": "AdamW, warm-up and half cosine",
            "epochs": checkpoint["epoch"] + 1,
            "steps": checkpoint["global_step"],
            "seed": checkpoint.get("seed"),
        }
        | {name: model.hparams[name] for name in hparams}
        | started
    )
