import gc
import hashlib
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from time import monotonic, sleep
from typing import NoReturn

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from emoji_lightning.audio import load_waveform, segment_key
from emoji_lightning.embedding import digests, reading
from emoji_lightning.embedding.digests import DigestCache
from emoji_lightning.embedding.logmel import LogMelEncoder
from emoji_lightning.embedding.long_audio import LongAudio
from emoji_lightning.embedding.planner import BatchLimits
from emoji_lightning.embedding.reading import Reader, Reading, Utterance, list_utterances, read_windows
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.manifest import Manifest

FILES_AHEAD = 64


class SmallWindows(LogMelEncoder):
    def __init__(self, utterances: int, frames: int = 1 << 30) -> None:
        self._limits = BatchLimits(window_frames=frames, window_utterances=utterances)

    @property
    def limits(self) -> BatchLimits:
        return self._limits


class FakeReader(Reader):
    """Reads nothing: a reading of any length, after whatever a test does meanwhile."""

    def __init__(self, read: Callable[[Utterance], tuple[int, ...]]) -> None:
        self._lengths = read

    def read(self, utterance: Utterance) -> Reading:
        pieces = tuple(np.zeros(length, dtype=np.float32) for length in self._lengths(utterance))
        return Reading(utterance, f"key{utterance.row}", pieces)


def make_utterance(row: int = 0, path: Path = Path("none.wav"), *times: float | None) -> Utterance:
    return Utterance(row, f"u{row}", path.name, path, *(times or (None, None)))


def make_utterances(number: int) -> list[Utterance]:
    return [make_utterance(row) for row in range(number)]


def rows_of(windows: list[list[Reading]]) -> list[list[int]]:
    return [[each.utterance.row for each in window] for window in windows]


def reading_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read")]


def fail(*_: object, **__: object) -> NoReturn:
    raise AssertionError("this was not to be called")


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    assert reading_threads() == []


@pytest.fixture
def cache(tmp_path: Path) -> DigestCache:
    return DigestCache(EmbeddingStore.open_or_create(tmp_path / "store", LogMelEncoder().spec))


@pytest.fixture
def recording(tmp_path: Path, speechlike: Callable[..., NDArray[np.float32]]) -> Path:
    soundfile.write(tmp_path / "recording.wav", speechlike(64_000), 16_000)
    return tmp_path / "recording.wav"


# --- threads ---------------------------------------------------------------------------------------------------------


def test_readings_keep_the_order_whatever_takes_how_long() -> None:
    def delay_some(utterance: Utterance) -> tuple[int, ...]:
        sleep(0.005 * (utterance.row % 7 == 0))
        return (utterance.row,)

    windows = list(read_windows(make_utterances(100), FakeReader(delay_some), SmallWindows(6)))
    assert list(chain(*rows_of(windows))) == list(range(100))
    assert [len(each.pieces[0]) for window in windows for each in window] == list(range(100))


def test_several_are_read_at_the_same_time() -> None:
    both = threading.Barrier(2)

    def meet(utterance: Utterance) -> tuple[int, ...]:
        both.wait(10)  # it breaks where nobody else reads
        return (1,)

    assert len(list(read_windows(make_utterances(8), FakeReader(meet), SmallWindows(8)))) == 1


def test_reading_goes_no_further_ahead_than_two_windows_and_64_files() -> None:
    begun: list[int] = []

    def note(utterance: Utterance) -> tuple[int, ...]:
        begun.append(utterance.row)
        return (1,)

    windows = read_windows(make_utterances(1_000), FakeReader(note), SmallWindows(10))
    for number, _ in enumerate(windows, start=1):
        expected = 10 * number + 2 * 10 + FILES_AHEAD - 1  # one window waits in the queue, one before it
        deadline = monotonic() + 10
        while len(begun) < expected and monotonic() < deadline:
            sleep(0.002)
        if number in (1, 5):
            sleep(0.1)  # long enough for hundreds more
        assert len(begun) == expected
        if number == 5:
            break
    windows.close()  # type: ignore[attr-defined]
    assert len(begun) <= 10 * 6 + 2 * 10 + FILES_AHEAD


