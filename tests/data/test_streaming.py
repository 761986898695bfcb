"""A corpus larger than memory gives every utterance once an epoch, well mixed, and trains as one in memory does."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from emoji_lightning.data import streaming
from emoji_lightning.data.datamodule import EmojiDataModule
from emoji_lightning.data.streaming import Pool, Shuffle, StreamedBatches, cut, read_ahead, take_share
from emoji_lightning.embedding import stored
from emoji_lightning.embedding.joining import locate_embeddings
from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.embedding.stored import StoredEmbeddings
from emoji_lightning.errors import ConfigError, StoreError
from emoji_lightning.manifest import read_manifest

DIM, NUM, PER_PART, PER_GROUP = 4, 1000, 100, 20
TINY_GIB = 1e-9 * NUM  # 268 embeddings of 4 dimensions; the pool holds 67


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store sorted by label, each embedding its own row, and a manifest whose rows come in another order."""
    folder = tmp_path_factory.mktemp("corpus")
    store = EmbeddingStore.open_or_create(folder / "store", EmbeddingSpec(encoder="theirs", dim=DIM))
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(store_options(), "row_group_size", PER_GROUP)
        for start in range(0, NUM, PER_PART):
            rows = range(start, start + PER_PART)
            vectors = np.array([[row, -row, row % 7, label_of(row)] for row in rows], dtype=np.float32)
            store.append([f"k{row}" for row in rows], vectors, [1.0] * PER_PART, ids=[f"u{row}" for row in rows])
    order = np.random.default_rng(0).permutation(NUM).tolist()
    splits = ["dev" if place < 100 else "test" if place < 200 else "train" for place in range(NUM)]
    lines = [f"u{row},{'abcde'[label_of(row)]},{split}" for row, split in zip(order, splits, strict=True)]
    (folder / "labels.csv").write_text("\n".join(["id,label,split", *lines]) + "\n")
    return folder


def store_options() -> dict[str, Any]:
    from emoji_lightning.embedding.store import WRITTEN

    return WRITTEN


def label_of(row: int) -> int:
    return row * 5 // NUM


def located(folder: Path) -> StoredEmbeddings:
    manifest = read_manifest(folder / "labels.csv")
    return locate_embeddings(manifest, EmbeddingStore.open(folder / "store"))[1]


def module(folder: Path, **options: Any) -> EmojiDataModule:
    return EmojiDataModule(str(folder / "labels.csv"), str(folder / "store"), **{"memory_gib": TINY_GIB} | options)


def stream(folder: Path, *, epoch: int = 0, seed: int = 0, pool: int = 100, **options: Any) -> StreamedBatches:
    words: dict[str, Any] = {"batch_size": 32, "shuffle": Shuffle(seed, pool * DIM * 4, lambda: epoch)} | options
    return StreamedBatches(located(folder), np.arange(NUM), np.arange(200, NUM), **words)


def rows_of(batches: Iterator[Any] | DataLoader[Any]) -> list[list[int]]:
    return [batch.row.tolist() for batch in batches]


def test_embeddings_in_the_store_are_those_that_are_read_into_memory(folder: Path) -> None:
    inside, outside = module(folder, memory_gib=1.0).corpus, module(folder).corpus
    assert outside.is_streamed
    assert not inside.is_streamed
    assert list(outside.ids) == list(inside.ids)
    for name in ("labels", "splits"):
        np.testing.assert_array_equal(getattr(outside, name), getattr(inside, name))
    chosen = np.array([5, 900, 3, 17])
    np.testing.assert_array_equal(outside.embeddings[chosen], inside.embeddings[chosen])
    assert outside.embeddings.shape == inside.embeddings.shape == (NUM, DIM)


def test_keys_of_audio_files_find_the_same_embeddings_as_in_memory(tmp_path: Path) -> None:
    import soundfile

    from emoji_lightning.audio import audio_key
    from emoji_lightning.embedding.joining import join_embeddings

    store = EmbeddingStore.open_or_create(tmp_path / "store", EmbeddingSpec(encoder="logmel", dim=2))
    for number in range(3):
        soundfile.write(tmp_path / f"{number}.wav", np.full(500, number / 10), 16_000)
        store.append([audio_key(tmp_path / f"{number}.wav")], np.full((1, 2), number, np.float32), [0.1])
    (tmp_path / "labels.csv").write_text("id,audio,label\na,2.wav,a\nb,0.wav,b\nc,1.wav,a\nd,2.wav,b\ne,0.wav,a\n")
    manifest = read_manifest(tmp_path / "labels.csv")
    _, expected = join_embeddings(manifest, store)
    _, found = locate_embeddings(manifest, store)
    np.testing.assert_array_equal(found[np.arange(5)], expected)


