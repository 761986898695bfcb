"""The logged loss of an epoch is the mean over utterances, whatever the batches."""

import pytest
import torch

from emoji_lightning.model.losses import EpochLoss
from emoji_lightning.model.processes import Share


def test_a_short_last_batch_counts_as_many_utterances_as_it_has() -> None:
    epoch, losses = EpochLoss(), torch.tensor([1.0, 2.0, 3.0, 10.0])
    for batch in losses.split(3):
        epoch.append(batch.mean(), Share.of(len(batch), torch.device("cpu")))
    assert epoch.mean() == pytest.approx(losses.mean())


def test_an_epoch_that_goes_on_in_another_run_has_the_mean_of_all_its_steps() -> None:
    first, second = EpochLoss(), EpochLoss()
    first.append(torch.tensor(4.0), Share.of(2, torch.device("cpu")))
    second.load_state_dict(first.state_dict())
    second.append(torch.tensor(1.0), Share.of(1, torch.device("cpu")))
    assert second.mean() == pytest.approx(3.0)
