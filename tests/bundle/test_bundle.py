"""A bundle on disk: what other programs rely on, and what a broken one is told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from emoji_lightning.bundle.bundle import Bundle, read_bundle, write_bundle
from emoji_lightning.errors import CheckpointError, LabelError
from emoji_lightning.labels import LabelSet
from emoji_lightning.model.head import plain_mlp


def make_bundle() -> Bundle:
    torch.manual_seed(0)
    mlp = plain_mlp(input_dim=6, hidden_dim=4, num_labels=3, dropout=0.2)
    return Bundle(mlp.state_dict(), LabelSet(("<none>", "😭", "joy")), 6, 4, 0.2, "logmel", {"model": {}})


def test_a_program_that_knows_only_torch_reads_it(tmp_path: Path) -> None:
    bundle = make_bundle()
    write_bundle(bundle, tmp_path)
    checkpoint = torch.load(tmp_path / "best_classifier.pt", weights_only=True)
    assert set(checkpoint) == {"model_state_dict", "label2id", "id2label", "config", "format_version"}
    assert checkpoint["config"] == {
        "input_dim": 6,
        "hidden_dim": 4,
        "num_labels": 3,
        "dropout": 0.2,
        "encoder": "logmel",
    }
    assert checkpoint["id2label"] == {0: "<none>", 1: "😭", 2: "joy"}

    class TheirModel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = [nn.Linear(6, 4), nn.ReLU(), nn.Dropout(), nn.Linear(4, 4), nn.ReLU(), nn.Dropout()]
            self.net = nn.Sequential(*layers, nn.Linear(4, 3))

    theirs = TheirModel().eval()
    theirs.load_state_dict(checkpoint["model_state_dict"], strict=True)
    embeddings = torch.randn(5, 6)
    torch.testing.assert_close(theirs.net(embeddings), bundle.build_mlp()(embeddings), rtol=0, atol=0)


def test_label2id_is_readable_json(tmp_path: Path) -> None:
    write_bundle(make_bundle(), tmp_path)
    text = (tmp_path / "label2id.json").read_text(encoding="utf-8")
    assert "😭" in text
    assert json.loads(text) == {"<none>": 0, "😭": 1, "joy": 2}


def test_reading_gives_what_was_written(tmp_path: Path) -> None:
    bundle = make_bundle()
    write_bundle(bundle, tmp_path)
    for path in (tmp_path, tmp_path / "best_classifier.pt"):
        again = read_bundle(path)
        assert again.label_set == bundle.label_set
        assert again.summary == {"model": {}}
        assert all(torch.equal(again.state_dict[name], tensor) for name, tensor in bundle.state_dict.items())


def damage(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        checkpoint = make_bundle().checkpoint()
        change(checkpoint)
        torch.save(checkpoint, file)

    return write


BROKEN = {
    "missing": (lambda file: file.unlink(missing_ok=True), "no such file"),
    "empty": (lambda file: file.write_bytes(b""), "cannot read it"),
    "text": (lambda file: file.write_text("hello"), "cannot read it"),
    "truncated": (lambda file: file.write_bytes(file.read_bytes()[:900]), "cannot read it"),
    "whole module": (lambda file: torch.save(nn.Linear(1, 1), file), "cannot read it"),
    "list": (lambda file: torch.save([1], file), "holds a list"),
    "no labels": (damage(lambda c: c.pop("label2id")), "no label2id in it"),
    "no encoder": (damage(lambda c: c["config"].pop("encoder")), r"config lacks \['encoder'\]"),
    "other width": (damage(lambda c: c["config"].update(hidden_dim=5)), r"net\.0\.bias holds \(4,\)"),
    "missing layer": (damage(lambda c: c["model_state_dict"].pop("net.6.bias")), r"net\.6\.bias holds nothing"),
    "newer": (damage(lambda c: c.update(format_version=99)), "format_version is 99, this program reads 1"),
    "size as text": (damage(lambda c: c["config"].update(input_dim="6")), "expected sizes above 0"),
    "encoder number": (damage(lambda c: c["config"].update(encoder=7)), "encoder as text"),
    "number as tensor": (
        damage(lambda c: c["model_state_dict"].update({"net.0.bias": 1})),
        "net.0.bias in model_state",
    ),
    "NaN": (damage(lambda c: c["model_state_dict"]["net.3.bias"].fill_(float("nan"))), "finite numbers"),
    "label count": (damage(lambda c: c["config"].update(num_labels=4)), "num_labels is 4, label2id has 3"),
}


@pytest.mark.parametrize(("write", "reason"), BROKEN.values(), ids=list(BROKEN))
def test_a_broken_bundle_is_refused_with_its_reason(tmp_path: Path, write: Callable[[Path], None], reason: str) -> None:
    write_bundle(make_bundle(), tmp_path)
    write(tmp_path / "best_classifier.pt")
    with pytest.raises(CheckpointError, match=rf"best_classifier\.pt: .*{reason}"):
        read_bundle(tmp_path)


def test_ids_with_gaps_are_refused(tmp_path: Path) -> None:
    write_bundle(make_bundle(), tmp_path)
    damage(lambda c: c.update(label2id={"a": 0, "b": 1, "c": 3}))(tmp_path / "best_classifier.pt")
    with pytest.raises(LabelError, match=r"best_classifier\.pt: ids are \[0, 1, 3\]; expected 0 to 2"):
        read_bundle(tmp_path)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path(tmp_path / "executed").touch, ())

    torch.save({"model_state_dict": Attack()}, tmp_path / "best_classifier.pt")
    with pytest.raises(CheckpointError, match="weights_only=True"):
        read_bundle(tmp_path)
    assert not (tmp_path / "executed").exists()