@pytest.mark.parametrize("num_processes", [1, 2, 3, 7])
@pytest.mark.parametrize("batch_size", [1, 32, 400, 5000])
def test_processes_share_every_utterance_exactly_once_in_equally_many_batches(
    folder: Path, num_processes: int, batch_size: int
) -> None:
    shares = [
        stream(folder, rank=rank, num_processes=num_processes, batch_size=batch_size) for rank in range(num_processes)
    ]
    batches = [rows_of(iter(share)) for share in shares]
    assert sorted(itertools.chain(*itertools.chain(*batches))) == list(range(200, NUM))
    assert {len(each) for each in batches} == {len(share) for share in shares} == {len(shares[0])}
    assert all(len(batch) == batch_size for each in batches for batch in each[:-1])
    assert all(len(each[-1]) <= batch_size + 1 for each in batches)


def test_neighbours_in_a_row_group_part_even_where_the_pool_holds_one_utterance(folder: Path) -> None:
    places = located(folder).places
    order = places[list(itertools.chain(*rows_of(iter(stream(folder, pool=1)))))]
    assert (np.diff(order) == 1).mean() < 0.15, "in the order of the store almost all would follow each other"


def test_workers_of_a_loader_share_every_utterance_exactly_once(folder: Path) -> None:
    shares = [stream(folder, rank=rank, num_processes=2) for rank in range(2)]
    loaders = [DataLoader(share, batch_size=None, num_workers=2, collate_fn=_as_is) for share in shares]
    rows = [row for loader in loaders for batch in rows_of(loader) for row in batch]
    assert sorted(rows) == list(range(200, NUM))


def _as_is(batch: Any) -> Any:
    return batch


def test_a_process_reads_only_its_own_row_groups(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = StoredEmbeddings.read_group
    monkeypatch.setattr(StoredEmbeddings, "read_group", lambda self, group: read.append(group) or real(self, group))
    for rank in range(2):
        rows_of(iter(stream(folder, rank=rank, num_processes=2)))
    num_groups = NUM // PER_GROUP
    assert set(read) == set(range(num_groups))
    assert len(read) <= num_groups + 1


def test_batches_hold_the_embedding_and_label_of_their_rows(folder: Path) -> None:
    expected = located(folder)[np.arange(NUM)]
    for batch in stream(folder):
        np.testing.assert_array_equal(batch.embedding.numpy(), expected[batch.row.numpy()])
        assert batch.label.tolist() == batch.row.tolist()


def test_the_order_follows_from_seed_and_epoch_alone(folder: Path) -> None:
    first = rows_of(iter(stream(folder, epoch=3)))
    assert rows_of(iter(stream(folder, epoch=3))) == first
    assert rows_of(iter(stream(folder, epoch=4))) != first
    assert rows_of(iter(stream(folder, epoch=3, seed=1))) != first


def test_without_shuffling_the_order_is_that_of_the_store(folder: Path) -> None:
    places = located(folder).places
    order = [places[row] for batch in rows_of(iter(stream(folder, shuffle=None))) for row in batch]
    assert order == sorted(order)


def test_the_pool_mixes_a_store_that_is_sorted_by_label(folder: Path) -> None:
    places = located(folder).places
    order = np.concatenate([places[batch] for batch in rows_of(iter(stream(folder, pool=400)))])
    labels = order * 5 // NUM
    shares = np.stack([(labels[:800].reshape(-1, 32) == label).mean(axis=1) for label in range(5)])
    # A full shuffle would give sqrt(0.2 * 0.8 / 32) = 0.071; batches of a sorted store are one label each: 0.4.
    assert shares.std() < 0.12
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.1


def test_no_more_is_held_than_the_pool(folder: Path) -> None:
    rng, held, most = np.random.default_rng(0), 0, 0
    pool = Pool(50, DIM, rng)

    def blocks() -> Iterator[Any]:
        nonlocal held, most
        for start in range(0, 600, 30):
            held += 30
            most = max(most, held)
            yield np.arange(start, start + 30), np.zeros((30, DIM), dtype=np.float32)

    mixed = []
    for rows, vectors in pool.mix(blocks()):
        held -= len(rows)
        mixed += rows.tolist()
        assert len(vectors) == len(rows)
    assert sorted(mixed) == list(range(600))
    assert most <= 50 + 30
    assert pool.vectors.nbytes == 50 * DIM * 4


def test_shares_and_batches_cut_blocks_where_they_must() -> None:
    blocks = [(7, np.arange(5)), (8, np.arange(5, 8)), (9, np.arange(8, 15))]
    shares = [list(take_share(blocks, 15, share=share, num_shares=4)) for share in range(4)]
    assert [[(group, rows.tolist()) for group, rows in share] for share in shares][:2] == [
        [(7, [0, 1, 2])],
        [(7, [3, 4]), (8, [5, 6])],
    ]
    pieces = [(rows, np.zeros((len(rows), 1), np.float32)) for _, rows in blocks]
    assert [rows.tolist() for rows, _ in cut(iter(pieces), 7, num_batches=2)] == [list(range(7)), list(range(7, 15))]


def test_reading_ahead_stops_with_its_reader_and_hands_on_errors() -> None:
    taken = []

    def numbers() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number
            if number == 500:
                raise StoreError("part-1: is damaged")

    reader = read_ahead(numbers(), depth=4)
    assert [next(reader) for _ in range(3)] == [0, 1, 2]
    reader.close()  # type: ignore[attr-defined]
    assert len(taken) <= 3 + 4 + 2
    with pytest.raises(StoreError, match="part-1: is damaged"):
        list(read_ahead(numbers(), depth=4))


def test_a_held_out_split_that_is_small_is_read_once_and_a_large_one_a_piece_at_a_time(folder: Path) -> None:
    small, large = module(folder, memory_gib=100 * DIM * 4 * 8 / 2**30), module(folder)
    expected = np.flatnonzero(large.corpus.splits == "dev").tolist()
    for data, is_streamed in ((small, False), (large, True)):
        assert data.corpus.is_streamed
        loader = data.val_dataloader()
        assert isinstance(loader.dataset, StreamedBatches) is is_streamed
        rows = []
        for batch in loader:
            rows += batch.row.tolist()
            np.testing.assert_array_equal(batch.embedding.numpy(), data.corpus.embeddings[batch.row.numpy()])
            np.testing.assert_array_equal(batch.label.numpy(), data.corpus.labels[batch.row.numpy()])
        assert sorted(rows) == expected


def test_more_processes_than_utterances_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"800 utterances for 801 processes; lower --trainer\.devices"):
        stream(folder, num_processes=801)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"balance": "sampler"}, r"--data\.balance sampler needs all embeddings in memory.*--data\.balance weights"),
        ({"replay": "labels.csv"}, r"--data\.replay needs all embeddings in memory.*--data\.memory_gib"),
        ({"memory_gib": 0.0}, r"--data\.memory_gib is 0\.0; expected gibibytes above 0"),
    ],
)
def test_what_needs_all_embeddings_at_once_is_refused(folder: Path, options: dict[str, Any], message: str) -> None:
    if "replay" in options:
        options = {"replay": str(folder / "labels.csv")}
    with pytest.raises(ConfigError, match=message):
        _ = module(folder, **options).corpus