def test_an_error_of_a_reading_thread_reaches_the_consumer_after_the_windows_before_it() -> None:
    def break_at_40(utterance: Utterance) -> tuple[int, ...]:
        if utterance.row == 40:
            raise MemoryError("no room for row 40")
        return (1,)

    windows = read_windows(make_utterances(200), FakeReader(break_at_40), SmallWindows(8))
    seen = []
    with pytest.raises(MemoryError, match=r"^no room for row 40$"):
        seen.extend(rows_of([window])[0] for window in windows)
    assert list(chain(*seen)) == list(range(40))
    assert reading_threads() == []


def test_an_error_of_what_is_read_reaches_the_consumer() -> None:
    def break_at_5() -> Iterator[Utterance]:
        yield from make_utterances(5)
        raise ValueError("no sixth row")

    with pytest.raises(ValueError, match=r"^no sixth row$"):
        list(read_windows(break_at_5(), FakeReader(lambda _: (1,)), SmallWindows(2)))
    assert reading_threads() == []


def test_a_consumer_that_leaves_ends_the_threads() -> None:
    def leave() -> None:
        for _ in read_windows(make_utterances(1_000), FakeReader(lambda _: (1,)), SmallWindows(4)):
            assert "read-ahead" in reading_threads()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        leave()
    gc.collect()
    assert reading_threads() == []


def test_nothing_is_read_before_it_is_asked_for() -> None:
    windows = read_windows(make_utterances(10), FakeReader(fail), SmallWindows(4))
    assert reading_threads() == []
    windows.close()  # type: ignore[attr-defined]


def test_no_utterances_are_no_windows() -> None:
    assert list(read_windows([], FakeReader(fail), SmallWindows(4))) == []


# --- windows ---------------------------------------------------------------------------------------------------------


def test_a_window_ends_when_it_has_utterances_enough() -> None:
    windows = list(read_windows(make_utterances(11), FakeReader(lambda _: ()), SmallWindows(4)))
    assert rows_of(windows) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


def test_a_window_ends_when_its_pieces_have_frames_enough() -> None:
    # 320 samples are a frame, and each piece has one more: 10, 0, 4 + 5 + 6, 30, 0, 9 frames
    lengths = [(2_880,), (), (960, 1_280, 1_600), (9_280,), (), (2_560,)]
    readers = FakeReader(lambda utterance: lengths[utterance.row])
    assert rows_of(list(read_windows(make_utterances(6), readers, SmallWindows(9, frames=25)))) == [
        [0, 1, 2],
        [3],
        [4, 5],
    ]
    assert rows_of(list(read_windows(make_utterances(6), readers, SmallWindows(9, frames=26)))) == [
        [0, 1, 2, 3],
        [4, 5],
    ]


