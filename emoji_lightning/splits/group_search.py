"""Which groups go to dev and test, so that both come nearest to their targets."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

# 3^10 = 59,049 assignments are all tried in well under a second.
_EXACT_GROUPS = 10
_STARTS = 8
_MANY_GROUPS = 2000  # above it the first starts come out as well as any, and each takes seconds

# Kinds of groups that are compared with each other for a swap, per split; 512 x 512 pairs take some milliseconds.
_SWAP_KINDS = 512
_PAIRS = ((1, 0), (2, 0), (1, 2))


def assign_groups(counts: Ints, targets: Ints, *, seed: int) -> NDArray[np.int8] | None:
    """Assign groups to train, dev and test.

    Least sum over dev, test and the labels of (count - target)^2, where every label keeps an utterance in train and
    dev and test get a group each if they have a target. Up to 10 groups every assignment is tried; with more, several
    greedy starts are improved by single moves and swaps until none helps.

    Args:
        counts: Utterances per group and label, shape (G, K), in an order that is random but repeatable.
        targets: Utterances wanted in dev and test per label, shape (2, K).
        seed: Draws the further starts.

    Returns:
        0 train, 1 dev, 2 test, shape (G,); None if no start leads to a possible assignment.
    """
    if len(counts) <= _EXACT_GROUPS:
        return _try_all(counts, targets)
    return _search(counts, targets, seed=seed)


def _try_all(counts: Ints, targets: Ints) -> NDArray[np.int8] | None:
    grid = np.indices((3,) * len(counts), dtype=np.int8).reshape(len(counts), -1).T  # (3^G, G)
    sums = [(grid == code).astype(np.int64) @ counts for code in range(3)]  # three of (3^G, K)
    possible = ((sums[0] > 0) | (counts.sum(axis=0) == 0)).all(axis=1)
    for code in (1, 2):
        if targets[code - 1].any():
            possible &= (grid == code).any(axis=1)
        else:
            possible &= ~(grid == code).any(axis=1)
    if not possible.any():
        return None
    costs = sum(((sums[code] - targets[code - 1]) ** 2).sum(axis=1) for code in (1, 2))
    best: NDArray[np.int8] = grid[np.argmin(np.where(possible, costs, np.iinfo(np.int64).max))]
    return best


def _search(counts: Ints, targets: Ints, *, seed: int) -> NDArray[np.int8] | None:
    """Try several starts; the first that meets the targets exactly ends it."""
    rng = np.random.default_rng(seed)
    given = np.arange(len(counts))
    biggest_first = np.argsort(-counts.sum(axis=1), kind="stable")
    best: NDArray[np.int8] | None = None
    best_cost = np.inf
    for start in range(_STARTS if len(counts) <= _MANY_GROUPS else 2):
        order = given if start == 0 else biggest_first if start == 1 else rng.permutation(len(counts))
        codes = _fill_greedily(counts, targets, order)
        if codes is None:
            continue
        state = _State.of(counts, targets, codes)
        while state.improve():
            pass
        if state.cost < best_cost:
            best, best_cost = state.to_codes(), state.cost
        if best_cost == 0:
            break
    return best


def _fill_greedily(counts: Ints, targets: Ints, order: Ints) -> NDArray[np.int8] | None:
    """Put each group where it lowers the cost most, else into train."""
    codes = np.zeros(len(counts), dtype=np.int8)
    residual = -targets.copy()
    left = counts.sum(axis=0)
    squares = (counts**2).sum(axis=1)
    wanted = [code for code in (1, 2) if targets[code - 1].any()]
    for group in order.tolist():
        row = counts[group]
        gains = 2 * (residual @ row) + squares[group]
        code = min(wanted, key=lambda code: gains[code - 1], default=0)
        if code and gains[code - 1] < 0 and _leaves_train(left, row):
            codes[group] = code
            residual[code - 1] += row
            left = left - row
    for code in wanted:  # one whose groups are all too big still gets the least bad
        if not (codes == code).any():
            free = [group for group in order.tolist() if codes[group] == 0 and _leaves_train(left, counts[group])]
            if not free:
                return None
            group = min(free, key=lambda group: 2 * (residual[code - 1] @ counts[group]) + squares[group])
            codes[group] = code
            residual[code - 1] += counts[group]
            left = left - counts[group]
    return codes


def _leaves_train(left: Ints, row: Ints) -> bool:
    return bool(((left > row) | (row == 0)).all())


@dataclass
class _State:
    """How many groups of each kind are in each split.

    Groups with the same label counts are interchangeable: 100,000 source texts are some dozens of kinds, and moves and
    swaps are looked for among kinds.
    """

    kinds: Ints  # (P, K) label counts
    kind_of: Ints  # (G,)
    num: Ints  # (3, P) groups of each kind in train, dev, test
    residual: Ints  # (3, K) count - target; train's row holds its count
    weight: Ints  # (3,) 0 for train, which has no target

    @classmethod
    def of(cls, counts: Ints, targets: Ints, codes: NDArray[np.int8]) -> "_State":
        kinds, kind_of = np.unique(counts, axis=0, return_inverse=True)
        kind_of = kind_of.reshape(-1)
        num = np.stack([np.bincount(kind_of[codes == code], minlength=len(kinds)) for code in range(3)])
        residual: Ints = num @ kinds
        residual[1:] -= targets
        return cls(
            kinds, kind_of, num, residual, np.array([False, targets[0].any(), targets[1].any()]).astype(np.int64)
        )

    @property
    def cost(self) -> int:
        return int((self.residual[1:] ** 2).sum())

    def improve(self) -> bool:
        """Do the best move or swap; tell whether there was one."""
        best = min((*self._moves(), *self._swaps()), default=None)
        if best is None or best[0] >= 0:
            return False
        _, source, target, kind, back = best
        self._shift(kind, source, target)
        if back >= 0:
            self._shift(back, target, source)
        return True

    def to_codes(self) -> NDArray[np.int8]:
        """Choose the groups of each kind by their place, which is random already."""
        codes = np.zeros(len(self.kind_of), dtype=np.int8)
        by_kind = np.argsort(self.kind_of, kind="stable")
        ends = np.cumsum(self.num.sum(axis=0))
        for kind, end in enumerate(ends.tolist()):
            groups = by_kind[end - int(self.num[:, kind].sum()) : end]
            dev, test = self.num[1:, kind]
            codes[groups[:dev]] = 1
            codes[groups[dev : dev + test]] = 2
        return codes

    def _shift(self, kind: int, source: int, target: int) -> None:
        for code, sign in ((source, -1), (target, 1)):
            self.num[code, kind] += sign
            self.residual[code] += sign * self.kinds[kind]

    def _gains(self, code: int, sign: int) -> Ints:
        """Return the change of cost if one group of each kind enters (+1) or leaves (-1) a split, shape (P,)."""
        gains: Ints = self.weight[code] * (2 * sign * (self.kinds @ self.residual[code]) + (self.kinds**2).sum(axis=1))
        return gains

    def _moves(self) -> list[tuple[int, int, int, int, int]]:
        moves = []
        for source in range(3):
            may_leave = self.num[source] > 0
            if source == 0:
                may_leave &= ((self.residual[0] > self.kinds) | (self.kinds == 0)).all(axis=1)
            elif self.num[source].sum() == 1:
                continue
            for target in {0, 1, 2} - {source}:
                if target and not self.weight[target]:
                    continue
                gains = np.where(may_leave, self._gains(source, -1) + self._gains(target, 1), np.iinfo(np.int64).max)
                kind = int(np.argmin(gains))
                if may_leave[kind]:
                    moves.append((int(gains[kind]), source, target, kind, -1))
        return moves

    def _swaps(self) -> list[tuple[int, int, int, int, int]]:
        swaps = []
        for source, target in _PAIRS:
            out_gain = self._gains(source, -1) + self._gains(target, 1)
            in_gain = self._gains(source, 1) + self._gains(target, -1)
            out = _promising(out_gain, self.num[source])
            back = _promising(in_gain, self.num[target])
            if len(out) == 0 or len(back) == 0:
                continue
            weight = self.weight[source] + self.weight[target]
            cross = self.kinds[out] @ self.kinds[back].T
            gains = out_gain[out][:, None] + in_gain[back][None, :] - 2 * weight * cross
            if target == 0:
                gains = np.where(self._keeps_train(out, back), gains, np.iinfo(np.int64).max)
            first, second = np.unravel_index(int(np.argmin(gains)), gains.shape)
            swaps.append((int(gains[first, second]), source, target, int(out[first]), int(back[second])))
        return swaps

    def _keeps_train(self, enter: Ints, leave: Ints) -> NDArray[np.bool_]:
        """Tell which pairs leave every label in train, shape (len(enter), len(leave))."""
        keeps = np.ones((len(enter), len(leave)), dtype=np.bool_)
        for label in np.flatnonzero(self.residual[0]):
            after = self.residual[0, label] + self.kinds[enter, label][:, None] - self.kinds[leave, label][None, :]
            keeps &= after > 0
        return keeps


def _promising(gains: Ints, num: Ints) -> Ints:
    """Return the kinds that are there at all, at most 512, the best first."""
    kinds = np.flatnonzero(num)
    if len(kinds) > _SWAP_KINDS:
        kinds = kinds[np.argsort(gains[kinds], kind="stable")[:_SWAP_KINDS]]
    return kinds
