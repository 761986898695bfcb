"""A batch holds the embedding, label and row of the utterances that were asked for."""

import torch
from torch.utils.data import DataLoader

from emoji_lightning.data.dataset import Batch, EmbeddingDataset

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
