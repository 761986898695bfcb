"""Every layout that circulates is read as its own users read it."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from layout_parts import dims_in
from layouts import LAYOUTS, Layout

from emoji_lightning.checkpoint.stored_head import StoredHead, read_head


@pytest.fixture(params=LAYOUTS, ids=lambda layout: layout.name)
def layout(request: pytest.FixtureRequest) -> Layout:
    return request.param  # type: ignore[no-any-return]


def predict(head: StoredHead, embeddings: torch.Tensor) -> tuple[torch.Tensor, list[str]]:
    with torch.no_grad():
        logits = head.build()(embeddings)
    return logits, [head.label_set.labels[number] for number in logits.argmax(dim=1).tolist()]


def test_a_layout_is_read_as_its_own_users_read_it(layout: Layout, tmp_path: Path) -> None:
    path = layout.write(tmp_path)
    embeddings = 2 * torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    head = read_head(path)
    theirs, their_labels = layout.consume(path, embeddings)
    logits, labels = predict(head, embeddings)
    torch.testing.assert_close(logits, theirs, rtol=0, atol=1e-6)
    assert labels == their_labels
    assert len(set(labels)) > 1


def test_a_layout_is_described_as_it_is(layout: Layout, tmp_path: Path) -> None:
    path = layout.write(tmp_path)
    head = read_head(path)
    assert head.architecture.describe() == layout.describe
    assert head.label_set.labels == layout.labels
    assert head.encoder == layout.encoder
    assert head.source is not None
    assert dict(layout.origins).items() <= head.source.origins.items()


def test_the_dims_of_a_layout_make_a_swap_of_layers_seen() -> None:
    square = [layout for layout in LAYOUTS if any(a == b for a, b in pairwise(dims_in(layout.describe)))]
    assert len(square) > len(LAYOUTS) - 5
