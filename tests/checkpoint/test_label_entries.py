"""Labels in a checkpoint, read and spelt again."""

from pathlib import Path
from typing import Any

import pytest
from broken_files import good, having, saved
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from emoji_lightning.checkpoint.content import shorten
from emoji_lightning.checkpoint.label_entries import NAMES, LabelEntry, find_entries
from emoji_lightning.checkpoint.stored_head import read_head

LABEL_LISTS = st.lists(st.text(max_size=20), min_size=1, max_size=12, unique=True).map(tuple)


def read(name: str, value: Any) -> LabelEntry:
    (entry,) = find_entries({name: value}, "head.pt")
    return entry


@settings(deadline=None)
@given(LABEL_LISTS, st.sampled_from(("list", "label2id", "id2label")), st.booleans(), st.sampled_from(sorted(NAMES)))
def test_what_is_spelt_is_read_again(labels: tuple[str, ...], direction: Any, ids_as_text: bool, name: str) -> None:
    # where both sides are numbers as text, the name decides
    assume(not ids_as_text or not all(label.isdecimal() for label in labels))
    ids_as_text = ids_as_text and direction != "list"
    entry = LabelEntry((name,), direction, ids_as_text, labels)
    assert read(name, entry.spell(labels)) == entry


@settings(deadline=None)
@given(LABEL_LISTS, LABEL_LISTS, st.sampled_from(("list", "label2id", "id2label")), st.booleans())
def test_other_labels_are_spelt_in_the_same_way(
    labels: tuple[str, ...], others: tuple[str, ...], direction: Any, ids_as_text: bool
) -> None:
    spelt: Any = LabelEntry(("labels",), direction, ids_as_text, labels).spell(others)
    numbers = [str(number) if ids_as_text else number for number in range(len(others))]
    if direction == "list":
        assert spelt == list(others)
    elif direction == "label2id":
        assert spelt == dict(zip(others, numbers, strict=True))
    else:
        assert spelt == dict(zip(numbers, others, strict=True))


def test_labels_stand_in_the_order_of_their_ids_not_of_the_file(tmp_path: Path) -> None:
    head = read_head(having(label2id={"joy": 2, "<none>": 0, "😭": 1})(tmp_path))
    assert head.label_set.labels == ("<none>", "😭", "joy")
    head = read_head(having(label2id={2: "joy", 0: "<none>", 1: "😭"})(tmp_path))
    assert head.label_set.labels == ("<none>", "😭", "joy")


def test_where_both_sides_are_numbers_the_name_decides() -> None:
    assert read("id2label", {"0": "1", "1": "2", "2": "0"}).labels == ("1", "2", "0")
    assert read("label2id", {"1": "0", "2": "1", "0": "2"}).labels == ("1", "2", "0")


@pytest.mark.parametrize("name", ["Labels", "LABEL2ID", "Emotions"])
def test_capitals_in_a_name_do_not_matter(name: str, tmp_path: Path) -> None:
    content = good()
    content[name] = list(content.pop("label2id"))
    assert read_head(saved(content)(tmp_path)).label_set.labels == ("<none>", "😭", "joy")


def test_every_place_that_names_the_labels_is_kept(tmp_path: Path) -> None:
    labels = ["<none>", "😭", "joy"]
    path = having(config={"labels": labels}, id2label={"0": "<none>", "1": ":sob:", "2": "joy"})(tmp_path)
    source = read_head(path).source
    assert source is not None
    assert [(entry.place, entry.direction, entry.ids_as_text) for entry in source.label_entries] == [
        (("label2id",), "label2id", False),
        (("id2label",), "id2label", True),
        (("config", "labels"), "list", False),
    ]
    assert source.label_entries[1].labels == ("<none>", ":sob:", "joy")
    assert source.origins["labels"] == "label2id in the file"


def test_what_is_no_label_map_is_passed_over(tmp_path: Path) -> None:
    path = having(classes=11, labels="a.csv", emotions=None, label_map={})(tmp_path)
    assert read_head(path).label_set.labels == ("<none>", "😭", "joy")


@settings(deadline=None)
@given(st.recursive(st.none() | st.integers() | st.text() | st.floats(), lambda each: st.lists(each) | st.tuples(each)))
def test_any_value_is_shown_shortly(value: object) -> None:
    assert 0 < len(shorten(value)) <= 203


def test_a_number_that_python_does_not_print_is_shown_by_its_size() -> None:
    assert shorten([10**5000]) == "[a number of 16610 bits]"
