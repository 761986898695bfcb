"""What a manifest asks of its systems, and what is refused before any audio is read."""

import re
from pathlib import Path

import numpy as np
import pytest
from spoken_emoji import LABELS, write_table

from emoji_lightning.errors import ConfigError, LabelError, ManifestError
from emoji_lightning.label_map import LabelMap
from emoji_lightning.labels import LabelSet
from emoji_lightning.scoring.asked import Asked, check_asked, read_asked
from emoji_lightning.scoring.texts import Item, Lacking

LABEL_SET = LabelSet(LABELS)
Rows = list[list[str]]


def read(folder: Path, *rows: str, compare: bool = False, group: str | None = None, unknown: str = "error") -> Asked:
    """Check a table given as lines; every row gets an audio file of its own name, which need not exist."""
    header, *others = (row.split(",") for row in rows)
    table = [["audio", *header], *([f"{number}.wav", *row] for number, row in enumerate(others))]
    manifest, notes = read_asked(write_table(folder / "systems.csv", table))
    return check_asked(manifest, LABEL_SET, compare=compare, group=group, unknown=unknown, notes=notes)


TWO = ("system,text_id,label", "a,t1,😭", "a,t2,😂", "b,t1,😭", "b,t2,😂")


def test_labels_in_any_spelling_become_those_of_the_head(tmp_path: Path) -> None:
    asked = read(tmp_path, "label", ":joy:", "😭\ufe0f", "😊")
    assert asked.labels.tolist() == [1, 0, 2]
    assert asked.asked == ["😂", "😭", "😊"]


@pytest.mark.parametrize("column", ["intended", "emoji"])
def test_another_column_may_hold_the_emoji_and_a_note_says_so(tmp_path: Path, column: str) -> None:
    asked = read(tmp_path, column, "😂", "😊")
    assert asked.labels.tolist() == [1, 2]
    assert asked.notes == [f"systems.csv: no column 'label'; the emoji asked for are taken from '{column}'"]


def test_the_column_label_goes_before_others(tmp_path: Path) -> None:
    asked = read(tmp_path, "emoji,label", "😂,😊")
    assert asked.labels.tolist() == [2]
    assert asked.notes == []


def test_without_systems_there_is_one(tmp_path: Path) -> None:
    assert read(tmp_path, "label", "😂", "😊").systems == ["all", "all"]
    assert read(tmp_path, "label,system", "😂,", "😊,").systems == ["all", "all"]


@pytest.mark.parametrize(
    ("header", "rows", "name", "groups"),
    [
        ("text_id,text,label", ["7,hi,😂", "8,hi,😊"], "text_id", ["7", "8"]),
        ("text,source_id,label", ["hi,x,😂", "ho,x,😊"], "text", ["hi", "ho"]),
        ("text,source_id,label", ["hi,x,😂", ",x,😊"], "source_id", ["x", "x"]),
        ("speaker,label", ["s,😂", "s,😊"], "utterance", ["0.wav", "1.wav"]),
    ],
)
def test_groups_are_the_surest_texts(
    tmp_path: Path, header: str, rows: list[str], name: str, groups: list[str]
) -> None:
    asked = read(tmp_path, header, *rows)
    assert (asked.group_name, asked.groups) == (name, groups)


def test_a_group_may_be_named(tmp_path: Path) -> None:
    asked = read(tmp_path, "text_id,speaker,label", "t1,s1,😂", "t2,s1,😊", group="speaker")
    assert (asked.group_name, asked.groups, asked.texts) == ("speaker", ["s1", "s1"], ["t1", "t2"])


def test_a_system_lacks_the_texts_that_others_have_for_the_same_emoji(tmp_path: Path) -> None:
    asked = read(tmp_path, *TWO, "a,t3,😊", "b,t1,😊")
    assert asked.lacking == [Lacking("a", Item("t1", 2)), Lacking("b", Item("t3", 2))]


def test_systems_with_texts_of_their_own_lack_nothing(tmp_path: Path) -> None:
    asked = read(tmp_path, *TWO, "c,u1,😭", "c,u2,😂")
    assert asked.lacking == []


def test_unknown_labels_are_dropped_and_counted_when_asked(tmp_path: Path) -> None:
    asked = read(tmp_path, "label", "😂", "😡", "😡", ":cat:", unknown="drop")
    assert asked.unknown == {"😡": 2, "🐱": 1}
    np.testing.assert_array_equal(asked.labels, [1, -1, -1, -1])


