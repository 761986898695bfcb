"""Numbers and intervals of whole evaluations, against scikit-learn on every resample and scipy's BCa on them."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from made_predictions import make_predictions, names_of, sklearn_numbers
from sklearn.dummy import DummyClassifier
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    recall_score,
)
from test_intervals import expanded_level

from emoji_lightning.evaluation.evaluation import evaluate
from emoji_lightning.evaluation.resampling import Resampling, resample_sums, sort_groups
from emoji_lightning.evaluation.tallies import NUMBERS, tally_groups

Statistic = Callable[[np.ndarray], float]


def rows_of_groups(labels: np.ndarray, probabilities: np.ndarray, group_of: np.ndarray) -> list[np.ndarray]:
    """Return the utterances of each group, the groups in the order in which they are drawn."""
    tallies = tally_groups(labels, probabilities, group_of)
    numbered = sort_groups(np.column_stack([tallies, np.arange(len(tallies))]))
    return [np.flatnonzero(group_of == group) for group in numbered[:, -1].astype(int)]


def bca_by_scipy(statistic: Statistic, groups: list[np.ndarray], resampling: Resampling) -> list[float]:
    """Draw the groups one resample after the other, and let scipy make the BCa interval."""

    def of_groups(chosen: np.ndarray) -> float:
        return statistic(np.concatenate([groups[group] for group in chosen]))

    numbers = np.arange(len(groups))
    counts = resample_sums(np.eye(len(groups)), resampling).astype(int)
    given = scipy.stats.bootstrap((numbers,), of_groups, n_resamples=9, vectorized=False, method="basic", rng=0)
    given.bootstrap_distribution = np.array([of_groups(np.repeat(numbers, row)) for row in counts])
    level = expanded_level(len(groups), resampling.level)
    options = {"n_resamples": 0, "vectorized": False, "bootstrap_result": given, "confidence_level": level}
    return list(scipy.stats.bootstrap((numbers,), of_groups, **options).confidence_interval)


STATISTICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": lambda labels, shown: float(accuracy_score(labels, shown.argmax(axis=1))),
    "balanced_accuracy": lambda labels, shown: float(balanced_accuracy_score(labels, shown.argmax(axis=1))),
    "macro_f1": lambda labels, shown: float(f1_score(labels, shown.argmax(axis=1), average="macro")),
    "nll": lambda labels, shown: float(log_loss(labels, shown, labels=range(3))),
    "mean_probability": lambda labels, shown: float(shown[np.arange(len(labels)), labels].mean()),
}


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("group_size", [1, 3])
def test_intervals_are_those_of_scikit_learn_on_every_resample(group_size: int, name: str) -> None:
    labels, probabilities, groups = make_predictions(45, 3, group_size=group_size, group_sd=0.5)
    resampling = Resampling(100, level=0.8, seed=5)
    found = evaluate(labels, probabilities, names=names_of(3), groups=groups, resampling=resampling)
    theirs = bca_by_scipy(
        lambda chosen: STATISTICS[name](labels[chosen], probabilities[chosen]),
        rows_of_groups(labels, probabilities, np.arange(45) // group_size),
        resampling,
    )
    assert found.numbers[name].interval == pytest.approx(theirs)


def test_a_labels_interval_is_that_of_scikit_learn_at_the_level_of_its_own_groups() -> None:
    labels, probabilities, groups = make_predictions(60, 3, group_size=2)
    predicted = probabilities.argmax(axis=1)
    found = evaluate(labels, probabilities, names=names_of(3), groups=groups, resampling=Resampling(100, level=0.8))
    rows = rows_of_groups(labels, probabilities, np.arange(60) // 2)
    with_label = sum((labels[chosen] == 1).any() for chosen in rows)
    with_either = sum(((labels[chosen] == 1) | (predicted[chosen] == 1)).any() for chosen in rows)
    assert with_label < with_either < len(rows)
    for number, metric, num_groups in (
        (found.per_label[1].recall, recall_score, with_label),
        (found.per_label[1].f1, f1_score, with_either),
    ):
        # scipy widens by the number of all groups; ask it for the level that the label's own groups have.
        edge = scipy.stats.norm.ppf((1 + expanded_level(num_groups, 0.8)) / 2)
        wanted = 2 * scipy.stats.t.cdf(edge / np.sqrt(30 / 29), 29) - 1
        theirs = bca_by_scipy(
            lambda chosen, metric=metric: float(metric(labels[chosen], predicted[chosen], labels=[1], average=None)[0]),
            rows,
            Resampling(100, level=wanted),
        )
        assert number.interval == pytest.approx(theirs)


def test_utterances_of_one_group_make_the_interval_wider_not_the_number_another() -> None:
    labels, probabilities, groups = make_predictions(400, 4, group_size=20, group_sd=2.0)
    alone = evaluate(labels, probabilities, names=names_of(4)).numbers["accuracy"]
    together = evaluate(labels, probabilities, names=names_of(4), groups=groups, group_name="speaker")
    clustered = together.numbers["accuracy"]
    assert clustered.value == alone.value
    assert clustered.high - clustered.low > 1.5 * (alone.high - alone.low)
    assert (together.num_groups, together.group_name, together.num_utterances) == (20, "speaker", 400)


def test_the_dictionary_is_json_and_says_how_the_intervals_were_made() -> None:
    labels, probabilities, groups = make_predictions(60, 3, group_size=3)
    options = {"names": ["😭", "🙏", "<none>"], "groups": groups, "group_name": "text_id"}
    found = evaluate(labels, probabilities, **options, resampling=Resampling(500, 0.9, 7))
    saved = json.loads(json.dumps(found.to_dict()))
    assert list(saved) == [
        *("num_utterances", "labels", *NUMBERS),
        *("intervals", "per_label", "confusion", "reliability", "baselines"),
    ]
    assert saved["intervals"].pop("method").startswith("BCa bootstrap over groups with t-expanded levels")
    for name in NUMBERS:
        assert saved[name] == found.numbers[name].value
        assert saved["intervals"].pop(name) == found.numbers[name].interval
    rest = {"level": 0.9, "num_resamples": 500, "seed": 7, "over": "text_id", "num_groups": 20}
    assert saved["intervals"] == rest
    predicted = probabilities.argmax(axis=1)
    assert saved["confusion"] == confusion_matrix(labels, predicted, labels=range(3)).tolist()
    praying = saved["per_label"][1]
    assert (praying["label"], praying["support"]) == ("🙏", int((labels == 1).sum()))
    assert praying["num_predicted"] == int((predicted == 1).sum())
    assert praying["recall"] == pytest.approx(recall_score(labels, predicted, average=None)[1])
    assert praying["intervals"]["recall"][0] < praying["recall"] < praying["intervals"]["recall"][1]
    assert len(saved["reliability"]) == 15
    assert sum(each["count"] for each in saved["reliability"]) == 60
    gaps = [
        each["count"] * abs(each["confidence"] - each["accuracy"]) for each in saved["reliability"] if each["count"]
    ]
    assert sum(gaps) / 60 == pytest.approx(saved["ece"])
    assert {each["accuracy"] for each in saved["reliability"] if not each["count"]} <= {None}


def test_baselines_agree_with_scikit_learns_dummies() -> None:
    labels = np.repeat([0, 1, 2, 3], [10, 40, 25, 5])
    found = evaluate(labels, np.full((80, 5), 0.2), names=names_of(5)).baselines
    columns = np.zeros((80, 1))
    majority = DummyClassifier(strategy="most_frequent").fit(columns, labels).predict(columns)
    expected = sklearn_numbers(labels, np.eye(5)[majority], list(range(5)))
    assert found["majority"].pop("label") == "label1"
    assert list(found["majority"].values()) == pytest.approx(expected)
    rng = np.random.default_rng(0)
    guesses = [
        f1_score(labels, rng.integers(0, 5, 80), labels=range(5), average="macro", zero_division=0) for _ in range(300)
    ]
    chance = found["chance"]
    assert chance["macro_f1"] == pytest.approx(np.mean(guesses), abs=0.008)
    assert chance["accuracy"] == chance["balanced_accuracy"] == pytest.approx(0.2)
    assert chance["top3_accuracy"] == pytest.approx(0.6)
    assert chance["nll"] == pytest.approx(np.log(5))
    assert chance["mean_probability"] == pytest.approx(0.2)


def test_asked_only_leaves_out_labels_that_were_not_asked_for() -> None:
    labels, probabilities, _ = make_predictions(100, 6)
    asked = labels < 4
    labels, probabilities = labels[asked], probabilities[asked]
    options = {"names": names_of(6), "resampling": Resampling(200)}
    strict, fair = (evaluate(labels, probabilities, asked_only=each, **options) for each in (False, True))
    expected = f1_score(labels, probabilities.argmax(axis=1), labels=range(4), average="macro", zero_division=0)
    assert fair.numbers["macro_f1"].value == pytest.approx(expected)
    assert strict.numbers["macro_f1"].value == pytest.approx(expected * 4 / 6)
    assert strict.baselines["majority"]["macro_f1"] == pytest.approx(fair.baselines["majority"]["macro_f1"] * 4 / 6)  # type: ignore[operator]
    low, high = fair.numbers["macro_f1"].interval or (0, 0)
    assert low < expected < high
