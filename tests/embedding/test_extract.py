import csv
import hashlib
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from emoji_lightning.audio import audio_key, load_waveform, segment_key
from emoji_lightning.embedding import extract, failures, reading
from emoji_lightning.embedding import store as store_module
from emoji_lightning.embedding.digests import manifest_keys
from emoji_lightning.embedding.encoder import Encoder
from emoji_lightning.embedding.extract import EmbedReport, embed_manifest
from emoji_lightning.embedding.logmel import LogMelEncoder
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.errors import AudioError, ManifestError, StoreError
from emoji_lightning.manifest import Manifest, read_manifest

Embed = Callable[..., EmbedReport]


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore.open_or_create(tmp_path / "store", LogMelEncoder().spec)


@pytest.fixture
def embed(encoder: Encoder, store: EmbeddingStore) -> Embed:
    """Embed a manifest, given as file or as it is, into the store with the counting encoder."""

    def run(manifest: Path | Manifest, **options: Any) -> EmbedReport:
        table = manifest if isinstance(manifest, Manifest) else read_manifest(manifest)
        return embed_manifest(table, encoder, store, **options)

    return run


def encode(path: Path, start: float | None = None, end: float | None = None) -> NDArray[np.float32]:
    return LogMelEncoder().encode(load_waveform(path, start=start, end=end))


def vectors_of(manifest: Path, store: EmbeddingStore) -> NDArray[np.float32]:
    keys = manifest_keys(read_manifest(manifest), store)
    assert None not in keys
    return store.read(keys)  # type: ignore[arg-type]


