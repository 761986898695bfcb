"""What `fit` logs of dev after an epoch, without a trainer."""

from collections.abc import Iterable

import torch
from torch.nn.functional import cross_entropy

from emoji_lightning.data.dataset import Batch
from emoji_lightning.model.classifier import EmojiClassifier


@torch.no_grad()
def score_dev(model: EmojiClassifier, batches: Iterable[Batch]) -> dict[str, float]:
    """Return `dev/loss`, `dev/macro_f1` and `dev/accuracy` of a model that is being trained.

    Args:
        model: The model; its head is assembled anew.
        batches: All of dev.
    """
    model.eval()
    model.assemble()
    losses, num = torch.zeros((), device=model.device), 0
    for batch in batches:
        logits = model(batch.embedding)
        losses += cross_entropy(logits, batch.label) * len(batch.label)
        num += len(batch.label)
        model.dev_metrics.update(logits, batch.label)
    numbers = {name: float(value) for name, value in model.dev_metrics.compute().items()}
    model.dev_metrics.reset()
    model.train()
    return {"dev/loss": float(losses / num), **numbers}
