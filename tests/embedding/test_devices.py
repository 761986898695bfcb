import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any, NoReturn

import numpy as np
import pytest
import soundfile

from emoji_lightning.cli.notices import quiet_lightning
from emoji_lightning.embedding import devices, extract
from emoji_lightning.embedding import store as store_module
from emoji_lightning.embedding.devices import ExtractionModule, Outcome, embed_on_devices, share
from emoji_lightning.embedding.encoder import Encoder
from emoji_lightning.embedding.extract import EmbedReport, Extraction, embed_manifest
from emoji_lightning.embedding.failures import Failure
from emoji_lightning.embedding.long_audio import LongAudio
from emoji_lightning.embedding.reading import Utterance, list_utterances
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.errors import AudioError, EncoderError, StoreError
from emoji_lightning.manifest import read_manifest

WORLDS = (1, 2, 3, 7)
Times = tuple[float | None, float | None]


def make_utterances(paths: list[Path], times: Times = (None, None)) -> list[Utterance]:
    return [Utterance(row, f"u{row}", path.name, path, *times) for row, path in enumerate(paths)]


def owner(utterance: Utterance, world_size: int) -> int:
    (rank,) = [rank for rank in range(world_size) if share([utterance], rank, world_size)]
    return rank


def write_bytes(folder: Path, number: int) -> list[Path]:
    folder.mkdir()
    contents = np.random.default_rng(0).integers(0, 256, (number, 9_000), dtype=np.uint8)
    for at, content in enumerate(contents):
        (folder / f"{at}.wav").write_bytes(content.tobytes())
    return [folder / f"{at}.wav" for at in range(number)]


# --- whose utterance it is -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world_size", WORLDS)
def test_each_utterance_belongs_to_one_process_and_all_get_about_as_many(tmp_path: Path, world_size: int) -> None:
    utterances = make_utterances(write_bytes(tmp_path / "audio", 210))
    shares = [share(utterances, rank, world_size) for rank in range(world_size)]
    assert sorted(each.row for one in shares for each in one) == list(range(210))
    assert all([each.row for each in one] == sorted(each.row for each in one) for one in shares)
    fair = 210 / world_size
    assert all(fair / 2 < len(one) < 2 * fair for one in shares)


@pytest.mark.parametrize("world_size", WORLDS)
def test_copies_belong_to_the_process_of_the_original(tmp_path: Path, world_size: int) -> None:
    originals = write_bytes(tmp_path / "audio", 20)
    copies = [Path(shutil.copy(path, path.with_name(f"copy of {path.name}"))) for path in originals]
    for age, copy in enumerate(copies):
        os.utime(copy, (1_000 * age, 1_000 * age))
    owners = [owner(each, world_size) for each in make_utterances([*originals, *reversed(copies)])]
    assert owners[:20] == owners[20:][::-1]
    assert set(owners) == set(range(world_size))


@pytest.mark.parametrize("world_size", WORLDS)
def test_segments_of_a_recording_are_spread(tmp_path: Path, world_size: int) -> None:
    (recording,) = write_bytes(tmp_path / "audio", 1)
    utterances = [
        Utterance(row, f"u{row}", "0.wav", recording, start, start + length)
        for row, (start, length) in enumerate((start, length) for start in range(25) for length in (0.5, 2.0))
    ]
    counts = [len(share(utterances, rank, world_size)) for rank in range(world_size)]
    assert sum(counts) == 50
    assert min(counts) > 0
    again = [Utterance(each.row + 50, "again", "0.wav", recording, each.start, each.end) for each in utterances]
    assert [owner(each, world_size) for each in again] == [owner(each, world_size) for each in utterances]


@pytest.mark.parametrize(("one", "other"), [((None, None), (0.0, None)), ((None, 0.5), (0.0, 0.5))])
def test_a_start_at_zero_and_none_are_the_same_utterance(tmp_path: Path, one: Times, other: Times) -> None:
    (recording,) = write_bytes(tmp_path / "audio", 1)
    first, second = (make_utterances([recording], times)[0] for times in (one, other))
    assert [owner(first, world_size) for world_size in range(1, 9)] == [owner(second, n) for n in range(1, 9)]


