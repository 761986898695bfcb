"""emotion2vec's frames, lengths and labels become a store."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from import_reading import DIM, Array, Import, draw, open_store, read_parts

from emoji_lightning.data.corpus import read_corpus
from emoji_lightning.embedding.joining import join_embeddings
from emoji_lightning.errors import ManifestError, StoreError
from emoji_lightning.manifest import Manifest, read_manifest
from emoji_lightning.splits.options import SplitOptions


def test_frames_are_cut_by_their_lengths_and_joined_by_the_ids_of_the_labels(
    bring: Import, table: Callable[..., Manifest], frame_file: Callable[..., Path], tmp_path: Path
) -> None:
    frames = draw(60, DIM)
    source = frame_file(frames, "10\n20\n5\n25\n", "a\tneu\nunnamed  hap\nb ang\nc sad\n\n")
    manifest = table("c", "a", "b")  # an order of its own
    assert bring(manifest, source).num_new == 3
    spans = [slice(35, 60), slice(0, 10), slice(30, 35)]
    expected = np.stack([frames[span].astype(np.float64).mean(axis=0) for span in spans]).astype(np.float32)
    assert np.array_equal(join_embeddings(manifest, open_store(tmp_path))[1], expected)
    durations = {row["id"]: row["duration_s"] for row in read_parts(tmp_path)}
    assert durations == pytest.approx({"c": 0.5, "a": 0.2, "b": 0.1})


def test_the_labels_are_a_manifest_and_training_needs_nothing_else(
    bring: Import, frame_file: Callable[..., Path], tmp_path: Path
) -> None:
    frames = draw(40, DIM)
    emo = "".join(f"u{row} {('neu', 'ang')[row % 2]}\n" for row in range(20))
    source = frame_file(frames, "2\n" * 20, emo)
    bring(read_manifest(tmp_path / "train.emo"), source)
    corpus = read_corpus(str(tmp_path / "train.emo"), str(tmp_path / "store"), split=SplitOptions(dev=4, test=4))
    assert np.array_equal(corpus.embeddings, frames.reshape(20, 2, DIM).astype(np.float64).mean(1).astype(np.float32))
    assert [corpus.label_set.labels[code] for code in corpus.labels[:3]] == ["neu", "ang", "neu"]
    assert corpus.encoder == "theirs"
    assert {split: len(corpus.rows(split)) for split in ("train", "dev", "test")} == {"train": 12, "dev": 4, "test": 4}


def test_a_file_larger_than_the_memory_is_only_mapped(
    bring: Import, table: Callable[..., Manifest], frame_file: Callable[..., Path], tmp_path: Path
) -> None:
    source = frame_file(np.ones((0, DIM), dtype=np.float32), "1000\n3999000\n", "a neu\nb sad\n")
    header = source.read_bytes().replace(b"(0, 8), }      ", b"(4000000, 8), }")
    with source.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + 4_000_000 * DIM * 4)  # 128 MB of zeros that take no room on the disk
    tracemalloc.start()
    try:
        bring(table("a"), source)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert open_store(tmp_path).read_ids(["a"]).tolist() == [[0.0] * DIM]
    assert peak < 20_000_000


def test_rows_without_usable_frames_are_failures(
    bring: Import, table: Callable[..., Manifest], frame_file: Callable[..., Path], tmp_path: Path
) -> None:
    frames = draw(30, DIM)
    frames[12] = np.nan
    source = frame_file(frames, "10\n5\n0\n5\n10\n", "a x\nnan x\nnone x\nb x\nb x\n")
    with pytest.raises(StoreError, match=r"4 of 5 utterances") as caught:
        bring(table("a", "nan", "none", "b", "gone"), source)
    emo = tmp_path / "train.emo"
    assert str(caught.value).splitlines()[:4] == [
        f"labels.csv:3: {emo}:2: holds NaN, infinity or values that float32 cannot hold",
        f"labels.csv:4: {emo}:3: has 0 frames; expected at least one",
        f"labels.csv:5: id 'b' stands in lines 4 and 5 of {emo} with different frames; give one another id",
        f"labels.csv:6: id 'gone' is not in {emo}",
    ]
    assert open_store(tmp_path).ids() == {"a"}


def test_an_id_twice_with_the_same_frames_is_no_question(
    bring: Import, table: Callable[..., Manifest], frame_file: Callable[..., Path]
) -> None:
    frames = draw(4, DIM)
    assert bring(table("a"), frame_file(np.concatenate([frames, frames]), "4\n4\n", "a x\na x\n")).num_new == 1


@pytest.mark.parametrize(
    ("frames", "lengths", "emo", "messages"),
    [
        (draw(9, DIM), "5\n5\n", "a x\nb x\n", [r"train\.lengths: adds up to 10 frames, train\.npy holds 9"]),
        (draw(11, DIM), "5\n5\n", "a x\nb x\n", [r"train\.lengths: adds up to 10 frames, train\.npy holds 11"]),
        (draw(10, DIM), "5\n5\n", "a x\n", [r"train\.lengths: has 2 utterances, train\.emo has 1"]),
        (draw(9, DIM), "5\n5\n", "a x\n", [r"adds up to 10 frames", "has 2 utterances, train.emo has 1"]),
        (draw(10), "5\n5\n", "a x\nb x\n", [r"train\.npy: shape \(10,\); expected frames \(T, D\)"]),
        (draw(1, 10, DIM), "10\n", "a x\n", [r"train\.npy: shape \(1, 10, 8\); expected frames \(T, D\)"]),
        (np.zeros((10, 0)), "10\n", "a x\n", [r"train\.npy: shape \(10, 0\); expected frames \(T, D\)"]),
        (
            draw(5, DIM),
            "5\n-1\nfive\n\n2.0\n",
            "a x\n",
            [r"train\.lengths:2: '-1' is no number of frames", ":3: 'five'", ":4: ''", ":5: '2.0'"],
        ),
        (np.ones((5, DIM), dtype=np.int32), "5\n", "a x\n", [r"train\.npy: holds int32 values; expected float16"]),
    ],
)
def test_files_that_do_not_fit_together_are_refused(
    bring: Import,
    table: Callable[..., Manifest],
    frame_file: Callable[..., Path],
    tmp_path: Path,
    frames: Array,
    lengths: str,
    emo: str,
    messages: list[str],
) -> None:
    with pytest.raises(StoreError, match=r"[^\n]*\n[^\n]*".join(messages)):
        bring(table("a"), frame_file(frames, lengths, emo), max_failed=9)
    assert not (tmp_path / "store").exists()


def test_companions_that_are_absent_or_wrong_are_named(
    bring: Import, table: Callable[..., Manifest], frame_file: Callable[..., Path], tmp_path: Path
) -> None:
    source = frame_file(draw(5, DIM), "5\n", "a\nb very sad\n")
    with pytest.raises(
        ManifestError, match=r"train\.emo:1: 1 fields; expected an id and a label.*\n.*\.emo:2: 3 fields"
    ):
        bring(table("a"), source)
    (tmp_path / "train.emo").unlink()
    with pytest.raises(StoreError, match=r"train\.npy: train\.emo is not beside it; expected the frames of each"):
        bring(table("a"), source)
    (tmp_path / "train.lengths").unlink()
    with pytest.raises(StoreError, match=r"train\.lengths and train\.emo is not beside it; .* a folder with ID\.npy"):
        bring(table("a"), source)


def test_pickled_objects_are_never_read(
    bring: Import, table: Callable[..., Manifest], frame_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpickle(*_: object, **__: object) -> NoReturn:
        raise AssertionError("unpickled")

    monkeypatch.setattr("pickle.load", unpickle)
    source = frame_file(draw(5, DIM), "5\n", "a x\n")
    np.save(source, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(StoreError, match=r"train\.npy: is no \.npy array, cut off, or holds Python objects"):
        bring(table("a"), source)
