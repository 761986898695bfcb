"""Imagined utterances lie where the old ones lay, as far as a head can tell."""

import numpy as np
import pytest
import torch

from emoji_lightning.checkpoint.architecture import Architecture, Layer
from emoji_lightning.model import rehearsal
from emoji_lightning.model.head import Head
from emoji_lightning.model.rehearsal import imagine

DIM = 12
CENTRE = torch.full((DIM,), 0.7)


def discriminant_head(means: torch.Tensor, covariance: torch.Tensor, *, num_new: int) -> Head:
    """A head whose logits are those of linear discriminant analysis: ReLU(x) - ReLU(-x) is x again."""
    weight = torch.linalg.solve(covariance, means.T).T
    bias = -0.5 * (weight * means).sum(dim=1)
    head = Head(Architecture(DIM, (Layer(2 * DIM), Layer(len(means) + num_new))), dropout=0.0).eval()
    eye = torch.eye(DIM)
    with torch.no_grad():
        head.linears[0].weight.copy_(torch.cat([eye, -eye]))
        head.linears[0].bias.copy_(torch.cat([-CENTRE, CENTRE]))
        last = head.linears[1]
        last.weight.zero_()
        last.bias.fill_(-100.0)
        last.weight[: len(means)] = torch.cat([weight, -weight], dim=1)
        last.bias[: len(means)] = bias + weight @ CENTRE
    return head


def new_utterances(covariance: torch.Tensor, num: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Utterances of two new labels, spread as the old ones, far from them."""
    draws = torch.distributions.MultivariateNormal(torch.zeros(DIM), covariance).sample((num,))
    labels = torch.arange(num) % 2 + 2
    return draws + 5.0 * (labels == 2).float()[:, None] - 3, labels


@pytest.fixture
def covariance() -> torch.Tensor:
    torch.manual_seed(0)
    mixing = torch.randn(DIM, 3) / 3**0.5
    return 0.2 * mixing @ mixing.T + torch.diag(torch.linspace(0.5, 2, DIM))


@pytest.mark.parametrize("distance", [2.0, 4.0, 8.0])
def test_imagined_utterances_have_mean_and_spread_of_the_old_labels(covariance: torch.Tensor, distance: float) -> None:
    """Two labels at `distance` standard deviations from each other, around the centre."""
    torch.manual_seed(1)
    direction = torch.randn(DIM)
    direction /= (direction @ torch.linalg.solve(covariance, direction)).sqrt()
    means = torch.stack([CENTRE + direction * distance / 2, CENTRE - direction * distance / 2])
    head = discriminant_head(means, covariance, num_new=2)
    inputs, labels = new_utterances(covariance, 4000)
    imagined = imagine(head, [0, 1], inputs, labels)
    for label, mean in enumerate(means):
        members = imagined.inputs[label::2]
        along = torch.linalg.solve(covariance, direction)  # coordinate along the line between the means, of unit noise
        expected = float(mean @ along)
        assert float(members.mean(dim=0) @ along) == pytest.approx(expected, abs=0.25 + 0.1 * distance)
        assert np.sign(float((members.mean(dim=0) - CENTRE) @ along)) == np.sign(float((mean - CENTRE) @ along))
        assert float((members @ along).std()) == pytest.approx(1.0, abs=0.15)


def test_the_centre_of_the_old_data_is_found_in_the_first_layer(covariance: torch.Tensor) -> None:
    head = discriminant_head(torch.randn(2, DIM), covariance, num_new=2)
    torch.testing.assert_close(rehearsal._estimate_centre(head), CENTRE, atol=0.02, rtol=0)


def test_a_centre_that_is_known_is_taken(covariance: torch.Tensor) -> None:
    torch.manual_seed(2)
    direction = torch.randn(DIM)
    means = torch.stack([CENTRE + direction, CENTRE - direction])
    inputs, labels = new_utterances(covariance, 400)
    head = discriminant_head(means, covariance, num_new=2)
    away = torch.linalg.svd(direction[None]).Vh[-1]  # orthogonal to what tells the labels apart
    plain, moved = (imagine(head, [0, 1], inputs, labels, centre=centre) for centre in (CENTRE, CENTRE + 50 * away))
    shift = (moved.inputs.mean(dim=0) - plain.inputs.mean(dim=0)) @ away
    assert float(shift) == pytest.approx(50, abs=5)


def test_targets_are_the_old_heads_answers_and_nothing_for_new_labels(covariance: torch.Tensor) -> None:
    torch.manual_seed(3)
    head = discriminant_head(torch.randn(2, DIM) * 2, covariance, num_new=2)
    inputs, labels = new_utterances(covariance, 100)
    imagined = imagine(head, [0, 1], inputs, labels)
    with torch.no_grad():
        expected = head.net(imagined.inputs)[:, :2].softmax(dim=1)
    torch.testing.assert_close(imagined.targets[:, :2], expected)
    assert torch.equal(imagined.targets[:, 2:], torch.zeros(len(imagined.targets), 2))
    assert {int(row) for row in imagined.targets.argmax(dim=1)} == {0, 1}


def test_noise_has_the_shrunk_covariance_within_labels(covariance: torch.Tensor) -> None:
    torch.manual_seed(4)
    inputs, labels = new_utterances(covariance, 3000)
    noise = rehearsal._Noise(rehearsal._residuals(inputs, labels))
    within = sum(np.cov(inputs[labels == label].double().numpy().T, ddof=1) * 1499 for label in (2, 3)) / 2998
    expected = 0.8 * within + 0.2 * np.diag(np.diag(within))
    np.testing.assert_allclose(np.cov(noise.draw(60_000).numpy().T), expected, atol=0.06)
    np.testing.assert_allclose(noise.times(torch.eye(DIM)).numpy(), expected, rtol=1e-3, atol=1e-4)


def test_one_utterance_of_each_label_gives_no_nan(covariance: torch.Tensor) -> None:
    head = discriminant_head(torch.randn(2, DIM), covariance, num_new=2)
    inputs, labels = new_utterances(covariance, 2)
    imagined = imagine(head, [0, 1], inputs, labels)
    assert imagined.inputs.isfinite().all()
    assert imagined.targets.isfinite().all()
