"""The safetensors file beside a head in the layout of another file: the same head, all else as metadata."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from layout_parts import Layout
from layouts import LAYOUTS
from like_parts import contents, other_head, save
from safetensors.torch import load_file, save_file

from emoji_lightning.bundle.like import write_like
from emoji_lightning.checkpoint.architecture import plain
from emoji_lightning.checkpoint.stored_head import StoredHead, read_head
from emoji_lightning.checkpoint.transforms import Standardization
from emoji_lightning.errors import CheckpointError

NAME = "best_classifier.safetensors"
LABELS = ("joy", "<none>", "🔥", "😭")
OF_TORCH = [layout for layout in LAYOUTS if layout.name not in ("safetensors", "transformers folder")]


def write_both(model: StoredHead, folder: Path, labels: tuple[str, ...] = LABELS) -> StoredHead:
    """Write another head in both containers and return it as it was read from safetensors."""
    write_like(other_head(model, labels), model, folder, safetensors=True)
    return read_head(folder / NAME)


@pytest.mark.parametrize("layout", OF_TORCH, ids=lambda layout: layout.name)
def test_safetensors_hold_the_head_that_the_layout_holds(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    model = read_head(layout.write(tmp_path / "model"))
    assert model.source is not None
    again = write_both(model, tmp_path / "out")
    expected = read_head(tmp_path / "out" / model.source.content.file.name)
    assert again.architecture == expected.architecture
    assert (again.label_set, again.encoder, again.dropout) == (expected.label_set, expected.encoder, expected.dropout)
    embeddings = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(again.build()(embeddings), expected.build()(embeddings), rtol=0, atol=0)


def test_a_program_that_knows_only_safetensors_gets_names_dtypes_and_metadata(tmp_path: Path) -> None:
    state = {f"fc.{name}": tensor.half() for name, tensor in plain(8, 5, 3).build(0.0).state_dict().items()}
    entries = {"label2id": {"a": 0, "b": 1, "c": 2}, "labels": None, "config": {"num_classes": 3, "note": "é"}}
    optimizer = {"state": {0: torch.ones(5)}}
    file = save(tmp_path / "theirs.pt", model_state_dict=state, optimizer=optimizer, epoch=3, lr=1e-3, **entries)
    write_like(other_head(read_head(file), ("c", "😭")), read_head(file), tmp_path / "out", epochs=9, safetensors=True)
    tensors, metadata = contents(tmp_path / "out" / NAME)
    torch_file = torch.load(tmp_path / "out" / "theirs.pt", weights_only=True)
    assert tensors.keys() == torch_file["model_state_dict"].keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in torch_file["model_state_dict"].items())
    assert tensors["fc.0.weight"].dtype == torch.float16
    assert metadata == {
        "format": "pt",
        "label2id": '{"c": 0, "😭": 1}',
        "config": '{"num_classes": 2, "note": "é"}',
        "epoch": "9",
        "lr": "0.001",
    }


def test_what_json_cannot_hold_and_what_resumes_a_training_stays_out(tmp_path: Path) -> None:
    doubled: list[Any] = []
    for _ in range(60):
        doubled = [doubled, doubled]
    endless: dict[str, Any] = {}
    endless["itself"] = endless
    entries = {"raw": b"x", "loops": {"epoch": 3}, "seen": {"ids": {1, 2}}, "doubled": doubled, "endless": endless}
    entries |= {"wide": torch.zeros(1).expand(1 << 40), "confusion": torch.eye(3), "dims": {(1, 2): 3}}
    file = save(tmp_path / "theirs.pt", **entries)
    write_like(read_head(file), read_head(file), tmp_path / "out", safetensors=True)
    _, metadata = contents(tmp_path / "out" / NAME)
    assert metadata.keys() == {"format", "labels", "confusion"}
    assert json.loads(metadata["confusion"]) == torch.eye(3).tolist()


def test_a_standardisation_and_a_temperature_get_into_safetensors(tmp_path: Path) -> None:
    torch.manual_seed(3)
    ours = Standardization(torch.randn(8), torch.rand(8) + 1, (), ())
    mean, scale = torch.zeros(8, dtype=torch.float64), torch.ones(1, 8)
    for places in ({"feature_mean": mean, "feature_var": scale}, {"scaler": {"mean_": [0.0] * 8, "scale_": [1.0] * 8}}):
        model = read_head(save(tmp_path / "theirs.pt", temperature=torch.tensor(3.0), **places))
        head = replace(other_head(model, ("a", "b", "c")), standardization=ours, temperature=2.0)
        write_like(head, model, tmp_path / "out", safetensors=True)
        again = read_head(tmp_path / "out" / NAME)
        assert again.temperature == 2.0
        assert again.standardization is not None
        torch.testing.assert_close(again.standardization.mean, ours.mean, rtol=0, atol=0)
        torch.testing.assert_close(again.standardization.scale, ours.scale, rtol=0, atol=1e-6)


def test_labels_beside_the_file_are_labels_of_both(tmp_path: Path) -> None:
    save(tmp_path / "theirs.pt", labels=None)
    (tmp_path / "label2id.json").write_text('{"0": "a", "1": "b", "2": "c"}')
    assert write_both(read_head(tmp_path / "theirs.pt"), tmp_path / "out").label_set.labels == LABELS


@pytest.mark.parametrize("names", [("stem", "body", "adapter"), ("adapter", "body", "stem")])
def test_layers_of_which_only_the_file_tells_the_order_are_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = {f"{name}.weight": torch.randn(3, 3) for name in names}
    model = read_head(save(tmp_path / "theirs.pt", model_state_dict=state))
    with pytest.raises(
        CheckpointError,
        match=r"theirs.pt: its head cannot be kept as safetensors .* several orders of them fit.*; leave --format out",
    ):
        write_like(model, model, tmp_path / "out", safetensors=True)
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_a_head_that_safetensors_would_read_otherwise_is_refused(tmp_path: Path) -> None:
    model = read_head(save(tmp_path / "theirs.pt", deep={"a": {"b": {"encoder": "logmel"}}}))
    with pytest.raises(
        CheckpointError, match=r"theirs.pt: .* as safetensors \(its encoder reads None in place of 'logmel'\); leave"
    ):
        write_like(model, model, tmp_path / "out", safetensors=True)


def test_a_file_that_is_safetensors_needs_no_second_one(tmp_path: Path) -> None:
    state = plain(8, 5, 3).build(0.0).state_dict()
    save_file(state, tmp_path / "theirs.safetensors", metadata={"labels": '["a", "b", "c"]'})
    model = read_head(tmp_path / "theirs.safetensors")
    write_like(other_head(model, LABELS), model, tmp_path / "out", safetensors=True)
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"theirs.safetensors", "label2id.json"}
    assert load_file(tmp_path / "out" / "theirs.safetensors")["6.bias"].shape == (4,)
