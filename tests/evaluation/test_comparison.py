"""Comparisons of systems against scikit-learn, scipy's bootstrap of paired differences, and statsmodels."""

import json
from typing import Any

import numpy as np
import pytest
import scipy.stats
from made_predictions import make_pair, names_of
from sklearn.metrics import f1_score, recall_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from test_intervals import expanded_level

from emoji_lightning.errors import EvaluationError
from emoji_lightning.evaluation.comparison import Comparison, Paired, compare
from emoji_lightning.evaluation.evaluation import evaluate
from emoji_lightning.evaluation.paired import Sample, read_sample
from emoji_lightning.evaluation.resampling import Resampling, resample_sums
from emoji_lightning.evaluation.tallies import name_sums

FEW = Resampling(400)


def compare_two(paired: Paired, **options: Any) -> Comparison:
    names = names_of(np.shape(paired.first)[1])
    return compare({("a", "b"): paired}, names=names, **{"resampling": FEW, **options})[0]


def bca_by_scipy(
    differences: np.ndarray, given: np.ndarray, statistic: Any = np.mean, level: float = 0.95
) -> list[float]:
    """Return scipy's BCa interval of a statistic of groups (G,), from its values in resamples that are given."""
    settings = {"vectorized": False, "paired": True}
    kept = scipy.stats.bootstrap((differences,), statistic, n_resamples=9, method="basic", rng=0, **settings)
    kept.bootstrap_distribution = given
    level = expanded_level(len(differences), level)
    found = scipy.stats.bootstrap(
        (differences,), statistic, n_resamples=0, bootstrap_result=kept, confidence_level=level, **settings
    )
    return list(found.confidence_interval)


def drawn_rows(sample: Sample, paired: Paired) -> list[np.ndarray]:
    """Return the utterances of each group in the order in which groups are drawn, found by their probabilities."""
    true = np.asarray(paired.first)[np.arange(len(paired.groups)), np.asarray(paired.labels)]
    rows = {group: np.flatnonzero(np.array(paired.groups) == group) for group in paired.groups}
    sums = {group: true[each].sum() for group, each in rows.items()}
    return [
        rows[min(sums, key=lambda group: abs(sums[group] - wanted))] for wanted in name_sums(sample.first).probability
    ]


def test_differences_are_those_of_single_evaluations() -> None:
    paired = make_pair(200, 4, group_size=4, gain=0.4)
    found = compare_two(paired, asked_only=False)
    options = {"names": names_of(4), "resampling": FEW}
    first, second = (evaluate(paired.labels, each, **options) for each in (paired.first, paired.second))
    for name, number in found.differences.items():
        assert number.value == pytest.approx(first.numbers[name].value - second.numbers[name].value)
    for each, ours, theirs in zip(found.per_label, first.per_label, second.per_label, strict=True):
        assert (each.label, each.num) == (ours.label, ours.support)
        assert each.difference.value == pytest.approx(ours.recall.value - theirs.recall.value)
    assert (found.num_shared, found.num_groups) == (200, 50)


def test_the_interval_of_accuracy_is_scipys_of_the_paired_differences() -> None:
    paired = make_pair(120, 3, group_size=3, gain=0.5)
    sample = read_sample(paired, names_of(3), asked_only=True)
    # Sums, which are whole: scipy takes means that differ by rounding for different.
    differences = (name_sums(sample.first).hits - name_sums(sample.second).hits).sum(axis=1)
    low, high = bca_by_scipy(differences, resample_sums(np.eye(40), FEW) @ differences, np.sum)
    assert compare_two(paired).differences["accuracy"].interval == pytest.approx([low / 120, high / 120])


def test_the_interval_of_macro_f1_is_that_of_scikit_learn_on_every_resample() -> None:
    paired, resampling = make_pair(40, 3, group_size=2, gain=0.5), Resampling(100, level=0.8)
    rows = drawn_rows(read_sample(paired, names_of(3), asked_only=True), paired)
    labels = np.asarray(paired.labels)
    predicted = [np.argmax(each, axis=1) for each in (paired.first, paired.second)]

    def difference(groups: np.ndarray) -> float:
        chosen = np.concatenate([rows[group] for group in groups])
        first, second = (f1_score(labels[chosen], each[chosen], average="macro") for each in predicted)
        return float(first - second)

    counts = resample_sums(np.eye(20), resampling).astype(int)
    given = np.array([difference(np.repeat(np.arange(20), row)) for row in counts])
    theirs = bca_by_scipy(np.arange(20), given, difference, 0.8)
    assert compare_two(paired, resampling=resampling).differences["macro_f1"].interval == pytest.approx(theirs)


