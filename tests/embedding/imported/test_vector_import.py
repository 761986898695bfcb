"""A folder of ID.npy becomes a store, and what cannot be used is listed."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow.parquet as pq
import pytest
from import_reading import DIM, Array, Import, draw, open_store, read_failed, read_parts

from emoji_lightning.embedding import failures, vector_import, vector_sources
from emoji_lightning.embedding.joining import join_embeddings
from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.embedding.vector_import import imported_key, imported_spec
from emoji_lightning.errors import ManifestError, StoreError
from emoji_lightning.manifest import Manifest, read_manifest

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
