"""Made-up evaluations in the layout of metrics.json and score.json; their counts, shares and bins fit together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.labels import CARD_LABELS
from emoji_lightning.report import Shown

FACTS: dict[str, str | int | float] = {"encoder": "emotion2vec_base", "weights": "3f" * 32, "seed": 7, "torch": "2.9.1"}
HOSTILE = '</style></title><script>alert("1")</script>\'&amp;<b onmouseover=alert(1)>'
TEN_SYSTEM_NAMES = ("espeak-ng plain", "espeak-ng prosody", "espeak-ng voices")


def predict(
    labels: Sequence[str], num: int, *, skill: float, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Draw N true ids of a skewed prior, and probabilities (N, K) that favour the true one by `skill`."""
    texts, rng = np.random.default_rng(num), np.random.default_rng(seed)  # all systems say the same texts
    truth = texts.choice(len(labels), num, p=texts.dirichlet(np.full(len(labels), 4.0)))
    logits = rng.normal(0, 1.3, (num, len(labels)))
    logits[np.arange(num), truth] += skill * rng.uniform(0.5, 1.5, num)
    logits[np.arange(num), (truth + 1) % len(labels)] += 0.8
    exps = np.exp(logits)
    return truth, exps / exps.sum(1, keepdims=True)


def interval(value: float, num: int) -> list[float] | None:
    """Return ends about as far apart as a bootstrap's, and none for fewer than two utterances."""
    if num < 2:
        return None
    reach = 1.96 * float(np.sqrt(max(value * (1 - value), 0.01) / num))
    return [max(value - reach, 0.0), min(value + reach, 1.0)]


def evaluate(
    labels: Sequence[str], truth: NDArray[np.int64], probabilities: NDArray[np.float64], *, over: str = "utterance"
) -> dict[str, Any]:
    """Return an evaluation as its `to_dict` writes it."""
    num = len(truth)
    predicted = probabilities.argmax(1)
    confusion = np.zeros((len(labels), len(labels)), dtype=int)
    np.add.at(confusion, (truth, predicted), 1)
    per_label = [describe_label(label, row, confusion) for row, label in enumerate(labels)]
    of_truth = probabilities[np.arange(num), truth]
    numbers = {
        "accuracy": float((predicted == truth).mean()),
        "balanced_accuracy": float(np.mean([each["recall"] for each in per_label if each["support"]])),
        "macro_f1": float(np.mean([each["f1"] for each in per_label])),
        "top3_accuracy": float((np.argsort(-probabilities, 1)[:, :3] == truth[:, None]).any(1).mean()),
        "nll": float(-np.log(of_truth).mean()),
        "ece": 0.0431,
        "mean_probability": float(of_truth.mean()),
    }
    method = "BCa bootstrap, levels widened for few groups"
    made = {"level": 0.95, "method": method, "num_resamples": 10000, "seed": 0, "over": over, "num_groups": num}
    intervals = {name: interval(value, num) for name, value in numbers.items()}
    if num > 1:
        intervals["nll"] = [numbers["nll"] - 1.1 / num**0.5, numbers["nll"] + 1.2 / num**0.5]
    share = 1 / len(labels)
    chance = dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1", "mean_probability"), share)
    return {
        "num_utterances": num,
        "labels": list(labels),
        **numbers,
        "intervals": made | intervals,
        "per_label": per_label,
        "confusion": confusion.tolist(),
        "reliability": list_bins(probabilities.max(1), predicted == truth),
        "baselines": {
            "chance": chance | {"top3_accuracy": min(3 * share, 1.0), "nll": float(np.log(len(labels)))},
            "majority": {
                "label": labels[int(confusion.sum(1).argmax())],
                "accuracy": float(confusion.sum(1).max() / num),
                "balanced_accuracy": share,
                "macro_f1": share / 5,
            },
        },
    }


def describe_label(label: str, row: int, confusion: NDArray[np.int64]) -> dict[str, Any]:
    support, num_predicted, right = int(confusion[row].sum()), int(confusion[:, row].sum()), int(confusion[row, row])
    numbers = {
        "precision": right / num_predicted if num_predicted else 0.0,
        "recall": right / support if support else 0.0,
        "f1": 2 * right / (support + num_predicted) if support + num_predicted else 0.0,
    }
    intervals = {name: interval(value, support) for name, value in numbers.items()}
    return {"label": label, "support": support, "num_predicted": num_predicted, **numbers, "intervals": intervals}