def test_pairing_makes_the_interval_narrower_than_that_of_independent_systems() -> None:
    paired = make_pair(300, 3, group_sd=3.0, gain=0.3)
    found = compare_two(paired).differences["accuracy"].interval
    alone = [evaluate(paired.labels, each, names=names_of(3), resampling=FEW) for each in (paired.first, paired.second)]
    widths = [number.high - number.low for number in (each.numbers["accuracy"] for each in alone)]  # type: ignore[operator]
    assert found is not None
    assert found[1] - found[0] < np.hypot(*widths)


def test_swapping_the_systems_turns_all_signs() -> None:
    paired = make_pair(90, 3, group_size=3, gain=0.5, seed=3)
    found, other = compare_two(paired), compare_two(Paired(paired.labels, paired.second, paired.first, paired.groups))
    for name, number in found.differences.items():
        assert other.differences[name].value == pytest.approx(-number.value)
        assert other.differences[name].interval == pytest.approx([-number.high, -number.low])  # type: ignore[operator]
    assert (other.first_only, other.second_only) == (found.second_only, found.first_only)
    assert other.permutation_p == found.permutation_p
    assert other.more_needed == found.more_needed


def test_the_order_of_utterances_and_the_names_of_groups_change_nothing() -> None:
    paired = make_pair(90, 3, group_size=3, gain=0.4, seed=5)
    order = np.random.default_rng(0).permutation(90)
    labels, first, second = (np.asarray(each)[order] for each in (paired.labels, paired.first, paired.second))
    other = compare_two(Paired(labels, first, second, [f"renamed {paired.groups[row]}" for row in order]))
    found = compare_two(paired)
    for name, number in found.differences.items():
        assert other.differences[name].interval == pytest.approx(number.interval, abs=1e-9)
    assert other.permutation_p == found.permutation_p


def test_the_interval_of_a_label_is_that_of_scikit_learn_at_the_level_of_its_own_texts() -> None:
    paired, num = make_pair(60, 4, group_size=2, gain=0.5), 30
    rows = drawn_rows(read_sample(paired, names_of(4), asked_only=True), paired)
    labels = np.asarray(paired.labels)
    predicted = [np.argmax(each, axis=1) for each in (paired.first, paired.second)]

    def difference(groups: np.ndarray) -> float:
        chosen = np.concatenate([rows[group] for group in groups])
        scores = [recall_score(labels[chosen], each[chosen], labels=[1], average=None)[0] for each in predicted]
        return round(float(scores[0] - scores[1]), 12)  # scipy takes what differs by rounding for different

    counts = resample_sums(np.eye(num), Resampling(200)).astype(int)
    given = np.array([difference(np.repeat(np.arange(num), row)) for row in counts])
    with_label = sum((labels[chosen] == 1).any() for chosen in rows)
    assert with_label < num
    # scipy widens by the number of all groups; ask it for the level that the label's own groups have.
    edge = scipy.stats.norm.ppf((1 + expanded_level(with_label, 0.8)) / 2)
    wanted = 2 * scipy.stats.t.cdf(edge / np.sqrt(num / (num - 1)), num - 1) - 1
    theirs = bca_by_scipy(np.arange(num), given, difference, float(wanted))
    found = compare_two(paired, resampling=Resampling(200, level=0.8)).per_label[1].difference.interval
    assert found == pytest.approx(theirs)


def test_discordant_counts_and_mcnemar_agree_with_statsmodels() -> None:
    paired = make_pair(150, 3, gain=0.6)
    found = compare_two(paired)
    right, also = (np.argmax(each, axis=1) == paired.labels for each in (paired.first, paired.second))
    table = [[np.sum(right & also), np.sum(right & ~also)], [np.sum(~right & also), np.sum(~right & ~also)]]
    assert (found.first_only, found.second_only) == (table[0][1], table[1][0])
    assert found.mcnemar_p == pytest.approx(mcnemar(table, exact=True).pvalue)


def test_p_values_of_several_pairs_are_corrected_together() -> None:
    gains = {("a", "b"): 0.2, ("a", "c"): 0.9, ("b", "c"): 0.5, ("a", "d"): 0.0}
    pairs = {pair: make_pair(150, 3, gain=gain, seed=seed) for seed, (pair, gain) in enumerate(gains.items())}
    found = compare(pairs, names=names_of(3), resampling=FEW)
    assert [(each.first, each.second) for each in found] == list(gains)
    for raw, corrected in (
        ([each.mcnemar_p for each in found], [each.mcnemar_p_holm for each in found]),
        *(
            ([each.permutation_p[name] for each in found], [each.permutation_p_holm[name] for each in found])
            for name in ("accuracy", "macro_f1")
        ),
    ):
        assert corrected == pytest.approx(multipletests(raw, method="holm")[1].tolist())
    assert [each.decided for each in found] == [each.permutation_p_holm["accuracy"] < 0.05 for each in found]
    assert {each.decided for each in found} == {True, False}
    assert [each.more_needed is None for each in found] == [each.decided for each in found]
    # Alone, a comparison is corrected for nothing and needs fewer.
    alone = compare({("a", "b"): pairs["a", "b"]}, names=names_of(3), resampling=FEW)[0]
    assert alone.permutation_p_holm == alone.permutation_p
    assert alone.more_needed < found[0].more_needed  # type: ignore[operator]


