"""The numbers of a score, recomputed from utterances.csv by other programs."""

import json
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest
from scored_systems import NUM_RESAMPLES, Scored, read_rows
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score, recall_score
from spoken_emoji import ABSENT, BROKEN, LABELS, TEST, mix, write_checkpoint, write_systems, write_table

import emoji_lightning
from emoji_lightning.errors import AudioError
from emoji_lightning.predictor import Predictor

QUICK = {"num_resamples": 100}


def heard(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [row for row in rows if row["status"] == "heard"]


def column(rows: list[dict[str, str]], name: str) -> list[str]:
    return [row[name] for row in rows]


@pytest.mark.parametrize("system", ["plain", "lively"])
def test_the_numbers_are_those_of_scikit_learn(scored: Scored, system: str) -> None:
    rows = heard(scored.rows(system))
    asked, answers = column(rows, "asked"), column(rows, "heard")
    numbers = scored.content["systems"][system]
    assert numbers["accuracy"] == pytest.approx(accuracy_score(asked, answers))
    assert numbers["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(asked, answers))
    assert numbers["macro_f1"] == pytest.approx(f1_score(asked, answers, labels=LABELS, average="macro"))
    assert numbers["mean_probability"] == pytest.approx(np.mean([float(row["probability_asked"]) for row in rows]))
    assert numbers["confusion"] == confusion_matrix(asked, answers, labels=LABELS).tolist()
    recalls = recall_score(asked, answers, labels=LABELS, average=None)
    assert [each["recall"] for each in numbers["per_label"]] == pytest.approx(recalls.tolist())
    assert [row["correct"] for row in rows] == [str(int(a == b)) for a, b in zip(asked, answers, strict=True)]


def test_the_systems_are_heard_as_they_were_made(scored: Scored) -> None:
    plain, lively = (scored.rows(name) for name in ("plain", "lively"))
    assert [int(row["correct"]) for row in plain] == [number % 2 for number in range(24)]
    wrong = [row["text_id"] for row in lively if row["correct"] == "0"]
    assert wrong == ["t0", "t4", "t9"]


def test_probabilities_are_those_of_classify(scored: Scored) -> None:
    predictor = Predictor.load(scored.checkpoint)
    for row in scored.rows("lively")[:3]:
        told = dict(predictor.classify(scored.manifest.parent / row["id"]).probabilities)
        assert float(row["probability_asked"]) == pytest.approx(told[row["asked"]], abs=1e-6)
        assert float(row["probability_heard"]) == pytest.approx(max(told.values()), abs=1e-6)


def test_what_is_missing_or_failed_is_counted_and_listed(scored: Scored) -> None:
    lively = scored.content["systems"]["lively"]
    assert (lively["num_asked"], lively["num_heard"], lively["num_utterances"]) == (24, 20, 20)
    assert lively["failed"] == [
        {
            "id": "audio/lively/007.wav",
            "reason": "audio/lively/007.wav: holds text ('this is not audio th'...), not audio",
        }
    ]
    assert [each["id"] for each in lively["missing"]] == ["audio/lively/008.wav", "t22@lively", "t23@lively"]
    assert lively["missing"][0]["reason"] == "audio/lively/008.wav: no such file"
    assert lively["accuracy_counting_absent"] == pytest.approx(17 / 24)
    assert lively["accuracy"] == pytest.approx(17 / 20)
    assert scored.content["systems"]["plain"]["num_asked"] == 24
    statuses = [row["status"] for row in scored.rows("lively")]
    assert {status: statuses.count(status) for status in statuses} == {"heard": 20, "failed": 1, "missing": 3}
    assert len(scored.rows()) == 46 + 2  # a line for every row, and for every text that a system lacks


def test_intervals_are_over_texts(scored: Scored) -> None:
    intervals = scored.content["systems"]["plain"]["intervals"]
    assert (intervals["over"], intervals["num_groups"], intervals["num_resamples"]) == ("text_id", 24, NUM_RESAMPLES)
    low, high = intervals["accuracy"]
    assert 0.25 < low < 0.4 < 0.6 < high < 0.75  # binomial: 0.5 +- 0.2


def paired(scored: Scored) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Return right or wrong of both systems on the texts that both were heard on, and the emoji asked for."""
    answers = [{row["text_id"]: row for row in heard(scored.rows(name))} for name in ("plain", "lively")]
    shared = [text for text in answers[0] if text in answers[1]]
    right = [np.array([int(each[text]["correct"]) for text in shared]) for each in answers]
    return right[0], right[1], [answers[0][text]["asked"] for text in shared]


def test_a_comparison_is_the_difference_on_shared_texts(scored: Scored) -> None:
    first, second, _ = paired(scored)
    (comparison,) = scored.content["comparisons"]
    assert (comparison["first"], comparison["second"], comparison["num_shared"]) == ("plain", "lively", 20)
    accuracy = comparison["differences"]["accuracy"]
    assert accuracy["value"] == pytest.approx((first - second).mean())
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    probabilities = [
        {row["text_id"]: float(row["probability_asked"]) for row in heard(scored.rows(name))}
        for name in ("plain", "lively")
    ]
    shared = probabilities[0].keys() & probabilities[1].keys()
    expected = np.mean([probabilities[0][text] - probabilities[1][text] for text in shared])
    assert comparison["differences"]["mean_probability"]["value"] == pytest.approx(expected)


def test_mcnemar_is_the_binomial_test_of_scipy(scored: Scored) -> None:
    first, second, _ = paired(scored)
    only = int((first > second).sum()), int((first < second).sum())
    (comparison,) = scored.content["comparisons"]
    assert (comparison["first_only"], comparison["second_only"]) == only
    assert comparison["mcnemar_p"] == pytest.approx(binomtest(only[0], sum(only)).pvalue)


def test_the_permutation_test_is_near_that_of_all_exchanges(scored: Scored) -> None:
    first, second, _ = paired(scored)
    moves = (first - second)[first != second]  # an exchange changes nothing else
    sums = [abs(float(np.dot(signs, moves))) for signs in product((-1, 1), repeat=len(moves))]
    exact = np.mean([total >= abs(moves.sum()) for total in sums])
    (comparison,) = scored.content["comparisons"]
    assert comparison["permutation_p"]["accuracy"] == pytest.approx(
        exact, abs=3 * np.sqrt(exact / NUM_RESAMPLES) + 1 / NUM_RESAMPLES
    )


def test_differences_of_labels_are_those_of_their_recalls(scored: Scored) -> None:
    first, second, asked = paired(scored)
    (comparison,) = scored.content["comparisons"]
    for each in comparison["per_label"]:
        own = [place for place, label in enumerate(asked) if label == each["label"]]
        assert each["num"] == len(own)
        assert each["difference"]["value"] == pytest.approx((first[own] - second[own]).mean())


def test_score_json_is_what_the_call_returned(scored: Scored) -> None:
    assert json.loads(json.dumps(scored.score.to_dict())) == scored.content
    assert [each.id for each in scored.score.utterances] == column(scored.rows(), "id")


def test_no_file_says_where_it_was_made(scored: Scored) -> None:
    for name in ("score.json", "utterances.csv", "report.html"):
        text = (scored.output_dir / name).read_text(encoding="utf-8")
        for secret in (str(scored.manifest.parent), str(Path.home()), "/tmp/", "file://"):
            assert secret not in text
    store = "".join(path.read_text(encoding="utf-8") for path in (scored.output_dir / "store").glob("*.csv"))
    assert "audio/lively/007.wav" in store


def test_the_report_holds_the_audio_of_errors_when_asked(scored: Scored) -> None:
    page = (scored.output_dir / "report.html").read_text(encoding="utf-8")
    assert page.count("data:audio/") == 10 + 3  # plain has twelve errors, of which ten are shown
    assert "lively" in page


def test_the_classifier_s_own_test_stands_beside(scored: Scored) -> None:
    checkpoint = scored.content["checkpoint"]
    assert checkpoint["test"] == TEST
    assert (checkpoint["file"], checkpoint["encoder"], checkpoint["labels"]) == (
        "best_classifier.pt",
        "logmel",
        [*LABELS],
    )
    assert re.fullmatch("[0-9a-f]{64}", checkpoint["sha256"])


def test_nothing_is_written_without_a_folder(scored: Scored, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    score = emoji_lightning.score(scored.manifest, scored.checkpoint, max_failed=2, num_resamples=NUM_RESAMPLES)
    assert list(tmp_path.iterdir()) == []
    assert score.to_dict()["systems"] == scored.content["systems"]
    assert score.comparisons == []


NOT_HEARD = (
    r"systems\.csv:33: audio/lively/007\.wav: holds text .*\nsystems\.csv:34: audio/lively/008\.wav: no such file\n"
    r"2 of 48 utterances"
)


def test_failed_audio_beyond_the_limit_is_named(scored: Scored) -> None:
    with pytest.raises(AudioError, match=NOT_HEARD):
        emoji_lightning.score(scored.manifest, scored.checkpoint, store=scored.output_dir / "store", **QUICK)


def test_the_temperature_of_the_checkpoint_moves_probabilities_and_nothing_else(scored: Scored, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "warm", temperature=2.0)
    score = emoji_lightning.score(
        scored.manifest, checkpoint, store=scored.output_dir / "store", max_failed=2, output_dir=tmp_path, **QUICK
    )
    assert score.to_dict()["checkpoint"]["temperature"] == 2.0
    cold, warm = heard(scored.rows()), heard(read_rows(tmp_path))
    assert column(cold, "heard") == column(warm, "heard")
    # Odds of the two labels: p ** (1 / 2), up to the sum.
    wrong = [(a, b) for a, b in zip(cold, warm, strict=True) if a["correct"] == "0"]
    for before, after in wrong:
        odds = [float(row["probability_asked"]) / float(row["probability_heard"]) for row in (before, after)]
        assert odds[1] == pytest.approx(odds[0] ** 0.5, rel=1e-4)


def test_real_speech_stands_beside_the_systems(scored: Scored, tmp_path: Path) -> None:
    real = [*mix(9, wrong=[1]), (LABELS[0], ABSENT), ("🙏", LABELS[0])]
    reference = write_systems(tmp_path, {"real": real}, name="real.csv")
    score = emoji_lightning.score(
        scored.manifest,
        scored.checkpoint,
        reference=reference,
        store=scored.output_dir / "store",
        unknown="drop",
        max_failed=3,
        **QUICK,
    )
    found = score.to_dict()["reference"]
    assert (found["file"], found["name"], found["unknown"]) == ("real.csv", "real speech", {"🙏": 1})
    assert (found["num_asked"], found["num_heard"], found["accuracy"]) == (10, 9, pytest.approx(8 / 9))
    assert found["missing"][0]["id"] == "audio/real/009.wav"
    assert score.unknown == {}


def test_one_utterance_has_numbers_without_bootstrap_and_a_note(scored: Scored, tmp_path: Path) -> None:
    manifest = write_systems(tmp_path, {"only": mix(1)})
    score = emoji_lightning.score(manifest, scored.checkpoint, **QUICK)
    numbers = score.to_dict()["systems"]["only"]
    assert (numbers["accuracy"], numbers["intervals"]["macro_f1"]) == (1.0, None)
    assert numbers["intervals"]["accuracy"] == pytest.approx([0.025, 1.0])  # exact binomial of 1 out of 1
    assert "only: one text_id only was heard: a bootstrap needs two or more" in score.notes
    assert "only: one emoji only was asked for, so macro recall is accuracy" in score.notes


def test_one_class_only_is_scored_over_what_was_asked(scored: Scored, tmp_path: Path) -> None:
    joy = [("😂", "😂"), ("😂", "😭"), ("😂", "😂"), ("😂", "😂")]
    score = emoji_lightning.score(write_systems(tmp_path, {"x": joy}), scored.checkpoint, **QUICK)
    numbers = score.to_dict()["systems"]["x"]
    assert numbers["balanced_accuracy"] == numbers["accuracy"] == 0.75
    assert numbers["macro_f1"] == pytest.approx(2 * 0.75 / 1.75)  # of 😂 alone: precision 1, recall 0.75
    assert [each["num_predicted"] for each in numbers["per_label"]] == [1, 3, 0]


def test_the_same_text_may_be_asked_for_with_several_emoji(scored: Scored, tmp_path: Path) -> None:
    manifest = write_systems(tmp_path, {"a": mix(6), "b": mix(6, wrong=[1, 2])})
    rows = [line.split(",") for line in manifest.read_text(encoding="utf-8").splitlines()]
    for row in rows[1:]:
        row[2] = f"t{int(row[2][1:]) // 3}"  # two texts of three emoji each
    write_table(manifest, rows)
    score = emoji_lightning.score(manifest, scored.checkpoint, compare=True, **QUICK)
    (comparison,) = score.comparisons
    assert (comparison.num_shared, comparison.num_groups) == (6, 2)
    assert score.systems["a"].evaluation.num_groups == 2
    assert comparison.differences["accuracy"].value == pytest.approx(2 / 6)


def test_systems_heard_on_too_little_are_not_compared_and_a_note_says_so(scored: Scored, tmp_path: Path) -> None:
    deaf = [(asked, ABSENT if number else sound) for number, (asked, sound) in enumerate(mix(4))]
    manifest = write_systems(tmp_path, {"a": mix(4), "b": deaf, "c": mix(4)})
    score = emoji_lightning.score(manifest, scored.checkpoint, compare=True, max_failed=3, **QUICK)
    assert [(each.first, each.second) for each in score.comparisons] == [("a", "c")]
    assert any(note.startswith("a and b are not compared: 1 shared utterances were heard") for note in score.notes)


def test_a_system_whose_labels_are_all_unknown_has_no_numbers_and_a_note(scored: Scored, tmp_path: Path) -> None:
    manifest = write_systems(tmp_path, {"a": mix(3), "b": [("🙏", "😭"), ("🙏", BROKEN)]})
    score = emoji_lightning.score(manifest, scored.checkpoint, unknown="drop", output_dir=tmp_path / "out", **QUICK)
    assert list(score.systems) == ["a"]
    assert score.unknown == {"🙏": 2}
    assert [row["status"] for row in read_rows(tmp_path / "out")] == [*["heard"] * 3, *["unknown"] * 2]
    assert any(note.startswith("b: every utterance asks for a label") for note in score.notes)
