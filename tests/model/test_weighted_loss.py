"""Class weights scale an utterance's training loss, and nothing else."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from emoji_lightning.data.dataset import Batch
from emoji_lightning.errors import ConfigError
from emoji_lightning.model.classifier import EmojiClassifier

WEIGHTS = [0.25, 4.0, 1.5]


def classifier(**options: Any) -> EmojiClassifier:
    """A plain head, whose loss is that of its own logits."""
    torch.manual_seed(0)
    plain: dict[str, Any] = {"dropout": 0.0, "input_noise": 0.0, "discriminant": False}
    return EmojiClassifier(["a", "b", "c"], input_dim=8, hidden_dim=16, **plain, **options)


def batch(num: int = 12) -> Batch:
    """Uneven labels, and unevenly spread over the two halves."""
    generator = torch.Generator().manual_seed(0)
    label = torch.tensor([0, 0, 0, 0, 0, 1, 0, 2, 1, 1, 2, 0])[:num]
    return Batch(torch.randn(12, 8, generator=generator)[:num], label, torch.arange(num))


def gradients(model: EmojiClassifier, inputs: Batch) -> list[torch.Tensor]:
    model.zero_grad()
    model.training_step(inputs, 0).backward()
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_and_gradient_are_those_computed_in_float64(smoothing: float) -> None:
    model, inputs = classifier(class_weights=WEIGHTS, label_smoothing=smoothing), batch()
    logits = model(inputs.embedding).detach().double().numpy()
    label = inputs.label.numpy()
    target = (1 - smoothing) * np.eye(3)[label] + smoothing / 3
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    weight = np.array(WEIGHTS)[label]
    loss = (weight * -(target * np.log(probability)).sum(axis=1)).sum() / 12
    slope = weight[:, None] * (probability - target) / 12
    assert model.training_step(inputs, 0).item() == pytest.approx(loss, abs=1e-6)
    *_, matrix, bias = gradients(model, inputs)
    hidden = model.head.net[:-1](model.head.standardizer(inputs.embedding)).detach().double().numpy()  # type: ignore[index]
    np.testing.assert_allclose(bias.numpy(), slope.sum(axis=0), atol=1e-6)
    np.testing.assert_allclose(matrix.numpy(), slope.T @ hidden, atol=1e-6)


def test_two_processes_make_the_step_of_one_with_twice_the_batch() -> None:
    model, whole = classifier(class_weights=WEIGHTS, label_smoothing=0.1), batch()
    halves = [Batch(*(tensor[part] for tensor in whole)) for part in (slice(0, 6), slice(6, 12))]
    losses = [model.training_step(half, 0).item() for half in halves]
    assert sum(losses) / 2 == pytest.approx(model.training_step(whole, 0).item(), abs=1e-5)
    # what DDP makes of the gradients of two processes is their mean
    for first, second, both in zip(*(gradients(model, inputs) for inputs in (*halves, whole)), strict=True):
        torch.testing.assert_close((first + second) / 2, both, atol=1e-6, rtol=0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_without_weights_loss_and_gradient_are_torchs_own_to_the_bit(smoothing: float) -> None:
    model, inputs = classifier(label_smoothing=smoothing), batch()
    loss = nn.CrossEntropyLoss(label_smoothing=smoothing)(model(inputs.embedding), inputs.label)
    loss.backward()
    expected = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    assert torch.equal(model.training_step(inputs, 0), loss)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(gradients(model, inputs), expected, strict=True))


def test_weights_change_neither_the_reported_dev_loss_nor_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    logged = []
    for weights in (None, WEIGHTS):
        model = classifier(class_weights=weights)
        monkeypatch.setattr(model, "log", lambda name, value, **options: logged.append(value.compute().item()))
        monkeypatch.setattr(model, "log_dict", lambda *args, **options: None)
        model.validation_step(batch(), 0)
        assert not [name for name in model.state_dict() if "weights" in name]
    assert logged[0] == logged[1]


def test_weights_are_kept_in_the_hyperparameters_as_plain_floats() -> None:
    file = io.BytesIO()
    torch.save(dict(classifier(class_weights=WEIGHTS).hparams), file)
    file.seek(0)
    assert torch.load(file, weights_only=True)["class_weights"] == WEIGHTS


def test_weights_that_are_not_one_for_each_label_are_an_error() -> None:
    with pytest.raises(ConfigError, match=r"class_weights has 2 values; expected one for each of \['a', 'b', 'c'\]"):
        classifier(class_weights=[1.0, 2.0])
