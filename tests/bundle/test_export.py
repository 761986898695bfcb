"""Export writes what was trained, or nothing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from emoji_lightning.bundle.export import export_bundle
from emoji_lightning.checkpoint.stored_head import read_head
from emoji_lightning.data.corpus import Corpus
from emoji_lightning.errors import CheckpointError
from emoji_lightning.labels import LabelSet
from emoji_lightning.model.classifier import EmojiClassifier


@pytest.fixture
def corpus() -> Corpus:
    rng = np.random.default_rng(0)
    return Corpus(
        name="tiny.csv",
        embeddings=(rng.standard_normal((60, 8)) * np.logspace(-1, 1, 8) + 5).astype(np.float32),
        labels=rng.integers(0, 3, 60),
        splits=np.repeat(["train", "dev", "test"], 20),
        ids=[str(row) for row in range(60)],
        label_set=LabelSet(("a", "b", "c")),
        encoder="logmel",
        embedding_spec={"encoder": "logmel", "dim": 8},
    )


@pytest.fixture
def model(corpus: Corpus) -> EmojiClassifier:
    torch.manual_seed(0)
    classifier = EmojiClassifier(["a", "b", "c"], input_dim=8, encoder="logmel", hidden_dim=16)
    classifier.head.standardizer.fit(torch.from_numpy(corpus.embeddings))
    return classifier


def test_the_exported_head_gives_the_trained_models_logits(
    corpus: Corpus, model: EmojiClassifier, tmp_path: Path
) -> None:
    metrics = export_bundle(model, corpus, tmp_path, training={"epochs": 1}).metrics
    embeddings = torch.from_numpy(corpus.embeddings)
    mlp = read_head(tmp_path).build()
    torch.testing.assert_close(mlp(embeddings), model.eval()(embeddings), atol=1e-5, rtol=0)
    predicted = mlp(embeddings).argmax(dim=1).numpy()
    test = corpus.rows("test")
    assert metrics["test"].numbers["accuracy"].value == pytest.approx((predicted[test] == corpus.labels[test]).mean())


def test_a_head_that_differs_is_not_exported(
    corpus: Corpus, model: EmojiClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emoji_lightning.model.head.fold", lambda head: replace(head, standardization=None))
    with pytest.raises(CheckpointError, match=r"differs from the trained model by .* nothing was exported"):
        export_bundle(model, corpus, tmp_path / "out", training={})
    assert not (tmp_path / "out").exists()


def test_weights_with_nan_are_not_exported(corpus: Corpus, model: EmojiClassifier, tmp_path: Path) -> None:
    torch.nn.init.constant_(model.head.net[6].bias, float("nan"))  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="nothing was exported"):
        export_bundle(model, corpus, tmp_path / "out", training={})


def test_the_summary_holds_the_promised_figures_and_no_path(
    corpus: Corpus, model: EmojiClassifier, tmp_path: Path
) -> None:
    metrics = export_bundle(model, corpus, tmp_path, training={"epochs": 3}).metrics
    text = (tmp_path / "summary.json").read_text(encoding="utf-8")
    summary = json.loads(text)
    assert list(summary) == ["model", "data", "training", "metrics", "versions"]
    for split in ("dev", "test"):
        for name in ("accuracy", "macro_f1"):
            assert summary["metrics"][split][name] == metrics[split].numbers[name].value
            assert summary["metrics"][split]["intervals"][name] == metrics[split].numbers[name].interval
    calibration = summary["model"]["calibration"]
    logits = read_head(tmp_path).build()(torch.from_numpy(corpus.embeddings[corpus.rows("dev")])).detach().double()
    labels = torch.from_numpy(corpus.labels[corpus.rows("dev")])
    scaled = torch.nn.functional.cross_entropy(logits / calibration["temperature"], labels)
    assert calibration["fitted_on"] == "dev"
    assert calibration["after"]["nll"] == pytest.approx(scaled.item())
    assert calibration["after"]["nll"] < calibration["before"]["nll"]
    assert summary["data"]["utterances"]["train"] == {
        name: int((corpus.labels[:20] == label).sum()) for label, name in enumerate("abc")
    }
    for forbidden in (str(tmp_path), str(Path.home()), str(Path.cwd()), "/tmp"):
        assert forbidden not in text


def test_a_head_with_norms_is_exported_as_safetensors_too_with_the_label_map_beside_its_model_file(
    corpus: Corpus, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    layers = [torch.nn.Linear(8, 5), torch.nn.BatchNorm1d(5), torch.nn.ReLU(), torch.nn.Linear(5, 3)]
    torch.save(torch.nn.Sequential(*layers).state_dict(), tmp_path / "theirs.pt")
    (tmp_path / "label2id.json").write_text('{"0": "c", "1": "a", "2": "b"}')
    theirs = read_head(tmp_path / "theirs.pt")
    model = EmojiClassifier(["a", "b", "c"], input_dim=8, encoder="logmel", init_from=str(tmp_path / "theirs.pt"))
    export_bundle(model, corpus, tmp_path / "out", training={"epochs": 1}, like=theirs, safetensors=True)
    names = {"theirs.pt", "best_classifier.safetensors", "label2id.json", "summary.json"}
    assert {file.name for file in (tmp_path / "out").iterdir()} == names
    assert json.loads((tmp_path / "out" / "label2id.json").read_text()) == {"0": "a", "1": "b", "2": "c"}
    expected = model.eval()(torch.from_numpy(corpus.embeddings))
    for name in ("theirs.pt", "best_classifier.safetensors"):
        logits = read_head(tmp_path / "out" / name).build()(torch.from_numpy(corpus.embeddings))
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)


def test_a_head_that_safetensors_cannot_keep_leaves_no_file(corpus: Corpus, tmp_path: Path) -> None:
    state = {f"{name}.weight": torch.randn(8, 8)[: 3 if name == "out" else 8] for name in ("stem", "body", "out")}
    torch.save({"model": state, "labels": ["a", "b", "c"]}, tmp_path / "theirs.pt")
    theirs = read_head(tmp_path / "theirs.pt")
    model = EmojiClassifier(["a", "b", "c"], input_dim=8, encoder="logmel", init_from=str(tmp_path / "theirs.pt"))
    with pytest.raises(CheckpointError, match=r"theirs\.pt: its head cannot be kept as safetensors .* --format out"):
        export_bundle(model, corpus, tmp_path / "out", training={}, like=theirs, safetensors=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("largest_logit", "difference", "is_written"),
    [(0.5, 5e-6, True), (0.5, 3e-5, False), (20.0, 1e-4, True), (20.0, 5e-4, False)],
)
def test_a_head_is_written_where_it_differs_by_rounding_only(
    largest_logit: float,
    difference: float,
    is_written: bool,
    corpus: Corpus,
    model: EmojiClassifier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    last = model.head.linears[-1]
    with torch.no_grad():
        largest = model.eval()(torch.from_numpy(corpus.embeddings[corpus.rows("dev")])).abs().max()
        last.weight.mul_(largest_logit / largest)
        last.bias.mul_(largest_logit / largest)
    stored = model.to_stored()
    moved = stored.state_dict["6.bias"] + difference
    monkeypatch.setattr(model, "to_stored", lambda: replace(stored, state_dict=stored.state_dict | {"6.bias": moved}))
    if is_written:
        export_bundle(model, corpus, tmp_path / "bundle", training={})
    else:
        with pytest.raises(CheckpointError, match="the exported head differs from the trained model by"):
            export_bundle(model, corpus, tmp_path / "bundle", training={})
    assert (tmp_path / "bundle" / "best_classifier.pt").is_file() == is_written
