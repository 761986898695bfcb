import csv
import io
import re
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from emoji_lightning.data.corpus import SplitOptions, join_embeddings, read_corpus
from emoji_lightning.embedding import failures, vector_import, vector_sources
from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.embedding.vector_import import ImportReport, import_vectors, imported_key, imported_spec
from emoji_lightning.errors import ManifestError, StoreError
from emoji_lightning.manifest import Manifest, read_manifest

DIM = 8
Array = NDArray[Any]
Import = Callable[..., ImportReport]


@pytest.fixture
def bring(tmp_path: Path) -> Import:
    """Import into the store `store` as the verb does."""

    def run(manifest: Manifest, source: Path, encoder: str = "theirs", **options: Any) -> ImportReport:
        def open_store(dim: int) -> EmbeddingStore:
            return EmbeddingStore.open_or_create(tmp_path / "store", imported_spec(encoder, dim))

        return import_vectors(manifest, source, open_store, **options)

    return run


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Manifest]:
    """A manifest with these ids, the first in line 2."""

    def write(*ids: str) -> Manifest:
        (tmp_path / "labels.csv").write_text("id,label\n" + "".join(f"{name},joy\n" for name in ids), encoding="utf-8")
        return read_manifest(tmp_path / "labels.csv")

    return write


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """A folder `theirs` with ID.npy for each of these arrays or bytes."""

    def write(arrays: Mapping[str, Array | bytes]) -> Path:
        for name, array in arrays.items():
            file = tmp_path / "theirs" / f"{name}.npy"
            file.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(array, bytes):
                file.write_bytes(array)
            else:
                np.save(file, array)
        return tmp_path / "theirs"

    return write


@pytest.fixture
def frame_file(tmp_path: Path) -> Callable[..., Path]:
    """`train.npy`, `train.lengths` and `train.emo` as emotion2vec's recipe leaves them."""

    def write(frames: Array, lengths: str, emo: str) -> Path:
        np.save(tmp_path / "train.npy", frames)
        (tmp_path / "train.lengths").write_text(lengths)
        (tmp_path / "train.emo").write_text(emo)
        return tmp_path / "train.npy"

    return write


