"""Training on labels of unequal size: weights of the classes, and a sampler that draws by them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.data.dataset import EmbeddingDataset
from emoji_lightning.data.sampling import TrainSampler
from emoji_lightning.errors import ConfigError, SplitError

BALANCES = ("none", "weights", "sampler")


def check_balance(balance: str, beta: float | None) -> None:
    """Check the options `--data.balance` and `--data.balance_beta`.

    Raises:
        ConfigError: There is no such balance, beta is outside its range, or beta has nothing to act on.
    """
    if balance not in BALANCES:
        raise ConfigError(f"--data.balance is {balance!r}; expected one of {', '.join(BALANCES)}")
    if beta is None:
        return
    if not 0 <= beta < 1:
        raise ConfigError(f"--data.balance_beta is {beta}; expected from 0 to below 1, for example 0.999")
    if balance == "none":
        raise ConfigError(
            f"--data.balance_beta is {beta}, but --data.balance is none; give --data.balance weights or sampler, or "
            "leave out --data.balance_beta (null where a configuration sets it)"
        )


def class_weights(counts: Sequence[int] | NDArray[np.int64], beta: float | None = None) -> list[float]:
    """Return the weight of each class: the inverse of its effective number of utterances, 1 on average.

    A class of n utterances gets 1 / n, or with beta (1 - beta) / (1 - beta^n), whose limit for beta -> 1 is 1 / n and
    which is the same for all classes at beta = 0. All are then scaled so that the mean over utterances (not classes) is
    1, sum(n * weight) / sum(n) = 1: the loss keeps its size, and the learning rate its meaning.

    Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", 2019, eq. 2 to 4.

    Args:
        counts: (K,) utterances of each class. A class without any gets the weight 0 and does not count.
        beta: From 0 to below 1; None for 1 / n.

    Raises:
        SplitError: No class has an utterance.

    >>> class_weights([30, 10, 0])
    [0.6666666666666666, 2.0, 0.0]
    """
    sizes = np.asarray(counts, dtype=np.float64)
    present = sizes > 0
    if not present.any():
        raise SplitError(f"none of the {sizes.size} labels has an utterance in train; expected at least one that has")
    weights = np.zeros_like(sizes)
    weights[present] = 1 / _effective_number(sizes[present], beta)
    scaled: list[float] = (weights * (sizes.sum() / (sizes @ weights))).tolist()
    return scaled


def _effective_number(sizes: NDArray[np.float64], beta: float | None) -> NDArray[np.float64]:
    if beta is None:
        return sizes
    # 1 - beta^n as it stands loses every digit where beta^n is near 1; beta - 1 is exact there.
    with np.errstate(divide="ignore"):  # log(0): beta^n is then 0, as it should be
        effective: NDArray[np.float64] = -np.expm1(sizes * np.log1p(beta - 1)) / (1 - beta)
    return effective


class BalancedSampler(TrainSampler):
    """Draws utterances with replacement, a class with n utterances in proportion to n times its weight.

    Without beta all classes that train has come equally often. An epoch draws as many utterances as there are, the same
    ones on any number of processes.

    Args:
        dataset: Utterances, all labelled.
        beta: See `class_weights`.
        num_replicas: Number of processes.
        rank: Which of them this is, from 0.
        seed: 0 or more.

    Raises:
        SplitError: The dataset is empty.
    """

    def __init__(
        self,
        dataset: EmbeddingDataset,
        *,
        beta: float | None = None,
        num_replicas: int = 1,
        rank: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(dataset, num_replicas=num_replicas, rank=rank, seed=seed)
        labels = dataset.labels.numpy()
        self._counts = np.bincount(labels)
        self._by_class = np.argsort(labels, kind="stable")
        self._starts = np.cumsum(self._counts) - self._counts
        self._shares = self._counts * class_weights(self._counts, beta) / len(labels)

    def draw(self) -> NDArray[np.int64]:
        """Return the epoch's draw (N,) int64 of all processes: positions in the dataset."""
        rng = np.random.default_rng((self.seed, self.epoch))
        # First a class, then one of its utterances: torch.multinomial over utterances ends at 2^24 of them.
        classes = rng.choice(len(self._counts), size=self.num_utterances, p=self._shares)
        drawn: NDArray[np.int64] = self._by_class[self._starts[classes] + rng.integers(self._counts[classes])]
        return drawn
