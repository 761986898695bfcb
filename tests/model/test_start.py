"""A head that starts from another: what is copied by name, what is new, what goes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from emoji_lightning.bundle.bundle import write_bundle
from emoji_lightning.checkpoint.architecture import Architecture, Layer, plain
from emoji_lightning.checkpoint.stored_head import StoredHead, read_head
from emoji_lightning.errors import CheckpointError, ConfigError
from emoji_lightning.labels import LabelSet
from emoji_lightning.model.classifier import EmojiClassifier
from emoji_lightning.model.start import start_from

OLD = ("<none>", "😭", "joy", "🔥")


def stored(tmp_path: Path, **options: Any) -> StoredHead:
    torch.manual_seed(0)
    shape = plain(6, 4, len(OLD))
    head = StoredHead(shape, shape.build(0.0).state_dict(), LabelSet(OLD), encoder="logmel", **options)
    write_bundle(head, tmp_path)
    return read_head(tmp_path)


def save(path: Path, architecture: Architecture, **entries: Any) -> Path:
    torch.manual_seed(0)
    torch.save({"state_dict": architecture.build(0.0).state_dict(), "labels": list(OLD), **entries}, path)
    return path


def test_rows_are_copied_by_the_name_of_their_label(tmp_path: Path) -> None:
    old = stored(tmp_path)
    labels = ["🔥", "new", "😭", "<none>", "other"]
    head, start = start_from(old, labels, hidden_dim=None, dropout=0.2)
    assert (start.copied, start.new, start.dropped) == (("🔥", "😭", "<none>"), ("new", "other"), ("joy",))
    assert start.rows == (0, 2, 3)
    state = head.net.state_dict()
    for name in ("0.weight", "0.bias", "3.weight", "3.bias"):
        assert torch.equal(state[name], old.state_dict[name])
    for name in ("6.weight", "6.bias"):
        for row, old_row in ((0, 3), (2, 1), (3, 0)):
            assert torch.equal(state[name][row], old.state_dict[name][old_row])
        assert not any(torch.equal(state[name][1], row) for row in old.state_dict[name])
    assert torch.equal(state["6.bias"][[1, 4]], torch.zeros(2))
    assert len(set(state["6.weight"][[1, 4]].flatten().tolist())) == 8


def test_the_logits_of_copied_labels_are_those_of_the_file(tmp_path: Path) -> None:
    embeddings = torch.randn(30, 6)
    entries = {"feature_mean": torch.randn(6), "feature_scale": torch.rand(6) + 0.5, "temperature": 1.7}
    shapes = [
        plain(6, 4, 4),
        Architecture(6, (Layer(5), Layer(4))),
        Architecture(6, (Layer(5, norm_out="layer_norm"), Layer(5, norm_out="batch_norm"), Layer(4))),
        Architecture(6, (Layer(5, norm_in="layer_norm"), Layer(3), Layer(4))),
    ]
    for number, shape in enumerate(shapes):
        old = read_head(save(tmp_path / f"{number}.pt", shape, **entries))
        head, start = start_from(old, ["new", "joy", "🔥"], hidden_dim=None, dropout=0.2)
        with torch.no_grad():
            logits = head.eval()(embeddings)[:, list(start.rows)]
        expected = old.build()(embeddings)[:, [2, 3]]
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)


def test_a_norm_behind_the_last_layer_follows_its_rows(tmp_path: Path) -> None:
    shape = Architecture(6, (Layer(5), Layer(4, norm_out="batch_norm")))
    old = read_head(save(tmp_path / "head.pt", shape))
    head, _ = start_from(old, ["🔥", "<none>"], hidden_dim=None, dropout=0.2)
    embeddings = torch.randn(30, 6)
    with torch.no_grad():
        torch.testing.assert_close(head.eval()(embeddings), old.build()(embeddings)[:, [3, 0]])


def test_another_width_than_the_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--model\.hidden_dim is 8, .*best_classifier\.pt has 6 -> 4 .*leave"):
        start_from(stored(tmp_path), list(OLD), hidden_dim=8, dropout=0.2)
    head, _ = start_from(stored(tmp_path), list(OLD), hidden_dim=4, dropout=0.2)
    assert head.architecture == plain(6, 4, 4)


def classifier(tmp_path: Path, **options: Any) -> EmojiClassifier:
    stored(tmp_path)
    known = {"labels": list(OLD), "input_dim": 6, "encoder": "logmel", "init_from": str(tmp_path)}
    return EmojiClassifier(**known | options)  # type: ignore[arg-type]


def test_embeddings_of_another_dimension_are_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"takes 6-d embeddings \(logmel\), the data has 7-d ones of logmel; give"
    ):
        classifier(tmp_path, input_dim=7)


def test_embeddings_of_another_encoder_are_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"embeddings of logmel, the data has those of emotion2vec_base \(w"):
        classifier(tmp_path, encoder="emotion2vec_base", weights_sha256="ab" * 32)


def test_the_same_name_with_other_weights_is_refused(tmp_path: Path) -> None:
    file = save(tmp_path / "head.pt", plain(6, 4, 4), encoder="iic/emotion2vec_base", weights_sha256="cd" * 32)
    common = {"labels": list(OLD), "input_dim": 6, "encoder": "emotion2vec_base", "init_from": str(file)}
    with pytest.raises(CheckpointError, match=r"weights cdcdcdcdcdcd\), the data has .*weights abababababab"):
        EmojiClassifier(**common, weights_sha256="ab" * 32)  # type: ignore[arg-type]
    for known in ("cd" * 32, None):
        assert EmojiClassifier(**common, weights_sha256=known).finetuning is not None  # type: ignore[arg-type]


def test_without_a_start_the_head_has_512_units_and_options_of_fine_tuning_are_errors() -> None:
    assert EmojiClassifier(["a", "b"]).head.architecture == plain(768, 512, 2)
    for options in ({"freeze": "hidden"}, {"l2_sp": 1.0}, {"distill": 0.5}, {"layer_lr_decay": 0.5}):
        (name,) = options
        with pytest.raises(ConfigError, match=rf"--model\.{name} is .*; it needs --model\.init_from FILE"):
            EmojiClassifier(["a", "b"], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [("layer_lr_decay", 0.0, "above 0 and at most 1"), ("l2_sp", -1.0, "0 or more"), ("distill", -1.0, "0 or more")],
)
def test_a_value_out_of_range_is_named(tmp_path: Path, option: str, value: float, expected: str) -> None:
    with pytest.raises(ConfigError, match=rf"--model\.{option} is {value}; expected {expected}"):
        classifier(tmp_path, **{option: value})
