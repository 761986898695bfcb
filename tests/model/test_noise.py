import pytest
import torch

from emoji_lightning.model.classifier import EmojiClassifier
from emoji_lightning.model.noise import Noise, pass_through


def make_model(dropout: float = 0.3, hidden_dim: int = 32) -> EmojiClassifier:
    torch.manual_seed(0)
    return EmojiClassifier(
        ["a", "b", "c"], input_dim=20, hidden_dim=hidden_dim, dropout=dropout, discriminant=False, input_noise=0.0
    )


@pytest.mark.parametrize("dropout", [0.1, 0.2, 0.5, 0.9])
def test_units_are_dropped_each_for_itself_with_the_probability_of_the_dropout(dropout: float) -> None:
    torch.manual_seed(2)
    first, second = make_model(dropout, 33).draw(5_001).dropout  # no multiple of the units of a word
    assert first.shape == second.shape == (5_001, 33)
    assert sorted(first.unique().tolist()) == pytest.approx([0.0, 1 / (1 - dropout)])
    for drawn in (first, second):
        kept = (drawn > 0).double()
        # beside itself, beside the three that may share a word of random bits, and beside itself an utterance before
        for shifted in (kept, kept.roll(1, 1), kept.roll(2, 1), kept.roll(3, 1), kept.roll(1, 0)):
            together = (kept * shifted).mean().item()
            expected = 1 - dropout if shifted is kept else (1 - dropout) ** 2
            assert together == pytest.approx(expected, abs=5 * 0.5 / kept.numel() ** 0.5)
        assert (kept.mean(dim=0) - (1 - dropout)).abs().max() < 5 * 0.5 / 5_001**0.5
    both = ((first > 0) & (second > 0)).double().mean().item()
    assert both == pytest.approx((1 - dropout) ** 2, abs=5 * 0.5 / first.numel() ** 0.5)


@pytest.mark.parametrize("num_utterances", [1, 7, 64])
def test_what_was_drawn_takes_the_place_of_the_dropouts_of_a_head(num_utterances: int) -> None:
    model, embeddings = make_model().train(), torch.randn(num_utterances, 20)
    noise = model.draw(num_utterances)
    drawn = iter(noise.dropout)
    for module in model.head.net:
        if isinstance(module, torch.nn.Dropout):
            module.forward = lambda hidden: hidden * next(drawn)  # type: ignore[method-assign]
    expected = model(embeddings)
    assert torch.equal(
        pass_through(make_model().head.net, model.head.standardizer(embeddings), noise.dropout), expected
    )


def test_without_noise_a_head_answers_as_in_evaluation() -> None:
    model, embeddings = make_model(), torch.randn(7, 20)
    standardized = model.head.standardizer(embeddings)
    assert torch.equal(pass_through(model.head.net, standardized, ()), model.eval()(embeddings))


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
