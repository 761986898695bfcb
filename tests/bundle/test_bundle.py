"""The bundle on disk: what other programs rely on."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from emoji_lightning.bundle.bundle import write_bundle
from emoji_lightning.checkpoint.architecture import Architecture, Layer, plain
from emoji_lightning.checkpoint.stored_head import StoredHead, read_head
from emoji_lightning.checkpoint.transforms import Standardization
from emoji_lightning.errors import CheckpointError
from emoji_lightning.labels import LabelSet


def make_head(architecture: Architecture = plain(6, 4, 3)) -> StoredHead:  # noqa: B008 - it cannot change
    torch.manual_seed(0)
    state = architecture.build(0.2).state_dict()
    return StoredHead(architecture, state, LabelSet(("<none>", "😭", "joy")), 0.2, "logmel", summary={"model": {}})


def test_a_program_that_knows_only_torch_reads_it(tmp_path: Path) -> None:
    head = make_head()
    write_bundle(head, tmp_path)
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
    torch.testing.assert_close(theirs.net(embeddings), head.build()(embeddings), rtol=0, atol=0)


def test_label2id_is_readable_json(tmp_path: Path) -> None:
    write_bundle(make_head(), tmp_path)
    text = (tmp_path / "label2id.json").read_text(encoding="utf-8")
    assert "😭" in text
    assert json.loads(text) == {"<none>": 0, "😭": 1, "joy": 2}


@pytest.mark.parametrize("name", [".", "best_classifier.pt", "best_classifier.safetensors"])
def test_reading_gives_what_was_written(tmp_path: Path, name: str) -> None:
    head = make_head()
    write_bundle(head, tmp_path, safetensors=True)
    again = read_head(tmp_path / name)
    assert (again.label_set, again.encoder, again.dropout) == (head.label_set, "logmel", 0.2)
    assert (again.architecture, again.summary) == (head.architecture, {"model": {}})
    assert again.source is not None
    assert "assumed" not in again.source.origins["activation"]
    assert all(torch.equal(again.state_dict[name], tensor) for name, tensor in head.state_dict.items())


def test_safetensors_hold_the_same_tensors_as_the_checkpoint(tmp_path: Path) -> None:
    write_bundle(make_head(), tmp_path, safetensors=True)
    tensors = load_file(tmp_path / "best_classifier.safetensors")
    state = torch.load(tmp_path / "best_classifier.pt", weights_only=True)["model_state_dict"]
    assert tensors.keys() == state.keys()
    assert all(torch.equal(tensors[name], state[name]) for name in state)


def test_the_same_head_is_written_to_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_bundle(make_head(), tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_standardisation_and_temperature_are_folded_into_the_layers(tmp_path: Path) -> None:
    plain_head = make_head()
    torch.manual_seed(1)
    standardization = Standardization(torch.randn(6), torch.rand(6) + 0.5, (), ())
    head = StoredHead(
        **{**vars(plain_head), "standardization": standardization, "temperature": 2.5},
    )
    write_bundle(head, tmp_path)
    again = read_head(tmp_path)
    assert (again.standardization, again.temperature) == (None, 1.0)
    embeddings = torch.randn(20, 6)
    exact = (embeddings.double() - standardization.mean) / standardization.scale
    layers = plain_head.architecture.build(0.0).double().eval()
    layers.load_state_dict(plain_head.state_dict)
    torch.testing.assert_close(again.build()(embeddings), (layers(exact) / 2.5).float(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(6, (Layer(4), Layer(3))),
        Architecture(6, (Layer(4), Layer(5), Layer(3))),
        Architecture(6, (Layer(4, norm_out="layer_norm"), Layer(4), Layer(3))),
        Architecture(6, (Layer(4), Layer(4), Layer(3)), "gelu"),
    ],
    ids=["two layers", "two widths", "a norm", "gelu"],
)
def test_another_shape_is_not_written_in_this_layout(tmp_path: Path, architecture: Architecture) -> None:
    with pytest.raises(CheckpointError, match=r"the head is 6 -> .* holds a plain MLP .* Give --like FILE"):
        write_bundle(make_head(architecture), tmp_path)
    assert not list(tmp_path.iterdir())
