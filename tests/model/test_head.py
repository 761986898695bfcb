"""The head's shape, its standardisation, and the folding of one into the other."""

import numpy as np
import pytest
import torch

from emoji_lightning.model.head import Head, Standardizer, plain_mlp


@pytest.fixture
def embeddings() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    scales = torch.logspace(-2, 2, 24)
    return torch.randn(200, 24, generator=generator) * scales + 3 * scales


def head(dim: int = 24) -> Head:
    torch.manual_seed(1)
    return Head(input_dim=dim, hidden_dim=16, num_labels=5, dropout=0.2).eval()


def test_the_published_shape_is_768_512_512_11() -> None:
    state = plain_mlp(input_dim=768, hidden_dim=512, num_labels=11, dropout=0.2).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == {
        "0.weight": (512, 768),
        "0.bias": (512,),
        "3.weight": (512, 512),
        "3.bias": (512,),
        "6.weight": (11, 512),
        "6.bias": (11,),
    }


def test_the_standardizer_agrees_with_numpy_in_float64(embeddings: torch.Tensor) -> None:
    standardizer = Standardizer(24)
    standardizer.fit(embeddings)
    exact = embeddings.numpy().astype(np.float64)
    expected = (exact - exact.mean(axis=0)) / exact.std(axis=0)
    np.testing.assert_allclose(standardizer(embeddings).numpy(), expected, atol=1e-4)


def test_a_constant_dimension_stays_finite_and_does_not_explode(embeddings: torch.Tensor) -> None:
    embeddings[:, 3] = 7.0
    standardizer = Standardizer(24)
    standardizer.fit(embeddings)
    assert torch.equal(standardizer(embeddings)[:, 3], torch.zeros(200))
    assert standardizer(embeddings + 1e-4).abs().max() < 10


def test_constant_embeddings_are_only_centred() -> None:
    standardizer = Standardizer(2)
    standardizer.fit(torch.full((4, 2), 5.0))
    assert torch.equal(standardizer(torch.tensor([[6.0, 5.0]])), torch.tensor([[1.0, 0.0]]))


def test_the_folded_weights_give_the_same_logits_from_raw_embeddings(embeddings: torch.Tensor) -> None:
    model = head()
    model.standardizer.fit(embeddings)
    plain = plain_mlp(input_dim=24, hidden_dim=16, num_labels=5, dropout=0.0).eval()
    plain.load_state_dict(model.folded_state_dict())
    torch.testing.assert_close(plain(embeddings), model(embeddings), atol=1e-5, rtol=0)
    assert (plain(embeddings) - model.net(embeddings)).abs().max() > 0.1  # the standardisation matters here


def test_folding_leaves_the_model_as_it_was(embeddings: torch.Tensor) -> None:
    model = head()
    model.standardizer.fit(embeddings)
    before = model(embeddings)
    model.folded_state_dict()["3.weight"].zero_()
    assert torch.equal(model(embeddings), before)
