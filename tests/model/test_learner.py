"""A head that is put together of a discriminant and an MLP, and what its checkpoints hold."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from emoji_lightning.checkpoint.architecture import plain
from emoji_lightning.checkpoint.stored_head import read_head
from emoji_lightning.data.dataset import Batch
from emoji_lightning.model.classifier import EmojiClassifier
from emoji_lightning.model.head import Head
from emoji_lightning.model.learner import Blend, Learner, learns_beside_discriminant, put_back, take_out

LABELS, DIM, WIDTH = ["a", "b", "c"], 6, 24
MEANS = torch.tensor([[2.0, 0, 0, 0, 0, 0], [0, 2, 0, 0, 0, 0], [0, 0, 2, 0, 0, 0]])


def drawn(sizes: list[int], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(3).repeat_interleave(torch.tensor(sizes))
    return 0.7 * MEANS[labels] + torch.randn(len(labels), DIM, generator=generator), labels


def begun(sizes: list[int], *, frequencies: bool = True) -> Learner:
    torch.manual_seed(0)
    learner = Learner(DIM, WIDTH, 3, dropout=0.5)
    learner.begin(torch.nn.Identity(), *drawn(sizes), frequencies=frequencies)
    return learner


class Data(SimpleNamespace):
    """What the model asks its data for."""

    balance, moments = "none", None

    def sample(self, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        embeddings, labels = drawn([50, 40, 30], seed=0 if split == "train" else 1)
        return 3 * embeddings + 1, labels


def classifier(monkeypatch: pytest.MonkeyPatch, **options: Any) -> EmojiClassifier:
    trainer = SimpleNamespace(datamodule=Data(), global_step=7)
    monkeypatch.setattr(EmojiClassifier, "trainer", trainer)
    torch.manual_seed(0)
    model = EmojiClassifier(LABELS, input_dim=DIM, hidden_dim=WIDTH, encoder="logmel", **options)
    model.setup("fit")
    return model


def saved(model: EmojiClassifier) -> dict[str, Any]:
    checkpoint: dict[str, Any] = {
        "state_dict": model.state_dict(),
        "hyper_parameters": dict(model.hparams),
        "pytorch-lightning_version": "2.5",
        "epoch": 0,
        "global_step": 7,
    }
    model.on_save_checkpoint(checkpoint)
    return checkpoint


@pytest.mark.parametrize("blend", [Blend(0.7, 0.4, 1.0), Blend(0.0, 1.0, 0.0), Blend(1.3, 0.0, 0.0)])
def test_the_heads_logits_are_those_of_its_parts_times_their_weights(blend: Blend) -> None:
    learner, head = begun([300, 60, 15]).eval(), Head(plain(DIM, WIDTH, 3), dropout=0.5).eval()
    learner.assemble(head, blend)
    inputs = drawn([50, 50, 50], seed=3)[0]
    linear = inputs.double() @ learner.weight.T.double() + learner.bias.double()
    expected = blend.discriminant * linear + blend.mlp * learner(inputs).double()
    expected += blend.frequencies * learner.log_frequencies.double()
    torch.testing.assert_close(head(inputs).double(), expected, rtol=1e-5, atol=1e-5)


def test_units_that_pass_the_discriminant_have_weights_of_the_mlps_size() -> None:
    learner, head = begun([300, 60, 15]), Head(plain(DIM, WIDTH, 3), dropout=0.5)
    learner.assemble(head, Blend(0.7, 0.4, 1.0))
    first = head.linears[0].weight
    torch.testing.assert_close(first[-6:].square().mean(), first[:-6].square().mean())
    learner.weight.zero_()  # a discriminant that tells nothing
    learner.assemble(head, Blend(0.0, 1.0, 0.0))
    assert all(bool(weights.isfinite().all()) for weights in head.parameters())


def test_frequencies_count_where_dev_is_like_an_imbalanced_train() -> None:
    learner = begun([800, 150, 50])
    assert learner.blend(*drawn([160, 30, 10], seed=1)).frequencies == 1
    assert learner.blend(*drawn([60, 60, 60], seed=1)).frequencies == 0
    assert learner.training  # as before
    logs = torch.tensor([800.0, 150, 50]).log()
    torch.testing.assert_close(learner.log_frequencies, logs - logs.mean())


def test_frequencies_never_count_where_training_is_balanced() -> None:
    learner = begun([800, 150, 50], frequencies=False)
    assert not learner.log_frequencies.any()
    assert learner.blend(*drawn([160, 30, 10], seed=1)).frequencies == 0


def test_the_discriminant_counts_where_labels_lie_around_means_and_not_where_it_tells_nothing() -> None:
    learner = begun([200, 200, 200])
    assert learner.blend(*drawn([100, 100, 100], seed=1)).discriminant > 0.5
    wrong = drawn([100, 100, 100], seed=1)
    assert learner.blend(wrong[0], wrong[1].roll(100)).discriminant == 0


@pytest.mark.parametrize(("width", "num_labels"), [(8, 3), (43, 11), (512, 129)])
def test_a_narrow_head_or_one_of_many_labels_has_no_discriminant(width: int, num_labels: int) -> None:
    assert not learns_beside_discriminant(width, num_labels)
    labels = [f"label {number}" for number in range(num_labels)]
    assert EmojiClassifier(labels, input_dim=DIM, hidden_dim=width).learner is None
    assert EmojiClassifier(labels, input_dim=DIM, hidden_dim=4 * num_labels).learner is not None


def test_the_loss_is_that_of_the_mlp_with_the_frequencies_of_train(monkeypatch: pytest.MonkeyPatch) -> None:
    model = classifier(monkeypatch, dropout=0.0, input_noise=0.0)
    embeddings, labels = Data().sample("train")
    batch = Batch(embeddings, labels, torch.arange(len(labels)))
    assert model.learner is not None
    logits = model.learner(model.head.standardizer(embeddings)).double()
    expected = torch.nn.functional.cross_entropy(logits + torch.tensor([50.0, 40, 30]).log(), labels)
    assert model.training_step(batch, 0).item() == pytest.approx(expected.item(), abs=1e-6)
    model.training_step(batch, 0).backward()  # type: ignore[no-untyped-call]
    learnt = {name for name, weights in model.named_parameters() if weights.grad is not None}
    assert learnt == {f"learner.net.{place}.{leaf}" for place in (0, 3, 6) for leaf in ("weight", "bias")}


def test_noise_on_the_input_changes_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Batch(*Data().sample("train"), torch.arange(120))
    for noise, num_losses in ((0.0, 1), (0.5, 3)):
        model = classifier(monkeypatch, dropout=0.0, input_noise=noise)
        assert len({model.training_step(batch, number).item() for number in range(3)}) == num_losses


def test_a_checkpoint_is_read_as_one_plain_head_that_answers_as_the_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = classifier(monkeypatch).eval()
    checkpoint = saved(model)
    assert {name.split(".")[0] for name in checkpoint["state_dict"]} == {"head"}
    torch.save(checkpoint, tmp_path / "last.ckpt")
    stored = read_head(tmp_path / "last.ckpt")
    assert stored.architecture == plain(DIM, WIDTH, 3)
    embeddings, labels = Data().sample("dev")
    torch.testing.assert_close(stored.build()(embeddings), model(embeddings), rtol=1e-5, atol=1e-5)
    assert float((model(embeddings).argmax(dim=1) == labels).float().mean()) > 0.7  # by the discriminant alone


def test_what_is_optimised_comes_back_from_a_checkpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = classifier(monkeypatch)
    torch.save(saved(model), tmp_path / "last.ckpt")
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    again = EmojiClassifier(LABELS, input_dim=DIM, hidden_dim=WIDTH, encoder="logmel")
    again.on_load_checkpoint(checkpoint)
    again.load_state_dict(checkpoint["state_dict"])
    assert again.learner is not None
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_what_was_taken_out_is_put_back() -> None:
    state = {"head.net.0.bias": torch.ones(1), "learner.net.0.bias": torch.zeros(1)}
    checkpoint: dict[str, Any] = {"state_dict": dict(state)}
    take_out(checkpoint)
    assert list(checkpoint["state_dict"]) == ["head.net.0.bias"]
    assert put_back(checkpoint)
    assert checkpoint["state_dict"] == state
    assert not put_back({"state_dict": {"head.net.0.bias": torch.ones(1)}})


def test_a_checkpoint_of_before_trains_on_as_the_plain_head_that_it_holds() -> None:
    old = EmojiClassifier(LABELS, input_dim=DIM, hidden_dim=WIDTH, encoder="logmel", discriminant=False)
    hparams = {name: value for name, value in old.hparams.items() if name not in ("input_noise", "discriminant")}
    model = EmojiClassifier(LABELS, input_dim=DIM, hidden_dim=WIDTH, encoder="logmel")
    model.on_load_checkpoint({"state_dict": old.state_dict(), "hyper_parameters": hparams})
    assert model.learner is None
    assert model.input_noise == 0
    assert all(weights.requires_grad for weights in model.head.parameters())
    model.load_state_dict(old.state_dict())