def test_near_duplicates_of_a_large_corpus_are_looked_for_before(folder: Path, tmp_path: Path) -> None:
    text = (folder / "labels.csv").read_text().replace(",split", "").replace(",train", "")
    (tmp_path / "labels.csv").write_text(text.replace(",dev", "").replace(",test", ""))
    data = EmojiDataModule(
        str(tmp_path / "labels.csv"), str(folder / "store"), memory_gib=TINY_GIB, group="near_duplicate"
    )
    with pytest.raises(ConfigError, match="write the splits with `emoji-lightning split --group near_duplicate`"):
        _ = data.corpus


def test_row_groups_that_are_too_large_are_named_with_the_cure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MAX_GROUP_BYTES", PER_GROUP * DIM * 4 - 1)
    with pytest.raises(StoreError, match=r"part-\w+\.parquet: row group 0 has 20 rows; .* at most 19, better 512"):
        located(folder)


def test_class_weights_of_a_streamed_corpus_are_those_in_memory(folder: Path) -> None:
    assert (
        module(folder, balance="weights").class_weights == module(folder, balance="weights", memory_gib=1).class_weights
    )


def test_the_batches_that_wait_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    depths = []
    monkeypatch.setattr(streaming, "AHEAD_BYTES", 3 * 32 * DIM * 4)
    real = streaming.read_ahead
    monkeypatch.setattr(streaming, "read_ahead", lambda items, depth: depths.append(depth) or real(items, depth=depth))
    rows_of(iter(stream(folder)))
    assert depths == [3]


def test_rows_are_tensors_that_a_model_takes(folder: Path) -> None:
    batch = next(iter(module(folder).train_dataloader()))
    assert (batch.embedding.dtype, batch.label.dtype, batch.row.dtype) == (torch.float32, torch.int64, torch.int64)
