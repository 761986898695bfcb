"""The closed-form discriminant against scikit-learn's, and what its two shrinkages do."""

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from emoji_lightning.model.discriminant import SHRINKAGES, UNSEEN_LOGIT, fit_discriminant

DIM = 12


def drawn(sizes: list[int], *, seed: int = 0, spread: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Utterances of labels around means of their own, all with one covariance that is not the identity."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    means = spread * rng.standard_normal((len(sizes), DIM))
    mixing = np.eye(DIM) + 0.3 * rng.standard_normal((DIM, DIM))
    vectors = means[labels] + rng.standard_normal((len(labels), DIM)) @ mixing
    return torch.from_numpy(vectors - vectors.mean(axis=0)).float(), torch.from_numpy(labels)


def raw_directions(embeddings: torch.Tensor, labels: torch.Tensor, shrinkage: float) -> np.ndarray:
    """Inverse covariance times the distance of each label's mean from that of all, nothing shrunk but the former."""
    x, y = embeddings.double().numpy(), labels.numpy()
    means = np.stack([x[y == label].mean(axis=0) for label in range(y.max() + 1)])
    within = (x - means[y]).T @ (x - means[y]) / len(x)
    covariance = (1 - shrinkage) * within + shrinkage * np.trace(within) / DIM * np.eye(DIM)
    return np.asarray(np.linalg.solve(covariance, (means - x.mean(axis=0)).T).T)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_with_many_utterances_it_answers_as_scikit_learn_does(seed: int) -> None:
    embeddings, labels = drawn([2000] * 4, seed=seed)
    found = fit_discriminant(embeddings, labels, 4)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=found.shrinkage, priors=[0.25] * 4)
    theirs.fit(embeddings.double().numpy(), labels.numpy())
    logits = (embeddings @ found.weight.T + found.bias).double() / found.scale
    expected = theirs.predict_log_proba(embeddings.double().numpy())
    np.testing.assert_allclose(logits.log_softmax(dim=1).numpy(), expected, rtol=0.01, atol=0.01)
    assert found.shrinkage <= 0.1
    assert 0.7 <= found.scale <= 1.5


def test_the_mean_of_a_label_with_few_utterances_is_shrunk_and_its_direction_kept() -> None:
    embeddings, labels = drawn([3000, 3000, 3000, 4])
    found = fit_discriminant(embeddings, labels, 4)
    ours = found.weight.double().numpy() / found.scale
    ratios = ours / raw_directions(embeddings, labels, found.shrinkage)
    np.testing.assert_allclose(ratios, np.median(ratios, axis=1)[:, None] * np.ones(DIM), rtol=1e-3)
    assert (ratios[:3] > 0.99).all()
    assert (ratios[3] < 0.9).all()
    assert (ratios[3] > 0.1).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_with_few_utterances_the_covariance_is_shrunk_to_the_identity(seed: int) -> None:
    embeddings, labels = drawn([8] * 3, seed=seed, spread=0.5)
    found = fit_discriminant(embeddings, labels, 3)
    assert found.shrinkage > 0
    ours, raw = found.weight.double().numpy(), raw_directions(embeddings, labels, found.shrinkage)
    cosines = (ours * raw).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(raw, axis=1)
    np.testing.assert_allclose(cosines, 1, atol=1e-6)


def test_where_labels_do_not_differ_nothing_is_told_apart() -> None:
    embeddings, labels = drawn([400] * 4, spread=0.0)
    found = fit_discriminant(embeddings, labels, 4)
    probabilities = (embeddings @ found.weight.T + found.bias).softmax(dim=1)
    assert float((probabilities - 0.25).abs().max()) < 0.15


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_a_label_that_no_utterance_has_is_never_predicted(spread: float) -> None:
    embeddings, labels = drawn([60] * 3, spread=spread)
    found = fit_discriminant(embeddings, 2 * labels, 6)  # 1, 3 and 5 are not there
    logits = 10 * embeddings @ found.weight.T + found.bias
    assert set(logits.argmax(dim=1).tolist()) <= {0, 2, 4}
    assert not found.weight[[1, 3, 5]].any()
    assert found.bias[[1, 3, 5]].tolist() == [UNSEEN_LOGIT] * 3


def test_labels_with_a_single_utterance_do_not_decide_how_sure_it_is() -> None:
    embeddings, labels = drawn([2000] * 3 + [1] * 3, spread=2.0)
    with_single = fit_discriminant(embeddings, labels, 6)
    without = fit_discriminant(embeddings[:6000], labels[:6000], 3)
    assert with_single.scale == pytest.approx(without.scale, rel=0.25)


def test_a_strong_nuisance_is_taken_out_by_the_covariance() -> None:
    rng = np.random.default_rng(0)
    labels = torch.arange(600) % 2
    vectors = rng.standard_normal((600, DIM))
    nuisance = 20 * rng.standard_normal(600)  # loudness, say: it moves both dimensions, and only their difference tells
    vectors[:, 0] = nuisance + 2 * labels.numpy() + 0.3 * rng.standard_normal(600)
    vectors[:, 1] = nuisance
    embeddings = torch.from_numpy(vectors).float() / torch.from_numpy(vectors).float().std(dim=0)
    found = fit_discriminant(embeddings, labels, 2)
    predicted = (embeddings @ found.weight.T + found.bias).argmax(dim=1)
    assert found.shrinkage == SHRINKAGES[0]
    assert float((predicted == labels).float().mean()) > 0.99
    means = torch.stack([embeddings[labels == label].mean(dim=0) for label in (0, 1)])
    nearest = torch.cdist(embeddings, means).argmin(dim=1)
    assert float((nearest == labels).float().mean()) < 0.7


@pytest.mark.parametrize("sizes", [[1, 1, 1], [3, 1, 1], [2, 2, 2]])
def test_a_handful_of_utterances_gives_numbers(sizes: list[int]) -> None:
    found = fit_discriminant(*drawn(sizes), len(sizes))
    assert bool(found.weight.isfinite().all() and found.bias.isfinite().all())
    if max(sizes) == 1:
        assert float(found.weight.abs().max()) < 1000
