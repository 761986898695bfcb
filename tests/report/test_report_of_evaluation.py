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
