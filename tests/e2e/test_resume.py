"""A run that is killed and goes on ends where it would have ended: the same weights, bit for bit."""

import argparse
import ast
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError

import pytest
import torch
from separated_labels import DIM, FINETUNE, NEW, OLD, listed, root, write_corpus

import emoji_lightning
from emoji_lightning.cli import main
from emoji_lightning.model.classifier import EmojiClassifier

KILLED_AT, EPOCHS = 2, 4
SMALL = ["--data.batch_size", "32", "--model.lr", "0.003", "--trainer.max_epochs", str(EPOCHS)]
SAVED_AFTER = {
    "an epoch": ["--trainer.check_val_every_n_epoch", "1"],
    "validation": ["--checkpoint.save_on_train_epoch_end", "false", "--trainer.check_val_every_n_epoch", "2"],
}


Fails = Callable[..., str]


class KilledError(BaseException):
    """Nothing in the program catches it."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of a corpus with 30 utterances of each of three labels: two full batches and a short one an epoch."""
    return [*write_corpus(tmp_path_factory.mktemp("data"), OLD, 30, seed=1), "--data.labels", listed(OLD)]


@pytest.fixture(scope="module")
def plain_fit(data: list[str]) -> list[str]:
    return [*data, *SMALL, "--model.hidden_dim", "32", "--model.dropout", "0.2"]


@pytest.fixture(scope="module")
def streamed_fit(plain_fit: list[str]) -> list[str]:
    """The same with embeddings that stay in the store, and a pool of 24."""
    return [*plain_fit, "--data.memory_gib", str(24 * DIM * 4 * 4 / 2**30)]


@pytest.fixture(scope="module")
def fine_tuning(plain_fit: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of a fine-tuning that draws dropout, batches and imagined utterances at random."""
    main(["fit", *plain_fit, "--trainer.max_epochs", "1", *root(tmp_path_factory.mktemp("old") / "run")])
    start = next(tmp_path_factory.getbasetemp().glob("old*/run/checkpoints/best.ckpt"))
    words = ["--config", str(FINETUNE), "--model.init_from", str(start), "--model.distill", "1", *SMALL]
    words += ["--model.dropout", "0.2", "--data.labels", listed(OLD + NEW)]
    return [*words, *write_corpus(tmp_path_factory.mktemp("new"), NEW, 20, seed=2)]


def fit_killed(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit, and die between two epochs."""

    def die(model: EmojiClassifier) -> None:
        if model.current_epoch == KILLED_AT:
            raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(EmojiClassifier, "on_train_epoch_start", die)
        with pytest.raises(KilledError, match=r"^$"):
            main(["fit", *words])


def states(run: Path, name: str) -> dict[str, torch.Tensor]:
    content = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
    moments = content["optimizer_states"][0]["state"]
    flat = {f"{number}.{key}": value for number, each in moments.items() for key, value in each.items()}
    return content["state_dict"] | content.get("optimized", {}) | flat | {"epoch": torch.tensor(content["epoch"])}


def demand_equal(one: Path, other: Path) -> None:
    for name in ("best", "last"):
        ours, theirs = states(one, name), states(other, name)
        assert ours.keys() == theirs.keys()
        assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
    assert ours["epoch"] == EPOCHS - 1


@pytest.mark.parametrize(
    ("kind", "saved_after"),
    [
        ("plain_fit", "an epoch"),
        ("fine_tuning", "validation"),
        ("streamed_fit", "an epoch"),
        pytest.param("plain_fit", "validation", marks=pytest.mark.slow),
        pytest.param("fine_tuning", "an epoch", marks=pytest.mark.slow),
    ],
)
def test_a_run_killed_between_two_epochs_goes_on_bit_for_bit(
    kind: str, saved_after: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*request.getfixturevalue(kind), *SAVED_AFTER[saved_after]]
    main(["fit", *words, *root(tmp_path / "whole")])
    fit_killed([*words, *root(tmp_path / "killed")], monkeypatch)
    assert states(tmp_path / "killed", "last")["epoch"] == KILLED_AT - 1
    main(["fit", *root(tmp_path / "killed"), "--ckpt_path", "last"])
    demand_equal(tmp_path / "whole", tmp_path / "killed")


def test_a_resumed_fine_tuning_is_held_to_the_same_start(fine_tuning: list[str], tmp_path: Path) -> None:
    file = tmp_path / "checkpoints" / "last.ckpt"
    main(["fit", *fine_tuning, "--trainer.max_epochs", "2", *root(tmp_path)])
    before = torch.load(file, weights_only=True)
    main(["fit", *root(tmp_path), "--ckpt_path", "last", "--trainer.max_epochs", "3"])
    after = torch.load(file, weights_only=True)
    assert after["epoch"] == 2
    assert before["init_from"]["start"] == after["init_from"]["start"]
    for part in ("weights", "imagined"):
        held = before["init_from"][part]
        assert held
        assert all(torch.equal(tensor, after["init_from"][part][name]) for name, tensor in held.items())
    trained, start = after["state_dict"], after["init_from"]["weights"]
    assert not torch.equal(before["state_dict"]["head.net.0.weight"], trained["head.net.0.weight"])
    assert not torch.equal(start["net.0.weight"], before["state_dict"]["head.net.0.weight"])


@pytest.mark.slow
def test_a_process_that_the_system_kills_goes_on_bit_for_bit(fine_tuning: list[str], tmp_path: Path) -> None:
    words = [*fine_tuning, *SAVED_AFTER["an epoch"]]
    main(["fit", *words, *root(tmp_path / "whole")])
    program = f"""
import os, signal
from emoji_lightning.cli import main
from emoji_lightning.model.classifier import EmojiClassifier
EmojiClassifier.on_train_epoch_start = (
    lambda model: os.kill(os.getpid(), signal.SIGKILL) if model.current_epoch == {KILLED_AT} else None
)
main({["fit", *words, *root(tmp_path / "killed")]!r})
"""
    killed = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, env=os.environ)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    main(["fit", *root(tmp_path / "killed"), "--ckpt_path", "last"])
    demand_equal(tmp_path / "whole", tmp_path / "killed")


