import errno
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from emoji_lightning.embedding import store as store_module
from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.errors import StoreError

SPEC = EmbeddingSpec(encoder="emotion2vec_base", dim=5, weights_sha256="ab" * 32)
KEYS = [f"{number:064x}" for number in range(7)]


def make_vectors(number: int, dim: int = 5) -> NDArray[np.float32]:
    return np.random.default_rng(number).standard_normal((number, dim)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    """Seven vectors in three parts."""
    store = EmbeddingStore.open_or_create(tmp_path / "store", SPEC)
    vectors = make_vectors(7)
    for start, stop in ((0, 3), (3, 4), (4, 7)):
        store.append(KEYS[start:stop], vectors[start:stop], [float(number) for number in range(start, stop)])
    return store


def parts_of(store: EmbeddingStore) -> list[Path]:
    return sorted(store.path.glob("part-*.parquet"))


# --- round trip ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5, 6], [6, 0, 3], [2, 2, 5, 2], [4], []])
def test_vectors_come_back_in_the_order_asked_for(store: EmbeddingStore, order: list[int]) -> None:
    vectors = EmbeddingStore.open(store.path).read([KEYS[number] for number in order])
    assert vectors.dtype == np.float32
    assert np.array_equal(vectors, make_vectors(7)[order])


def test_keys_are_those_of_all_parts(store: EmbeddingStore) -> None:
    assert store.keys() == set(KEYS)
    assert store.ids() == set()


def test_a_store_that_is_opened_again_has_its_spec(store: EmbeddingStore) -> None:
    assert EmbeddingStore.open(store.path) == store
    assert json.loads((store.path / "spec.json").read_text())["weights_sha256"] == "ab" * 32


def test_vectors_need_not_lie_in_one_piece(tmp_path: Path) -> None:
    store = EmbeddingStore.open_or_create(tmp_path / "store", SPEC)
    turned = np.asfortranarray(make_vectors(7))[::2]
    store.append(KEYS[::2], turned, [1.0] * 4)
    assert np.array_equal(store.read(KEYS[::2]), turned)


def test_imported_vectors_are_found_by_id(store: EmbeddingStore) -> None:
    vectors = make_vectors(3)
    store.append(["k1", "k2", "k3"], vectors, [1.0, 2.0, 3.0], ids=["b", "ä", "c"])
    assert store.ids() == {"b", "ä", "c"}
    assert np.array_equal(store.read_ids(["c", "b", "c"]), vectors[[2, 0, 2]])
    assert np.array_equal(store.read(["k2", KEYS[0]]), np.stack([vectors[1], make_vectors(7)[0]]))
    with pytest.raises(StoreError, match=r"store: 1 of 2 utterances have no embedding"):
        store.read_ids(["b", KEYS[0]])


# --- other programs --------------------------------------------------------------------------------------------------


def test_any_parquet_reader_opens_the_parts(store: EmbeddingStore) -> None:
    tables = [pq.read_table(part) for part in parts_of(store)]
    assert [field.type for field in tables[0].schema] == [pa.string(), pa.list_(pa.float32(), 5), pa.float64()]
    rows = {row["key"]: row for table in tables for row in table.to_pylist()}
    assert {key: row["duration_s"] for key, row in rows.items()} == dict(zip(KEYS, range(7), strict=True))
    assert np.array_equal([rows[key]["embedding"] for key in KEYS], make_vectors(7))


def test_a_data_set_reader_opens_the_folder(store: EmbeddingStore) -> None:
    (store.path / "failed.csv").write_text("line,id,audio,reason\n")
    (store.path / "files.arrow").write_bytes(b"ARROW1")
    (store.path / ".part-1.parquet.77.tmp").write_bytes(b"half a part")
    table = ds.dataset(store.path, format="parquet", exclude_invalid_files=True).to_table()
    assert sorted(table["key"].to_pylist()) == KEYS


def test_a_part_that_another_program_wrote_is_read(store: EmbeddingStore) -> None:
    rows = [{"extra": 1, "embedding": [float(number)] * 5, "key": f"k{number}"} for number in range(3)]
    kinds = pa.schema([("extra", pa.int64()), ("embedding", pa.list_(pa.float32(), 5)), ("key", pa.string())])
    pq.write_table(pa.Table.from_pylist(rows, kinds), store.path / "part-foreign.parquet", row_group_size=1)
    assert store.read(["k2", "k0"]).tolist() == [[2.0] * 5, [0.0] * 5]


# --- what is missing or damaged --------------------------------------------------------------------------------------


def test_missing_keys_are_counted(store: EmbeddingStore) -> None:
    with pytest.raises(StoreError, match=rf"^{store.path}: 3 of 5 utterances have no embedding; run `embed` on them$"):
        store.read([KEYS[0], "x", KEYS[1], "y", "x"])


def test_a_folder_that_is_no_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"none: no embedding store \(spec\.json is missing\); `emoji-lightning embed`"
    ):
        EmbeddingStore.open(tmp_path / "none")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", r"Expecting property name"),
        (b"", r"Expecting value"),
        (b"\xff\xfe", r"codec can't decode"),
        (b"[1]", r"holds a list, a mapping is needed"),
        (b'{"encoder": "x"}', r"'dim' is missing"),
        (b'{"encoder": "x", "dim": 5, "format_version": 9}', r"format_version is 9, this program reads 1; install"),
    ],
)
def test_a_damaged_spec_is_named(store: EmbeddingStore, content: bytes, problem: str) -> None:
    (store.path / "spec.json").write_bytes(content)
    for use in (EmbeddingStore.open, lambda path: EmbeddingStore.open_or_create(path, SPEC)):
        with pytest.raises(StoreError, match=rf"spec\.json: is damaged: .*{problem}.*; embed into another folder"):
            use(store.path)


