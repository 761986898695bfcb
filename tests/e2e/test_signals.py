"""A run that a signal stops inside an epoch goes on there, and ends with the same weights and numbers, bit for bit."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from separated_labels import FINETUNE, NEW, OLD, listed, root, write_corpus
from signalling import RECORD, send

from emoji_lightning.cli import main

Fails = Callable[..., str]
REPOSITORY = Path(__file__).parents[2]
STEPS, EPOCHS = 6, 3
"""90 utterances in batches of 16: five full ones and one of 10 in each epoch."""
PARTS = ("state_dict", "optimized", "optimizer_states", "lr_schedulers", "epoch", "global_step", "epoch_loss")
OPTIONS = {
    "plain": ["--model.hidden_dim", "32"],
    "balanced": ["--model.hidden_dim", "32", "--data.balance", "sampler"],
    "accumulated": ["--model.hidden_dim", "32", "--trainer.accumulate_grad_batches", "2"],
    "often validated": ["--model.hidden_dim", "32", "--trainer.val_check_interval", "2"],
    "rarely validated": ["--model.hidden_dim", "32", "--trainer.check_val_every_n_epoch", "2"],
    "saved at validation": ["--model.hidden_dim", "32", "--checkpoint.save_on_train_epoch_end", "false"],
    "by steps": ["--model.hidden_dim", "32", "--trainer.max_steps", str(STEPS * EPOCHS)],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    words = [*write_corpus(tmp_path_factory.mktemp("data"), OLD, 30, seed=1), "--data.labels", listed(OLD)]
    return [*words, "--data.batch_size", "16", "--model.lr", "0.003", "--trainer.max_epochs", str(EPOCHS), *RECORD]


@pytest.fixture(scope="module")
def whole(data: list[str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[list[str], Path]]:
    """Train without a stop, once for each name; return the options and the run folder."""
    folder = tmp_path_factory.mktemp("whole")

    def train(name: str) -> tuple[list[str], Path]:
        words = [*data, *(fine_tuning(data, folder) if name == "fine-tuned" else OPTIONS[name])]
        if not (folder / name).exists():
            main(["fit", *words, *root(folder / name)])
        return words, folder / name

    return train


def fine_tuning(data: list[str], folder: Path) -> list[str]:
    start = folder / "old" / "checkpoints" / "best.ckpt"
    if not start.exists():
        main(["fit", *data, *OPTIONS["plain"], *root(folder / "old")])
        (folder / "new").mkdir()
        write_corpus(folder / "new", NEW, 40, seed=2)
    words = ["--config", str(FINETUNE), "--model.init_from", str(start), "--model.distill", "1"]
    words += ["--data.manifest", str(folder / "new" / "labels.csv"), "--data.store", str(folder / "new" / "store")]
    return [*words, "--model.dropout", "0.2", "--data.labels", listed(OLD + NEW), "--trainer.max_epochs", str(EPOCHS)]


def fit_stopped(words: list[str], signum: signal.Signals, at_step: int, run: Path) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)]
    with pytest.raises(SystemExit, match=f"^{128 + signum}$"):
        main(["fit", *words, *send(signum, at_step), *root(run)])
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)] == before


def go_on(run: Path, *words: str) -> None:
    main(["fit", *root(run), "--ckpt_path", "last", "--trainer.callbacks", "signalling.Record", *words])


def content(run: Path, name: str) -> dict[str, object]:
    return dict(torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True))


def differing(one: object, other: object, place: str = "") -> list[str]:
    """Places where two checkpoints differ in a bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if torch.equal(one, other) else [place]
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [each for key in one for each in differing(one[key], other[key], f"{place}/{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            each for n, pair in enumerate(zip(one, other, strict=True)) for each in differing(*pair, f"{place}/{n}")
        ]
    return [] if one == other else [place]


def demand_equal(whole: Path, stopped: Path, names: tuple[str, ...] = ("best", "last")) -> None:
    for name in names:
        ours, theirs = content(whole, name), content(stopped, name)
        for part in PARTS:
            assert differing(ours.get(part), theirs.get(part), part) == []
        assert differing(callbacks(ours), callbacks(theirs)) == []
    assert (whole / "logged.jsonl").read_text() == (stopped / "logged.jsonl").read_text()
    assert len((whole / "logged.jsonl").read_text().splitlines()) == EPOCHS


def callbacks(checkpoint: dict[str, object]) -> dict[str, object]:
    """Counters of early stopping, best score and random states, but not where the run folder is."""
    found: dict[str, dict[str, object]] = checkpoint["callbacks"]  # type: ignore[assignment]
    paths = ("dirpath", "path", "best_k_models")
    return {
        key.partition("{")[0] + f"/{name}": value
        for key, state in found.items()
        for name, value in state.items()
        if not any(each in name for each in paths)
    }


@pytest.mark.parametrize(
    ("name", "signum", "at_step"),
    [
        ("plain", signal.SIGTERM, 8),
        pytest.param("plain", signal.SIGUSR1, 0, marks=pytest.mark.slow),
        ("fine-tuned", signal.SIGUSR1, 6),
        pytest.param("plain", signal.SIGINT, 15, marks=pytest.mark.slow),
        pytest.param("plain", signal.SIGTERM, 5, marks=pytest.mark.slow),  # the last step of an epoch: it ends first
        pytest.param("plain", signal.SIGTERM, 6, marks=pytest.mark.slow),
        pytest.param("balanced", signal.SIGTERM, 9, marks=pytest.mark.slow),
        pytest.param("accumulated", signal.SIGTERM, 4, marks=pytest.mark.slow),
        pytest.param("often validated", signal.SIGTERM, 7, marks=pytest.mark.slow),
        pytest.param("often validated", signal.SIGTERM, 8, marks=pytest.mark.slow),
        pytest.param("rarely validated", signal.SIGTERM, 2, marks=pytest.mark.slow),
        pytest.param("rarely validated", signal.SIGTERM, 9, marks=pytest.mark.slow),
        pytest.param("saved at validation", signal.SIGTERM, 9, marks=pytest.mark.slow),
        pytest.param("saved at validation", signal.SIGTERM, 11, marks=pytest.mark.slow),
        pytest.param("by steps", signal.SIGTERM, 9, marks=pytest.mark.slow),
        pytest.param("by steps", signal.SIGTERM, 11, marks=pytest.mark.slow),
        pytest.param("fine-tuned", signal.SIGTERM, 2, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_a_signal_stops_goes_on_bit_for_bit(
    name: str,
    signum: signal.Signals,
    at_step: int,
    whole: Callable[[str], tuple[list[str], Path]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words, expected = whole(name)
    fit_stopped(words, signum, at_step, tmp_path)
    told = capsys.readouterr().err
    step = content(tmp_path, "last")["global_step"]
    assert f"stopped by {signum.name} behind batch " in told
    assert f"step {step}; {tmp_path}/checkpoints/last.ckpt holds this very step" in told
    assert f"go on with: emoji-lightning fit --trainer.default_root_dir {tmp_path} --ckpt_path last" in told
    assert at_step + 1 <= step <= at_step + 2  # type: ignore[operator]
    go_on(tmp_path)
    demand_equal(expected, tmp_path)


@pytest.mark.slow
def test_a_run_may_be_stopped_twice_in_one_epoch(
    whole: Callable[[str], tuple[list[str], Path]], tmp_path: Path
) -> None:
    words, expected = whole("plain")
    fit_stopped(words, signal.SIGTERM, 7, tmp_path)
    with pytest.raises(SystemExit, match="143"):
        go_on(tmp_path, *send(signal.SIGTERM, 9))
    go_on(tmp_path)
    demand_equal(expected, tmp_path)


@pytest.mark.slow
def test_a_signal_in_the_last_step_lets_the_run_end(
    whole: Callable[[str], tuple[list[str], Path]], tmp_path: Path
) -> None:
    words, expected = whole("plain")
    main(["fit", *words, *send(signal.SIGTERM, STEPS * EPOCHS - 1), *root(tmp_path)])
    demand_equal(expected, tmp_path)


def test_the_same_seed_gives_the_same_weights_and_another_one_others(
    whole: Callable[[str], tuple[list[str], Path]], tmp_path: Path
) -> None:
    words, expected = whole("plain")
    main(["fit", *words, *root(tmp_path / "again")])
    demand_equal(expected, tmp_path / "again")
    main(["fit", *words, *root(tmp_path / "other"), "--seed_everything", "1"])
    assert differing(content(expected, "last")["state_dict"], content(tmp_path / "other", "last")["state_dict"])


def test_inside_an_epoch_a_step_keeps_its_number_of_utterances(
    whole: Callable[[str], tuple[list[str], Path]], tmp_path: Path, fails: Fails
) -> None:
    words, _ = whole("plain")
    fit_stopped(words, signal.SIGTERM, 8, tmp_path)
    error = fails("fit", *root(tmp_path), "--ckpt_path", "last", "--data.batch_size", "20")
    assert "stands inside an epoch, behind 3 steps of 16 utterances; a step has 20 now" in error


@pytest.mark.slow
def test_a_signal_from_outside_stops_the_process_with_the_shells_exit_code(
    whole: Callable[[str], tuple[list[str], Path]], tmp_path: Path
) -> None:
    words, expected = whole("plain")
    finished = subprocess.run(
        [sys.executable, str(REPOSITORY / "train.py"), "fit", *words, *send(signal.SIGUSR1, 10), *root(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert finished.returncode == 128 + signal.SIGUSR1, finished.stderr
    assert "Traceback" not in finished.stderr
    go_on(tmp_path)
    demand_equal(expected, tmp_path)


def test_a_slurm_job_is_put_back_once_and_goes_on_by_itself(
    whole: Callable[[str], tuple[list[str], Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words, expected = whole("plain")
    calls = tmp_path / "calls"
    (tmp_path / "bin").mkdir()
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    job = {"SLURM_NTASKS": "1", "SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0"}
    job |= {"SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_JOB_NODELIST": "n0", "SLURM_NTASKS_PER_NODE": "1"}
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    run = tmp_path / "run"
    fit_stopped(words, signal.SIGUSR1, 8, run)
    assert calls.read_text() == "requeue 4711\n"
    assert "job 4711 is in SLURM's queue again" in capsys.readouterr().err
    assert sorted(path.name for path in run.glob("**/*.ckpt")) == ["best.ckpt", "last.ckpt"]
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    main(["fit", *words, *root(run)])
    demand_equal(expected, run)
    monkeypatch.setenv("SLURM_JOB_ID", "4712")
    main(["fit", *words, *root(run)])  # another job: a new run
    assert (run / "previous" / "1" / "checkpoints" / "last.ckpt").is_file()
    assert json.loads((run / "logged.jsonl").read_text().splitlines()[EPOCHS])["epoch"] == 0
