"""One manifest with every kind of audio file that we could think of: each is embedded, correctly, or listed with its
reason, and the files around it come to no harm.
"""

import csv
import io
import os
import random
import re
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from emoji_lightning.audio import audio_key, load_waveform
from emoji_lightning.embedding.extract import EmbedReport, embed_manifest
from emoji_lightning.embedding.logmel import LogMelEncoder
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.errors import AudioError, ManifestError
from emoji_lightning.manifest import Manifest, read_manifest

Samples = NDArray[np.float64]

SECONDS = 0.4
EDGE = 400
"""Samples at 16 kHz within which a resampler sees the end of the signal."""


def glide(rate: int = 16_000, start: float = 200.0) -> Samples:
    """A tone of half the full scale that rises by 480 Hz: a shift in time or another rate is another signal."""
    time = np.arange(round(rate * SECONDS)) / rate
    return 0.5 * np.sin(2 * np.pi * (start * time + 600 * time**2))


GLIDE = glide()


def encode(samples: Samples = GLIDE, rate: int = 16_000, **options: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **{"format": "WAV", **options})
    return file.getvalue()


def patch(data: bytes, *changes: tuple[int, bytes]) -> bytes:
    for place, new in changes:
        data = data[:place] + new + data[place + len(new) :]
    return data


def spoil(value: float) -> Samples:
    return np.where(np.arange(len(GLIDE)) == 3_200, value, GLIDE)


# --- the second source: what was written ------------------------------------------------------------------------------

Check = Callable[[NDArray[np.float32]], None]


def close(tolerance: float, expected: Samples = GLIDE, edge: int = 0) -> Check:
    def check(waveform: NDArray[np.float32]) -> None:
        assert waveform.shape == expected.shape
        assert np.abs(waveform - expected)[edge : len(expected) - edge].max() <= tolerance

    return check


def similar(least: float) -> Check:
    """A lossy coder may delay, pad and bend the signal, but neither change its level nor its course."""

    def check(waveform: NDArray[np.float32]) -> None:
        assert 0 <= len(waveform) - len(GLIDE) < 1_200
        products = np.correlate(waveform, GLIDE, "full")
        assert abs(int(products.argmax()) - (len(GLIDE) - 1)) < 1_200
        norms = np.linalg.norm(waveform), np.linalg.norm(GLIDE)
        assert products.max() / (norms[0] * norms[1]) > least
        assert norms[0] == pytest.approx(norms[1], rel=0.1)

    return check


PCM16 = close(1 / 32_768)
EXACT = close(1e-7)
RESAMPLED = close(2e-4, edge=EDGE)


# --- what can be embedded ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Animal:
    """A file, or a segment of one, in the manifest.

    Attributes:
        content: Bytes of the file, or what makes it, or None: there is none, or it is the one of another row.
        claim: What checks the waveform or, where the file must be listed, the pattern of the reason behind its path.
        name: File name, where it is not the kind with `.wav`.
        start: In seconds.
        end: In seconds.
    """

    content: bytes | Callable[[Path], object] | None
    claim: Check | str = PCM16
    name: str | None = None
    start: float | None = None
    end: float | None = None


def own(number: int) -> tuple[bytes, Check]:
    """A content that no other file has, and its check."""
    samples = glide(start=300 + 20 * number)
    return encode(samples), close(1 / 32_768, samples)


def rated(rate: int) -> Animal:
    return Animal(encode(glide(rate), rate, subtype="FLOAT"), RESAMPLED)


def several(num_channels: int) -> Animal:
    channels = np.stack([glide(start=100 * (number + 1)) for number in range(num_channels)], axis=1)
    return Animal(encode(channels, subtype="FLOAT"), close(1e-6, channels.mean(axis=1)))


def link_to_undecodable(path: Path) -> None:
    target = path.with_name(os.fsdecode(b"\xff\xfe.audio"))
    target.write_bytes(LOCKED + b"\0")
    path.symlink_to(target.name)


