import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoji_lightning.splits import near_duplicates
from emoji_lightning.splits.near_duplicates import connect_pairs, find_pairs


def find_plainly(embeddings: np.ndarray, rows: list[int], similarity: float) -> set[tuple[int, int]]:
    """All pairs in float64, one at a time."""
    exact = embeddings.astype(np.float64)
    exact = (exact - exact.mean(axis=0)) / exact.std(axis=0)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    pairs = {(min(row, other), max(row, other)) for row in rows for other in range(len(exact)) if row != other}
    return {(a, b) for a, b in pairs if exact[a] @ exact[b] >= similarity}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(3, 60), st.sampled_from([0.3, 0.6, 0.9]))
def test_pairs_are_those_of_a_plain_loop_in_float64(seed: int, num: int, similarity: float) -> None:
    rng = np.random.default_rng(seed)
    embeddings = (rng.normal(size=(num, 5)) * [1, 9, 0.1, 3, 1] + [5, 0, 2, 0, 9]).astype(np.float32)
    rows = np.flatnonzero(rng.random(num) < 0.5)
    found = find_pairs(embeddings, rows=rows, similarity=similarity)
    assert {tuple(pair) for pair in found.tolist()} == find_plainly(embeddings, rows.tolist(), similarity)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    whole = find_pairs(embeddings, rows=np.arange(50), similarity=0.7)
    monkeypatch.setattr(near_duplicates, "_BLOCK", 3)
    assert find_pairs(embeddings, rows=np.arange(50), similarity=0.7).tolist() == whole.tolist()
    assert len(whole) > 10


def test_a_common_offset_makes_no_two_utterances_alike() -> None:
    # As with real embeddings: raw cosines are all above 0.99.
    rng = np.random.default_rng(0)
    embeddings = (20 + rng.normal(size=(100, 64))).astype(np.float32)
    embeddings[99] = embeddings[3] + 0.01
    assert find_pairs(embeddings, rows=np.arange(100)).tolist() == [[3, 99]]


def test_dimensions_that_hardly_vary_say_nothing() -> None:
    rng = np.random.default_rng(0)
    embeddings = (1 + 1e-7 * rng.normal(size=(30, 40))).astype(np.float32)
    embeddings[:, :4] = rng.normal(size=(30, 4))
    embeddings[29, :4] = embeddings[3, :4]
    assert [3, 29] in find_pairs(embeddings, rows=np.arange(30), similarity=0.999).tolist()


def test_pairs_tie_their_utterances_under_the_smallest_id() -> None:
    pairs = np.array([[0, 2], [2, 3]])
    assert connect_pairs(pairs, ["d", "x", "b", "c", "a"]) == ["b", "x", "b", "b", "a"]
    assert connect_pairs(np.zeros((0, 2), dtype=np.int64), ["b", "a"]) == ["b", "a"]
