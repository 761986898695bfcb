"""Tables of texts and folders of TTS output, made for tests."""

import csv
import struct
from collections.abc import Sequence
from pathlib import Path

from emoji_lightning.manifest import Manifest, read_manifest

LABELS = ("joy", "sad", "<none>")


def write_wav(path: Path, number: int, *, seconds: float = 0.02) -> None:
    """Write 8 kHz PCM whose bytes no other number has."""
    samples = struct.pack("<hh", number % 32768, number // 32768 + 1) * int(seconds * 4000)
    form = struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16, b"data", len(samples))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<4sI4s", b"RIFF", 36 + len(samples), b"WAVE") + form + samples)


def write_texts(folder: Path, ids: Sequence[str], *, header: str = "id,text,label,speaker") -> Manifest:
    with (folder / "texts.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(header.split(","))
        for number, name in enumerate(ids):
            cells = (name, f"text {number}", LABELS[number % 3], f"s{number % 2}", "x")
            rows.writerow(cells[: header.count(",") + 1])
    return read_manifest(folder / "texts.csv")


def voice(folder: Path, names: Sequence[str], *, start: int = 0) -> None:
    for number, name in enumerate(names, start=start):
        write_wav(folder / f"{name}.wav", number)


def read_dropped(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
