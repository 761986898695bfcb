"""A head among many ends as one that is trained alone with `fit` and the same seed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from stacked_corpus import data_options, write_folds

from emoji_lightning.cli import main
from emoji_lightning.cli.lightning import EmojiCLI
from emoji_lightning.data.corpus import read_folds, splits_of_folds
from emoji_lightning.data.datamodule import EmojiDataModule
from emoji_lightning.stacking.crossval import runs_of_fold
from emoji_lightning.stacking.head_run import HeadRun, HeadSpec, options_of
from emoji_lightning.stacking.recipe import Recipe
from emoji_lightning.stacking.training import train_in_stack, train_in_threads

FEW = ["--data.batch_size", "16", "--model.hidden_dim", "24", "--model.lr", "0.003", "--trainer.max_epochs", "8"]
FEW += ["--early_stopping.patience", "2", "--checkpoint.monitor", "dev/macro_f1"]
FEW += ["--trainer.enable_progress_bar", "false"]
SEEDS = (0, 7)


@pytest.fixture(scope="module", params=["false", "true"], ids=["mlp", "mlp_and_discriminant"])
def words(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    data = data_options(write_folds(tmp_path_factory.mktemp("folds")))
    return [*data, *FEW, "--model.discriminant", request.param]


@pytest.fixture(scope="module")
def fitted(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], dict[str, Any]]:
    """The best checkpoint of a `fit` for each fold and seed."""
    folder, found = tmp_path_factory.mktemp("fits"), {}
    for fold in range(3):
        for seed in SEEDS:
            run = folder / f"{fold}-{seed}"
            where = ["--seed_everything", str(seed), "--trainer.default_root_dir", str(run)]
            main(["fit", *words, "--data.fold", str(fold), "--data.balance", "weights", *where])
            found[fold, seed] = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    return found


def make_runs(words: Sequence[str], tmp_path: Path, balance: str = "weights") -> list[HeadRun]:
    class Parsed(EmojiCLI):
        def _run_subcommand(self, subcommand: str) -> None: ...

    made = Parsed(["fit", *words, "--data.fold", "0", "--data.balance", balance], tmp_path)
    recipe = Recipe.of(made.trainer)
    data: EmojiDataModule = made.datamodule
    assert data.corpus.manifest is not None
    folds = read_folds(data.corpus.manifest)
    embeddings = torch.from_numpy(data.corpus.embeddings)
    runs = []
    for fold in range(3):
        own = data.with_splits(splits_of_folds(folds, fold))
        options = options_of(made.model) | {"class_weights": own.class_weights}
        runs += runs_of_fold([HeadSpec(fold, seed, options) for seed in SEEDS], own, recipe, embeddings)
    return runs


@pytest.mark.parametrize(
    ("train", "by_rows"),
    [(train_in_threads, False), (train_in_stack, False), (train_in_stack, True)],
    ids=["threads", "stack", "stack as on a GPU"],
)
def test_each_head_is_the_one_that_fit_trains_alone(
    train: Callable[..., None],
    by_rows: bool,
    words: list[str],
    fitted: dict[tuple[int, int], dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Recipe, "batches_are_rows", by_rows)
    runs, ended = make_runs(words, tmp_path), []
    torch.manual_seed(99)
    train(runs, ended.append)
    assert sorted(map(id, ended)) == sorted(map(id, runs))
    if runs[0].model.learner is None:
        assert len({len(run.history) for run in runs}) > 1, "early stopping should end heads at different epochs"
    for run in runs:
        checkpoint = fitted[run.spec.fold, run.spec.seed]
        score = checkpoint["callbacks"][next(name for name in checkpoint["callbacks"] if "ModelCheckpoint" in name)]
        assert float(run.numbers["dev/macro_f1"]) == pytest.approx(float(score["best_model_score"]), abs=1e-4)
        assert run.best_epoch == checkpoint["epoch"]
        run.predict("test")
        for name, tensor in checkpoint["state_dict"].items():
            torch.testing.assert_close(run.model.state_dict()[name], tensor, atol=1e-4, rtol=0)


def test_a_sampler_draws_as_in_fit(words: list[str], tmp_path: Path) -> None:
    """It follows from the seed that Lightning notes and the epoch, not from the stream."""
    run = make_runs(words, tmp_path, "sampler")[-1]
    where = ["--data.fold", "2", "--seed_everything", "7", "--trainer.default_root_dir", str(tmp_path / "fit")]
    main(["fit", *words, "--data.balance", "sampler", *where])
    run.train()
    run.predict("test")
    checkpoint = torch.load(tmp_path / "fit" / "checkpoints" / "best.ckpt", weights_only=True)
    assert run.best_epoch == checkpoint["epoch"]
    for name, tensor in checkpoint["state_dict"].items():
        torch.testing.assert_close(run.model.state_dict()[name], tensor, atol=1e-4, rtol=0)


def test_the_first_epoch_with_a_number_is_better_than_one_with_none() -> None:
    recipe = Recipe(3, "dev/loss", "min", None, torch.device("cpu"))
    diverged = recipe.score({"dev/loss": float("nan")})
    assert recipe.is_better(recipe.score({"dev/loss": 2.0}), diverged)
    assert not recipe.is_better(diverged, recipe.score({"dev/loss": 2.0}))
    assert not recipe.is_better(recipe.score({"dev/loss": 2.0}), recipe.score({"dev/loss": 2.0}))


def test_training_many_heads_leaves_the_random_numbers_of_the_program_alone(words: list[str], tmp_path: Path) -> None:
    runs = make_runs(words, tmp_path)[:2]
    torch.manual_seed(4)
    before = torch.get_rng_state()
    train_in_threads(runs, lambda run: None)
    assert torch.equal(torch.get_rng_state(), before)
