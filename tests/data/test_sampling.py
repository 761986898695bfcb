"""Samplers share out utterances so that several processes do what one does, and a loader goes on inside an epoch."""

import pytest
import torch

from emoji_lightning.data.dataset import Batch, EmbeddingDataset
from emoji_lightning.data.sampling import EvaluationSampler, TrainLoader, TrainSampler
from emoji_lightning.errors import ConfigError


def make_dataset(size: int) -> EmbeddingDataset:
    return EmbeddingDataset(
        torch.arange(size * 2.0).view(size, 2), torch.zeros(size, dtype=torch.int64), torch.arange(size)
    )


def make_loader(
    size: int, batch_size: int, num: int = 1, rank: int = 0, *, epoch: int = 0, seed: int = 0
) -> TrainLoader:
    dataset = make_dataset(size)
    sampler = TrainSampler(dataset, num_replicas=num, rank=rank, seed=seed)
    sampler.set_epoch(epoch)
    return TrainLoader(dataset, batch_size=batch_size, sampler=sampler, collate_fn=lambda batch: batch)


def rows(loader: TrainLoader) -> list[list[int]]:
    return [batch.row.tolist() for batch in loader]


@pytest.mark.parametrize("num", [2, 3, 4])
@pytest.mark.parametrize("size", [1, 2, 23, 24, 25, 26, 48])
def test_step_k_of_all_processes_is_step_k_of_one_with_as_many_times_the_batch(size: int, num: int) -> None:
    one = rows(make_loader(size, 4 * num))
    parts = [rows(make_loader(size, 4, num, rank)) for rank in range(num)]
    assert {len(part) for part in parts} == {len(one)}
    for step, expected in enumerate(one):
        together = [row for part in parts for row in part[step]]
        assert sorted(together) == sorted(expected)
    assert sorted(row for step in one for row in step) == list(range(size))


def test_the_order_follows_from_seed_and_epoch_and_from_nothing_else() -> None:
    orders = {(seed, epoch): rows(make_loader(50, 8, epoch=epoch, seed=seed)) for seed in (0, 1) for epoch in (0, 1)}
    assert len({str(order) for order in orders.values()}) == 4
    torch.manual_seed(5)
    assert rows(make_loader(50, 8, epoch=1, seed=1)) == orders[1, 1]


@pytest.mark.parametrize("num", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [1, 7, 8, 9, 33, 64])
def test_an_evaluation_deals_out_the_batches_of_one_process_each_once(size: int, num: int) -> None:
    dataset, alone = make_dataset(size), [list(range(size))[start : start + 8] for start in range(0, size, 8)]
    parts = [EvaluationSampler(dataset, batch_size=8, num_replicas=num, rank=rank) for rank in range(num)]
    dealt = [rows(TrainLoader(dataset, batch_size=8, sampler=part, collate_fn=lambda batch: batch)) for part in parts]
    assert len({len(part) for part in dealt}) == 1
    assert sorted(batch for part in dealt for batch in part if batch) == alone
    assert [len(part) for part in parts] == [len(list(part)) for part in parts]


def test_an_index_below_zero_stands_for_no_utterance() -> None:
    batch: Batch = make_dataset(5).__getitems__([3, -1, 0])
    assert batch.row.tolist() == [3, 0]
    empty = make_dataset(5).__getitems__([-1])
    assert empty.embedding.shape == (0, 2)
    assert empty.label.dtype == torch.int64


@pytest.mark.parametrize("num_done", [0, 1, 4, 6])
def test_a_loader_goes_on_where_another_one_stood_and_begins_anew_afterwards(num_done: int) -> None:
    whole, first = rows(make_loader(50, 8)), make_loader(50, 8)
    batches = iter(first)
    seen = [next(batches).row.tolist() for _ in range(num_done)]
    second = make_loader(50, 8)
    second.load_state_dict(first.state_dict())
    assert seen + rows(second) == whole
    assert rows(second) == whole
    assert len(second) == len(whole)


def test_the_end_of_an_epoch_is_the_beginning_of_the_next() -> None:
    first, second = make_loader(50, 8), make_loader(50, 8)
    whole = rows(first)
    second.load_state_dict(first.state_dict())
    assert rows(second) == whole


def test_a_place_inside_an_epoch_means_nothing_with_other_steps() -> None:
    first = make_loader(50, 8)
    next(iter(first))
    with pytest.raises(ConfigError, match="behind 1 steps of 8 utterances; a step has 16 now"):
        make_loader(50, 16).load_state_dict(first.state_dict())
    make_loader(50, 4, 2).load_state_dict(first.state_dict())
