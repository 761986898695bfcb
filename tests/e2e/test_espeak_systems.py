"""The run that the README shows: three stand-in TTS systems, scored, compared, and looked at in a browser."""

import csv
import json
import math
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from page_reading import find, read_page, text_of

from emoji_lightning.cli import main
from emoji_lightning.labels import CARD_LABELS

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "benchmarks" / "espeak_systems.py"
SMALL = REPOSITORY / "configs" / "experiment" / "small.yaml"
SYSTEMS = ("expressive", "restrained", "flat")
pytestmark = pytest.mark.slow


class Scored(NamedTuple):
    """What `score` wrote and printed."""

    folder: Path
    score: dict[str, Any]
    rows: list[dict[str, str]]
    printed: str


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    if shutil.which("espeak-ng") is None:
        pytest.skip(
            "espeak-ng is not installed (Debian: apt-get install espeak-ng); tests/scoring score generated audio"
        )
    folder = tmp_path_factory.mktemp("espeak")
    made = [sys.executable, str(SCRIPT), str(folder / "speech"), "--texts", "5", "--training-texts", "16"]
    subprocess.run(made, check=True, timeout=300)
    training, store, run = folder / "speech" / "training.csv", str(folder / "store"), str(folder / "run")
    main(["embed", str(training), "--store", store, "--encoder", "logmel"])
    main(["split", str(training), "--output", f"{run}/split.csv", "--dev", "0.15", "--test", "0.15"])
    data = ["--data.manifest", f"{run}/split.csv", "--data.store", store, "--trainer.enable_progress_bar", "false"]
    main(["fit", "--config", str(SMALL), *data, "--trainer.default_root_dir", run])
    main(["export", "--trainer.default_root_dir", run, "--output_dir", str(folder / "head")])
    words = ["--checkpoint", str(folder / "head"), "--output_dir", str(folder / "score"), "--compare"]
    scoring = [sys.executable, str(REPOSITORY / "train.py"), "score", str(folder / "speech" / "systems.csv"), *words]
    finished = subprocess.run(scoring, check=True, capture_output=True, text=True, timeout=300)
    with (folder / "score" / "utterances.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    score = json.loads((folder / "score" / "score.json").read_text(encoding="utf-8"))
    return Scored(folder / "score", score, rows, finished.stdout)


def of(scored: Scored, system: str) -> list[dict[str, str]]:
    return [row for row in scored.rows if row["system"] == system]


def recall_and_f1(rows: list[dict[str, str]], label: str) -> tuple[float, float]:
    asked = sum(row["asked"] == label for row in rows)
    heard = sum(row["heard"] == label for row in rows)
    both = sum(row["asked"] == row["heard"] == label for row in rows)
    return both / asked, 2 * both / (asked + heard)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_numbers_of_a_system_are_those_counted_by_hand(system: str, scored: Scored) -> None:
    rows, found = of(scored, system), scored.score["systems"][system]
    assert Counter(row["asked"] for row in rows) == dict.fromkeys(CARD_LABELS, 5)
    assert found["num_asked"] == found["num_heard"] == len(rows) == 55
    right = sum(row["asked"] == row["heard"] for row in rows)
    assert found["accuracy"] == pytest.approx(right / 55)
    recalls, f1s = zip(*(recall_and_f1(rows, label) for label in CARD_LABELS), strict=True)
    assert found["balanced_accuracy"] == pytest.approx(sum(recalls) / 11)
    assert found["macro_f1"] == pytest.approx(sum(f1s) / 11)
    asked = [float(row["probability_asked"]) for row in rows]
    assert found["mean_probability"] == pytest.approx(sum(asked) / 55, abs=1e-6)
    for label, recall, row in zip(CARD_LABELS, recalls, found["per_label"], strict=True):
        assert (row["label"], row["support"]) == (label, 5)
        assert row["recall"] == pytest.approx(recall)
    low, high = found["intervals"]["accuracy"]
    assert low <= found["accuracy"] <= high
    assert f"{right / 55:.3f}" in scored.printed


def test_the_comparisons_are_those_computed_by_hand(scored: Scored) -> None:
    assert len(scored.score["comparisons"]) == 3
    for found in scored.score["comparisons"]:
        first, second = (
            {row["text_id"]: row["asked"] == row["heard"] for row in of(scored, found[which])}
            for which in ("first", "second")
        )
        assert set(first) == set(second)
        only = [sum(mine[text] > other[text] for text in first) for mine, other in ((first, second), (second, first))]
        assert [found["first_only"], found["second_only"]] == only
        assert found["differences"]["accuracy"]["value"] == pytest.approx((only[0] - only[1]) / 55)
        n, tail = sum(only), min(only)
        exact = min(1.0, 2 * sum(math.comb(n, k) for k in range(tail + 1)) / 2**n)
        assert found["mcnemar_p"] == pytest.approx(exact)
    raw = sorted(each["mcnemar_p"] for each in scored.score["comparisons"])
    holm = max(3 * raw[0], 0)
    assert min(each["mcnemar_p_holm"] for each in scored.score["comparisons"]) == pytest.approx(min(1, holm))


def test_speech_without_expression_is_heard_worst_and_no_better_than_chance(scored: Scored) -> None:
    expressive, restrained, flat = (scored.score["systems"][system]["accuracy"] for system in SYSTEMS)
    chance = scored.score["systems"]["flat"]["baselines"]["chance"]["accuracy"]
    assert flat < chance + 0.05 < min(expressive, restrained)


def test_the_report_in_a_browser_shows_these_numbers_and_real_emoji(scored: Scored, browser: Any) -> None:
    page = browser.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto((scored.folder / "report.html").as_uri())
    text = page.inner_text("body")
    for system in SYSTEMS:
        found = scored.score["systems"][system]
        for name in ("accuracy", "macro_f1"):
            assert f"{found[name]:.3f}" in text
    for found in scored.score["comparisons"]:
        assert f"{found['differences']['accuracy']['value']:+.3f}".replace("-", "−") in text
    assert all(label in text for label in CARD_LABELS)
    assert not problems
    cells = page.locator("svg g.cell")
    assert cells.count() == 3 * 11 * 11
    box = cells.first.bounding_box()
    assert box["width"] > 5
    assert box["height"] > 5
    page.close()


def test_the_files_name_no_place_of_this_machine(scored: Scored) -> None:
    for name in ("score.json", "utterances.csv", "report.html"):
        text = (scored.folder / name).read_text(encoding="utf-8")
        assert str(scored.folder.parent) not in text
        assert str(Path.home()) not in text
    tree = read_page(scored.folder / "report.html")
    assert text_of(find(tree, "h1")[0]).startswith("Score: 3 systems")
