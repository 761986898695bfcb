"""Weights of parts against scipy's general optimiser."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax

from emoji_lightning.model.blending import RIDGE, fit_blend


def problem(seed: int, num_parts: int, *, signs: list[float]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Parts (P, 150, 4) whose logits speak for the labels, or against them where the sign is negative; an offset."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, size=150)
    told = np.eye(4)[labels] * np.array(signs)[:num_parts, None, None]
    parts = 2 * rng.standard_normal((num_parts, 150, 4)) + told
    return torch.from_numpy(parts), torch.from_numpy(labels), torch.from_numpy(rng.standard_normal(4))


def by_scipy(parts: torch.Tensor, labels: torch.Tensor, offset: torch.Tensor, prior: torch.Tensor) -> Any:
    x, y, start = parts.numpy(), labels.numpy(), prior.numpy()

    def loss(weights: np.ndarray) -> float:
        logs = log_softmax(offset.numpy() + np.einsum("p,pmk->mk", weights, x), axis=1)
        return float(-logs[np.arange(len(y)), y].mean() + RIDGE / 2 * ((weights - start) ** 2).sum())

    bounds = [(0, None)] * len(start)
    return minimize(loss, start, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-9})


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("signs", [[1, 1, 1], [-1, 1, 1], [1, -1, -1], [-1, -1, -1], [6, 0, 0]])
@pytest.mark.parametrize("num_parts", [2, 3])
def test_the_weights_are_those_that_scipy_finds(seed: int, signs: list[float], num_parts: int) -> None:
    parts, labels, offset = problem(seed, num_parts, signs=signs)
    prior = torch.tensor([0.0, 1.0, 0.5], dtype=torch.float64)[:num_parts]
    weights, loss = fit_blend(parts, labels, offset=offset, prior=prior)
    expected = by_scipy(parts, labels, offset, prior)
    np.testing.assert_allclose(weights.numpy(), expected.x, atol=2e-4)
    assert loss == pytest.approx(expected.fun, abs=1e-7)
    for weight, sign in zip(weights.tolist(), signs, strict=False):
        assert weight == 0 if sign == -1 else weight >= 0


def test_without_evidence_the_prior_stays() -> None:
    parts, labels, _ = problem(0, 2, signs=[1, 1])
    prior = torch.tensor([0.0, 1.0], dtype=torch.float64)
    same = parts[:, :, :1].expand_as(parts)  # adds the same to all logits, which says nothing
    weights, _ = fit_blend(same, labels, offset=torch.zeros(4, dtype=torch.float64), prior=prior)
    torch.testing.assert_close(weights, prior, atol=1e-9, rtol=0)


def test_logits_that_are_all_right_do_not_grow_without_bound() -> None:
    labels = torch.arange(40) % 4
    parts = torch.eye(4, dtype=torch.float64)[labels][None]
    weights, _ = fit_blend(
        parts, labels, offset=torch.zeros(4, dtype=torch.float64), prior=torch.ones(1, dtype=torch.float64)
    )
    assert 1 < float(weights) < 20
