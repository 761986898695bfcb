"""What is refused before a number is computed, all problems at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emoji_lightning.errors import EvaluationError, join_problems
from emoji_lightning.evaluation.resampling import Ints, Reals

# Half-precision probabilities of some dozens of labels add up to 1 within this.
_SUM_TOLERANCE = 1e-3


def check_predictions(labels: ArrayLike, probabilities: ArrayLike, names: Sequence[str]) -> tuple[Ints, Reals]:
    """Return labels (N,) int64 and probabilities (N, K) float64 that can be evaluated.

    Raises:
        EvaluationError: There is no utterance, shapes or label names do not fit, a label is not among them, or a row of
            probabilities is NaN, infinite, negative, or does not add up to 1; up to 20 rows are named.
    """
    found = np.asarray(probabilities, dtype=np.float64)
    true = np.asarray(labels)
    _check_names(names)
    if true.ndim != 1 or found.shape != (len(true), len(names)):
        raise EvaluationError(
            f"probabilities have the shape {found.shape} for labels of the shape {true.shape} and {len(names)} label "
            f"names; expected ({true.size}, {len(names)}): one row per utterance, one column per label"
        )
    if not len(true):
        raise EvaluationError("there is no utterance to evaluate; expected at least one")
    if true.dtype.kind not in "iu":
        raise EvaluationError(f"labels are of the type {true.dtype}; expected whole numbers, the ids of the labels")
    problems = [*_find_label_problems(true, len(names)), *_find_row_problems(found)]
    if problems:
        raise EvaluationError(join_problems(problems))
    return true.astype(np.int64), found


def number_groups(groups: Sequence[str] | None, num_utterances: int, name: str) -> Ints:
    """Return the group (N,) int64 of each utterance, 0..G-1; each utterance its own where `groups` is None.

    Raises:
        EvaluationError: There is not one group per utterance, or an utterance's group is empty.
    """
    if groups is None:
        return np.arange(num_utterances)
    if len(groups) != num_utterances:
        raise EvaluationError(f"{len(groups)} values of {name} for {num_utterances} utterances; expected one for each")
    empty = [f"row {row}: {name} is empty" for row, group in enumerate(groups) if group is None or group == ""]
    if empty:
        cure = f"intervals over {name} need it in every row; fill it, or choose another group"
        raise EvaluationError(f"{join_problems(empty)}\n{cure}")
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)


def _check_names(names: Sequence[str]) -> None:
    if not len(names) or len(set(names)) < len(names):
        raise EvaluationError(f"label names are {list(names)}; expected at least one, all different")


def _find_label_problems(labels: NDArray[np.integer], num_labels: int) -> list[str]:
    outside = np.flatnonzero((labels < 0) | (labels >= num_labels))
    return [f"row {row}: label {labels[row]} is outside 0..{num_labels - 1}" for row in outside]


def _find_row_problems(probabilities: Reals) -> list[str]:
    """Say what is wrong with each row that holds no probabilities."""
    with np.errstate(invalid="ignore"):
        least, sums = probabilities.min(axis=1), probabilities.sum(axis=1)
        sound = (least >= 0) & (np.abs(sums - 1) <= _SUM_TOLERANCE)  # never so with NaN
    problems = []
    for row in np.flatnonzero(~sound):
        if not np.isfinite(sums[row]):
            problem = "is NaN or infinite; the checkpoint or the embedding that it comes from is broken"
        elif least[row] < 0:
            problem = f"is negative ({least[row]:.4g}); are these logits? give their softmax"
        else:
            problem = f"adds up to {sums[row]:.6g}; expected 1"
        problems.append(f"row {row}: probability {problem}")
    return problems
