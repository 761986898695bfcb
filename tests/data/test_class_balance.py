"""Class weights follow the formula; the balanced sampler draws by them, the same on every process."""

from decimal import Decimal, localcontext

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.trainer.states import RunningStage
from torch.utils.data import DataLoader

from emoji_lightning.data.balance import BalancedSampler, class_weights
from emoji_lightning.data.corpus import Corpus
from emoji_lightning.data.datamodule import EmojiDataModule
from emoji_lightning.data.dataset import EmbeddingDataset
from emoji_lightning.data.sampling import NO_UTTERANCE
from emoji_lightning.errors import ConfigError, SplitError
from emoji_lightning.labels import LabelSet

COUNTS = (1500, 0, 480, 21)
"""Utterances of each label in the test's train split: 2,001, one label without any."""


def exact_weights(counts: list[int], beta: float) -> list[float]:
    """The formula as it is printed in the paper, with 60 digits."""
    with localcontext() as context:
        context.prec = 60
        exact = Decimal(beta)
        raw = [(1 - exact) / (1 - exact**count) for count in counts]
        scale = sum(counts) / sum(count * weight for count, weight in zip(counts, raw, strict=True))
        return [float(weight * scale) for weight in raw]


def make_dataset(counts: tuple[int, ...] = COUNTS) -> EmbeddingDataset:
    labels = torch.from_numpy(np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts)))
    return EmbeddingDataset(torch.zeros(len(labels), 2), labels, torch.arange(len(labels)))


def make_data(**options: object) -> EmojiDataModule:
    """A datamodule of COUNTS in train and 5 of each of four labels in dev."""
    labels = np.concatenate([np.repeat(np.arange(4), COUNTS), np.repeat(np.arange(4), 5)])
    data = EmojiDataModule(batch_size=64, **options)  # type: ignore[arg-type]
    data.corpus = Corpus(
        name="made",
        embeddings=np.zeros((len(labels), 2), dtype=np.float32),
        labels=labels,
        splits=np.array(["train"] * sum(COUNTS) + ["dev"] * 20),
        ids=[str(row) for row in range(len(labels))],
        label_set=LabelSet(("a", "b", "c", "d")),
        encoder="made",
        embedding_spec={},
    )
    return data


@pytest.mark.parametrize(
    ("counts", "beta", "expected"),
    [
        ([30, 10, 0], None, [2 / 3, 2, 0]),  # 1/30 and 1/10, times 40 / 2
        ([5, 5], None, [1, 1]),
        ([1, 2], 0.9, [5.7 / 3.9, 3 / 3.9]),  # 1 and 1/1.9, times 3 / (1 + 2/1.9)
        ([1, 0, 3], 0.5, [7 / 4.75, 0, 4 / 4.75]),  # 1 and 1/1.75, times 4 / (1 + 3/1.75)
        ([900, 3, 1], 0.0, [1, 1, 1]),
    ],
)
def test_weights_are_those_computed_by_hand(counts: list[int], beta: float | None, expected: list[float]) -> None:
    assert class_weights(counts, beta) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("beta", [0.1, 0.9, 0.9999, 1 - 1e-7, 1 - 1e-12, 1 - 2**-53])
def test_weights_are_the_papers_to_twelve_digits_even_for_millions_of_utterances(beta: float) -> None:
    counts = [10_000_000, 20_000, 7, 1]
    assert class_weights(counts, beta) == pytest.approx(exact_weights(counts, beta), rel=1e-12)


def test_the_mean_weight_of_training_utterances_is_one() -> None:
    for beta in (None, 0.0, 0.99, 0.9999):
        assert np.dot(COUNTS, class_weights(COUNTS, beta)) / sum(COUNTS) == pytest.approx(1, rel=1e-12)


def test_weights_tend_to_the_inverse_count_as_beta_nears_one() -> None:
    assert class_weights([10_000_000, 3], 1 - 2**-53) == pytest.approx(class_weights([10_000_000, 3]), rel=1e-8)


def test_weights_without_any_utterance_are_an_error() -> None:
    with pytest.raises(SplitError, match="none of the 2 labels has an utterance in train"):
        class_weights([0, 0])


@pytest.mark.parametrize("beta", [None, 0.99, 0.0])
def test_each_class_is_drawn_as_often_as_its_count_times_its_weight(beta: float | None) -> None:
    dataset = make_dataset()
    sampler = BalancedSampler(dataset, beta=beta, seed=1)
    drawn = np.zeros(len(COUNTS))
    for epoch in range(20):
        sampler.set_epoch(epoch)
        drawn += np.bincount(dataset.labels[list(sampler)].numpy(), minlength=len(COUNTS))
    total = 20 * sum(COUNTS)
    shares = np.array(COUNTS) * class_weights(COUNTS, beta) / sum(COUNTS)
    if beta is None:
        assert shares == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3])
    bound = 4 * np.sqrt(total * shares * (1 - shares))
    assert (np.abs(drawn - total * shares) <= bound).all()


def test_the_utterances_of_a_class_are_drawn_equally_often() -> None:
    dataset = make_dataset()
    drawn = np.bincount(list(BalancedSampler(dataset, seed=1)), minlength=len(dataset))
    rare = drawn[dataset.labels.numpy() == 3]
    expected = rare.sum() / len(rare)  # about 32 each
    assert (np.abs(rare - expected) < 4 * np.sqrt(expected)).all()


