"""Dev is scored without a trainer as validation steps would."""

import pytest
import torch

from emoji_lightning.data.dataset import Batch
from emoji_lightning.model.classifier import EmojiClassifier
from emoji_lightning.stacking.dev_scores import score_dev


def test_dev_is_scored_as_validation_steps_would() -> None:
    model = EmojiClassifier(["a", "b", "c"], input_dim=20, hidden_dim=32, discriminant=False)
    embeddings, labels = torch.randn(30, 20), torch.arange(30) % 3
    batches = [Batch(embeddings[rows], labels[rows], rows) for rows in torch.arange(30).split(13)]
    numbers = score_dev(model, batches)
    logits = model.eval()(embeddings)
    assert numbers["dev/accuracy"] == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
    assert numbers["dev/loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)), rel=1e-5)
