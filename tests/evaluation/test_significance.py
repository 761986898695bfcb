"""McNemar's test, Holm's correction and the number that is still needed, against statsmodels and simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower

from emoji_lightning.evaluation.significance import count_more_needed, holm, mcnemar_p


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 1), (3, 3), (1, 9), (25, 12), (300, 240)])
def test_mcnemar_agrees_with_statsmodels(first: int, second: int) -> None:
    theirs = mcnemar([[50, first], [second, 20]], exact=True).pvalue if first + second else 1.0
    assert mcnemar_p(first, second) == pytest.approx(theirs)
    assert mcnemar_p(second, first) == mcnemar_p(first, second)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12))
def test_holm_agrees_with_statsmodels(p_values: list[float]) -> None:
    np.testing.assert_allclose(holm(p_values), multipletests(p_values, method="holm")[1])


def test_holm_of_nothing_is_nothing() -> None:
    assert holm([]) == []


@pytest.mark.parametrize(("alpha", "power"), [(0.05, 0.8), (0.05 / 3, 0.9)])
def test_the_needed_number_agrees_with_statsmodels(alpha: float, power: float) -> None:
    differences = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], 200, p=[0.2, 0.55, 0.25])
    effect = differences.mean() / differences.std(ddof=1)
    total = NormalIndPower().solve_power(abs(effect), alpha=alpha, power=power, ratio=0)
    found = count_more_needed(differences, np.ones(200), alpha=alpha, power=power)
    assert found == int(np.ceil(total)) - 200 > 0


def test_groups_of_one_size_need_the_same_however_many_utterances_they_have() -> None:
    differences = np.random.default_rng(1).integers(-3, 5, 60).astype(float)
    plain = count_more_needed(differences / 4, np.ones(60), alpha=0.05, power=0.8)
    assert count_more_needed(differences, np.full(60, 4.0), alpha=0.05, power=0.8) == plain


def test_groups_of_uneven_size_vary_around_their_share_of_the_difference() -> None:
    """A group twice as large with twice the difference is no deviation at all."""
    uneven = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 50.0])
    assert count_more_needed(0.2 * uneven, uneven, alpha=0.05, power=0.8) == 1
    sizes = np.tile([1.0, 2.0], 3)
    assert count_more_needed(0.5 * sizes, sizes, alpha=0.05, power=0.8) == 1  # 2 / 2^7 is the first below 0.05 / 3
    assert count_more_needed(0.5 * sizes, sizes, alpha=0.05 / 3, power=0.8) == 1
    assert count_more_needed(0.5 * sizes, sizes, alpha=0.01, power=0.8) == 2


def test_no_difference_or_one_group_says_nothing() -> None:
    assert count_more_needed(np.array([1.0, -1.0]), np.ones(2), alpha=0.05, power=0.8) is None
    assert count_more_needed(np.array([1.0]), np.ones(1), alpha=0.05, power=0.8) is None
