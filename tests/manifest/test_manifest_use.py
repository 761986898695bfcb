import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manifest_files import as_rows, read_csv

from emoji_lightning.errors import LabelError, ManifestError
from emoji_lightning.labels import CARD_LABELS, LabelSet
from emoji_lightning.manifest import Manifest, read_manifest

EMODB = Path(__file__).resolve().parents[3] / "shared" / "data" / "emodb"


def test_labels_are_encoded_in_any_spelling(tmp_path: Path) -> None:
    manifest = read_csv(tmp_path, "audio,label\na.wav,:joy:\nb.wav,πŸ˜‚\nc.wav,πŸ˜\xa0\nd.wav,<NONE>\n")
    ids = manifest.encode_labels(LabelSet(("😠", "😂", "<none>")))
    assert ids.dtype == np.int64
    assert ids.tolist() == [1, 1, 0, 2]


def test_unknown_labels_come_together_with_their_lines(tmp_path: Path) -> None:
    manifest = read_csv(tmp_path, "audio,label\na.wav,hapy\nb.wav,joy\nc.wav,xyz\nd.wav,hapy\n")
    with pytest.raises(LabelError) as caught:
        manifest.encode_labels(LabelSet(("anger", "joy", "sad")))
    assert str(caught.value).splitlines() == [
        "labels.csv:2: label 'hapy' is not one of ['anger', 'joy', 'sad']; did you mean 'joy'? (also lines 5)",
        "labels.csv:4: label 'xyz' is not one of ['anger', 'joy', 'sad']",
        "for another label set give its label2id.json: --data.labels, --labels of `split`",
    ]


def test_labels_are_the_card_s_or_the_manifest_s_own(tmp_path: Path) -> None:
    assert read_csv(tmp_path, "audio,label\na.wav,:joy:\nb.wav,🎉\n").infer_labels().labels == CARD_LABELS
    assert read_csv(tmp_path, "audio,label\na.wav,πŸ™\n").infer_labels().labels == CARD_LABELS
    own = read_csv(tmp_path, "audio,label\na.wav,sad\nb.wav,anger\nc.wav,sad\n").infer_labels()
    assert own.labels == ("anger", "sad")
    with pytest.raises(LabelError, match=r"labels.csv: labels \['sad'\] are 1; a classifier needs at least 2"):
        read_csv(tmp_path, "audio,label\na.wav,sad\n").infer_labels()


def test_missing_columns_are_named_with_what_was_found(tmp_path: Path) -> None:
    manifest = read_csv(tmp_path, "audio,labels\na.wav,joy\n")
    message = r"labels.csv: no column 'label'; found columns \['audio', 'labels'\]; rename 'labels' to 'label'"
    with pytest.raises(ManifestError, match=message):
        manifest.require("audio", "label")
    with pytest.raises(ManifestError, match=r"no column 'sentence'; .*; add 'sentence' or rename"):
        manifest.column("sentence")


def test_rows_are_selected_with_their_lines(tmp_path: Path) -> None:
    manifest = read_csv(tmp_path, "audio,label\na.wav,x\nb.wav,y\nc.wav,z\n").select([2, 0])
    assert manifest.column("label") == ["z", "x"]
    assert [manifest.where(row) for row in range(len(manifest))] == ["labels.csv:4", "labels.csv:2"]


def test_a_column_is_added_or_replaced(tmp_path: Path) -> None:
    manifest = read_csv(tmp_path, "audio,split\na.wav,train\nb.wav,dev\n")
    assert manifest.with_column("split", ["test", "test"]).column("split") == ["test", "test"]
    assert manifest.with_column("p", [0.25, 1]).column("p") == [0.25, 1.0]
    assert manifest.column("split") == ["train", "dev"]


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6), suffix=st.sampled_from(["csv", "tsv", "jsonl"]))
def test_any_text_survives_writing_and_reading(
    rows: list[tuple[str, str]], suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    table = pa.table(
        {"audio": [f"{i}.wav" for i in range(len(rows))], "text": [a for a, _ in rows], "free": [b for _, b in rows]}
    )
    Manifest(folder / "x.csv", table, range(len(rows)), folder).write(folder / f"m.{suffix}")
    assert as_rows(read_manifest(folder / f"m.{suffix}")) == table.to_pylist()


@pytest.mark.skipif(not EMODB.is_dir(), reason="the EmoDB recordings are not beside this repository")
def test_emodb_is_read_with_all_its_audio(tmp_path: Path) -> None:
    manifest = read_manifest(EMODB / "manifest.csv", check_audio=True)
    assert len(manifest) == 535
    assert len(manifest.infer_labels()) == 7
    assert np.bincount(manifest.encode_labels(manifest.infer_labels())).tolist() == [127, 81, 46, 69, 71, 79, 62]
    shutil.copy(EMODB / "manifest.csv", tmp_path)
    elsewhere = read_manifest(tmp_path / "manifest.csv", audio_root=EMODB, check_audio=True)
    assert elsewhere.audio_paths() == manifest.audio_paths()
