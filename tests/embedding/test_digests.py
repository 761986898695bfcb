import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from emoji_lightning.audio import audio_key, segment_key
from emoji_lightning.embedding import digests
from emoji_lightning.embedding.digests import DigestCache, FileDigest, manifest_keys
from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.errors import AudioError
from emoji_lightning.manifest import Manifest, read_manifest


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore.open_or_create(tmp_path / "store", EmbeddingSpec(encoder="x", dim=2))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files in the order in which they are hashed."""
    names: list[str] = []

    def count(path: Path, *times: Any) -> str:
        names.append(Path(path).name)
        return audio_key(path, *times)

    monkeypatch.setattr(digests, "audio_key", count)
    return names


def digests_of(manifest: Manifest) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in manifest.audio_paths()]


def test_keys_are_the_digests_of_the_rows_files(store: EmbeddingStore, corpus: Path) -> None:
    manifest = read_manifest(corpus)
    assert manifest_keys(manifest, store) == digests_of(manifest)
    assert manifest_keys(manifest.select([5, 0, 5]), store) == [digests_of(manifest)[row] for row in (5, 0, 5)]


def test_a_file_is_hashed_once_for_all_runs(store: EmbeddingStore, corpus: Path, hashed: list[str]) -> None:
    first = manifest_keys(read_manifest(corpus), store)
    assert sorted(hashed) == [f"{number:02d}.wav" for number in range(12)]
    assert manifest_keys(read_manifest(corpus), store) == first
    assert len(hashed) == 12


def test_a_file_with_other_content_is_hashed_again(
    store: EmbeddingStore, corpus: Path, hashed: list[str], write_tone: Callable[..., Path]
) -> None:
    first = manifest_keys(read_manifest(corpus), store)
    write_tone(corpus.parent / "audio" / "03.wav", frequency=999)  # the same size, another time
    hashed.clear()
    second = manifest_keys(read_manifest(corpus), store)
    assert hashed == ["03.wav"]
    assert [row for row in range(12) if first[row] != second[row]] == [3]
    assert second == digests_of(read_manifest(corpus))


@pytest.mark.parametrize("what", ["size", "time"])
def test_size_or_time_alone_betray_a_change(
    store: EmbeddingStore, corpus: Path, write_tone: Callable[..., Path], what: str
) -> None:
    file = corpus.parent / "audio" / "03.wav"
    manifest_keys(read_manifest(corpus), store)
    status = file.stat()
    write_tone(file, frequency=999, seconds=0.3 if what == "time" else 0.4)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + (what == "time")))
    assert manifest_keys(read_manifest(corpus), store) == digests_of(read_manifest(corpus))


def test_audio_that_was_moved_and_renamed_is_found_by_its_content(
    store: EmbeddingStore, corpus: Path, tmp_path: Path, rewrite: Callable[..., Manifest]
) -> None:
    before = manifest_keys(read_manifest(corpus), store)
    shutil.copytree(corpus.parent / "audio", tmp_path / "elsewhere" / "new names")
    lines = [f"new names/{number:02d}.wav" for number in range(12)]
    moved = rewrite(tmp_path / "elsewhere" / "list.csv", "audio", *lines)
    assert manifest_keys(moved, store) == before


def test_the_store_alone_still_gives_keys(
    store: EmbeddingStore, corpus: Path, tmp_path: Path, hashed: list[str]
) -> None:
    before = manifest_keys(read_manifest(corpus), store)
    shutil.rmtree(corpus.parent / "audio")
    copy = EmbeddingStore.open(Path(shutil.move(store.path, tmp_path / "copied")))
    hashed.clear()
    assert manifest_keys(read_manifest(corpus), copy) == before
    assert hashed == []


def test_two_corpora_with_the_same_names_never_get_each_other_s_keys(
    store: EmbeddingStore, tmp_path: Path, rewrite: Callable[..., Manifest], write_tone: Callable[..., Path]
) -> None:
    manifests, expected = [], []
    for number, corpus in enumerate(("one", "two")):
        write_tone(tmp_path / corpus / "audio" / "same.wav", frequency=200)
        write_tone(tmp_path / corpus / "audio" / "other.wav", frequency=300 + 100 * number)
        manifests.append(rewrite(tmp_path / corpus / "list.csv", "audio", "audio/same.wav", "audio/other.wav"))
        expected.append(digests_of(manifests[-1]))
        assert manifest_keys(manifests[-1], store) == expected[-1]
    for corpus in ("one", "two"):
        shutil.rmtree(tmp_path / corpus / "audio")
    assert [manifest_keys(manifest, store) for manifest in manifests] == expected  # on the machine that made them
    for corpus in ("one", "two"):
        shutil.move(tmp_path / corpus, tmp_path / f"copy of {corpus}")
        copied = read_manifest(tmp_path / f"copy of {corpus}" / "list.csv")
        assert manifest_keys(copied, store) == [expected[0][0], None]
    with pytest.raises(AudioError, match=r"other\.wav: no such file, and the store knows 2 others named 'audio/other"):
        DigestCache(store).digest("audio/other.wav", tmp_path / "audio" / "other.wav", by_name=True)


def test_corpora_that_share_names_are_not_hashed_again_and_again(
    store: EmbeddingStore,
    tmp_path: Path,
    hashed: list[str],
    rewrite: Callable[..., Manifest],
    write_tone: Callable[..., Path],
) -> None:
    for number, corpus in enumerate(("one", "two", "one", "two")):
        if number < 2:
            write_tone(tmp_path / corpus / "a.wav", frequency=200 + 100 * number)
        manifest_keys(rewrite(tmp_path / corpus / "list.csv", "audio", "a.wav"), store)
    assert hashed == ["a.wav", "a.wav"]


def test_the_store_does_not_name_the_folders_of_the_machine(store: EmbeddingStore, corpus: Path) -> None:
    manifest_keys(read_manifest(corpus), store)
    content = (store.path / "files.arrow").read_bytes()
    assert b"audio/00.wav" in content
    assert str(corpus.parent).encode() not in content
    assert corpus.parent.name.encode() not in content


def test_audio_that_is_neither_here_nor_known_has_no_key(
    store: EmbeddingStore, corpus: Path, rewrite: Callable[..., Manifest]
) -> None:
    keys = manifest_keys(rewrite(corpus, "audio", "audio/00.wav", "audio/gone.wav", "audio"), store)
    assert keys == [audio_key(corpus.parent / "audio" / "00.wav"), None, None]
    with pytest.raises(AudioError, match=r"gone\.wav: no such file"):
        DigestCache(store).digest("audio/gone.wav", corpus.parent / "audio" / "gone.wav")


def test_segments_of_one_file_share_one_hashing(
    store: EmbeddingStore, corpus: Path, hashed: list[str], rewrite: Callable[..., Manifest]
) -> None:
    lines = ["audio,start,end", "audio/00.wav,0.1,0.2", "audio/00.wav,,0.2", "audio/00.wav,0.1,", "audio/00.wav,,"]
    digest = audio_key(corpus.parent / "audio" / "00.wav")
    keys = manifest_keys(rewrite(corpus, *lines), store)
    times = [(0.1, 0.2), (None, 0.2), (0.1, None), (None, None)]
    assert keys == [segment_key(digest, *pair) for pair in times]
    assert len(set(keys)) == 4
    assert hashed == ["00.wav"]


# --- files.arrow -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"not arrow", b"ARROW1\0\0", b"ARROW1\0\0" + bytes(range(256)) + b"ARROW1"])
def test_a_damaged_cache_is_made_anew(store: EmbeddingStore, corpus: Path, hashed: list[str], content: bytes) -> None:
    manifest = read_manifest(corpus)
    before = manifest_keys(manifest, store)
    (store.path / "files.arrow").write_bytes(content)
    hashed.clear()
    assert manifest_keys(manifest, store) == before
    assert len(hashed) == 12
    assert manifest_keys(manifest, store) == before
    assert len(hashed) == 12


def test_flipped_bits_in_the_cache_do_not_stop_the_program(store: EmbeddingStore, corpus: Path) -> None:
    manifest = read_manifest(corpus)
    manifest_keys(manifest, store)
    file = store.path / "files.arrow"
    whole, rng = file.read_bytes(), np.random.default_rng(1)
    for _ in range(150):
        damaged = bytearray(whole)
        for position in rng.integers(0, len(damaged), size=5):
            damaged[position] = rng.integers(0, 256)
        file.write_bytes(damaged)
        DigestCache(store)


def test_a_cache_of_other_columns_is_made_anew(store: EmbeddingStore, corpus: Path) -> None:
    table = pa.table({"audio": ["audio/00.wav"], "sha": ["ab"]})
    with pa.OSFile(str(store.path / "files.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    assert manifest_keys(read_manifest(corpus), store) == digests_of(read_manifest(corpus))


def test_other_programs_do_not_take_the_cache_for_a_part(store: EmbeddingStore, corpus: Path) -> None:
    manifest_keys(read_manifest(corpus), store)
    assert [path.name for path in store.path.iterdir() if path.suffix != ".json"] == ["files.arrow"]
    with pa.ipc.open_file(store.path / "files.arrow") as reader:
        table = reader.read_all()
    assert table.column_names == ["audio", "place", "size", "mtime_ns", "digest"]
    assert table["audio"].to_pylist() == [f"audio/{number:02d}.wav" for number in range(12)]


def test_what_two_programs_found_out_is_merged(store: EmbeddingStore) -> None:
    one, two = DigestCache(store), DigestCache(store)
    nowhere = Path("nowhere")
    one.remember("a.wav", nowhere, FileDigest(1, 2, "aa"))
    two.remember("b.wav", nowhere, FileDigest(3, 4, "bb"))
    one.save()
    two.save()
    assert [DigestCache(store).digest(name, nowhere, by_name=True) for name in ("a.wav", "b.wav")] == ["aa", "bb"]


@pytest.mark.parametrize("error", [PermissionError("read only"), OSError(28, "No space left on device")])
def test_where_the_cache_cannot_be_written_keys_are_given_all_the_same(
    store: EmbeddingStore, corpus: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def refuse(*ignored: Any) -> None:
        raise error

    monkeypatch.setattr(digests, "write_whole", refuse)
    assert manifest_keys(read_manifest(corpus), store) == digests_of(read_manifest(corpus))
    assert not (store.path / "files.arrow").exists()


def test_nothing_new_writes_nothing(store: EmbeddingStore, corpus: Path) -> None:
    manifest_keys(read_manifest(corpus), store)
    before = (store.path / "files.arrow").stat()
    manifest_keys(read_manifest(corpus), store)
    after = (store.path / "files.arrow").stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)
