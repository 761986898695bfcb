"""The head's shape, its standardisation, and the folding of one into the other."""

import numpy as np
import pytest
import torch

from emoji_lightning.checkpoint.architecture import plain
from emoji_lightning.labels import LabelSet
from emoji_lightning.model.head import Head, Standardizer


@pytest.fixture
def embeddings() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    scales = torch.logspace(-2, 2, 24)
    return torch.randn(200, 24, generator=generator) * scales + 3 * scales


def head(dim: int = 24) -> Head:
    torch.manual_seed(1)
    return Head(plain(dim, 16, 5), dropout=0.2).eval()


def exported(model: Head) -> dict[str, torch.Tensor]:
    return model.to_stored(LabelSet(tuple("abcde")), encoder="logmel", weights_sha256=None).state_dict


def test_the_published_shape_is_768_512_512_11() -> None:
    state = plain(768, 512, 11).build(0.2).state_dict()
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


def test_silent_bands_fold_exactly_and_do_not_blow_up_what_other_speech_has_there() -> None:
    generator = torch.Generator().manual_seed(2)
    embeddings = torch.randn(300, 768, generator=generator)
    silent = torch.zeros(768, dtype=torch.bool)
    silent[::6] = True
    embeddings[:, silent] = -23.02585  # the logarithm of log-mel's floor
    torch.manual_seed(3)
    model = Head(plain(768, 512, 11), dropout=0.2).eval()
    model.standardizer.fit(embeddings)
    mlp = plain(768, 512, 11).build(0.0).eval()
    mlp.load_state_dict(exported(model))
    torch.testing.assert_close(mlp(embeddings), model(embeddings), atol=1e-5, rtol=0)
    assert model.standardizer(torch.zeros(1, 768))[:, silent].abs().max() <= 1


def test_constant_embeddings_are_only_centred() -> None:
    standardizer = Standardizer(2)
    standardizer.fit(torch.full((4, 2), 5.0))
    assert torch.equal(standardizer(torch.tensor([[6.0, 5.0]])), torch.tensor([[1.0, 0.0]]))


def test_the_folded_weights_give_the_same_logits_from_raw_embeddings(embeddings: torch.Tensor) -> None:
    model = head()
    model.standardizer.fit(embeddings)
    mlp = plain(24, 16, 5).build(0.0).eval()
    mlp.load_state_dict(exported(model))
    torch.testing.assert_close(mlp(embeddings), model(embeddings), atol=1e-5, rtol=0)
    assert (mlp(embeddings) - model.net(embeddings)).abs().max() > 0.1  # the standardisation matters here


def test_folding_leaves_the_model_as_it_was(embeddings: torch.Tensor) -> None:
    model = head()
    model.standardizer.fit(embeddings)
    before = model(embeddings)
    exported(model)["3.weight"].zero_()
    assert torch.equal(model(embeddings), before)


def test_standardising_anew_changes_no_logit(embeddings: torch.Tensor) -> None:
    model = head()
    model.standardizer.fit(embeddings)
    before = model(embeddings)
    moved = 2 * embeddings[:50] + 7
    model.restandardize(moved)
    torch.testing.assert_close(model(embeddings), before, atol=1e-4, rtol=0)
    torch.testing.assert_close(model.standardizer(moved).mean(dim=0), torch.zeros(24), atol=1e-4, rtol=0)
    torch.testing.assert_close(model.standardizer(moved).std(dim=0, correction=0), torch.ones(24))