def test_the_last_checkpoint_is_of_the_last_epoch_and_not_of_the_best(data: list[str], tmp_path: Path) -> None:
    words = [*data, "--data.batch_size", "90", "--model.hidden_dim", "8", "--model.lr", "1e-9"]
    words += ["--checkpoint.monitor", "dev/macro_f1"]
    main(["fit", *words, "--trainer.max_epochs", "3", *root(tmp_path)])
    assert [int(states(tmp_path, name)["epoch"]) for name in ("best", "last")] == [0, 2]


def test_a_resumed_run_stops_by_the_patience_that_is_given_now(data: list[str], tmp_path: Path) -> None:
    words = [*data, "--data.batch_size", "90", "--model.hidden_dim", "8", "--model.lr", "1e-9"]
    main(["fit", *words, "--early_stopping.patience", "1000", "--trainer.max_epochs", "6", *root(tmp_path)])
    words = ["--ckpt_path", "last", "--early_stopping.patience", "3", "--trainer.max_epochs", "30"]
    main(["fit", *words, *root(tmp_path)])
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    (stopping,) = (state for key, state in last["callbacks"].items() if key.startswith("EarlyStopping"))
    assert last["epoch"] == 6  # five epochs without progress are behind it
    assert stopping["wait_count"] == 6


def test_a_resumed_run_keeps_its_seed(data: list[str], tmp_path: Path, fails: Fails) -> None:
    words = [*data, "--model.hidden_dim", "8", "--trainer.max_epochs", "1", "--seed_everything", "3"]
    main(["fit", *words, *root(tmp_path)])
    error = fails("fit", "--ckpt_path", "last", "--seed_everything", "4", *root(tmp_path))
    assert "--seed_everything is 4, the run was begun with 3, and --ckpt_path resumes it exactly" in error
    main(["fit", "--ckpt_path", "last", "--trainer.max_epochs", "2", *root(tmp_path)])
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["seed"] == 3


@pytest.mark.parametrize("verb", ["fit", "validate", "test", "predict", "export"])
def test_no_verb_has_a_switch_to_load_more_than_plain_data(verb: str, fails: Fails) -> None:
    for word in ("--weights_only=false", "--weights_only=true"):
        assert f"{verb} has no option --weights_only; see emoji-lightning {verb} --help" in fails(verb, word)


def test_nothing_in_the_package_loads_more_than_plain_data() -> None:
    files = sorted(Path(emoji_lightning.__file__).parent.rglob("*.py"))
    calls = [
        (file.name, {word.arg: ast.unparse(word.value) for word in node.keywords})
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
    ]
    assert len(calls) >= 3
    assert [name for name, words in calls if words.get("weights_only") != "True"] == []
    switches = re.compile(r"weights_only\"?\]?\s*[:=]+\s*(?!True)|safe_globals|FORCE_NO_WEIGHTS|load_from_checkpoint")
    assert [file.name for file in files if switches.search(file.read_text(encoding="utf-8"))] == []


class Payload:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("verb", ["fit", "test", "export"])
def test_lightning_itself_is_told_to_load_plain_data_only(
    verb: str, data: list[str], tmp_path: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the environment asks torch for more, and the check before is passed by."""
    main(["fit", *data, "--model.hidden_dim", "8", "--trainer.max_epochs", "1", *root(tmp_path / "run")])
    content = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    content["payload"] = Payload(tmp_path / "executed")
    torch.save(content, tmp_path / "run" / "checkpoints" / "last.ckpt")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    error = fails(verb, "--ckpt_path", "last", *root(tmp_path / "run"))
    assert "wants to build posix.mkdir" in error
    monkeypatch.setattr("emoji_lightning.cli.lightning.read_checkpoint", lambda file: {})
    with pytest.raises(UnpicklingError if verb != "export" else SystemExit, match=r"posix\.mkdir|2"):
        main([verb, "--ckpt_path", "last", *root(tmp_path / "run")])
    assert not (tmp_path / "executed").exists()


def test_a_checkpoint_that_cannot_be_resumed_is_named_with_what_it_wants(tmp_path: Path, fails: Fails) -> None:
    file = tmp_path / "ns.pt"
    torch.save({"args": argparse.Namespace(lr=1)}, file)
    error = fails("fit", "--ckpt_path", file, *root(tmp_path / "run"))
    assert f"{file}: wants to build argparse.Namespace. Only tensors and plain data are read" in error
    assert "save vars(args) in place of args" in error
    assert "expected a .ckpt that `emoji-lightning fit` wrote" in error
    file.write_bytes(b"")
    error = fails("fit", "--ckpt_path", file, *root(tmp_path / "run"))
    assert f"{file}: 0 bytes; expected a checkpoint" in error
