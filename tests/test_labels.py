import json
from pathlib import Path

import emoji
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoji_lightning.errors import LabelError
from emoji_lightning.labels import CARD_LABELS, LabelSet, ascii_alias, normalize_label


def misread(text: str, *codecs: str) -> str:
    """UTF-8 read byte by byte with the first codec that knows the byte; what none knows is dropped."""
    return "".join(
        next((char for codec in codecs if (char := bytes([byte]).decode(codec, "ignore"))), "")
        for byte in text.encode()
    )


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (":joy:", "😂"),
        (":JOY:", "😂"),
        (":+1:", "👍"),
        ("👍🏽", "👍"),
        ("❤️", "❤"),
        (" 😂\n", "😂"),
        ("<NONE>", "<none>"),
        ("none", "none"),
        ("anger", "anger"),
        ("A\u0308rger", "Ärger"),
        ("Ã„rger", "Ärger"),
        ("ðŸ˜‚", "😂"),
        ("πŸ˜‚", "😂"),
        ("πŸ”¥", "🔥"),
        ("πŸ¤”", "🤔"),
        ("πŸ™„", "🙄"),
        ("πŸ’”", "💔"),
        (":no_such_emoji:", ":no_such_emoji:"),
        ("a:b", "a:b"),
        ("12", "12"),
        ("χαρά", "χαρά"),
    ],
)
def test_a_label_has_one_normal_form(text: str, label: str) -> None:
    assert normalize_label(text) == label


@pytest.mark.parametrize("codecs", [("latin-1",), ("cp1252", "latin-1"), ("cp1253", "cp1252", "latin-1")])
def test_every_emoji_is_repaired_from_every_code_page_seen(codecs: tuple[str, ...]) -> None:
    wrong = [each for each in emoji.EMOJI_DATA if normalize_label(misread(each, *codecs)) != normalize_label(each)]
    assert wrong == []


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.text(max_size=12), st.sampled_from(list(emoji.EMOJI_DATA))))
def test_the_normal_form_of_an_emoji_or_ascii_text_is_stable(text: str) -> None:
    once = normalize_label(text)
    if once in emoji.EMOJI_DATA or once.isascii():
        assert normalize_label(once) == once


@pytest.mark.parametrize(("text", "label"), [("πŸ™", "🙏"), ("πŸ‘", "👍"), ("πŸ‘\ufffd", "👍"), ("πŸ˜", "😍")])
def test_a_lost_byte_is_resolved_within_the_label_set(text: str, label: str) -> None:
    card = LabelSet.card()
    assert card.labels[card.index(text)] == label


def test_a_lost_byte_that_told_two_labels_apart_names_both() -> None:
    with pytest.raises(LabelError, match=r"'πŸ™' has a broken encoding and can be '🙏' or '🙍'; write the emoji"):
        LabelSet(("🙏", "🙍")).index("πŸ™")


def test_every_card_label_survives_a_greek_reading_with_lost_bytes() -> None:
    card = LabelSet.card()
    for label in CARD_LABELS:
        assert card.labels[card.index(misread(label, "cp1253", "cp1252"))] == label


def test_an_unknown_label_names_the_nearest() -> None:
    with pytest.raises(LabelError) as caught:
        LabelSet(("anger", "joy", "sad")).index("hapy")
    assert str(caught.value) == "label 'hapy' is not one of ['anger', 'joy', 'sad']; did you mean 'joy'?"


@pytest.mark.parametrize(
    ("text", "near"),
    [(":joyy:", "😂"), ("loudly crying", "😭"), ("thumbsup", "👍"), ("prey", "🙏"), ("NONE", "<none>")],
)
def test_an_emoji_is_suggested_by_its_names(text: str, near: str) -> None:
    with pytest.raises(LabelError, match=f"did you mean '{near}'\\?"):
        LabelSet.card().index(text)


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    with pytest.raises(LabelError, match=r"label 'xyzzy' is not one of \['a1', 'b2'\]$"):
        LabelSet(("a1", "b2")).index("xyzzy")