def draw(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def open_store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore.open(tmp_path / "store")


def read_parts(tmp_path: Path) -> list[dict[str, Any]]:
    return [row for part in (tmp_path / "store").glob("part-*.parquet") for row in pq.read_table(part).to_pylist()]


def read_failed(tmp_path: Path) -> list[dict[str, str]]:
    with (tmp_path / "store" / "failed.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- a folder of ID.npy ----------------------------------------------------------------------------------------------


def test_vectors_and_averaged_frames_come_in_by_id(
    bring: Import, table: Callable[..., Manifest], folder: Callable[..., Path], tmp_path: Path
) -> None:
    frames = draw(50, DIM, seed=1)
    source = folder({"b": frames, "sub/a.x": draw(DIM), "one": draw(1, DIM, seed=2), "unnamed": draw(DIM, seed=3)})
    manifest = table("sub/a.x", "b", "one")
    report = bring(manifest, source)
    assert (report.num_utterances, report.num_new, report.num_known, report.failures) == (3, 3, 0, [])
    assert report.summary() == f"{tmp_path / 'store'}: 3 imported, 0 there before, 0 failed"
    expected = np.stack([draw(DIM), frames.astype(np.float64).mean(axis=0).astype(np.float32), draw(DIM, seed=2)])
    kept, vectors = join_embeddings(manifest, open_store(tmp_path))
    assert kept.ids == ["sub/a.x", "b", "one"]
    assert np.array_equal(vectors, expected)
    rows = {row["id"]: row for row in read_parts(tmp_path)}
    assert {name: row["duration_s"] for name, row in rows.items()} == {"sub/a.x": 0.0, "b": 1.0, "one": 0.0}
    assert {name: row["key"] for name, row in rows.items()} == {name: imported_key(name) for name in manifest.ids}


def test_frames_are_averaged_in_float64(
    bring: Import, table: Callable[..., Manifest], folder: Callable[..., Path], tmp_path: Path
) -> None:
    frames = np.array([[1e8], [1.0], [-1e8], [1.0]] * 250, dtype=np.float32)
    assert frames.mean(axis=0)[0] != 0.5
    bring(table("a"), folder({"a": frames}))
    assert open_store(tmp_path).read_ids(["a"]).tolist() == [[0.5]]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_floats_of_any_kind_and_order_become_float32(
    bring: Import, table: Callable[..., Manifest], folder: Callable[..., Path], tmp_path: Path, dtype: str, order: Any
) -> None:
    frames = np.asarray(np.arange(24).reshape(3, DIM) / 4, dtype=dtype, order=order)
    bring(table("a"), folder({"a": frames}))
    vectors = open_store(tmp_path).read_ids(["a"])
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[(column + 8) / 4 for column in range(DIM)]]


def test_a_second_run_brings_only_what_is_missing(
    bring: Import, table: Callable[..., Manifest], folder: Callable[..., Path], tmp_path: Path
) -> None:
    bring(table("a", "b"), folder({"a": draw(DIM), "b": draw(DIM, seed=1)}))
    parts = {part.name for part in (tmp_path / "store").glob("part-*")}
    (tmp_path / "theirs" / "a.npy").unlink()  # what is in the store is not looked for again
    source = folder({"b": draw(DIM, seed=7), "c": draw(DIM, seed=2)})
    report = bring(table("a", "b", "c"), source)
    assert (report.num_new, report.num_known, report.failures) == (1, 2, [])
    assert len({part.name for part in (tmp_path / "store").glob("part-*")} - parts) == 1
    expected = np.stack([draw(DIM), draw(DIM, seed=1), draw(DIM, seed=2)])
    assert np.array_equal(open_store(tmp_path).read_ids(["a", "b", "c"]), expected)


def test_parts_hold_a_chunk_each_and_earlier_ones_stay(
    bring: Import,
    table: Callable[..., Manifest],
    folder: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vector_import, "CHUNK_ROWS", 4)
    names = [f"u{number}" for number in range(10)]
    source = folder({name: draw(DIM, seed=seed) for seed, name in enumerate(names)})
    real = EmbeddingStore.append

    def fill_up(store: EmbeddingStore, keys: Any, *words: Any, **options: Any) -> None:
        if len(store.ids()) == 8:
            raise StoreError("the disk is full")
        real(store, keys, *words, **options)

    with monkeypatch.context() as full:
        full.setattr(EmbeddingStore, "append", fill_up)
        with pytest.raises(StoreError, match=r"^the disk is full$"):
            bring(table(*names), source)
    assert open_store(tmp_path).ids() == set(names[:8])
    assert bring(table(*names), source).num_new == 2
    sizes = [len(pq.read_table(part)) for part in (tmp_path / "store").glob("part-*")]
    assert sorted(sizes) == [2, 4, 4]
    expected = np.stack([draw(DIM, seed=seed) for seed in range(10)])
    assert np.array_equal(open_store(tmp_path).read_ids(names), expected)


# --- vectors that cannot be used -------------------------------------------------------------------------------------


def object_array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return file.getvalue()


def spoil_header(old: bytes, new: bytes) -> bytes:
    file = io.BytesIO()
    np.save(file, draw(DIM))
    assert old in file.getvalue()
    return file.getvalue().replace(old, new)


def with_value(value: float, dtype: str = "float32") -> Array:
    frames = np.ones((5, DIM), dtype=dtype)
    frames[3, 2] = value
    return frames


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (None, r"bad\.npy: no such file$"),
        (draw(DIM + 1), r"bad\.npy: is 9-d, the store's are 8-d$"),
        (draw(5, DIM - 1), r"bad\.npy: is 7-d, the store's are 8-d$"),
        (with_value(np.nan), r"bad\.npy: holds NaN, infinity or values that float32 cannot hold$"),
        (with_value(-np.inf), r"bad\.npy: holds NaN, infinity or"),
        (with_value(1e300, "float64"), r"bad\.npy: holds NaN, infinity or values that float32 cannot hold$"),
        (
            np.zeros((0, DIM)),
            r"bad\.npy: shape \(0, 8\); expected a vector \(D,\) or frames \(T, D\), T and D above 0$",
        ),
        (np.zeros(0), r"bad\.npy: shape \(0,\); expected a vector"),
        (np.float32(1), r"bad\.npy: shape \(\); expected a vector"),
        (draw(1, 5, DIM), r"bad\.npy: shape \(1, 5, 8\); expected a vector \(D,\) or frames \(T, D\)"),
        (np.ones(DIM, dtype=np.int16), r"bad\.npy: holds int16 values; expected float16, float32 or float64$"),
        (np.ones(DIM, dtype=bool), r"bad\.npy: holds bool values; expected float16"),
        (np.ones(DIM, dtype=complex), r"bad\.npy: holds complex128 values; expected float16"),
        (object_array(), r"bad\.npy: is no \.npy array, cut off, or holds Python objects \(.*Python objects in dtype"),
        (b"0.1 0.2 0.3", r"bad\.npy: is no \.npy array, cut off, .* \(the magic string is not correct"),
        (b"", r"bad\.npy: is no \.npy array, cut off, "),
        (b"\x93NUMPY\x01\x00\x10\x00((((((((((((((((", r"bad\.npy: is no \.npy array, cut off, "),
        (b"\x93NUMPY\x01\x00\x10\x00a\n  b\n c\n       ", r"bad\.npy: is no \.npy array, cut off, "),
        (spoil_header(b"(8,), }  ", b"(-80,), }"), r"bad\.npy: is no \.npy array, cut off, .*length must be positive"),
    ],
)
def test_every_unusable_file_is_one_failure_with_its_reason(
    bring: Import,
    table: Callable[..., Manifest],
    folder: Callable[..., Path],
    tmp_path: Path,
    array: Array | bytes | None,
    reason: str,
) -> None:
    source = folder({"a": draw(DIM), "b": draw(DIM, seed=1)} | ({} if array is None else {"bad": array}))
    with pytest.raises(StoreError, match=r"^labels\.csv:3: ") as caught:
        bring(table("a", "bad", "b"), source)
    first, last = str(caught.value).splitlines()
    assert last == (
        "1 of 3 utterances have no vector that can be used; all others are in the store. The list is in "
        f"{tmp_path / 'store' / 'failed.csv'}; correct them and run `embed` again, or allow them with --max-failed N"
    )
    [row] = read_failed(tmp_path)
    assert (row["line"], row["id"]) == ("3", "bad")
    assert first == f"labels.csv:3: {row['reason']}"
    assert re.search(reason, row["reason"])
    assert open_store(tmp_path).ids() == {"a", "b"}


