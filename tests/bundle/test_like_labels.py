"""Labels and their number in the layout of another file: each place keeps its direction, its ids and its spelling."""

import json
from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from like_parts import assert_same, other_head, save, write

from emoji_lightning.bundle.like import write_like
from emoji_lightning.checkpoint.stored_head import StoredHead, read_head


def labelled_by(folder: Path, text: str) -> StoredHead:
    """A head whose labels stand in label2id.json alone."""
    path = save(folder / "theirs.pt", labels=None)
    (folder / "label2id.json").write_text(text, encoding="utf-8")
    return read_head(path)


def label2id_in(folder: Path) -> Any:
    return json.loads((folder / "label2id.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"a": 0, ":sob:": 1, "👍🏽": 2}, {"👍🏽": 0, ":sob:": 1, "🔥": 2, "a": 3}),
        ({"a": "0", ":sob:": "1", "👍🏽": "2"}, {"👍🏽": "0", ":sob:": "1", "🔥": "2", "a": "3"}),
        ({"0": "a", "1": ":sob:", "2": "👍🏽"}, {"0": "👍🏽", "1": ":sob:", "2": "🔥", "3": "a"}),
    ],
    ids=["label -> id", "ids as text", "id -> label"],
)
def test_label2id_json_keeps_its_direction_its_ids_and_its_spelling(
    theirs: Mapping[str, Any], ours: Mapping[str, Any], tmp_path: Path
) -> None:
    model = labelled_by(tmp_path, json.dumps(theirs))
    file = write_like(other_head(model, ("👍", "😭", "🔥", "a")), model, tmp_path / "out").file
    assert_same(label2id_in(tmp_path / "out"), ours)
    assert read_head(file).label_set.labels == ("👍", "😭", "🔥", "a")


def test_label2id_json_of_the_same_labels_keeps_every_byte(tmp_path: Path) -> None:
    text = '\ufeff{"b" : 1,"a":0,\n"\\ud83d\\ude2d": 2}'
    model = labelled_by(tmp_path, text)
    write_like(other_head(model, ("a", "b", "😭")), model, tmp_path / "out")
    assert (tmp_path / "out" / "label2id.json").read_bytes() == text.encode()


def test_where_their_folder_has_no_label2id_json_ours_goes_from_label_to_id(tmp_path: Path) -> None:
    write(tmp_path, labels=("a", "b", "c"))
    assert label2id_in(tmp_path / "out") == {"a": 0, "b": 1, "c": 2}


def test_labels_keep_the_kind_of_list_and_dict_that_they_stand_in(tmp_path: Path) -> None:
    maps: dict[str, Any] = {
        "labels": ("a", "b", "c"),
        "label2id": OrderedDict(a=0, b=1, c=2),
        "id2label": Counter({0: "a", 1: "b", 2: "c"}),
        "class_names": ["a", "b", "c"],
        "label_map": {"a": "0", "b": "1", "c": "2"},
    }
    model = read_head(save(tmp_path / "theirs.pt", **maps))
    written = torch.load(write_like(other_head(model, ("c", "d")), model, tmp_path / "out").file, weights_only=True)
    assert_same(
        {name: written[name] for name in maps},
        {
            "labels": ("c", "d"),
            "label2id": OrderedDict(c=0, d=1),
            "id2label": Counter({0: "c", 1: "d"}),
            "class_names": ["c", "d"],
            "label_map": {"c": "0", "d": "1"},
        },
    )


COUNTS = [
    "num_labels",
    "num_classes",
    "n_classes",
    "n_labels",
    "num_class",
    "n_class",
    "nclass",
    "num_emotions",
    "n_emotions",
    "num_outputs",
    "n_outputs",
    "output_dim",
    "out_dim",
    "output_size",
    "out_features",
    "numClasses",
    "classes",
    "labels",
]


@pytest.mark.parametrize("name", COUNTS)
def test_the_number_of_labels_is_ours_under_any_of_its_names(name: str, tmp_path: Path) -> None:
    labels = {"labels": None, "class_names": ["a", "b", "c"]}
    model = read_head(save(tmp_path / "theirs.pt", config={name: 3}, model_args={name: 3, "lr": 3}, **labels))
    written = torch.load(
        write_like(other_head(model, ("a", "b", "c", "d")), model, tmp_path / "out").file, weights_only=True
    )
    assert written["config"] == {name: 4}
    assert written["model_args"] == {name: 4, "lr": 3}


def test_sizes_of_all_layers_end_in_our_number_of_labels(tmp_path: Path) -> None:
    config = {"layer_sizes": [8, 5, 5, 3], "dims": (8, 5, 5, 3), "kernels": [5, 5, 3]}
    model = read_head(save(tmp_path / "theirs.pt", config=config))
    written = torch.load(write_like(other_head(model, ("a", "b")), model, tmp_path / "out").file, weights_only=True)
    assert_same(written["config"], {"layer_sizes": [8, 5, 5, 2], "dims": (8, 5, 5, 2), "kernels": [5, 5, 3]})


def test_a_number_that_was_none_of_labels_stays(tmp_path: Path) -> None:
    entries = {"train_args": {"num_classes": 99, "output_dim": 768}, "encoder_config": {"output_dim": 3}}
    model = read_head(save(tmp_path / "theirs.pt", config={"output_dim": 5, "out_features": 8}, **entries))
    written = torch.load(write_like(other_head(model, ("a", "b")), model, tmp_path / "out").file, weights_only=True)
    assert {name: written[name] for name in entries} == entries
    assert written["config"] == {"output_dim": 5, "out_features": 8}
