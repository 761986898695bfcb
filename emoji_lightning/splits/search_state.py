"""The local search over assignments of groups: the best single move or swap, again and again."""

from dataclasses import dataclass

import numpy as np

from emoji_lightning.splits.group_problem import Bools, Codes, GroupProblem, Ints, Reals

# Kinds of groups that are compared with each other for a swap, over all parts: 512 x 512 pairs take some milliseconds.
_SWAP_KINDS = 1536
# Costs of folds are fractions: what is gained by less than this is rounding.
_LEAST_GAIN = 1e-9

Step = tuple[float, int, int, int, int]
"""Change of cost, from part, to part, kind of group, and the kind that comes back (-1: none)."""


@dataclass
class SearchState:
    """How many groups of each kind are in each part.

    Groups with the same label counts are interchangeable: 100,000 source texts are some dozens of kinds, and moves and
    swaps are looked for among kinds.
    """

    problem: GroupProblem
    kinds: Ints  # (P, K) label counts
    kind_of: Ints  # (G,)
    num: Ints  # (S, P) groups of each kind in each part
    residual: Reals  # (S, K) count - target
    in_train: Ints  # (K,) utterances in part 0

    @classmethod
    def of(cls, problem: GroupProblem, codes: Codes) -> "SearchState":
        """Start from an assignment (G,) of the free groups."""
        kinds, kind_of = np.unique(problem.counts, axis=0, return_inverse=True)
        kind_of = kind_of.reshape(-1)
        parts = range(len(problem.targets))
        num = np.stack([np.bincount(kind_of[codes == part], minlength=len(kinds)) for part in parts])
        sums = num @ kinds + problem.given
        return cls(problem, kinds, kind_of, num, sums - problem.targets, sums[0])

    @property
    def cost(self) -> float:
        """Sum over scored parts and labels of scale * (count - target)^2."""
        return float(((self.residual[self.problem.scored] ** 2) @ self.problem.scale).sum())

    def improve(self) -> bool:
        """Do the best move or swap; tell whether there was one."""
        enter, leave = self._gains(1), self._gains(-1)
        best = min((*self._moves(enter, leave), *self._swaps(enter, leave)), default=None)
        if best is None or best[0] >= -_LEAST_GAIN:
            return False
        _, source, target, kind, back = best
        self._shift(kind, source, target)
        if back >= 0:
            self._shift(back, target, source)
        return True

    def to_codes(self) -> Codes:
        """Choose the groups of each kind by their place, which is random already; shape (G,)."""
        codes = np.zeros(len(self.kind_of), dtype=np.int8)
        by_kind = np.argsort(self.kind_of, kind="stable")
        parts = np.arange(len(self.num), dtype=np.int8)
        # Part 0 takes what the others leave: with few of a kind the first places decide, and they are as good as any.
        order = np.concatenate([parts[1:], parts[:1]])
        codes[by_kind] = np.concatenate([np.repeat(order, column) for column in self.num[order].T])
        return codes

    def _shift(self, kind: int, source: int, target: int) -> None:
        for part, sign in ((source, -1), (target, 1)):
            self.num[part, kind] += sign
            self.residual[part] += sign * self.kinds[kind]
            if part == 0:
                self.in_train = self.in_train + sign * self.kinds[kind]

    def _gains(self, sign: int) -> Reals:
        """Return the change of cost if one group of each kind enters (+1) or leaves (-1) each part, shape (S, P)."""
        scaled = self.kinds * self.problem.scale
        gains = 2 * sign * (self.residual @ scaled.T) + (self.kinds * scaled).sum(axis=1)
        return np.where(self.problem.scored[:, None], gains, 0.0)

    def _moves(self, enter: Reals, leave: Reals) -> list[Step]:
        moves = []
        parts = range(len(self.num))
        for source in parts:
            may_leave = self.num[source] > 0
            if source == 0 and self.problem.reserve:
                may_leave &= ((self.in_train > self.kinds) | (self.kinds == 0)).all(axis=1)
            if self.problem.scored[source] and self.num[source].sum() + self.problem.num_fixed[source] == 1:
                continue
            if not may_leave.any():
                continue
            for target in parts:
                if target != source and not self.problem.closed[target]:
                    gains = np.where(may_leave, leave[source] + enter[target], np.inf)
                    kind = int(np.argmin(gains))
                    moves.append((float(gains[kind]), source, target, kind, -1))
        return moves

    def _swaps(self, enter: Reals, leave: Reals) -> list[Step]:
        swaps = []
        scaled = self.kinds * self.problem.scale
        for source in range(1, len(self.num)):
            for target in range(source):
                out_gain, in_gain = leave[source] + enter[target], enter[source] + leave[target]
                out = self._promising(out_gain, source)
                back = self._promising(in_gain, target)
                if len(out) == 0 or len(back) == 0:
                    continue
                weight = int(self.problem.scored[source]) + int(self.problem.scored[target])
                gains = out_gain[out][:, None] + in_gain[back][None, :]
                gains -= 2 * weight * (scaled[out] @ self.kinds[back].T)
                if target == 0 and self.problem.reserve:
                    gains = np.where(self._keeps_train(out, back), gains, np.inf)
                first, second = np.unravel_index(int(np.argmin(gains)), gains.shape)
                swaps.append((float(gains[first, second]), source, target, int(out[first]), int(back[second])))
        return swaps

    def _keeps_train(self, enter: Ints, leave: Ints) -> Bools:
        """Tell which pairs leave every label in train, shape (len(enter), len(leave))."""
        keeps = np.ones((len(enter), len(leave)), dtype=np.bool_)
        for label in np.flatnonzero(self.in_train):
            after = self.in_train[label] + self.kinds[enter, label][:, None] - self.kinds[leave, label][None, :]
            keeps &= after > 0
        return keeps

    def _promising(self, gains: Reals, part: int) -> Ints:
        """Return the kinds that are in a part at all, the best first, and not too many."""
        kinds = np.flatnonzero(self.num[part])
        most = max(32, _SWAP_KINDS // len(self.num))
        if len(kinds) > most:
            kinds = kinds[np.argpartition(gains[kinds], most)[:most]]
        best: Ints = kinds[np.argsort(gains[kinds], kind="stable")]
        return best
