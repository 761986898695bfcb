import pytest
import torch

from emoji_lightning.model.classifier import EmojiClassifier
from emoji_lightning.model.noise import Noise, pass_through


def make_model(dropout: float = 0.3) -> EmojiClassifier:
    torch.manual_seed(0)
    return EmojiClassifier(
        ["a", "b", "c"], input_dim=20, hidden_dim=32, dropout=dropout, discriminant=False, input_noise=0.0
    )


@pytest.mark.parametrize("num_utterances", [1, 7, 64])
def test_a_head_with_drawn_noise_answers_bit_for_bit_as_with_its_own_dropout(num_utterances: int) -> None:
    model, embeddings = make_model().train(), torch.randn(num_utterances, 20)
    torch.manual_seed(5)
    expected, after = model(embeddings), torch.get_rng_state()
    torch.manual_seed(5)
    noise = model.draw(num_utterances)
    assert torch.equal(torch.get_rng_state(), after)
    assert torch.equal(pass_through(model.head.net, model.head.standardizer(embeddings), noise.dropout), expected)


def test_a_generator_draws_as_the_global_one_does() -> None:
    model = make_model()
    torch.manual_seed(3)
    expected = model.draw(9)
    drawn = model.draw(9, torch.Generator().manual_seed(3))
    assert all(torch.equal(a, b) for a, b in zip(drawn.dropout, expected.dropout, strict=True))


def test_nothing_is_drawn_without_dropout() -> None:
    model, before = make_model(dropout=0.0), torch.get_rng_state()
    assert model.draw(4) == Noise(())
    assert torch.equal(torch.get_rng_state(), before)