def test_a_set_keeps_order_in_normal_form_and_maps_both_ways() -> None:
    labels = LabelSet((":fire:", "<NONE>", "👍🏿"))
    assert list(labels) == ["🔥", "<none>", "👍"]
    assert labels.label2id == {"🔥": 0, "<none>": 1, "👍": 2}
    assert labels.id2label == {0: "🔥", 1: "<none>", 2: "👍"}
    assert len(labels) == 3
    assert LabelSet.card().labels == CARD_LABELS


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("joy",), "are 1; a classifier needs at least 2"),
        ((":joy:", "a", "ðŸ˜‚"), "labels ':joy:' and 'ðŸ˜‚' are both '😂'; name each label once"),
        (("a", " "), "label ' ' is empty; expected an emoji, '<none>' or a class name"),
    ],
)
def test_a_set_that_cannot_be_used_is_refused(labels: tuple[str, ...], message: str) -> None:
    with pytest.raises(LabelError, match=message):
        LabelSet(labels)


def test_encode_gives_ids_and_reports_every_unknown_label() -> None:
    labels = LabelSet(("anger", "joy"))
    ids = labels.encode(["joy", "anger", " joy "])
    assert ids.dtype == np.int64
    assert ids.tolist() == [1, 0, 1]
    with pytest.raises(LabelError, match=r"(?s)'x1'.*\n.*'x2'") as caught:
        labels.encode(["x1", "joy", "x2", "x1"])
    assert len(str(caught.value).splitlines()) == 2


def test_aliases_are_ascii_and_unique() -> None:
    assert ascii_alias("😭") == "loudly_crying_face"
    assert LabelSet(("arger 2", "ärger", "Arger")).aliases == ("arger_2", "arger", "arger_3")
    assert LabelSet(("ärger", "Arger", "a-rger", "喜", "arger 2")).aliases == (
        "arger",
        "arger_2",
        "a_rger",
        "u559c",
        "arger_2_2",
    )


@settings(max_examples=60, deadline=None)
@given(st.sets(st.text(min_size=1, max_size=4), min_size=2, max_size=8))
def test_any_set_has_unique_ascii_aliases(texts: set[str]) -> None:
    try:
        labels = LabelSet(tuple(texts))
    except LabelError:
        return
    assert len(set(labels.aliases)) == len(labels)
    assert all(alias.isascii() and alias.replace("_", "a").isalnum() for alias in labels.aliases)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("label2id.json", json.dumps({"😭": 1, ":joy:": 0, "🔥": 2})),
        ("labels.json", json.dumps([":joy:", "😭", "🔥"])),
        ("labels.yaml", "- 😂\n- 😭\n- ':fire:'\n"),
        ("label2id.yaml", "😭: 1\n😂: 0\n🔥: 2\n"),
    ],
)
def test_a_set_is_read_from_a_file(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text("\ufeff" + content, encoding="utf-8")
    assert LabelSet.from_file(tmp_path / name).labels == ("😂", "😭", "🔥")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("label2id.json", b'{"a": 0, "b": 2}', r"label2id.json: ids are \[0, 2\]; expected 0 to 1, each once"),
        ("label2id.json", b'{"a": 0, "b": 0}', r"ids are \[0, 0\]; expected 0 to 1"),
        ("label2id.json", b'{"0": "a", "1": "b"}', r"ids are \['a', 'b'\]; expected 0 to 1"),
        ("label2id.json", b'{"a": 0, ', "label2id.json: cannot be read as JSON or YAML"),
        ("label2id.json", b'{"a": 0, ":joy:": 1, "\xf0\x9f\x98\x82": 2}', "label2id.json: labels ':joy:' and '😂' are"),
        ("labels.yaml", b"- yes\n- no\n", "labels.yaml: expected a mapping label -> id or a list of labels as text"),
        ("labels.yaml", b"- \xc4rger\n- b\n", "labels.yaml: not UTF-8"),
    ],
)
def test_a_label_file_that_cannot_be_used_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LabelError, match=message):
        LabelSet.from_file(tmp_path / name)


def test_a_missing_label_file_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"nothing.json: no such file; expected label2id.json, a YAML list"):
        LabelSet.from_file(tmp_path / "nothing.json")
