"""A batch holds the embedding, label and row of the utterances that were asked for."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from emoji_lightning.data.datamodule import EmojiDataModule
from emoji_lightning.data.dataset import Batch, EmbeddingDataset
from emoji_lightning.data.loaders import choose_batch_size

EMBEDDINGS = torch.arange(20.0).reshape(10, 2)
LABELS = torch.arange(10) % 3


def test_a_batch_equals_its_utterances_one_by_one() -> None:
    dataset = EmbeddingDataset(EMBEDDINGS, LABELS, torch.tensor([1, 4, 7, 9]))
    batch = dataset.__getitems__([3, 0])
    for position, index in enumerate([3, 0]):
        single = dataset[index]
        assert torch.equal(batch.embedding[position], single.embedding)
        assert batch.label[position] == single.label
        assert batch.row[position] == single.row
    assert batch.row.tolist() == [9, 1]


def test_a_loader_yields_every_utterance_once_with_its_own_label() -> None:
    dataset = EmbeddingDataset(EMBEDDINGS, LABELS, torch.arange(10))
    loader: DataLoader[Batch] = DataLoader(dataset, batch_size=4, shuffle=True, collate_fn=lambda batch: batch)
    rows = []
    for batch in loader:
        rows += batch.row.tolist()
        assert torch.equal(batch.embedding, EMBEDDINGS[batch.row])
        assert torch.equal(batch.label, LABELS[batch.row])
    assert sorted(rows) == list(range(10))
    assert rows != list(range(10))


def test_other_splits_of_one_corpus_have_their_own_batch_size() -> None:
    data = EmojiDataModule()
    splits = np.full(len(data.corpus.labels), "train")
    splits[2_000:] = ""
    assert (data.batch_size, data.with_splits(splits).batch_size) == (64, 16)


@pytest.mark.parametrize(
    ("num_utterances", "expected"), [(1, 16), (8_191, 16), (8_192, 32), (19_940, 64), (65_535, 128), (65_536, 256)]
)
def test_an_epoch_has_256_steps_where_batches_of_16_allow_it(num_utterances: int, expected: int) -> None:
    assert choose_batch_size(num_utterances) == expected
