"""Groups drawn again with replacement: what a number would have been with other utterances of the same kind."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.errors import ConfigError

FEW_GROUPS = 10
"""With fewer groups intervals are too narrow: in simulations with random effects of the groups, 95 % intervals of the
accuracy hold the truth in 94 % of cases with 10 groups, 93 % with 6, 87 % with 4, 74 % with 3."""

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]

# Draws at once: their counts stay in the cache, and 100,000 groups need no more memory than 1,000.
_DRAWS = 1 << 19


@dataclass(frozen=True)
class Resampling:
    """How intervals are made.

    Attributes:
        num_resamples: How often all groups are drawn again; also the number of random permutations of a test.
        level: Share of intervals that hold the true number, over many sets of utterances.
        seed: Seed of all draws: the same predictions give the same intervals on every machine, up to rounding.

    Raises:
        ConfigError: There are fewer than 100 resamples, the level is not between 0 and 1, or the seed is negative.
    """

    num_resamples: int = 10_000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_resamples < 100:
            raise ConfigError(f"num_resamples is {self.num_resamples}; expected 100 or more, for a paper 10000")
        if not 0 < self.level < 1:
            raise ConfigError(f"level is {self.level}; expected between 0 and 1, for example 0.95")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; expected 0 or more")


@dataclass(frozen=True)
class Number:
    """A number with its interval.

    Attributes:
        value: The number, computed from all utterances.
        low: Lower end of the interval; None where there is no interval.
        high: Upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: float, low: float, high: float) -> "Number":
        """Make a number from floats in which NaN stands for 0 / 0, which is 0 without an interval, or for no end.

        Source: scikit-learn's zero_division=0.
        """
        if np.isnan(value):
            return cls(0.0)
        if np.isnan(low) or np.isnan(high):
            return cls(float(value))
        return cls(float(value), float(low), float(high))

    @property
    def interval(self) -> list[float] | None:
        """Both ends, or None."""
        return None if self.low is None or self.high is None else [self.low, self.high]

    def to_dict(self) -> dict[str, float | None]:
        """Return `value`, `low` and `high`."""
        return {"value": self.value, "low": self.low, "high": self.high}


def sort_groups(features: Reals) -> Reals:
    """Return the features (G, F) with their rows in an order of their own.

    Resamples are drawn by row number: in this order neither the order of the utterances nor the names of the groups
    change an interval. The first columns count most.
    """
    return features[np.lexsort(features.T[::-1])]


def resample_sums(features: Reals, resampling: Resampling) -> Reals:
    """Return the sums of the features over resampled groups.

    Args:
        features: (G, F) float64, one row per group.
        resampling: How often, and the seed.

    Returns:
        (R, F) float64; each row sums G groups drawn with replacement.
    """
    return np.concatenate([counts @ features for counts in _draw_counts(len(features), resampling)])


def leave_one_out(features: Reals) -> Reals:
    """Return the sums (G, F) of all groups but one, for each of the features' (G, F) groups."""
    return np.asarray(features.sum(axis=0) - features)


def _draw_counts(num_groups: int, resampling: Resampling) -> Iterator[Reals]:
    """Yield how often each group is drawn, (r, G) float64, until there are R rows."""
    rng = np.random.default_rng(resampling.seed)
    step = max(1, _DRAWS // num_groups)
    for start in range(0, resampling.num_resamples, step):
        num = min(step, resampling.num_resamples - start)
        drawn = rng.integers(0, num_groups, (num, num_groups))
        drawn += num_groups * np.arange(num)[:, None]
        yield np.bincount(drawn.ravel(), minlength=num * num_groups).reshape(num, num_groups).astype(np.float64)
