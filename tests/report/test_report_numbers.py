"""What stands in the pages is what stands in metrics.json and score.json."""

import math
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from page_reading import find, read_page, rows_of, text_of, values_of
from report_inputs import FACTS, TEN_SYSTEM_NAMES, make_errors, make_metrics, make_score

from emoji_lightning.report import write_score_report, write_test_report

SHARES = ("accuracy", "balanced_accuracy", "macro_f1", "top3_accuracy", "mean_probability")


def write_test(folder: Path, metrics: dict[str, Any]) -> ET.Element:
    write_test_report(folder / "report.html", "test", metrics, facts=FACTS, errors=make_errors())
    return read_page(folder / "report.html")


def write_score(folder: Path, score: dict[str, Any]) -> ET.Element:
    write_score_report(folder / "report.html", score, facts=FACTS, errors=make_errors(system="espeak-ng plain"))
    return read_page(folder / "report.html")


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    return make_metrics() | {"best_accuracy": 0.931}


@pytest.fixture(scope="module")
def page(metrics: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> ET.Element:
    return write_test(tmp_path_factory.mktemp("page"), metrics)


@pytest.fixture(scope="module")
def score() -> dict[str, Any]:
    return make_score()


@pytest.fixture(scope="module")
def score_page(score: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> ET.Element:
    return write_score(tmp_path_factory.mktemp("page"), score)


def expect(numbers: dict[str, Any], name: str) -> list[float]:
    return [numbers[name], *(numbers["intervals"][name] or [])]


def percent(text: str | None) -> float:
    return float((text or "").removesuffix("%")) / 100


@pytest.mark.parametrize("name", [*SHARES, "nll", "ece"])
def test_summary_holds_value_interval_and_guesses(page: ET.Element, metrics: dict[str, Any], name: str) -> None:
    (row,) = find(page, "tr", data_metric=name)
    guesses = [metrics["baselines"][guess].get(name) for guess in ("chance", "majority")]
    best = [0.931] if name == "accuracy" else []
    assert values_of(row) == [*expect(metrics, name), *(guess for guess in guesses if guess is not None), *best]
    assert f"{metrics[name]:.3f}" in text_of(row)


@pytest.mark.parametrize("name", SHARES)
def test_whisker_and_dot_stand_where_the_numbers_are(page: ET.Element, metrics: dict[str, Any], name: str) -> None:
    (row,) = find(page, "tr", data_metric=name)
    whisker, *ends = find(row, "line", "whisker")
    low, high = metrics["intervals"][name]
    assert (percent(whisker.get("x1")), percent(whisker.get("x2"))) == pytest.approx((low, high), abs=1e-4)
    assert [percent(end.get("x1")) for end in ends] == pytest.approx([low, high], abs=1e-4)
    assert percent(find(row, "circle", "dot")[0].get("cx")) == pytest.approx(metrics[name], abs=1e-4)
    chance = find(row, "line", "chance")[0].get("x1")
    assert percent(chance) == pytest.approx(metrics["baselines"]["chance"][name], abs=1e-4)


def test_each_label_has_its_numbers_and_bars(page: ET.Element, metrics: dict[str, Any]) -> None:
    rows = rows_of(find(page, "table", "labels")[0])
    assert len(rows) == len(metrics["labels"])
    for row, each in zip(rows, metrics["per_label"], strict=True):
        numbers = [number for name in ("recall", "precision", "f1") for number in expect(each, name)]
        assert values_of(row) == [each["support"], each["num_predicted"], *numbers]
        bars = [percent(bar.get("width")) for bar in find(row, "rect", "bar")]
        assert bars == pytest.approx([each["recall"], each["precision"], each["f1"]], abs=1e-4)
    assert text_of(rows[1]).startswith("😭 loudly crying face")


def test_confusion_is_drawn_and_written_cell_by_cell(page: ET.Element, metrics: dict[str, Any]) -> None:
    counts = metrics["confusion"]
    cells = find(page, "g", "cell")
    assert len(cells) == len(counts) ** 2
    drawn = [int("".join(text.text or "" for text in cell.iter("text")) or 0) for cell in cells]
    assert drawn == [count for row in counts for count in row]
    table = find(page.find(".//section[@id='confusion']"), "table", "counts")[0]
    assert [values_of(row) for row in rows_of(table)] == counts
    said = [title.text for title in cells[12].iter("title")]
    assert said == [
        f"true 😭 loudly crying face, predicted 😭 loudly crying face: {counts[1][1]} of {sum(counts[1])} "
        f"({counts[1][1] / sum(counts[1]):.3f})"
    ]


def test_colour_of_a_cell_is_its_share_of_the_row(page: ET.Element, metrics: dict[str, Any]) -> None:
    ends = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
    shares = [count / sum(row) for row in metrics["confusion"] for count in row]
    for cell, share in zip(find(page, "g", "cell"), shares, strict=True):
        step = int(cell.get("class", "").split()[1].removeprefix("h"))
        assert (share == 0) if step == 0 else ends[step - 1] < share <= ends[step]


def test_reliability_has_a_dot_for_every_bin_with_utterances(page: ET.Element, metrics: dict[str, Any]) -> None:
    bins = [each for each in metrics["reliability"] if each["count"]]
    assert 0 < len(bins) < 15
    dots = find(find(page, "svg", "reliability")[0], "circle")
    places = [((float(dot.get("cx")) - 54) / 320, (332 - float(dot.get("cy"))) / 320) for dot in dots]
    assert places == [pytest.approx((each["confidence"], each["accuracy"]), abs=1e-4) for each in bins]


def test_calibration_and_threshold_are_written(page: ET.Element, metrics: dict[str, Any]) -> None:
    found = values_of(page.find(".//section[@id='calibration']"))
    calibration, abstain = metrics["calibration"], metrics["abstain"]
    stages = [part[stage] for part in (calibration["fit"], calibration) for stage in ("before", "after")]
    numbers = [1.38, 1000, *(each[key] for each in stages for key in ("nll", "ece")), 0.9, 0.6421]
    assert found[-len(numbers) - 4 :] == [*numbers, *abstain["dev"].values(), *abstain["test"].values()]


def test_facts_are_written(page: ET.Element) -> None:
    facts = {text_of(pair[0]): text_of(pair[1]) for pair in page.iterfind(".//dl/div")}
    assert facts["weights"] == "3f" * 32
    assert (facts["seed"], facts["resamples"], facts["resampled unit"]) == ("7", "10000", "utterance")


@pytest.mark.parametrize("system", [*TEN_SYSTEM_NAMES, "real speech"])
def test_each_system_has_its_numbers_and_absent_audio(
    score_page: ET.Element, score: dict[str, Any], system: str
) -> None:
    numbers = (score["systems"] | {"real speech": score["reference"]})[system]
    (row,) = find(score_page, "tr", data_system=system)
    metrics = ("accuracy", "balanced_accuracy", "macro_f1", "mean_probability")
    counts = [numbers["num_asked"], numbers["num_heard"], len(numbers["missing"]), len(numbers["failed"])]
    expected = [number for name in metrics for number in expect(numbers, name)]
    assert values_of(row) == [*expected, *counts, numbers["accuracy_counting_absent"]]


def test_absent_and_unknown_utterances_are_listed(score_page: ET.Element) -> None:
    absent = score_page.find(".//section[@id='absent']")
    assert [[text_of(cell) for cell in row] for row in rows_of(absent)] == [
        ["text-0", "other systems have this text"],
        ["text-1", "other systems have this text"],
        ["text-50", "audio/x.wav: no audio"],
        ["text-51", "audio/x.wav: no audio"],
    ]
    assert text_of(absent).endswith("does not know the emoji: 😀 3.")


def test_lines_of_reference_cross_every_system(score_page: ET.Element, score: dict[str, Any]) -> None:
    panel = find(score_page, "figure", "panel")[0]
    expected = {"chance": 1 / 11, "own_test": 0.8123, "real_speech": score["reference"]["accuracy"]}
    for kind, value in expected.items():
        lines = [percent(line.get("x1")) for strip in find(panel, "svg", "strip") for line in find(strip, "line", kind)]
        assert lines == pytest.approx([value] * 4, abs=1e-4)
    assert "the classifier’s own held-out test 0.812" in text_of(panel)


def test_comparisons_say_difference_p_and_verdict(score_page: ET.Element, score: dict[str, Any]) -> None:
    rows = rows_of(find(score_page, "table", "comparisons")[0])
    for row, each in zip(rows, score["comparisons"], strict=True):
        difference = each["differences"]["accuracy"]
        assert values_of(row) == [*difference.values(), each["permutation_p_holm"]["accuracy"]]
        assert f"−{abs(difference['value']):.3f}" in text_of(row)
    verdicts = [text_of(find(row, "td", "verdict")[0]) for row in rows]
    assert verdicts == [
        "espeak-ng prosody is better",
        "espeak-ng voices is better",
        "not decided; about 1,240 more texts are needed",
    ]
    details = text_of(score_page.find(".//section[@id='comparisons']/details"))
    assert "only: 61;" in details
    assert "McNemar’s p: 0.0261, after Holm 0.0522" in details
    assert "macro-F1" in details
    assert "< 0.0001" in details


def test_differences_of_each_label_are_written(score_page: ET.Element, score: dict[str, Any]) -> None:
    tables = find(score_page, "table", "differences")[1::2]
    for table, each in zip(tables, score["comparisons"], strict=True):
        for row, label in zip(rows_of(table), each["per_label"], strict=True):
            known = [number for number in label["difference"].values() if number is not None]
            assert values_of(row) == [label["num"], *known]


def test_recall_of_each_label_is_written_by_system(score_page: ET.Element, score: dict[str, Any]) -> None:
    systems = [*score["systems"].values(), score["reference"]]
    for place, row in enumerate(rows_of(find(score_page, "table", "recalls")[0])):
        each = [system["per_label"][place] for system in systems]
        assert values_of(row) == [each[0]["support"], *(n for label in each for n in expect(label, "recall"))]


def test_numbers_that_are_unknown_are_called_so(tmp_path: Path) -> None:
    metrics = make_metrics(("joy", "sad"), 1) | {"calibration": None, "accuracy": None, "macro_f1": math.nan}
    metrics["abstain"] |= {"threshold": None}
    page = write_test(tmp_path, metrics)
    assert "not available" in text_of(find(page, "tr", data_metric="accuracy")[0])
    assert "not available" in text_of(find(page, "tr", data_metric="macro_f1")[0])
    assert "no interval" in text_of(find(page, "tr", data_metric="nll")[0])
    assert not find(page, "line", "whisker") or "strip" not in {
        svg.get("class") for svg in find(page, "line", "whisker")
    }
    assert "None was fitted." in text_of(page)
    assert "No threshold reaches a precision of 0.900." in text_of(page)
    assert "nan" not in text_of(page).lower()


def test_a_single_system_has_no_comparison_and_only_asked_rows(tmp_path: Path) -> None:
    score = make_score(names=("only",)) | {"reference": None, "comparisons": [], "unknown": {}}
    score["checkpoint"]["test"] = None
    only = score["systems"]["only"]
    only["per_label"][3] |= {"support": 0}
    only["confusion"][3] = [0] * 11
    page = write_score(tmp_path, score)
    assert page.find(".//section[@id='comparisons']") is None
    assert "not recorded with this checkpoint" in text_of(page)
    assert "None: every utterance that was asked for was heard." in text_of(page)
    assert len(rows_of(find(page, "table", "recalls")[0])) == 10
    assert len(find(page, "g", "cell")) == 10 * 11
