"""Permutation p values against scipy's, on accuracy and, with scikit-learn as the statistic, on macro-F1."""

import numpy as np
import pytest
import scipy.stats
from made_predictions import make_pair, names_of
from sklearn.metrics import f1_score

from emoji_lightning.evaluation.paired import Paired, Sample, read_sample
from emoji_lightning.evaluation.permutation import permutation_p
from emoji_lightning.evaluation.resampling import Resampling
from emoji_lightning.evaluation.tallies import name_sums


def read(paired: Paired) -> Sample:
    return read_sample(paired, names_of(np.shape(paired.first)[1]), asked_only=False)


def p_values(sample: Sample, resampling: Resampling | None = None) -> dict[str, float]:
    options = (sample.first, sample.second), sample.measures, ("accuracy", "macro_f1")
    return permutation_p(*options, resampling or Resampling())


def group_differences(sample: Sample) -> np.ndarray:
    return np.asarray((name_sums(sample.first).hits - name_sums(sample.second).hits).sum(axis=1))


def swapped_macro_f1(paired: Paired, group_size: int) -> float:
    """Return scipy's exact p value of macro-F1, whose statistic gets the system (0 or 1) that speaks for each group."""
    labels = np.asarray(paired.labels)
    predicted = np.stack([np.argmax(paired.first, axis=1), np.argmax(paired.second, axis=1)])
    rows = np.arange(len(labels))

    def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
        scores = [
            f1_score(labels, predicted[np.repeat(each, group_size).astype(int), rows], average="macro")
            for each in (ours, theirs)
        ]
        return float(scores[0] - scores[1])

    num_groups = len(labels) // group_size
    systems = np.zeros(num_groups), np.ones(num_groups)
    found = scipy.stats.permutation_test(systems, difference, permutation_type="samples", n_resamples=np.inf)
    return float(found.pvalue)


@pytest.mark.parametrize("seed", range(6))
def test_all_swaps_give_scipys_exact_p_values(seed: int) -> None:
    paired = make_pair(24, 3, group_size=4, gain=0.8, seed=seed)
    sample = read(paired)
    found = p_values(sample)
    theirs = scipy.stats.permutation_test(
        (group_differences(sample), np.zeros(6)),
        lambda ours, theirs, axis: (ours - theirs).mean(axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
    )
    assert found["accuracy"] == pytest.approx(theirs.pvalue)
    assert found["macro_f1"] == pytest.approx(swapped_macro_f1(paired, 4))


def test_many_groups_are_swapped_at_random_and_agree_with_scipy() -> None:
    sample = read(make_pair(400, 3, group_size=2, gain=0.2))
    differences = group_differences(sample)
    theirs = scipy.stats.permutation_test(
        (differences, np.zeros(len(differences))),
        lambda ours, theirs, axis: (ours - theirs).mean(axis=axis),
        permutation_type="samples",
        n_resamples=9999,
        rng=0,
    ).pvalue
    assert 0.005 < theirs < 0.5
    assert p_values(sample)["accuracy"] == pytest.approx(theirs, abs=4 * np.sqrt(theirs / 10_000))


def test_random_swaps_never_give_a_p_value_of_zero() -> None:
    sample = read(make_pair(300, 3, gain=6.0))
    assert p_values(sample, Resampling(500)) == {"accuracy": 1 / 501, "macro_f1": 1 / 501}


def test_groups_that_are_predicted_alike_do_not_keep_all_swaps_from_being_done() -> None:
    paired = make_pair(200, 3, gain=0.0)
    first = np.array(paired.first)
    first[8:] = np.asarray(paired.second)[8:]
    first[:5] = np.eye(3)[np.asarray(paired.labels)[:5]]
    second = np.array(paired.second)
    second[:5] = np.eye(3)[(np.asarray(paired.labels)[:5] + 1) % 3]
    first[5:8] = second[5:8]
    sample = read(Paired(paired.labels, first, second, paired.groups))
    assert p_values(sample)["accuracy"] == 2 / 2**5


def test_equal_systems_have_a_p_value_of_one() -> None:
    paired = make_pair(50, 3)
    assert p_values(read(Paired(paired.labels, paired.first, paired.first, paired.groups)))["accuracy"] == 1


def test_which_system_comes_first_does_not_matter() -> None:
    paired = make_pair(120, 3, group_size=3, gain=0.5)
    other = Paired(paired.labels, paired.second, paired.first, paired.groups)
    assert p_values(read(paired)) == p_values(read(other))
