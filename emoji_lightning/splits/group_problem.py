"""Groups, parts, and what is wanted of each part."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Reals = NDArray[np.float64]
Bools = NDArray[np.bool_]
Codes = NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class GroupProblem:
    """Groups to be divided over S parts.

    Args:
        counts: Utterances per free group and label, shape (G, K), in an order that is random but repeatable.
        targets: Utterances wanted per part and label, shape (S, K).
        scored: Parts whose distance from the target counts, shape (S,); the others take what is left.
        closed: Parts that take no free group, shape (S,).
        given: Utterances that fixed groups have brought already, shape (S, K).
        num_fixed: Number of these groups, shape (S,).
        scale: What a squared deviation of each label counts, shape (K,).
        reserve: Whether part 0 (train) must keep an utterance of every label.
        alike: Whether the parts can be swapped for each other, as folds can.
    """

    counts: Ints
    targets: Reals
    scored: Bools
    closed: Bools
    given: Ints
    num_fixed: Ints
    scale: Reals
    reserve: bool = True
    alike: bool = False
    totals: Ints = field(init=False)

    def __post_init__(self) -> None:
        """Add up the labels."""
        object.__setattr__(self, "totals", self.counts.sum(axis=0) + self.given.sum(axis=0))

    @property
    def must_have(self) -> Bools:
        """Parts that need a group, shape (S,)."""
        wanted: Bools = self.scored & ~self.closed & (self.num_fixed == 0)
        return wanted