def test_memory_does_not_grow_with_the_corpus(
    tmp_path: Path, cache: DigestCache, write_tone: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [write_tone(tmp_path / f"{number}.wav", frequency=300 + number, seconds=0.1) for number in range(3)]
    living: list[weakref.ref[Reading]] = []
    real = Reader.read

    def note(reader: Reader, utterance: Utterance) -> Reading:
        made = real(reader, utterance)
        living.append(weakref.ref(made))
        return made

    monkeypatch.setattr(Reader, "read", note)
    utterances = [make_utterance(row, files[row % 3]) for row in range(1_500)]
    peaks, num_read = [], 0
    for window in read_windows(utterances, Reader(cache, frozenset(), LongAudio()), SmallWindows(10)):
        num_read += len(window)
        assert all(len(each.pieces[0]) == 1_600 for each in window)
        peaks.append(sum(each() is not None for each in living))
    assert num_read == len(living) == 1_500
    # The consumer holds this window; one is in the queue, one waits before it, one may be on its way out.
    assert max(peaks) <= FILES_AHEAD + 4 * 10


# --- one utterance ---------------------------------------------------------------------------------------------------


def test_rows_of_a_manifest_are_utterances(tmp_path: Path, rewrite: Callable[..., Manifest]) -> None:
    manifest = rewrite(tmp_path / "m.csv", "id,audio,start,end", "a,x/0.wav,,", "b,x/0.wav,0.5,1.25", "c,y.wav,2,")
    assert list_utterances(manifest) == [
        Utterance(0, "a", "x/0.wav", tmp_path / "x/0.wav", None, None),
        Utterance(1, "b", "x/0.wav", tmp_path / "x/0.wav", 0.5, 1.25),
        Utterance(2, "c", "y.wav", tmp_path / "y.wav", 2.0, None),
    ]


@pytest.mark.parametrize("times", [(None, None), (0.0, None), (0.0, 1.5), (0.25, 1.5), (1.5, None), (None, 2.0)])
def test_a_reading_has_the_key_and_the_waveform_of_its_part(
    cache: DigestCache, recording: Path, times: tuple[float | None, float | None]
) -> None:
    made = Reader(cache, frozenset(), LongAudio()).read(make_utterance(3, recording, *times))
    assert made.key == segment_key(hashlib.sha256(recording.read_bytes()).hexdigest(), *times)
    (piece,) = made.pieces
    assert np.array_equal(piece, load_waveform(recording, start=times[0], end=times[1]))
    assert made.duration_s == (times[1] or 4.0) - (times[0] or 0.0)
    assert (made.reason, made.utterance.row) == ("", 3)


def test_what_cannot_be_read_is_a_reason(cache: DigestCache, tmp_path: Path, recording: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    reader = Reader(cache, frozenset(), LongAudio("error", 3))
    for utterance, reason in (
        (make_utterance(0, tmp_path / "none.wav"), "none.wav: no such file"),
        (make_utterance(0, tmp_path / "nul\0.wav"), "nul\0.wav: no such file"),
        (make_utterance(0, tmp_path / "none.wav", 1.0, 2.0), "none.wav: no such file"),
        (make_utterance(0, tmp_path), "is a folder, an audio file is needed"),
        (make_utterance(0, tmp_path / "text.wav"), "text.wav: holds text ('no audio'...), not audio"),
        (make_utterance(0, recording, 3.5, 9.0), "recording.wav: segment 3.5-9 s does not lie in the file"),
        (make_utterance(0, recording), "recording.wav: is 4.0 s long, the limit is 3 s"),
    ):
        made = reader.read(utterance)
        assert (made.pieces, made.key, made.duration_s) == ((), "", 0.0)
        assert made.reason.startswith(f"{utterance.path}: ")
        assert reason in made.reason


def test_a_recording_is_hashed_once_for_all_its_segments(
    cache: DigestCache, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []
    real = digests.audio_key
    monkeypatch.setattr(digests, "audio_key", lambda path: hashed.append(path) or real(path))  # type: ignore[func-returns-value]
    reader = Reader(cache, frozenset(), LongAudio())
    made = [reader.read(make_utterance(row, recording, row / 8, row / 8 + 0.5)) for row in range(28)]
    assert [each.reason for each in made] == [""] * 28
    assert len({each.key for each in made}) == 28
    assert hashed == [recording]


def test_a_recording_that_changes_while_a_segment_is_read_is_a_failure(
    cache: DigestCache, recording: Path, write_tone: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(cache, frozenset(), LongAudio())
    utterance = make_utterance(0, recording, 1.0, 2.0)

    def read_then_change(path: Path, **times: float) -> NDArray[np.float32]:
        waveform = load_waveform(path, **times)
        write_tone(path, seconds=3.0)
        return waveform

    with monkeypatch.context() as changing:
        changing.setattr(reading, "load_waveform", read_then_change)
        made = reader.read(utterance)
    assert made == Reading(utterance, reason=f"{recording}: changed while it was read; run `embed` again")
    again = reader.read(utterance)
    assert again.key == segment_key(hashlib.sha256(recording.read_bytes()).hexdigest(), 1.0, 2.0)
    assert np.array_equal(again.pieces[0], load_waveform(recording, start=1.0, end=2.0))


def test_a_recording_that_changes_before_it_is_hashed_is_a_failure(
    cache: DigestCache, recording: Path, write_tone: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = digests.audio_key
    monkeypatch.setattr(digests, "audio_key", lambda path: real(write_tone(path, seconds=3.0)))
    made = Reader(cache, frozenset(), LongAudio()).read(make_utterance(0, recording, 1.0, 2.0))
    assert made.reason == f"{recording}: changed while it was read; run `embed` again"
    assert made.pieces == ()


@pytest.mark.parametrize("times", [(None, None), (1.0, 2.0)])
def test_a_vector_that_is_there_needs_no_decoding(
    cache: DigestCache,
    recording: Path,
    times: tuple[float | None, float | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = segment_key(hashlib.sha256(recording.read_bytes()).hexdigest(), *times)
    utterance = make_utterance(0, recording, *times)
    for name in ("decode", "load_waveform"):
        monkeypatch.setattr(reading, name, fail)
    reader = Reader(cache, {key}, LongAudio())
    assert reader.read(utterance) == Reading(utterance, key)
    for module, name in ((reading, "read_bytes"), (digests, "audio_key")):
        monkeypatch.setattr(module, name, fail)  # and what was seen before not even reading
    assert reader.read(utterance) == Reading(utterance, key)
    recording.unlink()
    assert reader.read(utterance) == Reading(utterance, key)


def test_a_copy_of_what_is_there_is_read_but_not_decoded(
    cache: DigestCache, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Reader(cache, frozenset(), LongAudio()).read(make_utterance(0, recording))
    copy = make_utterance(1, Path(shutil.copy(recording, recording.with_name("copy.wav"))))
    monkeypatch.setattr(reading, "decode", fail)
    assert Reader(cache, {first.key}, LongAudio()).read(copy) == Reading(copy, first.key)


def test_what_is_named_is_what_is_embedded_and_it_is_opened_once(
    cache: DigestCache, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    real = reading.read_bytes
    monkeypatch.setattr(reading, "read_bytes", lambda path: opened.append(path) or real(path))  # type: ignore[func-returns-value]
    monkeypatch.setattr(reading, "load_waveform", fail)
    monkeypatch.setattr(digests, "audio_key", fail)
    made = Reader(cache, frozenset(), LongAudio()).read(make_utterance(0, recording))
    assert opened == [recording]
    assert cache.lookup("recording.wav", recording) == made.key


def test_chunks_are_the_pieces_of_a_reading(cache: DigestCache, recording: Path) -> None:
    made = Reader(cache, frozenset(), LongAudio("chunk", 1.5)).read(make_utterance(0, recording, 0.5, None))
    assert [len(piece) for piece in made.pieces] == [18_667, 18_667, 18_666]
    assert np.array_equal(np.concatenate(made.pieces), load_waveform(recording, start=0.5))
    assert made.duration_s == 3.5


def test_segments_read_at_the_same_time_hash_their_recording_once(
    cache: DigestCache, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []
    real = digests.audio_key

    def hash_slowly(path: Path) -> str:
        hashed.append(path)
        sleep(0.05)
        return real(path)

    monkeypatch.setattr(digests, "audio_key", hash_slowly)
    utterances = [make_utterance(row, recording, row / 8, row / 8 + 0.5) for row in range(28)]
    (window,) = read_windows(utterances, Reader(cache, frozenset(), LongAudio()), SmallWindows(28))
    assert [each.reason for each in window] == [""] * 28
    assert hashed == [recording]
