import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emoji_lightning.audio import audio_key, load_waveform
from emoji_lightning.cli import main
from emoji_lightning.embedding.encoder import Encoder
from emoji_lightning.embedding.extract import EmbedReport, embed_manifest
from emoji_lightning.embedding.logmel import LogMelEncoder
from emoji_lightning.embedding.long_audio import LongAudio
from emoji_lightning.embedding.planner import BatchLimits
from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.errors import AudioError, ConfigError, StoreError
from emoji_lightning.manifest import Manifest, read_manifest

Waveform = NDArray[np.float32]
SECONDS = (0.7, 2.5, 1.0, 3.1)
"""Of the corpus: with a limit of 1 s the second and the fourth are long, the third is just not."""


@pytest.fixture
def mixed(tmp_path: Path, speechlike: Callable[..., Waveform]) -> Path:
    """A manifest of short and long audio."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for number, seconds in enumerate(SECONDS):
        soundfile.write(folder / f"{number}.wav", speechlike(round(16_000 * seconds), number), 16_000)
    lines = ["audio,label", *(f"{number}.wav,joy" for number in range(len(SECONDS)))]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "labels.csv"


def open_store(path: Path, long_audio: LongAudio) -> EmbeddingStore:
    spec = EmbeddingSpec(**{**LogMelEncoder().spec.to_dict(), "long_audio": long_audio.describe()})  # type: ignore[arg-type]
    return EmbeddingStore.open_or_create(path, spec)


def embed(manifest: Path, encoder: Encoder, long_audio: LongAudio, **options: Any) -> EmbedReport:
    store = open_store(manifest.parents[1] / "store", long_audio)
    return embed_manifest(read_manifest(manifest), encoder, store, long_audio=long_audio, **options)


def vector_of(manifest: Path, number: int) -> Waveform:
    store = EmbeddingStore.open(manifest.parents[1] / "store")
    vector: Waveform = store.read([audio_key(manifest.parent / f"{number}.wav")])[0]
    return vector


def keys_of(manifest: Path, *numbers: int) -> set[str]:
    return {audio_key(manifest.parent / f"{number}.wav") for number in numbers}


# --- cutting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["error", "truncate", "chunk"])
def test_audio_up_to_the_limit_is_embedded_as_it_is(policy: str) -> None:
    waveform = np.arange(24_000, dtype=np.float32)
    (piece,) = LongAudio(policy, 1.5).cut(waveform)
    assert np.array_equal(piece, waveform)


def test_one_sample_more_is_long() -> None:
    waveform = np.arange(24_001, dtype=np.float32)
    with pytest.raises(AudioError, match=r"is 1\.5 s long, the limit is 1\.5 s; .*--long chunk, or a higher --max-sec"):
        LongAudio("error", 1.5).cut(waveform)
    (beginning,) = LongAudio("truncate", 1.5).cut(waveform)
    assert np.array_equal(beginning, waveform[:-1])
    assert beginning.base is None  # many are read ahead: none may hold its whole recording in memory
    first, second = LongAudio("chunk", 1.5).cut(waveform)
    assert (len(first), len(second)) == (12_001, 12_000)


@given(num_samples=st.integers(1, 200_000), max_seconds=st.floats(1, 15))
@settings(max_examples=50)
def test_pieces_are_as_few_and_as_equal_as_the_limit_allows(num_samples: int, max_seconds: float) -> None:
    waveform = np.arange(num_samples, dtype=np.float32)
    limit = round(16_000 * max_seconds)
    pieces = LongAudio("chunk", max_seconds).cut(waveform)
    lengths = [len(piece) for piece in pieces]
    assert np.array_equal(np.concatenate(pieces), waveform)
    assert max(lengths) <= limit
    assert max(lengths) - min(lengths) <= 1
    assert (len(pieces) - 1) * limit < num_samples


def test_by_default_more_than_two_minutes_is_a_failure() -> None:
    assert LongAudio() == LongAudio("error", 120.0)


@pytest.mark.parametrize("policy", ["", "Chunk", "cut", "error "])
def test_an_unknown_policy_is_refused(policy: str) -> None:
    with pytest.raises(ConfigError, match=rf"--long is {policy!r}; expected one of error, truncate, chunk$"):
        LongAudio(policy)


@pytest.mark.parametrize("limit", [0.0, -1.0, 0.999, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("policy", ["error", "chunk"])
def test_a_limit_that_is_no_second_or_more_is_refused(policy: str, limit: float) -> None:
    with pytest.raises(ConfigError, match=rf"^--max-seconds is {limit:g}; expected a finite number, 1 or more"):
        LongAudio(policy, limit)


@pytest.mark.parametrize(
    ("long_audio", "text"),
    [
        (LongAudio("error", 60), "error 60 s"),
        (LongAudio("truncate", 60), "truncate 60 s"),
        (LongAudio("chunk", 60.0), "chunk 60 s"),
        (LongAudio("chunk", 1.5), "chunk 1.5 s"),
        (LongAudio("truncate", 1234.5675), "truncate 1234.5675 s"),  # to the sample
    ],
)
def test_a_store_records_what_changes_vectors(long_audio: LongAudio, text: str) -> None:
    assert long_audio.describe() == text


# --- embedding -------------------------------------------------------------------------------------------------------


def test_error_lists_long_audio_with_its_length_and_embeds_all_else(mixed: Path, encoder: Any) -> None:
    with pytest.raises(AudioError, match=r"2 of 4 utterances have audio that cannot be used") as caught:
        embed(mixed, encoder, LongAudio("error", 1))
    cure = "cut it into utterances, or choose --long truncate or --long chunk, or a higher --max-seconds"
    reasons = [f"{mixed.parent}/{n}.wav: is {s} s long, the limit is 1 s; {cure}" for n, s in ((1, 2.5), (3, 3.1))]
    assert str(caught.value).splitlines()[:2] == [
        f"labels.csv:{line}: {reason}" for line, reason in zip((3, 5), reasons, strict=True)
    ]
    store = mixed.parents[1] / "store"
    with (store / "failed.csv").open(encoding="utf-8", newline="") as file:
        failed = list(csv.DictReader(file))
    assert [(row["line"], row["audio"], row["reason"]) for row in failed] == [
        ("3", "1.wav", reasons[0]),
        ("5", "3.wav", reasons[1]),
    ]
    assert EmbeddingStore.open(store).keys() == keys_of(mixed, 0, 2)
    assert sorted(encoder.lengths) == [11_200, 16_000]


def test_truncate_gives_the_vector_of_the_beginning(mixed: Path, encoder: Any) -> None:
    report = embed(mixed, encoder, LongAudio("truncate", 1))
    assert (report.num_new, report.failures) == (4, [])
    assert report.duration_s == pytest.approx(0.7 + 3 * 1.0)  # what was embedded, not what lies there
    for number in range(4):
        beginning = load_waveform(mixed.parent / f"{number}.wav")[:16_000]
        assert np.array_equal(vector_of(mixed, number), LogMelEncoder().encode(beginning))


def test_chunk_gives_the_mean_over_equal_pieces_weighted_by_duration(mixed: Path, encoder: Any) -> None:
    report = embed(mixed, encoder, LongAudio("chunk", 1))
    assert (report.num_new, report.failures) == (4, [])
    assert report.duration_s == pytest.approx(sum(SECONDS))
    assert max(encoder.lengths) <= 16_000
    assert sorted(encoder.lengths) == [11_200, *[12_400] * 4, 13_333, 13_333, 13_334, 16_000]
    for number, lengths in ((0, [11_200]), (1, [13_334, 13_333, 13_333]), (2, [16_000]), (3, [12_400] * 4)):
        waveform = load_waveform(mixed.parent / f"{number}.wav")
        total, at = np.zeros(768, dtype=np.float64), 0
        for length in lengths:
            total += length * LogMelEncoder().encode(waveform[at : at + length]).astype(np.float64)
            at += length
        assert at == len(waveform)
        np.testing.assert_allclose(vector_of(mixed, number), total / at, rtol=2e-7, atol=1e-7)


class FirstPieceEncoder(LogMelEncoder):
    """Ones for a piece of 8,001 samples, zeros for one of 8,000: their mean is what the first weighs."""

    def _embed(self, waveform: Waveform) -> Waveform:
        return np.full(768, len(waveform) - 8_000, dtype=np.float32)


def test_a_longer_piece_weighs_more(mixed: Path) -> None:
    mixed.write_text("audio\n0.wav\n", encoding="utf-8")
    soundfile.write(mixed.parent / "0.wav", np.zeros(16_001), 16_000)
    embed(mixed, FirstPieceEncoder(), LongAudio("chunk", 1))
    assert vector_of(mixed, 0).tolist() == [np.float32(8_001 / 16_001)] * 768


def test_a_segment_is_long_by_its_own_length(mixed: Path, encoder: Any) -> None:
    mixed.write_text("id,audio,start,end\na,3.wav,0.5,1.5\nb,3.wav,1,\n", encoding="utf-8")
    report = embed(mixed, encoder, LongAudio("error", 1), max_failed=1)
    assert encoder.lengths == [16_000]
    assert [(failure.id, failure.reason.partition(";")[0]) for failure in report.failures] == [
        ("b", f"{mixed.parent}/3.wav: is 2.1 s long, the limit is 1 s")
    ]


class PickyEncoder(LogMelEncoder):
    """Gives no finite vector for a waveform that is marked by a loud first sample."""

    def _embed(self, waveform: Waveform) -> Waveform:
        return super()._embed(waveform) * np.float32(np.nan if waveform[0] == 1 else 1)


@pytest.mark.parametrize("bad_pieces", [(0,), (2,), (1, 3), (0, 1, 2, 3)])
def test_one_piece_that_fails_fails_the_utterance_once_and_nothing_of_it_is_kept(
    mixed: Path, bad_pieces: tuple[int, ...], speechlike: Callable[..., Waveform]
) -> None:
    waveform = speechlike(49_600, 3)
    waveform[[12_400 * piece for piece in bad_pieces]] = 1
    soundfile.write(mixed.parent / "3.wav", waveform, 16_000, subtype="FLOAT")
    report = embed(mixed, PickyEncoder(), LongAudio("chunk", 1), max_failed=1)
    assert (report.num_new, report.num_known) == (3, 0)
    assert [(failure.row, failure.reason) for failure in report.failures] == [
        (3, f"{mixed.parent}/3.wav: logmel gives no finite vector of 768 values for this audio")
    ]
    assert EmbeddingStore.open(mixed.parents[1] / "store").keys() == keys_of(mixed, 0, 1, 2)


def test_what_failed_as_chunks_is_tried_again(mixed: Path, speechlike: Callable[..., Waveform]) -> None:
    waveform = speechlike(49_600, 3)
    waveform[12_400] = 1
    soundfile.write(mixed.parent / "3.wav", waveform, 16_000, subtype="FLOAT")
    embed(mixed, PickyEncoder(), LongAudio("chunk", 1), max_failed=1)
    report = embed(mixed, LogMelEncoder(), LongAudio("chunk", 1))
    assert (report.num_new, report.num_known) == (1, 3)
    assert np.isfinite(vector_of(mixed, 3)).all()


class OneAtATimeEncoder(PickyEncoder):
    @property
    def limits(self) -> BatchLimits:
        return BatchLimits(window_frames=1, window_utterances=1)


def test_a_copy_of_what_failed_as_chunks_fails_too(mixed: Path, speechlike: Callable[..., Waveform]) -> None:
    waveform = speechlike(49_600, 3)
    waveform[12_400] = 1
    for name in ("1.wav", "3.wav"):
        soundfile.write(mixed.parent / name, waveform, 16_000, subtype="FLOAT")
    report = embed(mixed, OneAtATimeEncoder(), LongAudio("chunk", 1), max_failed=2)
    assert (report.num_new, report.num_known) == (2, 0)
    assert [failure.row for failure in report.failures] == [1, 3]


# --- the store -------------------------------------------------------------------------------------------------------


def test_a_store_without_long_audio_goes_on_with_chunks_and_says_so(mixed: Path, encoder: Any) -> None:
    spec = mixed.parents[1] / "store" / "spec.json"
    embed(mixed, encoder, LongAudio("error", 1), max_failed=2)
    assert json.loads(spec.read_text())["long_audio"] == "error 1 s"
    encoder.lengths.clear()
    report = embed(mixed, encoder, LongAudio("chunk", 1))
    assert (report.num_new, report.num_known) == (2, 2)
    assert len(encoder.lengths) == 3 + 4
    assert json.loads(spec.read_text())["long_audio"] == "chunk 1 s"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (LongAudio("chunk", 60), LongAudio("truncate", 60)),
        (LongAudio("truncate", 60), LongAudio("chunk", 60)),
        (LongAudio("chunk", 60), LongAudio("chunk", 30)),
    ],
)
def test_vectors_of_two_treatments_are_not_mixed(
    mixed: Path, encoder: Any, first: LongAudio, second: LongAudio
) -> None:
    embed(mixed, encoder, first)
    encoder.lengths.clear()
    both = f"long_audio '{first.describe()}' and '{second.describe()}'"
    with pytest.raises(StoreError, match=rf"\({both}\); give --store another folder, or the options that made this"):
        embed(mixed, encoder, second)
    assert encoder.lengths == []
    assert EmbeddingStore.open(mixed.parents[1] / "store").spec.long_audio == first.describe()


# --- the command line ------------------------------------------------------------------------------------------------


def test_the_command_line_cuts_long_audio(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = mixed.parents[1] / "store"
    words = ["embed", str(mixed), "--store", str(store), "--encoder", "logmel"]
    words += ["--long", "chunk", "--max-seconds", "1"]
    main(words)
    assert capsys.readouterr().out.startswith(f"{store}: 4 embedded (0.00 h, ")
    assert json.loads((store / "spec.json").read_text())["long_audio"] == "chunk 1 s"
    waveform = load_waveform(mixed.parent / "3.wav")
    pieces = [LogMelEncoder().encode(piece).astype(np.float64) for piece in np.split(waveform, 4)]
    np.testing.assert_allclose(vector_of(mixed, 3), np.mean(pieces, axis=0), rtol=2e-7, atol=1e-7)
    main(words)
    assert capsys.readouterr().out == f"{store}: 0 embedded (0.00 h), 4 there before, 0 failed\n"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--long", "middle"], "error: --long is 'middle'; expected one of error, truncate, chunk\n"),
        (["--max-seconds", "0"], "error: --max-seconds is 0; expected a finite number, 1 or more (seconds)\n"),
    ],
)
def test_wrong_options_leave_no_store(
    mixed: Path, capsys: pytest.CaptureFixture[str], options: list[str], error: str
) -> None:
    store = mixed.parents[1] / "store"
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["embed", str(mixed), "--store", str(store), "--encoder", "logmel", *options])
    assert capsys.readouterr().err == error
    assert not store.exists()


@pytest.mark.parametrize(
    ("first", "second"),
    [(LongAudio("error", 120), LongAudio("chunk", 1)), (LongAudio("chunk", 1), LongAudio("error", 120))],
)
def test_audio_that_is_whole_under_one_limit_and_in_pieces_under_another_is_not_mixed(
    tmp_path: Path,
    write_tone: Callable[..., Path],
    rewrite: Callable[..., Manifest],
    first: LongAudio,
    second: LongAudio,
) -> None:
    for number in range(2):
        write_tone(tmp_path / f"{number}.wav", seconds=3, frequency=300 + number)
    store = tmp_path / "store"
    one, other = (rewrite(tmp_path / f"{number}.csv", "audio", f"{number}.wav") for number in range(2))
    embed_manifest(one, LogMelEncoder(), open_store(store, first), long_audio=first)
    with pytest.raises(StoreError, match="long_audio"):
        embed_manifest(other, LogMelEncoder(), open_store(store, second), long_audio=second)
