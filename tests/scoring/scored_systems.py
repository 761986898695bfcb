"""A score and the files that it left, as tests look at them."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emoji_lightning.scoring import Score

NUM_RESAMPLES = 400


@dataclass(frozen=True)
class Scored:
    """A score, the files that it left, and what it was made of."""

    manifest: Path
    checkpoint: Path
    output_dir: Path
    score: Score

    @property
    def content(self) -> dict[str, Any]:
        """What score.json holds."""
        return dict(json.loads((self.output_dir / "score.json").read_text(encoding="utf-8")))

    def rows(self, system: str | None = None) -> list[dict[str, str]]:
        """Return the lines of utterances.csv, of one system."""
        return [row for row in read_rows(self.output_dir) if system in (None, row["system"])]


def read_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "utterances.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