def read_failed(store: EmbeddingStore) -> list[dict[str, str]]:
    with (store.path / "failed.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def parts_of(store: EmbeddingStore) -> list[Path]:
    return sorted(store.path.glob("part-*.parquet"))


# --- what is done ----------------------------------------------------------------------------------------------------


def test_every_row_gets_the_vector_of_its_audio(embed: Embed, corpus: Path, store: EmbeddingStore) -> None:
    report = embed(corpus)
    expected = np.stack([encode(path) for path in read_manifest(corpus).audio_paths()])
    assert np.array_equal(vectors_of(corpus, store), expected)
    assert (report.num_utterances, report.num_new, report.num_known, report.failures) == (12, 12, 0, [])
    assert report.duration_s == pytest.approx(12 * 0.3)
    assert f"{store.path}: 12 embedded (0.00 h, " in report.summary()
    assert report.summary().endswith(" times real time), 0 there before, 0 failed")


def test_a_second_run_does_only_what_is_missing(
    embed: Embed, corpus: Path, store: EmbeddingStore, encoder: Any, write_tone: Callable[..., Path]
) -> None:
    embed(corpus)
    parts = {part: part.stat().st_mtime_ns for part in parts_of(store)}
    encoder.lengths.clear()
    report = embed(corpus)
    assert (encoder.lengths, report.num_new, report.num_known) == ([], 0, 12)
    assert report.summary() == f"{store.path}: 0 embedded (0.00 h), 12 there before, 0 failed"
    write_tone(corpus.parent / "audio" / "new.wav", frequency=1_000, seconds=0.5)
    with corpus.open("a") as file:
        file.write("audio/new.wav,joy\n")
    report = embed(corpus)
    assert (encoder.lengths, report.num_new, report.num_known) == ([8_000], 1, 12)
    assert {part: part.stat().st_mtime_ns for part in parts_of(store) if part in parts} == parts


def test_a_change_of_a_file_is_embedded(
    embed: Embed, corpus: Path, store: EmbeddingStore, write_tone: Callable[..., Path]
) -> None:
    embed(corpus)
    changed = write_tone(corpus.parent / "audio" / "05.wav", frequency=1_500)
    assert embed(corpus).num_new == 1
    assert np.array_equal(vectors_of(corpus, store)[5], encode(changed))


def test_byte_identical_files_are_embedded_once(
    embed: Embed, corpus: Path, store: EmbeddingStore, encoder: Any, rewrite: Callable[..., Manifest]
) -> None:
    shutil.copy(corpus.parent / "audio" / "00.wav", corpus.parent / "copy.wav")
    lines = ["audio/00.wav", "copy.wav", "audio/01.wav", "audio/00.wav"]
    lines = ["id,audio", *(f"row{number},{line}" for number, line in enumerate(lines))]
    report = embed(rewrite(corpus, *lines))
    assert (len(encoder.lengths), report.num_new, report.num_known) == (2, 2, 2)
    vectors = vectors_of(corpus, store)
    assert np.array_equal(vectors[1], vectors[0])
    assert np.array_equal(vectors[3], vectors[0])
    assert sum(len(store_module.pq.read_table(part)) for part in parts_of(store)) == 2


def test_relabelled_and_moved_audio_needs_nothing_new(
    embed: Embed, corpus: Path, store: EmbeddingStore, encoder: Any, tmp_path: Path, rewrite: Callable[..., Manifest]
) -> None:
    embed(corpus)
    expected = vectors_of(corpus, store)
    encoder.lengths.clear()
    corpus.write_text(corpus.read_text().replace(",joy", ",anger"))
    assert embed(corpus).num_new == 0
    shutil.move(corpus.parent / "audio", tmp_path / "moved")
    lines = [f"moved/{number:02d}.wav,😂" for number in reversed(range(12))]
    rewrite(tmp_path / "new.csv", "audio,label", *lines)
    assert embed(tmp_path / "new.csv").num_new == 0
    assert encoder.lengths == []
    assert np.array_equal(vectors_of(tmp_path / "new.csv", store), expected[::-1])


def test_segments_get_the_vectors_of_their_slices(
    embed: Embed, corpus: Path, store: EmbeddingStore, rewrite: Callable[..., Manifest]
) -> None:
    times = np.arange(48_000) / 24_000
    soundfile.write(corpus.parent / "long.wav", 0.3 * np.sin(2 * np.pi * (200 + 400 * times) * times), 24_000)
    pairs: list[tuple[float | None, float | None]] = [(0.0, 0.5), (0.5, 1.25), (1.25, None), (None, None), (None, 0.5)]
    texts = [",".join("" if time is None else str(time) for time in pair) for pair in pairs]
    rewrite(corpus, "id,audio,start,end", *(f"s{number},long.wav,{text}" for number, text in enumerate(texts)))
    report = embed(corpus)
    assert (report.num_new, report.num_known) == (4, 1)  # from 0 and from the beginning are the same
    expected = np.stack([encode(corpus.parent / "long.wav", *pair) for pair in pairs])
    assert np.array_equal(vectors_of(corpus, store), expected)
    assert len({vector.tobytes() for vector in expected}) == 4
    whole = load_waveform(corpus.parent / "long.wav")
    by_hand = LogMelEncoder().encode(whole[8_000:20_000])
    assert np.abs(by_hand - expected[1])[:128].max() < 0.05  # the mean; only the resampler's ends differ
    digest = hashlib.sha256((corpus.parent / "long.wav").read_bytes()).hexdigest()
    assert store.keys() == {segment_key(digest, *pair) for pair in pairs}


def test_parts_are_written_as_they_fill_up(
    embed: Embed, corpus: Path, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract, "PART_SIZE", 5)
    embed(corpus)
    lengths = sorted(len(store_module.pq.read_table(part)) for part in parts_of(store))
    assert lengths == [2, 5, 5]
    assert len(store.keys()) == 12


def test_a_slow_part_is_written_before_it_is_full(
    embed: Embed, corpus: Path, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count()
    monkeypatch.setattr(extract, "monotonic", lambda: 6.0 * next(ticks))
    embed(corpus)
    assert len(parts_of(store)) > 3


def test_a_clock_that_stands_still_does_no_harm(
    embed: Embed, corpus: Path, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract, "monotonic", lambda: 5.0)
    assert embed(corpus).summary() == f"{store.path}: 12 embedded (0.00 h), 0 there before, 0 failed"


def test_a_manifest_without_audio_is_refused(embed: Embed, corpus: Path, rewrite: Callable[..., Manifest]) -> None:
    with pytest.raises(ManifestError, match=r"labels\.csv: no column 'audio'"):
        embed(rewrite(corpus, "id,label", "a,joy"))


# --- audio that cannot be used ---------------------------------------------------------------------------------------


@pytest.fixture
def spoilt(corpus: Path) -> Path:
    """Rows 3 (line 5) and 7 (line 9) cannot be used: no samples enough, no audio at all."""
    soundfile.write(corpus.parent / "audio" / "03.wav", np.zeros(5), 16_000)
    (corpus.parent / "audio" / "07.wav").write_text("no audio")
    return corpus


def test_failures_are_listed_and_everything_else_is_stored(embed: Embed, spoilt: Path, store: EmbeddingStore) -> None:
    with pytest.raises(AudioError) as caught:
        embed(spoilt)
    short, text = str(caught.value).splitlines()[:2]
    assert short.startswith(f"labels.csv:5: {spoilt.parent}/audio/03.wav: 5 samples (0.312 ms), at least 400 (25 ms)")
    assert text == f"labels.csv:9: {spoilt.parent}/audio/07.wav: holds text ('no audio'...), not audio"
    assert "2 of 12 utterances have audio that cannot be used; all others are in the store" in str(caught.value)
    assert f"{store.path / 'failed.csv'}; correct them and run `embed` again, or allow them" in str(caught.value)
    failed = read_failed(store)
    assert list(failed[0]) == ["line", "id", "audio", "reason"]
    assert [(row["line"], row["id"], row["audio"]) for row in failed] == [
        ("5", "audio/03.wav", "audio/03.wav"),
        ("9", "audio/07.wav", "audio/07.wav"),
    ]
    assert [row["reason"] for row in failed] == [line.partition(": ")[2] for line in (short, text)]
    assert len(store.keys()) == 10


def test_the_list_of_failures_goes_when_they_are_cured(
    embed: Embed, spoilt: Path, store: EmbeddingStore, encoder: Any, write_tone: Callable[..., Path]
) -> None:
    with pytest.raises(AudioError, match=r"2 of 12 utterances"):
        embed(spoilt)
    write_tone(spoilt.parent / "audio" / "03.wav", frequency=700)
    with pytest.raises(AudioError, match=r"1 of 12 utterances"):
        embed(spoilt)
    assert [row["line"] for row in read_failed(store)] == ["9"]
    write_tone(spoilt.parent / "audio" / "07.wav", frequency=800)
    encoder.lengths.clear()
    report = embed(spoilt)
    assert (len(encoder.lengths), report.num_new, report.num_known) == (1, 1, 11)
    assert not (store.path / "failed.csv").exists()
    assert np.array_equal(vectors_of(spoilt, store)[7], encode(spoilt.parent / "audio" / "07.wav"))


def test_as_many_failures_as_allowed_do_not_fail_the_run(embed: Embed, spoilt: Path, store: EmbeddingStore) -> None:
    with pytest.raises(AudioError, match=r"2 of 12 utterances"):
        embed(spoilt, max_failed=1)
    report = embed(spoilt, max_failed=2)
    assert [failure.row for failure in report.failures] == [3, 7]
    assert report.summary().endswith(f"10 there before, 2 failed (listed in {store.path / 'failed.csv'})")
    assert len(read_failed(store)) == 2


def test_a_copy_of_audio_that_is_too_short_fails_too(embed: Embed, corpus: Path) -> None:
    for name in ("03.wav", "05.wav"):
        soundfile.write(corpus.parent / "audio" / name, np.zeros(5), 16_000)
    report = embed(corpus, max_failed=12)
    assert (report.num_new, report.num_known) == (10, 0)
    assert [failure.row for failure in report.failures] == [3, 5]
    assert [failure.reason.partition(": ")[0][-6:] for failure in report.failures] == ["03.wav", "05.wav"]


def test_audio_that_is_gone_but_known_needs_nothing(embed: Embed, corpus: Path, encoder: Any) -> None:
    embed(corpus)
    shutil.rmtree(corpus.parent / "audio")
    encoder.lengths.clear()
    assert embed(corpus).num_known == 12
    assert encoder.lengths == []


def test_audio_that_is_gone_and_whose_vector_is_needed_is_a_failure(
    embed: Embed, corpus: Path, store: EmbeddingStore
) -> None:
    embed(corpus)
    for part in parts_of(store):
        part.unlink()
    (corpus.parent / "audio" / "04.wav").unlink()
    with pytest.raises(AudioError, match=r"labels\.csv:6: .*04\.wav: no such file\n1 of 12 utterances"):
        embed(corpus)
    assert len(store.keys()) == 11


def test_a_file_that_changes_while_it_is_read_is_noticed_next_time(
    embed: Embed,
    corpus: Path,
    store: EmbeddingStore,
    monkeypatch: pytest.MonkeyPatch,
    write_tone: Callable[..., Path],
) -> None:
    real = reading.read_bytes
    victim = corpus.parent / "audio" / "05.wav"
    old = encode(victim)

    def read_then_change(path: Path) -> bytes:
        data = real(path)
        if path == victim:
            write_tone(victim, frequency=2_000, seconds=0.6)
        return data

    with monkeypatch.context() as changing:
        changing.setattr(reading, "read_bytes", read_then_change)
        embed(corpus)
    assert len(store.keys()) == 12
    assert store.keys().isdisjoint({audio_key(victim)})
    assert embed(corpus).num_new == 1
    assert np.array_equal(vectors_of(corpus, store)[5], encode(victim))
    assert not np.array_equal(old, encode(victim))


def test_a_list_of_failures_that_cannot_be_written_is_one_error(
    embed: Embed, spoilt: Path, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, write: Any) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(failures, "write_whole", refuse)
    with pytest.raises(StoreError, match=r"failed\.csv: cannot be written \(No space left on device\); what was"):
        embed(spoilt)
    assert len(store.keys()) == 10


# --- interrupted -----------------------------------------------------------------------------------------------------


def test_an_interrupted_run_keeps_what_it_did_and_the_next_completes(
    embed: Embed, spoilt: Path, store: EmbeddingStore, encoder: Any
) -> None:
    encoder.stop_after = 6
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        embed(spoilt)
    done = [path for row, path in enumerate(read_manifest(spoilt).audio_paths()) if row in (0, 1, 2, 4, 5, 6)]
    assert store.keys() == {audio_key(path) for path in done}
    assert [row["line"] for row in read_failed(store)] == ["5", "9"]
    encoder.stop_after = None
    encoder.lengths.clear()
    report = embed(spoilt, max_failed=2)
    assert (len(encoder.lengths), report.num_new, report.num_known) == (4, 4, 6)
    good = [path for row, path in enumerate(read_manifest(spoilt).audio_paths()) if row not in (3, 7)]
    assert np.array_equal(store.read([audio_key(path) for path in good]), np.stack([encode(path) for path in good]))


def test_a_full_disk_is_one_error_and_earlier_parts_stay(
    embed: Embed, corpus: Path, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_up(path: Path, write: Any) -> NoReturn:
        raise OSError(28, "No space left on device")

    real, parts = store_module.write_whole, count()
    monkeypatch.setattr(extract, "PART_SIZE", 5)
    with monkeypatch.context() as full:
        full.setattr(store_module, "write_whole", lambda *words: (real if next(parts) < 1 else fill_up)(*words))
        full.setattr("emoji_lightning.embedding.digests.write_whole", fill_up)
        with pytest.raises(
            StoreError, match=r"cannot be written \(No space left on device\); what was finished before"
        ):
            embed(corpus)
    assert len(store.keys()) == 5
    assert embed(corpus).num_new == 7
    assert len(vectors_of(corpus, store)) == 12


def test_the_error_that_ended_a_run_is_shown_even_if_the_list_of_failures_cannot_be_written(
    embed: Embed, spoilt: Path, store: EmbeddingStore, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, write: Any) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(failures, "write_whole", refuse)
    with monkeypatch.context() as full:
        full.setattr(store_module, "write_whole", refuse)
        with pytest.raises(StoreError, match=r"part-\w+\.parquet: cannot be written \(No space left on device\)"):
            embed(spoilt)
    encoder.stop_after = len(encoder.lengths) + 6
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        embed(spoilt)
    assert len(store.keys()) == 6