def test_unknown_labels_are_all_named_with_their_rows_and_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"systems\.csv:3: label '😡' is not one of") as caught:
        read(tmp_path, "label", "😂", "😡", "loudly_cryin_face", "😡")
    message = str(caught.value)
    assert re.search(r"systems\.csv:3: .*\(2 utterances: lines 3, 5\)", message)
    assert re.search(r"systems\.csv:4: label 'loudly_cryin_face' .*; did you mean '😭'\? \(1 utterance\)", message)
    assert message.endswith("--unknown drop, or map labels with --labels FILE")


@pytest.mark.parametrize(
    ("rows", "options", "match"),
    [
        (
            ["emotion", "😂"],
            {},
            r"systems\.csv: no column 'label'; found columns .*'emotion'.*'intended' or 'emoji' will",
        ),
        (["intended", ""], {}, r"systems\.csv:2: the emoji asked for is empty"),
        (
            ["label", "joy", "anger"],
            {"unknown": "drop"},
            r"no utterance asks for a label of the checkpoint.*'joy', 'anger'",
        ),
        (["system,label", "a,😂", ",😊"], {}, r"systems\.csv:3: system is empty"),
        (["text_id,label", "t1,😂", ",😊"], {}, r"systems\.csv:3: text_id is empty"),
        (["label", "😂"], {"group": "speaker"}, r"--group speaker is no column; found columns \['audio', 'label'\]"),
        (["speaker,label", "s,😂", ",😊"], {"group": "speaker"}, r"systems\.csv:3: speaker is empty"),
        (["text_id,label", "t1,😂"], {"compare": True}, r"no column 'system', so there is nothing to compare"),
        (["system,label", "a,😂", "b,😂"], {"compare": True}, r"no column 'text_id' \(or 'text', 'source_id'\)"),
        ([*TWO[:3]], {"compare": True}, r"--compare needs two systems or more; found 'a'"),
        (
            [*TWO, "a,t1,😭"],
            {"compare": True},
            r"systems\.csv:6: system 'a' has the text 't1' with 😭 in line 2 too; --compare needs it once",
        ),
        ([*TWO, "c,u1,😭"], {"compare": True}, r"systems 'a' and 'c' share no text.*\n.*'b' and 'c' share no text"),
        (
            [*TWO[:3], "b,t1,😂", "b,t2,😭"],
            {"compare": True},
            r"'a' and 'b' share texts, but ask for other emoji in them",
        ),
        ([*TWO[:4], "b,u2,😂"], {"compare": True}, r"'a' and 'b' share one text_id only \('t1'\)"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    tmp_path: Path, rows: list[str], options: dict[str, object], match: str
) -> None:
    with pytest.raises(ManifestError, match=match):
        read(tmp_path, *rows, **options)  # type: ignore[arg-type]


def test_a_group_that_differs_between_systems_cannot_be_compared(tmp_path: Path) -> None:
    rows = [f"{row},{speaker}" for row, speaker in zip(TWO, ["speaker", "s1", "s2", "s1", "s9"], strict=True)]
    with pytest.raises(ManifestError, match="have the text 't2' in the groups 's2' and 's9' of speaker"):
        read(tmp_path, *rows, compare=True, group="speaker")
    assert read(tmp_path, *rows, group="speaker").groups == ["s1", "s2", "s1", "s9"]


def test_all_problems_are_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="label 'x'") as caught:
        read(tmp_path, "system,label", ",x", "b,😂", compare=True, group="age")
    for part in ("systems.csv:2: label 'x'", "systems.csv:2: system is empty", "no column 'text_id'", "--group age"):
        assert part in str(caught.value)


def test_unknown_is_error_or_drop(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--unknown is 'ignore'; expected error or drop"):
        read(tmp_path, "label", "😂", unknown="ignore")


def test_a_map_of_labels_applies_to_any_column_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    label_map = LabelMap("map.yaml", {"joy": "😂", "calm": None})
    table = write_table(tmp_path / "t.csv", [["audio", "intended"], ["1.wav", "joy"], ["2.wav", "calm"]])
    manifest, notes = read_asked(table, label_map=label_map)
    assert manifest.column("label") == ["😂"]
    assert "t.csv: map.yaml leaves out 1 of 2 utterances" in notes
    write_table(tmp_path / "t.csv", [["audio", "intended"], ["1.wav", "rage"]])
    with pytest.raises(LabelError, match=r"t\.csv:2: label 'rage' is not in map\.yaml"):
        read_asked(table, label_map=label_map)


def test_a_text_whose_row_was_dropped_is_not_missing_as_well(tmp_path: Path) -> None:
    rows = ("system,text_id,label", "a,t1,😭", "a,t2,😂", "b,t1,😭", "b,t2,🙏", "a,t3,😊")
    asked = read(tmp_path, *rows, unknown="drop")
    assert asked.unknown == {"🙏": 1}
    assert asked.lacking == [Lacking("b", Item("t3", 2))]
