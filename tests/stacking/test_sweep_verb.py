"""`sweep` from the command line, killed and gone on with."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from stacked_corpus import data_options, write_folds

from emoji_lightning.cli import main
from emoji_lightning.errors import ConfigError
from emoji_lightning.stacking import sweep
from emoji_lightning.stacking.search_space import read_space

optuna = pytest.importorskip("optuna", reason="optuna is not installed (extra: sweep)")
FEW = ["--data.batch_size", "32", "--model.hidden_dim", "8", "--trainer.max_epochs", "1", "--seeds", "1"]
SPACE = ["--space", "model.lr=1e-4:1e-2:log,model.dropout=0:0.5"]
OPTIONS: Mapping[str, Any] = {"labels": ["a", "b"], "input_dim": 4, "lr": 1e-4, "dropout": 0.2}


class KilledError(BaseException):
    """Nothing in the program catches it."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return data_options(write_folds(tmp_path_factory.mktemp("corpus"), (20, 20, 20)))


def open_study(folder: Path) -> Any:
    return optuna.load_study(study_name=sweep.STUDY, storage=f"sqlite:///{folder / sweep.STUDY_FILE}")


def test_a_sweep_that_is_killed_goes_on(data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["sweep", *data, *FEW, *SPACE, "--trials", "5", "--output_dir", str(tmp_path)]
    monkeypatch.setattr(sweep, "HEADS_AT_ONCE", 6)  # two settings of three folds
    train, rounds = sweep.crossvalidate, []

    def die(*args: Any, **options: Any) -> Any:
        rounds.append(len(args[3]))
        if len(rounds) == 2:
            raise KilledError
        return train(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(sweep, "crossvalidate", die)
        with pytest.raises(KilledError, match=r"^$"):
            main(words)
    begun = open_study(tmp_path).trials
    assert [trial.state.name for trial in begun] == ["COMPLETE", "COMPLETE", "RUNNING", "RUNNING"]
    assert begun[0].params == {"lr": pytest.approx(5e-4), "dropout": 0.2}, "what was given is tried first"
    main(words)
    trials = open_study(tmp_path).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE", "FAIL", "FAIL", *["COMPLETE"] * 3]
    assert [trial.value for trial in trials[:2]] == [trial.value for trial in begun[:2]]
    best = max((trial for trial in trials if trial.value is not None), key=lambda trial: trial.value)
    chosen = yaml.safe_load((tmp_path / "chosen.yaml").read_text(encoding="utf-8"))
    assert chosen["model"]["lr"] == best.params["lr"]
    assert chosen["model"]["hidden_dim"] == 8
    main(words)
    assert len(open_study(tmp_path).trials) == len(trials), "nothing is left to do"


def test_a_study_of_other_options_is_not_gone_on_with(
    data: list[str], tmp_path: Path, fails: Callable[..., str]
) -> None:
    words = ["sweep", *data, *FEW, "--trials", "1", "--output_dir", str(tmp_path)]
    main([*words, *SPACE])
    assert "its study was begun with space" in fails(*words, "--space", "model.lr=1e-4:1e-3")
    assert "its study was begun with max_epochs 1, this sweep has 2" in fails(
        *words, *SPACE, "--trainer.max_epochs", "2"
    )


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("lr=1:2", r"expected model\.NAME=LOW:HIGH"),
        ("model.lr=1", r"expected model\.NAME=LOW:HIGH"),
        ("model.lr=1:2:lin", r"expected model\.NAME=LOW:HIGH"),
        ("model.lr=a:2", "could not convert"),
        ("model.lr=2:1", "expected LOW below HIGH"),
        ("model.dropout=0:0.5:log", "above 0 for log"),
        ("model.dropuot=0:0.5", r"did you mean model\.dropout\?"),
        ("model.init_from=0:1", "is none of"),
        ("model.dropout=0:1", r"--model\.dropout is 1\.0; expected a share"),
        ("model.lr=1e-4:1e-3,model.lr=1e-4:1e-2", r"names model\.lr twice"),
    ],
)
def test_a_space_that_cannot_be_read_is_named(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_space(word, OPTIONS)


def test_widths_are_whole_numbers() -> None:
    (width,) = read_space("model.hidden_dim=16:64:log", OPTIONS)
    assert width.whole
    trial = optuna.trial.FixedTrial({"hidden_dim": 32})
    assert width.suggest(trial) == 32


def test_without_optuna_the_cure_is_named(
    data: list[str], tmp_path: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    error = fails("sweep", *data, *FEW, "--trials", "1", "--output_dir", tmp_path / "out")
    assert "pip install 'emoji-lightning[sweep]'" in error
    assert not (tmp_path / "out").exists()


def test_a_storage_that_cannot_be_opened_is_named(data: list[str], tmp_path: Path, fails: Callable[..., str]) -> None:
    error = fails("sweep", *data, *FEW, "--trials", "1", "--storage", "nonsense", "--output_dir", tmp_path / "out")
    assert "--storage nonsense: " in error
