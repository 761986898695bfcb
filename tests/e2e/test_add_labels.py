"""Fine-tuning as a user types it: start from a checkpoint, add and drop labels, resume, export in its layout."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from separated_labels import DIM, FINETUNE, NEW, OLD, listed, root, write_corpus
from torch import nn

from emoji_lightning.checkpoint.stored_head import read_head
from emoji_lightning.cli import main
from emoji_lightning.cli.configs import CONFIGS
from emoji_lightning.embedding.store import EmbeddingStore

Fails = Callable[..., str]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data`, `run` and `bundle` of a head that knows three labels."""
    folder = tmp_path_factory.mktemp("old")
    (folder / "data").mkdir()
    data = write_corpus(folder / "data", OLD, 100, seed=1)
    small = ["--config", str(CONFIGS / "experiment" / "small.yaml"), "--trainer.max_epochs", "15"]
    small += ["--model.lr", "0.003"]
    main(["fit", *small, *data, "--data.labels", listed(OLD), "--model.hidden_dim", "64", *root(folder / "run")])
    main(["export", *root(folder / "run"), "--output_dir", str(folder / "bundle"), "--format", "safetensors"])
    return folder


@pytest.fixture(scope="module")
def new_data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of a corpus with 20 utterances of each of two new labels."""
    return write_corpus(tmp_path_factory.mktemp("new"), NEW, 20, seed=2)


@pytest.fixture(scope="module")
def tuned(old: Path, new_data: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a fine-tuning that adds the new labels."""
    run = tmp_path_factory.mktemp("tuned") / "run"
    words = ["--config", str(FINETUNE), "--model.init_from", str(old / "bundle" / "best_classifier.pt"), *new_data]
    main(["fit", *words, "--model.labels", listed(OLD + NEW), *root(run)])
    return run


def answers(run: Path) -> dict[str, list[str]]:
    table = pq.read_table(run / "predictions.test.parquet").to_pydict()
    return {"label": table["label"], "predicted": table["predicted"]}


def recall(run: Path, label: str) -> float:
    found = answers(run)
    hits = [predicted == label for truth, predicted in zip(*found.values(), strict=True) if truth == label]
    return float(np.mean(hits))


def test_new_labels_are_learnt_and_old_ones_are_kept_without_their_data(tuned: Path, old: Path, tmp_path: Path) -> None:
    main(["test", *root(tuned)])
    assert min(recall(tuned, label) for label in NEW) > 0.9
    both = write_corpus(tmp_path, OLD, 100, seed=3)
    main(["test", *both, *root(tuned)])
    assert min(recall(tuned, label) for label in OLD) > 0.9


def test_the_naive_way_forgets_what_it_knew(old: Path, new_data: list[str], tmp_path: Path) -> None:
    """The corpus of the test above is one on which it can fail."""
    words = ["--config", str(FINETUNE), "--model.init_from", str(old / "bundle"), "--model.l2_sp", "0"]
    words += ["--model.rehearse", "0", *new_data, "--data.labels", listed(OLD + NEW), "--model.lr", "0.0005"]
    main(["fit", *words, *root(tmp_path / "run")])
    (tmp_path / "data").mkdir()
    main(["test", *write_corpus(tmp_path / "data", OLD, 100, seed=3), *root(tmp_path / "run")])
    assert np.mean([recall(tmp_path / "run", label) for label in OLD]) < 0.5


def test_the_run_prints_what_was_copied_started_new_and_dropped(
    old: Path, new_data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "--model.init_from",
        str(old / "run" / "checkpoints" / "best.ckpt"),
        *new_data,
        "--trainer.max_epochs",
        "1",
    ]
    main(["fit", *words, "--data.labels", listed([*NEW, "joy"]), *root(tmp_path)])
    printed = capsys.readouterr().out
    assert "started from best.ckpt (" in printed
    assert "16 -> 64 -> ReLU -> 64 -> ReLU -> 3" in printed
    assert "learning rate 0.0008 = 0.0001 x 512 / 64\n" in printed
    assert "copied rows: 1  joy" in printed
    assert "new rows: 2  🔥 👍" in printed
    assert "dropped: 2  <none> 😭" in printed
    assert "to keep them, name all labels: --data.labels" in printed


def test_later_verbs_need_the_file_no_more(tuned: Path, tmp_path: Path, old: Path) -> None:
    config = yaml.safe_load((tuned / "fit.yaml").read_text(encoding="utf-8"))
    assert config["model"]["init_from"] == str(old / "bundle" / "best_classifier.pt")
    config["model"]["init_from"] = str(tmp_path / "gone.pt")
    moved = tmp_path / "run"
    (moved / "checkpoints").mkdir(parents=True)
    config["checkpoint"]["dirpath"] = str(moved / "checkpoints")
    for name in ("best.ckpt", "last.ckpt"):
        (moved / "checkpoints" / name).write_bytes((tuned / "checkpoints" / name).read_bytes())
    (moved / "fit.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    main(["test", *root(moved)])
    main(["export", *root(moved), "--output_dir", str(tmp_path / "bundle")])
    summary = json.loads((tmp_path / "bundle" / "summary.json").read_text(encoding="utf-8"))
    started = summary["training"]["init_from"]
    assert started["copied"] == OLD
    assert started["new"] == NEW
    assert started["file"] == "best_classifier.pt"
    assert str(tmp_path) not in json.dumps(summary)
    main(["fit", *root(moved), "--ckpt_path", "last", "--trainer.max_epochs", "210"])
    last = torch.load(moved / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["epoch"] >= 209


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--ckpt_path", "last", "--model.lr", "0.5"], r"--model\.lr is 0\.5, the run was begun with 0\.003"),
        (["--ckpt_path", "last", "--model.init_from", "x.pt"], "resumes a run exactly, --model.init_from starts a new"),
        (["--model.freeze", "hidden"], r"--model\.freeze is hidden; it needs --model\.init_from FILE"),
        (["--model.init_from", "absent.pt"], r"absent\.pt: no such file"),
    ],
)
def test_what_contradicts_is_an_error(words: list[str], reason: str, old: Path, fails: Fails) -> None:
    before = sorted(path.name for path in (old / "run").rglob("*"))
    assert re.search(rf"^error: .*{reason}", fails("fit", *words, *root(old / "run")))
    assert sorted(path.name for path in (old / "run").rglob("*")) == before