def lock(path: Path) -> None:
    path.write_bytes(LOCKED)
    path.chmod(0)


WAV, FLAC, MP3 = encode(), encode(format="FLAC"), encode(format="MP3")
VORBIS, OPUS = encode(subtype="VORBIS", format="OGG"), encode(subtype="OPUS", format="OGG")
UNKNOWN, ID3V1 = b"\xff" * 4, b"TAG" + bytes(125)
UNKNOWN_FLAC = patch(FLAC, (21, bytes([FLAC[21] & 0xF0, 0, 0, 0, 0])))
LOCKED, LOCKED_CHECK = own(20)

GOOD = {
    **{f"neighbour {number}": Animal(*own(number)) for number in range(10)},
    "8-bit PCM": Animal(encode(subtype="PCM_U8"), close(1 / 128)),
    "16-bit PCM": Animal(WAV, name="plain.wav"),
    "24-bit PCM": Animal(encode(subtype="PCM_24"), close(2**-23)),
    "32-bit PCM": Animal(encode(subtype="PCM_32"), EXACT),
    "float": Animal(encode(subtype="FLOAT"), EXACT),
    "float64": Animal(encode(subtype="DOUBLE"), EXACT),
    "float beyond full scale": Animal(encode(6 * GLIDE, subtype="FLOAT"), close(1e-6, 6 * GLIDE)),
    "mu-law": Animal(encode(subtype="ULAW"), close(1 / 60)),
    "A-law": Animal(encode(subtype="ALAW"), close(1 / 60)),
    "IMA ADPCM": Animal(encode(subtype="IMA_ADPCM"), similar(0.99)),
    "GSM 6.10 of a telephone": Animal(encode(glide(8_000), 8_000, subtype="GSM610"), similar(0.98)),
    "WAVE_FORMAT_EXTENSIBLE": Animal(encode(format="WAVEX")),
    "big-endian WAV": Animal(encode(endian="BIG")),
    "RF64": Animal(encode(format="RF64")),
    "W64": Animal(encode(format="W64")),
    "AIFF": Animal(encode(format="AIFF"), name="x.aiff"),
    "AU": Animal(encode(format="AU"), name="x.au"),
    "CAF": Animal(encode(format="CAF"), name="x.caf"),
    "FLAC": Animal(FLAC, name="x.flac"),
    "24-bit FLAC": Animal(encode(subtype="PCM_24", format="FLAC"), close(2**-23), "x24.flac"),
    "MP3": Animal(MP3, similar(0.99), "x.mp3"),
    "Vorbis": Animal(VORBIS, similar(0.99), "x.ogg"),
    "Opus": Animal(OPUS, similar(0.99), "x.opus"),
    "FLAC named .wav": Animal(encode(0.9 * GLIDE, format="FLAC"), close(1 / 32_768, 0.9 * GLIDE)),
    "MP3 named .wav": Animal(MP3 + ID3V1, similar(0.99)),
    "WAV named .mp3": Animal(*own(21), name="wav.mp3"),
    "WAV without suffix": Animal(*own(22), name="wav"),
    "WAV of unknown length": Animal(patch(WAV, (4, UNKNOWN), (40, UNKNOWN))),
    "WAV of sox's unknown length": Animal(patch(WAV, (4, UNKNOWN), (40, struct.pack("<I", 0x7FFFF000)))),
    "WAV with something behind": Animal(WAV + ID3V1),
    "stereo": several(2),
    "5.1 channels": several(6),
    **{f"{rate} Hz": rated(rate) for rate in (8_000, 11_025, 22_050, 24_000, 44_100, 48_000, 96_000, 192_000)},
    "silence": Animal(encode(0 * GLIDE), close(0, 0 * GLIDE)),
    "DC": Animal(encode(0 * GLIDE + 0.25), close(0, 0 * GLIDE + 0.25)),
    "400 samples": Animal(encode(GLIDE[:400]), close(1 / 32_768, GLIDE[:400])),
    "200 samples at 8 kHz": Animal(encode(glide(8_000)[:200], 8_000), close(0.1, GLIDE[:400], 100)),
    "segment": Animal(None, close(1 / 32_768, GLIDE[1_600:4_800]), "plain.wav", 0.1, 0.3),
    "segment of an MP3": Animal(None, close(0.05, GLIDE[1_600:4_800]), "x.mp3", 0.1, 0.3),
    "segment to 10 ms behind the end": Animal(None, close(1 / 32_768, GLIDE[1_600:]), "plain.wav", 0.1, 0.41),
    "same file twice": Animal(None, name="plain.wav"),
    "byte-identical copy": Animal(WAV),
    "link": Animal(lambda path: path.symlink_to("plain.wav")),
    "link to a name that is not UTF-8": Animal(link_to_undecodable, LOCKED_CHECK),
    "emoji in the name": Animal(*own(23), name="laugh 😂 👩🏽‍🚀.wav"),
    "line break in the name": Animal(*own(24), name="two\nlines.wav"),
    "comma and quotes in the name": Animal(*own(25), name="\"so\", he said, 'yes'.wav"),
    "backslash and blanks in the name": Animal(*own(26), name="a \\ b  c.wav"),
}

