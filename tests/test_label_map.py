import json
from pathlib import Path

import pytest

from emoji_lightning.errors import LabelError, ManifestError
from emoji_lightning.label_map import LabelMap, read_labels
from emoji_lightning.labels import LabelSet
from emoji_lightning.manifest import Manifest, read_manifest


def write(folder: Path, text: str, name: str = "map.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read_table(folder: Path, *labels: str) -> Manifest:
    rows = "".join(f"{row}.wav,{label}\n" for row, label in enumerate(labels))
    return read_manifest(write(folder, f"audio,label\n{rows}", "labels.csv"))


def test_labels_become_what_the_map_says_and_those_of_null_are_left_out(tmp_path: Path) -> None:
    label_map = read_labels(write(tmp_path, "joy: 😊\nsad: ':sob:'\ncalm: null\n'no': <NONE>\n"))
    assert isinstance(label_map, LabelMap)
    mapped = read_table(tmp_path, "joy", "calm", " sad ", "no", "😊").map_labels(label_map)
    assert mapped.column("label") == ["😊", "😭", "<none>", "😊"]
    assert [mapped.where(row) for row in range(4)] == [f"labels.csv:{line}" for line in (2, 4, 5, 6)]


def test_json_says_the_same(tmp_path: Path) -> None:
    label_map = read_labels(write(tmp_path, json.dumps({"joy": "😊", "sad": "😭"}), "map.json"))
    assert isinstance(label_map, LabelMap)
    assert read_table(tmp_path, "sad", "joy").map_labels(label_map).column("label") == ["😭", "😊"]


@pytest.mark.parametrize("text", ["joy: 0\nsad: 1\n", "[joy, sad]"])
def test_ids_and_lists_are_label_sets(tmp_path: Path, text: str) -> None:
    assert read_labels(write(tmp_path, text)) == LabelSet(("joy", "sad"))


def test_unknown_labels_are_named_with_all_their_lines(tmp_path: Path) -> None:
    label_map = LabelMap("map.yaml", {"happy": "😊", "sad": "😭"})
    message = (
        r"^labels.csv:2: label 'hapy' is not in map.yaml, which maps \['happy', 'sad'\]; did you mean 'happy'\?"
        r" \(also lines 5\)\nlabels.csv:4: label 'boredom' .*; add a line `boredom: LABEL`, or .*$"
    )
    with pytest.raises(LabelError, match=message):
        read_table(tmp_path, "hapy", "sad", "boredom", "hapy").map_labels(label_map)


def test_a_map_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"labels.csv: map.yaml leaves out every utterance; map one to a label"):
        read_table(tmp_path, "a", "a").map_labels(LabelMap("map.yaml", {"a": None}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("joy: 😊\nsad: 3\n", r"map.yaml: found sad: 3; expected text: text or text: null"),
        ("joy: ''\n", r"map.yaml: 'joy': '' has an empty label; write null to leave it out"),
        ("' ': joy\n", r"map.yaml: ' ': 'joy' has an empty label"),
        ("😊: joy\n':blush:': sad\n", r"map.yaml: ':blush:' becomes both 'joy' and 'sad'; keep one line"),
        ("1: anger\n2: joy\n", r"map.yaml: found 1: '...', 2: '...'; expected text: text"),
        ("joy: [a, b]\nsad: c\n", r"map.yaml: found joy: \['a', 'b'\]; expected text"),
        ("joy: [a\n", r"map.yaml: cannot be read as JSON or YAML"),
    ],
)
def test_a_map_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        read_labels(write(tmp_path, text))


def test_a_key_that_stands_twice_is_refused_in_json_too(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"map.json: cannot be read as JSON or YAML: key 'joy' stands twice; rename"):
        read_labels(write(tmp_path, '{"joy": "a", "sad": "b", "joy": null}', "map.json"))
