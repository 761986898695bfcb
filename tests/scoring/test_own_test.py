"""What a score says of the classifier's own held-out test, beside which the systems stand."""

import copy
from dataclasses import replace
from typing import Any

import pytest
from spoken_emoji import TEST, fit_head

from emoji_lightning.embedding.logmel import LogMelEncoder
from emoji_lightning.scoring.summary import describe_checkpoint


def own_test(**changes: Any) -> dict[str, Any]:
    numbers = {**copy.deepcopy(TEST), "mean_probability": 0.5, **changes}
    numbers["intervals"] = numbers["intervals"] | {"mean_probability": [0.4, 0.6]}
    head = replace(fit_head(), summary={"metrics": {"test": numbers}})
    found: dict[str, Any] = describe_checkpoint(head, 2.0, LogMelEncoder().spec)["test"]
    return found


def test_the_mean_probability_is_that_at_the_temperature_at_which_systems_are_scored() -> None:
    found = own_test(calibrated_mean_probability={"value": 0.7, "low": 0.65, "high": 0.75})
    assert found["mean_probability"] == 0.7
    assert found["intervals"]["mean_probability"] == [0.65, 0.75]
    assert found["intervals"]["accuracy"] == TEST["intervals"]["accuracy"]


@pytest.mark.parametrize("calibrated", [None, 0.7])
def test_a_summary_without_it_gives_the_plain_one(calibrated: float | None) -> None:
    found = own_test(calibrated_mean_probability=calibrated)
    assert found["mean_probability"] == 0.5
    assert found["intervals"]["mean_probability"] == [0.4, 0.6]


def test_a_number_without_an_interval_has_none() -> None:
    found = own_test(calibrated_mean_probability={"value": 0.7, "low": None, "high": None})
    assert found["intervals"]["mean_probability"] is None
