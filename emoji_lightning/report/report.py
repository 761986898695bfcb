"""`report.html` of an evaluated split and of scored systems."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emoji_lightning.files import write_whole
from emoji_lightning.report.page import render
from emoji_lightning.report.parts import Fact
from emoji_lightning.report.score_page import describe_score
from emoji_lightning.report.shown import Shown
from emoji_lightning.report.split_page import describe_split


def write_test_report(
    path: Path, split: str, metrics: Mapping[str, Any], *, facts: Mapping[str, Fact], errors: Sequence[Shown]
) -> None:
    """Write the page of one evaluated split: a single file without scripts that loads nothing.

    Args:
        path: The HTML file to appear.
        split: Name of the split.
        metrics: The split's entry in `metrics.json`.
        facts: What made the numbers (versions, digests, seeds), by name.
        errors: Wrong predictions to show, most confident first; their audio is embedded where it is given.
    """
    page = render("test.html", describe_split(split, metrics, facts=facts, errors=errors))
    write_whole(path, lambda temporary: temporary.write_text(page, encoding="utf-8"))


def write_score_report(
    path: Path, score: Mapping[str, Any], *, facts: Mapping[str, Fact], errors: Sequence[Shown]
) -> None:
    """Write the page of scored systems: a single file without scripts that loads nothing.

    Args:
        path: The HTML file to appear.
        score: Content of `score.json`; at least one system.
        facts: What made the numbers (versions, digests, seeds), by name.
        errors: Utterances heard as another label to show, most confident first; their audio is embedded where given.
    """
    page = render("score.html", describe_score(score, facts=facts, errors=errors))
    write_whole(path, lambda temporary: temporary.write_text(page, encoding="utf-8"))
