"""Probabilities that mean what they say: a temperature fitted on dev, and the confidence below which to abstain."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emoji_lightning.errors import EvaluationError
from emoji_lightning.evaluation.reliability import calibration_error
from emoji_lightning.evaluation.resampling import Ints, Reals
from emoji_lightning.evaluation.tallies import negative_log, true_probabilities

TEMPERATURES = (0.01, 100.0)
"""Between which the temperature is looked for; a head that is right everywhere on dev would want 0."""
# Precisions that differ by less are equal: 0.55 * 100 is more than 55 in binary.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Calibration:
    """A temperature, and what it does to a split.

    Attributes:
        temperature: What logits are divided by.
        fitted_on: The split that it is fitted on.
        num_utterances: Utterances that it is fitted on.
        before: `nll` (natural logarithm) and `ece` (15 bins) of a split at temperature 1.
        after: The same at this temperature.
        fit: `before` and `after` of the split that it is fitted on.
    """

    temperature: float
    fitted_on: str
    num_utterances: int
    before: dict[str, float]
    after: dict[str, float]
    fit: dict[str, dict[str, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return everything by name."""
        return asdict(self)

    def on_dev(self) -> dict[str, Any]:
        """Return what does not depend on the evaluated split: `before` and `after` are those of `fitted_on`."""
        return {
            "temperature": self.temperature,
            "fitted_on": self.fitted_on,
            "num_utterances": self.num_utterances,
            **self.fit,
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Calibration":
        """Make it again from what `to_dict` or `on_dev` gave."""
        return cls(
            temperature=float(saved["temperature"]),
            fitted_on=str(saved["fitted_on"]),
            num_utterances=int(saved["num_utterances"]),
            before=dict(saved["before"]),
            after=dict(saved["after"]),
            fit=dict(saved.get("fit", {})),
        )


@dataclass(frozen=True)
class Threshold:
    """Answer only from a confidence up.

    Attributes:
        threshold: The lowest confidence that is answered.
        coverage: Share of utterances that are answered.
        precision: Share of the answers that are right; 0 where nothing is answered.
    """

    threshold: float
    coverage: float
    precision: float


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Return the temperature that makes the true labels likeliest, between 0.01 and 100.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, section 4.2 (temperature scaling).

    Args:
        logits: (N, K) float.
        labels: (N,) int64.

    Raises:
        EvaluationError: Shapes do not fit, a logit is NaN or infinite, there is no utterance, or they are all of one
            label: naming it with ever more confidence would be best.
    """
    from scipy.optimize import minimize_scalar

    scores, true = _check_logits(logits, labels)
    if len(np.unique(true)) < 2:
        raise EvaluationError(
            f"a temperature cannot be fitted on {len(true)} utterances of {len(np.unique(true))} label; expected "
            "utterances of two labels or more"
        )
    low, high = np.log(TEMPERATURES)

    def mean_nll(log_temperature: float) -> float:
        scaled = scores / np.exp(log_temperature)
        return float(-_log_softmax(scaled)[np.arange(len(true)), true].mean())

    found = minimize_scalar(mean_nll, bounds=(low, high), method="bounded", options={"xatol": 1e-7})
    return float(np.clip(np.exp(found.x), *TEMPERATURES))


def calibrate(dev_logits: ArrayLike, dev_labels: ArrayLike, logits: ArrayLike, labels: ArrayLike) -> Calibration | None:
    """Fit a temperature on dev and say what it does to another split.

    None where dev has fewer than two labels, or where all its answers are right or none is: the likeliest temperature
    is then 0 or infinite, and says nothing of other utterances.

    Args:
        dev_logits: (M, K) float.
        dev_labels: (M,) int64.
        logits: (N, K) float of the other split.
        labels: (N,) int64.

    Raises:
        EvaluationError: Shapes do not fit, or a logit is NaN or infinite.
    """
    dev = np.asarray(dev_labels)
    if len(np.unique(dev)) < 2 or (np.argmax(dev_logits, axis=1) == dev).mean() in (0, 1):
        return None
    temperature = fit_temperature(dev_logits, dev)
    before, after = (_judge(logits, labels, each) for each in (1.0, temperature))
    fit = {"before": _judge(dev_logits, dev, 1.0), "after": _judge(dev_logits, dev, temperature)}
    return Calibration(temperature, "dev", len(dev), before, after, fit)


def choose_threshold(confidence: ArrayLike, correct: ArrayLike, min_precision: float) -> Threshold | None:
    """Return the threshold that answers most utterances with at least a wanted precision.

    Utterances of the same confidence are answered together or not at all. The precision is that of these utterances;
    look at another split (`apply_threshold`) for what to expect.

    Args:
        confidence: (N,) probability of the predicted label.
        correct: (N,) bool, whether it is the true one.
        min_precision: Above 0, at most 1.

    Returns:
        None where no threshold reaches the precision.

    Raises:
        EvaluationError: Shapes do not fit, a confidence is NaN, there is no utterance, or the precision is not above 0
            and at most 1.
    """
    if not 0 < min_precision <= 1:
        raise EvaluationError(f"min_precision is {min_precision}; expected above 0 and at most 1, for example 0.9")
    found, right = _check_answers(confidence, correct)
    order = np.argsort(-found, kind="stable")
    found = found[order]
    num_right, num = np.cumsum(right[order]), np.arange(1, len(found) + 1)
    last_of_ties = np.append(found[1:] != found[:-1], True)
    good = np.flatnonzero(last_of_ties & (num_right >= min_precision * num - _ROUNDING))
    return apply_threshold(confidence, correct, float(found[good[-1]])) if len(good) else None


def apply_threshold(confidence: ArrayLike, correct: ArrayLike, threshold: float) -> Threshold:
    """Return coverage and precision where only utterances with at least this confidence are answered.

    Args:
        confidence: (N,) probability of the predicted label.
        correct: (N,) bool, whether it is the true one.
        threshold: The lowest confidence that is answered.

    Raises:
        EvaluationError: Shapes do not fit, a confidence is NaN, or there is no utterance.
    """
    found, right = _check_answers(confidence, correct)
    answered = found >= threshold
    precision = float(right[answered].mean()) if answered.any() else 0.0
    return Threshold(threshold, float(answered.mean()), precision)


def _judge(logits: ArrayLike, labels: ArrayLike, temperature: float) -> dict[str, float]:
    scores, true = _check_logits(logits, labels)
    probabilities = np.exp(_log_softmax(scores / temperature))
    # Equal logits stay equal at every temperature, whatever the rounding of their probabilities.
    predicted, places = scores.argmax(axis=1), np.arange(len(true))
    return {
        "nll": float(negative_log(true_probabilities(true, probabilities)).mean()),
        "ece": calibration_error(probabilities[places, predicted], predicted == true),
    }


def _log_softmax(logits: Reals) -> Reals:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _check_logits(logits: ArrayLike, labels: ArrayLike) -> tuple[Reals, Ints]:
    scores, true = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if scores.ndim != 2 or true.shape != scores.shape[:1] or not len(true):
        raise EvaluationError(
            f"logits have the shape {scores.shape}, labels {true.shape}; expected (N, K) and (N,), N at least 1"
        )
    broken = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(broken):
        raise EvaluationError(
            f"row {broken[0]}: a logit is NaN or infinite, in {len(broken)} of {len(scores)} rows; the checkpoint or "
            "the embedding that it comes from is broken"
        )
    if true.min() < 0 or true.max() >= scores.shape[1]:
        raise EvaluationError(f"labels reach from {true.min()} to {true.max()}; expected 0..{scores.shape[1] - 1}")
    return scores, true.astype(np.int64)


def _check_answers(confidence: ArrayLike, correct: ArrayLike) -> tuple[Reals, NDArray[np.bool_]]:
    found, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    if found.ndim != 1 or found.shape != right.shape or not len(found):
        raise EvaluationError(
            f"confidence has the shape {found.shape}, correct {right.shape}; expected (N,) both, N at least 1"
        )
    if np.isnan(found).any():
        raise EvaluationError(f"row {np.flatnonzero(np.isnan(found))[0]}: confidence is NaN; expected 0 to 1")
    return found, right
