"""What holds a fine-tuned head to its start."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from emoji_lightning.checkpoint.architecture import Architecture, Layer, plain
from emoji_lightning.data.dataset import Batch
from emoji_lightning.model.classifier import EmojiClassifier
from emoji_lightning.model.finetuning import distillation
from emoji_lightning.model.head import Head
from emoji_lightning.model.schedule import describe_rates, parameter_groups

OLD, NEW = ["a", "b", "c"], ["c", "new", "a"]


def classifier(tmp_path: Path, architecture: Architecture = plain(6, 4, 3), **options: Any) -> EmojiClassifier:  # noqa: B008
    torch.manual_seed(0)
    file = tmp_path / "head.pt"
    torch.save({"state_dict": architecture.build(0.0).state_dict(), "labels": OLD}, file)
    model = EmojiClassifier(NEW, input_dim=6, dropout=0.0, init_from=str(file), **options)
    batch = data()
    assert model.finetuning is not None
    model.finetuning.begin(model.head, batch.embedding, batch.label)
    return model


def data() -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(torch.randn(24, 6, generator=generator) * 3 + 1, torch.arange(24) % 3, torch.arange(24))


def test_the_distillation_is_the_divergence_computed_in_float64() -> None:
    generator = np.random.default_rng(0)
    logits, expected = generator.normal(size=(2, 10, 4)) * 3
    targets = softmax(expected / 2, axis=1)
    by_hand = 4 * (targets * (np.log(targets) - log_softmax(logits / 2, axis=1))).sum(axis=1).mean()
    found = distillation(torch.tensor(logits), torch.tensor(expected))
    assert float(found) == pytest.approx(by_hand, rel=1e-9)


def test_distillation_compares_the_copied_labels_only(tmp_path: Path) -> None:
    model, batch = classifier(tmp_path, distill=3.0), data()
    plain_loss = float(torch.nn.functional.cross_entropy(model(batch.embedding), batch.label))
    assert float(model.training_step(batch, 0)) == pytest.approx(plain_loss, abs=1e-6)  # still where it started
    with torch.no_grad():
        model.head.linears[-1].bias[1] += 5  # of the new label
    moved = float(torch.nn.functional.cross_entropy(model(batch.embedding), batch.label))
    assert float(model.training_step(batch, 0)) == pytest.approx(moved, abs=1e-6)
    with torch.no_grad():
        model.head.linears[-1].bias[2] += 1  # of a copied one
    loss = torch.nn.functional.cross_entropy(model(batch.embedding), batch.label)
    reference = model.finetuning.reference_on(torch.device("cpu"))  # type: ignore[union-attr]
    extra = distillation(model(batch.embedding)[:, [0, 2]], reference(batch.embedding)[:, [0, 2]])
    assert float(extra) > 0.01
    assert float(model.training_step(batch, 0)) == pytest.approx(float(loss + 3 * extra), abs=1e-5)


def test_l2_sp_moves_what_was_copied_towards_its_start_and_nothing_else(tmp_path: Path) -> None:
    model = classifier(tmp_path, l2_sp=4.0, layer_lr_decay=0.5, lr=0.1)
    start = {name: tensor.clone() for name, tensor in model.head.net.state_dict().items()}
    groups = parameter_groups(model.head, lr=0.1, weight_decay=0.0, lr_decay=0.5)
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.add_(1.0)
    model.on_before_optimizer_step(torch.optim.SGD(groups))
    now = model.head.net.state_dict()
    for name, share in (("0", 0.1 * 0.25 * 4), ("3", 0.1 * 0.5 * 4)):
        for leaf in ("weight", "bias"):
            torch.testing.assert_close(now[f"{name}.{leaf}"], start[f"{name}.{leaf}"] + 1 - share)
    for leaf in ("weight", "bias"):
        rows = now[f"6.{leaf}"] - start[f"6.{leaf}"]
        torch.testing.assert_close(rows[[0, 2]], torch.full_like(rows[[0, 2]], 1 - 0.4))
        torch.testing.assert_close(rows[1], torch.ones_like(rows[1]))


def test_beginning_changes_no_logit(tmp_path: Path) -> None:
    model, batch = classifier(tmp_path), data()
    torch.manual_seed(0)
    fresh = EmojiClassifier(NEW, input_dim=6, init_from=str(tmp_path / "head.pt"))
    copied = [0, 2]
    with torch.no_grad():
        torch.testing.assert_close(model(batch.embedding)[:, copied], fresh.eval()(batch.embedding)[:, copied])
    assert not torch.equal(model.head.standardizer.mean, fresh.head.standardizer.mean)


def test_frozen_layers_do_not_learn_nor_do_the_statistics_of_their_norms(tmp_path: Path) -> None:
    shape = Architecture(6, (Layer(4, norm_out="batch_norm"), Layer(4, norm_out="layer_norm"), Layer(3)))
    model, batch = classifier(tmp_path, shape, freeze="hidden"), data()
    before = {name: tensor.clone() for name, tensor in model.head.net.state_dict().items()}
    groups = parameter_groups(model.head, lr=0.1, weight_decay=0.5)
    optimizer = torch.optim.AdamW(groups)
    for _ in range(3):
        optimizer.zero_grad()
        model.training_step(batch, 0).backward()
        optimizer.step()
    changed = {name for name, tensor in model.head.net.state_dict().items() if not torch.equal(tensor, before[name])}
    last = f"{shape.places()[2, 'linear']}"
    assert changed == {f"{last}.weight", f"{last}.bias"}


def test_each_layer_learns_slower_than_the_one_above_it() -> None:
    shape = Architecture(6, (Layer(4, norm_in="layer_norm"), Layer(4, norm_out="layer_norm"), Layer(4), Layer(3)))
    head = Head(shape, dropout=0.0)
    groups = parameter_groups(head, lr=0.8, weight_decay=0.3, lr_decay=0.5)
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    decays = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    found = {name: rates[id(parameter)] for name, parameter in head.net.named_parameters()}
    places = shape.places()
    expected = {
        (0, "norm_in"): 0.1,
        (0, "linear"): 0.1,
        (1, "linear"): 0.2,
        (1, "norm_out"): 0.2,
        (2, "linear"): 0.4,
        (3, "linear"): 0.8,
    }
    assert found == {f"{places[place]}.{leaf}": rate for place, rate in expected.items() for leaf in ("weight", "bias")}
    assert {decays[id(parameter)] for parameter in head.net.parameters() if parameter.ndim == 1} == {0.0}
    assert {decays[id(parameter)] for parameter in head.net.parameters() if parameter.ndim == 2} == {0.3}


def test_a_layer_learns_faster_the_fewer_units_it_reads_and_decays_as_before() -> None:
    head = Head(Architecture(6, (Layer(64), Layer(1024), Layer(3))), dropout=0.0)
    groups = parameter_groups(head, lr=1e-4, weight_decay=10.0, lr_decay=0.5, of_width=512)
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    decays = {id(parameter): group["lr"] * group["weight_decay"] for group in groups for parameter in group["params"]}
    first, second, last = head.linears
    assert rates[id(first.weight)] == pytest.approx(8e-4 / 4)
    assert rates[id(second.weight)] == rates[id(second.bias)] == pytest.approx(8e-4 / 2)
    assert rates[id(last.weight)] == pytest.approx(0.5e-4)
    assert [decays[id(layer.weight)] for layer in head.linears] == pytest.approx([2.5e-4, 5e-4, 1e-3])
    assert describe_rates(head, 1e-4, 512) == (
        "learning rate 0.0008 = 0.0001 x 512 / 64, learning rate 5e-05 = 0.0001 x 512 / 1024"
    )


@pytest.mark.parametrize("width", [64, 512])
def test_a_head_of_512_units_and_one_that_starts_from_none_learn_at_the_rate_that_is_given(
    width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EmojiClassifier, "trainer", SimpleNamespace(estimated_stepping_batches=10))
    fresh = EmojiClassifier(NEW, input_dim=6, hidden_dim=width, lr=1e-4)
    tuned = classifier(tmp_path, plain(6, width, 3), lr=1e-4)
    rates = [
        {group["initial_lr"] for group in each.configure_optimizers()["optimizer"].param_groups}
        for each in (fresh, tuned)
    ]
    assert rates == [{1e-4}, {1e-4 * 512 / width}]


def test_what_a_resumed_training_needs_of_its_start_comes_back(tmp_path: Path) -> None:
    model, batch = classifier(tmp_path, distill=1.0), data()
    checkpoint: dict[str, Any] = {}
    model.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "saved.pt")
    again = EmojiClassifier(NEW, input_dim=6, dropout=0.0, init_from=str(tmp_path / "head.pt"), distill=1.0)
    assert again.finetuning is not None
    saved = torch.load(tmp_path / "saved.pt", weights_only=True)
    again.finetuning.load_state_dict(again.head, saved["init_from"])
    assert again.finetuning.start == model.finetuning.start  # type: ignore[union-attr]
    references = [each.finetuning.reference_on(torch.device("cpu")) for each in (model, again)]  # type: ignore[union-attr]
    assert torch.equal(references[0](batch.embedding), references[1](batch.embedding))


def test_the_rehearsal_weighs_an_old_label_as_told_in_proportion_to_a_new_one(tmp_path: Path) -> None:
    model, batch = classifier(tmp_path, rehearse=3.0), data()
    assert model.finetuning is not None
    plain_loss = torch.nn.functional.cross_entropy(model(batch.embedding), batch.label)
    torch.manual_seed(5)
    found = float(model.training_step(batch, 0))
    torch.manual_seed(5)
    imagined = model.finetuning._imagined
    assert imagined is not None
    drawn = imagined.draw(2 * len(batch.label))
    log_probabilities = model.head.net(drawn.inputs).log_softmax(dim=1)
    rehearsed = -(drawn.targets * log_probabilities).sum(dim=1).mean()
    weight = 3.0 * 2 / 1  # two copied labels, one new
    assert found == pytest.approx(float((plain_loss + weight * rehearsed) / (1 + weight)), rel=1e-5)


def test_imagined_utterances_come_back_when_a_run_goes_on(tmp_path: Path) -> None:
    model = classifier(tmp_path, rehearse=1.0)
    again = EmojiClassifier(NEW, input_dim=6, dropout=0.0, init_from=str(tmp_path / "head.pt"), rehearse=1.0)
    assert model.finetuning is not None
    assert again.finetuning is not None
    again.finetuning.load_state_dict(again.head, model.finetuning.state_dict())
    found, expected = again.finetuning._imagined, model.finetuning._imagined
    assert found is not None
    assert expected is not None
    assert torch.equal(found.inputs, expected.inputs)
    assert torch.equal(found.targets, expected.targets)


def test_a_known_mean_of_the_old_data_is_where_utterances_are_imagined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    centres: list[torch.Tensor | None] = []
    monkeypatch.setattr(
        "emoji_lightning.model.finetuning.imagine", lambda *args, centre: centres.append(centre) or None
    )
    state = plain(6, 4, 3).build(0.0).state_dict()
    known = {"feature_mean": torch.arange(6.0), "feature_scale": torch.full((6,), 2.0)}
    for name, entries in (("known.pt", known), ("unknown.pt", {})):
        torch.save({"state_dict": state, "labels": OLD, **entries}, tmp_path / name)
        model = EmojiClassifier(NEW, input_dim=6, init_from=str(tmp_path / name), rehearse=1.0)
        assert model.finetuning is not None
        model.finetuning.begin(model.head, data().embedding, data().label)
    assert centres[1] is None
    assert centres[0] is not None
    torch.testing.assert_close(centres[0], model_standardizer(data().embedding)(torch.arange(6.0)))


def model_standardizer(embeddings: torch.Tensor) -> torch.nn.Module:
    head = Head(plain(6, 4, 3), dropout=0.0)
    head.standardizer.fit(embeddings)
    return head.standardizer


def test_copied_batch_norms_answer_as_they_did_where_nothing_is_learnt(tmp_path: Path) -> None:
    shape = Architecture(6, (Layer(4, norm_out="batch_norm"), Layer(4, norm_out="batch_norm"), Layer(3)))
    model, batch = classifier(tmp_path, shape), data()
    with torch.no_grad():
        before = model.eval()(batch.embedding)
    model = classifier(tmp_path, shape)
    for one in (batch, Batch(*(tensor[:1] for tensor in batch))):
        model.training_step(one, 0)
    with torch.no_grad():
        assert torch.equal(model.eval()(batch.embedding), before)
