"""Several processes take the steps of one with as many times the batch, and evaluate to the last digit as one does."""

import json
import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from process_group import RECORD_STEPS, run_in_processes
from separated_labels import FINETUNE, NEW, OLD, listed, root, write_corpus
from signalling import RECORD, send
from test_signals import demand_equal

from emoji_lightning.cli import main

EPOCHS, STEPS = 4, 6
"""81 utterances: five steps of 16 and one of a single utterance, which leaves all processes but one empty-handed."""
FIT = ["--model.dropout", "0", "--model.input_noise", "0", "--model.lr", "0.003"]
FIT += ["--trainer.max_epochs", str(EPOCHS), *RECORD_STEPS, *RECORD]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [*write_corpus(tmp_path_factory.mktemp("data"), OLD, 27, seed=1), "--data.labels", listed(OLD)]


def options(kind: str, data: list[str], folder: Path) -> list[str]:
    plain = [*data, *FIT, "--model.hidden_dim", "32"]
    if kind == "balanced":
        return [*plain, "--data.balance", "sampler", "--model.label_smoothing", "0.1"]
    if kind == "weighted":
        return [*plain, "--data.balance", "weights"]
    if kind == "plain":
        return plain
    main(["fit", *plain, *root(folder / "old"), "--trainer.max_epochs", "1"])
    (folder / "new").mkdir()
    new = write_corpus(folder / "new", [*NEW, "joy"], 27, seed=2)
    started = ["--model.init_from", str(folder / "old" / "checkpoints" / "best.ckpt"), "--model.distill", "1"]
    words = ["--config", str(FINETUNE), *started, *FIT, "--model.lr", "1e-4"]
    return [*words, *new, "--data.labels", listed(OLD + NEW)]


def numbers(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "logged.jsonl").read_text().splitlines()]
    return [{name: float.fromhex(value) for name, value in line.items() if name != "epoch"} for line in lines]


def demand_steps_of_one(several: Path, one: Path, num: int) -> None:
    alone = torch.load(one / "steps-0.pt", weights_only=True)
    parts = [torch.load(several / f"steps-{rank}.pt", weights_only=True) for rank in range(num)]
    assert len(alone) >= 20
    assert [len(part) for part in parts] == [len(alone)] * num
    assert num == 3 or any(not rows for part in parts for rows, _ in part)  # 81 is a multiple of 3
    for number, (rows, loss) in enumerate(alone):
        assert sorted(row for part in parts for row in part[number][0]) == sorted(rows)
        assert sum(part[number][1] for part in parts) / num == pytest.approx(loss, abs=1e-5)
    for ours, theirs in zip(numbers(several), numbers(one), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    ours, theirs = (
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for run in (several, one)
    )
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, atol=1e-5, rtol=0)


def demand_the_same_answers(run: Path, one: Path) -> None:
    for file in ("predictions.test.parquet", "predictions.dev.parquet"):
        assert (run / file).read_bytes() == (one / file).read_bytes()
    ours, theirs = (json.loads((each / "metrics.json").read_text()) for each in (run, one))
    assert ours == theirs
    assert pq.read_table(run / "predictions.test.parquet").num_rows == 81
    dev = torch.load(one / "dev-0.pt", weights_only=True)
    assert dev.keys() == {"dev/loss", "dev/macro_f1", "dev/accuracy"}
    assert torch.load(run / "dev-0.pt", weights_only=True) == dev


@pytest.mark.parametrize(
    ("kind", "num"),
    [
        ("plain", 2),
        pytest.param("fine-tuned", 2, marks=pytest.mark.slow),
        pytest.param("weighted", 4, marks=pytest.mark.slow),
        pytest.param("balanced", 3, marks=pytest.mark.slow),
    ],
)
def test_several_processes_train_and_evaluate_as_one(kind: str, num: int, data: list[str], tmp_path: Path) -> None:
    words = options(kind, data, tmp_path)
    batch = 5 if num == 3 else 16 // num
    several, one = tmp_path / "several", tmp_path / "one"
    main(["fit", *words, "--data.batch_size", str(batch * num), *root(one)])
    recorded = ["--trainer.callbacks", RECORD_STEPS[1], "--ckpt_path", str(one / "checkpoints" / "best.ckpt")]
    size = ["--data.batch_size", "8"]
    evaluations = [[verb, *words, *size, *recorded] for verb in ("test", "validate")]
    for each in evaluations:
        main([*each, *root(one)])
    codes = run_in_processes(
        num,
        ["fit", *words, "--data.batch_size", str(batch), *root(several)],
        *([*each, *root(several)] for each in evaluations),
    )
    assert codes == [0] * num
    demand_steps_of_one(several, one, num)
    demand_the_same_answers(several, one)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_of_two_processes_stops_both_and_they_go_on_bit_for_bit(
    rank: int, data: list[str], tmp_path: Path
) -> None:
    words = [*data, *FIT, "--model.dropout", "0.2", "--model.input_noise", "1", "--trainer.max_epochs", "3"]
    words += ["--data.batch_size", "8"]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert run_in_processes(2, ["fit", *words, *root(whole)]) == [0, 0]
    stop = send(signal.SIGTERM, 8, rank)
    assert run_in_processes(2, ["fit", *words, *stop, *root(stopped)]) == [143, 143]
    assert torch.load(stopped / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 9
    resumed = ["fit", "--ckpt_path", "last", "--trainer.callbacks", RECORD[1], *root(stopped)]
    assert run_in_processes(2, resumed) == [0, 0]
    demand_equal(whole, stopped)


@pytest.mark.slow
def test_two_processes_go_on_inside_an_epoch_where_one_stopped(data: list[str], tmp_path: Path) -> None:
    words = [*data, *FIT, "--trainer.max_epochs", "3", "--data.batch_size", "16"]
    main(["fit", *words, *root(tmp_path / "whole")])
    with pytest.raises(SystemExit, match="143"):
        main(["fit", *words, *send(signal.SIGTERM, 8), *root(tmp_path / "stopped")])
    resumed = ["fit", "--ckpt_path", "last", "--trainer.callbacks", RECORD[1], *root(tmp_path / "stopped")]
    assert run_in_processes(2, [*resumed, "--data.batch_size", "8"]) == [0, 0]
    for ours, theirs in zip(numbers(tmp_path / "stopped"), numbers(tmp_path / "whole"), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
