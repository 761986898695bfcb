"""The pages take what the evaluation gives, not only what the other tests made up."""

from pathlib import Path

import numpy as np
import pytest
from page_reading import find, read_page, rows_of, text_of, values_of
from report_inputs import FACTS, make_errors, make_score, predict

from emoji_lightning.evaluation.comparison import Paired, compare
from emoji_lightning.evaluation.evaluation import evaluate
from emoji_lightning.evaluation.resampling import Resampling
from emoji_lightning.report import write_score_report, write_test_report

LABELS = ("joy", "😭", "🔥", "never said")
RESAMPLING = Resampling(num_resamples=200)


@pytest.mark.parametrize("num", [1, 3, 60])
def test_an_evaluation_of_any_size_has_its_page(tmp_path: Path, num: int) -> None:
    truth, probabilities = predict(LABELS[:3], num, skill=2.0)
    probabilities = np.pad(probabilities, ((0, 0), (0, 1)))
    numbers = evaluate(truth, probabilities, names=LABELS, resampling=RESAMPLING).to_dict()
    write_test_report(tmp_path / "report.html", "dev", numbers, facts=FACTS, errors=make_errors())
    page = read_page(tmp_path / "report.html")
    (row,) = find(page, "tr", data_metric="accuracy")
    baselines = [numbers["baselines"][name]["accuracy"] for name in ("chance", "majority")]
    assert values_of(row) == [numbers["accuracy"], *(numbers["intervals"]["accuracy"] or []), *baselines]
    assert "nan" not in text_of(page).lower().split()


def test_scored_and_compared_systems_have_their_page(tmp_path: Path) -> None:
    truth, first = predict(LABELS, 80, skill=1.0, seed=1)
    _, second = predict(LABELS, 80, skill=3.0, seed=2)
    groups = [f"text-{row // 2}" for row in range(80)]
    score = make_score(LABELS, ("one", "two"))
    for name, found in (("one", first), ("two", second)):
        numbers = evaluate(truth, found, names=LABELS, groups=groups, asked_only=True, resampling=RESAMPLING)
        score["systems"][name] |= numbers.to_dict()
    paired = {("one", "two"): Paired(truth, first, second, groups)}
    score["comparisons"] = [each.to_dict() for each in compare(paired, names=LABELS, resampling=RESAMPLING)]
    write_score_report(tmp_path / "report.html", score, facts=FACTS, errors=[])
    (row,) = rows_of(find(read_page(tmp_path / "report.html"), "table", "comparisons")[0])
    assert "two is better" in text_of(row)
    assert values_of(row)[:3] == list(score["comparisons"][0]["differences"]["accuracy"].values())


def test_long_lists_of_absent_audio_end_in_a_count(tmp_path: Path) -> None:
    score = make_score(LABELS, ("one", "two"))
    missing = [{"id": f"text-{row}", "reason": "no such file"} for row in range(1_000)]
    score["systems"]["one"] |= {"missing": missing, "failed": []}
    write_score_report(tmp_path / "report.html", score, facts=FACTS, errors=[])
    absent = read_page(tmp_path / "report.html").find(".//section[@id='absent']")
    assert absent is not None
    assert len(rows_of(find(absent, "table", "reasons")[0])) == 200
    assert "and 800 more, in utterances.csv" in text_of(absent)


def test_what_is_still_needed_is_counted_in_what_the_bootstrap_draws(tmp_path: Path) -> None:
    score = make_score(LABELS, ("one", "two", "three"))
    for group, unit in (("text_id", "texts"), ("speaker", "values of speaker")):
        score["settings"]["group"] = group
        for each in score["comparisons"]:
            each |= {"decided": False, "more_needed": 12}
        write_score_report(tmp_path / f"{group}.html", score, facts=FACTS, errors=[])
        page = read_page(tmp_path / f"{group}.html")
        verdicts = {text_of(each) for each in find(page, "td", "verdict")}
        assert verdicts == {f"not decided; about 12 more {unit} are needed"}


def test_every_system_has_its_reliability_diagram_and_the_classifier_its_intervals(tmp_path: Path) -> None:
    score = make_score(LABELS, ("one", "two"))
    score["checkpoint"]["test"]["intervals"] = {"accuracy": [0.7921, 0.8342]}
    write_score_report(tmp_path / "report.html", score, facts=FACTS, errors=[])
    page = read_page(tmp_path / "report.html")
    section = page.find(".//section[@id='reliability']")
    assert section is not None
    figures = find(section, "figure")
    names = [text_of(find(each, "h3")[0]) for each in figures]
    assert names[:2] == ["one", "two"]
    for figure, name in list(zip(figures, names, strict=True))[:2]:
        filled = sum(each["count"] > 0 for each in score["systems"][name]["reliability"])
        assert len(find(figure, "circle")) == filled
        assert values_of(figure) == [score["systems"][name]["ece"]]
    assert "[0.792, 0.834]" in text_of(find(page, "table", "systems")[0])


@pytest.mark.parametrize(("num_groups", "warned"), [(9, True), (10, False)])
def test_few_groups_are_warned_of(tmp_path: Path, num_groups: int, warned: bool) -> None:
    truth, probabilities = predict(LABELS, 60, skill=2.0)
    groups = [f"speaker-{row % num_groups}" for row in range(60)]
    numbers = evaluate(truth, probabilities, names=LABELS, groups=groups, resampling=RESAMPLING).to_dict()
    write_test_report(tmp_path / "report.html", "test", numbers, facts=FACTS, errors=[])
    assert ("With fewer than 10 units they are too narrow" in text_of(read_page(tmp_path / "report.html"))) == warned
