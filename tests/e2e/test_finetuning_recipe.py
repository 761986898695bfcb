"""The shipped overlay for fine-tuning, as it is: what it keeps, at every width, in every kind of head."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from separated_labels import DIM, FINETUNE, NEW, OLD, listed, root, write_corpus

from emoji_lightning.checkpoint.architecture import Architecture, Layer, plain
from emoji_lightning.cli import main
from emoji_lightning.cli.configs import CONFIGS


def save_head(file: Path, architecture: Architecture) -> list[str]:
    """Write a head that knows the old labels; return the options of a fine-tuning that starts from it."""
    torch.manual_seed(0)
    torch.save({"state_dict": architecture.build(0.0).state_dict(), "labels": OLD}, file)
    return ["--config", str(FINETUNE), "--model.init_from", str(file), "--data.labels", listed(OLD + NEW)]


@pytest.mark.parametrize("epochs", [10, 30])
def test_the_last_epoch_is_kept_whatever_their_number(epochs: int, tmp_path: Path) -> None:
    words = save_head(tmp_path / "head.pt", plain(DIM, 8, len(OLD)))
    data = write_corpus(tmp_path, NEW, 10, seed=2)
    main(["fit", *words, *data, "--trainer.max_epochs", str(epochs), *root(tmp_path / "run")])
    best, last = (
        torch.load(tmp_path / "run" / "checkpoints" / f"{name}.ckpt", weights_only=True) for name in ("best", "last")
    )
    assert best["epoch"] == last["epoch"] == epochs - 1
    assert all(torch.equal(tensor, last["state_dict"][name]) for name, tensor in best["state_dict"].items())
    main(["test", *root(tmp_path / "run")])
    main(["export", *root(tmp_path / "run"), "--output_dir", str(tmp_path / "bundle")])
    summary = json.loads((tmp_path / "bundle" / "summary.json").read_text(encoding="utf-8"))
    assert summary["training"]["epochs"] == epochs


def test_a_head_with_batch_norm_learns_from_a_last_batch_of_one(tmp_path: Path) -> None:
    shape = Architecture(DIM, (Layer(8, norm_out="batch_norm"), Layer(8, norm_out="batch_norm"), Layer(len(OLD))))
    words = save_head(tmp_path / "head.pt", shape)
    data = write_corpus(tmp_path, NEW, 14, seed=2)
    words += ["--data.batch_size", "27", "--trainer.max_epochs", "2"]
    main(["fit", *words, *data, *root(tmp_path / "run")])
    content = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["global_step"] == 4
    start = torch.load(tmp_path / "head.pt", weights_only=True)["state_dict"]
    for name, tensor in start.items():
        if "running" in name:
            assert torch.equal(content["state_dict"][f"head.net.{name}"], tensor)
        elif name == "0.weight":
            assert not torch.equal(content["state_dict"][f"head.net.{name}"], tensor)


def recalls(run: Path) -> dict[str, float]:
    table = pq.read_table(run / "predictions.test.parquet").to_pydict()
    answers = list(zip(table["label"], table["predicted"], strict=True))
    return {
        label: sum(pair == (label, label) for pair in answers) / sum(truth == label for truth, _ in answers)
        for label in OLD + NEW
    }


def test_what_needs_two_known_labels_says_so_where_there_are_fewer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*save_head(tmp_path / "head.pt", plain(DIM, 8, len(OLD))), "--trainer.max_epochs", "1"]
    words += [*write_corpus(tmp_path, NEW, 10, seed=2), "--model.distill", "2"]
    for labels, known in (([OLD[0], *NEW], "<none>"), (NEW, "none")):
        main(["fit", *words, "--data.labels", listed(labels), *root(tmp_path / f"run{len(labels)}")])
        printed = capsys.readouterr().out
        assert "warning: without effect: --model.distill 2 and --model.rehearse 1, which keeps apart" in printed
        assert f"({known}; expected 2 or more)" in printed
    main(["fit", *words, "--data.labels", listed([*OLD[:2], *NEW]), *root(tmp_path / "run2")])
    assert "without effect" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("width", [128, 256, 512])
def test_new_labels_are_learnt_and_old_ones_kept_by_heads_of_other_widths(width: int, tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("old", "new", "both")}
    for folder in folders.values():
        folder.mkdir()
    old = write_corpus(folders["old"], OLD, 100, seed=1)
    small = ["--config", str(CONFIGS / "experiment" / "small.yaml"), "--trainer.max_epochs", "15"]
    words = [*small, *old, "--data.labels", listed(OLD), "--model.hidden_dim", str(width)]
    main(["fit", *words, *root(tmp_path / "start")])
    words = ["--config", str(FINETUNE), "--model.init_from", str(tmp_path / "start" / "checkpoints" / "best.ckpt")]
    words += write_corpus(folders["new"], NEW, 20, seed=2)
    main(["fit", *words, "--data.labels", listed(OLD + NEW), *root(tmp_path / "run")])
    main(["test", *write_corpus(folders["both"], OLD + NEW, 100, seed=3), *root(tmp_path / "run")])
    assert min(recalls(tmp_path / "run").values()) > 0.9