def list_bins(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> list[dict[str, Any]]:
    places = np.minimum((confidence * 15).astype(int), 14)
    bins = []
    for place in range(15):
        here = places == place
        means = (float(confidence[here].mean()), float(right[here].mean())) if here.any() else (None, None)
        bins.append({"low": place / 15, "high": (place + 1) / 15, "count": int(here.sum())})
        bins[-1] |= {"confidence": means[0], "accuracy": means[1]}
    return bins


def make_metrics(labels: Sequence[str] = CARD_LABELS, num: int = 1000, *, skill: float = 3.2) -> dict[str, Any]:
    """Return the entry of a split in metrics.json, with calibration and a threshold."""
    metrics = evaluate(labels, *predict(labels, num, skill=skill))
    before, after = {"nll": metrics["nll"], "ece": 0.0431}, {"nll": metrics["nll"] - 0.02, "ece": 0.0178}
    fit = {"before": {"nll": 1.0412, "ece": 0.0517}, "after": {"nll": 1.0021, "ece": 0.0102}}
    fitted = {"temperature": 1.38, "fitted_on": "dev", "num_utterances": 1000, "fit": fit}
    return metrics | {
        "calibration": {**fitted, "before": before, "after": after},
        "abstain": {
            "min_precision": 0.9,
            "threshold": 0.6421,
            "dev": {"coverage": 0.612, "precision": 0.9003},
            "test": {"coverage": 0.598, "precision": 0.887},
        },
    }


def make_system(labels: Sequence[str], *, skill: float, seed: int, num: int = 400, absent: int = 0) -> dict[str, Any]:
    """Return a system of score.json; `absent` utterances are missing and as many failed."""
    truth, probabilities = predict(labels, num, skill=skill, seed=seed)
    numbers = evaluate(labels, truth, probabilities, over="text_id")
    right = sum(numbers["confusion"][row][row] for row in range(len(labels)))
    return numbers | {
        "num_asked": num + 2 * absent,
        "num_heard": num,
        "missing": [{"id": f"text-{row}", "reason": "other systems have this text"} for row in range(absent)],
        "failed": [{"id": f"text-{row + 50}", "reason": "audio/x.wav: no audio"} for row in range(absent)],
        "accuracy_counting_absent": right / (num + 2 * absent),
    }


def make_comparison(first: str, second: str, systems: dict[str, Any], *, decided: bool) -> dict[str, Any]:
    def differ(one: float, other: float, reach: float) -> dict[str, float | None]:
        return {"value": one - other, "low": one - other - reach, "high": one - other + reach}

    one, other = systems[first], systems[second]
    keys = ("accuracy", "balanced_accuracy", "macro_f1", "mean_probability")
    per_label = [
        {"label": a["label"], "num": a["support"], "difference": differ(a["recall"], b["recall"], 0.13)}
        for a, b in zip(one["per_label"], other["per_label"], strict=True)
    ]
    per_label[0]["difference"] |= {"low": None, "high": None}
    return {
        "first": first,
        "second": second,
        "num_shared": 400,
        "num_groups": 200,
        "differences": {key: differ(one[key], other[key], 0.05) for key in keys},
        "first_only": 61,
        "second_only": 38,
        "mcnemar_p": 0.0261,
        "mcnemar_p_holm": 0.0522,
        "permutation_p": {"accuracy": 0.0001, "macro_f1": 0.00004},
        "permutation_p_holm": {"accuracy": 0.0003 if decided else 0.2104, "macro_f1": 0.0001},
        "decided": decided,
        "more_needed": None if decided else 1240,
        "per_label": per_label,
    }


def make_score(labels: Sequence[str] = CARD_LABELS, names: Sequence[str] = TEN_SYSTEM_NAMES) -> dict[str, Any]:
    """Return a score.json of systems, each better than the one before, compared in pairs."""
    systems = {
        name: make_system(labels, skill=1.2 + 0.6 * row, seed=row + 1, absent=2 if row == 1 else 0)
        for row, name in enumerate(names)
    }
    pairs = [(a, b) for row, a in enumerate(names) for b in names[row + 1 :]]
    real = make_system(labels, skill=3.0, seed=9)
    return {
        "format_version": 1,
        "checkpoint": {
            "file": "best_classifier.pt",
            "sha256": "9c" * 32,
            "encoder": "emotion2vec_base",
            "labels": list(labels),
            "temperature": 1.38,
            "test": {"accuracy": 0.8123, "macro_f1": 0.7941, "num_utterances": 1000},
        },
        "manifest": {"file": "systems.csv", "num_rows": 1200},
        "settings": {"group": "text_id", "level": 0.95, "num_resamples": 10000, "seed": 0, "unknown": "drop"},
        "unknown": {"😀": 3},
        "systems": systems,
        "reference": {"file": "real.csv", "name": "real speech", **real},
        "comparisons": [make_comparison(a, b, systems, decided=row != 2) for row, (a, b) in enumerate(pairs)],
        "versions": {"emoji_lightning": "0.1.0", "torch": "2.9.1"},
    }


def make_errors(audio: Path | None = None, *, system: str | None = None) -> list[Shown]:
    """Return three errors; the first has audio if a file is given."""
    said = ("I can not believe that you would do this to me again.", None, "لا أصدق")
    asked, heard = ("😭", "<none>", "💔"), ("😂", "🔥", "😭")
    return [
        Shown(
            f"spk{row}/utt-{row:04}",
            asked[row],
            heard[row],
            0.991 - row / 50,
            said[row],
            system,
            audio if not row else None,
        )
        for row in range(3)
    ]