def cut_in_half(part: Path) -> None:
    part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])


def drop_column(part: Path, name: str) -> None:
    pq.write_table(pq.read_table(part).drop_columns([name]), part)


def empty_one_row(part: Path) -> None:
    table = pq.read_table(part)
    vectors = pa.array([None, *table["embedding"].to_pylist()[1:]], pa.list_(pa.float32(), 5))
    pq.write_table(table.set_column(1, "embedding", vectors), part)


@pytest.mark.parametrize(
    "damage",
    [
        cut_in_half,
        lambda part: part.write_bytes(b""),
        lambda part: part.write_text("not parquet at all"),
        lambda part: drop_column(part, "embedding"),
        empty_one_row,
    ],
    ids=["half", "empty", "text", "no embedding", "row without embedding"],
)
def test_a_damaged_part_is_named_with_the_cure(store: EmbeddingStore, damage: Any) -> None:
    part = parts_of(store)[1]
    damage(part)
    cure = r"is damaged \(.*\); delete this part and run `embed` again"
    with pytest.raises(StoreError, match=rf"^{part}: {cure}") as caught:
        store.read(KEYS)
    assert "\n" not in str(caught.value)
    part.unlink()
    assert len(store.keys()) in (4, 6)  # all others are as they were


def test_a_part_without_keys_is_named_when_keys_are_listed(store: EmbeddingStore) -> None:
    part = parts_of(store)[0]
    drop_column(part, "key")
    with pytest.raises(StoreError, match=rf"^{part}: is damaged \(.*key.*\); delete this part"):
        store.keys()


def test_a_part_of_another_dimension_is_named(store: EmbeddingStore) -> None:
    other = EmbeddingStore(store.path, replace(SPEC, dim=4))
    other.append(["k"], make_vectors(1, 4), [1.0])
    problem = r"embeddings are fixed_size_list<.*float.*>\[4\], spec\.json says fixed_size_list<.*>\[5\]; embed into"
    with pytest.raises(StoreError, match=rf"part-.*\.parquet: {problem}"):
        store.read([*KEYS, "k"])


# --- whose vectors ---------------------------------------------------------------------------------------------------


def test_another_encoder_is_refused_in_words(store: EmbeddingStore) -> None:
    other = EmbeddingSpec(encoder="logmel", dim=768)
    with pytest.raises(StoreError) as caught:
        EmbeddingStore.open_or_create(store.path, other)
    assert str(caught.value).startswith(
        f"{store.path}: holds embeddings of emotion2vec_base (weights abababababab, 5-d, cpu, fp32), these would be of "
        "logmel (768-d, cpu, fp32) (encoder 'emotion2vec_base' and 'logmel', dim 5 and 768, weights_sha256 'abab"
    )
    assert "give --store another folder, or the options that made this store" in str(caught.value)
    assert EmbeddingStore.open(store.path).spec == SPEC


@pytest.mark.parametrize("change", [{"weights_sha256": "cd" * 32}, {"device": "cuda"}, {"resampler": "other"}])
def test_other_weights_device_or_resampler_are_refused(store: EmbeddingStore, change: dict[str, str]) -> None:
    ((name, value),) = change.items()
    with pytest.raises(StoreError, match=rf"\({name} '{getattr(SPEC, name)}' and '{value}'\); give --store another"):
        EmbeddingStore.open_or_create(store.path, replace(SPEC, **change))  # type: ignore[arg-type]


def test_two_runs_of_different_encoders_do_not_make_one_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, real = tmp_path / "store", store_module.write_whole

    def late(path: Path, write: Any, **options: Any) -> None:
        monkeypatch.setattr(store_module, "write_whole", real)
        other = EmbeddingStore.open_or_create(folder, EmbeddingSpec(encoder="b", dim=5))
        other.append(["k"], make_vectors(1), [1.0])
        real(path, write, **options)

    monkeypatch.setattr(store_module, "write_whole", late)
    with pytest.raises(StoreError, match=r"holds embeddings of b .*, these would be of a "):
        EmbeddingStore.open_or_create(folder, EmbeddingSpec(encoder="a", dim=5))