def test_labels_that_were_not_asked_for_have_no_line_and_no_part_in_macro_f1() -> None:
    paired = make_pair(80, 3, gain=0.5)
    wider = [np.column_stack([each, np.zeros((80, 2))]) for each in (paired.first, paired.second)]
    found = compare_two(Paired(paired.labels, *wider, paired.groups))
    plain = compare_two(paired)
    assert [each.label for each in found.per_label] == ["label0", "label1", "label2"]
    assert found.differences["macro_f1"].value == pytest.approx(plain.differences["macro_f1"].value)
    all_labels = compare_two(Paired(paired.labels, *wider, paired.groups), asked_only=False)
    assert all_labels.differences["macro_f1"].value == pytest.approx(0.6 * plain.differences["macro_f1"].value)


def test_equal_systems_differ_by_nothing_and_nothing_can_be_said() -> None:
    paired = make_pair(40, 3)
    found = compare_two(Paired(paired.labels, paired.first, paired.first, paired.groups))
    assert {(number.value, number.low, number.high) for number in found.differences.values()} == {(0.0, None, None)}
    assert found.permutation_p == {"accuracy": 1.0, "macro_f1": 1.0}
    assert (found.mcnemar_p, found.decided, found.more_needed) == (1.0, False, None)


def test_one_text_has_no_interval() -> None:
    paired = make_pair(6, 3, group_size=6, gain=2.0)
    found = compare_two(paired)
    assert {number.interval and 0 for number in found.differences.values()} == {None}
    assert (found.num_groups, found.decided, found.more_needed) == (1, False, None)


def test_always_better_on_a_few_texts_needs_just_so_many_that_the_test_can_tell() -> None:
    labels = np.array([0, 1, 0])
    found = compare_two(Paired(labels, np.eye(2)[labels], np.eye(2)[1 - labels], ["t1", "t2", "t3"]))
    assert found.permutation_p["accuracy"] == 2 / 2**3
    assert found.more_needed == 3  # 2 / 2^6 is the first below 0.05
    assert found.differences["accuracy"].interval is None


def test_the_dictionary_is_json() -> None:
    found = compare_two(make_pair(60, 3, group_size=2, gain=0.2))
    saved = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert list(saved) == [
        *("first", "second", "num_shared", "num_groups", "differences", "first_only", "second_only"),
        *("mcnemar_p", "mcnemar_p_holm", "permutation_p", "permutation_p_holm", "decided", "more_needed", "per_label"),
    ]
    assert list(saved["differences"]) == ["accuracy", "balanced_accuracy", "macro_f1", "mean_probability"]
    assert saved["differences"]["accuracy"] == found.differences["accuracy"].to_dict()
    assert saved["per_label"][0] == found.per_label[0].to_dict()
    assert set(saved["per_label"][0]) == {"label", "num", "difference"}


def test_recalls_agree_with_scikit_learn() -> None:
    paired = make_pair(100, 3, gain=0.5)
    first, second = (
        recall_score(paired.labels, np.argmax(each, axis=1), average=None) for each in (paired.first, paired.second)
    )
    found = [each.difference.value for each in compare_two(paired).per_label]
    assert found == pytest.approx((first - second).tolist())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"second": [[0.5, 0.5]]}, r"espeak and festival: probabilities have the shape \(1, 2\) for labels"),
        ({"first": [[0.5, 0.5], [np.nan, 0.5]]}, "espeak and festival: row 1: probability is NaN"),
        ({"groups": ["t1"]}, "espeak and festival: 1 values of group for 2 utterances"),
        ({"labels": [0, 7]}, "espeak and festival: row 1: label 7 is outside"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_the_names_of_the_systems(change: dict[str, Any], message: str) -> None:
    even = [[0.5, 0.5], [0.5, 0.5]]
    paired = Paired(**{"labels": [0, 1], "first": even, "second": even, "groups": ["t1", "t2"], **change})
    with pytest.raises(EvaluationError, match=message):
        compare({("espeak", "festival"): paired}, names=["a", "b"])


def test_many_pairs_draw_enough_permutations_to_be_decided() -> None:
    pairs = {("a", str(place)): make_pair(60, gain=1.5, seed=place) for place in range(12)}
    found = compare(pairs, names=names_of(3), resampling=Resampling(num_resamples=100))
    smallest = min(each.permutation_p_holm["accuracy"] for each in found)
    assert smallest < 0.05  # of 100 permutations it would be 12 / 101 at least
    assert any(each.decided for each in found)
