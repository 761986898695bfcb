"""Three stand-ins for emoji-conditioned TTS systems, and a corpus to train their judge on, all made with espeak-ng.

    python benchmarks/espeak_systems.py FOLDER [--texts 20] [--training-texts 40]

espeak-ng (a package of Debian and other systems) speaks each text in a voice and with a pitch, a speed, a loudness and
a pause between words that depend on the emoji, and that vary from utterance to utterance. FOLDER gets

* `training.csv`: other texts in four other voices, at full expression (columns audio, label, text_id, text, speaker);
* `systems.csv`: the same texts by three systems (and column `system`): `expressive` has the full prosody of the emoji,
  `restrained` 45 % of it, `flat` none.

It is a stand-in: what it shows is how a comparison of systems is run and read, not how emoji sound.
"""

import argparse
import csv
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import NamedTuple


class Prosody(NamedTuple):
    """espeak-ng's pitch (0-99), speed (words per minute), amplitude (0-200) and gap between words (10 ms)."""

    pitch: float
    speed: float
    amplitude: float
    gap: float

    def towards(self, other: "Prosody", share: float) -> "Prosody":
        """Return the prosody that lies this share of the way to another."""
        return Prosody(*(here + share * (there - here) for here, there in zip(self, other, strict=True)))

    def vary(self, rng: random.Random) -> "Prosody":
        """Return the prosody of one utterance: no speaker does it twice the same way."""
        changed = (rng.gauss(value, deviation) for value, deviation in zip(self, DEVIATIONS, strict=True))
        return Prosody(*(min(max(value, low), high) for value, (low, high) in zip(changed, BOUNDS, strict=True)))


DEVIATIONS = (9, 18, 15, 2)
BOUNDS = ((0, 99), (80, 400), (20, 200), (0, 40))
NEUTRAL = Prosody(50, 170, 100, 0)
PROSODY = {
    "<none>": NEUTRAL,
    "😭": Prosody(15, 95, 55, 12),
    "😂": Prosody(92, 265, 150, 0),
    "😊": Prosody(75, 190, 105, 0),
    "😍": Prosody(88, 130, 90, 5),
    "🙏": Prosody(38, 115, 70, 8),
    "🤔": Prosody(45, 105, 100, 22),
    "🔥": Prosody(62, 290, 195, 0),
    "💔": Prosody(8, 120, 80, 3),
    "👍": Prosody(55, 215, 160, 2),
    "🙄": Prosody(22, 150, 125, 6),
}
TRAINING_VOICES = ("en-us+m1", "en-us+f1", "en-gb+m4", "en-gb+f3")
SYSTEMS = {"expressive": ("en-us+f2", 1.0), "restrained": ("en-us+m3", 0.45), "flat": ("en-gb+m2", 0.0)}
SUBJECTS = (
    "My sister", "The new neighbour", "Our teacher", "His old friend", "That singer", "The doctor", "Everybody",
    "Her son",
)  # fmt: skip
VERBS = (
    "just told me about", "is waiting for", "never talked about", "has finally found", "will not forget", "asked about",
    "cannot believe", "wanted", "is thinking of", "has left",
)  # fmt: skip
OBJECTS = (
    "the little dog", "our summer trip", "the last game", "that letter", "the party tonight", "the broken phone",
    "my birthday", "this old song", "the first snow", "the long way home",
)  # fmt: skip
TEXTS = [" ".join(words) + "." for words in product(SUBJECTS, VERBS, OBJECTS)]


class Line(NamedTuple):
    """One utterance to be spoken."""

    text_id: str
    text: str
    emoji: str
    speaker: str
    system: str
    expression: float

    @property
    def audio(self) -> str:
        """Path of the file below the folder."""
        return f"{self.system or 'training'}/{self.speaker}/{self.text_id}.wav"


def lines_of(num_texts: int, num_training_texts: int) -> Iterator[Line]:
    """Yield what is spoken: so many texts per emoji by each system, and others by each voice of the training."""
    for place, emoji in enumerate(PROSODY):
        for number in range(num_training_texts + num_texts):
            # 7 and the 800 texts have no common divisor: no text is taken twice, and neighbours differ.
            text = TEXTS[7 * (place * (num_training_texts + num_texts) + number) % len(TEXTS)]
            name = f"e{place}-{number}"
            if number < num_training_texts:
                voice = TRAINING_VOICES[number % len(TRAINING_VOICES)]
                yield Line(name, text, emoji, voice, "", 1.0)
            else:
                for system, (voice, expression) in SYSTEMS.items():
                    yield Line(name, text, emoji, voice, system, expression)


def speak(line: Line, folder: Path) -> None:
    """Write the utterance's file: 22.05 kHz, 16 bit, mono."""
    wanted = NEUTRAL.towards(PROSODY[line.emoji], line.expression)
    prosody = wanted.vary(random.Random(line.audio))
    target = folder / line.audio
    target.parent.mkdir(parents=True, exist_ok=True)
    values = dict(zip("psag", (str(round(value)) for value in prosody), strict=True))
    options = [word for name, value in values.items() for word in (f"-{name}", value)]
    subprocess.run(["espeak-ng", "-v", line.speaker, *options, "-w", str(target), line.text], check=True)


def write_table(path: Path, lines: list[Line]) -> None:
    """Write a manifest; the utterances of the training have no system."""
    columns = ["audio", "emoji", "text_id", "text", "speaker", *(["system"] if lines[0].system else [])]
    with path.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow("label" if column == "emoji" else column for column in columns)
        rows.writerows([getattr(line, column) for column in columns] for line in lines)


def make_systems(folder: Path, *, num_texts: int, num_training_texts: int) -> None:
    """Speak everything and write both manifests."""
    lines = list(lines_of(num_texts, num_training_texts))
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda line: speak(line, folder), lines))
    write_table(folder / "training.csv", [line for line in lines if not line.system])
    write_table(folder / "systems.csv", [line for line in lines if line.system])
    print(f"{folder}: {len(lines)} utterances spoken; training.csv and systems.csv name them")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--texts", type=int, default=20, help="texts per emoji that the systems speak")
    parser.add_argument("--training-texts", type=int, default=40, help="other texts per emoji for the training")
    options = parser.parse_args()
    if len(PROSODY) * (options.texts + options.training_texts) > len(TEXTS):
        sys.exit(f"there are {len(TEXTS)} texts; ask for at most {len(TEXTS) // len(PROSODY)} per emoji in all")
    if shutil.which("espeak-ng") is None:
        sys.exit("espeak-ng is not installed (Debian: apt-get install espeak-ng)")
    make_systems(options.folder, num_texts=options.texts, num_training_texts=options.training_texts)


if __name__ == "__main__":
    main()
