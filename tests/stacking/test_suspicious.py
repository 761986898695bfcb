import numpy as np

from emoji_lightning.stacking.suspicious import find_suspicious


def make_probabilities(labels: np.ndarray, num_labels: int, rng: np.random.Generator) -> np.ndarray:
    scores = np.exp(rng.standard_normal((len(labels), num_labels)) + 5 * np.eye(num_labels)[labels])
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def test_planted_wrong_labels_are_found() -> None:
    rng = np.random.default_rng(0)
    true = np.arange(600) % 4
    probabilities = make_probabilities(true, 4, rng)
    planted = rng.choice(600, 30, replace=False)
    given = true.copy()
    given[planted] = (true[planted] + 1) % 4
    found = find_suspicious(given, probabilities)
    rows = [each.row for each in found]
    assert len(set(planted) & set(rows)) >= 24
    assert len(set(planted) & set(rows[:20])) >= 18, "the clearest come first"
    right = [each.suggested == true[each.row] for each in found if each.row in set(planted)]
    assert np.mean(right) > 0.9


def test_the_confident_joint_is_that_of_the_paper() -> None:
    """Its thresholds and counts, by a plain loop over equations 1 and 2."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 80)
    probabilities = make_probabilities((labels + (rng.random(80) < 0.2)) % 3, 3, rng)
    thresholds = [probabilities[labels == j, j].mean() for j in range(3)]
    expected = {}
    for row in range(80):
        reached = [j for j in range(3) if probabilities[row, j] >= thresholds[j]]
        if reached:
            best = max(reached, key=lambda j: probabilities[row, j])
            if best != labels[row] and probabilities[row, best] > probabilities[row, labels[row]]:
                expected[row] = best
    found = find_suspicious(labels, probabilities)
    assert {each.row: each.suggested for each in found} == expected
    assert [each.margin for each in found] == sorted((each.margin for each in found), reverse=True)


def test_a_label_that_nobody_has_is_never_suggested() -> None:
    probabilities = np.array([[0.1, 0.1, 0.8], [0.2, 0.1, 0.7], [0.1, 0.8, 0.1]])
    assert all(each.suggested != 2 for each in find_suspicious(np.array([0, 0, 1]), probabilities))