# --- what cannot ------------------------------------------------------------------------------------------------------

CUT_WAV = r"is cut off: its header promises 12800 bytes of audio, {} are there; copy it again"
NOT_FINITE = r"1 of 6400 samples are NaN or infinite, the first at 0\.200 s"
NO_AUDIO = r"is not audio that can be decoded \(.*WAV, FLAC, OGG and MP3 are read"

BAD = {
    "missing": Animal(None, r"no such file"),
    "0 bytes": Animal(b"", r"is empty \(0 bytes\)"),
    "cut WAV header": Animal(WAV[:30], NO_AUDIO),
    "cut WAV": Animal(WAV[:6_044], CUT_WAV.format(6_000)),
    "WAV without its last byte": Animal(WAV[:-1], CUT_WAV.format(12_799)),
    "cut RF64": Animal(encode(format="RF64")[:-100], CUT_WAV.format(12_700)),
    "cut W64": Animal(
        encode(format="W64")[:-100], r"is cut off: its header promises \d+ bytes, \d+ are there; copy it"
    ),
    "cut AIFF": Animal(encode(format="AIFF")[:-100], r"is cut off: its header promises 12808 bytes, 12708 are there"),
    "cut AU": Animal(encode(format="AU")[:-100], r"is cut off: its header promises 12800 bytes, 12700 are there"),
    "cut FLAC": Animal(FLAC[: len(FLAC) // 2], NO_AUDIO),
    "cut MP3": Animal(MP3[: len(MP3) // 2], r"is cut off: its header promises 6400 samples, \d+ are there"),
    "cut Vorbis": Animal(VORBIS[: len(VORBIS) // 2], r"is cut off in the middle of a page; copy it again"),
    "cut Opus": Animal(OPUS[:-9], r"is cut off in the middle of a page; copy it again"),
    "text": Animal("Good evening, café\n".encode() * 9, r"holds text \('Good evening, café.*not audio"),
    "git-LFS pointer": Animal(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", r"run `git lfs pull`"),
    "HTML error page": Animal(b"<!DOCTYPE html>\n<p>404</p>\n" * 9, r"holds text \('<!DOCTYPE html>.*not audio"),
    "m4a": Animal(b"\0\0\0\x20ftypM4A " + bytes(999), NO_AUDIO, "x.m4a"),
    "gzip": Animal(b"\x1f\x8b\x08" + bytes(range(256)), NO_AUDIO),
    "zeros": Animal(bytes(9_999), NO_AUDIO),
    "WAV of length 0": Animal(patch(WAV, (40, bytes(4))), r"holds no samples"),
    "WAV at 1 Hz": Animal(patch(WAV, (24, struct.pack("<I", 1))), r"its header says 1 Hz, at least 1000 Hz are needed"),
    "FLAC of unknown length": Animal(UNKNOWN_FLAC, r"does not say how long it is; write it again"),
    "NaN": Animal(encode(spoil(np.nan), subtype="FLOAT"), NOT_FINITE),
    "Inf": Animal(encode(spoil(-np.inf), subtype="DOUBLE"), NOT_FINITE),
    "1 sample": Animal(encode(GLIDE[1:2]), r"1 samples? .*at least 400"),
    "399 samples": Animal(encode(GLIDE[:399]), r"399 samples .*at least 400"),
    "segment past the end": Animal(
        None, r"segment 0\.2-9 s does not lie in the file, .* 0\.400 s", "plain.wav", 0.2, 9
    ),
    "segment of a cut file": Animal(WAV[:-4], CUT_WAV.format(12_796), None, 0.1, 0.2),
    "folder": Animal(lambda path: path.mkdir(), r"is a folder, an audio file is needed"),
    "dangling link": Animal(lambda path: path.symlink_to("gone"), r"no such file"),
    "link to itself": Animal(lambda path: path.symlink_to(path.name), r"no such file|symbolic links"),
    "pipe": Animal(os.mkfifo, r"is a pipe or device, an audio file is needed"),
    "device": Animal(lambda path: path.symlink_to("/dev/null"), r"is a pipe or device, an audio file is needed"),
    "line break in a bad name": Animal(b"text", r"holds text", "bad\n\nname,\r\n.wav"),
    "quotes in a bad name": Animal(b"", r"is empty", "\"bad\", 'name'.wav"),
    "NUL in the name": Animal(None, r"no such file|cannot be read", "a\0b.wav"),
}
if Path("/proc/self/mem").exists():  # it opens, but reading it fails, as files on a damaged disk do
    BAD["read error"] = Animal(lambda path: path.symlink_to("/proc/self/mem"), r"cannot be read \(Input/output error\)")
if os.geteuid() == 0:  # nothing is locked for root
    GOOD["locked"] = Animal(lock, LOCKED_CHECK)
else:
    BAD["locked"] = Animal(lock, r"cannot be read \(Permission denied\)")
ZOO: dict[str, Animal] = {**GOOD, **BAD}


# --- the zoo ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Visit:
    """The zoo after one `embed_manifest`; kinds are the manifest's ids."""

    manifest: Manifest
    lines: dict[str, int]
    paths: dict[str, Path]
    store: EmbeddingStore
    report: EmbedReport

    def key(self, kind: str) -> str:
        return audio_key(self.paths[kind], ZOO[kind].start, ZOO[kind].end)


def make_store(folder: Path) -> EmbeddingStore:
    return EmbeddingStore.open_or_create(folder, LogMelEncoder().spec)


@contextmanager
def patience(seconds: int) -> Iterator[None]:
    """Whoever opens a pipe that nobody writes to waits for ever; here, only so long."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"embedding the zoo takes more than {seconds} s"))
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Visit:
    folder = tmp_path_factory.mktemp("zoo")
    text, lines, paths = io.StringIO(), {}, {}
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["id", "audio", "start", "end"])
    kinds = list(ZOO)
    random.Random(1).shuffle(kinds)
    for kind in kinds:
        animal = ZOO[kind]
        name = animal.name or f"{kind}.wav"
        paths[kind] = folder / name
        if isinstance(animal.content, bytes):
            paths[kind].write_bytes(animal.content)
        elif animal.content:
            animal.content(paths[kind])
        lines[kind] = text.getvalue().count("\n") + 1
        table.writerow([kind, name, animal.start, animal.end])
    (folder / "zoo.csv").write_text(text.getvalue(), encoding="utf-8", newline="")
    manifest = read_manifest(folder / "zoo.csv")
    store = make_store(folder / "store")
    with patience(30):
        report = embed_manifest(manifest, LogMelEncoder(), store, max_failed=len(BAD), progress=False)
    return Visit(manifest, lines, paths, store, report)


@pytest.mark.parametrize("kind", GOOD)
def test_what_can_be_embedded_has_the_vector_of_the_samples_that_were_written(visit: Visit, kind: str) -> None:
    assert kind not in {failure.id for failure in visit.report.failures}
    waveform = load_waveform(visit.paths[kind], start=GOOD[kind].start, end=GOOD[kind].end)
    check = GOOD[kind].claim
    assert callable(check)
    check(waveform)
    vector = visit.store.read([visit.key(kind)])[0]
    assert np.isfinite(vector).all()
    assert np.array_equal(vector, LogMelEncoder().encode(waveform))


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_is_listed_with_its_reason(visit: Visit, kind: str) -> None:
    (failure,) = (failure for failure in visit.report.failures if failure.id == kind)
    path = visit.paths[kind]
    assert (failure.row, failure.audio) == (list(visit.lines).index(kind), path.name)
    assert failure.reason.startswith(f"{path}: ")
    assert "\n" not in failure.reason.removeprefix(f"{path}: ")
    assert re.match(rf".*{BAD[kind].claim}", failure.reason.removeprefix(f"{path}: "))


def test_nothing_else_is_stored_and_identical_bytes_once(visit: Visit) -> None:
    keys = {kind: visit.key(kind) for kind in GOOD}
    assert visit.store.keys() == set(keys.values())
    twins = {"16-bit PCM", "same file twice", "byte-identical copy", "link"}
    assert {kind for kind in keys if keys[kind] == keys["link"]} == twins
    assert visit.report.num_new == len(set(keys.values())) == len(GOOD) - len(twins) + 1
    assert len(visit.report.failures) == len(BAD)


def test_the_good_files_are_as_if_they_were_alone(visit: Visit, tmp_path: Path) -> None:
    rows = [row for row, kind in enumerate(visit.lines) if kind in GOOD]
    alone = make_store(tmp_path / "alone")
    assert embed_manifest(visit.manifest.select(rows), LogMelEncoder(), alone, progress=False).failures == []
    keys = sorted(alone.keys())
    assert visit.store.keys() == set(keys)
    assert np.array_equal(alone.read(keys), visit.store.read(keys))


def test_failed_csv_holds_precisely_the_failures_whatever_their_names(visit: Visit) -> None:
    with (visit.store.path / "failed.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["line", "id", "audio", "reason"]
    reasons = {failure.id: failure.reason for failure in visit.report.failures}
    assert rows[1:] == [
        [str(line), kind, visit.paths[kind].name, reasons[kind]] for kind, line in visit.lines.items() if kind in BAD
    ]


def test_one_failure_more_than_allowed_fails_the_run_after_everything_is_stored(visit: Visit, tmp_path: Path) -> None:
    rows = [row for row, kind in enumerate(visit.lines) if kind in BAD or kind.startswith("neighbour")]
    manifest, store = visit.manifest.select(rows), make_store(tmp_path / "store")
    summary = rf"{len(BAD)} of {len(rows)} utterances have audio that cannot be used; all others are in the store"
    with pytest.raises(AudioError, match=summary):
        embed_manifest(manifest, LogMelEncoder(), store, max_failed=len(BAD) - 1, progress=False)
    assert store.keys() == {visit.key(kind) for kind in GOOD if kind.startswith("neighbour")}
    assert (store.path / "failed.csv").read_bytes() == (visit.store.path / "failed.csv").read_bytes()
    again = embed_manifest(manifest, LogMelEncoder(), store, max_failed=len(BAD), progress=False)
    assert (again.num_new, len(again.failures)) == (0, len(BAD))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("zoo.csv", b"audio,label\n\xff.wav,joy\n", r"zoo\.csv:2: byte 0xFF is not UTF-8"),
        ("zoo.jsonl", b'{"audio": "\\udcff.wav", "label": "joy"}\n', r"zoo\.jsonl:1: .* half a character"),
    ],
)
def test_a_name_that_is_not_utf_8_fits_into_no_manifest(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ManifestError, match=reason):
        read_manifest(tmp_path / name)
