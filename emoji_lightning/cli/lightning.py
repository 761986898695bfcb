"""The verbs that are Lightning's, through LightningCLI."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import yaml
from jsonargparse import ArgumentError, set_parsing_settings
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.profilers import PassThroughProfiler
from omegaconf.errors import OmegaConfBaseException

from emoji_lightning.bundle.export import score_split
from emoji_lightning.cli import run_folder, tables
from emoji_lightning.cli.callbacks import CalmProgressBar, EarlyStopping, ModelCheckpoint, NoProfiler
from emoji_lightning.cli.configs import BASE_CONFIG
from emoji_lightning.cli.devices import check_devices, is_out_of_memory, out_of_memory
from emoji_lightning.cli.evaluated_run import Answers, EvaluationOptions, evaluate_run
from emoji_lightning.cli.signals import slurm_job_runs_again
from emoji_lightning.cli.static_options import expand_aliases
from emoji_lightning.cli.trainer import EmojiTrainer, read_checkpoint
from emoji_lightning.cli.watched_fit import fit_until_a_signal
from emoji_lightning.data.datamodule import EmojiDataModule
from emoji_lightning.errors import ConfigError
from emoji_lightning.evaluation.predictions import PredictionWriter
from emoji_lightning.files import write_whole
from emoji_lightning.model.classifier import HIDDEN_DIM, EmojiClassifier
from emoji_lightning.model.resuming import check_options
from emoji_lightning.model.schedule import describe_rates
from emoji_lightning.stacking.folding import UndividedDataModule

PARSER_MODE = "omegaconf+"
"""The mode that interpolates across overlays and lets the command line override: "omegaconf" does neither."""
OF_MANY = ("crossval", "sweep")
"""Verbs that train many heads: they take no run and leave none."""
DECIDED_HERE = {"verbose", "return_predictions", "weights_only"}
"""Arguments of Trainer's methods that are no options: numbers are printed in one table, predictions are written, and
checkpoints are plain data, for anything else can run code.
"""


def run(verb: str, words: Sequence[str]) -> None:
    """Run fit, validate, test, predict, export, crossval or sweep.

    Raises:
        ConfigError: The options ask for what this machine or these options do not have.
    """
    words = run_folder.put_overlays_first(expand_aliases(words))
    if verb == "fit" and run_folder.resumes(words) and any(word.startswith("--model.init_from") for word in words):
        raise ConfigError("--ckpt_path resumes a run exactly, --model.init_from starts a new one; give one of them")
    folder = run_folder.find_run_folder(words, BASE_CONFIG)
    saved = folder / run_folder.CONFIG
    goes_on = verb not in OF_MANY and (verb != "fit" or run_folder.resumes(words))
    if verb == "fit" and not goes_on and slurm_job_runs_again(folder / run_folder.CHECKPOINTS):
        words = [*words, run_folder.CKPT_OPTION, "last"]  # they are those of the job: no saved ones are needed
    overlays = ["--config", str(saved)] if goes_on and saved.is_file() else []
    try:
        EmojiCLI([verb, *overlays, *words], folder)
    except OmegaConfBaseException as error:
        raise ConfigError(f"configuration: {error}") from error
    except ArgumentError as error:
        raise ConfigError(f"{error.message}\nsee emoji-lightning {verb} --help, and {saved} if it is read") from error
    except MemoryError as error:
        raise out_of_memory(verb, error, batch_size=None, precision=None) from error
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise out_of_memory(verb, error, batch_size=None, precision=None) from error
        # Lightning and torch refuse values of options in these; --debug shows where.
        reason = str(error).strip() or type(error).__name__
        raise ConfigError(f"{verb} stopped: {reason}\ncheck the options, or add --debug to see where") from error


class SaveRunConfig(SaveConfigCallback):
    """Save what `fit` was run with, so that the other verbs need not be told again."""

    def save_config(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Write `fit.yaml` into the run folder."""
        if stage != "fit":
            return
        config = yaml.safe_load(self.parser.dump(self.config, skip_none=False, skip_validation=True, format="yaml"))
        config.pop("ckpt_path", None)
        text = yaml.safe_dump(config, allow_unicode=True, sort_keys=False)
        target = Path(trainer.default_root_dir) / run_folder.CONFIG
        write_whole(target, lambda path: path.write_text(text, encoding="utf-8"))