def test_embeddings_of_another_encoder_are_an_error_before_anything_runs(
    old: Path, tmp_path: Path, fails: Fails
) -> None:
    data = write_corpus(tmp_path, NEW, 20, seed=2, encoder="another")
    error = fails("fit", "--model.init_from", old / "bundle", *data, *root(tmp_path / "run"))
    assert "was trained on embeddings of made, the data has those of another; give --data.store" in error
    assert not (tmp_path / "run").exists()


def test_replay_joins_train_and_dev_and_leaves_test_alone(old: Path, new_data: list[str], tmp_path: Path) -> None:
    words = ["--model.init_from", str(old / "bundle"), *new_data, "--data.labels", listed(OLD + NEW)]
    words += ["--data.replay", str(old / "data" / "labels.csv"), "--data.replay_store", str(old / "data" / "store")]
    words += ["--data.replay_per_label", "7", "--trainer.max_epochs", "1"]
    main(["fit", *words, *root(tmp_path / "run")])
    main(["export", *root(tmp_path / "run"), "--output_dir", str(tmp_path / "bundle")])
    data = json.loads((tmp_path / "bundle" / "summary.json").read_text(encoding="utf-8"))["data"]
    assert data["utterances"]["train"] == dict.fromkeys(OLD, 7) | dict.fromkeys(NEW, 20)
    assert data["utterances"]["dev"] == dict.fromkeys(OLD, 100) | dict.fromkeys(NEW, 20)
    assert data["utterances"]["test"] == dict.fromkeys(OLD, 0) | dict.fromkeys(NEW, 20)
    assert data["replayed"] == 321
    main(["predict", *root(tmp_path / "run")])
    assert pq.read_table(tmp_path / "run" / "predictions.parquet").num_rows == 120


class TheirNet(nn.Module):
    """The model of another program, with norms: its checkpoint is started from and written back."""

    def __init__(self, num_labels: int) -> None:
        super().__init__()
        self.fc1, self.ln1 = nn.Linear(DIM, 24), nn.LayerNorm(24)
        self.fc2, self.ln2 = nn.Linear(24, 24), nn.LayerNorm(24)
        self.fc3 = nn.Linear(24, num_labels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.ln1(self.fc1(x)))
        out: torch.Tensor = self.fc3(torch.relu(self.ln2(self.fc2(x))))
        return out


def test_a_head_with_norms_is_fine_tuned_and_exported_in_its_own_layout(
    old: Path, tmp_path: Path, fails: Fails, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    theirs = tmp_path / "their_head.pt"
    torch.save(
        {"classifier_state_dict": TheirNet(3).state_dict(), "id_to_label": dict(enumerate(OLD)), "val_acc": 0.1}, theirs
    )
    data = ["--data.manifest", str(old / "data" / "labels.csv"), "--data.store", str(old / "data" / "store")]
    words = ["--model.init_from", str(theirs), *data, "--data.labels", listed(OLD), "--model.lr", "0.0002"]
    main(["fit", *words, "--trainer.max_epochs", "20", *root(tmp_path / "run")])
    assert "Give --like FILE" in fails("export", *root(tmp_path / "run"), "--output_dir", tmp_path / "plain")
    assert not (tmp_path / "plain").exists()
    main(["export", *root(tmp_path / "run"), "--output_dir", str(tmp_path / "out"), "--like", str(theirs)])
    printed = capsys.readouterr().out
    assert "left out: val_acc" in printed
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "label2id.json",
        "summary.json",
        "their_head.pt",
    ]
    written = torch.load(tmp_path / "out" / "their_head.pt", weights_only=True)
    assert list(written) == ["classifier_state_dict", "id_to_label"]
    module = TheirNet(3)
    module.load_state_dict(written["classifier_state_dict"], strict=True)
    store = EmbeddingStore.open(old / "data" / "store")
    main(["test", *root(tmp_path / "run")])
    found = pq.read_table(tmp_path / "run" / "predictions.test.parquet").to_pydict()
    vectors = torch.from_numpy(store.read_ids(found["id"]))
    predicted = [written["id_to_label"][number] for number in module.eval()(vectors).argmax(dim=1).tolist()]
    assert predicted == found["predicted"]
    assert len(set(predicted)) == 3


def test_export_in_the_layout_of_its_own_export_changes_nothing(old: Path, tmp_path: Path) -> None:
    like = old / "bundle" / "best_classifier.pt"
    main(["export", *root(old / "run"), "--output_dir", str(tmp_path), "--like", str(like)])
    ours, theirs = (torch.load(file, weights_only=True) for file in (tmp_path / "best_classifier.pt", like))
    assert list(ours) == list(theirs)
    assert ours["config"] == theirs["config"]
    for name, tensor in theirs["model_state_dict"].items():
        assert torch.equal(ours["model_state_dict"][name], tensor)
    like = like.with_suffix(".safetensors")
    main(["export", *root(old / "run"), "--output_dir", str(tmp_path / "st"), "--like", str(like)])
    assert read_head(tmp_path / "st" / "best_classifier.safetensors").label_set.labels == tuple(OLD)
