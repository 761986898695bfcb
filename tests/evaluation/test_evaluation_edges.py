"""Predictions that are few, one-sided or broken; numbers that do not depend on order and names."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_predictions import make_predictions, names_of
from statsmodels.stats.proportion import proportion_confint

from emoji_lightning.errors import EvaluationError
from emoji_lightning.evaluation.evaluation import Evaluation, evaluate
from emoji_lightning.evaluation.resampling import Number, Resampling

FEW = Resampling(200)


def evaluate_answers(labels: list[int], predicted: list[int], num_labels: int, **options: Any) -> Evaluation:
    probabilities = np.full((len(labels), num_labels), 0.1 / max(num_labels - 1, 1))
    probabilities[np.arange(len(labels)), predicted] = 0.9 if num_labels > 1 else 1.0
    return evaluate(labels, probabilities, names=names_of(num_labels), resampling=FEW, **options)


def ends(number: Number) -> tuple[float, float]:
    assert number.interval is not None
    return number.interval[0], number.interval[1]


def test_all_right_has_the_exact_binomial_interval() -> None:
    found = evaluate_answers([0, 1, 2, 3] * 5, [0, 1, 2, 3] * 5, 4)
    theirs = proportion_confint(20, 20, method="beta")
    assert ends(found.numbers["accuracy"]) == pytest.approx(theirs)
    assert ends(found.numbers["top3_accuracy"]) == pytest.approx(theirs)
    assert ends(found.per_label[2].recall) == pytest.approx(proportion_confint(5, 5, method="beta"))
    low = proportion_confint(5, 5, method="beta")[0]
    assert ends(found.per_label[2].f1) == pytest.approx((2 * low / (1 + low), 1))
    assert found.numbers["macro_f1"] == found.numbers["balanced_accuracy"] == Number(1.0)


def test_all_wrong_has_the_exact_binomial_interval() -> None:
    found = evaluate_answers([0, 1] * 10, [1, 0] * 10, 4)
    assert found.numbers["accuracy"].value == 0
    assert ends(found.numbers["accuracy"]) == pytest.approx(proportion_confint(0, 20, method="beta"))
    assert ends(found.per_label[0].precision) == pytest.approx(proportion_confint(0, 10, method="beta"))
    high = proportion_confint(0, 20, method="beta")[1]  # label 0 is true or predicted in all 20
    assert ends(found.per_label[0].f1) == pytest.approx((0, 2 * high / (1 + high)))


def test_exact_intervals_count_groups_not_utterances() -> None:
    groups = [f"g{row // 5}" for row in range(20)]
    found = evaluate_answers([0, 1, 2, 3] * 5, [0, 1, 2, 3] * 5, 4, groups=groups)
    assert ends(found.numbers["accuracy"]) == pytest.approx(proportion_confint(4, 4, method="beta"))


def test_one_utterance_has_its_numbers_and_only_the_interval_that_one_trial_allows() -> None:
    found = evaluate_answers([1], [1], 5)
    assert found.numbers["accuracy"].value == 1
    assert ends(found.numbers["accuracy"]) == pytest.approx((0.025, 1))
    for name in ("balanced_accuracy", "macro_f1", "nll", "ece", "mean_probability"):
        assert found.numbers[name].interval is None
    assert found.numbers["macro_f1"].value == pytest.approx(1 / 5)
    json.dumps(found.to_dict(), allow_nan=False)


def test_one_group_of_many_utterances_has_no_interval() -> None:
    found = evaluate_answers([0, 1, 0, 1], [0, 1, 1, 0], 2, groups=["s1"] * 4, group_name="speaker")
    assert found.num_groups == 1
    assert all(number.interval is None for number in found.numbers.values())


def test_one_class_only() -> None:
    found = evaluate_answers([2] * 12, [2, 2, 0] * 4, 3)
    assert found.numbers["balanced_accuracy"].value == found.numbers["accuracy"].value == pytest.approx(2 / 3)
    assert found.numbers["macro_f1"].value == pytest.approx(0.8 / 3)
    assert found.numbers["top3_accuracy"] == Number(1.0)  # of three labels: it says nothing, so no interval
    assert found.baselines["majority"] == {
        "label": "label2",
        "accuracy": 1.0,
        "balanced_accuracy": 1.0,
        "macro_f1": pytest.approx(1 / 3),
    }


def test_one_label_in_the_label_set() -> None:
    found = evaluate_answers([0, 0, 0], [0, 0, 0], 1)
    assert found.numbers["accuracy"] == Number(1.0)
    assert found.baselines["chance"]["accuracy"] == 1.0


def test_a_label_that_is_never_predicted_and_one_that_is_never_true() -> None:
    found = evaluate_answers([0, 1, 2] * 10, [0, 1, 3] * 10, 5)
    never_predicted, never_true, absent = found.per_label[2:]
    assert (never_predicted.num_predicted, never_predicted.precision) == (0, Number(0.0))
    assert ends(never_predicted.recall) == pytest.approx(proportion_confint(0, 10, method="beta"))
    assert (never_true.support, never_true.recall) == (0, Number(0.0))
    assert ends(never_true.precision) == pytest.approx(proportion_confint(0, 10, method="beta"))
    assert (absent.precision, absent.recall, absent.f1) == (Number(0.0), Number(0.0), Number(0.0))


def test_a_label_of_one_utterance_has_the_interval_of_one_trial() -> None:
    found = evaluate_answers([0, 1] * 10 + [2], [0, 1, 1, 0] * 5 + [2], 3)
    assert ends(found.per_label[2].recall) == pytest.approx((0.025, 1))


def test_float32_and_lists_are_taken() -> None:
    labels, probabilities, _ = make_predictions(30, 4)
    plain = evaluate(labels, probabilities, names=names_of(4), resampling=FEW).numbers["nll"].value
    single = evaluate(labels.astype(np.int32), probabilities.astype(np.float32), names=names_of(4), resampling=FEW)
    assert single.numbers["nll"].value == pytest.approx(plain, rel=1e-6)


# --- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probabilities": [[np.nan, 1.0], [0.5, 0.5]]}, "row 0: probability is NaN or infinite; the checkpoint or"),
        ({"probabilities": [[0.5, 0.5], [np.inf, 0.0]]}, "row 1: probability is NaN or infinite"),
        ({"probabilities": [[1.2, -0.2], [0.5, 0.5]]}, r"row 0: probability is negative \(-0.2\); are these logits"),
        ({"probabilities": [[0.5, 0.5], [0.5, 0.4]]}, "row 1: probability adds up to 0.9; expected 1"),
        ({"labels": [0, 2]}, r"row 1: label 2 is outside 0\.\.1"),
        ({"labels": [-1, 0]}, r"row 0: label -1 is outside 0\.\.1"),
        ({"labels": [0.0, 1.0]}, "labels are of the type float64; expected whole numbers"),
        ({"labels": [0]}, r"shape \(2, 2\) for labels of the shape \(1,\) and 2 label names; expected \(1, 2\)"),
        ({"labels": [0, 1, 1]}, r"expected \(3, 2\): one row per utterance"),
        ({"names": ["a", "b", "c"]}, r"and 3 label names; expected \(2, 3\)"),
        ({"names": ["a", "a"]}, r"label names are \['a', 'a'\]; expected at least one, all different"),
        ({"names": []}, "label names are .*expected at least one"),
        ({"labels": [], "probabilities": np.zeros((0, 2))}, "there is no utterance to evaluate"),
        ({"groups": ["s1"]}, "1 values of speaker for 2 utterances"),
        ({"groups": ["s1", ""]}, "row 1: speaker is empty\nintervals over speaker need it in every row"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(change: dict[str, Any], message: str) -> None:
    options: dict[str, Any] = {"labels": [0, 1], "probabilities": [[0.5, 0.5], [0.1, 0.9]], "names": ["a", "b"]}
    options |= change
    with pytest.raises(EvaluationError, match=message):
        evaluate(options.pop("labels"), options.pop("probabilities"), group_name="speaker", **options)


def test_all_broken_rows_are_named_up_to_twenty() -> None:
    with pytest.raises(EvaluationError, match=r"(?s)row 0: .*\nrow 19: .*\n\.\.\. and 10 more") as raised:
        evaluate(np.zeros(30, dtype=int), np.full((30, 2), np.nan), names=names_of(2))
    assert len(str(raised.value).splitlines()) == 21


# --- invariances -----------------------------------------------------------------------------------------------------


def all_numbers(found: Evaluation) -> list[float]:
    """Return all values and ends of intervals; those of labels in the order of their names."""
    labels = sorted(found.per_label, key=lambda each: each.label)
    numbers = [*found.numbers.values(), *(n for each in labels for n in (each.precision, each.recall, each.f1))]
    return [-1.0 if end is None else end for number in numbers for end in (number.value, number.low, number.high)]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.booleans())
def test_order_names_and_label_ids_change_nothing(seed: int, group_size: int, asked_only: bool) -> None:
    labels, probabilities, groups = make_predictions(40, 4, seed=seed, group_size=group_size, group_sd=0.5)
    names, options = names_of(4), {"asked_only": asked_only, "resampling": FEW}
    plain = evaluate(labels, probabilities, names=names, groups=groups, **options)
    rng = np.random.default_rng(seed)
    order, ids = rng.permutation(40), rng.permutation(4)
    other = evaluate(
        np.argsort(ids)[labels][order],
        probabilities[order][:, ids],
        names=[names[label] for label in ids],
        groups=[f"renamed {groups[row]}" for row in order],
        **options,
    )
    assert all_numbers(other) == pytest.approx(all_numbers(plain), abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 3))
def test_copies_within_their_groups_change_nothing(seed: int, copies: int) -> None:
    """Nobody gets a narrower interval by listing each utterance twice, once there are groups."""
    labels, probabilities, groups = make_predictions(30, 4, seed=seed, group_size=3)
    options = {"names": names_of(4), "resampling": FEW}
    plain = evaluate(labels, probabilities, groups=groups, **options)
    copied = evaluate(np.tile(labels, copies), np.tile(probabilities, (copies, 1)), groups=groups * copies, **options)
    assert all_numbers(copied) == pytest.approx(all_numbers(plain), abs=1e-9)
    assert copied.num_utterances == copies * plain.num_utterances


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 4.0))
def test_intervals_are_in_order_and_within_what_is_possible(seed: int, skill: float) -> None:
    labels, probabilities, _ = make_predictions(25, 5, seed=seed, skill=skill)
    found = evaluate(labels, probabilities, names=names_of(5), resampling=FEW)
    numbers = {**found.numbers, **{f"{each.label}": each.f1 for each in found.per_label}}
    for name, number in numbers.items():
        if number.low is not None and number.high is not None:
            assert 0 <= number.low <= number.high, name
            assert name == "nll" or number.high <= 1, name


def test_the_seed_decides_and_more_resamples_hardly_matter() -> None:
    labels, probabilities, _ = make_predictions(200, 4)
    first, again, other = (
        evaluate(labels, probabilities, names=names_of(4), resampling=Resampling(2000, seed=seed)) for seed in (1, 1, 2)
    )
    assert first.to_dict() == again.to_dict()
    assert all_numbers(first) != all_numbers(other)
    assert all_numbers(first) == pytest.approx(all_numbers(other), abs=0.03)