def test_the_same_weights_under_another_name_are_accepted(store: EmbeddingStore) -> None:
    again = EmbeddingStore.open_or_create(store.path, replace(SPEC, encoder="my_folder"))
    assert again.spec.encoder == "emotion2vec_base"
    assert np.array_equal(again.read(KEYS), make_vectors(7))


def test_parts_without_a_spec_are_left_alone(store: EmbeddingStore) -> None:
    (store.path / "spec.json").unlink()
    with pytest.raises(StoreError, match=rf"{store.path}: is no store \(spec\.json is missing\) and not empty; give"):
        EmbeddingStore.open_or_create(store.path, SPEC)
    assert len(parts_of(store)) == 3
    assert not (store.path / "spec.json").exists()


def test_a_file_in_the_place_of_the_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("mine")
    with pytest.raises(StoreError, match=r"store: is no store .*give --store another folder"):
        EmbeddingStore.open_or_create(tmp_path / "store", SPEC)
    assert (tmp_path / "store").read_text() == "mine"


def test_a_store_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(
        StoreError, match=r"file/store: cannot be made \(Not a directory\); give --store another folder"
    ):
        EmbeddingStore.open_or_create(tmp_path / "file" / "store", SPEC)


# --- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vectors", "problem"),
    [
        (np.array([[0, 1, np.nan, 3, 4]], np.float32), r"vectors \(1, 5\) are not 1 finite 5-d ones"),
        (np.array([[0, 1, np.inf, 3, 4]], np.float32), r"vectors \(1, 5\) are not 1 finite 5-d ones"),
        (np.zeros((1, 4), np.float32), r"vectors \(1, 4\) are not 1 finite 5-d ones"),
        (np.zeros((2, 5), np.float32), r"vectors \(2, 5\) are not 1 finite 5-d ones"),
        (np.zeros(5, np.float32), r"vectors \(5,\) are not 1 finite 5-d ones"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(store: EmbeddingStore, vectors: Any, problem: str) -> None:
    with pytest.raises(StoreError, match=problem):
        store.append(["k"], vectors, [1.0])
    assert store.keys() == set(KEYS)


def test_a_full_disk_leaves_earlier_parts_and_no_half_file(
    store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_up(table: pa.Table, file: Path, **options: object) -> NoReturn:
        file.write_bytes(b"PAR1 half")
        raise OSError(errno.ENOSPC, "whatever the library calls it")

    before = sorted(store.path.iterdir())
    with monkeypatch.context() as full:
        full.setattr(store_module.pq, "write_table", fill_up)
        with pytest.raises(StoreError, match=r"part-.*\(No space left on device\); what was finished before is kept"):
            store.append(["k"], make_vectors(1), [1.0])
    assert sorted(store.path.iterdir()) == before
    assert np.array_equal(store.read(KEYS), make_vectors(7))
    store.append(["k"], make_vectors(1), [1.0])
    assert store.keys() == {*KEYS, "k"}


def test_temporary_files_are_ignored(store: EmbeddingStore) -> None:
    for name in (".part-1.parquet.77.tmp", "part-1.parquet.tmp", ".part-1.parquet"):
        (store.path / name).write_bytes(b"half a part")
    assert EmbeddingStore.open_or_create(store.path, SPEC).keys() == set(KEYS)
    assert np.array_equal(store.read(KEYS), make_vectors(7))


WRITER = """
import sys
from pathlib import Path
import numpy as np
from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.embedding.store import EmbeddingStore

name, folder = sys.argv[1], Path(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
store = EmbeddingStore.open_or_create(folder, EmbeddingSpec(encoder="x", dim=5))
for number in range(20):
    keys = [f"{name}-{number}", f"both-{number}"]
    store.append(keys, np.full((2, 5), number, np.float32), [1.0, 1.0])
    assert set(keys) <= store.keys()
"""


def test_two_writers_at_once_do_not_collide(tmp_path: Path, child_environment: dict[str, str]) -> None:
    folder = tmp_path / "store"
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, name, str(folder)], env=child_environment, **pipes)
        for name in ("one", "two")
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert (writer.returncode, errors) == (0, "")
    store = EmbeddingStore.open(folder)
    names = [f"{name}-{number}" for number in range(20) for name in ("one", "two", "both")]
    assert store.keys() == set(names)
    assert store.read(names)[:, 4].tolist() == [float(number) for number in range(20) for _ in range(3)]
    assert {path.suffix for path in folder.iterdir()} == {".json", ".parquet"}
