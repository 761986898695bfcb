"""A head in the layout of another file: the programs that read that file read it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from layout_parts import Layout
from layouts import LAYOUTS
from like_parts import assert_same, contents, other_head, save, write
from safetensors.torch import save_file

from emoji_lightning.bundle.bundle import write_bundle
from emoji_lightning.bundle.like import write_like
from emoji_lightning.checkpoint.architecture import plain
from emoji_lightning.checkpoint.stored_head import StoredHead, read_head
from emoji_lightning.checkpoint.transforms import Standardization
from emoji_lightning.errors import CheckpointError
from emoji_lightning.labels import LabelSet


@pytest.fixture(params=LAYOUTS, ids=lambda layout: layout.name)
def layout(request: pytest.FixtureRequest) -> Layout:
    return request.param  # type: ignore[no-any-return]


def model_file(layout: Layout, folder: Path) -> Path:
    folder.mkdir()
    return layout.write(folder)


def test_a_file_in_its_own_layout_is_the_same(layout: Layout, tmp_path: Path) -> None:
    model = read_head(model_file(layout, tmp_path / "model"))
    assert model.source is not None
    report = write_like(model, model, tmp_path / "out")
    assert report.left_out == ()
    assert report.file.name == model.source.content.file.name
    (data, metadata), (expected, expected_metadata) = contents(report.file), contents(model.source.content.file)
    assert_same(data, expected)
    assert metadata == expected_metadata  # safetensors keeps no order
    beside = {name for name in ("config.json", "label2id.json") if name in model.source.content.beside}
    for name in beside:
        expected = model.source.content.file.with_name(name)
        assert (tmp_path / "out" / name).read_bytes() == expected.read_bytes()
    assert {file.name for file in (tmp_path / "out").iterdir()} == {report.file.name, "label2id.json", *beside}


@pytest.mark.parametrize("labels", [("<none>", "😭", "joy"), ("joy", "<none>", "🔥", "😭", "class_name")], ids=len)
def test_its_own_users_read_our_head(layout: Layout, labels: tuple[str, ...], tmp_path: Path) -> None:
    path = model_file(layout, tmp_path / "model")
    model = read_head(path)
    head = other_head(model, labels)
    report = write_like(head, model, tmp_path / "out")
    embeddings = 2 * torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    written = tmp_path / "out" if path.is_dir() else report.file
    logits, predicted = layout.consume(written, embeddings)
    with torch.no_grad():
        ours = head.build()(embeddings)
    is_half = any(tensor.dtype in (torch.float16, torch.bfloat16) for tensor in tensors_of(model))
    torch.testing.assert_close(logits.float(), ours, rtol=0.02 if is_half else 0, atol=0.3 if is_half else 1e-4)
    names = [head.label_set.labels[number] for number in logits.argmax(dim=1).tolist()]
    assert predicted == names
    assert len(set(predicted)) > 1


def tensors_of(head: StoredHead) -> list[torch.Tensor]:
    assert head.source is not None
    data, _ = contents(head.source.content.file)
    for key in head.source.state:
        data = data[key]
    return [tensor for tensor in data.values() if isinstance(tensor, torch.Tensor)]


def test_what_belongs_to_other_weights_is_left_out_and_said(tmp_path: Path) -> None:
    optimizer = {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []}
    entries = {"optimizer_state_dict": optimizer, "val_loss": 0.3, "best_f1": 0.7, "global_step": 9, "epoch": 4}
    report = write(tmp_path, **entries, train_args={"lr": 0.1}, note="mine")
    assert report.left_out == ("optimizer_state_dict", "val_loss", "best_f1", "global_step", "epoch")
    assert report.carried == ("train_args", "note")
    assert list(torch.load(report.file, weights_only=True)) == ["model_state_dict", "labels", "train_args", "note"]


def test_our_epochs_stand_where_theirs_stood(tmp_path: Path) -> None:
    report = write(tmp_path, epoch=4, epochs=20)
    assert torch.load(report.file, weights_only=True)["epoch"] == 20


def test_labels_that_both_know_keep_the_spelling_of_the_file(tmp_path: Path) -> None:
    model = read_head(save(tmp_path / "theirs.pt", labels=["👍🏽", ":joy:", "Ärger"]))
    report = write_like(other_head(model, ("😂", "🔥", "👍")), model, tmp_path / "out")
    assert torch.load(report.file, weights_only=True)["labels"] == [":joy:", "🔥", "👍🏽"]


def test_counts_encoder_and_dropout_are_those_of_our_head(tmp_path: Path) -> None:
    config = {"num_classes": 3, "dropout": 0.5, "encoder": "iic/emotion2vec_base", "hidden_dim": 5, "lr": 1e-3}
    model = read_head(save(tmp_path / "theirs.pt", config=config))
    head = replace(other_head(model, ("a", "b", "c", "d")), encoder="logmel", dropout=0.1)
    written = torch.load(write_like(head, model, tmp_path / "out").file, weights_only=True)["config"]
    assert written == {"num_classes": 4, "dropout": 0.1, "encoder": "logmel", "hidden_dim": 5, "lr": 1e-3}
    same = replace(head, encoder="emotion2vec_base")
    again = torch.load(write_like(same, model, tmp_path / "again").file, weights_only=True)["config"]
    assert again["encoder"] == "iic/emotion2vec_base"


def test_a_stored_standardisation_is_replaced_by_ours_or_by_none(tmp_path: Path) -> None:
    torch.manual_seed(3)
    ours = Standardization(torch.randn(8), torch.rand(8) + 1, (), ())
    entries = {"feature_mean": torch.ones(8), "feature_scale": torch.full((8,), 2.0), "temperature": 3.0}
    model = read_head(save(tmp_path / "theirs.pt", **entries))
    head = other_head(model, ("a", "b", "c"))
    for standardization, mean, scale in ((ours, ours.mean, ours.scale), (None, torch.zeros(8), torch.ones(8))):
        file = write_like(replace(head, standardization=standardization), model, tmp_path / "out").file
        written = torch.load(file, weights_only=True)
        assert torch.equal(written["feature_mean"], mean)
        assert torch.equal(written["feature_scale"], scale)
        assert written["temperature"] == 1.0


def test_a_stored_variance_is_replaced_by_our_scale_squared(tmp_path: Path) -> None:
    torch.manual_seed(3)
    ours = Standardization(torch.randn(8), torch.rand(8) + 1, (), ())
    model = read_head(save(tmp_path / "theirs.pt", feat_mean=[0.0] * 8, feat_var=torch.ones(8, dtype=torch.float64)))
    head = replace(other_head(model, ("a", "b", "c")), standardization=ours)
    written = torch.load(write_like(head, model, tmp_path / "out").file, weights_only=True)
    assert written["feat_mean"] == pytest.approx(ours.mean.tolist())
    assert written["feat_var"].dtype == torch.float64
    torch.testing.assert_close(written["feat_var"].float(), ours.scale.square())


def test_metadata_of_safetensors_that_does_not_change_keeps_its_text(tmp_path: Path) -> None:
    torch.manual_seed(0)
    metadata = {"labels": '["a","b",  "c"]', "note": '{"b":1,"a":[1.50]}', "version": "1.0"}
    save_file(plain(8, 5, 3).build(0.0).state_dict(), tmp_path / "theirs.safetensors", metadata=metadata)
    model = read_head(tmp_path / "theirs.safetensors")
    same = write_like(other_head(model, ("a", "b", "c")), model, tmp_path / "same").file
    assert contents(same)[1] == metadata
    other = write_like(other_head(model, ("c", "😭")), model, tmp_path / "other").file
    assert contents(other)[1] == metadata | {"labels": '["c", "😭"]'}


def test_a_standardisation_goes_into_the_layers_where_the_file_has_no_place_for_it(tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = read_head(save(tmp_path / "theirs.pt"))
    standardization = Standardization(torch.randn(8), torch.rand(8) + 1, (), ())
    head = replace(other_head(model, ("a", "b", "c")), standardization=standardization, temperature=2.0)
    again = read_head(write_like(head, model, tmp_path / "out").file)
    embeddings = torch.randn(20, 8)
    torch.testing.assert_close(again.build()(embeddings), head.build()(embeddings), atol=1e-4, rtol=0)


def test_a_head_of_another_shape_is_refused(tmp_path: Path) -> None:
    model = read_head(save(tmp_path / "theirs.pt"))
    shape = plain(8, 6, 3)
    head = StoredHead(shape, shape.build(0.0).state_dict(), LabelSet(("a", "b", "c")))
    with pytest.raises(CheckpointError, match=r"theirs\.pt: holds 8 -> 5 .*, the head to write is 8 -> 6 .*init_from"):
        write_like(head, model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_may_be_replaced_by_our_head_in_its_layout(tmp_path: Path) -> None:
    model = read_head(save(tmp_path / "theirs.pt"))
    head = other_head(model, ("a", "b", "c"))
    write_like(head, model, tmp_path)
    again = read_head(tmp_path / "theirs.pt")
    assert all(torch.equal(again.state_dict[name], tensor) for name, tensor in head.state_dict.items())


def test_our_own_layout_can_be_named_too(tmp_path: Path) -> None:
    shape = plain(8, 5, 3)
    first = StoredHead(shape, shape.build(0.0).state_dict(), LabelSet(("a", "b", "c")), encoder="logmel")
    write_bundle(first, tmp_path / "first")
    model = read_head(tmp_path / "first")
    second = other_head(model, ("c", "d"))
    write_like(second, model, tmp_path / "second")
    write_bundle(second, tmp_path / "direct")
    assert_same(
        contents(tmp_path / "second" / "best_classifier.pt"), contents(tmp_path / "direct" / "best_classifier.pt")
    )
    labels = [(tmp_path / folder / "label2id.json").read_text(encoding="utf-8") for folder in ("second", "direct")]
    assert labels[0] == labels[1]
