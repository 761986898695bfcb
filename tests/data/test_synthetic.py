"""The demo corpus has the shape, the balance and the best accuracy that it claims."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from emoji_lightning.data.synthetic import BEST_ACCURACY, CLASS_NORM, DemoCorpus, make_demo_corpus
from emoji_lightning.labels import CARD_LABELS


@pytest.fixture(scope="module")
def corpus() -> DemoCorpus:
    return make_demo_corpus()


def test_shape_and_sizes_are_those_of_the_original_corpus(corpus: DemoCorpus) -> None:
    assert corpus.embeddings.shape == (21_940, 768)
    assert corpus.embeddings.dtype == np.float32
    assert (corpus.labels == 0).sum() == 1_995
    assert (corpus.labels != 0).sum() == 19_945
    assert {split: int((corpus.splits == split).sum()) for split in ("train", "dev", "test")} == {
        "train": 19_940,
        "dev": 1_000,
        "test": 1_000,
    }


@pytest.mark.parametrize("split", ["dev", "test"])
def test_dev_and_test_are_balanced_to_within_one_utterance(corpus: DemoCorpus, split: str) -> None:
    counts = np.bincount(corpus.labels[corpus.splits == split], minlength=len(CARD_LABELS))
    assert set(counts) == {90, 91}


def test_best_accuracy_is_the_integral_over_the_winning_score() -> None:
    num_others = len(CARD_LABELS) - 1
    accuracy, _ = quad(lambda z: norm.pdf(z - CLASS_NORM) * norm.cdf(z) ** num_others, -12, 16, epsabs=1e-12)
    assert accuracy == pytest.approx(BEST_ACCURACY, abs=1e-9)


def test_the_bayes_rule_reaches_the_best_accuracy_on_the_whole_corpus(corpus: DemoCorpus) -> None:
    standard_error = np.sqrt(BEST_ACCURACY * (1 - BEST_ACCURACY) / len(corpus.labels))
    assert (corpus.best_labels == corpus.labels).mean() == pytest.approx(BEST_ACCURACY, abs=4 * standard_error)


def test_the_same_seed_gives_the_same_corpus_and_another_seed_another(corpus: DemoCorpus) -> None:
    again, other = make_demo_corpus(), make_demo_corpus(seed=1)
    np.testing.assert_array_equal(again.embeddings, corpus.embeddings)
    np.testing.assert_array_equal(again.splits, corpus.splits)
    assert not np.allclose(other.embeddings[:10], corpus.embeddings[:10])
