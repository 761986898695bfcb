"""Options of a classifier: what they are if they are not given, and whether they can be what was meant."""

import math

from emoji_lightning.errors import ConfigError

FROM_SCRATCH = {"lr": 5e-4, "weight_decay": 1.0, "input_noise": 1.0}
FROM_HEAD = {"lr": 1e-4, "weight_decay": 10.0, "input_noise": 0.0}
"""What `lr`, `weight_decay` and `input_noise` are if they are not given: those of `benchmarks/quality.py` and of
`benchmarks/finetune.py`."""


def check_sizes(*, hidden_dim: int | None, lr: float, weight_decay: float, input_noise: float) -> None:
    """Raise ConfigError for a width, a rate or a strength that cannot be."""
    if hidden_dim is not None and hidden_dim < 1:
        raise ConfigError(f"--model.hidden_dim is {hidden_dim}; expected at least 1 unit")
    if not 0 < lr < math.inf:
        raise ConfigError(f"--model.lr is {lr}; expected a learning rate above 0")
    if not 0 <= weight_decay < math.inf:
        raise ConfigError(f"--model.weight_decay is {weight_decay}; expected 0 or more")
    if not 0 <= input_noise < math.inf:
        raise ConfigError(f"--model.input_noise is {input_noise}; expected 0 or more standard deviations")


def check_class_weights(class_weights: list[float] | None, labels: list[str]) -> None:
    """Raise ConfigError where there are not as many weights as labels."""
    if class_weights is not None and len(class_weights) != len(labels):
        raise ConfigError(f"class_weights has {len(class_weights)} values; expected one for each of {labels}")


def check_shares(**shares: float) -> None:
    """Raise ConfigError for a share outside of 0 to below 1."""
    for name, value in shares.items():
        if not 0 <= value < 1:
            raise ConfigError(f"--model.{name} is {value}; expected a share from 0 to below 1")