def test_a_file_that_is_cut_off_is_a_failure(
    bring: Import, table: Callable[..., Manifest], folder: Callable[..., Path], tmp_path: Path
) -> None:
    source = folder({"a": draw(DIM), "bad": draw(500, DIM)})
    (source / "bad.npy").write_bytes((source / "bad.npy").read_bytes()[:-1])
    with pytest.raises(StoreError, match=r"labels\.csv:3: .*bad\.npy: is no \.npy array, cut off, or"):
        bring(table("a", "bad"), source)


@pytest.mark.parametrize(
    "name", ["../secret", "sub/../../secret", "{root}/secret", "C:secret", r"..\secret", r"\secret"]
)
def test_an_id_never_leads_out_of_the_folder(
    bring: Import, table: Callable[..., Manifest], folder: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    source = folder(
        {"a": draw(DIM), "sub/b": draw(DIM), "C:secret": draw(DIM), r"..\secret": draw(DIM), r"\secret": draw(DIM)}
    )
    np.save(tmp_path / "secret.npy", draw(DIM))
    with pytest.raises(StoreError, match=r"labels\.csv:3: id '.*' leads out of .*theirs; rename it in the manifest"):
        bring(table("a", name.format(root=tmp_path)), source)
    assert open_store(tmp_path).ids() == {"a"}


def test_all_failures_come_together_and_go_when_they_are_cured(
    bring: Import, table: Callable[..., Manifest], folder: Callable[..., Path], tmp_path: Path
) -> None:
    manifest = table("a", "gone", "long", "b")
    source = folder({"a": draw(DIM), "long": draw(DIM + 4), "b": draw(DIM)})
    with pytest.raises(StoreError, match=r"2 of 4 utterances") as caught:
        bring(manifest, source, max_failed=1)
    assert [line.partition(": ")[0] for line in str(caught.value).splitlines()[:2]] == ["labels.csv:3", "labels.csv:4"]
    report = bring(manifest, source, max_failed=2)
    assert [failure.row for failure in report.failures] == [1, 2]
    assert report.summary().endswith(f"2 there before, 2 failed (listed in {tmp_path / 'store' / 'failed.csv'})")
    assert [row["id"] for row in read_failed(tmp_path)] == ["gone", "long"]
    assert bring(manifest, folder({"gone": draw(DIM), "long": draw(DIM)})).num_new == 2
    assert not (tmp_path / "store" / "failed.csv").exists()


def test_one_odd_file_at_the_beginning_does_not_decide_the_length(
    bring: Import, table: Callable[..., Manifest], folder: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match=r"labels\.csv:2: .*odd\.npy: is 1024-d, the store's are 8-d\n1 of 3"):
        bring(table("odd", "a", "b"), folder({"odd": draw(1024), "a": draw(DIM), "b": draw(DIM)}))
    assert open_store(tmp_path).spec.dim == DIM


def test_without_any_usable_vector_no_store_is_made(
    bring: Import, table: Callable[..., Manifest], folder: Callable[..., Path], tmp_path: Path
) -> None:
    source = folder({"a": with_value(np.nan)})
    message = (
        r"^labels\.csv:2: .*NaN.*\nlabels\.csv:3: .*no such file\nno utterance has a vector .*nothing is imported$"
    )
    with pytest.raises(StoreError, match=message):
        bring(table("a", "b"), source, max_failed=9)
    assert not (tmp_path / "store").exists()


def test_ids_that_are_all_wrong_are_shown_beside_those_of_the_vectors(
    bring: Import, table: Callable[..., Manifest], folder: Callable[..., Path], tmp_path: Path
) -> None:
    source = folder({"z": draw(DIM), "x.wav": draw(DIM), "sub/y": draw(DIM)})
    message = (
        r"^labels\.csv: none of its 3 ids is in .*theirs; its ids are like 'p', 'q', those of the vectors like "
        r"'sub/y', 'x\.wav'; make them agree$"
    )
    with pytest.raises(ManifestError, match=message):
        bring(table("p", "q", "r"), source, max_failed=9)
    (tmp_path / "audio.csv").write_text("audio\nwav/z.wav\n")
    with pytest.raises(
        ManifestError, match=r"its ids are like 'wav/z\.wav', .* add a column `id`: without one the aud"
    ):
        bring(read_manifest(tmp_path / "audio.csv"), source)
    assert not (tmp_path / "store").exists()


def test_a_source_that_is_none_is_refused(bring: Import, table: Callable[..., Manifest], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match=r"empty: holds no vectors; expected those of the utterances in labels\.csv$"):
        bring(table("a"), tmp_path / "empty")
    with pytest.raises(StoreError, match=r"nowhere: no such file or folder; expected a folder with ID\.npy for each"):
        bring(table("a"), tmp_path / "nowhere")
    with pytest.raises(StoreError, match=r"labels\.csv: format '\.csv'; expected a folder with ID\.npy for each"):
        bring(table("a"), tmp_path / "labels.csv")


def test_a_list_of_failures_that_cannot_be_written_is_one_error(
    bring: Import, table: Callable[..., Manifest], folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, write: Any) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(failures, "write_whole", refuse)
    with pytest.raises(StoreError, match=r"failed\.csv: cannot be written \(No space left on device\); what was fin"):
        bring(table("a", "b"), folder({"a": draw(DIM)}))


# --- emotion2vec's frames, lengths and labels ------------------------------------------------------------------------


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
    source.write_bytes(object_array())
    with pytest.raises(StoreError, match=r"train\.npy: is no \.npy array, cut off, or holds Python objects"):
        bring(table("a"), source)


# --- what the store says of them -------------------------------------------------------------------------------------


def test_the_spec_says_what_is_known_and_what_is_not() -> None:
    spec = imported_spec("emotion2vec_base", 768)
    assert (spec.encoder, spec.dim, spec.weights_sha256, spec.granularity) == (
        "emotion2vec_base",
        768,
        None,
        "utterance",
    )
    assert {spec.resampler, spec.precision, spec.device} == {"unknown"}
    assert EmbeddingSpec.from_dict(spec.to_dict()) == spec


def test_vectors_of_another_name_length_or_origin_are_not_mixed(
    bring: Import, table: Callable[..., Manifest], folder: Callable[..., Path], tmp_path: Path
) -> None:
    source = folder({"a": draw(DIM)})
    bring(table("a"), source)
    with pytest.raises(StoreError, match=r"encoder 'theirs' and 'others'.*; give --store another folder"):
        bring(table("a"), source, encoder="others")
    with pytest.raises(StoreError, match=r"dim 8 and 9.*; give --store another folder"):
        bring(table("a"), folder({"a": draw(DIM + 1)}))
    own = EmbeddingSpec(encoder="theirs", dim=DIM, weights_sha256="8a" * 32)
    with pytest.raises(StoreError, match=r"weights_sha256 None and '8a8a"):
        EmbeddingStore.open_or_create(tmp_path / "store", own)


def test_the_length_of_a_frame_is_the_stride_of_the_feature_encoder() -> None:
    strides = [5, 2, 2, 2, 2, 2, 2]  # conv_feature_layers of emotion2vec and wav2vec 2.0
    assert pytest.approx(np.prod(strides) / 16_000) == vector_sources.FRAME_SECONDS