def test_what_cannot_be_read_is_somebodys_and_makes_nobody_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readable, forbidden = write_bytes(tmp_path / "audio", 2)
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    names = ("pipe.wav", "loop.wav", "none.wav", "audio", "nul\0.wav", "x" * 300)
    utterances = make_utterances([readable, forbidden, *(tmp_path / name for name in names)])
    real = devices._sample

    def refuse(path: Path) -> bytes:
        if path == forbidden:  # root may read everything
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(devices, "_sample", refuse)
    shares: list[list[Utterance]] = []
    thread = Thread(target=lambda: shares.extend(share(utterances, rank, 3) for rank in range(3)), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert sorted(each.row for one in shares for each in one) == list(range(8))


def test_what_the_store_holds_plays_no_part(corpus: Path, tmp_path: Path, encoder: Any) -> None:
    utterances = list_utterances(read_manifest(corpus))
    before = [share(utterances, rank, 3) for rank in range(3)]
    store = EmbeddingStore.open_or_create(tmp_path / "store", encoder.spec)
    embed_manifest(read_manifest(corpus), encoder, store)
    assert [share(utterances, rank, 3) for rank in range(3)] == before


# --- Lightning's loop, in this process -------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path, encoder: Encoder) -> EmbeddingStore:
    return EmbeddingStore.open_or_create(tmp_path / "store", encoder.spec)


@pytest.fixture
def embed(encoder: Encoder, store: EmbeddingStore) -> Callable[..., EmbedReport | None]:
    """Embed a manifest with Lightning's loop and the counting encoder."""
    quiet_lightning()

    def run(manifest: Path, load: Callable[[str], Encoder] = lambda _: encoder, **options: Any) -> EmbedReport | None:
        return embed_on_devices(read_manifest(manifest), load, lambda _: store, accelerator="cpu", devices=1, **options)

    return run


def fill_up(path: Path, write: Any) -> NoReturn:
    raise OSError(28, "No space left on device")


def read_failed(store: Path) -> list[tuple[str, str]]:
    with (store / "failed.csv").open(encoding="utf-8", newline="") as file:
        return [(row["line"], row["audio"]) for row in csv.DictReader(file)]


def test_lightnings_loop_does_what_the_plain_one_does(
    embed: Callable[..., EmbedReport], corpus: Path, store: EmbeddingStore, encoder: Any, tmp_path: Path
) -> None:
    devices_seen: list[str] = []
    (corpus.parent / "audio" / "07.wav").write_text("no audio")
    long_audio = LongAudio("chunk", 1)
    soundfile.write(corpus.parent / "audio" / "02.wav", np.sin(np.arange(40_000) ** 1.2), 16_000)
    report = embed(
        corpus, load=lambda device: devices_seen.append(device) or encoder, max_failed=1, long_audio=long_audio
    )
    plain = EmbeddingStore.open_or_create(tmp_path / "plain", encoder.spec)
    expected = embed_manifest(read_manifest(corpus), encoder, plain, max_failed=1, long_audio=long_audio)
    assert devices_seen == ["cpu"]
    assert (report.num_utterances, report.num_new, report.num_known) == (12, 11, 0)
    assert report.failures == expected.failures
    assert report.duration_s == pytest.approx(expected.duration_s)
    assert report.elapsed_s > 0
    keys = sorted(plain.keys())
    assert store.keys() == set(keys)
    assert np.array_equal(store.read(keys), plain.read(keys))
    assert read_failed(store.path) == read_failed(plain.path) == [("9", "audio/07.wav")]
    again = embed(corpus, max_failed=1)
    assert (again.num_new, again.num_known, len(again.failures)) == (0, 11, 1)


def test_a_full_disk_is_one_error_and_stops_nobody(
    embed: Callable[..., EmbedReport],
    corpus: Path,
    store: EmbeddingStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store_module, "write_whole", fill_up)
    monkeypatch.setattr(extract, "PART_SIZE", 5)
    gathered: list[Outcome] = []
    elsewhere = Outcome(EmbedReport(store.path, 3, 2, 0, 1.5, 9.0, [Failure(4, "x", "audio/04.wav", "is gone")]))

    def gather(outcome: Outcome) -> list[Outcome]:
        gathered.append(outcome)
        return [elsewhere, outcome]

    monkeypatch.setattr(devices, "_gather", gather)
    (corpus.parent / "audio" / "01.wav").write_text("no audio")
    with pytest.raises(StoreError, match=r"cannot be written \(No space left on device\); what was finished before"):
        embed(corpus)
    assert len(gathered) == 1  # it was there to meet the others
    assert isinstance(gathered[0].error, StoreError)
    assert read_failed(store.path) == [("3", "audio/01.wav"), ("6", "audio/04.wav")]
    assert store.keys() == set()


def test_the_last_part_may_be_the_one_that_fills_the_disk(
    embed: Callable[..., EmbedReport], corpus: Path, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(store_module, "write_whole", fill_up)
        with pytest.raises(StoreError, match=r"part-.*cannot be written \(No space left on device\)"):
            embed(corpus)
    assert embed(corpus).num_new == 12


def test_reports_of_all_processes_become_one(
    embed: Callable[..., EmbedReport], corpus: Path, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Outcome(EmbedReport(store.path, 9, 2, 3, 3_600.0, 9_999.0, [Failure(0, "x", "a.wav", "is gone")]))
    monkeypatch.setattr(devices, "_gather", lambda outcome: [elsewhere, outcome])
    (corpus.parent / "audio" / "11.wav").unlink()
    with pytest.raises(AudioError, match=r"^labels\.csv:2: is gone\n.*11\.wav: no such file\n2 of 12 utterances"):
        embed(corpus, max_failed=1)
    report = embed(corpus, max_failed=2)
    assert (report.num_utterances, report.num_new, report.num_known) == (12, 2, 11 + 3)
    assert (report.duration_s, report.elapsed_s) == (3_600.0, 9_999.0)
    assert [failure.row for failure in report.failures] == [0, 11]


def test_an_encoder_that_cannot_be_loaded_is_its_own_error(
    embed: Callable[..., EmbedReport], corpus: Path, store: EmbeddingStore
) -> None:
    def refuse(device: str) -> NoReturn:
        raise EncoderError(f"no model for {device}")

    with pytest.raises(EncoderError, match=r"^no model for cpu$"):
        embed(corpus, load=refuse)
    assert store.keys() == set()


def test_an_error_before_the_run_starts_is_the_one_that_is_raised(
    embed: Callable[..., EmbedReport], corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(module: ExtractionModule) -> NoReturn:
        raise MemoryError("no room for a loader")  # as where another process ends while this one waits for it

    monkeypatch.setattr(ExtractionModule, "predict_dataloader", refuse)
    with pytest.raises(MemoryError, match=r"^no room for a loader$"):
        embed(corpus)


def test_an_unforeseen_error_keeps_what_was_finished(
    embed: Callable[..., EmbedReport], corpus: Path, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, kept = Extraction.keep, iter(range(100))

    def break_later(extraction: Extraction, embedded: Any) -> None:
        if next(kept) == 7:
            raise MemoryError("no room")
        real(extraction, embedded)

    monkeypatch.setattr(Extraction, "keep", break_later)
    with pytest.raises(RuntimeError, match=r"MemoryError: no room"):
        embed(corpus)
    assert len(store.keys()) == 7
