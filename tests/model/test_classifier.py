"""Steps, schedule and checks of the LightningModule."""

import math
from typing import Any

import pytest
import torch

from emoji_lightning.data.dataset import Batch
from emoji_lightning.errors import CheckpointError, ConfigError
from emoji_lightning.model.classifier import EmojiClassifier
from emoji_lightning.model.schedule import parameter_groups


def classifier(**options: Any) -> EmojiClassifier:
    torch.manual_seed(0)
    return EmojiClassifier(["a", "b", "c"], input_dim=8, hidden_dim=16, **options)


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(torch.randn(12, 8, generator=generator), torch.arange(12) % 3, torch.arange(12))


def test_the_loss_is_the_mean_negative_log_probability() -> None:
    model = classifier(dropout=0.0, discriminant=False, input_noise=0.0)
    inputs = batch()
    exact = model(inputs.embedding).double()
    by_hand = -(exact.exp() / exact.exp().sum(1, keepdim=True)).log()[torch.arange(12), inputs.label].mean()
    assert model.training_step(inputs, 0).item() == pytest.approx(by_hand.item(), abs=1e-6)


def test_the_logged_loss_is_the_mean_over_the_epochs_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    model = classifier()
    logged: list[float] = []
    monkeypatch.setattr(model, "log", lambda name, value, **options: logged.append(float(value)))
    for _ in range(2):
        losses = [model.training_step(batch(), index).item() for index in range(3)]
        model.on_train_epoch_end()
        assert logged[-1] == pytest.approx(sum(losses) / 3)


def test_label_smoothing_changes_training_and_not_the_reported_dev_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: dict[str, float] = {}
    losses = {}
    for smoothing in (0.0, 0.3):
        model = classifier(dropout=0.0, label_smoothing=smoothing)
        monkeypatch.setattr(model, "log", lambda name, value, **options: logged.update({name: value.compute().item()}))
        monkeypatch.setattr(model, "log_dict", lambda *args, **options: None)
        losses[smoothing] = model.training_step(batch(), 0).item(), None
        model.validation_step(batch(), 0)
        losses[smoothing] = losses[smoothing][0], logged["dev/loss"]
    assert losses[0.0][0] != pytest.approx(losses[0.3][0])
    assert losses[0.0][1] == pytest.approx(losses[0.3][1])


def test_the_learning_rate_warms_up_and_falls_to_zero_along_a_half_cosine() -> None:
    model = classifier(lr=0.01, warmup=0.1)
    model._trainer = type("Trainer", (), {"estimated_stepping_batches": 100})()  # type: ignore[assignment]
    configured: Any = model.configure_optimizers()
    optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    expected = [0.01 * (step + 1) / 10 for step in range(10)]
    expected += [0.005 * (1 + math.cos(math.pi * (step - 10) / 90)) for step in range(10, 100)]
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize("discriminant", [True, False])
def test_biases_are_not_decayed(discriminant: bool) -> None:
    model = classifier(discriminant=discriminant)
    groups = parameter_groups(model.learner or model.head, lr=0.1, weight_decay=0.5)
    assert sum(len(group["params"]) for group in groups) == 6
    assert {parameter.ndim for parameter in groups[0]["params"]} == {2}
    assert {parameter.ndim for parameter in groups[1]["params"]} == {1}
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]


@pytest.mark.parametrize("option", ["dropout", "label_smoothing", "warmup"])
def test_a_share_outside_its_range_is_named(option: str) -> None:
    with pytest.raises(ConfigError, match=rf"--model\.{option} is 1\.5; expected a share"):
        classifier(**{option: 1.5})


def test_a_checkpoint_with_other_labels_is_refused() -> None:
    checkpoint = {"hyper_parameters": {"labels": ["a", "c", "b"]}, "state_dict": classifier().state_dict()}
    with pytest.raises(CheckpointError, match=r"trained on the labels \['a', 'c', 'b'\], the data has"):
        classifier().on_load_checkpoint(checkpoint)


def test_a_checkpoint_of_another_shape_is_refused() -> None:
    wider = EmojiClassifier(["a", "b", "c"], input_dim=9, hidden_dim=16)
    checkpoint = {"hyper_parameters": {"labels": ["a", "b", "c"]}, "state_dict": wider.state_dict()}
    with pytest.raises(CheckpointError, match=r"holds \(16, 9\) for head\.net\.0\.weight, the model has \(16, 8\)"):
        classifier().on_load_checkpoint(checkpoint)