def test_draws_follow_from_seed_and_epoch_and_not_from_global_state() -> None:
    draws = {}
    for seed in (0, 1):
        for epoch in (0, 1):
            torch.manual_seed(17 * epoch)
            np.random.seed(seed)
            sampler = BalancedSampler(make_dataset(), seed=seed)
            sampler.set_epoch(epoch)
            draws[seed, epoch] = tuple(sampler)
            torch.rand(3)
            assert tuple(sampler) == draws[seed, epoch]
    assert len(set(draws.values())) == 4  # DistributedSampler's own seed + epoch would make two of these the same
    state = torch.get_rng_state()
    list(BalancedSampler(make_dataset()))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("num_replicas", [2, 3, 4])
def test_ranks_share_out_one_draw_in_equal_parts(num_replicas: int) -> None:
    dataset = make_dataset((40, 0, 11, 2))  # 53: no multiple of any
    samplers = [BalancedSampler(dataset, num_replicas=num_replicas, rank=rank) for rank in range(num_replicas)]
    parts = [list(sampler) for sampler in samplers]
    assert {len(part) for part in parts} == {len(sampler) for sampler in samplers} == {-(-53 // num_replicas)}
    together = [index for step in zip(*parts, strict=True) for index in step]
    assert together[:53] == list(BalancedSampler(dataset))
    assert set(together[53:]) <= {NO_UTTERANCE}


def test_two_processes_together_make_the_steps_of_one_with_twice_the_batch() -> None:
    dataset = make_dataset((90, 10))
    one = list(BalancedSampler(dataset))
    first, second = (list(BalancedSampler(dataset, num_replicas=2, rank=rank)) for rank in (0, 1))
    for step in range(0, 50, 5):
        both = first[step : step + 5] + second[step : step + 5]
        assert sorted(both) == sorted(one[2 * step : 2 * step + 10])


def test_lightning_leaves_the_sampler_as_it_is_under_ddp() -> None:
    data = make_data(balance="sampler")
    data.trainer = pl.Trainer(accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_progress_bar=False)
    connector = data.trainer._data_connector
    loader = data.train_dataloader()
    assert connector._requires_distributed_sampler(DataLoader(loader.dataset))  # what the other loaders get
    assert connector._prepare_dataloader(loader, shuffle=True, mode=RunningStage.TRAINING) is loader
    assert isinstance(loader.sampler, BalancedSampler)
    assert (loader.sampler.num_replicas, loader.sampler.rank, len(loader.sampler)) == (2, 0, 1001)


def test_training_batches_are_drawn_in_balance_with_the_runs_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    labels = torch.cat([batch.label for batch in make_data(balance="sampler").train_dataloader()])
    assert len(labels) == 2001
    assert (np.bincount(labels, minlength=4) / 2001) == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3], abs=0.05)
    rows = [batch.row.tolist() for batch in make_data(balance="sampler").train_dataloader()]
    monkeypatch.setenv("PL_GLOBAL_SEED", "6")
    assert rows != [batch.row.tolist() for batch in make_data(balance="sampler").train_dataloader()]


@pytest.mark.parametrize("balance", ["none", "weights", "sampler"])
def test_loaders_draw_nothing_from_the_generator_that_dropout_draws_from(balance: str) -> None:
    data, state = make_data(balance=balance), torch.get_rng_state()
    for loader in (data.train_dataloader(), data.val_dataloader()):
        assert sum(1 for _ in loader)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("balance", ["none", "weights", "sampler"])
def test_dev_is_never_resampled_and_train_only_by_the_sampler(balance: str) -> None:
    data = make_data(balance=balance)
    assert [row for batch in data.val_dataloader() for row in batch.row.tolist()] == list(range(2001, 2021))
    rows = [row for batch in data.train_dataloader() for row in batch.row.tolist()]
    assert (sorted(rows) == list(range(2001))) == (balance != "sampler")


def test_the_model_is_given_weights_of_the_training_utterances_alone() -> None:
    assert make_data(balance="weights").class_weights == class_weights(COUNTS)
    assert make_data(balance="weights", balance_beta=0.99).class_weights == class_weights(COUNTS, 0.99)
    assert make_data(balance="sampler").class_weights is None
    assert make_data().class_weights is None


@pytest.mark.parametrize("lacking", ["labels", "train"])
def test_a_corpus_that_cannot_be_trained_on_has_no_weights(lacking: str) -> None:
    data = make_data(balance="weights")
    if lacking == "labels":
        data.corpus.labels[:] = -1
    else:
        data.corpus.splits[:] = "test"
    assert data.class_weights is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"balance": "weight"}, r"--data\.balance is 'weight'; expected one of none, weights, sampler"),
        ({"balance": "weights", "balance_beta": 1.0}, r"--data\.balance_beta is 1\.0; expected from 0 to below 1"),
        ({"balance": "sampler", "balance_beta": -0.1}, r"--data\.balance_beta is -0\.1; expected from 0 to below 1"),
        ({"balance": "sampler", "balance_beta": float("nan")}, r"--data\.balance_beta is nan; expected from 0"),
        ({"balance_beta": 0.9}, r"--data\.balance_beta is 0\.9, but --data\.balance is none; give --data\.balance"),
    ],
)
def test_balance_options_that_cannot_be_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EmojiDataModule(**options)  # type: ignore[arg-type]
