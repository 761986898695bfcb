"""Generated speech whose formant tells an emoji, and a head that hears it: what is scored in tests is known before."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from emoji_lightning.bundle.bundle import write_bundle
from emoji_lightning.checkpoint.architecture import plain
from emoji_lightning.checkpoint.stored_head import StoredHead
from emoji_lightning.embedding.logmel import LogMelEncoder
from emoji_lightning.labels import LabelSet

LABELS = ("😭", "😂", "😊")
FORMANTS_HZ = {"😭": 500, "😂": 1500, "😊": 3500}
BROKEN, ABSENT = "broken", "absent"
"""What may stand for a sound: a file that is no audio, and none at all."""
TEST = {"num_utterances": 90, "accuracy": 0.9, "macro_f1": 0.89, "intervals": {"level": 0.95, "accuracy": [0.82, 0.95]}}


def make_voice(label: str, seed: int) -> NDArray[np.float32]:
    """Return 0.25 s at 16 kHz."""
    rng = np.random.default_rng(seed)
    time = np.arange(4000) / 16_000
    voice = (1 + np.sign(np.sin(2 * np.pi * rng.uniform(90, 180) * time))) * np.sin(
        2 * np.pi * FORMANTS_HZ[label] * time
    )
    return (0.2 * voice + 0.05 * rng.standard_normal(time.size)).astype(np.float32)


@cache
def fit_head() -> StoredHead:
    """Return a head that hears the formants: a logistic regression, written as an MLP of three layers.

    relu(z) - relu(-z) is z: the first layer computes both, the second passes them on.
    """
    numbers = np.repeat(np.arange(len(LABELS)), 20)
    encoder = LogMelEncoder()
    vectors = np.stack([encoder.encode(make_voice(LABELS[number], 10_000 + at)) for at, number in enumerate(numbers)])
    mean, spread = vectors.mean(axis=0), vectors.std(axis=0) + 1e-3
    fitted = LogisticRegression(C=1e-3).fit((vectors - mean) / spread, numbers)
    weight = fitted.coef_ / spread
    bias = fitted.intercept_ - weight @ mean
    num = len(LABELS)
    identity = np.eye(num)
    layers = {
        "0.weight": np.concatenate([weight, -weight]),
        "0.bias": np.concatenate([bias, -bias]),
        "3.weight": np.eye(2 * num),
        "3.bias": np.zeros(2 * num),
        "6.weight": np.concatenate([identity, -identity], axis=1),
        "6.bias": np.zeros(num),
    }
    state = {name: torch.tensor(values, dtype=torch.float32) for name, values in layers.items()}
    return StoredHead(plain(vectors.shape[1], 2 * num, num), state, LabelSet(LABELS), encoder="logmel")


def write_checkpoint(folder: Path, *, temperature: float | None = None, **changes: Any) -> Path:
    """Write the bundle of the head; `changes` replace its fields."""
    model = {} if temperature is None else {"calibration": {"temperature": temperature}}
    summary = {"model": model, "metrics": {"test": TEST}}
    write_bundle(replace(fit_head(), summary=summary, **changes), folder)
    return folder


def write_systems(folder: Path, sounds: Mapping[str, Iterable[tuple[str, str]]], *, name: str = "systems.csv") -> Path:
    """Write what each system made of texts t0, t1, ...: the emoji asked for, and the one that it sounds like.

    Returns:
        The manifest, with the columns `audio system text_id label speaker`; each text is of one of two speakers.
    """
    rows = []
    for place, (system, spoken) in enumerate(sounds.items()):
        for number, (asked, sound) in enumerate(spoken):
            path = folder / "audio" / system / f"{number:03d}.wav"
            write_sound(path, sound, seed=1000 * place + number)
            rows.append([f"audio/{system}/{path.name}", system, f"t{number}", asked, f"s{number % 2}"])
    return write_table(folder / name, [["audio", "system", "text_id", "label", "speaker"], *rows])


def write_sound(path: Path, sound: str, *, seed: int) -> None:
    """Write a file that sounds like an emoji, or one that is no audio, or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if sound == BROKEN:
        path.write_text("this is not audio " * 20)
    elif sound != ABSENT:
        soundfile.write(path, make_voice(sound, seed), 16_000, subtype="FLOAT")


def write_table(path: Path, rows: Iterable[Iterable[str]]) -> Path:
    """Write a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def mix(num_texts: int, *, wrong: Iterable[int] = ()) -> list[tuple[str, str]]:
    """Ask for the emoji in turn; the texts in `wrong` sound like the next one."""
    wrong = set(wrong)
    return [(LABELS[number % 3], LABELS[(number + (number in wrong)) % 3]) for number in range(num_texts)]
