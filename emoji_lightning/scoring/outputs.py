"""The files of a score: `score.json`, `utterances.csv`, `report.html`."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from emoji_lightning import __version__
from emoji_lightning.files import write_whole
from emoji_lightning.manifest import Manifest
from emoji_lightning.report.report import write_score_report
from emoji_lightning.report.shown import Shown
from emoji_lightning.scoring.result import Score, UtteranceScore

SCORE, UTTERANCES, REPORT = "score.json", "utterances.csv", "report.html"
COLUMNS = (
    "id",
    "system",
    "text_id",
    "asked",
    "heard",
    "probability_asked",
    "probability_heard",
    "correct",
    "status",
    "reason",
)
NUM_ERRORS = 10
"""Most confident errors of each system that the report shows."""


def begin_outputs(folder: Path, utterances: Sequence[UtteranceScore]) -> None:
    """Write `utterances.csv`; the score and the report of an earlier run do not belong to it, and go."""
    write_utterances(folder / UTTERANCES, utterances)
    for name in (SCORE, REPORT):
        (folder / name).unlink(missing_ok=True)


def write_utterances(path: Path, utterances: Sequence[UtteranceScore]) -> None:
    """Write a line for every utterance; `correct` is 1 or 0, empty where nothing was heard."""

    def write(file: Path) -> None:
        with file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            rows = csv.writer(stream)
            rows.writerow(COLUMNS)
            rows.writerows([_spell(getattr(each, name)) for name in COLUMNS] for each in utterances)

    write_whole(path, write)


def write_score(folder: Path, score: Score, manifest: Manifest, *, with_audio: bool) -> None:
    """Write `score.json` and `report.html`.

    Args:
        folder: Where they go.
        score: What was found.
        manifest: Its texts, and the audio of the errors that the report shows.
        with_audio: Whether that audio is put into the report.
    """
    content = score.to_dict()
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    write_whole(folder / SCORE, lambda file: file.write_text(text, encoding="utf-8"))
    errors = _find_errors(score, manifest, with_audio=with_audio)
    # Checkpoint, manifest, settings and versions stand in the page already: it is made of `content`.
    facts = {"program": f"emoji-lightning {__version__} score", "utterances listed in": UTTERANCES}
    write_score_report(folder / REPORT, content, facts=facts, errors=errors)


def _find_errors(score: Score, manifest: Manifest, *, with_audio: bool) -> list[Shown]:
    """Return the most confident errors of each system."""
    # A player of the whole recording would not play the utterance.
    is_segment = manifest.has("start") or manifest.has("end")
    texts = manifest.column("text") if manifest.has("text") else None
    shown = []
    for system in score.systems.values():
        wrong = [each for each in system.utterances if each.correct is False]
        for each in sorted(wrong, key=lambda each: -(each.probability_heard or 0.0))[:NUM_ERRORS]:
            row = each.row or 0
            shown.append(
                Shown(
                    id=each.id,
                    asked=each.asked,
                    heard=each.heard,
                    probability=each.probability_heard or 0.0,
                    text=texts[row] if texts else None,
                    system=each.system,
                    audio=manifest.audio_path(row) if with_audio and not is_segment else None,
                )
            )
    return shown


def _spell(value: object) -> object:
    if value is None:
        return ""
    return int(value) if isinstance(value, bool) else value
