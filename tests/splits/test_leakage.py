import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoji_lightning.errors import SplitError
from emoji_lightning.splits.leakage import (
    Finding,
    Placement,
    find_shared,
    find_shared_audio,
    judge,
    normalize_text,
    normalize_texts,
)

PARTS = ("train", "dev", "test")


def place(*names: str) -> Placement:
    codes = np.array([PARTS.index(name) if name else -1 for name in names], dtype=np.int64)
    return Placement(PARTS, codes, lambda row: f"a.csv:{row + 2}")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("It's  me", "its me", False),
        ("it's me!", "It’S ME", True),
        ("😂", "😭", False),
        ("!!", "!!", True),
        ("！", "!", True),
        ("snake_case", "snake case", True),
        ("Straße", "STRASSE", True),
    ],
)
def test_texts_are_the_same_but_for_case_punctuation_and_blanks(first: str, second: str, same: bool) -> None:
    assert (normalize_text(first) == normalize_text(second)) is same


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text() | st.text(st.characters(max_codepoint=127))))
def test_many_texts_at_once_get_the_same_normal_form(texts: list[str]) -> None:
    assert normalize_texts(texts) == [normalize_text(text) for text in texts]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["", *"abcdef"]), st.sampled_from(["", *PARTS]))))
def test_shared_values_are_those_of_a_plain_loop(rows: list[tuple[str, str]]) -> None:
    homes: dict[str, set[str]] = {}
    for value, part in rows:
        if value and part:
            homes.setdefault(value, set()).add(part)
    shared = {value for value, parts in homes.items() if len(parts) > 1}
    found = find_shared("speaker", [value for value, _ in rows], place(*(part for _, part in rows)))
    assert found.count == len(shared)
    assert len(found.examples) == min(3, len(shared))
    assert all(any(f"'{value}' in " in each for value in shared) for each in found.examples)


def test_an_example_names_the_first_place_in_each_split() -> None:
    found = find_shared("text", ["hi", "ho", "hi", "hi", "ho"], place("train", "dev", "test", "test", "dev"))
    assert found == Finding("text", 1, ["'hi' in train (a.csv:2) and test (a.csv:4)"])


Times = list[tuple[int, float | None, float | None, int]]


def overlap_plainly(rows: Times) -> tuple[int, int]:
    """Files with a second in two parts, and files with segments in two parts but no such second."""
    leaks = recordings = 0
    for name in {row[0] for row in rows}:
        mine = [row for row in rows if row[0] == name]
        pairs = [(a, b) for a in mine for b in mine if a[3] != b[3]]
        if any((a[1] or 0) < (b[2] or 1e9) and (b[1] or 0) < (a[2] or 1e9) for a, b in pairs):
            leaks += 1
        elif pairs:
            recordings += 1
    return leaks, recordings


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.none() | st.integers(0, 8).map(float),
            st.none() | st.integers(9, 12).map(float),
            st.integers(0, 2),
        )
        | st.integers(0, 8).flatmap(
            lambda start: st.tuples(st.integers(0, 3), st.just(float(start)), st.just(start + 1.0), st.integers(0, 2))
        ),
        max_size=12,
    )
)
def test_segments_leak_where_they_overlap(rows: Times) -> None:
    placement = Placement(PARTS, np.array([row[3] for row in rows], dtype=np.int64))
    found = find_shared_audio(
        [f"f{row[0]}" for row in rows], [row[1] for row in rows], [row[2] for row in rows], placement
    )
    assert (found[0].count, found[1].count) == overlap_plainly(rows)


def test_a_leak_is_an_error_with_what_helps() -> None:
    finding = find_shared("text", ["hi", "hi", *"abcd", *"abcd"], place("train", "dev", *["dev"] * 4, *["test"] * 4))
    with pytest.raises(SplitError) as caught:
        judge([finding], groups=(), allow=(), not_checked={})
    assert str(caught.value).splitlines() == [
        "text: the same text is spoken in several splits: 5",
        "  'hi' in train (a.csv:2) and dev (a.csv:3)",
        "  'a' in dev (a.csv:4) and test (a.csv:8)",
        "  'b' in dev (a.csv:5) and test (a.csv:9)",
        "  ... and 2 more",
        "  keep them together with --group text, or accept it with --allow text",
    ]


def test_a_leak_that_is_allowed_is_recorded_and_warned_of() -> None:
    finding = Finding("text", 2, ["'hi' in train (a.csv:2) and dev (a.csv:3)"])
    record = judge([finding, Finding("id", 0)], groups=(), allow=["text"], not_checked={"audio": "no column"})
    assert record == {
        "checked": {"text": 2, "id": 0},
        "not_checked": {"audio": "no column"},
        "allowed": {"text": 2},
        "warnings": ["the same text is spoken in several splits: 2, e.g. 'hi' in train (a.csv:2) and dev (a.csv:3)"],
    }


def test_speakers_tie_utterances_only_where_they_are_the_group() -> None:
    finding = Finding("speaker", 1, ["'s1' in train (a.csv:2) and dev (a.csv:3)"])
    record = judge([finding], groups=(), allow=(), not_checked={})
    assert record["warnings"] == [
        "the same speaker is heard in several splits: 1, e.g. 's1' in train (a.csv:2) and dev (a.csv:3)"
    ]
    with pytest.raises(SplitError, match=r"^speaker: the same speaker is in several splits: 1\n.*\n  split anew, or"):
        judge([finding], groups=["speaker"], allow=(), not_checked={})


def test_only_leaks_can_be_allowed() -> None:
    with pytest.raises(SplitError, match=r"--allow speaker: expected a leak's name: id, text, audio, near_duplicate$"):
        judge([], groups=(), allow=["speaker"], not_checked={})
