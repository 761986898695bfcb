"""Which groups go to which part, so that every part comes nearest to its target."""

from collections.abc import Iterator

import numpy as np

from emoji_lightning.splits.group_problem import Codes, GroupProblem, Ints
from emoji_lightning.splits.search_state import SearchState

# As many assignments are all tried in well under a second: 10 groups to train, dev and test, or to 5 folds.
_EXACT_ASSIGNMENTS = 100_000
_STARTS = 8
_MANY_GROUPS = 2000  # above it the first starts come out as well as any, and each takes seconds


def assign_groups(problem: GroupProblem, *, seed: int) -> Codes | None:
    """Assign every free group to a part.

    Least sum over scored parts and labels of scale * (count - target)^2, where every label keeps an utterance in train
    if there is one, and each scored part gets a group. Where there are up to 100,000 assignments all are tried; with
    more, several greedy starts are improved by single moves and swaps until none helps.

    Args:
        problem: G groups, S parts.
        seed: Draws the further starts.

    Returns:
        Part of each group, shape (G,) int8; None if no start leads to a possible assignment.
    """
    grid = _list_assignments(len(problem.counts), len(problem.targets), alike=problem.alike)
    return _search(problem, seed=seed) if grid is None else _try_all(problem, grid)


def _list_assignments(num_groups: int, num_parts: int, *, alike: bool) -> Codes | None:
    """Return all assignments (M, G), or None if they are too many; of alike parts those not used yet are one choice."""
    grid = np.zeros((1, 0), dtype=np.int8)
    for _ in range(num_groups):
        if len(grid) * num_parts > num_parts * _EXACT_ASSIGNMENTS:
            return None
        choice = np.tile(np.arange(num_parts, dtype=np.int8), len(grid))
        longer = np.column_stack([np.repeat(grid, num_parts, axis=0), choice])
        if alike:
            longer = longer[choice <= longer[:, :-1].max(axis=1, initial=-1) + 1]
        grid = longer
    return grid if len(grid) <= _EXACT_ASSIGNMENTS else None


def _try_all(problem: GroupProblem, grid: Codes) -> Codes | None:
    possible = np.ones(len(grid), dtype=np.bool_)
    costs = np.zeros(len(grid))
    for part in range(len(problem.targets)):
        inside = grid == part
        sums = inside.astype(np.int64) @ problem.counts + problem.given[part]  # (M, K)
        if part == 0 and problem.reserve:
            possible &= ((sums > 0) | (problem.totals == 0)).all(axis=1)
        if problem.must_have[part]:
            possible &= inside.any(axis=1)
        if problem.closed[part]:
            possible &= ~inside.any(axis=1)
        if problem.scored[part]:
            costs += ((sums - problem.targets[part]) ** 2) @ problem.scale
    if not possible.any():
        return None
    best: Codes = grid[np.argmin(np.where(possible, costs, np.inf))]
    return best


def _search(problem: GroupProblem, *, seed: int) -> Codes | None:
    """Try several starts; the first that meets the targets exactly ends it."""
    best: Codes | None = None
    best_cost = np.inf
    for order in _orders(problem, seed):
        codes = _fill_greedily(problem, order)
        if codes is None:
            continue
        state = SearchState.of(problem, codes)
        while state.improve():
            pass
        if state.cost < best_cost:
            best, best_cost = state.to_codes(), state.cost
        if best_cost == 0:
            break
    return best


def _orders(problem: GroupProblem, seed: int) -> Iterator[Ints]:
    """Yield orders in which groups are taken."""
    counts, rng = problem.counts, np.random.default_rng(seed)
    biggest_first = np.argsort(-counts.sum(axis=1), kind="stable")
    uneven_first = np.argsort(-counts.std(axis=1), kind="stable")
    yield from (uneven_first, biggest_first) if problem.alike else (np.arange(len(counts)), biggest_first)
    for _ in range(_STARTS - 2 if len(counts) <= _MANY_GROUPS else 0):
        yield rng.permutation(len(counts))


def _fill_greedily(problem: GroupProblem, order: Ints) -> Codes | None:
    """Put each group where it lowers the cost most; what is not scored costs nothing."""
    counts = problem.counts
    codes = np.full(len(counts), -1, dtype=np.int8)
    residual = (problem.given - problem.targets) * problem.scale
    scaled = counts * problem.scale
    squares = (counts * scaled).sum(axis=1)
    left = counts.sum(axis=0) + problem.given[0]  # what train has if no further group leaves it
    penalty = np.where(problem.closed, np.inf, 0.0)
    for group in order.tolist():
        row = counts[group]
        part = int(np.argmin(np.where(problem.scored, 2 * (residual @ row) + squares[group], 0.0) + penalty))
        if problem.reserve and part and not _leaves_train(left, row):
            part = 0
        codes[group] = part
        residual[part] += scaled[group]
        left = left - row if part else left
    return _give_each_a_group(problem, codes, order)


def _give_each_a_group(problem: GroupProblem, codes: Codes, order: Ints) -> Codes | None:
    """Move the least bad group to each part that needs one and has none."""
    counts = problem.counts
    for part in np.flatnonzero(problem.must_have).tolist():
        if (codes == part).any():
            continue
        in_train = counts[codes == 0].sum(axis=0) + problem.given[0]
        sizes = np.bincount(codes, minlength=len(problem.targets)) + problem.num_fixed
        free = [
            group
            for group in order.tolist()
            if (sizes[codes[group]] > 1 or not problem.scored[codes[group]])
            and (codes[group] or not problem.reserve or _leaves_train(in_train, counts[group]))
        ]
        if not free:
            return None
        off = (counts[free] - problem.targets[part]) ** 2 @ problem.scale
        codes[free[int(np.argmin(off))]] = part
    return codes


def _leaves_train(left: Ints, row: Ints) -> bool:
    return bool(((left > row) | (row == 0)).all())