class EmojiCLI(LightningCLI):
    """LightningCLI for the head: data and model meet only here.

    Args:
        words: The verb and its options.
        folder: The run folder.
    """

    datamodule: EmojiDataModule
    model: EmojiClassifier
    trainer: EmojiTrainer

    def __init__(self, words: list[str], folder: Path) -> None:
        self.folder = folder
        self.verb = words[0]
        set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
        modes = {"parser_mode": PARSER_MODE, "exit_on_error": False}
        super().__init__(
            EmojiClassifier,
            UndividedDataModule if self.verb in OF_MANY else EmojiDataModule,
            trainer_class=EmojiTrainer,
            save_config_callback=SaveRunConfig,
            save_config_kwargs={"save_to_log_dir": False},
            seed_everything_default=0,
            parser_kwargs=modes | {self.verb: modes | {"default_config_files": [str(BASE_CONFIG)]}},
            auto_configure_optimizers=False,
            args=words,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Return the verb and the arguments of its method that are no options; parsers of five verbs take a second."""
        own = {verb: {"model", "datamodule"} for verb in ("export", *OF_MANY)}
        verbs = {**LightningCLI.subcommands(), **own}
        return {self.verb: verbs[self.verb] | DECIDED_HERE}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the two callbacks by name, so that overlays can change one option of them, how predictions are judged,
        and what data gives model.
        """
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.add_lightning_class_args(EarlyStopping, "early_stopping")
        parser.add_class_arguments(EvaluationOptions, "evaluation")
        parser.link_arguments("data.label_names", "model.labels", apply_on="instantiate")
        parser.link_arguments("data.embedding_dim", "model.input_dim", apply_on="instantiate")
        for name in ("encoder", "weights_sha256", "class_weights"):
            parser.link_arguments(f"data.{name}", f"model.{name}", apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the words; LightningCLI's own method warns because they were read from the command line before."""
        self.config = parser.parse_args(cast(list[str], args))

    def _parse_ckpt_path(self) -> None:
        """Leave the options as they were given: LightningCLI lets a checkpoint's hyperparameters overrule them."""

    def before_instantiate_classes(self) -> None:
        """Find the checkpoint that is meant; only `fit` logs curves."""
        config = self.config[self.subcommand]
        check_devices(config.trainer.accelerator, config.trainer.devices)
        if self.subcommand in OF_MANY:
            config.trainer.logger = False
            return
        if self.subcommand == "fit":
            self.folder = Path(config.trainer.default_root_dir)
        ckpt_path = config.ckpt_path or (None if self.subcommand == "fit" else "best")
        if ckpt_path is not None:
            config.ckpt_path = run_folder.resolve_checkpoint(ckpt_path, self.folder)
            read_checkpoint(config.ckpt_path)
        if self.subcommand != "fit":
            config.trainer.logger = False

    def instantiate_classes(self) -> None:
        """Let a model that goes on from a checkpoint take its shape from there: what it started from may be gone."""
        config = self.config[self.subcommand]
        named = config.model.init_from
        config.model.init_from = named and (config.get("ckpt_path") or named)
        super().instantiate_classes()
        config.model.init_from = named

    def _run_subcommand(self, subcommand: str) -> None:
        """Run the verb; where memory is too small, say what to lower."""
        try:
            super()._run_subcommand(subcommand)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            precision = self.config[subcommand].trainer.precision
            raise out_of_memory(
                subcommand, error, batch_size=self.datamodule.batch_size, precision=precision
            ) from error

    def fit(self, **options: Any) -> None:
        """Train; an earlier run in the folder is kept, and is put back if this one comes to nothing."""
        self._save_time()
        if options.get("ckpt_path"):
            given = dict(self.model.hparams) | {"seed_everything": self.config["fit"].seed_everything}
            check_options(given, read_checkpoint(options["ckpt_path"]))
        self.config["fit"].data.labels = self.datamodule.label_names  # so that later verbs number them the same
        if self.trainer.is_global_zero:
            tables.print_absent_labels(self.datamodule.corpus, self.model)
            tables.print_streaming(self.datamodule.corpus)
            if options.get("ckpt_path") is None:
                tables.print_start(self.model)
                self._print_finetuning()
        moved = self._make_room(options.get("ckpt_path")) if run_folder.is_main_process() else None
        try:
            fit_until_a_signal(self.trainer, self.folder, lambda row: self.datamodule.corpus.ids[row], **options)
        finally:
            trained = run_folder.holds_checkpoints(self.folder)
            if moved is not None and not trained:
                moved.bring_back()
                print(f"nothing was trained; the earlier run is in {self.folder} again")
        if not trained and not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            raise ConfigError(f"nothing was trained in {self.folder}: no epoch ended; check --trainer.max_epochs")
        if self.trainer.is_global_zero:
            tables.print_fit(self.trainer, self.folder)

    def _print_finetuning(self) -> None:
        if self.model.finetuning is None:
            return
        print(describe_rates(self.model.head, self.model.lr, HIDDEN_DIM))
        idle = self.model.finetuning.describe_idle()
        if idle is not None:
            print(f"warning: {idle}")

    def _save_time(self) -> None:
        if type(self.trainer.profiler) is PassThroughProfiler:  # type: ignore[attr-defined]
            self.trainer.profiler = NoProfiler()  # type: ignore[attr-defined]
        callbacks: list[Any] = self.trainer.callbacks  # type: ignore[attr-defined]
        self.trainer.callbacks = [  # type: ignore[attr-defined]
            CalmProgressBar() if type(each) is RichProgressBar else each for each in callbacks
        ]

    def _make_room(self, ckpt_path: str | None) -> run_folder.MovedFiles | None:
        goes_on = ckpt_path is not None and Path(ckpt_path).resolve().parents[1] == self.folder.resolve()
        patterns = run_folder.EVALUATION if goes_on else run_folder.RUN
        moved = run_folder.move_earlier_run(self.folder, patterns)
        if moved is not None:
            print(f"{self.folder} held an earlier run; {len(moved.files)} of its files are in {moved.target} now")
        return None if goes_on else moved

    def validate(self, **options: Any) -> None:
        """Evaluate on dev, write predictions and numbers, and print them."""
        self._evaluate(self.trainer.validate, options)

    def test(self, **options: Any) -> None:
        """Evaluate on test, write predictions and numbers, and print them."""
        self._evaluate(self.trainer.test, options)

    def _evaluate(self, evaluate: Callable[..., object], options: dict[str, Any]) -> None:
        writer = self._add_writer(options)
        evaluate(verbose=False, weights_only=True, **options)
        self._demand_predictions(writer)
        predictions = writer.predictions
        if predictions is None or predictions.file is None:
            return
        own = Answers(predictions.logits, predictions.labels)
        evaluated = evaluate_run(
            predictions,
            self.datamodule.corpus,
            self._get(self.config_init, "evaluation"),
            dev=own if predictions.split == "dev" else self._answers_to_dev(),
            folder=self.folder,
            checkpoint=Path(options["ckpt_path"]),
        )
        tables.print_evaluation(evaluated, self.datamodule.corpus)
        print(f"predictions: {predictions.file}\nreport: {evaluated.report}")

    def _answers_to_dev(self) -> Answers | None:
        """Return the model's answers to dev; None where dev is empty or has no labels."""
        labels = self.datamodule.label_ids("dev").numpy()
        if not labels.size or (labels < 0).any():
            return None
        return Answers(score_split(self.model.eval().cpu(), self.datamodule.corpus, "dev"), labels)

    def predict(self, **options: Any) -> None:
        """Label utterances, write the predictions and say where they are."""
        writer = self._add_writer(options)
        self.trainer.predict(return_predictions=False, weights_only=True, **options)
        self._demand_predictions(writer)
        if writer.predictions is not None and writer.predictions.file is not None:
            print(f"predictions: {writer.predictions.file}")

    def _demand_predictions(self, writer: PredictionWriter) -> None:
        if self.trainer.is_global_zero and writer.predictions is None:
            raise ConfigError(
                f"{self.subcommand}: no utterance was evaluated; check --trainer.limit_* and the manifest"
            )

    def _add_writer(self, options: dict[str, Any]) -> PredictionWriter:
        corpus = self.datamodule.corpus
        checkpoint = str(options["ckpt_path"])
        writer = PredictionWriter(self.folder, corpus.ids, self.datamodule.label_names, checkpoint=checkpoint)
        self.trainer.callbacks.append(writer)  # type: ignore[attr-defined]
        return writer

    def after_export(self) -> None:
        """Print the exported head's numbers."""
        if self.trainer.is_global_zero:
            tables.print_export(self.trainer.exported, self.datamodule.corpus)
