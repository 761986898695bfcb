"""Moments from one pass are those of all embeddings at once; a split on the accelerator is cut there."""

from typing import Any

import numpy as np
import pytest
import torch

from emoji_lightning.data import loaders
from emoji_lightning.data.datamodule import EmojiDataModule
from emoji_lightning.data.dataset import EmbeddingDataset
from emoji_lightning.data.moments import MomentsInPasses, are_all_alike, find_broken


def test_moments_of_blocks_are_those_of_everything_at_once() -> None:
    rng = np.random.default_rng(0)
    embeddings = (rng.standard_normal((999, 5)) * [1, 1e-3, 50, 1, 1] + [0, 1e3, -7, 1e-6, 3]).astype(np.float32)
    embeddings[:, 4] = 3
    passes = MomentsInPasses(5)
    for block in np.array_split(embeddings, [1, 1, 40, 600]):
        passes.add(block)
    moments = passes.result()
    exact = torch.from_numpy(embeddings).double()
    np.testing.assert_allclose(moments.mean, exact.mean(dim=0), rtol=1e-13)
    np.testing.assert_allclose(moments.deviation, exact.std(dim=0, correction=0), rtol=1e-10)
    assert moments.deviation[4] == 0
    assert not passes.all_alike


def test_blocks_of_one_and_the_same_vector_are_told_from_others() -> None:
    passes = MomentsInPasses(2)
    for block in np.split(np.full((12, 2), 3, dtype=np.float32), 3):
        passes.add(block)
    assert passes.all_alike
    passes.add(np.array([[3, 4]], dtype=np.float32))
    assert not passes.all_alike


def test_rows_that_are_not_finite_and_rows_that_are_all_alike_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emoji_lightning.data.moments.CHUNK_ROWS", 4)
    embeddings = np.ones((11, 3), dtype=np.float32)
    assert find_broken(embeddings) == []
    assert are_all_alike(embeddings, np.arange(11))
    embeddings[9, 1] = 2
    assert not are_all_alike(embeddings, np.arange(11))
    assert are_all_alike(embeddings, np.arange(9))
    embeddings[[2, 9], [0, 2]] = np.nan, -np.inf
    assert find_broken(embeddings) == [2, 9]


def test_batches_of_a_resident_split_are_cut_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """On "meta" there is nothing to copy from: a batch that was cut on the CPU would fail the comparison."""
    monkeypatch.setattr(loaders, "resident_device", lambda trainer, dataset: torch.device("meta"))
    data = EmojiDataModule(batch_size=100)
    batches = list(data.val_dataloader())
    assert [tuple(batch.embedding.shape) for batch in batches] == [(100, 768)] * 10
    assert all(tensor.device.type == "meta" for batch in batches for tensor in batch)
    assert next(iter(EmojiDataModule(resident=False).val_dataloader())).embedding.device.type == "cpu"


class FakeTrainer:
    def __init__(self, device: str) -> None:
        self.strategy = self
        self.root_device = torch.device(device)


@pytest.mark.parametrize(("device", "free", "expected"), [("cuda", 160, "cuda"), ("cuda", 159, None), ("cpu", 1, None)])
def test_a_split_is_resident_where_it_fits_half_of_the_free_memory(
    device: str, free: int, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**9))
    dataset = EmbeddingDataset(torch.zeros(10, 2), torch.zeros(10), torch.arange(10))
    trainer: Any = FakeTrainer(device)
    found = loaders.resident_device(trainer, dataset)
    assert (None if found is None else found.type) == expected
    assert loaders.resident_device(None, dataset) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device on this machine")
def test_a_resident_batch_equals_one_in_memory() -> None:
    dataset = EmbeddingDataset(torch.rand(10, 2), torch.arange(10), torch.arange(10))
    expected = dataset.__getitems__([7, 1])
    found = dataset.to(torch.device("cuda")).__getitems__([7, 1])
    assert all(torch.equal(ours.cpu(), theirs) for ours, theirs in zip(found, expected, strict=True))
